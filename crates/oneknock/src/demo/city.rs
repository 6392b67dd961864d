//! A made-up city: grids, households, residents, cars. The same seed makes the same city. Nobody in it exists; numbers are valid by form
//! and checksum alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;

/// The division of the whole city.
pub const DIVISION: &str = "330106";
/// Households that one grid has.
const HOUSEHOLDS_PER_GRID: u32 = 150;
const GRIDS_MIN: u32 = 4;
const GRIDS_PER_COMMUNITY: u32 = 3;
const COMMUNITIES_PER_SUBDISTRICT: u32 = 4;

const SUBDISTRICTS: &[&str] = &["云栖街道", "望湖街道", "翠溪街道", "长桥街道", "松木街道", "龙泉街道", "石桥街道", "三塘街道"];
const COMMUNITIES: &[&str] = &["桂花", "梅园", "竹径", "荷塘", "枫林", "柳岸", "晴川", "南屏", "宝石", "玉泉", "青芝", "白沙"];
const SURNAMES: &[&str] =
    &["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马", "罗"];
const GIVEN: &[&str] =
    &["伟", "芳", "娜", "敏", "静", "强", "磊", "洋", "艳", "勇", "杰", "娟", "涛", "明", "霞", "平", "刚", "桂英", "建国", "子涵"];
const MOBILE: &[&str] = &["130", "135", "137", "138", "139", "150", "158", "159", "177", "186", "188", "199"];
const PLATE_LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// A grid.
pub struct Grid {
    /// Its code.
    pub code: String,
    name: String,
    community: String,
    community_name: String,
    subdistrict: String,
    subdistrict_name: String,
}

/// A household.
pub struct Household {
    code: String,
    /// Which grid.
    pub grid: usize,
    /// Its address.
    pub address: String,
    /// Who lives there.
    pub residents: Vec<Resident>,
    /// The family's car.
    pub plate: Option<String>,
}

/// A resident.
pub struct Resident {
    /// Name.
    pub name: String,
    /// Resident identity number.
    pub id: String,
    /// Children have none.
    pub phone: Option<String>,
}

/// The city.
pub struct City {
    /// Its grids.
    pub grids: Vec<Grid>,
    /// Its households.
    pub households: Vec<Household>,
}

/// The registry's three tables.
pub struct Tables {
    /// Grids.
    pub grids: String,
    /// Households.
    pub households: String,
    /// Residents.
    pub residents: String,
}

impl City {
    /// Makes it up.
    pub fn make_up(households: u32, seed: u64) -> City {
        let mut random = StdRng::seed_from_u64(seed);
        let count = (households / HOUSEHOLDS_PER_GRID).max(GRIDS_MIN);
        let grids: Vec<Grid> = (0..count).map(grid).collect();
        let households = (0..households).map(|number| household(number, &grids, &mut random)).collect();
        City { grids, households }
    }

    /// As an agency of the real world would hand it over.
    pub fn tables(&self) -> Tables {
        let mut tables = Tables {
            grids: "grid,name,community,community_name,subdistrict,division,workers\n".to_owned(),
            households: "household,grid,address,contact_name,contact_phone\n".to_owned(),
            residents: "resident,household,name,resident_id,phones,plates\n".to_owned(),
        };
        // Writing into a String cannot fail.
        for grid in &self.grids {
            let (name, community, subdistrict) = (&grid.name, &grid.community, &grid.subdistrict);
            let _ = writeln!(tables.grids, "{},{name},{community},{},{subdistrict},{DIVISION},2", grid.code, grid.community_name);
        }
        for home in &self.households {
            let contact = home.residents.first().map_or("", |resident| resident.name.as_str());
            let phone = home.residents.iter().find_map(|resident| resident.phone.as_deref()).unwrap_or_default();
            let _ = writeln!(tables.households, "{},{},{},{contact},{phone}", home.code, self.grids[home.grid].code, home.address);
            for (number, resident) in home.residents.iter().enumerate() {
                let phone = resident.phone.as_deref().unwrap_or_default();
                // The whole family drives the one car, whoever holds its papers; children are in it too.
                let plate = home.plate.as_deref().unwrap_or_default();
                let (name, id) = (&resident.name, &resident.id);
                let _ = writeln!(tables.residents, "{}-{number},{},{name},{id},{phone},{plate}", home.code, home.code);
            }
        }
        tables
    }
}

fn grid(number: u32) -> Grid {
    let community = number / GRIDS_PER_COMMUNITY;
    let subdistrict = community / COMMUNITIES_PER_SUBDISTRICT;
    let subdistrict_code = format!("{DIVISION}{:03}", subdistrict + 1);
    let community_code = format!("{subdistrict_code}{:03}", community % COMMUNITIES_PER_SUBDISTRICT + 1);
    let within = number % GRIDS_PER_COMMUNITY + 1;
    let community_name = format!("{}社区", pick_at(COMMUNITIES, community));
    Grid {
        code: format!("{community_code}-{within:02}"),
        name: format!("{community_name}第{within}网格"),
        community: community_code,
        community_name,
        subdistrict: subdistrict_code,
        subdistrict_name: pick_at(SUBDISTRICTS, subdistrict),
    }
}

/// The list's words over and over, numbered from the second round on.
fn pick_at(words: &[&str], at: u32) -> String {
    let (round, at) = (at as usize / words.len(), at as usize % words.len());
    if round == 0 { words[at].to_owned() } else { format!("{}{}", words[at], round + 1) }
}

fn household(number: u32, grids: &[Grid], random: &mut StdRng) -> Household {
    let at = number as usize % grids.len();
    let within = number as usize / grids.len();
    let grid = &grids[at];
    // Twelve flats of a staircase, three staircases of a building: no two households share an address.
    let (building, unit, floor, door) = (within / 36 + 1, within / 12 % 3 + 1, within / 2 % 6 + 1, within % 2 + 1);
    let part = grid.code.rsplit_once('-').map_or("01", |(_, part)| part);
    let address = format!("{}{}{part}区{building}幢{unit}单元{floor}0{door}室", grid.subdistrict_name, grid.community_name);
    let surname = pick(SURNAMES, random);
    let adults = random.random_range(1..=3);
    let children = if adults > 1 { random.random_range(0..=2) } else { 0 };
    let mut residents: Vec<Resident> = (0..adults).map(|_| resident(surname, 1945..2006, random)).collect();
    residents.extend((0..children).map(|_| resident(surname, 2010..2024, random)));
    for (order, resident) in residents.iter_mut().take(adults).enumerate() {
        let number = number as usize * 4 + order;
        resident.phone = Some(phone(number, random));
    }
    let plate = random.random_bool(0.7).then(|| plate(number as usize, random));
    Household { code: format!("h-{number:06}"), grid: at, address, residents, plate }
}

fn pick<'a>(words: &[&'a str], random: &mut StdRng) -> &'a str {
    words[random.random_range(0..words.len())]
}

fn resident(surname: &str, born: std::ops::Range<u32>, random: &mut StdRng) -> Resident {
    let name = format!("{surname}{}", pick(GIVEN, random));
    Resident { name, id: resident_id(born, random), phone: None }
}

/// 17 digits and the checksum of GB 11643 (MOD 11-2).
pub fn resident_id(born: std::ops::Range<u32>, random: &mut StdRng) -> String {
    let regions = ["330102", "330106", "110105", "310115", "440305", "420106", "510104", "320102"];
    let (year, month, day) = (random.random_range(born), random.random_range(1..=12), random.random_range(1..=28));
    let digits = format!("{}{year:04}{month:02}{day:02}{:03}", pick(&regions, random), random.random_range(1..1000));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", b"10X98765432"[(sum % 11) as usize] as char)
}

/// A mobile number that nobody else here has.
pub fn phone(number: usize, random: &mut StdRng) -> String {
    format!("{}{:08}", pick(MOBILE, random), number % 100_000_000)
}

/// A plate that nobody else here has: every third one of a new-energy car, with eight characters.
fn plate(number: usize, random: &mut StdRng) -> String {
    let letter = |at: usize| char::from(PLATE_LETTERS[at % PLATE_LETTERS.len()]);
    let (digits, first, second) = (number % 1000, letter(number / 1000), letter(number / 24_000));
    match random.random_range(0..3) {
        0 => format!("浙AD{first}{second}{digits:03}"),
        _ => format!("浙A{first}{second}{digits:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::IdentifierKind;
    use std::collections::HashSet;

    #[test]
    fn everybody_can_be_told_apart_and_has_valid_numbers() {
        let city = City::make_up(2000, 7);
        assert_eq!(city.households.len(), 2000);
        assert!(city.grids.len() >= 10);
        let (mut phones, mut plates, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
        for home in &city.households {
            assert!(addresses.insert((home.grid, &home.address)), "{}", home.address);
            assert!(!home.residents.is_empty());
            if let Some(plate) = &home.plate {
                assert!(plates.insert(plate), "{plate}");
            }
            for resident in &home.residents {
                events::normal::identifier(IdentifierKind::ResidentId, &resident.id).unwrap();
                if let Some(phone) = &resident.phone {
                    events::normal::identifier(IdentifierKind::Phone, phone).unwrap();
                    assert!(phones.insert(&phone[3..]), "{phone}");
                }
            }
        }
        assert!(plates.len() > 1000, "{}", plates.len());
    }

    #[test]
    fn a_seed_is_a_city() {
        let tables = |seed| City::make_up(100, seed).tables().residents;
        assert_eq!(tables(1), tables(1));
        assert_ne!(tables(1), tables(2));
        assert_eq!(City::make_up(100, 1).tables().households.lines().count(), 101);
    }
}
