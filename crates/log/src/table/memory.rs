//! A table's store in memory: gone with the process, folded again at the next start.

use super::heap::{Heap, Key, write};
use super::{Change, Store, StoreError};
use parking_lot::{Mutex, RwLock};

/// Keys and values in memory, some 25 bytes beside what they have.
pub struct MemoryStore {
    heap: RwLock<Heap>,
    /// One writes at a time; the buffer is its own.
    writing: Mutex<Vec<u8>>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> MemoryStore {
        MemoryStore { heap: RwLock::new(Heap::in_memory()), writing: Mutex::default() }
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.heap.read().with(&Key::of(key), <[u8]>::to_vec)
    }

    fn look(&self, key: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.heap.read().with(&Key::of(key), take).map(|_| ())
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut records = self.writing.lock();
        write(changes, &mut records)?;
        let mut heap = self.heap.write();
        heap.append(&records)?;
        if heap.wants_rewrite() {
            let mut fresh = Heap::in_memory();
            fresh.take_over(&heap)?;
            *heap = fresh;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        *self.heap.write() = Heap::in_memory();
        Ok(())
    }

    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.heap.read().each(take)
    }

    fn len(&self) -> usize {
        self.heap.read().keys()
    }
}
