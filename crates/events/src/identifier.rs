//! What an arrival is recognised by: an identifier's kind and its token.
//!
//! Must not know clear values, keys or how a token is made (`keys` makes it from a normal form, see
//! [`crate::normal`]). A token says nothing about a person without the mandate's key, so it may be printed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kinds of identifiers, strongest first: sorting ascending puts the one that identifies best in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IdentifierKind {
    /// Resident identity number (GB 11643).
    ResidentId,
    /// Passport of any country.
    Passport,
    /// Travel or residence permit, and any other official paper.
    Permit,
    /// Telephone number.
    Phone,
    /// Vehicle plate.
    Plate,
    /// A destination's address together with its grid.
    Address,
}

impl IdentifierKind {
    /// All kinds, strongest first.
    pub const ALL: [Self; 6] = [Self::ResidentId, Self::Passport, Self::Permit, Self::Phone, Self::Plate, Self::Address];

    /// The name in schemas and JSON, such as `RESIDENT_ID`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResidentId => "RESIDENT_ID",
            Self::Passport => "PASSPORT",
            Self::Permit => "PERMIT",
            Self::Phone => "PHONE",
            Self::Plate => "PLATE",
            Self::Address => "ADDRESS",
        }
    }

    /// Place in [`Self::ALL`], which is also the symbol's index in the Avro enum.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for IdentifierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no identifier kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier kind")]
pub struct UnknownKind;

impl FromStr for IdentifierKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// Keyed digest of one identifier in its normal form: the only shape in which it travels.
///
/// Written as 32 lower-case hexadecimal digits, and read in no other form, so that one token is one key of a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

/// A text that is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case hexadecimal digits")]
pub struct TokenError;

impl Token {
    /// The token's text, held without an allocation.
    pub fn with_hex<R>(self, use_text: impl FnOnce(&str) -> R) -> R {
        // Hexadecimal digits are always UTF-8, so the default never stands in.
        use_text(std::str::from_utf8(&crate::ids::hex_digits(self.0)).unwrap_or_default())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.pad(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(TokenError);
        }
        crate::ids::digits(text.as_bytes()).map(Self).ok_or(TokenError)
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;
        impl serde::de::Visitor<'_> for Hex {
            type Value = Token;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 lower-case hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Token, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Hex)
    }
}

/// One identifier of a person, a car or a destination. Ordered strongest first, then by token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind of identifier it was in clear.
    pub kind: IdentifierKind,
    /// Its token under the mandate's key for that kind.
    pub token: Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_sort_strongest_first_and_their_names_are_those_of_the_schema() {
        let mut kinds = [IdentifierKind::Address, IdentifierKind::Phone, IdentifierKind::ResidentId, IdentifierKind::Plate];
        kinds.sort_unstable();
        assert_eq!(kinds, [IdentifierKind::ResidentId, IdentifierKind::Phone, IdentifierKind::Plate, IdentifierKind::Address]);

        let names = ["RESIDENT_ID", "PASSPORT", "PERMIT", "PHONE", "PLATE", "ADDRESS"];
        for (index, (kind, name)) in IdentifierKind::ALL.into_iter().zip(names).enumerate() {
            assert_eq!((kind.as_str(), kind.index(), name.parse()), (name, index, Ok(kind)));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("resident_id".parse::<IdentifierKind>(), Err(UnknownKind));
    }

    #[test]
    fn a_token_has_one_text_and_no_other_is_read() {
        let text = "00ff10a0b1c2d3e4f5061728394a5b6c";
        let token: Token = text.parse().unwrap();
        assert_eq!(token.to_string(), text);
        assert_eq!(format!("{token:?}"), format!("Token({text})"));
        assert_eq!(serde_json::to_string(&token).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Token>(&format!("\"{text}\"")).unwrap(), token);
        for wrong in ["", "00ff", &text.to_uppercase(), &text.replace('f', "g"), &format!("{text}00"), &text.replacen('0', "é", 1)] {
            assert_eq!(wrong.parse::<Token>(), Err(TokenError), "{wrong}");
        }
    }

    #[test]
    fn an_identifier_is_one_json_object() {
        let identifier = Identifier { kind: IdentifierKind::Plate, token: Token([0xab; 16]) };
        let json = serde_json::to_string(&identifier).unwrap();
        assert_eq!(json, format!(r#"{{"kind":"PLATE","token":"{}"}}"#, "ab".repeat(16)));
        assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier);
    }
}
