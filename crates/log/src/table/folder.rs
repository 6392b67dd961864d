//! The folder that a cache lies in: one store at a time uses it, and what it deletes is gone at once.

use super::StoreError;
use std::fs::File;
use std::path::Path;

pub fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Makes the folder, if need be, and keeps others out for as long as the answer lives.
pub fn claim(dir: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("cache.lock")).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StoreError::Held(dir.display().to_string()),
        std::fs::TryLockError::Error(error) => failed(error),
    })?;
    Ok(lock)
}

/// By renaming first: a process killed in the midst of deleting leaves nothing that looks like a cache.
pub fn delete(path: &Path) -> Result<(), StoreError> {
    let doomed = path.with_extension("gone");
    remove(&doomed)?;
    if path.exists() {
        std::fs::rename(path, &doomed).map_err(failed)?;
    }
    remove(&doomed)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path).map_err(failed),
        Ok(_) => std::fs::remove_file(path).map_err(failed),
        Err(_) => Ok(()),
    }
}
