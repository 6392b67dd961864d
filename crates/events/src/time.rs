//! Moments as text: RFC 3339 in JSON, milliseconds in Avro. Nothing here asks what time it is.

use crate::avro::Millis;
use jiff::Timestamp;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// RFC 3339 with any offset. `None` where it is not one.
pub fn parse(text: &str) -> Option<Millis> {
    text.trim().parse::<Timestamp>().ok().map(|at| Millis(at.as_millisecond()))
}

/// RFC 3339 in UTC, to the second where there is nothing below it.
pub fn format(at: Millis) -> String {
    Timestamp::from_millisecond(at.0).map(|at| at.to_string()).unwrap_or_else(|_| "out of range".into())
}

/// The calendar day in China (UTC+8), counted from 1970-01-01.
pub fn china_day(at: Millis) -> i64 {
    (at.0 + 8 * HOUR_MS).div_euclid(DAY_MS)
}
