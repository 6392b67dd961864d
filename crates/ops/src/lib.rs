//! For ops teams: what flows, what waits, what became of one event, and whether the books close. One file for each command; each is a
//! function over the log that returns a report with a JSON form and a text form. The listener serves the same reports.
//!
//! No key is opened here and none is asked for: identifiers are tokens, what is sealed stays sealed.

mod decode;
pub mod dlq;
pub mod doctor;
pub mod gauges;
pub mod http;
pub mod lag;
pub mod ledger;
pub mod metrics;
mod scan;
pub mod tail;
pub mod topics;
pub mod trace;

pub use http::{Config, run};

/// A language that a report is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Simplified Chinese.
    Chinese,
    /// English.
    English,
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The log could not answer.
    #[error(transparent)]
    Log(#[from] eventlog::LogError),
    /// A topic that is not there: its name, where it is one of ours.
    #[error("there is no topic {0}; `oneknock ops topics` lists them")]
    NoTopic(&'static str),
    /// An argument that means nothing here.
    #[error("{argument}: expected {expected}")]
    Argument {
        /// Its name.
        argument: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Nothing is known of the event.
    #[error("event {0} is in no topic, and no decision speaks of it")]
    NoEvent(events::EventId),
}

/// Milliseconds since 1970: the one place of this crate that asks what time it is.
fn now() -> events::Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    events::Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
