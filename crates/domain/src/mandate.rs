//! What a mandate allows. No mandate, no sharing: whatever is not named is denied.

use events::{GridEntry, Mandate, MandateState, Millis};
use serde::Deserialize;

/// Whether it may be acted on at this moment.
pub fn in_force(mandate: &Mandate, at: Millis) -> bool {
    mandate.state == MandateState::Open && within_dates(mandate, at)
}

/// Whether the moment lies between its dates, and it has not been ended.
pub fn within_dates(mandate: &Mandate, at: Millis) -> bool {
    mandate.state != MandateState::Ended && mandate.valid_from <= at && at < mandate.valid_until
}

/// Whether it names the source.
pub fn names_source(mandate: &Mandate, source: &str) -> bool {
    mandate.sources.iter().any(|name| name == "*" || name == source)
}

/// Whether it allows a field to be shared.
pub fn allows_field(mandate: &Mandate, field: &str) -> bool {
    mandate.fields.iter().any(|name| name == "*" || name == field)
}

/// Whether a grid lies in its divisions.
pub fn covers_grid(mandate: &Mandate, grid: &GridEntry) -> bool {
    mandate.divisions.iter().any(|prefix| area_has_grid(prefix, grid))
}

/// Whether a grid's division, subdistrict or community begins with an area; `*` is everywhere.
pub fn area_has_grid(area: &str, grid: &GridEntry) -> bool {
    area == "*" || !area.is_empty() && [&grid.division, &grid.subdistrict, &grid.community].iter().any(|code| code.starts_with(area))
}

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
    #[serde(default)]
    signatures: Vec<String>,
}

/// Reads a mandate file.
pub fn from_toml(text: &str) -> Result<Mandate, MandateError> {
    let file: File = toml::from_str(text).map_err(|error| MandateError(error.to_string()))?;
    let moment = |key: &str, text: &str| {
        events::time::parse(text).ok_or_else(|| MandateError(format!("{key}: expected RFC 3339, such as 2026-01-01T00:00:00+08:00")))
    };
    let valid_id = !file.id.is_empty() && file.id.len() <= 64 && file.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !valid_id {
        return Err(MandateError("id: expected 1 to 64 letters, digits, '-', '_' or '.'".into()));
    }
    let (valid_from, valid_until) = (moment("valid_from", &file.valid_from)?, moment("valid_until", &file.valid_until)?);
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
    })
}
