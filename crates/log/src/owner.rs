//! The owner of a partition, as a machine without I/O: `handle(event) -> commands`. Safety never depends on a consumer group; the log
//! alone arbitrates (docs/adr/0001).
//!
//! An owner claims the partition, folds it until it has read its own claim, lets its logic judge once what tables may have changed, and
//! goes on from the positions found. What it does then is a pipeline of steps, in order: inputs become records of its own partition;
//! when these are read back, what rests on them is sent; when that is acknowledged, the position may pass the inputs. A higher epoch, or
//! any append that fails, ends it. Both loops of the router are owners; their `Logic` is all that differs.

mod alone;
mod desk;
mod protocol;
mod soon;
mod waiting;

pub use alone::{Alone, Did};
use desk::InFlight;
pub use desk::{Desk, Logic, States};
pub use protocol::{Command, Event, Rules, Snapshot, Stopped};

use crate::fencing::{Fold, Verdict, epoch_headers};
use crate::{Append, Batch, Headers, Record};
use bytes::Bytes;
use desk::Work;
use events::topics::{CLAIM_PREFIX, MIN_COMPACTION_LAG_MS, POSITION_PREFIX};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use waiting::Waiting;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its claim is sent, it folds.
    Reading,
    /// It has read its claim; tables are being read to their end.
    AwaitingTables,
    /// It believes itself the owner.
    Active,
    Gone,
}

/// What one batch of inputs caused.
struct Step {
    /// It may speak when this many own records are read back.
    rests_on: u64,
    messages: Vec<Append>,
    speech: Speech,
    inputs: Option<(usize, i64)>,
    awaited: Vec<(Arc<str>, i64)>,
    written: Vec<Arc<str>>,
    spoken: Vec<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Waiting,
    Sent(u64),
    Done,
}

/// Steps in flight. Few: while they are, inputs gather, and the next step writes the record of a key once for all of them. So a backlog
/// costs the fewer records the longer it is, and a single event does not wait.
const STEPS_MAX: usize = 3;
/// A snapshot is due when so many times as many records were read as there are states, and so many at least; or after so many
/// milliseconds, if anything was read.
const SNAPSHOT_RECORDS_PER_STATE: usize = 4;
const SNAPSHOT_RECORDS_MIN: usize = 10_000;
const SNAPSHOT_MS: i64 = 600_000;
/// How often a position is appended although nothing moved: the tick of this partition's time, in milliseconds.
const HEARTBEAT_MS: i64 = 20_000;

/// One process's life as the owner of one partition.
pub struct Owner<L> {
    topic: &'static str,
    partition: i32,
    inputs: Vec<&'static str>,
    rules: Rules,
    logic: L,
    phase: Phase,
    claim_key: String,
    epoch: i64,
    fold: Fold,
    tail: i64,
    now: i64,
    states: States,
    /// The next offset of each input: as folded, then as far as every step before is done; and as it was last written.
    done: Vec<i64>,
    written: Vec<i64>,
    heartbeat_at: i64,
    clock: i64,
    sequence: u64,
    read_back: u64,
    /// Keys whose newest record is stale.
    overwritten: HashSet<Bytes>,
    appends: u64,
    steps: VecDeque<Step>,
    waiting: Waiting,
    waits_for_step: bool,
    waits_for_tables: bool,
    in_flight: InFlight,
    /// Records read since the last snapshot, and when that was.
    unsaved: usize,
    saved_at: i64,
}

impl<L: Logic> Owner<L> {
    /// An owner of a partition, from nothing or from a cache of the fold. `claim` is unique to this life. The first commands begin it.
    pub fn new(
        topic: &'static str,
        partition: i32,
        inputs: Vec<&'static str>,
        rules: Rules,
        logic: L,
        claim: &str,
        cache: Option<Snapshot>,
    ) -> (Owner<L>, Vec<Command>) {
        let Snapshot { mut states, tail, highest_epoch } = cache.unwrap_or_default();
        let mut done = vec![0; inputs.len()];
        for (at, input) in inputs.iter().enumerate() {
            if let Some(value) = states.remove(position_key(input).as_str()) {
                done[at] = position_value(&value);
            }
        }
        let mut owner = Owner {
            topic,
            partition,
            rules,
            logic,
            phase: Phase::Reading,
            claim_key: format!("{CLAIM_PREFIX}{claim}"),
            epoch: 0,
            fold: Fold { highest_epoch },
            tail,
            now: 0,
            states,
            waiting: Waiting::new(inputs.len()),
            written: done.clone(),
            done,
            inputs,
            heartbeat_at: 0,
            clock: 0,
            sequence: 0,
            read_back: 0,
            overwritten: HashSet::new(),
            appends: 0,
            steps: VecDeque::new(),
            waits_for_step: false,
            waits_for_tables: false,
            in_flight: InFlight::default(),
            unsaved: 0,
            saved_at: 0,
        };
        let mut commands = Vec::new();
        if rules.claim {
            let (key, value) = (owner.claim_key.clone().into(), Some(claim.to_owned().into()));
            let claim = Append { topic: topic.into(), partition, key, value, headers: Headers::new() };
            owner.append(vec![claim], &mut commands);
        }
        (owner, commands)
    }

    /// Where its own partition must be read from.
    pub fn tail(&self) -> i64 {
        self.tail
    }

    /// Whether it is the owner, as far as it knows.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Whether it takes more inputs now; else its inputs should not be read on.
    pub fn has_room(&self) -> bool {
        self.waiting.has_room()
    }

    /// Nothing is in flight: all that was applied is done with. What waits, the next owner reads again.
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.done == self.written && self.read_back == self.sequence
    }

    /// How far every step before is done, of each input: for displays.
    pub fn positions(&self) -> Vec<crate::From> {
        let from =
            |(topic, offset): (&&'static str, &i64)| crate::From { topic: (*topic).to_owned(), partition: self.partition, offset: *offset };
        if self.is_active() { self.inputs.iter().zip(&self.done).map(from).collect() } else { Vec::new() }
    }

    /// Its keys and states.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// What happened, and what is to be done now.
    pub fn handle(&mut self, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            _ if self.phase == Phase::Gone => {}
            Event::Own(batch) => self.own(batch, &mut commands),
            Event::Input(batch) => {
                if let Some(topic) = self.inputs.iter().position(|input| **input == *batch.topic) {
                    // One that was paused may read them before its own partition: no input is judged at a time before it was appended.
                    self.now = batch.records.last().map_or(self.now, |newest| self.now.max(newest.timestamp));
                    self.waiting.push(topic, batch);
                    self.pump(&mut commands);
                }
            }
            Event::Appended(_, Err(error)) => self.stop(Stopped::Append(error), &mut commands),
            Event::Appended(number, Ok(_)) => {
                if let Some(step) = self.steps.iter_mut().find(|step| step.speech == Speech::Sent(number)) {
                    step.speech = Speech::Done;
                    self.advance(&mut commands);
                    self.pump(&mut commands);
                }
            }
            Event::TablesReady if self.phase == Phase::AwaitingTables => self.take_over(&mut commands),
            Event::TablesReady => {
                self.waits_for_tables = false;
                self.pump(&mut commands);
            }
            Event::Changed(topic, keys) if self.phase == Phase::Active => {
                self.step(None, &mut commands, |logic, desk| logic.changed(topic, &keys, desk));
            }
            // Judged at take-over.
            Event::Changed(..) => {}
            Event::Tick(clock) => self.tick(clock, &mut commands),
            Event::Save => self.save(true, &mut commands),
        }
        commands
    }

    fn stop(&mut self, why: Stopped, commands: &mut Vec<Command>) {
        self.phase = Phase::Gone;
        commands.push(Command::Stop(why));
    }

    fn append(&mut self, records: Vec<Append>, commands: &mut Vec<Command>) -> u64 {
        self.appends += 1;
        commands.push(Command::Append(self.appends, records));
        self.appends
    }

    /// Its own records, in one append; counted, so that reading them back is counting too.
    fn append_own(&mut self, keys: impl IntoIterator<Item = (Bytes, Option<Bytes>)>, commands: &mut Vec<Command>) {
        let (topic, partition, headers) = (self.topic, self.partition, epoch_headers(self.epoch));
        let record = |(key, value)| Append { topic: topic.into(), partition, key, value, headers: headers.clone() };
        let records: Vec<Append> = keys.into_iter().map(record).collect();
        if !records.is_empty() {
            self.sequence += records.len() as u64;
            self.append(records, commands);
        }
    }

    fn own(&mut self, batch: Batch, commands: &mut Vec<Command>) {
        for record in &batch.records {
            self.now = self.now.max(record.timestamp);
            let behind = self.clock.saturating_sub(record.timestamp) > MIN_COMPACTION_LAG_MS;
            if behind && self.phase == Phase::Active {
                return self.stop(Stopped::TooFarBehind, commands);
            }
            self.read(record);
            if self.epoch > 0 && self.fold.highest_epoch > self.epoch && self.rules.give_way {
                return self.stop(Stopped::Superseded, commands);
            }
        }
        self.tail = batch.next_offset;
        if self.phase == Phase::Active {
            self.repair(commands);
        }
        if self.phase == Phase::Reading && (self.epoch > 0 || !self.rules.claim || !self.rules.fold_to_claim) {
            self.phase = Phase::AwaitingTables;
            commands.push(Command::CatchUpTables);
        }
        self.unsaved += batch.records.len();
        self.save(false, commands);
        self.advance(commands);
        self.time(commands);
        self.pump(commands);
    }

    /// Its positions, read back, move now on: what is due by it is done, behind what is in flight. A step at a time, as for inputs.
    fn time(&mut self, commands: &mut Vec<Command>) {
        self.step_if_room(commands, |logic, desk| logic.time(desk));
    }

    fn step_if_room(&mut self, commands: &mut Vec<Command>, work: impl FnOnce(&mut L, &mut Desk<'_>)) {
        if self.phase == Phase::Active && self.steps.len() < STEPS_MAX {
            self.step(None, commands, work);
        }
    }

    fn read(&mut self, record: &Record) {
        let highest_before = self.fold.highest_epoch;
        let verdict = self.fold.judge(record);
        let own = self.epoch > 0 && crate::fencing::epoch_of(record) == self.epoch;
        match verdict {
            Verdict::Claim => {
                if *record.key == *self.claim_key.as_bytes() {
                    self.epoch = record.offset + 1;
                }
            }
            Verdict::Stale if self.rules.ignore_stale => drop(self.overwritten.insert(record.key.clone())),
            // A null control: the fold takes what it should not.
            Verdict::Stale => {
                self.fold.highest_epoch = highest_before;
                self.take(record);
            }
            // The memory is ahead of it already.
            Verdict::State | Verdict::Position(_) if own => {
                self.read_back += 1;
                self.overwritten.remove(&record.key[..]);
            }
            Verdict::State | Verdict::Position(_) => {
                self.take(record);
                self.overwritten.remove(&record.key[..]);
            }
        }
    }

    /// Appends again what stale records overwrote, so that compaction can only ever keep a valid one.
    fn repair(&mut self, commands: &mut Vec<Command>) {
        let overwritten = std::mem::take(&mut self.overwritten);
        if !overwritten.is_empty() && self.rules.repair {
            let records: Vec<_> = overwritten.into_iter().map(|key| self.current(key)).collect();
            self.append_own(records, commands);
        }
    }

    /// Somebody else's valid record: the state is what it says.
    fn take(&mut self, record: &Record) {
        let Ok(key) = std::str::from_utf8(&record.key) else { return };
        if let Some(input) = key.strip_prefix(POSITION_PREFIX) {
            if let Some(at) = self.inputs.iter().position(|name| *name == input) {
                let offset = record.value.as_deref().map_or(0, position_value);
                (self.done[at], self.written[at]) = (offset, offset);
            }
            return;
        }
        match &record.value {
            // A copy: the batch's buffer would stay whole for the sake of one value.
            Some(value) => drop(self.states.insert(Arc::from(key), Bytes::copy_from_slice(value))),
            None => drop(self.states.remove(key)),
        }
    }

    /// What a stale record overwrote: our own value, a tombstone where we hold none, or our position.
    fn current(&self, key: Bytes) -> (Bytes, Option<Bytes>) {
        let text = std::str::from_utf8(&key).unwrap_or_default();
        let value = match text.strip_prefix(POSITION_PREFIX) {
            Some(input) => self.inputs.iter().position(|name| *name == input).map(|at| self.written[at].to_string().into()),
            None => self.states.get(text).cloned(),
        };
        (key, value)
    }

    fn take_over(&mut self, commands: &mut Vec<Command>) {
        self.phase = Phase::Active;
        if self.epoch == 0 {
            // A null control: nobody is told.
            self.epoch = self.tail + 1;
        }
        self.repair(commands);
        self.step(None, commands, |logic, desk| logic.take_over(desk));
        commands.push(Command::ReadInputs(self.positions()));
    }

    /// Applies what waits, as far as there is room: of one topic in a step.
    fn pump(&mut self, commands: &mut Vec<Command>) {
        while self.phase == Phase::Active && !self.waits_for_step && !self.waits_for_tables && self.steps.len() < STEPS_MAX {
            let (logic, inputs) = (&self.logic, &self.inputs);
            let since = |input: usize, first: &Record| logic.since(inputs[input], first);
            let Some(input) = self.waiting.next(self.now, self.clock, since) else { return };
            let (topic, mut waiting) = (self.inputs[input], std::mem::take(&mut self.waiting));
            let step = waiting.step(input);
            let (given, mut taken) = (step.len(), 0);
            let work = self.work(|logic, desk| {
                desk.expect(given);
                taken = logic.apply(topic, &mut soon::ahead(&step), desk).min(given);
            });
            let applied = waiting::applied(&step, taken);
            drop(step);
            let offset = waiting.pass(input, applied);
            self.waiting = waiting;
            if work.wants_tables {
                self.waits_for_tables = true;
                commands.push(Command::CatchUpTables);
            }
            self.follow(work, Some((input, offset)), commands);
            // It stopped for something in flight: is there a step to wait for?
            self.waits_for_step = taken < given && !self.steps.is_empty();
        }
    }

    fn step(&mut self, inputs: Option<(usize, i64)>, commands: &mut Vec<Command>, work: impl FnOnce(&mut L, &mut Desk<'_>)) {
        let work = self.work(work);
        self.follow(work, inputs, commands);
    }

    fn work(&mut self, work: impl FnOnce(&mut L, &mut Desk<'_>)) -> Work {
        let mut desk = Desk::new(self.now, self.partition, &mut self.states, &self.in_flight);
        work(&mut self.logic, &mut desk);
        desk.done()
    }

    /// What was written is appended, and becomes a step of the pipeline with what rests on it.
    fn follow(&mut self, work: Work, inputs: Option<(usize, i64)>, commands: &mut Vec<Command>) {
        let Work { written, spoken, messages, awaited, .. } = work;
        if written.is_empty() && messages.is_empty() && awaited.is_empty() && inputs.is_none() {
            return;
        }
        let records: Vec<_> = written.iter().map(|key| (Bytes::copy_from_slice(key.as_bytes()), self.states.get(key).cloned())).collect();
        self.append_own(records, commands);
        self.in_flight.begin(&written, &spoken);
        let (rests_on, speech) = (self.sequence, Speech::Waiting);
        self.steps.push_back(Step { rests_on, messages, speech, inputs, awaited, written, spoken });
        self.advance(commands);
    }

    /// Speaks what may be spoken, in order, and forgets what is done.
    fn advance(&mut self, commands: &mut Vec<Command>) {
        for at in 0..self.steps.len() {
            let may_speak = self.steps[at].rests_on <= self.read_back || !self.rules.read_back;
            if self.steps[at].speech != Speech::Waiting {
                continue;
            }
            if !may_speak {
                break;
            }
            let messages = std::mem::take(&mut self.steps[at].messages);
            self.steps[at].speech = if messages.is_empty() { Speech::Done } else { Speech::Sent(self.append(messages, commands)) };
        }
        let mut delivered = Vec::new();
        while self.steps.front().is_some_and(|step| step.speech == Speech::Done) {
            let Some(step) = self.steps.pop_front() else { break };
            if let Some((topic, offset)) = step.inputs {
                self.done[topic] = offset;
            }
            self.in_flight.end(&step.written, &step.spoken);
            self.waits_for_step = false;
            delivered.extend(step.awaited);
        }
        if !delivered.is_empty() && self.phase == Phase::Active {
            self.step(None, commands, |logic, desk| logic.delivered(delivered, desk));
        }
    }

    fn tick(&mut self, clock: i64, commands: &mut Vec<Command>) {
        if self.clock == 0 {
            // What was just loaded needs no snapshot.
            self.saved_at = clock;
        }
        self.clock = clock;
        if self.phase != Phase::Active {
            return;
        }
        let due = clock.saturating_sub(self.heartbeat_at) >= HEARTBEAT_MS;
        let moved = (0..self.inputs.len()).filter(|&at| due || self.done[at] != self.written[at]);
        let positions: Vec<_> = moved.map(|at| (position_key(self.inputs[at]).into(), Some(self.done[at].to_string().into()))).collect();
        if !positions.is_empty() {
            self.heartbeat_at = clock;
            self.written.clone_from(&self.done);
            self.append_own(positions, commands);
        }
        self.save(false, commands);
        self.time(commands);
        self.step_if_room(commands, |logic, desk| logic.tick(desk));
        self.pump(commands);
    }

    /// The fold, never a memory that is ahead of it: only while everything that it appended, repairs too, is read back.
    fn save(&mut self, wanted: bool, commands: &mut Vec<Command>) {
        let at_rest = self.phase == Phase::Active && self.read_back == self.sequence && self.overwritten.is_empty();
        let many = self.unsaved >= SNAPSHOT_RECORDS_MIN.max(SNAPSHOT_RECORDS_PER_STATE * self.states.len());
        let due = wanted || many || self.clock.saturating_sub(self.saved_at) >= SNAPSHOT_MS;
        if !at_rest || !due || self.unsaved == 0 {
            return;
        }
        let mut states = self.states.clone();
        let positions = self.inputs.iter().zip(&self.written);
        states.extend(positions.map(|(input, at)| (Arc::from(position_key(input)), Bytes::from(at.to_string()))));
        (self.unsaved, self.saved_at) = (0, self.clock);
        commands.push(Command::Cache(Snapshot { states, tail: self.tail, highest_epoch: self.fold.highest_epoch }));
    }
}

fn position_key(input: &str) -> String {
    format!("{POSITION_PREFIX}{input}")
}

fn position_value(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
