//! An owner's cache: the fold itself, with the offset to be read next and the highest epoch. Thrown away where it cannot be trusted; a
//! thread of its own writes it, so that a slow disk keeps nobody waiting.

use crate::clock::now_ms;
use crate::owner::States;
use crate::table::{Change, SledStore, Store};
use crate::{From, Log};
use bytes::Bytes;
use events::topics::MIN_COMPACTION_LAG_MS;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Offset to be read next, highest epoch: 16 bytes, big-endian.
const MARK: &str = "\0fold";
/// How long the record at the mark may take to arrive.
const LOOK: Duration = Duration::from_secs(10);

type Entries = Vec<(Arc<str>, Option<Bytes>)>;
/// States, the offset to be read next, the highest epoch.
pub(super) type Fold = (States, i64, i64);

/// The cache of one partition's fold.
pub struct FoldCache {
    writer: Sender<(Entries, i64, i64)>,
}

impl FoldCache {
    /// Opens it, with the fold that it holds, if that can be trusted. None where no cache can be had: the owner goes without.
    pub(super) async fn open(dir: &Path, log: &dyn Log, topic: &str, partition: i32) -> Option<(FoldCache, Option<Fold>)> {
        let path = dir.to_owned();
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&path).map(|store| (load(&store), store))).await.ok()?;
        let (fold, store) = opened.inspect_err(|error| tracing::warn!(%error, "no cache for a partition")).ok()?;
        let trusted = match &fold {
            Some((_, tail, _)) => is_young(log, topic, partition, *tail).await,
            None => false,
        };
        if !trusted && store.clear().is_err() {
            return None;
        }
        let (writer, work) = channel::<(Entries, i64, i64)>();
        let write = move || {
            for (entries, tail, highest_epoch) in work {
                if let Err(error) = write(&store, &entries, tail, highest_epoch) {
                    // Half a fold is none: the next start folds the topic.
                    tracing::warn!(%error, "a partition's cache cannot be written; it is thrown away");
                    let _ = store.clear();
                    return;
                }
            }
        };
        std::thread::Builder::new().name("fold cache".into()).spawn(write).ok()?;
        Some((FoldCache { writer }, fold.filter(|_| trusted)))
    }

    /// Stores what was read back since the last time.
    pub(super) fn store(&mut self, entries: Entries, tail: i64, highest_epoch: i64) {
        let _ = self.writer.send((entries, tail, highest_epoch));
    }
}

fn load(store: &SledStore) -> Option<Fold> {
    let mark = store.get(MARK).ok()??;
    let (tail, epoch) = mark.split_at_checked(8)?;
    let (tail, epoch) = (i64::from_be_bytes(tail.try_into().ok()?), i64::from_be_bytes(epoch.try_into().ok()?));
    let mut states = States::new();
    let take = &mut |key: &str, value: &[u8]| {
        states.insert(Arc::from(key), Bytes::copy_from_slice(value));
    };
    store.each(take).ok()?;
    Some((states, tail, epoch))
}

fn write(store: &SledStore, entries: &Entries, tail: i64, highest_epoch: i64) -> Result<(), crate::table::StoreError> {
    let mark = [tail.to_be_bytes(), highest_epoch.to_be_bytes()].concat();
    let mut changes: Vec<Change<'_>> = entries.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
    changes.push((MARK, Some(&mark)));
    store.apply(&changes)
}

/// Whether the record at the mark is younger than compaction waits: then nothing behind the mark has been taken away yet. A mark behind
/// the end belongs to another log.
async fn is_young(log: &dyn Log, topic: &str, partition: i32, tail: i64) -> bool {
    let Ok((_, end)) = log.offsets(topic, partition).await else { return false };
    if tail >= end {
        return tail == end;
    }
    let from = From { topic: topic.to_owned(), partition, offset: tail };
    let Ok(mut reader) = log.read(vec![from]).await else { return false };
    match tokio::time::timeout(LOOK, reader.next()).await {
        Ok(Ok(batch)) => batch.records.first().is_some_and(|record| now_ms() - record.timestamp < MIN_COMPACTION_LAG_MS),
        _ => false,
    }
}
