//! The heart: who is visited, exactly once, lawfully. Pure: no async, no clock, no randomness, no I/O.
//!
//! `resolve` says which household, `household` decides about the visit, `authorize` who may see and do what, `traveller` keeps people who
//! move in one place at a time. Time arrives in the record.

pub mod authorize;
pub mod hourly;
pub mod household;
pub mod invariants;
pub mod limits;
pub mod mandate;
pub mod policy;
pub mod resolve;
pub mod traveller;

/// What "now" is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Clock {
    /// The log's append time.
    #[default]
    Wall,
    /// The newest observed_at that a household has seen: for replays and historic files.
    Events,
}
