//! What a mandate allows. No mandate, no sharing: whatever is not named is denied. Who must have signed it stands in `mandate/signing.rs`,
//! which records of the topic are believed in `mandate/book.rs`, what a renewal may be in `mandate/renewal.rs`.

mod book;
mod file;
mod renewal;
mod signing;

pub use book::{Book, Latest};
pub use file::{MandateError, from_toml, is_name};
pub use renewal::{Renewal, renewal};
pub use signing::{Refused, SIGNATURES_NEEDED, SignerKey, Signers, SignersError, digest, entry_toml};

use events::{GridEntry, Mandate, MandateState, Millis, time::DAY_MS};

/// The most days that a mandate is in force; a longer time needs another, signed version. A demonstration may be longer.
pub const DAYS_MAX: i64 = 30;

/// Days that it is in force, a part of one counted as a whole.
pub fn days(mandate: &Mandate) -> i64 {
    mandate.valid_until.0.saturating_sub(mandate.valid_from.0).saturating_add(DAY_MS - 1) / DAY_MS
}

/// Whether a mandate's time is no longer than the law allows.
fn is_short_enough(mandate: &Mandate) -> bool {
    mandate.demonstration || mandate.valid_until.0.saturating_sub(mandate.valid_from.0) <= DAYS_MAX * DAY_MS
}

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
