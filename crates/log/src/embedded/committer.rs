//! One thread takes all that waits into one commit, which is one fsync; then readers may have it and the appends are acknowledged.
//! Order is fixed when something is put into the queue.
//!
//! After a commit that failed nothing is taken any more: what was appended behind it must not land without it.

use super::partition::{Partition, Piece};
use super::store::{ENDS, NOTED, PIECES, away, piece_key};
use crate::chunk::Writer;
use crate::{Append, Appended, From, LogError};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use redb::Database;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Most bytes of one commit: what comes behind waits no longer than writing so much takes.
const COMMIT_BYTES: usize = 16 << 20;
/// Most bytes that wait. More is refused: somebody appends without awaiting.
const QUEUE_BYTES: usize = 512 << 20;
/// A piece ends behind the record that fills it.
pub(super) const PIECE_BYTES: usize = 128 << 10;
pub(super) const PIECE_RECORDS: u32 = 1_000;

/// What is to be written.
pub(super) enum Work {
    /// Records, each with its partition.
    Append(Vec<(Arc<Partition>, Append)>, oneshot::Sender<Result<Vec<Appended>, LogError>>),
    /// How far a group has got.
    Note(String, Vec<From>, oneshot::Sender<Result<Vec<Appended>, LogError>>),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Append(records, _) => records.iter().map(|(_, append)| append_bytes(append)).sum(),
            Work::Note(..) => 64,
        }
    }

    fn answer(self, answer: Result<Vec<Appended>, LogError>) {
        let (Work::Append(_, acknowledge) | Work::Note(_, _, acknowledge)) = self;
        // Whoever does not wait for it any more needs no answer.
        let _ = acknowledge.send(answer);
    }
}

fn append_bytes(append: &Append) -> usize {
    let headers: usize = append.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    48 + append.key.len() + append.value.as_ref().map_or(0, Bytes::len) + headers
}

/// What waits for the committer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<(usize, Work)>,
    bytes: usize,
    ended: Option<LogError>,
}

impl Queue {
    /// Puts it behind everything that is there; answers at once where nothing is taken.
    pub fn put(&self, work: Work) {
        let bytes = work.bytes();
        let mut state = self.state.lock();
        let refusal = match &state.ended {
            Some(error) => Some(error.clone()),
            None if state.bytes > QUEUE_BYTES => Some(LogError::Away(format!("{} bytes wait to be written", state.bytes))),
            None => None,
        };
        if let Some(error) = refusal {
            drop(state);
            work.answer(Err(error));
            return;
        }
        state.bytes += bytes;
        state.work.push_back((bytes, work));
        drop(state);
        self.filled.notify_one();
    }

    /// Nothing is taken from now on; what waits is written still.
    pub fn close(&self) {
        self.state.lock().ended.get_or_insert_with(|| LogError::Away("the log has been closed".into()));
        self.filled.notify_one();
    }

    /// Waits for work and takes as much as one commit may have; empty at the end.
    fn take(&self) -> Vec<Work> {
        let mut state = self.state.lock();
        while state.work.is_empty() && state.ended.is_none() {
            self.filled.wait(&mut state);
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < COMMIT_BYTES {
            let Some((size, work)) = state.work.pop_front() else { break };
            bytes += size;
            state.bytes -= size;
            taken.push(work);
        }
        taken
    }

    fn fail(&self, error: &LogError) {
        let mut state = self.state.lock();
        state.ended = Some(error.clone());
        state.bytes = 0;
        let left: Vec<Work> = state.work.drain(..).map(|(_, work)| work).collect();
        drop(state);
        left.into_iter().for_each(|work| work.answer(Err(error.clone())));
    }
}

/// The committer's life. `now` tells the time in milliseconds.
pub(super) fn run(database: &Database, queue: &Queue, now: fn() -> i64) {
    loop {
        let work = queue.take();
        if work.is_empty() {
            return;
        }
        match commit(database, &work, now()) {
            Ok(committed) => {
                for built in committed.built.into_values() {
                    built.partition.publish(built.pieces, built.newest);
                }
                for (work, appended) in work.into_iter().zip(committed.appended) {
                    work.answer(Ok(appended));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the embedded log cannot write; it takes nothing more until the process starts again");
                work.into_iter().for_each(|work| work.answer(Err(error.clone())));
                queue.fail(&error);
            }
        }
    }
}

struct Committed {
    built: HashMap<(u32, i32), Built>,
    appended: Vec<Vec<Appended>>,
}

/// What a commit adds to one partition.
struct Built {
    partition: Arc<Partition>,
    open: Option<(i64, Writer)>,
    pieces: Vec<Piece>,
    next: i64,
    newest: i64,
}

impl Built {
    fn new(partition: &Arc<Partition>, now: i64) -> Built {
        let (next, newest) = partition.end();
        // The log's time never goes back, whatever the system's clock does.
        Built { partition: partition.clone(), open: None, pieces: Vec::new(), next, newest: newest.max(now) }
    }

    fn push(&mut self, append: &Append) -> Appended {
        let offset = self.next;
        let (_, writer) = self.open.get_or_insert_with(|| (offset, Writer::new(offset, self.newest)));
        writer.push((offset, self.newest), &append.key, append.value.as_deref(), &append.headers, 0);
        self.next += 1;
        if writer.bytes() >= PIECE_BYTES || writer.count() >= PIECE_RECORDS {
            self.close_piece();
        }
        Appended { offset }
    }

    fn close_piece(&mut self) {
        if let Some((base, writer)) = self.open.take() {
            self.pieces.push(Piece { base, next: self.next, bytes: Bytes::from(writer.finish(self.next)) });
        }
    }
}

fn commit(database: &Database, work: &[Work], now: i64) -> Result<Committed, LogError> {
    let mut built: HashMap<(u32, i32), Built> = HashMap::new();
    let mut appended = Vec::with_capacity(work.len());
    for work in work {
        let Work::Append(records, _) = work else {
            appended.push(Vec::new());
            continue;
        };
        let place = |(partition, append): &(Arc<Partition>, Append)| {
            built.entry((partition.topic, partition.number)).or_insert_with(|| Built::new(partition, now)).push(append)
        };
        appended.push(records.iter().map(place).collect());
    }
    let write = database.begin_write().map_err(away)?;
    {
        let mut pieces = write.open_table(PIECES).map_err(away)?;
        let mut ends = write.open_table(ENDS).map_err(away)?;
        for (&(topic, number), built) in &mut built {
            built.close_piece();
            for piece in &built.pieces {
                pieces.insert(&piece_key(topic, number, piece.base), piece.bytes.as_ref()).map_err(away)?;
            }
            ends.insert((topic, number), (built.next, built.newest)).map_err(away)?;
        }
    }
    note(&write, work)?;
    write.commit().map_err(away)?;
    Ok(Committed { built, appended })
}

fn note(write: &redb::WriteTransaction, work: &[Work]) -> Result<(), LogError> {
    let notes: Vec<(&str, &From)> = work
        .iter()
        .filter_map(|work| match work {
            Work::Note(group, positions, _) => Some((group.as_str(), positions)),
            Work::Append(..) => None,
        })
        .flat_map(|(group, positions)| positions.iter().map(move |position| (group, position)))
        .collect();
    if notes.is_empty() {
        return Ok(());
    }
    let mut noted = write.open_table(NOTED).map_err(away)?;
    for (group, position) in notes {
        noted.insert((group, position.topic.as_str(), position.partition), position.offset).map_err(away)?;
    }
    Ok(())
}
