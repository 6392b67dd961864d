//! What an owner is told, what it wants done, and the rules that tests leave out.

use super::States;
use crate::{Append, Appended, Batch, LogError};
use std::sync::Arc;

/// What happens to an owner.
#[derive(Debug)]
pub enum Event {
    /// Its own partition was read on.
    Own(Batch),
    /// An input topic was read on.
    Input(Batch),
    /// An append is durable, or its fate is unknown.
    Appended(u64, Result<Vec<Appended>, LogError>),
    /// Every table is read to the end that it had when `CatchUpTables` was commanded.
    TablesReady,
    /// Keys of a table have changed.
    Changed(&'static str, Arc<Vec<String>>),
    /// Time passes: this process's clock, in milliseconds. Positions are written, snapshots taken when they are due.
    Tick(i64),
    /// A snapshot is wanted now, if the owner is at rest.
    Save,
}

/// What an owner wants done, in this order.
#[derive(Debug)]
pub enum Command {
    /// Append these; answer with `Appended` and this number.
    Append(u64, Vec<Append>),
    /// Read every table to its present end, then say `TablesReady`.
    CatchUpTables,
    /// Read the inputs from these offsets.
    ReadInputs(Vec<crate::From>),
    /// Store this as the cache of the fold.
    Cache(Snapshot),
    /// It is over: another owner, a failed append, or too far behind.
    Stop(Stopped),
}

/// The fold of a partition: what a cache holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// By key; positions too.
    pub states: States,
    /// The offset to be read next.
    pub tail: i64,
    /// The highest epoch seen.
    pub highest_epoch: i64,
}

/// Why an owner ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stopped {
    /// A claim or a record with a higher epoch.
    #[error("another owner has taken over")]
    Superseded,
    /// An append failed: nothing is retried behind what followed it.
    #[error(transparent)]
    Append(LogError),
    /// Further behind than compaction waits.
    #[error("it is further behind than compaction waits")]
    TooFarBehind,
}

/// The rules that tests leave out one by one, to see that they are needed. Production runs with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// 1: append a claim.
    pub claim: bool,
    /// 2: fold until the own claim is read.
    pub fold_to_claim: bool,
    /// 3: ignore stale records.
    pub ignore_stale: bool,
    /// 4: stop on a higher epoch.
    pub give_way: bool,
    /// 5: append again what a stale record overwrote.
    pub repair: bool,
    /// 7: send only what rests on records read back.
    pub read_back: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Rules = Rules { claim: true, fold_to_claim: true, ignore_stale: true, give_way: true, repair: true, read_back: true };
}
