//! A topic read whole: the newest value of every key, kept up to date. `Table` keeps bytes behind a store (memory, or a cache on disk: one
//! file for many keys in no order, sled for fewer), `Small` keeps decoded records in memory.
//!
//! A store is a cache: what cannot be trusted is thrown away and the topic folded again. The fold is everybody's (`fencing::Fold`), so
//! that a table of a fenced topic holds no stale record either; claims and positions are not in it.

mod cache;
mod file;
mod folder;
mod follow;
mod grouped;
mod heap;
mod memory;
mod small;

pub use cache::SledStore;
pub use file::FileStore;
pub use grouped::{Grouped, each_member};
pub use memory::MemoryStore;
pub use small::{Rule, Small};

use crate::fencing::{Fold, Verdict};
use crate::{Batch, Log, LogError, Record};
use async_trait::async_trait;
use follow::{Followed, Follower, Sink, Taken};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::mpsc::UnboundedReceiver;

/// A key's new value; none takes the key away.
pub type Change<'a> = (&'a str, Option<&'a [u8]>);

/// The store cannot be read or written: it is cleared and the topic folded again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Damaged, or the disk is full or away.
    #[error("the table's store fails: {0}")]
    Failed(String),
    /// Another process uses this folder.
    #[error("the table's store in {0} is used by another process")]
    Held(String),
}

/// What a table keeps its bytes in. Keys that begin with a NUL are the table's own notes: no record gets there.
pub trait Store: Send + Sync {
    /// A key's value.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows `take` a key's value, if there is one, without a copy where the store can. `take` must not use the store.
    fn look(&self, key: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.get(key).map(|value| value.as_deref().into_iter().for_each(take))
    }

    /// Applies the changes in order. The table puts its mark (how far it has read) behind them: a store may keep any beginning of what it
    /// was given, never the mark without what stands before it.
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError>;

    /// Takes everything away; afterwards the store works again, if it can be made to.
    fn clear(&self) -> Result<(), StoreError>;

    /// Every key and value, without the table's own, in any order.
    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError>;

    /// Keys, without the table's own; sled counts them one by one.
    fn len(&self) -> usize;

    /// No key at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A topic's newest value per key.
pub struct Table {
    inner: Arc<Inner>,
    follower: Follower,
}

struct Inner {
    store: Box<dyn Store>,
    /// Set by a reader that met a damaged store; the follower starts again.
    damaged: AtomicBool,
    skipped: AtomicU64,
    followed: Arc<Followed>,
}

impl Table {
    /// Follows all partitions of the topic from where the store stands. Returns once it has read to the end that the topic had at the call.
    ///
    /// # Errors
    /// `NoTopic`; what the log says; `Refused` where the store works no more even after clearing it.
    pub async fn open(log: Arc<dyn Log>, topic: &str, store: Box<dyn Store>) -> Result<Arc<Table>, LogError> {
        let followed = Followed::new(log, topic).await?;
        let (damaged, skipped) = (AtomicBool::new(false), AtomicU64::new(0));
        let inner = Arc::new(Inner { store, damaged, skipped, followed: followed.clone() });
        let sink = Fill { inner: inner.clone(), places: HashMap::new() };
        let table = Arc::new(Table { inner, follower: Follower::spawn(followed, sink).await? });
        table.catch_up().await?;
        Ok(table)
    }

    /// A key's value. Nothing, too, where the store turns out damaged: the topic is then folded again, and all keys are told anew.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.with(key, <[u8]>::to_vec)
    }

    /// What a key's value is to `take`, which sees it without a copy and must not use the table. Nothing where `get` has nothing.
    pub fn with<T>(&self, key: &str, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let (mut take, mut taken) = (Some(take), None);
        let looked = self.inner.store.look(key, &mut |value| taken = take.take().map(|take| take(value)));
        match looked {
            Ok(()) => taken,
            Err(error) => {
                if !self.inner.damaged.swap(true, Ordering::Relaxed) {
                    tracing::error!(topic = self.inner.followed.topic(), %error, "the table's store is damaged; the topic is folded again");
                    self.inner.followed.interrupt();
                }
                None
            }
        }
    }

    /// Reads to the end that the topic has now.
    pub async fn catch_up(&self) -> Result<(), LogError> {
        self.follower.catch_up().await
    }

    /// The keys that change from now on, batch by batch, after they have changed. A key may come without having changed.
    pub fn subscribe(&self) -> UnboundedReceiver<Vec<String>> {
        self.inner.followed.subscribe()
    }

    /// Every key with its value, in any order. `take` must not use the table.
    ///
    /// # Errors
    /// The store is damaged.
    pub fn each(&self, mut take: impl FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.inner.store.each(&mut take)
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.inner.store.len()
    }

    /// No keys.
    pub fn is_empty(&self) -> bool {
        self.inner.store.is_empty()
    }

    /// Records passed over because their key is no text of ours.
    pub fn skipped(&self) -> u64 {
        self.inner.skipped.load(Ordering::Relaxed)
    }
}

/// How far a table has read in a partition, and by what it knows the topic again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    next: i64,
    highest_epoch: i64,
    /// Of the last record read: its offset, and a digest of its time, key and value.
    last: (i64, u64),
}

impl Mark {
    fn key(partition: i32) -> String {
        format!("\0mark/{partition}")
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.next, self.highest_epoch, self.last.0, self.last.1 as i64].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Mark> {
        let numbers: Vec<i64> = bytes.chunks_exact(8).filter_map(|chunk| Some(i64::from_be_bytes(chunk.try_into().ok()?))).collect();
        match numbers[..] {
            [next, highest_epoch, offset, digest] if bytes.len() == 32 => Some(Mark { next, highest_epoch, last: (offset, digest as u64) }),
            _ => None,
        }
    }
}

/// FNV-1a: the same in every process and release.
fn digest(record: &Record) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| bytes.iter().for_each(|&byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    take(&record.timestamp.to_be_bytes());
    take(&record.key);
    take(record.value.as_deref().unwrap_or_default());
    hash
}

/// What is behind by more than this is thrown away: compaction may have taken what the fold should have seen.
const BEHIND_MS_MAX: i64 = events::topics::MIN_COMPACTION_LAG_MS;

/// Fills the store.
struct Fill {
    inner: Arc<Inner>,
    places: HashMap<i32, Place>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    fold: Fold,
    proof: Proof,
}

/// What is known of a store that was filled before.
#[derive(Clone, Copy, Default)]
enum Proof {
    /// Whether the topic is the one that this mark was made of.
    Same(Mark),
    /// How old the first record is that it has not seen.
    Age,
    /// All that is needed.
    #[default]
    Done,
}

#[async_trait]
impl Sink for Fill {
    fn start(&mut self, ends: &[i64]) -> Result<Vec<i64>, LogError> {
        let Some(marks) = self.marks(ends) else {
            self.restart()?;
            return Ok(vec![0; ends.len()]);
        };
        let proof = |mark: &Mark| if mark.next > 0 { Proof::Same(*mark) } else { Proof::Done };
        let place = |mark: &Mark| Place { fold: Fold { highest_epoch: mark.highest_epoch }, proof: proof(mark) };
        self.places = (0..).zip(marks.iter().map(place)).collect();
        // From the last record read on, to see whether it is still the same.
        Ok(marks.iter().map(|mark| if mark.next > 0 { mark.last.0 } else { 0 }).collect())
    }

    fn restart(&mut self) -> Result<(), LogError> {
        self.places.clear();
        let cleared = self.inner.store.clear();
        self.inner.damaged.store(false, Ordering::Relaxed);
        cleared.map_err(|error| LogError::Refused(error.to_string()))
    }

    async fn take(&mut self, batch: &Batch, wanted: bool) -> Taken {
        if self.inner.damaged.load(Ordering::Relaxed) {
            return Taken::StartAgain("its store is damaged");
        }
        let place = self.places.entry(batch.partition).or_default();
        let mut records = batch.records.as_slice();
        let mut last = None;
        if let Proof::Same(mark) = place.proof {
            match records.split_first() {
                Some((first, rest)) if (first.offset, digest(first)) == mark.last => records = rest,
                // Another record, or compacted away: then it is older than any cache may be.
                _ => return Taken::StartAgain("the record that it read last is not there any more"),
            }
            last = Some(mark.last);
            place.proof = Proof::Age;
        }
        if let (Proof::Age, Some(first)) = (place.proof, records.first()) {
            if crate::clock::now_ms().saturating_sub(first.timestamp) > BEHIND_MS_MAX {
                return Taken::StartAgain("it is too far behind");
            }
            place.proof = Proof::Done;
        }
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(records.len() + 1);
        for record in records {
            match (place.fold.judge(record), std::str::from_utf8(&record.key)) {
                (Verdict::State, Ok(key)) if !key.starts_with('\0') => changes.push((key, record.value.as_deref())),
                (Verdict::State, _) => {
                    self.inner.skipped.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(topic = &*batch.topic, partition = batch.partition, offset = record.offset, "a key that is no text");
                }
                (Verdict::Claim | Verdict::Position(_) | Verdict::Stale, _) => {}
            }
        }
        let keys = if wanted { changes.iter().map(|(key, _)| (*key).to_owned()).collect() } else { Vec::new() };
        let last = records.last().map(|record| (record.offset, digest(record))).or(last);
        let known = || self.inner.store.get(&Mark::key(batch.partition)).ok().flatten().and_then(|mark| Mark::from_bytes(&mark));
        let last = last.or_else(|| known().map(|mark| mark.last)).unwrap_or((0, 0));
        let mark = Mark { next: batch.next_offset, highest_epoch: place.fold.highest_epoch, last };
        let (key, value) = (Mark::key(batch.partition), mark.to_bytes());
        changes.push((&key, Some(&value)));
        match self.inner.store.apply(&changes) {
            Ok(()) => Taken::Changed(keys),
            Err(error) => {
                tracing::error!(topic = &*batch.topic, %error, "the table's store cannot be written");
                Taken::StartAgain("its store cannot be written")
            }
        }
    }
}

impl Fill {
    /// The store's marks, where they can belong to a topic with these ends.
    fn marks(&self, ends: &[i64]) -> Option<Vec<Mark>> {
        if self.inner.damaged.load(Ordering::Relaxed) {
            return None;
        }
        let mut marks = Vec::with_capacity(ends.len());
        for (partition, &end) in (0..).zip(ends) {
            let mark = match self.inner.store.get(&Mark::key(partition)).ok()? {
                Some(bytes) => Mark::from_bytes(&bytes)?,
                None => Mark::default(),
            };
            if mark.next > end {
                return None;
            }
            marks.push(mark);
        }
        // A store with more partitions than the topic, or values without any mark, is another topic's.
        let other = self.inner.store.get(&Mark::key(i32::try_from(ends.len()).ok()?)).ok()?;
        (other.is_none() && marks.iter().any(|mark| mark.next > 0)).then_some(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewTopic;
    use crate::embedded::Embedded;

    fn record(offset: i64, age_ms: i64) -> Record {
        let timestamp = crate::clock::now_ms() - age_ms;
        Record {
            partition: 0,
            offset,
            timestamp,
            key: format!("key {offset}").into(),
            value: Some("value".into()),
            headers: Default::default(),
        }
    }

    fn batch(records: &[Record]) -> Batch {
        let next_offset = records.last().unwrap().offset + 1;
        Batch { topic: "topic".into(), partition: 0, records: records.to_vec(), next_offset }
    }

    /// A sink as it is behind a restart: its store has read this record last.
    async fn after_restart(last: &Record) -> (Fill, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let log = Embedded::open(dir.path()).unwrap();
        log.create_topics(&[NewTopic { name: "topic".into(), partitions: 1, settings: vec![] }]).await.unwrap();
        let followed = Followed::new(log, "topic").await.unwrap();
        let (damaged, skipped) = (AtomicBool::new(false), AtomicU64::new(0));
        let inner = Arc::new(Inner { store: Box::new(MemoryStore::new()), damaged, skipped, followed });
        let mut fill = Fill { inner: inner.clone(), places: HashMap::new() };
        assert!(matches!(fill.take(&batch(std::slice::from_ref(last)), false).await, Taken::Changed(_)));
        let mut fill = Fill { inner, places: HashMap::new() };
        assert_eq!(fill.start(&[100]).unwrap(), [last.offset]);
        (fill, dir)
    }

    #[tokio::test]
    async fn what_is_too_far_behind_is_thrown_away_however_it_comes() {
        let (last, day) = (record(4, 3 * BEHIND_MS_MAX), BEHIND_MS_MAX);
        for (age, good) in [(day / 2, true), (day + 60_000, false)] {
            let next = record(5, age);
            let (mut fill, _dir) = after_restart(&last).await;
            let together = fill.take(&batch(&[last.clone(), next.clone()]), false).await;
            assert_eq!(matches!(together, Taken::Changed(_)), good, "in one batch, {age} ms old");
            let (mut fill, _dir) = after_restart(&last).await;
            assert!(matches!(fill.take(&batch(std::slice::from_ref(&last)), false).await, Taken::Changed(_)));
            let apart = fill.take(&batch(&[next]), false).await;
            assert_eq!(matches!(apart, Taken::Changed(_)), good, "in two batches, {age} ms old");
        }
    }

    #[tokio::test]
    async fn a_last_record_that_is_gone_or_another_is_not_trusted() {
        let last = record(4, 0);
        let other = Record { value: Some("other".into()), ..last.clone() };
        for found in [other, record(5, 0)] {
            let (mut fill, _dir) = after_restart(&last).await;
            assert!(matches!(fill.take(&batch(&[found]), false).await, Taken::StartAgain(_)));
        }
    }
}
