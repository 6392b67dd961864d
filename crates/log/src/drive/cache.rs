//! An owner's cache: a snapshot of the fold of one partition, with the offset to be read next and the highest epoch. A file that is
//! written whole beside the last one and then takes its name; a digest over all of it stands at its end. It is thrown away where it
//! cannot be trusted.

use crate::clock::now_ms;
use crate::owner::{Snapshot, States};
use crate::{From, Log};
use bytes::Bytes;
use events::topics::MIN_COMPACTION_LAG_MS;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the file begins with: kind and version.
const MAGIC: &[u8; 8] = b"okfold01";
const DIGEST: usize = 32;
/// How long the record at the mark may take to arrive.
const LOOK: Duration = Duration::from_secs(10);

/// The cache of one partition's fold.
pub struct FoldCache {
    path: PathBuf,
    writing: Option<tokio::task::JoinHandle<()>>,
}

impl FoldCache {
    /// Opens it, with the fold that it holds, if that can be trusted.
    pub(super) async fn open(dir: &Path, log: &dyn Log, topic: &str, partition: i32) -> (FoldCache, Option<Snapshot>) {
        let path = dir.join(format!("{topic}-{partition}.fold"));
        let read = path.clone();
        let fold = tokio::task::spawn_blocking(move || load(&read)).await.ok().flatten();
        let trusted = match &fold {
            Some(fold) => is_young(log, topic, partition, fold.tail).await,
            None => false,
        };
        (FoldCache { path, writing: None }, fold.filter(|_| trusted))
    }

    /// Writes a snapshot in the background. While the one before is still being written there is no need for another.
    pub(super) fn store(&mut self, snapshot: Snapshot) {
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let path = self.path.clone();
        let write = move || {
            if let Err(error) = store(&path, &snapshot) {
                tracing::warn!(%error, "a partition's cache cannot be written: the next start folds more");
            }
        };
        self.writing = Some(tokio::task::spawn_blocking(write));
    }

    /// Waits until what was stored is in its place.
    pub(super) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
    }
}

/// None: there is no file, or it is not whole.
fn load(path: &Path) -> Option<Snapshot> {
    let file = Bytes::from(std::fs::read(path).ok()?);
    let body = file.len().checked_sub(DIGEST)?;
    if file[body..] != *Sha256::digest(&file[..body]) {
        tracing::warn!("a partition's cache is damaged: its topic is folded again");
        return None;
    }
    let mut rest = file.slice(..body);
    let mut take = |length: usize| (length <= rest.len()).then(|| rest.split_to(length));
    if take(MAGIC.len())? != MAGIC[..] {
        return None;
    }
    let mut number = || take(8).and_then(|bytes| Some(i64::from_be_bytes(bytes[..].try_into().ok()?)));
    let (tail, highest_epoch, count) = (number()?, number()?, number()?);
    let mut states = States::with_capacity_and_hasher(usize::try_from(count).ok()?.min(body), Default::default());
    let mut part = || {
        let length = take(4)?;
        take(u32::from_be_bytes(length[..].try_into().ok()?) as usize)
    };
    for _ in 0..count {
        let (key, value) = (part()?, part()?);
        states.insert(Arc::from(std::str::from_utf8(&key).ok()?), value);
    }
    Some(Snapshot { states, tail, highest_epoch })
}

fn store(path: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let beside = path.with_extension("new");
    let mut out = Digested { file: BufWriter::with_capacity(1 << 16, File::create(&beside)?), digest: Sha256::new() };
    out.write(MAGIC)?;
    for number in [snapshot.tail, snapshot.highest_epoch, snapshot.states.len() as i64] {
        out.write(&number.to_be_bytes())?;
    }
    for (key, value) in &snapshot.states {
        for part in [key.as_bytes(), &value[..]] {
            let length = u32::try_from(part.len()).map_err(std::io::Error::other)?;
            out.write(&length.to_be_bytes())?;
            out.write(part)?;
        }
    }
    let Digested { mut file, digest } = out;
    file.write_all(&digest.finalize())?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    std::fs::rename(beside, path)
}

struct Digested {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Digested {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Whether the record at the mark is younger than compaction waits: then nothing behind the mark has been taken away yet. A mark behind
/// the end belongs to another log.
async fn is_young(log: &dyn Log, topic: &str, partition: i32, tail: i64) -> bool {
    let Ok((_, end)) = log.offsets(topic, partition).await else { return false };
    if tail >= end {
        return tail == end;
    }
    let from = From { topic: topic.to_owned(), partition, offset: tail };
    let Ok(mut reader) = log.read(vec![from]).await else { return false };
    match tokio::time::timeout(LOOK, reader.next()).await {
        Ok(Ok(batch)) => batch.records.first().is_some_and(|record| now_ms() - record.timestamp < MIN_COMPACTION_LAG_MS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let states = (0..50).map(|at| (Arc::from(format!("m/h{at}")), Bytes::from(vec![at; 40]))).collect();
        Snapshot { states, tail: 1234, highest_epoch: 7 }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/topic-0.fold");
        store(&path, &snapshot()).unwrap();
        assert_eq!(load(&path).unwrap(), snapshot());
        let newer = Snapshot { tail: 1300, states: States::default(), ..snapshot() };
        store(&path, &newer).unwrap();
        assert_eq!(load(&path).unwrap(), newer);
    }

    /// Every bit of it, and every length: nothing of a damaged file is believed.
    #[test]
    fn a_damaged_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("topic-0.fold");
        assert_eq!(load(&path), None);
        store(&path, &snapshot()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(load(&path), None, "a bit of byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(load(&path), None, "{at} bytes of {}", whole.len());
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(load(&path), None, "a byte too many");
    }
}
