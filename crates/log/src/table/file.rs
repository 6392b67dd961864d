//! A table's store on disk for many keys that come in no order: one file that grows at its end, and an index of it in memory, some 11
//! bytes a key. As a cache and only as a cache: whatever of it is not what was written is cut off or deleted, and folded again.
//!
//! Every record carries a check of its bytes, and opening checks them all; that is also how the index is made. What `apply` is given is
//! whole or not there, so that a process may end at any time. Nothing is forced to the disk but a rewritten file, before it takes the
//! other's place: a power cut costs what the disk did not have yet.

use super::folder::{claim, delete, failed};
use super::heap::{Heap, Key, write};
use super::{Change, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file in a folder of its own within the folder given: never is anything deleted that this store has not made.
pub struct FileStore {
    path: PathBuf,
    heap: RwLock<Heap>,
    /// One writes at a time; readers wait for it only while the index changes. The buffer is its own.
    writing: Mutex<Vec<u8>>,
    _lock: File,
}

impl FileStore {
    /// Opens the cache in `dir/cache.table`; one that cannot be trusted is begun anew. Blocks for as long as it takes to read it.
    ///
    /// # Errors
    /// `Held` while another process (or store) uses the folder; `Failed` where a new one cannot be made either.
    pub fn open(dir: &Path) -> Result<FileStore, StoreError> {
        let lock = claim(dir)?;
        let path = dir.join("cache.table");
        let found = match open(&path).and_then(Heap::open) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "a table's cache cannot be opened; it is made anew");
                delete(&path)?;
                None
            }
        };
        let heap = match found {
            Some(heap) => heap,
            None => Heap::in_file(open(&path)?)?,
        };
        Ok(FileStore { path, heap: RwLock::new(heap), writing: Mutex::default(), _lock: lock })
    }

    /// Without what is dead. Readers go on meanwhile.
    fn rewrite(&self) -> Result<(), StoreError> {
        let path = self.path.with_extension("new");
        delete(&path)?;
        let mut heap = Heap::in_file(open(&path)?)?;
        heap.take_over(&self.heap.read())?;
        std::fs::rename(&path, &self.path).map_err(failed)?;
        *self.heap.write() = heap;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)
}

impl Store for FileStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.heap.read().with(&Key::of(key), <[u8]>::to_vec)
    }

    fn look(&self, key: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.heap.read().with(&Key::of(key), take).map(|_| ())
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut records = self.writing.lock();
        write(changes, &mut records)?;
        self.heap.read().write_behind(&records)?;
        let wants_rewrite = {
            let mut heap = self.heap.write();
            heap.take(&records)?;
            heap.wants_rewrite()
        };
        if wants_rewrite { self.rewrite() } else { Ok(()) }
    }

    fn clear(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        let mut heap = self.heap.write();
        // Not the file that is there: its bytes may be what cannot be written.
        delete(&self.path)?;
        *heap = Heap::in_file(open(&self.path)?)?;
        Ok(())
    }

    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.heap.read().each(take)
    }

    fn len(&self) -> usize {
        self.heap.read().keys()
    }
}
