//! What a logic sees of its owner: a desk with the states of the partition to read and write, and messages to send. No I/O, no log.

use crate::{Append, Record};
use bytes::Bytes;
use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The states of a partition by key, as bytes: the fold and what was applied since. Their order is the same in every process that had
/// the same inputs, so that what is done to all of them is too; keys are codes and tokens that no outsider chooses.
pub type States = HashMap<Arc<str>, Bytes, FixedState>;

/// What is on its way.
#[derive(Default)]
pub(super) struct InFlight {
    written: Counts,
    spoken: Counts,
}

/// Keys, with how often each.
type Counts = HashMap<Arc<str>, u32, FixedState>;

impl InFlight {
    pub(super) fn begin(&mut self, written: &[Arc<str>], spoken: &[Arc<str>]) {
        for (counts, keys) in [(&mut self.written, written), (&mut self.spoken, spoken)] {
            keys.iter().for_each(|key| *counts.entry(key.clone()).or_default() += 1);
        }
    }

    pub(super) fn end(&mut self, written: &[Arc<str>], spoken: &[Arc<str>]) {
        for (counts, keys) in [(&mut self.written, written), (&mut self.spoken, spoken)] {
            for key in keys {
                if let Some(count) = counts.get_mut(key) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(key);
                    }
                }
            }
        }
    }
}

/// What the loops of the router differ in. Synchronous and without I/O.
pub trait Logic: Send {
    /// The partition is ours and folded, the tables are at their end: judge once what they may have changed, send again what the records
    /// hold as unsent.
    fn take_over(&mut self, desk: &mut Desk<'_>);

    /// Since when an input waits, by the log's time, in milliseconds: what it comes from may be older than itself.
    fn since(&self, topic: &str, record: &Record) -> i64 {
        let _ = topic;
        record.timestamp
    }

    /// Inputs of one topic: those of a key one behind another, in order. Answers how many it took, from the first one on; the rest comes
    /// again when something in flight is done.
    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &Record>, desk: &mut Desk<'_>) -> usize;

    /// These keys of a table have changed.
    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>);

    /// Time has passed, by `desk.now`: asked often, so it must cost nothing where nothing is due, and do at most a portion at once. What
    /// it leaves it is asked for again.
    fn time(&mut self, desk: &mut Desk<'_>) {
        let _ = desk;
    }

    /// A fifth of a second has passed, or more: what is to be done a portion now and then, so that nobody waits for it.
    fn tick(&mut self, desk: &mut Desk<'_>) {
        let _ = desk;
    }

    /// All that was sent for these keys is acknowledged; each with the number that it was awaited with.
    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>);
}

/// What a logic works at: states to read and write, messages to send.
pub struct Desk<'a> {
    /// The newest append time read in this partition, in milliseconds.
    pub now: i64,
    /// The partition.
    pub partition: i32,
    states: &'a mut States,
    in_flight: &'a InFlight,
    work: Work,
    unique: HashSet<Arc<str>, FixedState>,
}

impl<'a> Desk<'a> {
    /// A clean desk at these states.
    pub(super) fn new(now: i64, partition: i32, states: &'a mut States, in_flight: &'a InFlight) -> Desk<'a> {
        Desk { now, partition, states, in_flight, work: Work::default(), unique: HashSet::default() }
    }

    /// What was done at it.
    pub(super) fn done(self) -> Work {
        self.work
    }

    /// A key's state.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.states.get(key).map(|value| &value[..])
    }

    /// A key, shared with its state where it has one.
    pub fn key(&self, key: &str) -> Arc<str> {
        self.states.get_key_value(key).map_or_else(|| Arc::from(key), |(key, _)| key.clone())
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.states.keys()
    }

    /// Writes a key's state; the record is appended once at the end of the step, with the last value.
    pub fn put(&mut self, key: &str, value: impl Into<Bytes>) {
        let key = self.key(key);
        self.states.insert(key.clone(), value.into());
        if self.unique.insert(key.clone()) {
            self.work.written.push(key);
        }
    }

    /// Sends this, behind everything sent before, once every record written so far is read back.
    pub fn send(&mut self, message: Append) {
        self.work.messages.push(message);
    }

    /// So many messages will come, or about.
    pub(super) fn expect(&mut self, messages: usize) {
        self.work.messages.reserve(messages);
    }

    /// `delivered` is told of this key, and this number, when everything sent in this step is acknowledged.
    pub fn await_delivery(&mut self, key: &str, number: i64) {
        let key = self.key(key);
        self.work.awaited.push((key, number));
    }

    /// The next input names what no table holds: take no more, and come again when every table is read to its present end.
    pub fn wait_for_tables(&mut self) {
        self.work.wants_tables = true;
    }

    /// What is sent in this step speaks of this key, whether or not its state is written.
    pub fn speak_of(&mut self, key: &Arc<str>) {
        self.work.spoken.push(key.clone());
    }

    /// Whether a record of this key, or what rests on it, is still on its way.
    pub fn is_in_flight(&self, key: &str) -> bool {
        self.in_flight.written.contains_key(key)
    }

    /// Whether what was said of this key is still on its way.
    pub fn is_spoken_of(&self, key: &str) -> bool {
        self.in_flight.spoken.contains_key(key)
    }
}

/// What a logic has done at its desk.
#[derive(Default)]
pub(super) struct Work {
    /// Keys whose state it wrote, each once.
    pub written: Vec<Arc<str>>,
    /// Keys that it speaks of.
    pub spoken: Vec<Arc<str>>,
    /// What it sends, in order.
    pub messages: Vec<Append>,
    /// What `delivered` is told when these are acknowledged.
    pub awaited: Vec<(Arc<str>, i64)>,
    /// It waits for the tables.
    pub wants_tables: bool,
}
