//! The simulated log itself: a value without clock, thread or randomness but its seed. The same calls give the same history.
//!
//! What is appended waits per handle and partition, in order. A step stores one waiting record, or gives one answer; which, says the seed.
//! So partitions run ahead of one another, answers come late, and everything of one handle and partition stays in order, as Kafka has it.

use super::partition::{Keeping, Partition};
use crate::{Append, Appended, Batch, LogError, NewTopic, TopicInfo};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What may go wrong: shares of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Of records: lost before they are stored. The handle ends; what it had under way may still be stored, some time, up to a point.
    pub lose: f64,
    /// Of answers: stored, but never acknowledged. The handle ends likewise.
    pub lose_answer: f64,
    /// Of steps: some partition is cleaned before.
    pub clean: f64,
}

/// A writer: a process, or a connection of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle(usize);

/// An append under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(usize);

type Answer = Result<Vec<Appended>, LogError>;

/// Writer, topic by number, partition.
type Place = (Handle, usize, i32);

struct Waiting {
    ticket: Ticket,
    at: usize,
    record: Append,
}

struct Pending {
    handle: Handle,
    appended: Vec<Appended>,
    missing: usize,
}

struct Topic {
    info: TopicInfo,
    keeping: Keeping,
    partitions: Vec<Partition>,
}

/// The log as a plain value.
pub struct SimulatedCore {
    /// What may go wrong from now on.
    pub faults: Faults,
    random: StdRng,
    now_ms: i64,
    topics: Vec<Topic>,
    numbers: BTreeMap<String, usize>,
    waiting: BTreeMap<Place, VecDeque<Waiting>>,
    /// What is on its way there is not stored for now.
    held: BTreeSet<(Handle, usize)>,
    /// Where the newest step has stored a record.
    stored_at: Option<(usize, i32)>,
    pending: BTreeMap<Ticket, Pending>,
    // All stored, not answered yet.
    stored: Vec<Ticket>,
    answers: BTreeMap<Ticket, Answer>,
    // By handle: whether it has ended.
    ended: Vec<bool>,
    tickets: usize,
}

impl SimulatedCore {
    /// An empty log at 0 ms.
    pub fn new(seed: u64, faults: Faults) -> SimulatedCore {
        SimulatedCore {
            faults,
            random: StdRng::seed_from_u64(seed),
            now_ms: 0,
            topics: Vec::new(),
            numbers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            stored_at: None,
            pending: BTreeMap::new(),
            stored: Vec::new(),
            answers: BTreeMap::new(),
            ended: Vec::new(),
            tickets: 0,
        }
    }

    /// What is drawn from now on depends on this, and on nothing that was drawn before.
    pub fn reseed(&mut self, seed: u64) {
        self.random = StdRng::seed_from_u64(seed);
    }

    /// A new writer.
    pub fn open(&mut self) -> Handle {
        self.ended.push(false);
        Handle(self.ended.len() - 1)
    }

    /// Creates it, or leaves it as it is.
    ///
    /// # Errors
    /// [`LogError::Refused`] without partitions.
    pub fn create_topic(&mut self, new: &NewTopic) -> Result<(), LogError> {
        let NewTopic { name, partitions, settings } = new.clone();
        if partitions < 1 || name.is_empty() {
            return Err(LogError::Refused(format!("topic {name:?} with {partitions} partitions")));
        }
        let create = || Topic {
            keeping: Keeping::of(&settings),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            info: TopicInfo { name: name.clone(), partitions, settings },
        };
        if !self.numbers.contains_key(&new.name) {
            self.numbers.insert(new.name.clone(), self.topics.len());
            self.topics.push(create());
        }
        Ok(())
    }

    /// All topics.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.numbers.values().map(|number| self.topics[*number].info.clone()).collect()
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.number(topic).map(|number| self.topics[number].info.partitions)
    }

    /// Takes records to be stored by steps; nothing is stored yet.
    ///
    /// # Errors
    /// [`LogError::NoTopic`]; [`LogError::Away`] where the handle has ended.
    pub fn append(&mut self, handle: Handle, records: Vec<Append>) -> Result<Ticket, LogError> {
        for record in &records {
            self.partition(&record.topic, record.partition)?;
        }
        if self.ended[handle.0] {
            return Err(away("an append of this handle has failed, and nothing goes behind it"));
        }
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        if records.is_empty() {
            self.answers.insert(ticket, Ok(Vec::new()));
            return Ok(ticket);
        }
        let (appended, missing) = (vec![Appended { offset: -1 }; records.len()], records.len());
        self.pending.insert(ticket, Pending { handle, appended, missing });
        for (at, record) in records.into_iter().enumerate() {
            let place = (handle, self.number(&record.topic)?, record.partition);
            self.waiting.entry(place).or_default().push_back(Waiting { ticket, at, record });
        }
        Ok(ticket)
    }

    /// The answer to an append, once, when there is one.
    pub fn answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.answers.remove(&ticket)
    }

    /// What this writer sends to a topic is on its way for now, and not stored before it is let through; even if the writer ends.
    pub fn hold(&mut self, handle: Handle, topic: &str) {
        self.held.extend(self.numbers.get(topic).map(|number| (handle, *number)));
    }

    /// A new writer; what is held of another is held of it, too.
    pub fn open_like(&mut self, other: Handle) -> Handle {
        let handle = self.open();
        let held: Vec<_> = self.held.range((other, 0)..=(other, usize::MAX)).map(|(_, topic)| (handle, *topic)).collect();
        self.held.extend(held);
        handle
    }

    /// What was held of this writer is let through; of everybody's where none is named.
    pub fn let_through(&mut self, handle: Option<Handle>) {
        self.held.retain(|(held, _)| handle.is_some_and(|handle| handle != *held));
    }

    /// Where the newest step has stored a record: topic and partition.
    pub fn stored_at(&self) -> Option<(&str, i32)> {
        self.stored_at.map(|(number, partition)| (&*self.topics[number].info.name, partition))
    }

    /// Stores one record or gives one answer. False: there is nothing under way, or all that is is held.
    pub fn step(&mut self) -> bool {
        self.stored_at = None;
        let is_open = |place: &&Place| self.held.is_empty() || !self.held.contains(&(place.0, place.1));
        let open = if self.held.is_empty() { self.waiting.len() } else { self.waiting.keys().filter(is_open).count() };
        let choices = open + self.stored.len();
        if choices == 0 {
            return false;
        }
        if self.happens(self.faults.clean) {
            self.clean_somewhere();
        }
        let choice = self.random.random_range(0..choices);
        let is_open = |place: &&Place| self.held.is_empty() || !self.held.contains(&(place.0, place.1));
        match self.waiting.keys().filter(is_open).nth(choice).copied() {
            Some(place) => self.store(place),
            None => {
                let ticket = self.stored.swap_remove(choice - open);
                self.give_answer(ticket);
            }
        }
        true
    }

    fn store(&mut self, place: Place) {
        let (handle, lost) = (place.0, self.happens(self.faults.lose));
        if lost && !self.ended[handle.0] {
            // Nothing of this partition goes behind what is lost; other partitions know nothing of it yet.
            self.waiting.remove(&place);
            return self.crash(handle);
        }
        let Some(queue) = self.waiting.get_mut(&place) else { return };
        let Some(Waiting { ticket, at, record }) = queue.pop_front() else { return };
        if queue.is_empty() {
            self.waiting.remove(&place);
        }
        let offset = self.topics[place.1].partitions[place.2 as usize].append(place.2, record, self.now_ms);
        self.stored_at = Some((place.1, place.2));
        // None: its handle has ended, and nobody waits.
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        pending.appended[at] = Appended { offset };
        pending.missing -= 1;
        if pending.missing == 0 {
            self.stored.push(ticket);
        }
    }

    fn give_answer(&mut self, ticket: Ticket) {
        let lost = self.happens(self.faults.lose_answer);
        match self.pending.get(&ticket).map(|pending| pending.handle) {
            Some(handle) if lost => self.crash(handle),
            _ => {
                if let Some(pending) = self.pending.remove(&ticket) {
                    self.answers.insert(ticket, Ok(pending.appended));
                }
            }
        }
    }

    /// The handle ends: no answer but [`LogError::Away`] comes any more. Of what waits in each partition a beginning is still under way,
    /// and is stored some time: nobody knows.
    pub fn crash(&mut self, handle: Handle) {
        self.ended[handle.0] = true;
        let places: Vec<Place> = self.waiting.keys().filter(|(owner, ..)| *owner == handle).copied().collect();
        for place in places {
            let Some(queue) = self.waiting.get_mut(&place) else { continue };
            let under_way = self.random.random_range(0..=queue.len());
            queue.truncate(under_way);
            if under_way == 0 {
                self.waiting.remove(&place);
            }
        }
        let tickets: BTreeSet<Ticket> =
            self.pending.iter().filter(|(_, pending)| pending.handle == handle).map(|(ticket, _)| *ticket).collect();
        self.stored.retain(|ticket| !tickets.contains(ticket));
        for ticket in tickets {
            self.pending.remove(&ticket);
            self.answers.insert(ticket, Err(away("an append of this handle has failed")));
        }
    }

    /// Records from an offset on, `records_max` at most. Empty with `next_offset` moved where compaction has taken the rest.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn read(&self, topic: &str, partition: i32, from: i64, records_max: usize) -> Result<Batch, LogError> {
        let kept = self.partition(topic, partition)?;
        let records: Vec<_> = kept.records.range(from..).take(records_max).map(|(_, record)| record.clone()).collect();
        let next = match records.last() {
            Some(last) if records.len() == records_max => last.offset + 1,
            _ => kept.next.max(from),
        };
        Ok(Batch { topic: topic.into(), partition, records, next_offset: next })
    }

    /// First offset, and the one that the next record will get.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.partition(topic, partition).map(|partition| (partition.first, partition.next))
    }

    /// Cleans a partition as its topic says: compaction, retention, or both. Returns how many records went.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn compact(&mut self, topic: &str, partition: i32) -> Result<usize, LogError> {
        self.partition(topic, partition)?;
        let (number, now) = (self.number(topic)?, self.now_ms);
        let topic = &mut self.topics[number];
        Ok(topic.partitions[partition as usize].clean(topic.keeping, now))
    }

    fn clean_somewhere(&mut self) {
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let (mut which, now) = (self.random.random_range(0..partitions.max(1)), self.now_ms);
        for topic in &mut self.topics {
            match topic.partitions.get_mut(which) {
                Some(partition) => {
                    partition.clean(topic.keeping, now);
                    return;
                }
                None => which -= topic.partitions.len(),
            }
        }
    }

    /// Lets time pass: milliseconds.
    pub fn advance(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// What the log takes for the time of an append: milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random_bool(share.min(1.0))
    }

    fn number(&self, topic: &str) -> Result<usize, LogError> {
        self.numbers.get(topic).copied().ok_or_else(|| LogError::NoTopic(topic.to_owned()))
    }

    fn partition(&self, topic: &str, partition: i32) -> Result<&Partition, LogError> {
        let found = self.topics[self.number(topic)?].partitions.get(usize::try_from(partition).unwrap_or(usize::MAX));
        found.ok_or_else(|| LogError::NoTopic(format!("{topic}/{partition}")))
    }
}

fn away(reason: &str) -> LogError {
    LogError::Away(reason.to_owned())
}
