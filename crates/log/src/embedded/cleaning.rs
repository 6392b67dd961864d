//! What Kafka's cleaner does, by Kafka's settings: `retention.ms` for topics that are kept for a time, `min.compaction.lag.ms` and
//! `delete.retention.ms` for those that keep the newest record of each key.
//!
//! Time is handed in. Runs beside the committer: it touches pieces that are long written, the committer adds new ones.

use super::committer::{PIECE_BYTES, PIECE_RECORDS};
use super::partition::{Partition, Topic};
use super::store::{PIECES, STARTS, away, damaged, piece_key};
use crate::LogError;
use crate::chunk::{self, Stored, Writer};
use bytes::Bytes;
use redb::{Database, ReadableDatabase};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

/// Rewritten at once: so long no commit of records gets in between.
const SLICE_BYTES: usize = 2 << 20;
const SLICE_PIECES: usize = 512;
/// Pieces smaller than this on average are put together.
const SMALL_PIECE_BYTES: usize = 4 << 10;

/// How thorough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Only where at least half is new since the last time, as Kafka's `min.cleanable.dirty.ratio`.
    WorthWhile,
    /// Whatever there is.
    Always,
}

/// Cleans a topic as of this time (milliseconds); returns the number of records that are gone. Stops early once `stop` is set.
pub(super) fn clean(database: &Database, topic: &Topic, now: i64, when: When, stop: &AtomicBool) -> Result<u64, LogError> {
    let milliseconds = |name| topic.setting(name).and_then(|value| value.parse::<i64>().ok());
    let policy = topic.setting("cleanup.policy").unwrap_or("delete");
    let mut gone = 0;
    for partition in &topic.partitions {
        if let Some(retention) = milliseconds("retention.ms").filter(|&ms| ms >= 0 && policy.contains("delete")) {
            gone += expire(database, partition, now.saturating_sub(retention))?;
        }
        if policy.contains("compact") {
            let until = now.saturating_sub(milliseconds("min.compaction.lag.ms").unwrap_or(0));
            let horizon = now.saturating_add(milliseconds("delete.retention.ms").unwrap_or(DELETE_RETENTION_DEFAULT_MS));
            gone += compact(database, partition, &Times { now, until, horizon }, when, stop)?;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(gone)
}

/// Kafka's own default.
const DELETE_RETENTION_DEFAULT_MS: i64 = 86_400_000;

/// Removes the pieces at the start whose newest record is older than this.
fn expire(database: &Database, partition: &Partition, before: i64) -> Result<u64, LogError> {
    let (start, end) = partition.offsets();
    let (mut bases, mut new_start, mut gone) = (Vec::new(), start, 0);
    for piece in pieces(database, partition, 0, end)? {
        let (base, bytes) = piece?;
        let head = chunk::head(&bytes).map_err(|error| damaged(partition, error))?;
        if head.newest >= before {
            break;
        }
        bases.push(base);
        new_start = head.next;
        gone += u64::from(head.count);
    }
    if bases.is_empty() {
        return Ok(0);
    }
    let write = database.begin_write().map_err(away)?;
    {
        let mut table = write.open_table(PIECES).map_err(away)?;
        for base in bases {
            table.remove(&piece_key(partition.topic, partition.number, base)).map_err(away)?;
        }
        write.open_table(STARTS).map_err(away)?.insert((partition.topic, partition.number), new_start).map_err(away)?;
    }
    write.commit().map_err(away)?;
    partition.starts_at(new_start);
    Ok(gone)
}

struct Times {
    now: i64,
    /// Records up to this time may push out older ones.
    until: i64,
    /// When a tombstone that is met for the first time may go.
    horizon: i64,
}

/// The newest offset of each key among what is new since the last time.
struct Newest {
    offsets: HashMap<u128, i64>,
    hashers: [RandomState; 2],
}

impl Newest {
    /// 128 bits by keys that are drawn anew each time: nobody can make two keys meet.
    fn hash(&self, key: &[u8]) -> u128 {
        u128::from(self.hashers[0].hash_one(key)) << 64 | u128::from(self.hashers[1].hash_one(key))
    }

    fn note(&mut self, key: &[u8], offset: i64) {
        let hash = self.hash(key);
        self.offsets.insert(hash, offset);
    }

    fn pushes_out(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(&self.hash(key)).is_some_and(|&newest| newest > offset)
    }
}

fn compact(database: &Database, partition: &Partition, times: &Times, when: When, stop: &AtomicBool) -> Result<u64, LogError> {
    let (start, end) = partition.offsets();
    let cleaned_to = partition.cleaned_to().max(start);
    let mut newest = Newest { offsets: HashMap::new(), hashers: [RandomState::new(), RandomState::new()] };
    let mut to = cleaned_to;
    for piece in pieces(database, partition, cleaned_to, end)? {
        let (_, bytes) = piece?;
        let head = chunk::head(&bytes).map_err(|error| damaged(partition, error))?;
        if head.newest > times.until {
            break;
        }
        for stored in chunk::read(bytes, partition.number).map_err(|error| damaged(partition, error))? {
            let stored = stored.map_err(|error| damaged(partition, error))?;
            newest.note(&stored.record.key, stored.record.offset);
        }
        to = head.next;
    }
    if when == When::WorthWhile && (to - cleaned_to).saturating_mul(2) < to - start || to == start {
        return Ok(0);
    }
    let (mut at, mut gone) = (0, 0);
    while at < to && !stop.load(Ordering::Relaxed) {
        let slice = slice(database, partition, at, to)?;
        let Some((_, last)) = slice.last() else { break };
        at = chunk::head(last).map_err(|error| damaged(partition, error))?.next;
        gone += rewrite(database, partition, &slice, at, &newest, times)?;
    }
    if at >= to || !stop.load(Ordering::Relaxed) {
        partition.cleaned(to);
    }
    Ok(gone)
}

type PieceAt = (i64, Bytes);

/// Pieces whose first offset lies from `from` to before `to`.
fn pieces(
    database: &Database,
    partition: &Partition,
    from: i64,
    to: i64,
) -> Result<impl Iterator<Item = Result<PieceAt, LogError>> + use<>, LogError> {
    let read = database.begin_read().map_err(away)?;
    let table = read.open_table(PIECES).map_err(away)?;
    let key = |offset| piece_key(partition.topic, partition.number, offset);
    let range = table.range_owned::<&[u8; 16]>(&key(from)..&key(to.max(from))).map_err(away)?;
    Ok(range.map(|entry| {
        let (key, piece) = entry.map_err(away)?;
        let mut base = [0; 8];
        base.copy_from_slice(&key.value()[8..]);
        Ok((i64::from_be_bytes(base), Bytes::copy_from_slice(piece.value())))
    }))
}

fn slice(database: &Database, partition: &Partition, from: i64, to: i64) -> Result<Vec<PieceAt>, LogError> {
    let (mut slice, mut bytes) = (Vec::new(), 0);
    for piece in pieces(database, partition, from, to)? {
        let piece = piece?;
        bytes += piece.1.len();
        slice.push(piece);
        if bytes >= SLICE_BYTES || slice.len() >= SLICE_PIECES {
            break;
        }
    }
    Ok(slice)
}

/// Writes a slice anew where that changes anything; returns how many records went.
fn rewrite(
    database: &Database,
    partition: &Partition,
    slice: &[PieceAt],
    next: i64,
    newest: &Newest,
    times: &Times,
) -> Result<u64, LogError> {
    let (mut kept, mut gone, mut bytes, mut marked): (Vec<Stored>, u64, usize, bool) = (Vec::new(), 0, 0, false);
    for (_, piece) in slice {
        bytes += piece.len();
        for stored in chunk::read(piece.clone(), partition.number).map_err(|error| damaged(partition, error))? {
            let mut stored = stored.map_err(|error| damaged(partition, error))?;
            let tombstone = stored.record.value.is_none();
            let over = tombstone && stored.horizon != 0 && stored.horizon <= times.now;
            if over || newest.pushes_out(&stored.record.key, stored.record.offset) {
                gone += 1;
                continue;
            }
            if tombstone && stored.horizon == 0 {
                stored.horizon = times.horizon;
                marked = true;
            }
            kept.push(stored);
        }
    }
    let scattered = slice.len() >= 8 && bytes / slice.len() < SMALL_PIECE_BYTES;
    if gone == 0 && !marked && !scattered {
        return Ok(0);
    }
    let write = database.begin_write().map_err(away)?;
    {
        let mut table = write.open_table(PIECES).map_err(away)?;
        for (base, _) in slice {
            table.remove(&piece_key(partition.topic, partition.number, *base)).map_err(away)?;
        }
        let mut kept = kept.iter().peekable();
        while let Some(first) = kept.peek() {
            let base = first.record.offset;
            let mut writer = Writer::new(base, first.record.timestamp);
            while let Some(Stored { record, horizon }) = kept.next_if(|_| writer.bytes() < PIECE_BYTES && writer.count() < PIECE_RECORDS) {
                writer.push((record.offset, record.timestamp), &record.key, record.value.as_deref(), &record.headers, *horizon);
            }
            let next = kept.peek().map_or(next, |following| following.record.offset);
            table.insert(&piece_key(partition.topic, partition.number, base), writer.finish(next).as_slice()).map_err(away)?;
        }
    }
    write.commit().map_err(away)?;
    Ok(gone)
}
