//! One owner at a time writes a partition of a compacted topic, by the log alone.
//!
//! Here is the fold that everybody shares (rule 3): keep the highest epoch seen, from claims and records, in log order; a record with a
//! lower epoch is stale and ignored. An owner's epoch is the offset of its claim + 1.

use crate::{Headers, Record};
use events::topics::{CLAIM_PREFIX, POSITION_PREFIX};

/// Header that carries the writer's epoch: 8 bytes, big-endian.
pub const EPOCH_HEADER: &str = "oneknock-epoch";

/// The headers of a record written by the owner of this epoch.
pub fn epoch_headers(epoch: i64) -> Headers {
    [(EPOCH_HEADER, epoch.to_be_bytes())].into_iter().collect()
}

/// The epoch that a record carries; 0 where it carries none.
pub fn epoch_of(record: &Record) -> i64 {
    record.header(EPOCH_HEADER).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes)
}

/// What a record of a fenced topic is to somebody who folds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Somebody claims the partition.
    Claim,
    /// The owner's position in an input topic, by its name.
    Position(&'a str),
    /// The state of a key: take it (no value: forget it).
    State,
    /// Written by an owner that has been superseded: ignore it.
    Stale,
}

/// What a follower of one partition must remember beside the states. Everybody uses the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// The highest epoch seen.
    pub highest_epoch: i64,
}

impl Fold {
    /// Judges the next record in log order.
    pub fn judge<'a>(&mut self, record: &'a Record) -> Verdict<'a> {
        let key = std::str::from_utf8(&record.key).unwrap_or_default();
        if key.starts_with(CLAIM_PREFIX) {
            self.highest_epoch = self.highest_epoch.max(record.offset + 1);
            return Verdict::Claim;
        }
        let epoch = epoch_of(record);
        if epoch < self.highest_epoch {
            return Verdict::Stale;
        }
        self.highest_epoch = epoch;
        match key.strip_prefix(POSITION_PREFIX) {
            Some(topic) => Verdict::Position(topic),
            None => Verdict::State,
        }
    }
}
