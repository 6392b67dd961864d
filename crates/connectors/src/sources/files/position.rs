//! How far each file has been read: a small JSON file in the site's state directory, written whole, durable before anything rests on it.
//!
//! A file is known by its device and inode, and by a digest of its first bytes: a renamed file goes on where it was, another one in its place
//! begins anew.

use super::super::SourceError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const HEAD_BYTES_MAX: usize = 4_096;
/// Files remembered; those that are gone are forgotten beyond it.
const FILES_MAX: usize = 10_000;

/// Where one file stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// Digest of its first bytes, and how many.
    pub head: (usize, String),
    /// Bytes that are done.
    pub offset: u64,
    /// Rows that are done; in a CSV file the header is the first.
    pub rows: u64,
    /// Inside a record that is too long: pass over up to the next line end.
    pub is_skipping: bool,
    /// Bytes of the rejects file that belong to what is done.
    pub rejects_bytes: u64,
    /// The columns of a CSV file by the fields' names, once its header was read; others are null.
    pub columns: Option<Vec<Option<String>>>,
    /// Lines with other than ASCII bytes that were UTF-8, and that were not.
    pub lines_utf8: u64,
    /// See `lines_utf8`.
    pub lines_other: u64,
}

/// All files of one source.
#[derive(Debug, Default)]
pub struct Positions {
    path: PathBuf,
    files: BTreeMap<String, FilePosition>,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SourceError + '_ {
    move |error| SourceError::File { path: path.display().to_string(), reason: error.to_string() }
}

impl Positions {
    /// Reads them; none where there is no file yet.
    pub fn open(path: PathBuf) -> Result<Positions, SourceError> {
        let files = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(&path)(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(&path)(error)),
        };
        Ok(Positions { path, files })
    }

    /// Where an open file stands: its identity and position, or a fresh one where it is another file than before.
    pub fn of(&self, file: &File) -> io::Result<(String, FilePosition)> {
        let metadata = file.metadata()?;
        let identity = format!("{}:{}", metadata.dev(), metadata.ino());
        let position = match self.files.get(&identity) {
            Some(known) if known.offset <= metadata.len() && digest(file, known.head.0)? == known.head.1 => known.clone(),
            _ => FilePosition { head: (0, digest(file, 0)?), ..FilePosition::default() },
        };
        Ok((identity, position))
    }

    /// Writes down where a file stands. Durable when it answers.
    pub fn save(&mut self, identity: &str, file: &File, mut position: FilePosition) -> Result<(), SourceError> {
        let length = usize::try_from(position.offset).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX);
        if length > position.head.0 {
            position.head = (length, digest(file, length).map_err(failed(&self.path))?);
        }
        self.files.insert(identity.to_owned(), position);
        self.write().map_err(failed(&self.path))
    }

    /// Forgets files that are gone, where they have become too many.
    pub fn forget_others(&mut self, present: &[String]) {
        if self.files.len() > FILES_MAX {
            self.files.retain(|identity, _| present.contains(identity));
        }
    }

    fn write(&self) -> io::Result<()> {
        let beside = self.path.with_extension("json.tmp");
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(&self.files)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn digest(file: &File, length: usize) -> io::Result<String> {
    let mut head = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(hex::encode(Sha256::digest(&head[..filled])))
}
