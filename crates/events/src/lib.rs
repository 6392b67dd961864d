//! The vocabulary of OneKnock: records, their Avro form, ids, topic names, identifiers and their normal forms.
//!
//! Pure: no I/O, no clock, no randomness. Everything else depends on this crate, it depends on nothing of ours.

pub mod actor;
pub mod avro;
pub mod cloudevents;
pub mod codec;
pub mod identifier;
pub mod ids;
pub mod normal;
pub mod records;
pub mod schemas;
pub mod time;
pub mod topics;

pub use actor::{Actor, Role, Scope};
pub use avro::{Avro, AvroError, Blob, Fixed16, Millis, Text};
pub use codec::{Codec, CodecError, Record};
pub use identifier::{Identifier, IdentifierKind, Token};
pub use ids::{EventId, TaskId, TravellerId, task_id, traveller_id};
pub use records::*;
pub use schemas::SchemaName;
