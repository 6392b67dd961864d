//! The log over HTTP on loopback: the process that holds the embedded log serves it, commands beside it use it as if it were theirs.
//! Requests and answers are JSON; records go in frames (`wire.rs`).
//!
//! It knows no role: who may read and who may append is asked of whoever serves it.

mod client;
mod server;
mod wire;

pub use client::Remote;
pub use server::router;

/// What a token must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Topics, offsets, records, groups.
    Read,
    /// Creating topics, appending, noting positions.
    Append,
}
