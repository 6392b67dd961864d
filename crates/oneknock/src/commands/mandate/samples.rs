//! Samples of what a mandate's keys have sealed: of the registry, of tasks and of events, of each at most so many.

use crate::failure::Failure;
use crate::site::{self, Site};
use eventlog::From;
use events::{CheckpointPassage, HouseholdEntry, Record, Sealed, Task, topics};
use keys::MandateKeys;
use serde::{Deserialize, Serialize};

/// So many sealed values of each topic are tried before and after.
const SAMPLES_MAX: usize = 1000;

/// A sealed value: its field, and the value with its owner.
type Sample = (&'static str, Sealed);

/// What is tried.
pub struct Samples {
    all: Vec<Sample>,
    /// How many of which.
    pub counts: Counts,
}

/// How many of which.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Addresses and contacts of the registry.
    pub registry: usize,
    /// Declared addresses and notes of tasks.
    pub tasks: usize,
    /// Declared addresses of events.
    pub events: usize,
}

impl Samples {
    /// Takes them from the log.
    pub async fn take(site: &Site, id: &str) -> Result<Samples, Failure> {
        let prefix = format!("{id}/");
        let registry = sample(site, topics::HOUSEHOLDS, |key, entry: HouseholdEntry| match key.starts_with(prefix.as_bytes()) {
            true => [("address", entry.address), ("contact", entry.contact)],
            false => NONE,
        });
        let registry = registry.await?;
        let tasks = sample(site, topics::TASKS, |_, task: Task| match task.mandate == id {
            true => [("address", task.address), ("note", task.note)],
            false => NONE,
        });
        let tasks = tasks.await?;
        let events = sample(site, topics::CHECKPOINT, |_, event: CheckpointPassage| match event.mandate == id {
            true => [("address", event.destination.and_then(|declared| declared.address)), ("", None)],
            false => NONE,
        });
        let events = events.await?;
        let counts = Counts { registry: registry.len(), tasks: tasks.len(), events: events.len() };
        Ok(Samples { all: [registry, tasks, events].concat(), counts })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many of them open.
    pub fn opened(&self, keys: Option<&MandateKeys>) -> usize {
        let Some(keys) = keys else { return 0 };
        self.all.iter().filter(|(field, sealed)| keys.open(field, &sealed.owner, &sealed.value.0).is_ok()).count()
    }
}

/// A record's sealed fields, where it has them.
type Fields = [(&'static str, Option<Sealed>); 2];

/// Of another mandate's record.
const NONE: Fields = [("", None), ("", None)];

/// Sealed values of one topic's records, of every partition its share.
async fn sample<R: Record>(site: &Site, topic: &str, fields: impl Fn(&[u8], R) -> Fields) -> Result<Vec<Sample>, Failure> {
    let partitions = site::partitions(&site.log, topic).await?;
    let share = SAMPLES_MAX.div_ceil(usize::try_from(partitions).unwrap_or(1).max(1));
    let mut samples = Vec::new();
    for partition in 0..partitions {
        let (first, end) = site.log.offsets(topic, partition).await?;
        let (mut next, until) = (first, samples.len() + share);
        let mut reader = site.log.read(vec![From { topic: topic.to_owned(), partition, offset: first }]).await?;
        while next < end && samples.len() < until {
            let batch = reader.next().await?;
            next = batch.next_offset;
            for record in batch.records.iter().filter(|record| record.value.is_some()) {
                let Ok(value) = site.schemas.decode::<R>(record).await else { continue };
                samples.extend(fields(&record.key, value).into_iter().filter_map(|(field, sealed)| Some((field, sealed?))));
            }
            samples.truncate(until);
        }
    }
    Ok(samples)
}
