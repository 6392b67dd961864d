//! Normal forms: one spelling for everything that means the same number, plate or address.
//!
//! Pure. Must not know keys or tokens, and never puts a value into an error: what is refused here may be a person's
//! number. An agency's event and a registry's row pass the same functions, else they would never meet.

use unicode_normalization::UnicodeNormalization;

use crate::identifier::IdentifierKind;

/// Longest normal form of an identifier, in characters. An address has its own limit.
pub const IDENTIFIER_CHARS_MAX: usize = 32;

/// Longest normal form of an address without its grid, in characters.
pub const ADDRESS_CHARS_MAX: usize = 512;

/// Stands between grid and address. The address never holds it, so that the two can't run into one another.
const GRID_SEPARATOR: char = '|';

/// Why a value has no normal form. The texts are reasons for machines; none of them holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NormalError {
    /// Nothing is left when white space, hyphens and dots are gone.
    #[error("empty")]
    Empty,
    /// Longer than [`IDENTIFIER_CHARS_MAX`] or [`ADDRESS_CHARS_MAX`].
    #[error("too_long")]
    TooLong,
    /// Holds a control character that is no white space.
    #[error("control_character")]
    ControlCharacter,
    /// An ID number that is neither 18 characters (17 digits and a digit or X) nor 15 digits.
    #[error("bad_form")]
    BadForm,
    /// An ID number whose date of birth is no day of the calendar, or outside the years 1800 to 2099.
    #[error("bad_date")]
    BadDate,
    /// An ID number whose last character isn't what GB 11643 computes.
    #[error("bad_checksum")]
    BadChecksum,
}

impl NormalError {
    /// The reason as one word for machines, such as `bad_checksum`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::ControlCharacter => "control_character",
            Self::BadForm => "bad_form",
            Self::BadDate => "bad_date",
            Self::BadChecksum => "bad_checksum",
        }
    }
}

/// The normal form of an identifier of `kind`.
///
/// # Errors
/// See [`NormalError`]. An address has no normal form without its grid ([`address`]): `BadForm`.
pub fn identifier(kind: IdentifierKind, raw: &str) -> Result<String, NormalError> {
    match kind {
        IdentifierKind::ResidentId => resident_id(raw),
        IdentifierKind::Phone => phone(raw),
        IdentifierKind::Passport | IdentifierKind::Permit | IdentifierKind::Plate => plain(raw),
        IdentifierKind::Address => Err(NormalError::BadForm),
    }
}

/// The normal form of a resident ID number: 18 characters, the last a digit or `X`.
///
/// Judged by form, date and checksum (GB 11643, MOD 11-2). The region code is never looked at: codes are renamed and
/// abandoned, and where somebody comes from is no business of ours. A number of 15 digits (before 1999, no checksum)
/// is upgraded: its year is of the twentieth century.
///
/// # Errors
/// [`NormalError`], any variant.
pub fn resident_id(raw: &str) -> Result<String, NormalError> {
    let form = plain(raw)?;
    let number = match form.len() {
        15 if all_digits(&form) => {
            let mut upgraded = format!("{}19{}", &form[..6], &form[6..]);
            upgraded.push(check_character(upgraded.as_bytes()));
            upgraded
        }
        // ASCII in front makes the cut at 17 a character boundary.
        18 if form.is_ascii() && all_digits(&form[..17]) && (form.ends_with('X') || all_digits(&form[17..])) => form,
        _ => return Err(NormalError::BadForm),
    };
    if !is_birthday(&number[6..14]) {
        return Err(NormalError::BadDate);
    }
    if !number.ends_with(check_character(&number.as_bytes()[..17])) {
        return Err(NormalError::BadChecksum);
    }
    Ok(number)
}

/// The normal form of a telephone number: `+86` or `0086` goes where an 11-digit mobile number follows; any other
/// number is kept as it is.
///
/// # Errors
/// `Empty`, `TooLong` or `ControlCharacter`.
pub fn phone(raw: &str) -> Result<String, NormalError> {
    let form = plain(raw)?;
    let national = form.strip_prefix("+86").or_else(|| form.strip_prefix("0086"));
    Ok(match national {
        Some(number) if is_mobile(number) => number.to_owned(),
        _ => form,
    })
}

/// The normal form of an address in a grid: the grid as it is, and the address without spaces or punctuation, digits
/// ASCII, letters upper case.
///
/// # Errors
/// `Empty` where there is no grid or nothing is left of the address, `TooLong` over [`ADDRESS_CHARS_MAX`].
pub fn address(grid: &str, raw: &str) -> Result<String, NormalError> {
    let letters = raw.nfkc().flat_map(char::to_uppercase).filter(|c| c.is_alphanumeric()).map(ascii_digit).nfkc();
    let mut form = String::with_capacity(grid.len() + 1 + raw.len());
    form.push_str(grid);
    form.push(GRID_SEPARATOR);
    let prefix_bytes = form.len();
    for (count, letter) in letters.enumerate() {
        if count == ADDRESS_CHARS_MAX {
            return Err(NormalError::TooLong);
        }
        form.push(letter);
    }
    if grid.is_empty() || form.len() == prefix_bytes {
        return Err(NormalError::Empty);
    }
    Ok(form)
}

/// The normal form of anything of which no rule is known (passports, permits, plates of every kind), and what the
/// other forms start from: NFKC; no white space, hyphens or middle dots; upper case.
fn plain(raw: &str) -> Result<String, NormalError> {
    if raw.is_ascii() {
        // NFKC changes nothing of it, and looking that up is most of the work; most numbers come like this.
        return judged(raw.chars().filter(|c| !is_passed_over(*c)).map(|c| c.to_ascii_uppercase()));
    }
    // Composed a second time: what stood apart may now stand together, and upper case may be longer.
    judged(raw.nfkc().filter(|c| !is_passed_over(*c)).flat_map(char::to_uppercase).nfkc())
}

/// The letters as text, if they are neither none nor too many, and none is a control character.
fn judged(letters: impl Iterator<Item = char>) -> Result<String, NormalError> {
    let mut form = String::with_capacity(IDENTIFIER_CHARS_MAX);
    for (count, letter) in letters.enumerate() {
        if letter.is_control() {
            return Err(NormalError::ControlCharacter);
        }
        if count == IDENTIFIER_CHARS_MAX {
            return Err(NormalError::TooLong);
        }
        form.push(letter);
    }
    if form.is_empty() { Err(NormalError::Empty) } else { Ok(form) }
}

/// White space, hyphens, middle dots, and what nobody can see: a number copied from a phone's contacts comes wrapped
/// in marks of writing direction, one from a web page with spaces of no width.
fn is_passed_over(c: char) -> bool {
    let hyphen = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{00ad}');
    let middle_dot = matches!(c, '\u{00b7}' | '\u{2022}' | '\u{2027}' | '\u{2219}' | '\u{22c5}' | '\u{2e31}' | '\u{30fb}');
    let invisible =
        matches!(c, '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_whitespace() || hyphen || middle_dot || invisible
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Mobile numbers have 11 digits and begin with 1; numbers of virtual operators with 92 or 98. No area code does.
fn is_mobile(number: &str) -> bool {
    number.len() == 11 && all_digits(number) && ["1", "92", "98"].iter().any(|start| number.starts_with(start))
}

/// Whether eight digits `YYYYMMDD` are a day on which the holder of a number can have been born.
fn is_birthday(digits: &str) -> bool {
    let day = || {
        let date = jiff::civil::Date::new(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?);
        date.ok()
    };
    day().is_some_and(|date| (1800..=2099).contains(&date.year()))
}

/// The 18th character to 17 digits: ISO 7064 MOD 11-2, as GB 11643 has it.
fn check_character(digits: &[u8]) -> char {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHARACTERS: &[u8; 11] = b"10X98765432";
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    char::from(CHARACTERS[sum as usize % 11])
}

/// Digits of the other scripts that addresses in China are written in; NFKC has done the full-width ones.
fn ascii_digit(c: char) -> char {
    // Arabic and its extended row (Uyghur), Tibetan, Mongolian, Dai (Dehong and Xishuangbanna).
    const ZEROS: [u32; 7] = [0x0660, 0x06f0, 0x0f20, 0x1810, 0x1946, 0x19d0, 0x1a80];
    let digit = ZEROS.into_iter().filter_map(|zero| u32::from(c).checked_sub(zero)).find(|digit| *digit < 10);
    digit.and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
}
