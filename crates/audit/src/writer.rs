//! Writing a log: whatever waits goes to the disk as one group with one sync, is added to the tree, and its head is signed. Only then is
//! an entry answered; one that cannot be written is refused.

use crate::checkpoint::{CheckpointError, Signer, Verifier};
use crate::files::{self, path, whole_lines};
use crate::tree::Tree;
use crate::verify::{Finding, once};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// A file that is longer is followed by the next, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Entries that may wait for the disk; more wait before they are taken.
const WAITING_MAX: usize = 4096;
/// How long a writer that is ending may take.
const LET_GO: Duration = Duration::from_secs(1);

/// Why a log of reads cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The folder or a file in it cannot be used.
    #[error("the log of reads in {}: {source}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes there.
    #[error("the log of reads in {} is held by another process", dir.display())]
    Held {
        /// The folder.
        dir: PathBuf,
    },
    /// Its lines are not those that were signed.
    #[error(
        "the log of reads in {} is not as it was signed: {what}. Nothing is opened until somebody has looked: run `oneknock audit verify`, keep the folder as it is, and name another under [audit] dir to go on",
        dir.display()
    )]
    Altered {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The key that signs.
    #[error(transparent)]
    Signer(#[from] CheckpointError),
    /// This entry was not written: its answer must not go out.
    #[error("the read could not be written down")]
    NotWritten,
}

struct Waiting {
    entry: Vec<u8>,
    done: oneshot::Sender<bool>,
}

/// The writer's door. Cheap to clone; the writer ends with the last one.
#[derive(Clone)]
pub struct AuditLog {
    waiting: mpsc::Sender<Waiting>,
    newest: watch::Receiver<String>,
    name: std::sync::Arc<str>,
}

impl AuditLog {
    /// Opens a log, makes it where there is none, checks all its lines against its newest checkpoint, and starts the writer. Blocks, some
    /// 3 million lines a second. A line that a crash cut off was never answered: it goes.
    ///
    /// # Errors
    /// The folder cannot be used, is held by another process, or was altered.
    pub fn open(dir: &Path, name: &str, signer: Signer) -> Result<AuditLog, AuditError> {
        let failed = |source| AuditError::Io { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir, name)?;
        let mut writer = Writer::open(dir, name, signer)?;
        let note = writer.sign(&writer.tree).and_then(|note| writer.signed().map(|()| note));
        let (tell, newest) = watch::channel(note.map_err(failed)?);
        let (waiting, mut entries) = mpsc::channel::<Waiting>(WAITING_MAX);
        let run = move || {
            // Held as long as the writer lives.
            let _lock = lock;
            let mut group = Vec::new();
            while let Some(first) = entries.blocking_recv() {
                group.push(first);
                while let Ok(next) = entries.try_recv() {
                    group.push(next);
                }
                let written = writer.append(group.iter().map(|waiting| &waiting.entry[..]));
                let is_written = written.is_ok();
                match written {
                    Ok(note) => drop(tell.send(note)),
                    Err(error) => {
                        metrics::counter!("oneknock_inbox_reads_failed_total").increment(group.len() as u64);
                        tracing::error!(%error, entries = group.len(), "the log of reads cannot be written: nothing is shown");
                    }
                }
                for waiting in group.drain(..) {
                    // Whoever asked may have gone; the entry stays.
                    let _ = waiting.done.send(is_written);
                }
            }
        };
        std::thread::Builder::new().name(name.into()).spawn(run).map_err(failed)?;
        Ok(AuditLog { waiting, newest, name: name.into() })
    }

    /// Returns when the entry is on the disk and under a signed head. An entry is a JSON object with at least one member, none named `n`.
    ///
    /// # Errors
    /// [`AuditError::NotWritten`]: the answer must not go out.
    pub async fn record(&self, entry: &impl Serialize) -> Result<(), AuditError> {
        let entry = serde_json::to_vec(entry).map_err(|_| AuditError::NotWritten)?;
        let (done, written) = oneshot::channel();
        self.waiting.send(Waiting { entry, done }).await.map_err(|_| AuditError::NotWritten)?;
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuditError::NotWritten),
        }
    }

    /// As its files are named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The newest checkpoint, to be published.
    pub fn checkpoints(&self) -> watch::Receiver<String> {
        self.newest.clone()
    }
}

/// A writer that is ending lets go within moments: the one of an inbox that was stopped just now, in this process or another.
fn lock(dir: &Path, name: &str) -> Result<File, AuditError> {
    let failed = |source| AuditError::Io { dir: dir.to_owned(), source };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(format!("{name}.lock"))).map_err(failed)?;
    let deadline = Instant::now() + LET_GO;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LET_GO / 100),
            Err(std::fs::TryLockError::WouldBlock) => return Err(AuditError::Held { dir: dir.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

struct Writer {
    dir: PathBuf,
    name: String,
    signer: Signer,
    tree: Tree,
    number: u64,
    file: File,
    /// Length of what is known to be written.
    length: u64,
    /// Half a group may stand behind it.
    torn: bool,
}

impl Writer {
    fn open(dir: &Path, name: &str, signer: Signer) -> Result<Writer, AuditError> {
        let failed = |source| AuditError::Io { dir: dir.to_owned(), source };
        let number = files::numbers(dir, name).map_err(failed)?.last().copied().unwrap_or(1);
        let (file, length) = open_file(dir, name, number).map_err(failed)?;
        let verifier = Verifier::new(signer.verifier(), "the signer")?;
        let (report, tree) = once(dir, name, &verifier, &[]).map_err(failed)?;
        // What a crash left unsigned was synced, and may have been seen on a screen: it is signed now.
        let harmless = |finding: &Finding| matches!(finding, Finding::Unsigned { .. } | Finding::NoCheckpoint);
        match report.findings.iter().find(|finding| !harmless(finding)) {
            Some(finding) => Err(AuditError::Altered { dir: dir.to_owned(), what: finding.to_string() }),
            None => Ok(Writer { dir: dir.to_owned(), name: name.to_owned(), signer, tree, number, file, length, torn: false }),
        }
    }

    /// Writes entries and the head over them, and answers the note: both stand, or neither, so that what was refused is no line that nobody signed.
    fn append<'e>(&mut self, entries: impl Iterator<Item = &'e [u8]>) -> io::Result<String> {
        if self.length > FILE_BYTES_MAX {
            (self.file, self.length) = open_file(&self.dir, &self.name, self.number + 1)?;
            self.number += 1;
        }
        // What was half written was not answered: it goes before anything else is written.
        if std::mem::replace(&mut self.torn, true) {
            self.file.set_len(self.length)?;
        }
        let (mut lines, mut tree) = (Vec::new(), self.tree.clone());
        for entry in entries {
            let start = lines.len();
            write!(lines, "{{\"n\":{},", tree.len())?;
            lines.extend_from_slice(entry.get(1..).unwrap_or_default());
            tree.push(&lines[start..]);
            lines.push(b'\n');
        }
        let note = self.sign(&tree)?;
        if let Err(error) = self.file.write_all(&lines).and_then(|()| self.file.sync_data()).and_then(|()| self.signed()) {
            // Tried once more before the next ones.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.tree = tree;
        self.torn = false;
        Ok(note)
    }

    /// Signs a head and writes it down beside the one that counts.
    fn sign(&self, tree: &Tree) -> io::Result<String> {
        let note = self.signer.sign(&self.name, tree).map_err(io::Error::other)?;
        std::fs::write(self.beside(), &note)?;
        Ok(note)
    }

    /// What was signed last counts.
    fn signed(&self) -> io::Result<()> {
        std::fs::rename(self.beside(), files::checkpoint_path(&self.dir, &self.name))
    }

    fn beside(&self) -> PathBuf {
        files::checkpoint_path(&self.dir, &self.name).with_extension("new")
    }
}

fn open_file(dir: &Path, name: &str, number: u64) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path(dir, name, number))?;
    let length = whole_lines(&mut file)?;
    if length < file.metadata()?.len() {
        tracing::warn!(file = number, "a read that was cut off by a crash, and so never answered, is taken out");
        file.set_len(length)?;
    }
    File::open(dir)?.sync_all()?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(dir: &Path) -> Result<AuditLog, AuditError> {
        AuditLog::open(dir, "reads", Signer::open(dir).unwrap())
    }

    fn lines(dir: &Path) -> Vec<String> {
        std::fs::read_to_string(path(dir, "reads", 1)).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn what_a_crash_cut_off_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap().record(&json!({"a": 1})).await.unwrap();
        let mut file = OpenOptions::new().append(true).open(path(dir.path(), "reads", 1)).unwrap();
        write!(file, "{{\"n\":1,\"cut\":\"{}", "x".repeat(5000)).unwrap();
        open(dir.path()).unwrap().record(&json!({"tasks": ["t1"]})).await.unwrap();
        assert_eq!(lines(dir.path()), ["{\"n\":0,\"a\":1}", "{\"n\":1,\"tasks\":[\"t1\"]}"]);
    }

    #[tokio::test]
    async fn what_was_synced_before_a_crash_and_not_yet_signed_stays() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap().record(&json!({"a": 1})).await.unwrap();
        let mut file = OpenOptions::new().append(true).open(path(dir.path(), "reads", 1)).unwrap();
        writeln!(file, "{{\"n\":1,\"b\":1}}").unwrap();
        open(dir.path()).unwrap().record(&json!({"c": 1})).await.unwrap();
        assert_eq!(lines(dir.path()).len(), 3);
    }

    #[tokio::test]
    async fn a_log_that_was_altered_is_not_written_on() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).unwrap();
        for _ in 0..3 {
            log.record(&json!({"actor": "w-0001"})).await.unwrap();
        }
        drop(log);
        let whole = std::fs::read_to_string(path(dir.path(), "reads", 1)).unwrap();
        for altered in [whole.replacen("w-0001", "w-0002", 1), whole.lines().take(2).map(|line| format!("{line}\n")).collect()] {
            std::fs::write(path(dir.path(), "reads", 1), altered).unwrap();
            let refused = open(dir.path()).err();
            assert!(matches!(refused, Some(AuditError::Altered { .. })), "{refused:?}");
        }
        std::fs::write(path(dir.path(), "reads", 1), whole).unwrap();
        assert!(open(dir.path()).is_ok());
    }

    #[tokio::test]
    async fn the_folder_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let _held = open(dir.path()).unwrap();
        assert!(matches!(open(dir.path()), Err(AuditError::Held { .. })));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", path(dir.path(), "reads", 1)).unwrap();
        let log = open(dir.path()).unwrap();
        assert!(matches!(log.record(&json!({"a": 1})).await, Err(AuditError::NotWritten)));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_was_refused_is_no_line_and_nothing_is_left_unsigned() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).unwrap();
        log.record(&json!({"a": 1})).await.unwrap();
        let beside = dir.path().join("reads.new");
        let whole = || crate::verify(dir.path(), "reads", &Verifier::new(Signer::open(dir.path()).unwrap().verifier(), "it").unwrap(), &[]);
        // No room for the head; then no way for it to take its place.
        std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
        assert!(matches!(log.record(&json!({"b": 1})).await, Err(AuditError::NotWritten)));
        std::fs::remove_file(&beside).unwrap();
        let checkpoint = files::checkpoint_path(dir.path(), "reads");
        let before = std::fs::read(&checkpoint).unwrap();
        std::fs::remove_file(&checkpoint).unwrap();
        std::fs::create_dir_all(checkpoint.join("in the way")).unwrap();
        assert!(matches!(log.record(&json!({"c": 1})).await, Err(AuditError::NotWritten)));
        std::fs::remove_dir_all(&checkpoint).unwrap();
        std::fs::write(&checkpoint, before).unwrap();
        assert!(lines(dir.path()) == ["{\"n\":0,\"a\":1}"] && whole().unwrap().is_whole());
        log.record(&json!({"d": 1})).await.unwrap();
        assert!(lines(dir.path()) == ["{\"n\":0,\"a\":1}", "{\"n\":1,\"d\":1}"] && whole().unwrap().is_whole());
    }
}
