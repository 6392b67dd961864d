//! What the gateway and every source have in common: one record of an agency becomes one append to the log, or a refusal.
//!
//! Fields → mandate → normal forms → tokens → ids → sealed address → Avro. Pure but for the randomness of sealing: no I/O, no clock.
//! Must not know HTTP or files, and never puts a value into a refusal.

mod build;
mod content;
mod fields;
mod identify;
mod read;
mod refusal;
mod scope;

pub use build::{Prepared, prepare};
pub use fields::{Field, Fields, known_name};
pub use identify::{address, field_of, identifier, token};
pub use read::{ADDRESS_CHARS_MAX, CODE_CHARS_MAX, ID_CHARS_MAX, bounded_text, free_text, impersonal, text};
pub use refusal::{NotTaken, Refusal, RefusalCode};
pub use scope::{choose, in_force, touches_division};

use domain::Clock;
use events::{Codec, Mandate, Millis, SourceKind, normal};
use keys::Keyring;
use std::sync::Arc;

/// Which times are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// By what a mandate's dates are judged.
    pub clock: Clock,
    /// Older events are `too_old`; `None`: no limit.
    pub max_age_ms: Option<i64>,
    /// Events further ahead are `in_future`; `None`: no limit.
    pub max_future_ms: Option<i64>,
}

/// What all records of one request or file have in common.
pub struct Context<'a> {
    /// All mandates that are known, in force or not.
    pub mandates: &'a [Arc<Mandate>],
    /// The mandates' keys.
    pub keyring: &'a Keyring,
    /// Writes values.
    pub codec: &'a Codec,
    /// Which times are taken.
    pub rules: Rules,
    /// Partitions of the event topics.
    pub partitions: i32,
    /// The source's name.
    pub source: &'a str,
    /// The kind of event.
    pub kind: SourceKind,
    /// When it was received.
    pub received_at: Millis,
    /// The same, or later where this process has already judged mandates by a later time: its clock went back.
    pub judged_at: Millis,
    /// W3C trace context, where the sender gave one.
    pub traceparent: Option<&'a str>,
    /// The mandate where a record names none itself.
    pub default_mandate: Option<&'a str>,
}

/// A trace context as W3C has it, and nothing else: a header must not carry what somebody hides in it. Its ids are drawn at random: where
/// digits in one make somebody's number, filled up or not, it goes no further. By chance that costs one trace of some hundreds.
pub fn traceparent(text: &str) -> Option<&str> {
    let mut parts = text.split('-').map(|part| (part.len(), part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))));
    let lengths = [2, 32, 16, 2];
    let fits = lengths.iter().all(|&length| parts.next() == Some((length, true))) && parts.next().is_none();
    (fits && !text.split('-').any(holds_a_number)).then_some(text)
}

/// Whether there is a mobile number in it, or an ID number with or without its last character, which may be none of a trace's letters.
fn holds_a_number(id: &str) -> bool {
    let is_resident = |digits: &str| "0123456789X".chars().any(|last| normal::resident_id(&format!("{digits}{last}")).is_ok());
    id.split(|c: char| !c.is_ascii_digit()).any(|run| {
        let number = run.trim_start_matches('0');
        impersonal(number.to_owned(), "traceparent").is_err() || (17..=run.len()).any(|end| is_resident(&run[end - 17..end]))
    })
}

/// One JSON object as fields. The error says nothing about the bytes.
pub fn parse_object(bytes: &[u8]) -> Result<Fields, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| Refusal::whole(RefusalCode::BadValue, "not a JSON object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_holds_somebodys_number_goes_no_further() {
        let plain = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(plain), Some(plain));
        for (trace, span) in [
            ("00000000000000110105194912310021", "b7ad6b7169203331"),
            ("ffffff11010519491231002fffffffff", "b7ad6b7169203331"),
            ("0af7651916cd43dd8448eb211c80319c", "0000013800138000"),
            ("0af7651916cd43dd8448eb211c80319c", "fffff13800138000"),
        ] {
            assert_eq!(traceparent(&format!("00-{trace}-{span}-01")), None, "{trace} {span}");
        }
        for other in
            ["", "某某", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
        {
            assert_eq!(traceparent(other), None, "{other}");
        }
    }
}
