//! The log of reads: who opened which personal data, written and synced before the answer goes out.
//!
//! JSON lines in files of their own, apart from the log: `reads-00000001.jsonl` and on. One thread writes whatever waits as one group
//! with one fsync. A read that cannot be written is not answered. No personal data stands in here: names of workers, ids of tasks.

use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// A file that is longer is followed by the next, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Entries that may wait for the disk; more wait before they are taken.
const WAITING_MAX: usize = 4096;

/// Why the log of reads cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadsError {
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
    /// This entry was not written: its answer must not go out.
    #[error("the read could not be written down")]
    NotWritten,
}

/// One answer that holds personal data.
#[derive(Clone, Debug, Serialize)]
pub struct Entry<'a> {
    /// RFC 3339.
    pub at: String,
    /// Who reads.
    pub actor: &'a str,
    /// `worker` or `supervisor`.
    pub role: &'static str,
    /// `list`, `detail`, `stream` or `action`.
    pub what: &'static str,
    /// Which tasks.
    pub tasks: Vec<&'a str>,
    /// What of them was opened: `address`, `contact`, `note`.
    pub fields: Vec<&'static str>,
    /// Where they are.
    pub grids: Vec<&'a str>,
}

struct Waiting {
    line: Vec<u8>,
    done: oneshot::Sender<bool>,
}

/// How long a writer that is ending may take.
const LET_GO: Duration = Duration::from_secs(1);

/// The writer's door. Cheap to clone; the writer ends with the last one.
#[derive(Clone)]
pub struct Reads {
    waiting: mpsc::Sender<Waiting>,
}

impl Reads {
    /// Opens the folder, makes it where there is none, and starts the writer. Blocks for a second at most. A line that a crash cut off was never answered: it goes.
    pub fn open(dir: &Path) -> Result<Reads, ReadsError> {
        let failed = |source| ReadsError::Io { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(failed)?;
        // A writer that is ending lets go within moments: the one of an inbox that was stopped just now, in this process or another.
        let deadline = Instant::now() + LET_GO;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LET_GO / 100),
                Err(std::fs::TryLockError::WouldBlock) => return Err(ReadsError::Held { dir: dir.to_owned() }),
                Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let mut writer = Writer::open(dir, newest(dir).map_err(failed)?.max(1)).map_err(failed)?;
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
                let lines: Vec<u8> = group.iter().flat_map(|waiting| waiting.line.iter().copied()).collect();
                let written = writer.append(&lines).inspect_err(|error| {
                    metrics::counter!("oneknock_inbox_reads_failed_total").increment(group.len() as u64);
                    tracing::error!(%error, entries = group.len(), "the log of reads cannot be written: nothing is shown");
                });
                for waiting in group.drain(..) {
                    // Whoever asked may have gone; the entry stays.
                    let _ = waiting.done.send(written.is_ok());
                }
            }
        };
        std::thread::Builder::new().name("reads".into()).spawn(run).map_err(failed)?;
        Ok(Reads { waiting })
    }

    /// Returns when the entry is on the disk.
    ///
    /// # Errors
    /// [`ReadsError::NotWritten`]: the answer must not go out.
    pub async fn record(&self, entry: &Entry<'_>) -> Result<(), ReadsError> {
        let mut line = serde_json::to_vec(entry).map_err(|_| ReadsError::NotWritten)?;
        line.push(b'\n');
        let (done, written) = oneshot::channel();
        self.waiting.send(Waiting { line, done }).await.map_err(|_| ReadsError::NotWritten)?;
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ReadsError::NotWritten),
        }
    }
}

struct Writer {
    dir: PathBuf,
    number: u64,
    file: File,
    /// Length of what is known to be written.
    length: u64,
    /// Half a group may stand behind it.
    torn: bool,
}

impl Writer {
    fn open(dir: &Path, number: u64) -> io::Result<Writer> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path(dir, number))?;
        let length = whole_lines(&mut file)?;
        if length < file.metadata()?.len() {
            tracing::warn!(file = number, "a read that was cut off by a crash, and so never answered, is taken out");
            file.set_len(length)?;
        }
        File::open(dir)?.sync_all()?;
        Ok(Writer { dir: dir.to_owned(), number, file, length, torn: false })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.length > FILE_BYTES_MAX {
            *self = Writer::open(&self.dir, self.number + 1)?;
        }
        // What was half written was not answered: it goes before anything else is written.
        if std::mem::replace(&mut self.torn, true) {
            self.file.set_len(self.length)?;
        }
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        self.torn = false;
        Ok(())
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("reads-{number:08}.jsonl"))
}

/// The highest number there is; 0 for none.
fn newest(dir: &Path) -> io::Result<u64> {
    let mut highest = 0;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("reads-")?.strip_suffix(".jsonl")?.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest)
}

/// The length of all lines that end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(task: &str) -> Entry<'_> {
        Entry {
            at: "2026-01-01T00:00:00Z".into(),
            actor: "w",
            role: "worker",
            what: "list",
            tasks: vec![task],
            fields: vec!["address"],
            grids: vec!["g1"],
        }
    }

    fn lines(dir: &Path) -> Vec<String> {
        std::fs::read_to_string(path(dir, 1)).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn what_a_crash_cut_off_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path(), 1), format!("{{\"a\":1}}\n{{\"cut\":\"{}", "x".repeat(5000))).unwrap();
        let reads = Reads::open(dir.path()).unwrap();
        reads.record(&entry("t1")).await.unwrap();
        let found = lines(dir.path());
        assert_eq!(found[0], "{\"a\":1}");
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("\"tasks\":[\"t1\"]"));
    }

    #[tokio::test]
    async fn the_folder_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Reads::open(dir.path()).unwrap();
        assert!(matches!(Reads::open(dir.path()), Err(ReadsError::Held { .. })));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", path(dir.path(), 1)).unwrap();
        let reads = Reads::open(dir.path()).unwrap();
        assert!(matches!(reads.record(&entry("t1")).await, Err(ReadsError::NotWritten)));
    }
}
