//! A table's store in memory: gone with the process, folded again at the next start.

use super::{Change, Store, StoreError};
use parking_lot::RwLock;
use std::collections::HashMap;

/// Keys and values in memory, each in no more bytes than it has.
#[derive(Default)]
pub struct MemoryStore {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<Box<str>, Box<[u8]>>,
    notes: HashMap<Box<str>, Box<[u8]>>,
}

impl Kept {
    fn of(&mut self, key: &str) -> &mut HashMap<Box<str>, Box<[u8]>> {
        if key.starts_with('\0') { &mut self.notes } else { &mut self.values }
    }
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let kept = self.kept.read();
        let values = if key.starts_with('\0') { &kept.notes } else { &kept.values };
        Ok(values.get(key).map(|value| value.to_vec()))
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut kept = self.kept.write();
        for &(key, value) in changes {
            let values = kept.of(key);
            match value {
                None => drop(values.remove(key)),
                Some(value) => match values.get_mut(key) {
                    Some(place) => *place = value.into(),
                    None => drop(values.insert(key.into(), value.into())),
                },
            }
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        *self.kept.write() = Kept::default();
        Ok(())
    }

    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.kept.read().values.iter().for_each(|(key, value)| take(key, value));
        Ok(())
    }

    fn len(&self) -> usize {
        self.kept.read().values.len()
    }
}
