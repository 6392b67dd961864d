//! Who holds the embedded log: a file lock that names its holder's process. The system lets it go when the process ends, however that is.

use crate::LogError;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// Held until it is dropped.
pub(super) struct Lock {
    _file: File,
}

/// Takes the folder's lock.
pub(super) fn take(dir: &Path) -> Result<Lock, LogError> {
    let path = dir.join("lock");
    let away = |error: std::io::Error| LogError::Refused(format!("{}: {error}", path.display()));
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(away)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(away)?;
            writeln!(file, "{}", std::process::id()).map_err(away)?;
            Ok(Lock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
                _ => "unknown".to_owned(),
            };
            Err(LogError::Held { dir: dir.display().to_string(), holder })
        }
        Err(TryLockError::Error(error)) => Err(away(error)),
    }
}
