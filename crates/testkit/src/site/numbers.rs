//! Made-up identifiers that pass every check of their kind: the same number makes the same identifier, another one another.

/// A number for a name: different names practically never share one.
pub fn of_name(name: &str) -> u64 {
    events::ids::digest64(&[name.as_bytes()]).unsigned_abs()
}

/// A resident ID number (GB 11643): form, date of birth and checksum are right; the person is nobody.
pub fn resident_id(number: u64) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let (sequence, rest) = (number % 1000, number / 1000);
    let (day, rest) = (1 + rest % 28, rest / 28);
    let (month, rest) = (1 + rest % 12, rest / 12);
    let (year, rest) = (1940 + rest % 60, rest / 60);
    let digits = format!("{:06}{year}{month:02}{day:02}{sequence:03}", 110_000 + rest % 700_000);
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][sum as usize % 11])
}

/// A mobile number: one of a thousand million.
pub fn phone(number: u64) -> String {
    format!("13{:09}", number % 1_000_000_000)
}

/// A blue plate: one of 45 million.
pub fn plate(number: u64) -> String {
    const LETTERS: &[u8; 34] = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let tail = (0..5).rev().map(|place| char::from(LETTERS[(number / 34_u64.pow(place) % 34) as usize]));
    std::iter::once('浙').chain(std::iter::once('A')).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn neighbours_differ_and_every_number_has_its_normal_form() {
        let mut seen = BTreeSet::new();
        for number in (0..5000).chain([of_name("p1"), of_name("p2"), u64::MAX]) {
            let (id, phone, plate) = (resident_id(number), phone(number), plate(number));
            assert_eq!(events::normal::resident_id(&id).as_ref(), Ok(&id));
            assert_eq!(events::normal::phone(&phone).as_ref(), Ok(&phone));
            assert_eq!(plate.chars().count(), 7);
            assert!(seen.insert(id) && seen.insert(phone) && seen.insert(plate), "{number}");
        }
    }
}
