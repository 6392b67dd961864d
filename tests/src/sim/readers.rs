//! Who reads the simulated log: the judge's witness, record by record as it is stored, and inboxes, each at its own speed.

use eventlog::Record;
use eventlog::fencing::{Fold, Verdict, epoch_of};
use eventlog::owner::States;
use eventlog::simulated::SimulatedCore;
use events::topics::{DECISIONS, POSITION_PREFIX, TASKS, TRAVELLERS};
use events::{Codec, Decision, Millis, Task};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use testkit::sim::script::Seen;

/// Sees what is stored, in the order in which it is stored.
pub(super) struct Witness {
    tasks: Vec<i64>,
    travellers: Vec<i64>,
    decisions: Vec<i64>,
    folds: Vec<Fold>,
    keepers: Vec<Fold>,
    known: BTreeSet<String>,
    /// Digests of all that is not stale.
    said: HashSet<u64>,
    /// Stale records so far.
    pub stale: u64,
}

impl Witness {
    pub fn new(partitions: i32) -> Witness {
        let (offsets, folds) = (vec![0; partitions as usize], vec![Fold::default(); partitions as usize]);
        Witness {
            tasks: offsets.clone(),
            travellers: offsets.clone(),
            decisions: offsets,
            keepers: folds.clone(),
            folds,
            known: BTreeSet::new(),
            said: HashSet::new(),
            stale: 0,
        }
    }

    /// Whether a record that is not stale says this.
    pub fn heard(&self, record: &Record) -> bool {
        self.said.contains(&digest(record))
    }

    /// What is new in a partition. `Err`: a value cannot be read. `said`: what people are told besides.
    pub fn look(
        &mut self,
        core: &SimulatedCore,
        codec: &Codec,
        place: (&str, i32),
        seen: &mut dyn FnMut(&Seen),
        said: &mut dyn FnMut(&dyn Fn() -> String),
    ) -> Result<(), String> {
        let (topic, at) = (place.0, place.1 as usize);
        if topic == DECISIONS {
            for record in news(core, DECISIONS, at, &mut self.decisions[at]) {
                let decision = codec.decode::<Decision>(record.value.as_deref().unwrap_or_default());
                seen(&Seen::Decision(decision.map_err(|error| format!("a decision cannot be read: {error}"))?));
            }
        }
        let (folds, offsets) = match topic {
            TASKS => (&mut self.folds, &mut self.tasks),
            TRAVELLERS => (&mut self.keepers, &mut self.travellers),
            _ => return Ok(()),
        };
        for record in news(core, topic, at, &mut offsets[at]) {
            let highest = folds[at].highest_epoch;
            let verdict = folds[at].judge(&record);
            said(&|| tell(topic, &record, verdict, highest));
            if topic != TASKS {
                continue;
            }
            match verdict {
                Verdict::Stale => self.stale += 1,
                // A stale record of a key that nobody holds is written over by nothing: nobody has lost anything.
                Verdict::State if record.value.is_none() && !self.known.contains(&key(&record)) => {}
                Verdict::State => {
                    self.said.insert(digest(&record));
                    self.known.insert(key(&record));
                    seen(&Seen::Task(Millis(record.timestamp), key(&record), task(codec, &record)?.map(Box::new)));
                }
                Verdict::Claim | Verdict::Position(_) => {}
            }
        }
        Ok(())
    }
}

/// A record for people: its offset, and whether it counts.
fn tell(topic: &str, record: &Record, verdict: Verdict<'_>, highest: i64) -> String {
    let topic = topic.rsplit('.').nth(1).unwrap_or(topic);
    let (place, offset) = (format!("{topic}/{}", record.partition), record.offset);
    let epoch = epoch_of(record);
    let value = record.value.as_deref().map_or("none".into(), |value| String::from_utf8_lossy(value));
    match verdict {
        Verdict::Claim => format!("{place} at {offset}: {} takes epoch {}", key(record), offset + 1),
        Verdict::Position(input) => format!("{place}: position {value} of {input}, epoch {epoch}"),
        Verdict::State => {
            format!("{place} at {offset}: {}, epoch {epoch}{}", key(record), if record.value.is_none() { ", emptied" } else { "" })
        }
        Verdict::Stale if key(record).starts_with(POSITION_PREFIX) => {
            format!("{place}: {} is STALE, epoch {epoch} under {highest}", key(record))
        }
        Verdict::Stale => format!("{place} at {offset}: {} is STALE, epoch {epoch} under {highest}", key(record)),
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

fn digest(record: &Record) -> u64 {
    let mut digest = DefaultHasher::new();
    (&record.key, &record.value).hash(&mut digest);
    digest.finish()
}

/// The fold of a partition up to an offset, positions too: what somebody finds who comes now.
pub(super) fn folded(core: &SimulatedCore, topic: &str, partition: i32, until: i64) -> States {
    let (mut fold, mut states) = (Fold::default(), States::default());
    let Ok(batch) = core.read(topic, partition, 0, usize::MAX) else { return states };
    for record in batch.records.iter().filter(|record| record.offset < until) {
        if !matches!(fold.judge(record), Verdict::State | Verdict::Position(_)) {
            continue;
        }
        let key = String::from_utf8_lossy(&record.key);
        match &record.value {
            Some(value) => drop(states.insert(Arc::from(&*key), value.clone())),
            None => drop(states.remove(&*key)),
        }
    }
    states
}

fn key(record: &Record) -> String {
    String::from_utf8_lossy(&record.key).into_owned()
}

fn task(codec: &Codec, record: &Record) -> Result<Option<Task>, String> {
    let task = record.value.as_deref().map(|value| codec.decode::<Task>(value));
    task.transpose().map_err(|error| format!("a task cannot be read: {error}"))
}

/// Where inboxes read, and who knows what may be shown.
pub(super) struct From<'a> {
    pub core: &'a SimulatedCore,
    pub codec: &'a Codec,
    pub witness: &'a Witness,
}

/// An inbox.
pub(super) struct Inbox {
    /// Tasks by key.
    pub tasks: BTreeMap<String, Task>,
    offsets: Vec<i64>,
    folds: Vec<Fold>,
    takes_stale: bool,
    /// Households of which it shows what no valid record says.
    pub wrong: Vec<String>,
}

impl Inbox {
    pub fn new(partitions: i32, takes_stale: bool) -> Inbox {
        let folds = vec![Fold::default(); partitions as usize];
        Inbox { tasks: BTreeMap::new(), offsets: vec![0; folds.len()], folds, takes_stale, wrong: Vec::new() }
    }

    /// Reads a partition on and answers which tasks are new to it.
    pub fn read(&mut self, from: &From<'_>, at: usize, most: usize, skip: bool) -> Vec<(String, Task)> {
        let From { core, codec, witness } = from;
        let Ok(batch) = core.read(TASKS, at as i32, self.offsets[at], most) else { return Vec::new() };
        self.offsets[at] = batch.next_offset;
        let mut new = Vec::new();
        for record in batch.records.iter().filter(|_| !skip) {
            let verdict = self.folds[at].judge(record);
            if verdict != Verdict::State && !(verdict == Verdict::Stale && self.takes_stale && !record.key.starts_with(b"~")) {
                continue;
            }
            if !witness.heard(record) && (record.value.is_some() || self.tasks.contains_key(&key(record))) {
                self.wrong.push(key(record));
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
    pub fn catch_up(&mut self, from: &From<'_>) -> Vec<(String, Task)> {
        (0..self.folds.len()).flat_map(|at| self.read(from, at, usize::MAX, false)).collect()
    }
}
