//! testkit

mod guarded;
pub mod histories;
pub mod kafka;
mod parts;
pub mod ports;
pub mod registry;
