//! Canary identities: made-up people whose every value is of its kind's normal shape and begins with a marker that is found nowhere else,
//! so that whatever holds the value, in whatever coding, holds the marker.
//!
//! A list of all values in all codings would be some ten million patterns; the markers make a few hundred, and find more: also what was
//! cut off behind them. What they do not find is a value of which only the end got out.

use serde_json::{Value, json};

/// Something about a person, and how its marker is written.
pub struct Field {
    /// Its name in a report.
    pub name: &'static str,
    /// Ways in which the same is written: in its normal form, and as people write it.
    pub markers: &'static [&'static str],
    /// Few enough digits to be met by chance: only a run of exactly so many digits counts.
    pub digits: Option<usize>,
}

const fn field(name: &'static str, markers: &'static [&'static str]) -> Field {
    Field { name, markers, digits: None }
}

/// Every field, in the order of [`Canary`]'s.
pub const FIELDS: [Field; 12] = [
    field("resident_id", &["6590041871", "659004 1871", "６５９００４１８７１"]),
    field("passport", &["EKZQJX", "EKZ-QJX", "ekzqjx"]),
    field("permit", &["HWUQYV", "HWU QYV"]),
    Field { name: "phone", markers: &["193057"], digits: Some(11) },
    field("phone as written", &["193-057", "193 057", "１９３０５７"]),
    field("plate", &["藏ZDF", "藏Z·DF"]),
    field("name", &["闫翀焱"]),
    field("address", &["鹮岙衖"]),
    field("contact_name", &["仝翮甯"]),
    Field { name: "contact_phone", markers: &["192604"], digits: Some(11) },
    field("agency_id", &["BLQWXV"]),
    field("note", &["犇麤骉"]),
];

const LETTERS: &[u8; 34] = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// One of them. The same seed and number make the same; there are 100 000 of a seed.
pub struct Canary {
    /// Which, with the seed in it.
    pub number: u64,
    pub resident_id: String,
    pub passport: String,
    pub permit: String,
    pub phone: String,
    pub plate: String,
    pub name: String,
    pub address: String,
    pub contact_name: String,
    pub contact_phone: String,
    /// What the agency calls the event: every other one by the person's own number.
    pub agency_id: String,
    pub note: String,
}

/// People of one household.
pub const HOUSEHOLD: u64 = 4;
/// As many as there can be.
pub const COUNT_MAX: u64 = 100_000;

/// The check character of 17 digits (GB 11643).
fn check(digits: &str) -> char {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    char::from(b"10X98765432"[sum as usize % 11])
}

impl Canary {
    /// The one of this number.
    pub fn new(seed: u64, index: u64) -> Canary {
        // Another seed begins elsewhere in the same circle.
        let number = (index + seed.wrapping_mul(7919)) % COUNT_MAX;
        let (sequence, rest) = (number % 1000, number / 1000);
        let digits = format!("6590041871{:02}{:02}{sequence:03}", 1 + rest / 28 % 12, 1 + rest % 28);
        let resident_id = format!("{digits}{}", check(&digits));
        let plate: String = (0..4).rev().map(|place| char::from(LETTERS[(number / 34_u64.pow(place) % 34) as usize])).collect();
        let letters: String = (0..3).map(|place| char::from_u32(0x4e10 + (number >> (6 * place) & 63) as u32).unwrap_or('一')).collect();
        Canary {
            number,
            passport: format!("EKZQJX{number:05}"),
            permit: format!("HWUQYV{number:05}"),
            phone: format!("193057{number:05}"),
            plate: format!("藏ZDF{plate}"),
            name: format!("闫翀焱{letters}"),
            address: format!("鹮岙衖{number}号3幢2单元201室"),
            contact_name: format!("仝翮甯{letters}"),
            contact_phone: format!("192604{number:05}"),
            agency_id: if index.is_multiple_of(2) { resident_id.clone() } else { format!("BLQWXV{number:05}") },
            note: format!("犇麤骉 {letters} 电话 193057{number:05}"),
            resident_id,
        }
    }

    /// The household's code.
    pub fn household(&self) -> String {
        format!("H{}", self.number / HOUSEHOLD)
    }

    /// The grid's code.
    pub fn grid(&self) -> &'static str {
        if (self.number / HOUSEHOLD).is_multiple_of(2) { "g1" } else { "g2" }
    }

    fn division(&self) -> &'static str {
        if self.grid() == "g1" { "330106" } else { "330107" }
    }

    /// The resident ID number as this person writes it.
    pub fn resident_id_written(&self) -> String {
        match self.number % 4 {
            0 => self.resident_id.clone(),
            1 => format!("{} {} {}", &self.resident_id[..6], &self.resident_id[6..14], &self.resident_id[14..]),
            2 => self.resident_id.chars().map(|c| c.to_digit(10).and_then(|d| char::from_u32(0xff10 + d)).unwrap_or(c)).collect(),
            _ => self.resident_id.to_lowercase(),
        }
    }

    /// The telephone number as this person writes it.
    pub fn phone_written(&self) -> String {
        match self.number % 4 {
            0 => self.phone.clone(),
            1 => format!("+86 {}-{}-{}", &self.phone[..3], &self.phone[3..7], &self.phone[7..]),
            2 => format!("{} {} {}", &self.phone[..3], &self.phone[3..7], &self.phone[7..]),
            _ => format!("+86{}", self.phone),
        }
    }

    /// A checkpoint's record of the passage of this person; `id` makes it another passage.
    pub fn checkpoint(&self, id: &str, observed_at: &str) -> Value {
        let passport = self.number.is_multiple_of(3).then_some(&self.passport);
        let permit = self.number.is_multiple_of(5).then(|| self.permit.to_lowercase());
        let destination = json!({"division": self.division(), "grid": self.grid(), "address": self.address});
        json!({
            "id": id, "observed_at": observed_at, "checkpoint": "G60-118", "direction": "in", "name": self.name, "note": self.note,
            "resident_id": self.resident_id_written(), "phone": self.phone_written(), "plate": self.plate, "passport": passport,
            "permit": permit, "origin_division": "659004", "destination": destination, "party_size": 2,
        })
    }

    /// A toll station's.
    pub fn highway(&self, id: &str, observed_at: &str) -> Value {
        json!({"id": id, "observed_at": observed_at, "station": "G60-K12", "direction": "in", "plate": self.plate.replace("藏Z", "藏Z·"), "driver": self.name})
    }

    /// A telecom operator's.
    pub fn telecom(&self, id: &str, observed_at: &str) -> Value {
        json!({
            "id": id, "observed_at": observed_at, "phone": self.phone_written(), "from_division": "6590", "to_division": self.division(),
            "dwell_minutes": 240,
        })
    }
}

/// The register as three CSV files. One row of so many is bad, in one way or another, and must be rejected.
pub fn register(people: &[Canary]) -> [(&'static str, String); 3] {
    const BAD_OF: u64 = 50;
    let mut grids = String::from("grid,name,community,community_name,subdistrict,division,workers\n");
    for (grid, division) in [("g1", "330106"), ("g2", "330107")] {
        grids += &format!("{grid},一号网格,{division}001001,社区,{division}001,{division},1\n");
    }
    let mut households = String::from("household,grid,address,contact_name,contact_phone\n");
    let mut residents = String::from("resident,household,name,resident_id,phones,plates,passports,permits\n");
    for one in people {
        let Canary { number, name, address, contact_name, contact_phone, resident_id, plate, passport, permit, .. } = one;
        let (household, grid, phone) = (one.household(), one.grid(), one.phone_written());
        if number.is_multiple_of(HOUSEHOLD) {
            households += &format!("{household},{grid},{address},{contact_name},{contact_phone}\n");
        }
        residents += &format!("R{number},{household},{name},{resident_id},{phone};{},{plate},{passport},{permit}\n", one.phone);
        if !number.is_multiple_of(BAD_OF) {
            continue;
        }
        // Bad ones, each with everything that is known of the person in it.
        match number / BAD_OF % 8 {
            0 => residents += &format!("{resident_id},{household},{name},{digits}?,{phone},{plate},,\n", digits = &resident_id[..17]),
            1 => residents += &format!("{name},no-such-{phone},{name},{resident_id},{phone},{plate},,\n"),
            2 => residents += &format!("R,{household},{name},{resident_id};{resident_id},{phone},{plate}\n"),
            3 => households += &format!("{resident_id},{grid},{address},{contact_name},{contact_phone}\n"),
            4 => households += &format!("{phone},no-such-{plate},{address},{contact_name},{contact_phone}\n"),
            5 => households += &format!("{contact_name}家,{grid},{address},{contact_name},{contact_phone}\n"),
            6 => households += &format!("{address},{grid},{address},{contact_name},{contact_phone}\n"),
            _ => households += &format!("{household},{grid},{},{contact_name},{contact_phone}\n", address.repeat(200)),
        }
    }
    [("grids.csv", grids), ("households.csv", households), ("residents.csv", residents)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{IdentifierKind, normal};
    use std::collections::BTreeSet;

    #[test]
    fn every_value_has_a_normal_form_and_its_marker_and_no_two_people_share_one() {
        let mut seen = BTreeSet::new();
        for index in (0..2_000).chain(COUNT_MAX - 2_000..COUNT_MAX) {
            let one = Canary::new(3, index);
            let form = |kind, raw: &str| normal::identifier(kind, raw).unwrap();
            assert_eq!(form(IdentifierKind::ResidentId, &one.resident_id_written()), one.resident_id);
            assert_eq!(form(IdentifierKind::Phone, &one.phone_written()), one.phone);
            assert_eq!(form(IdentifierKind::Plate, &one.plate), one.plate);
            let values = [&one.resident_id, &one.passport, &one.permit, &one.phone, &one.plate, &one.name, &one.address, &one.contact_name];
            for value in values.into_iter().chain([&one.contact_phone, &one.note]) {
                assert!(FIELDS.iter().any(|field| field.markers.iter().any(|marker| value.starts_with(marker))), "{value}");
            }
            for value in values {
                assert!(seen.insert(value.clone()), "{value}");
            }
        }
    }
}
