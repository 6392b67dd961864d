//! figment's errors in our words: file, key, what was expected. A value is never quoted, since it may be a password.

use crate::failure::Failure;
use figment::error::{Actual, Error, Kind};
use std::path::Path;

/// What to tell.
pub fn of(path: &Path, error: &Error) -> Failure {
    let mut key = error.path.clone();
    let what = match &error.kind {
        Kind::UnknownField(field, expected) => {
            // The path may or may not end with the field itself.
            if key.last() != Some(field) {
                key.push(field.clone());
            }
            format!("unknown key; expected one of {}", expected.join(", "))
        }
        Kind::MissingField(field) => {
            key.push(field.to_string());
            "missing".to_owned()
        }
        Kind::UnknownVariant(_, expected) => format!("expected {}", quoted(expected)),
        Kind::InvalidType(found, expected) => format!("expected {}, found {}", plain(expected), kind_of(found)),
        Kind::InvalidValue(_, expected) => format!("expected {}", plain(expected)),
        Kind::InvalidLength(_, expected) => format!("expected {}", plain(expected)),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "expected a smaller number".to_owned(),
        Kind::DuplicateField(field) => format!("{field} stands there twice"),
        Kind::Unsupported(found) | Kind::UnsupportedKey(found, _) => format!("expected another type than {}", kind_of(found)),
        Kind::Message(message) => message.trim().to_owned(),
    };
    let key = key.join(".");
    let from_environment = error.metadata.as_ref().is_some_and(|metadata| metadata.name.contains("environment"));
    let variable = match from_environment {
        true => format!(" (from the variable ONEKNOCK_{})", key.to_uppercase().replace('.', "_")),
        false => String::new(),
    };
    let separator = if key.is_empty() { "" } else { ": " };
    Failure::file(path, format!("{key}{variable}{separator}{what}"))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}

/// Rust's words for types in plain ones.
fn plain(expected: &str) -> String {
    match expected {
        "i64" | "i32" | "u32" | "u64" | "u16" => "an integer".to_owned(),
        text if text.starts_with("struct ") || text.contains("map") => "a table".to_owned(),
        text if text.starts_with("enum ") || text.contains("string or map") => "a string".to_owned(),
        text => text.to_owned(),
    }
}

fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}
