//! The made-up city's people in clear: of each name (`p1` a person, `f1` a phone, `c1` a car, `x1` a passport, `a1` an address) a value that
//! has its kind's normal shape, with what tells where somebody comes from chosen apart from what tells people apart.

use super::{Planted, choose, of_name};
use events::IdentifierKind;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;

/// Where everybody of one side comes from; each person draws from its lists.
pub struct Clear {
    regions: [&'static str; 3],
    provinces: [&'static str; 3],
    segments: [&'static str; 3],
    countries: [&'static str; 3],
    families: [&'static str; 3],
    /// Years of birth begin here, and men and women change places with this.
    born: u64,
}

const REGIONS: &[&str] = &["420106", "420100", "510104", "659004", "659001", "540102", "110105", "310101", "150102", "710101"];
const PROVINCES: &[&str] = &["鄂A", "鄂K", "川A", "新Q", "藏B", "京A", "沪C", "蒙A", "贵J", "琼E"];
const SEGMENTS: &[&str] = &["170", "171", "192", "193", "150", "186", "199", "147", "133", "166"];
const COUNTRIES: &[&str] = &["K", "G", "PA", "X", "N", "E", "LK", "R"];
const FAMILIES: &[&str] = &["买买提", "扎西", "欧阳", "诸葛", "孟和", "金", "阮", "阿依古丽"];

impl Clear {
    /// Everybody from here.
    pub fn local() -> Clear {
        Clear {
            regions: ["330106"; 3], provinces: ["浙A"; 3], segments: ["138"; 3], countries: ["E"; 3], families: ["王"; 3], born: 1980
        }
    }

    /// Everybody from elsewhere.
    pub fn drawn(random: &mut SmallRng) -> Clear {
        let mut three = |of: &'static [&'static str]| std::array::from_fn(|_| choose(random, of));
        let (regions, provinces, segments) = (three(REGIONS), three(PROVINCES), three(SEGMENTS));
        let (countries, families) = (three(COUNTRIES), three(FAMILIES));
        Clear { regions, provinces, segments, countries, families, born: random.random_range(1901..2015) }
    }

    /// The kind and clear value of a name. Different names have different values, on each side.
    pub fn value(&self, name: &str) -> (IdentifierKind, String) {
        let (letter, digits) = name.split_at(1);
        let number: u64 = digits.parse().unwrap_or_default();
        let which = |salt| of_name(name, salt, 3) as usize;
        match letter {
            "p" => {
                let region = self.regions[which("region")];
                let (month, day) = (1 + of_name(name, "month", 12), 1 + of_name(name, "day", 28));
                // The number tells people apart; what is left of it goes into the year.
                let year = self.born + number / 1000 % 80;
                let sequence = (number % 1000) ^ u64::from(self.born.is_multiple_of(2));
                let digits = format!("{region}{year}{month:02}{day:02}{sequence:03}");
                let sum: u32 =
                    digits.bytes().zip([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]).map(|(d, w)| u32::from(d - b'0') * w).sum();
                (IdentifierKind::ResidentId, format!("{digits}{}", char::from(b"10X98765432"[sum as usize % 11])))
            }
            "x" => (IdentifierKind::Passport, format!("{}{number:08}", self.countries[which("country")])),
            "f" => (IdentifierKind::Phone, format!("{}{number:08}", self.segments[which("segment")])),
            "c" => (IdentifierKind::Plate, format!("{}{number:05}", self.provinces[which("province")])),
            _ => (IdentifierKind::Address, format!("文三路{number}号")),
        }
    }

    /// The name of whoever is on this record.
    pub fn name(&self, id: &str) -> String {
        format!("{}{}", self.families[of_name(id, "family", 3) as usize], of_name(id, "given", 1000))
    }

    /// What a rule that must not be makes of it: an origin in a zone or in none, by where the people come from.
    pub fn seen_by(&self, planted: Planted, clear: &BTreeMap<IdentifierKind, String>) -> Option<String> {
        let starts = |kind, count| clear.get(&kind).map(|raw| raw.chars().take(count).collect::<String>());
        let elsewhere = |is: bool| Some(if is { "420106" } else { "3301" }.to_owned());
        match planted {
            Planted::IdRegion => starts(IdentifierKind::ResidentId, 6),
            Planted::PlateProvince => starts(IdentifierKind::Plate, 1).and_then(|province| elsewhere(province != "浙")),
            Planted::PhoneSegment => starts(IdentifierKind::Phone, 3).and_then(|segment| elsewhere(segment != "138")),
            Planted::Name => elsewhere(self.families[0] != "王"),
        }
    }
}

/// Every name that the made-up city may give.
pub fn names() -> impl Iterator<Item = String> {
    let residents = (1..=400).flat_map(|number| ["p", "x", "f", "c", "a"].map(|letter| format!("{letter}{number}")));
    let strangers = (1..=60).flat_map(|group| {
        let people = (0..4).flat_map(move |number| ["p", "f"].map(|letter| format!("{letter}9{group:03}{number}")));
        people.chain(["c", "a"].map(|letter| format!("{letter}9{group:03}")))
    });
    residents.chain(strangers)
}
