//! The log in memory under a seed, with a clock of its own: for tests, where everything that a log may do is wanted at the worst moment.
//!
//! [`SimulatedCore`] is a plain value that moves by `step`, for whole systems on one thread from one seed. [`Simulated`] is the same as a
//! `Log` for async code: whoever waits for something makes the next step, so the order of what happens comes from the seed, too, and no
//! time passes but by [`Simulated::advance`].

mod core;
mod partition;

pub use self::core::{Faults, Handle, SimulatedCore, Ticket};

use crate::embedded::groups::Groups;
use crate::{Acknowledgement, Append, Batch, From, Log, LogError, Member, NewTopic, Reader, TopicInfo};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

const BATCH_RECORDS_MAX: usize = 500;

/// One handle on a simulated log. Like one of Kafka's it appends no more once an append of it has failed.
pub struct Simulated {
    shared: Arc<Shared>,
    handle: Handle,
}

/// Of a group: by topic and partition.
type Noted = BTreeMap<(String, i32), i64>;

struct Shared {
    core: Mutex<SimulatedCore>,
    stored: Notify,
    groups: Arc<Groups>,
    noted: Mutex<BTreeMap<String, Noted>>,
}

impl Simulated {
    /// A log without faults.
    pub fn new(seed: u64) -> Arc<Simulated> {
        Simulated::with_faults(seed, Faults::default())
    }

    /// A log with faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Arc<Simulated> {
        let core = Mutex::new(SimulatedCore::new(seed, faults));
        let shared = Arc::new(Shared { core, stored: Notify::new(), groups: Arc::default(), noted: Mutex::default() });
        Simulated::on(shared)
    }

    fn on(shared: Arc<Shared>) -> Arc<Simulated> {
        let handle = shared.core.lock().open();
        Arc::new(Simulated { shared, handle })
    }

    /// Another handle on the same log: another process, or the same one after a failure.
    pub fn another(&self) -> Arc<Simulated> {
        Simulated::on(Arc::clone(&self.shared))
    }

    /// What is under way through this handle may still be stored, some time; its appends fail from now on.
    pub fn crash(&self) {
        self.shared.core.lock().crash(self.handle);
        self.shared.stored.notify_waiters();
    }

    /// Lets time pass: milliseconds.
    pub fn advance(&self, ms: i64) {
        self.shared.core.lock().advance(ms);
    }

    /// Compacts a partition, or takes away what is too old, as its topic says. Returns how many records went.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn compact(&self, topic: &str, partition: i32) -> Result<usize, LogError> {
        self.shared.core.lock().compact(topic, partition)
    }
}

#[async_trait]
impl Log for Simulated {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        topics.iter().try_for_each(|topic| self.shared.core.lock().create_topic(topic))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        Ok(self.shared.core.lock().topics())
    }

    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        let (shared, ticket) = (Arc::clone(&self.shared), self.shared.core.lock().append(self.handle, records));
        self.shared.stored.notify_waiters();
        Box::pin(async move {
            let ticket = ticket?;
            loop {
                let answer = shared.core.lock().answer(ticket);
                match answer {
                    Some(answer) => return answer,
                    None => shared.step().await,
                }
            }
        })
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.shared.core.lock().offsets(topic, partition)
    }

    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        let mut reader = SimulatedReader { shared: Arc::clone(&self.shared), places: Vec::new(), turn: 0 };
        reader.add(from).await?;
        Ok(Box::new(reader))
    }

    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        let mut partitions = 0;
        for topic in topics {
            partitions = partitions.max(self.shared.core.lock().partitions(topic)?);
        }
        Ok(self.shared.groups.join(group, member, partitions))
    }

    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        let mut noted = self.shared.noted.lock();
        let group = noted.entry(group.to_owned()).or_default();
        group.extend(positions.iter().map(|from| ((from.topic.clone(), from.partition), from.offset)));
        Ok(())
    }

    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        let noted = self.shared.noted.lock();
        let position =
            |((topic, partition), offset): (&(String, i32), &i64)| From { topic: topic.clone(), partition: *partition, offset: *offset };
        Ok(noted.get(group).into_iter().flatten().map(position).collect())
    }
}

impl Shared {
    /// One step, and a turn for everybody else; where there is none to make, waits until there is.
    async fn step(&self) {
        let mut stored = std::pin::pin!(self.stored.notified());
        stored.as_mut().enable();
        let moved = self.core.lock().step();
        if moved {
            self.stored.notify_waiters();
            tokio::task::yield_now().await;
        } else {
            stored.await;
        }
    }
}

struct SimulatedReader {
    shared: Arc<Shared>,
    places: Vec<From>,
    turn: usize,
}

impl SimulatedReader {
    fn next_now(&mut self) -> Result<Option<Batch>, LogError> {
        let core = self.shared.core.lock();
        for step in 0..self.places.len() {
            let at = (self.turn + step) % self.places.len();
            let place = &mut self.places[at];
            let batch = core.read(&place.topic, place.partition, place.offset, BATCH_RECORDS_MAX)?;
            if batch.next_offset > place.offset {
                place.offset = batch.next_offset;
                self.turn = at + 1;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Reader for SimulatedReader {
    async fn next(&mut self) -> Result<Batch, LogError> {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut stored = std::pin::pin!(shared.stored.notified());
            // Before the look: what is stored behind it wakes.
            stored.as_mut().enable();
            if let Some(batch) = self.next_now()? {
                return Ok(batch);
            }
            if shared.core.lock().step() {
                shared.stored.notify_waiters();
                tokio::task::yield_now().await;
            } else {
                stored.await;
            }
        }
    }

    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError> {
        for mut place in from {
            self.shared.core.lock().offsets(&place.topic, place.partition)?;
            place.offset = place.offset.max(0);
            match self.places.iter_mut().find(|known| known.topic == place.topic && known.partition == place.partition) {
                Some(known) => known.offset = place.offset,
                None => self.places.push(place),
            }
        }
        Ok(())
    }

    async fn remove(&mut self, partitions: &[(String, i32)]) -> Result<(), LogError> {
        self.places.retain(|place| !partitions.iter().any(|(topic, number)| *topic == place.topic && *number == place.partition));
        Ok(())
    }
}
