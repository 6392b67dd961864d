//! Where arrivals come in: the gateway (HTTP), sources that fetch by themselves, and the registry's import.
//!
//! Identifiers come in clear and leave as tokens; the clear value goes no further than `intake`. Must not know what becomes of an event
//! (that is the router's) nor where topics live (that is the log's).

pub mod gateway;
pub mod intake;
pub mod registry;
pub mod sources;

mod appender;
mod now;
mod rejects;
mod replay;

pub use appender::Connect;
pub use now::now_ms;
