//! testkit

mod guarded;
pub mod kafka;
mod parts;
pub mod ports;
pub mod registry;
