//! Who reads the simulated log: the judge's witness, record by record as it is stored, and inboxes, each at its own speed.

use eventlog::Record;
use eventlog::fencing::{Fold, Verdict};
use eventlog::simulated::SimulatedCore;
use events::topics::{DECISIONS, TASKS};
use events::{Codec, Decision, Millis, Task};
use std::collections::{BTreeMap, BTreeSet};
use testkit::sim::script::Seen;

/// Sees what is stored, in the order in which it is stored.
pub(super) struct Witness {
    tasks: Vec<i64>,
    decisions: Vec<i64>,
    folds: Vec<Fold>,
    known: BTreeSet<String>,
    /// Stale records so far.
    pub stale: u64,
}

impl Witness {
    pub fn new(partitions: i32) -> Witness {
        let none = vec![0; partitions as usize];
        Witness { tasks: none.clone(), decisions: none.clone(), folds: vec![Fold::default(); none.len()], known: BTreeSet::new(), stale: 0 }
    }

    /// What is new. `Err`: a value cannot be read.
    pub fn look(&mut self, core: &SimulatedCore, codec: &Codec, seen: &mut dyn FnMut(&Seen)) -> Result<(), String> {
        for at in 0..self.folds.len() {
            for record in news(core, TASKS, at, &mut self.tasks[at]) {
                match self.folds[at].judge(&record) {
                    Verdict::Stale => self.stale += 1,
                    // A stale record of a key that nobody holds is written over by nothing: nobody has lost anything.
                    Verdict::State if record.value.is_none() && !self.known.contains(&key(&record)) => {}
                    Verdict::State => {
                        self.known.insert(key(&record));
                        seen(&Seen::Task(Millis(record.timestamp), key(&record), task(codec, &record)?.map(Box::new)));
                    }
                    Verdict::Claim | Verdict::Position(_) => {}
                }
            }
            for record in news(core, DECISIONS, at, &mut self.decisions[at]) {
                let decision = codec.decode::<Decision>(record.value.as_deref().unwrap_or_default());
                seen(&Seen::Decision(decision.map_err(|error| format!("a decision cannot be read: {error}"))?));
            }
        }
        Ok(())
    }
}

fn news(core: &SimulatedCore, topic: &str, partition: usize, offset: &mut i64) -> Vec<Record> {
    match core.offsets(topic, partition as i32) {
        Ok((_, end)) if end > *offset => {
            let batch = core.read(topic, partition as i32, *offset, usize::MAX).map(|batch| batch.records);
            *offset = end;
            batch.unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn key(record: &Record) -> String {
    String::from_utf8_lossy(&record.key).into_owned()
}

fn task(codec: &Codec, record: &Record) -> Result<Option<Task>, String> {
    let task = record.value.as_deref().map(|value| codec.decode::<Task>(value));
    task.transpose().map_err(|error| format!("a task cannot be read: {error}"))
}

/// An inbox.
pub(super) struct Inbox {
    /// Tasks by key.
    pub tasks: BTreeMap<String, Task>,
    offsets: Vec<i64>,
    folds: Vec<Fold>,
    takes_stale: bool,
}

impl Inbox {
    pub fn new(partitions: i32, takes_stale: bool) -> Inbox {
        let folds = vec![Fold::default(); partitions as usize];
        Inbox { tasks: BTreeMap::new(), offsets: vec![0; folds.len()], folds, takes_stale }
    }

    /// Reads a partition on and answers which tasks are new to it.
    pub fn read(&mut self, core: &SimulatedCore, codec: &Codec, at: usize, most: usize, skip: bool) -> Vec<(String, Task)> {
        let Ok(batch) = core.read(TASKS, at as i32, self.offsets[at], most) else { return Vec::new() };
        self.offsets[at] = batch.next_offset;
        let mut new = Vec::new();
        for record in batch.records.iter().filter(|_| !skip) {
            let verdict = self.folds[at].judge(record);
            if verdict != Verdict::State && !(verdict == Verdict::Stale && self.takes_stale && !record.key.starts_with(b"~")) {
                continue;
            }
            match task(codec, record) {
                Ok(Some(task)) => {
                    self.tasks.insert(key(record), task.clone());
                    new.push((key(record), task));
                }
                _ => drop(self.tasks.remove(&key(record))),
            }
        }
        new
    }

    /// Reads all there is.
    pub fn catch_up(&mut self, core: &SimulatedCore, codec: &Codec) -> Vec<(String, Task)> {
        (0..self.folds.len()).flat_map(|at| self.read(core, codec, at, usize::MAX, false)).collect()
    }
}
