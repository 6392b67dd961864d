//! A table's store on disk: sled, as a cache and only as a cache. sled's `flush` is no fsync, its flusher can end without a word, and a
//! damaged file may make it panic while opening: whatever is unreadable is deleted, and the topic folded again.
//!
//! Changes are gathered in memory and written in the order of their keys: sled takes neighbours many times faster than keys from
//! everywhere. The table's marks go last: a process that ends in between folds a little again.

use super::folder::{claim, delete, failed};
use super::{Change, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// sled's own default is a gibibyte.
const CACHE_BYTES: u64 = 128 << 20;
/// What has not been flushed when a process ends is folded again.
const FLUSH_EVERY_MS: u64 = 5_000;

/// Changes are written when so many are gathered, or the first has waited so long when another comes.
const GATHERED_MAX: usize = 200_000;
const GATHERED_FOR: Duration = Duration::from_secs(5);
/// sled keeps all pages that a batch has touched in memory, and not only as long as the batch lasts: ten times this takes three times the
/// memory.
const BATCH: usize = 100;

/// How long sled's threads may hold a database that this process has closed.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

type Changes = BTreeMap<Box<str>, Option<Box<[u8]>>>;

/// A sled cache in a folder of its own within the folder given: never is anything deleted that this store has not made.
pub struct SledStore {
    path: PathBuf,
    /// Empty only between closing a damaged one and opening a new one.
    open: RwLock<Option<sled::Db>>,
    gathered: RwLock<Gathered>,
    /// One writes at a time, and never beside `clear`.
    writing: Mutex<()>,
    _lock: File,
}

/// What sled does not have yet: newest first.
struct Gathered {
    changes: Changes,
    being_written: Arc<Changes>,
    since: Instant,
}

impl Gathered {
    fn nothing() -> Gathered {
        Gathered { changes: Changes::new(), being_written: Arc::default(), since: Instant::now() }
    }
}

impl SledStore {
    /// Opens the cache in `dir/cache.sled`; one that cannot be opened is deleted and begun anew. Blocks.
    ///
    /// # Errors
    /// `Held` while another process (or store) uses it; `Failed` where a new one cannot be made either.
    pub fn open(dir: &Path) -> Result<SledStore, StoreError> {
        let lock = claim(dir)?;
        let path = dir.join("cache.sled");
        wait_until_let_go(&path);
        let database = open(&path).or_else(|error| {
            tracing::warn!(%error, "a table's cache cannot be opened; it is made anew");
            delete(&path)?;
            open(&path)
        })?;
        let (open, gathered) = (RwLock::new(Some(database)), RwLock::new(Gathered::nothing()));
        Ok(SledStore { path, open, gathered, writing: Mutex::new(()), _lock: lock })
    }

    fn with<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let open = self.open.read();
        let database = open.as_ref().ok_or_else(|| StoreError::Failed("it could not be opened".into()))?;
        guarded(|| work(database))
    }
}

impl SledStore {
    /// Gives sled what has been gathered. Readers go on meanwhile.
    fn write(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        let changes = {
            let mut gathered = self.gathered.write();
            gathered.being_written = Arc::new(std::mem::take(&mut gathered.changes));
            gathered.since = Instant::now();
            gathered.being_written.clone()
        };
        let (marks, values): (Vec<_>, Vec<_>) = changes.iter().partition(|(key, _)| key.starts_with('\0'));
        for part in values.chunks(BATCH).chain([marks.as_slice()]) {
            let mut batch = sled::Batch::default();
            for (key, value) in part {
                match value {
                    Some(value) => batch.insert(key.as_bytes(), &**value),
                    None => batch.remove(key.as_bytes()),
                }
            }
            self.with(|database| database.apply_batch(batch))?;
        }
        self.gathered.write().being_written = Arc::default();
        Ok(())
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Err(error) = self.write() {
            tracing::warn!(%error, "a table's cache could not be written; it will be folded again");
        }
    }
}

/// sled panics on some damage; that, too, is only a cache that cannot be read.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(failed),
        Err(_) => Err(StoreError::Failed("sled panicked".into())),
    }
}

/// sled's threads hold a database for a moment after it was closed; its lock must not be taken for damage. Nobody but this process can
/// hold it.
fn wait_until_let_go(path: &Path) {
    let Ok(file) = File::open(path.join("db")) else { return };
    let deadline = Instant::now() + LET_GO_WITHIN;
    while matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn open(path: &Path) -> Result<sled::Db, StoreError> {
    let config =
        sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS)).mode(sled::Mode::HighThroughput);
    guarded(|| config.open())
}

impl Store for SledStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        {
            let gathered = self.gathered.read();
            if let Some(value) = gathered.changes.get(key).or_else(|| gathered.being_written.get(key)) {
                return Ok(value.as_deref().map(<[u8]>::to_vec));
            }
        }
        self.with(|database| Ok(database.get(key)?.map(|value| value.to_vec())))
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let due = {
            let mut gathered = self.gathered.write();
            if gathered.changes.is_empty() {
                gathered.since = Instant::now();
            }
            let owned = changes.iter().map(|&(key, value)| (Box::from(key), value.map(Box::from)));
            gathered.changes.extend(owned);
            gathered.changes.len() >= GATHERED_MAX || gathered.since.elapsed() >= GATHERED_FOR
        };
        if due { self.write() } else { Ok(()) }
    }

    fn clear(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        *self.gathered.write() = Gathered::nothing();
        let mut place = self.open.write();
        *place = None;
        delete(&self.path)?;
        *place = Some(open(&self.path)?);
        Ok(())
    }

    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.write()?;
        self.with(|database| {
            for entry in database.iter() {
                let (key, value) = entry?;
                if let Some(key) = std::str::from_utf8(&key).ok().filter(|key| !key.starts_with('\0')) {
                    take(key, &value);
                }
            }
            Ok(())
        })
    }

    fn len(&self) -> usize {
        let count = || self.with(|database| Ok(database.range("\u{1}"..).count() + usize::from(database.contains_key("")?)));
        self.write().and_then(|()| count()).unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        let empty = || self.with(|database| Ok(database.range("\u{1}"..).next().is_none() && !database.contains_key("")?));
        self.write().and_then(|()| empty()).unwrap_or(true)
    }
}
