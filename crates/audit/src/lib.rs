//! The log of reads: who opened which personal data, when and why, written and synced before the answer goes out, and so that nobody can
//! change it afterwards without being found out (docs/adr/0007-a-log-of-reads-that-shows-what-was-done-to-it.md).
//!
//! Lines of JSON in files of their own, apart from every topic, are the leaves of a Merkle tree (RFC 6962); its head, signed, is a
//! checkpoint (c2sp.org/tlog-checkpoint), and checkpoints are published where others keep them. `verify` trusts nothing but the files,
//! the public key and published checkpoints. No personal data stands in here: names of workers, ids of tasks.

mod checkpoint;
mod files;
mod publish;
mod tree;
mod verify;
mod writer;

pub use checkpoint::{Checkpoint, CheckpointError, Signer, Verifier};
pub use files::{each_entry, names};
pub use publish::publish;
pub use verify::{Finding, Report, verify};
pub use writer::{AuditError, AuditLog};

/// The log of those who open personal data, as its files are named.
pub const READS: &str = "reads";
/// The log of changes of what rules: mandates, policies, keys, who may sign in.
pub const CHANGES: &str = "changes";
/// The log of agencies' questions about screenings: this, or this and `-` and the number of the process.
pub const LOOKUPS: &str = "lookups";
