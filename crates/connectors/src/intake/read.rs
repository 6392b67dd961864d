//! Typed reading of fields: every value is bounded, in NFC, without control characters, or refused by its field's name.

use super::fields::{Field, Fields};
use super::refusal::{Refusal, RefusalCode};
use events::{Direction, Millis, normal};
use unicode_normalization::UnicodeNormalization;

/// Longest id of an agency, in characters.
pub const ID_CHARS_MAX: usize = 128;
/// Longest code of a checkpoint, station, grid or class, in characters.
pub const CODE_CHARS_MAX: usize = 64;
/// Longest address as it was written, in characters.
pub const ADDRESS_CHARS_MAX: usize = 1_024;
/// Longest division code, in digits.
const DIVISION_DIGITS_MAX: usize = 12;

/// Text in NFC without white space around it; absent where nothing is left.
pub fn text(field: Option<&Field>, label: &'static str, chars_max: usize) -> Result<Option<String>, Refusal> {
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Text(raw)) => bounded_text(raw, label, chars_max),
        Some(_) => Err(Refusal::bad_value(label, "expected text")),
    }
}

/// The same of a plain text.
pub fn bounded_text(raw: &str, label: &'static str, chars_max: usize) -> Result<Option<String>, Refusal> {
    let mut kept = String::with_capacity(raw.len().min(4 * chars_max));
    for (count, letter) in raw.trim().nfc().enumerate() {
        if letter.is_control() {
            return Err(Refusal::bad_value(label, "holds a control character"));
        }
        if count == chars_max {
            return Err(Refusal::at(RefusalCode::BadValue, label, format!("longer than {chars_max} characters")));
        }
        kept.push(letter);
    }
    Ok((!kept.is_empty()).then_some(kept))
}

/// Text that people wrote, such as an address: a line end or tab in it is a space.
pub fn free_text(raw: &str, label: &'static str, chars_max: usize) -> Result<Option<String>, Refusal> {
    bounded_text(&raw.replace(['\t', '\n', '\r'], " "), label, chars_max)
}

/// Text that must be there.
pub fn required(fields: &Fields, name: &'static str, chars_max: usize) -> Result<String, Refusal> {
    text(fields.get(name), name, chars_max)?.ok_or_else(|| Refusal::missing(name))
}

/// A code of a place or a class, which travels in clear: never a person's number or a plate that somebody put there.
pub fn code(field: Option<&Field>, label: &'static str) -> Result<Option<String>, Refusal> {
    text(field, label, CODE_CHARS_MAX)?.map(|code| impersonal(code, label)).transpose()
}

/// A code that must be there.
pub fn required_code(fields: &Fields, name: &'static str) -> Result<String, Refusal> {
    code(fields.get(name), name)?.ok_or_else(|| Refusal::missing(name))
}

/// The code, unless it looks like an ID number (whose date and checksum no code meets by chance), a mobile number or a plate. A name
/// cannot be told from a place's.
pub fn impersonal(code: String, label: &'static str) -> Result<String, Refusal> {
    const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
    let is_digit = |c: char| c.is_ascii_digit();
    let letters: String = code.nfkc().filter(|c| c.is_alphanumeric()).collect();
    let number = letters.strip_prefix("0086").or_else(|| letters.strip_prefix("86")).unwrap_or(&letters);
    let mobile = number.len() == 11 && number.chars().all(is_digit) && number.starts_with('1') && !number[1..].starts_with(['0', '1', '2']);
    let resident = letters.len() == 18 && normal::resident_id(&letters).is_ok();
    let mut rest = letters.chars();
    let plate = rest.next().is_some_and(|first| PROVINCES.contains(first))
        && rest.next().is_some_and(|second| second.is_ascii_alphabetic())
        && matches!(letters.chars().count(), 7 | 8)
        && rest.all(|c| c.is_ascii_alphanumeric());
    match resident || mobile || plate {
        true => Err(Refusal::bad_value(label, "looks like the number of a person or a car: expected a code")),
        false => Ok(code),
    }
}

/// A division code of 1 to 12 digits.
pub fn division(field: Option<&Field>, label: &'static str) -> Result<Option<String>, Refusal> {
    let Some(code) = code(field, label)? else { return Ok(None) };
    if code.len() > DIVISION_DIGITS_MAX || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::bad_value(label, "expected 1 to 12 digits"));
    }
    Ok(Some(code))
}

/// A whole number of this range.
pub fn whole(field: Option<&Field>, label: &'static str, range: std::ops::RangeInclusive<i32>) -> Result<Option<i32>, Refusal> {
    let out_of_range =
        || Refusal::at(RefusalCode::BadValue, label, format!("expected a whole number from {} to {}", range.start(), range.end()));
    match field {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Whole(number)) => {
            let number = i32::try_from(*number).ok().filter(|number| range.contains(number));
            number.map(Some).ok_or_else(out_of_range)
        }
        Some(_) => Err(out_of_range()),
    }
}

/// In or out, in either case.
pub fn direction(fields: &Fields) -> Result<Direction, Refusal> {
    let text = required(fields, "direction", CODE_CHARS_MAX)?;
    Direction::parse(&text).ok_or_else(|| Refusal::bad_value("direction", "expected in or out"))
}

/// When it was seen.
pub fn observed_at(fields: &Fields) -> Result<Millis, Refusal> {
    let bad = || Refusal::at(RefusalCode::BadTime, "observed_at", "expected RFC 3339 with an offset, such as 2026-01-03T08:14:00+08:00");
    match fields.get("observed_at") {
        None => Err(Refusal::missing("observed_at")),
        Some(Field::Text(text)) => events::time::parse(text).ok_or_else(bad),
        Some(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_number_is_no_code_and_codes_are_none_of_these() {
        for number in [
            "11010519491231002X",
            "11010519491231002x",
            "110105 1949-1231 002X",
            "13800138000",
            "+86 138-0013-8000",
            "浙A12345",
            "藏Z·D12345",
        ] {
            assert!(impersonal(number.to_owned(), "checkpoint").is_err(), "{number}");
        }
        let codes = [
            "G60-118",
            "330106001001-03",
            "330106001001",
            "gate-1",
            "新华书店站",
            "浙江省界",
            "330106001001000123",
            "18位",
            "12345678901",
            "11010519491231003X",
        ];
        for code in codes {
            assert_eq!(impersonal(code.to_owned(), "checkpoint").as_deref(), Ok(code));
        }
    }
}
