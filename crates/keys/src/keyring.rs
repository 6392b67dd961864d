//! The keys of a site: one directory (mode 0700), one file for each mandate (mode 0600).
//!
//! A file holds 32 random bytes, the root of which all keys of its mandate are derived:
//! `{"format":"oneknock-mandate-keys","version":1,"mandate":"…","root":"64 hex digits"}`. Losing it is the mandate's
//! end: it is in no topic and must be in no backup. Which mandates are in force is not known here.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::files::{self, FileError};
use crate::mandate::MandateKeys;
use crate::seal::random;

const FORMAT: &str = "oneknock-mandate-keys";
const VERSION: u32 = 1;
const SUFFIX: &str = ".json";

/// Longest id of a mandate, in bytes: its file's name (three characters a byte at most) and what stands around
/// it while it is written must fit into 255.
const MANDATE_BYTES_MAX: usize = 64;

/// Why the keyring can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file or directory can't be used as it is.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file's content is not that of a mandate's keys.
    #[error("{}: not a mandate's keys: {reason}; put back the file that `oneknock init` or `oneknock mandate open` wrote, or move it away", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was found; never the content itself.
        reason: &'static str,
    },
    /// An id that can't be a mandate's: empty, too long, or with `/`, a leading `~` or control characters.
    #[error("a mandate's id has 1 to {MANDATE_BYTES_MAX} bytes, no `/`, no control character and no `~` in front")]
    BadMandateId,
}

/// All mandates' keys of this process, shared between threads.
pub struct Keyring {
    dir: PathBuf,
    mandates: RwLock<HashMap<String, Arc<MandateKeys>>>,
    /// Held by whoever changes files and map together; reading the map never waits for a disk.
    changing: Mutex<()>,
}

impl Keyring {
    /// Opens the keyring in `dir`, and makes the directory where there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn init(dir: &Path) -> Result<Self, KeyringError> {
        files::create_directory(dir)?;
        Self::open(dir)
    }

    /// Opens the keyring in `dir` with all mandates in it.
    ///
    /// # Errors
    /// If the directory is missing, or it or a file in it is open to others or damaged.
    pub fn open(dir: &Path) -> Result<Self, KeyringError> {
        let mandates = RwLock::new(read_all(dir)?.into_iter().map(|(id, root)| (id.clone(), opened(&id, &root))).collect());
        Ok(Self { dir: dir.to_owned(), mandates, changing: Mutex::new(()) })
    }

    /// The keys of a mandate; `None` where this site has none, or they were destroyed.
    #[must_use]
    pub fn mandate(&self, id: &str) -> Option<Arc<MandateKeys>> {
        self.mandates.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The ids of all mandates with keys here, sorted.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.mandates.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Draws keys for a new mandate and writes them, durably, before they are used.
    ///
    /// # Errors
    /// [`FileError::Exists`] where the mandate has keys already; they are never replaced.
    pub fn create_mandate(&self, id: &str) -> Result<Arc<MandateKeys>, KeyringError> {
        let path = self.path(id)?;
        let _changing = self.change();
        let root = Zeroizing::new(random::<32>());
        let text = KeyFile { format: FORMAT.to_owned(), version: VERSION, mandate: id.to_owned(), root: hex::encode(*root) }.text();
        files::create(&path, text.as_bytes())?;
        let keys = opened(id, &root);
        self.mandates.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Arc::clone(&keys));
        Ok(keys)
    }

    /// Reads the directory again: mandates that came are here, those whose file is gone are not. Keys that did not
    /// change stay the same object. On an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reload(&self) -> Result<(), KeyringError> {
        let _changing = self.change();
        let found = read_all(&self.dir)?;
        let mut mandates = self.mandates.write().unwrap_or_else(PoisonError::into_inner);
        mandates.retain(|id, _| found.contains_key(id));
        for (id, root) in &found {
            let fresh = opened(id, root);
            if mandates.get(id).is_none_or(|known| known.key_id() != fresh.key_id()) {
                mandates.insert(id.clone(), fresh);
            }
        }
        Ok(())
    }

    /// Destroys a mandate's keys: its file is overwritten and removed, and this process gives them to nobody any more.
    /// What holds them already must let go of them. There is no way back.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there are none.
    pub fn destroy(&self, id: &str) -> Result<(), KeyringError> {
        let path = self.path(id)?;
        let _changing = self.change();
        self.mandates.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(files::destroy(&path)?)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &str) -> Result<PathBuf, KeyringError> {
        Ok(self.dir.join(file_name(id)?))
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What stands in a mandate's file. No `Debug`: the root is the mandate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    version: u32,
    mandate: String,
    root: String,
}

impl KeyFile {
    fn text(&self) -> Zeroizing<String> {
        #[expect(clippy::expect_used, reason = "three texts and a number always have a JSON form")]
        let text = serde_json::to_string(self).expect("texts and numbers are JSON");
        Zeroizing::new(text)
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.root.zeroize();
    }
}

fn opened(id: &str, root: &[u8; 32]) -> Arc<MandateKeys> {
    Arc::new(MandateKeys::derive(id, root))
}

fn read_all(dir: &Path) -> Result<HashMap<String, Zeroizing<[u8; 32]>>, KeyringError> {
    files::check_directory(dir)?;
    let unreadable = |source| FileError::Io { path: dir.to_owned(), doing: "list", source };
    let mut roots = HashMap::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A name with a dot in front is a write that was interrupted, or somebody else's.
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            let (id, root) = read_one(&path, &name)?;
            roots.insert(id, root);
        }
    }
    Ok(roots)
}

fn read_one(path: &Path, name: &str) -> Result<(String, Zeroizing<[u8; 32]>), KeyringError> {
    let wrong = |reason| KeyringError::Content { path: path.to_owned(), reason };
    let text = files::read(path)?;
    // serde_json's own message may quote the text.
    let file: KeyFile = serde_json::from_str(&text).map_err(|_| wrong("it is no JSON of format, version, mandate and root"))?;
    if file.format != FORMAT || file.version != VERSION {
        return Err(wrong("its format or version is none that this program knows"));
    }
    if file_name(&file.mandate)? != name {
        return Err(wrong("it names another mandate than its file"));
    }
    let mut root = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&file.root, root.as_mut_slice()).map_err(|_| wrong("its root is not 64 hexadecimal digits"))?;
    Ok((file.mandate.clone(), root))
}

/// The file of a mandate: its id with everything but letters, digits, `-`, `_` and inner dots written as `%XX`.
fn file_name(id: &str) -> Result<String, KeyringError> {
    let bad = id.is_empty() || id.len() > MANDATE_BYTES_MAX || id.starts_with('~') || id.contains(|c: char| c == '/' || c.is_control());
    if bad {
        return Err(KeyringError::BadMandateId);
    }
    let mut name = String::with_capacity(id.len() + SUFFIX.len());
    for (at, byte) in id.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(name + SUFFIX)
}
