//! A mandate's file: TOML, without tables. What it says is signed in a canonical form, so that its layout and comments mean nothing.

use events::{Mandate, MandateState};
use serde::Deserialize;

/// A mandate file that cannot be read. Names key and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("mandate: {0}")]
pub struct MandateError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    version: i64,
    title: String,
    legal_basis: String,
    issued_by: String,
    purposes: Vec<String>,
    sources: Vec<String>,
    fields: Vec<String>,
    divisions: Vec<String>,
    max_households: i64,
    valid_from: String,
    valid_until: String,
    #[serde(default)]
    demonstration: bool,
    parent: Option<String>,
    #[serde(default)]
    signatures: Vec<String>,
}

/// Whether a text can be the name of a mandate or a signer.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Reads a mandate file.
pub fn from_toml(text: &str) -> Result<Mandate, MandateError> {
    let file: File = toml::from_str(text).map_err(|error| MandateError(error.to_string()))?;
    let moment = |key: &str, text: &str| {
        events::time::parse(text).ok_or_else(|| MandateError(format!("{key}: expected RFC 3339, such as 2026-01-01T00:00:00+08:00")))
    };
    for (key, name) in [("id", Some(&file.id)), ("parent", file.parent.as_ref())] {
        if name.is_some_and(|name| !is_name(name)) {
            return Err(MandateError(format!("{key}: expected 1 to 64 letters, digits, '-', '_' or '.'")));
        }
    }
    let (valid_from, valid_until) = (moment("valid_from", &file.valid_from)?, moment("valid_until", &file.valid_until)?);
    if file.version < 1 {
        return Err(MandateError("version: expected 1 or more; a renewal has a higher one than the mandate that it renews".into()));
    }
    if file.max_households < 1 {
        return Err(MandateError("max_households: expected 1 or more".into()));
    }
    if valid_from >= valid_until {
        return Err(MandateError("valid_until: expected a moment after valid_from".into()));
    }
    for (key, list) in [("purposes", &file.purposes), ("sources", &file.sources), ("fields", &file.fields), ("divisions", &file.divisions)]
    {
        if list.is_empty() || list.iter().any(String::is_empty) {
            return Err(MandateError(format!("{key}: expected at least one, none empty")));
        }
    }
    Ok(Mandate {
        id: file.id,
        version: file.version,
        title: file.title,
        legal_basis: file.legal_basis,
        issued_by: file.issued_by,
        purposes: file.purposes,
        sources: file.sources,
        fields: file.fields,
        divisions: file.divisions,
        max_households: file.max_households,
        valid_from,
        valid_until,
        state: MandateState::Open,
        demonstration: file.demonstration,
        signatures: file.signatures,
        parent: file.parent,
        acted_by: None,
        acted_at: None,
        keys_destroyed_at: None,
    })
}
