//! Counts what became of the events, by reading the decisions as anybody may.

use crate::failure::Failure;
use crate::site::{self, Site};
use eventlog::{From, LogError};
use events::{Code, Decision, topics};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted by the gateway.
    pub events: u64,
    /// Visits that were opened.
    pub tasks: u64,
    /// Events that would each have been a knock of their own: the sum of the next three.
    pub avoided: u64,
    /// Joined a visit.
    pub joined: u64,
    /// Answered by a screening.
    pub covered: u64,
    /// The same passage under another id.
    pub duplicate: u64,
}

#[derive(Default)]
struct Counted {
    /// Newest revision and code of each event.
    newest: HashMap<[u8; 16], (i64, Code)>,
    /// Visits that some event opened.
    opened: HashSet<String>,
}

/// Follows the decisions.
pub struct Watch {
    counted: Arc<Mutex<Counted>>,
}

impl Watch {
    /// Begins at the present end: what a kept site decided earlier is not this run's.
    pub async fn begin(site: &Site) -> Result<Watch, Failure> {
        let mut from = Vec::new();
        for partition in 0..site::partitions(&site.log, topics::DECISIONS).await? {
            let (_, end) = site.log.offsets(topics::DECISIONS, partition).await?;
            from.push(From { topic: topics::DECISIONS.to_owned(), partition, offset: end });
        }
        let counted: Arc<Mutex<Counted>> = Arc::default();
        let (site, into) = (site.clone(), Arc::clone(&counted));
        tokio::spawn(async move {
            if let Err(error) = follow(site, from, into).await {
                tracing::warn!(%error, "decisions are no longer counted");
            }
        });
        Ok(Watch { counted })
    }

    /// As it stands now.
    pub fn tally(&self, events: u64) -> Tally {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |code: Code| counted.newest.values().filter(|(_, newest)| *newest == code).count() as u64;
        let (joined, covered, duplicate) = (of(Code::Joined), of(Code::Covered), of(Code::Duplicate));
        Tally { events, tasks: counted.opened.len() as u64, avoided: joined + covered + duplicate, joined, covered, duplicate }
    }
}

async fn follow(site: Site, from: Vec<From>, into: Arc<Mutex<Counted>>) -> Result<(), LogError> {
    let mut reader = site.log.read(from).await?;
    loop {
        for record in reader.next().await?.records {
            let Ok(decision) = site.schemas.decode::<Decision>(&record).await else { continue };
            let mut counted = into.lock().unwrap_or_else(PoisonError::into_inner);
            let newest = counted.newest.entry(decision.event_id.0).or_insert((i64::MIN, decision.code));
            if newest.0 <= decision.revision {
                *newest = (decision.revision, decision.code);
            }
            if let Some(task) = decision.task_id.filter(|_| decision.code == Code::Opened) {
                counted.opened.insert(task.to_string());
            }
        }
    }
}
