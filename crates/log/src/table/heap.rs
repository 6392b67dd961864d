//! What a table's bytes lie in: records one behind the other in the order of their coming, and an index of where each key's newest one
//! is. In memory alone, or in a file of which memory holds the newest part.
//!
//! It knows no topic, and nothing of when it is thrown away.

mod bytes;
mod index;
mod record;

pub use record::Key;

use super::folder::failed;
use super::{Change, StoreError};
use bytes::{Bytes, MAGIC, START};
use index::{Found, Index, PLACES_END};
use record::Record;
use std::fs::File;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What may be dead before a rewrite is worth its time, however small the rest.
const DEAD_BYTES_MIN: u64 = 4 << 20;
/// A rewrite writes so much at once.
const PIECE_BYTES: usize = 1 << 20;

/// Records and where they are.
pub struct Heap {
    bytes: Bytes,
    index: Index,
    hasher: foldhash::fast::RandomState,
    /// Bytes of records that the index leads to.
    live: u64,
    keys: usize,
}

/// The records of changes that are put together.
pub fn write(changes: &[Change<'_>], to: &mut Vec<u8>) -> Result<(), StoreError> {
    to.clear();
    for (number, &(key, value)) in changes.iter().enumerate() {
        let last = number + 1 == changes.len();
        record::write(to, Key::of(key), value, last).ok_or_else(|| StoreError::Failed("a record is too long".into()))?;
    }
    Ok(())
}

fn damaged() -> StoreError {
    StoreError::Failed("a record is not what was written".into())
}

impl Heap {
    fn at_start(bytes: Bytes) -> Heap {
        Heap { bytes, index: Index::new(), hasher: foldhash::fast::RandomState::default(), live: 0, keys: 0 }
    }

    /// An empty one in memory.
    pub fn in_memory() -> Heap {
        Heap::at_start(Bytes::new(None))
    }

    /// An empty one in a file; what that held is gone.
    pub fn in_file(file: File) -> Result<Heap, StoreError> {
        file.set_len(0).and_then(|()| file.write_all_at(MAGIC, 0)).map_err(failed)?;
        Ok(Heap::at_start(Bytes::new(Some(Arc::new(file)))))
    }

    /// What a file holds, each record checked: up to the last that is whole together with all that was put with it. What comes behind was
    /// being written when a process ended, or is damaged: it is cut off, and the rest is what it was then. None where the file is another's.
    pub fn open(file: File) -> Result<Option<Heap>, StoreError> {
        let len = file.metadata().map_err(failed)?.len();
        let mut magic = [0; MAGIC.len()];
        if len < START || file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
            return Ok(None);
        }
        let file = Arc::new(file);
        let (mut heap, mut whole) = Heap::load(&file, len)?;
        if whole < heap.bytes.end() {
            (heap, whole) = Heap::load(&file, whole)?;
        }
        if whole < len {
            tracing::warn!(kept = whole, cut = len - whole, "the end of a table's cache is not whole; it is cut off");
            file.set_len(whole).map_err(failed)?;
        }
        Ok(Some(heap))
    }

    fn load(file: &Arc<File>, until: u64) -> Result<(Heap, u64), StoreError> {
        let (mut heap, mut whole) = (Heap::at_start(Bytes::new(Some(file.clone()))), START);
        bytes::scan(file, until, &mut |_, bytes| match record::read(bytes) {
            Some(record) if record::is_sound(bytes) => {
                heap.put(record, heap.hash(&record.key), bytes)?;
                whole = if record.last { heap.bytes.end() } else { whole };
                Ok(ControlFlow::Continue(()))
            }
            _ => Ok(ControlFlow::Break(())),
        })?;
        Ok((heap, whole))
    }

    /// Writes records behind the file's end, where nobody sees them before they are taken.
    pub fn write_behind(&self, records: &[u8]) -> Result<(), StoreError> {
        if self.bytes.end() + records.len() as u64 >= PLACES_END {
            return Err(StoreError::Failed("it is too large".into()));
        }
        self.bytes.write_behind(records)
    }

    /// Takes records that `write` has made and that are written behind the end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        // All slots are fetched before the first is used: memory brings many at once, but each alone keeps waiting.
        let hashed = |(record, bytes): (Record<'_>, _)| (self.hash(&record.key), bytes);
        let records: Vec<(u64, &[u8])> = record::all(bytes).map(hashed).collect();
        std::hint::black_box(records.iter().fold(0, |seen, (hash, _)| seen ^ self.index.first_slot(*hash)));
        records.into_iter().try_for_each(|(hash, bytes)| {
            let record = record::read(bytes).ok_or_else(damaged)?;
            self.put(record, hash, bytes)
        })
    }

    /// Both.
    pub fn append(&mut self, records: &[u8]) -> Result<(), StoreError> {
        self.write_behind(records)?;
        self.take(records)
    }

    fn put(&mut self, record: Record<'_>, hash: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let (found, place, len) = (self.find(hash, &record.key)?, self.bytes.end(), record.len as u64);
        let key = usize::from(!record.key.is_note());
        match (found, record.value) {
            (Some((found, old_len)), Some(_)) => {
                self.index.replace(found, place);
                self.live = self.live - old_len + len;
            }
            (Some((found, old_len)), None) => {
                self.index.remove(found);
                self.live -= old_len;
                self.keys -= key;
            }
            (None, Some(_)) => {
                self.index.insert(hash, place);
                self.live += len;
                self.keys += key;
            }
            (None, None) => {}
        }
        self.bytes.keep(bytes);
        Ok(())
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        self.hasher.hash_one(key.bytes())
    }

    /// The index's slot for a key, and how long the record is.
    fn find(&self, hash: u64, key: &Key<'_>) -> Result<Option<(Found, u64)>, StoreError> {
        let mut len = 0;
        let is = |place| {
            self.bytes.at(place, |record| {
                len = record.len as u64;
                record.key == *key
            })
        };
        Ok(self.index.find(hash, is)?.map(|found| (found, len)))
    }

    /// What a key's value is to `take`.
    pub fn with<T>(&self, key: &Key<'_>, mut take: impl FnMut(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        let mut taken = None;
        let is = |place| {
            self.bytes.at(place, |record| {
                let same = record.key == *key;
                if let Some(value) = record.value.filter(|_| same) {
                    taken = Some(take(value));
                }
                same
            })
        };
        self.index.find(self.hash(key), is)?;
        Ok(taken)
    }

    /// Keys, without notes.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Every record that the index leads to.
    fn each_live(&self, take: &mut dyn FnMut(Record<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.bytes.each(|place, bytes| {
            let record = record::read(bytes).ok_or_else(damaged)?;
            let is_live = self.index.find(self.hash(&record.key), |found| Ok::<_, StoreError>(found == place))?.is_some();
            if !is_live {
                return Ok(());
            }
            if !record::is_sound(bytes) {
                return Err(damaged());
            }
            take(record)
        })
    }

    /// Every key and value, without notes.
    pub fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.each_live(&mut |record| {
            if let Some(value) = record.value.filter(|_| !record.key.is_note()) {
                record.key.with_text(|key| take(key, value));
            }
            Ok(())
        })
    }

    /// Whether more than a third is dead.
    pub fn wants_rewrite(&self) -> bool {
        let dead = self.bytes.end() - START - self.live;
        dead > DEAD_BYTES_MIN && dead > self.live / 2
    }

    /// Takes over what is not dead, into an empty one. All of it is one: what is not whole in a file is nothing.
    pub fn take_over(&mut self, from: &Heap) -> Result<(), StoreError> {
        let mut waiting = Vec::with_capacity(2 * PIECE_BYTES);
        from.each_live(&mut |record| {
            record::write(&mut waiting, record.key, record.value, false).ok_or_else(damaged)?;
            if waiting.len() >= PIECE_BYTES {
                self.append(&waiting)?;
                waiting.clear();
            }
            Ok(())
        })?;
        // Takes away what is not there: it only says that this was all.
        record::write(&mut waiting, Key::Plain(b"\0all"), None, true).ok_or_else(damaged)?;
        self.append(&waiting)?;
        self.bytes.sync()
    }
}
