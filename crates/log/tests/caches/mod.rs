//! The caches on disk, for tests of stores and of tables.

#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; a test's helpers may panic")]

use eventlog::table::{FileStore, SledStore, Store, StoreError};
use std::path::Path;

/// The caches on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One file with an index.
    File,
    /// sled.
    Sled,
}

/// All of them.
pub const KINDS: [Kind; 2] = [Kind::File, Kind::Sled];

/// A cache that was just let go may hold its folder for a moment: the task that used it is ending.
pub fn cache(dir: &Path, kind: Kind) -> Box<dyn Store> {
    let dir = dir.join("cache");
    let open = || -> Result<Box<dyn Store>, StoreError> {
        Ok(match kind {
            Kind::File => Box::new(FileStore::open(&dir)?),
            Kind::Sled => Box::new(SledStore::open(&dir)?),
        })
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match open() {
            Err(StoreError::Held(_)) if std::time::Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}
