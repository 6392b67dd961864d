//! The view: every household's visit as the log has it, and a bounded memory of what changed.
//!
//! A fold, without I/O and without a clock: records go in, in log order per partition. It must not know HTTP, keys or who may see what.
//! What is superseded (`eventlog::fencing`) never enters it. A reader asks it for the changes since a cursor; where its memory does not
//! reach back that far, `follow.rs` reads the keys from the log again.

use crate::cursor::Cursor;
use eventlog::Record;
use eventlog::fencing::{Fold, Verdict};
use events::{Task, TaskId, TaskState, Text};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Changes remembered. A phone that was away longer costs one re-reading of the log.
pub const CHANGES_MAX: usize = 100_000;

/// What was to be seen of a household before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing.
    Nothing,
    /// This.
    Seen(Seen),
    /// Nobody remembers.
    Unknown,
}

/// Where a visit was to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its task.
    pub task_id: TaskId,
    /// Its grid.
    pub grid: Option<Text>,
    /// For supervisors alone.
    pub triage: bool,
    /// Its version.
    pub version: i64,
}

/// One change of one household.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// `mandate/household`.
    pub key: Arc<str>,
    /// What was to be seen before.
    pub earlier: Earlier,
}

/// What a reader gets.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// In order.
    pub changes: Vec<Change>,
    /// Where to go on in this process.
    pub next_sequence: u64,
    /// Where to go on in any process.
    pub position: Cursor,
}

/// The fold.
pub struct View {
    folds: Vec<Fold>,
    position: Cursor,
    households: HashMap<Arc<str>, Arc<Task>>,
    by_task: HashMap<Text, Arc<str>>,
    by_grid: HashMap<Text, HashSet<Arc<str>>>,
    changes: VecDeque<Change>,
    next_sequence: u64,
    changes_max: usize,
    /// Per partition: from this offset on, every change is in `changes`.
    remembered_from: Vec<i64>,
}

impl View {
    /// Nothing yet. `changes_max` is [`CHANGES_MAX`] but in tests.
    pub fn new(partitions: usize, changes_max: usize) -> View {
        View {
            folds: vec![Fold::default(); partitions],
            position: Cursor(vec![0; partitions]),
            households: HashMap::new(),
            by_task: HashMap::new(),
            by_grid: HashMap::new(),
            changes: VecDeque::new(),
            next_sequence: 0,
            changes_max,
            remembered_from: vec![0; partitions],
        }
    }

    /// What a record is to the fold. To be asked of every record once, in order; a `State` is then given to [`View::take`].
    pub fn judge<'a>(&mut self, record: &'a Record) -> Verdict<'a> {
        match usize::try_from(record.partition).ok().and_then(|at| self.folds.get_mut(at)) {
            Some(fold) => fold.judge(record),
            None => Verdict::Stale,
        }
    }

    /// Moves behind what was read, whether or not it changed anything.
    pub fn pass(&mut self, partition: i32, next_offset: i64) {
        self.position.pass(partition, next_offset - 1);
    }

    /// Takes a household's new state (`None`: it is forgotten). What only the router needs is dropped here.
    pub fn take(&mut self, partition: i32, offset: i64, key: &str, task: Option<Task>) {
        let key: Arc<str> = self.households.get_key_value(key).map_or_else(|| Arc::from(key), |(known, _)| Arc::clone(known));
        let old = self.households.remove(&key);
        if let Some(old) = &old {
            self.unlist(&key, old);
        }
        // A household that never had a visit, and at whose door nobody did anything, is nobody's business: the most of them, on most days.
        let new = task.filter(|task| !task.task_id.is_empty() || task.before.is_some() || !task.answers.is_empty()).map(|mut task| {
            (task.covers, task.registered) = (vec![], vec![]);
            keep_who_is_here(&mut task);
            Arc::new(task)
        });
        if let Some(new) = &new {
            self.list(&key, new);
            self.households.insert(Arc::clone(&key), Arc::clone(new));
        }
        let seen =
            |old: &Task| Earlier::Seen(Seen { task_id: old.task_id, grid: old.grid.clone(), triage: old.triage, version: old.version });
        let earlier = match old.as_deref() {
            Some(old) if is_shown(old) => seen(old),
            Some(_) => Earlier::Nothing,
            // Compaction may have taken what a phone has seen.
            None => Earlier::Unknown,
        };
        if old.is_some() || new.is_some() {
            self.remember(Change { partition, offset, key, earlier });
        }
    }

    fn remember(&mut self, change: Change) {
        self.next_sequence += 1;
        self.changes.push_back(change);
        while self.changes.len() > self.changes_max {
            let Some(gone) = self.changes.pop_front() else { break };
            if let Some(from) = usize::try_from(gone.partition).ok().and_then(|at| self.remembered_from.get_mut(at)) {
                *from = gone.offset + 1;
            }
        }
    }

    fn list(&mut self, key: &Arc<str>, task: &Task) {
        for id in task_ids(task) {
            self.by_task.insert(id.into(), Arc::clone(key));
        }
        if let Some(grid) = task.grid.as_ref().filter(|_| is_shown(task)) {
            self.by_grid.entry(grid.clone()).or_default().insert(Arc::clone(key));
        }
    }

    fn unlist(&mut self, key: &Arc<str>, task: &Task) {
        for id in task_ids(task) {
            self.by_task.remove(id);
        }
        if let Some((grid, keys)) = task.grid.as_ref().and_then(|grid| self.by_grid.get_mut(grid).map(|keys| (grid, keys))) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_grid.remove(grid);
            }
        }
    }

    /// The household's state.
    pub fn household(&self, key: &str) -> Option<&Arc<Task>> {
        self.households.get(key)
    }

    /// The household of a task, also where the task is its last episode.
    pub fn of_task(&self, task_id: &str) -> Option<(&Arc<str>, &Arc<Task>)> {
        let key = self.by_task.get(task_id)?;
        self.households.get(key).map(|task| (key, task))
    }

    /// What is to be seen in a grid.
    pub fn in_grid(&self, grid: &str) -> impl Iterator<Item = &Arc<Task>> {
        self.by_grid.get(grid).into_iter().flatten().filter_map(|key| self.households.get(key))
    }

    /// Everything that is to be seen anywhere, also where no grid is known.
    pub fn shown(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.households.values().filter(|task| is_shown(task))
    }

    /// The offsets to be read next.
    pub fn position(&self) -> &Cursor {
        &self.position
    }

    /// Where this process's order stands.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The changes from a place in this process's order on, at most so many; `None` where memory does not reach back that far.
    pub fn since_sequence(&self, sequence: u64, most: usize) -> Option<Vec<Change>> {
        let oldest = self.next_sequence - self.changes.len() as u64;
        let skip = usize::try_from(sequence.checked_sub(oldest)?).ok()?;
        Some(self.changes.iter().skip(skip).take(most).cloned().collect())
    }

    /// The changes since a cursor; `Err` names the partitions that memory does not reach back in, with the offset to read from.
    pub fn since(&self, cursor: &Cursor) -> Result<Changes, Vec<(i32, i64)>> {
        let forgotten: Vec<(i32, i64)> = (0i32..)
            .zip(&self.remembered_from)
            .map(|(at, from)| (at, cursor.at(at), from))
            .filter(|(_, at, from)| at < from)
            .map(|(partition, at, _)| (partition, at))
            .collect();
        if !forgotten.is_empty() {
            return Err(forgotten);
        }
        Ok(self.remembered_since(cursor))
    }

    /// What memory has since a cursor, whether or not it reaches back that far.
    pub fn remembered_since(&self, cursor: &Cursor) -> Changes {
        let changes = self.changes.iter().filter(|change| change.offset >= cursor.at(change.partition)).cloned().collect();
        Changes { changes, next_sequence: self.next_sequence, position: self.position.clone() }
    }
}

/// Of whom a visit is about only who it is and since when: somebody at the door may know them.
fn keep_who_is_here(task: &mut Task) {
    let shown = is_shown(task);
    task.stays.retain(|stay| shown && stay.left_at.is_none());
    for stay in &mut task.stays {
        (stay.signals, stay.pushed_out, stay.covers) = (vec![], vec![], vec![]);
        (stay.declared, stay.unsent) = (None, None);
    }
    task.stays.shrink_to_fit();
}

/// Whether workers may see it at all.
pub fn is_shown(task: &Task) -> bool {
    task.state != TaskState::Waiting && !task.task_id.is_empty()
}

fn task_ids(task: &Task) -> impl Iterator<Item = &str> {
    let before = task.before.as_ref().map(|before| before.task_id.as_str());
    [Some(task.task_id.as_str()), before].into_iter().flatten().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventlog::Headers;
    use eventlog::fencing::epoch_headers;

    fn record(partition: i32, offset: i64, key: &str, epoch: i64) -> Record {
        let headers = if epoch == 0 { Headers::new() } else { epoch_headers(epoch) };
        Record { partition, offset, timestamp: 0, key: key.as_bytes().to_vec().into(), value: Some(vec![1].into()), headers }
    }

    #[test]
    fn a_record_of_a_lower_epoch_is_stale_in_its_own_partition_alone() {
        let mut view = View::new(2, 10);
        assert_eq!(view.judge(&record(0, 0, "~claim/a", 0)), Verdict::Claim);
        assert_eq!(view.judge(&record(0, 1, "m/h", 1)), Verdict::State);
        assert_eq!(view.judge(&record(0, 2, "~claim/b", 0)), Verdict::Claim);
        assert_eq!(view.judge(&record(0, 3, "m/h", 1)), Verdict::Stale);
        assert_eq!(view.judge(&record(1, 0, "m/g", 1)), Verdict::State);
        assert_eq!(view.judge(&record(0, 4, "m/h", 3)), Verdict::State);
        assert_eq!(view.judge(&record(0, 5, "~position/x", 3)), Verdict::Position("x"));
    }

    #[test]
    fn memory_says_where_it_does_not_reach_back() {
        let mut view = View::new(2, 2);
        for offset in 0..3 {
            view.take(0, offset, "m/h", None);
            view.take(0, offset, &format!("m/{offset}"), Some(tests_task(offset)));
            view.pass(0, offset + 1);
        }
        view.take(1, 0, "m/other", Some(tests_task(9)));
        view.pass(1, 1);
        // Four changes came and two are remembered: offset 2 of partition 0, and the one of partition 1.
        assert_eq!(view.since(&Cursor(vec![1, 0])).map(|_| ()), Err(vec![(0, 1)]));
        let changes = view.since(&Cursor(vec![2, 0])).unwrap();
        assert_eq!(changes.changes.iter().map(|change| &*change.key).collect::<Vec<_>>(), ["m/2", "m/other"]);
        assert_eq!(changes.position, Cursor(vec![3, 1]));
        assert_eq!(view.since(&changes.position).unwrap().changes, []);
        assert_eq!(view.since_sequence(1, 9), None);
        assert_eq!(view.since_sequence(changes.next_sequence, 9), Some(vec![]));
    }

    fn tests_task(episode: i64) -> Task {
        // The shortest record there is: zero bytes are empty texts, nulls, first symbols and empty lists.
        let mut task: Task = events::Avro::read(&mut [0; 128].as_slice()).unwrap();
        (task.task_id, task.state) = (TaskId::from(&format!("t{episode}")).unwrap(), TaskState::Open);
        task
    }
}
