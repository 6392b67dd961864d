//! The file of one mandate's keys: which suite they are of, and its secrets, wrapped.
//!
//! ```text
//! {"format":"oneknock-mandate-keys","version":2,"mandate":"…","suite":1,
//!  "secrets":[{"key_id":"8 hex digits","since":"2026-01-01T00:00:00Z","wrapped":"…"},…]}
//! ```
//! The first secret is the root; each rotation of the wrapping key adds one. Must not know who wraps them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use events::Millis;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::keyring::KeyringError;
use crate::mandate::key_id;
use crate::suite::{Key, Suite};
use crate::wrap::{KeyWrap, WrapError};

const FORMAT: &str = "oneknock-mandate-keys";
const VERSION: u32 = 2;
const SUFFIX: &str = ".json";

/// Longest id of a mandate, in bytes: its file's name (three characters a byte at most) and what stands around
/// it while it is written must fit into 255.
pub const MANDATE_BYTES_MAX: usize = 64;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    format: String,
    version: u32,
    pub mandate: String,
    suite: u8,
    pub secrets: Vec<Wrapped>,
}

/// One secret, wrapped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// Which version of the wrapping key comes of it.
    pub key_id: String,
    /// When it was drawn, in RFC 3339.
    pub since: String,
    wrapped: String,
}

/// A mandate's secrets, in clear.
pub struct Secrets {
    pub suite: Suite,
    pub root: Key,
    pub later: Vec<Key>,
}

impl KeyFile {
    /// With a first secret.
    pub fn draw(mandate: &str, suite: Suite, wrap: &dyn KeyWrap) -> Result<(Self, Secrets), WrapError> {
        let mut file =
            KeyFile { format: FORMAT.to_owned(), version: VERSION, mandate: mandate.to_owned(), suite: suite.id(), secrets: Vec::new() };
        let root = file.add(suite, wrap)?;
        Ok((file, Secrets { suite, root, later: Vec::new() }))
    }

    /// Draws one more secret.
    pub fn add(&mut self, suite: Suite, wrap: &dyn KeyWrap) -> Result<Key, WrapError> {
        let (secret, wrapped) = wrap.draw(&self.mandate)?;
        let key_id = hex::encode(key_id(suite, &self.mandate, &secret));
        self.secrets.push(Wrapped { key_id, since: events::time::format(now()), wrapped });
        Ok(secret)
    }

    /// Its suite; checked when it was read.
    pub fn suite(&self) -> Suite {
        Suite::of_id(self.suite).unwrap_or_default()
    }

    /// Opens the secrets, and looks whether they are those of which the file speaks.
    pub fn open(&self, wrap: &dyn KeyWrap) -> Result<Secrets, WrapError> {
        let wrapped: Vec<&str> = self.secrets.iter().map(|secret| secret.wrapped.as_str()).collect();
        let secrets = wrap.unwrap(&self.mandate, &wrapped)?;
        let suite = self.suite();
        let ids = secrets.iter().map(|secret| hex::encode(key_id(suite, &self.mandate, secret)));
        if !ids.eq(self.secrets.iter().map(|secret| secret.key_id.clone())) {
            return Err(WrapError::Foreign);
        }
        let mut secrets = secrets.into_iter();
        let root = secrets.next().ok_or(WrapError::Foreign)?;
        Ok(Secrets { suite, root, later: secrets.collect() })
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "texts and numbers always have a JSON form")]
        let bytes = serde_json::to_vec(self).expect("texts and numbers are JSON");
        bytes
    }
}

/// The files of a directory, by mandate.
pub fn read_all(dir: &Path) -> Result<BTreeMap<String, (PathBuf, KeyFile)>, KeyringError> {
    files::check_directory(dir)?;
    let unreadable = |source| FileError::Io { path: dir.to_owned(), doing: "list", source };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A name with a dot in front is a write that was interrupted, or somebody else's.
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            let file = read(&path)?;
            found.insert(file.mandate.clone(), (path, file));
        }
    }
    Ok(found)
}

/// One file.
pub fn read(path: &Path) -> Result<KeyFile, KeyringError> {
    let wrong = |reason| KeyringError::Content { path: path.to_owned(), reason };
    let text = files::read(path)?;
    // serde_json's own message may quote the text.
    let head: Head = serde_json::from_str(&text).map_err(|_| wrong("it is no JSON of format, version, mandate, suite and secrets"))?;
    if head.format != FORMAT || head.version != VERSION {
        return Err(wrong("its format or version is none that this program knows"));
    }
    let file: KeyFile = serde_json::from_str(&text).map_err(|_| wrong("it is no JSON of format, version, mandate, suite and secrets"))?;
    if path.file_name().and_then(|name| name.to_str()) != Some(&file_name(&file.mandate)?) {
        return Err(wrong("it names another mandate than its file"));
    }
    if Suite::of_id(file.suite).is_none() {
        return Err(wrong("its suite is none that this program knows"));
    }
    if file.secrets.is_empty() {
        return Err(wrong("it has no secret"));
    }
    Ok(file)
}

/// What files of every version have.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// The file of a mandate: its id with everything but letters, digits, `-`, `_` and inner dots written as `%XX`.
pub fn file_name(id: &str) -> Result<String, KeyringError> {
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

/// The one place of this crate that asks what time it is.
fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
