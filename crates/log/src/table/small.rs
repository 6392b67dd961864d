//! A small topic's records, decoded and in memory: mandates, policies, grids.

use super::follow::{Followed, Follower, Sink, Taken};
use crate::fencing::{Fold, Verdict};
use crate::schemas::Schemas;
use crate::{Batch, Log, LogError};
use async_trait::async_trait;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::UnboundedReceiver;

/// Whether a record under a key is believed; if not, why.
pub type Rule<R> = Box<dyn FnMut(&str, &R) -> Result<(), String> + Send>;

/// The newest record of every key. A value that cannot be decoded, or that a rule does not believe, is passed over and counted; the one
/// before it stays.
pub struct Small<R> {
    kept: Arc<Kept<R>>,
    followed: Arc<Followed>,
    follower: Follower,
}

struct Kept<R> {
    records: RwLock<BTreeMap<String, Arc<R>>>,
    skipped: AtomicU64,
    refused: AtomicU64,
}

impl<R: events::Record + Send + Sync + 'static> Small<R> {
    /// Follows all partitions of the topic. Returns once it has read to the end that the topic had at the call.
    pub async fn open(log: Arc<dyn Log>, schemas: Arc<Schemas>, topic: &str) -> Result<Arc<Small<R>>, LogError> {
        Small::open_where(log, schemas, topic, Box::new(|_, _| Ok(()))).await
    }

    /// The same, and of its records those alone that the rule believes, asked in the order of the log.
    pub async fn open_where(log: Arc<dyn Log>, schemas: Arc<Schemas>, topic: &str, rule: Rule<R>) -> Result<Arc<Small<R>>, LogError> {
        let followed = Followed::new(log, topic).await?;
        let kept = Arc::new(Kept { records: RwLock::default(), skipped: AtomicU64::new(0), refused: AtomicU64::new(0) });
        let sink = Decode { kept: kept.clone(), schemas, folds: HashMap::new(), rule };
        let follower = Follower::spawn(followed.clone(), sink).await?;
        let small = Arc::new(Small { kept, followed, follower });
        small.catch_up().await?;
        Ok(small)
    }

    /// A key's record.
    pub fn get(&self, key: &str) -> Option<Arc<R>> {
        self.kept.records.read().get(key).cloned()
    }

    /// All, in the order of their keys.
    pub fn all(&self) -> Vec<(String, Arc<R>)> {
        self.kept.records.read().iter().map(|(key, record)| (key.clone(), record.clone())).collect()
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.kept.records.read().len()
    }

    /// No keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads to the end that the topic has now.
    pub async fn catch_up(&self) -> Result<(), LogError> {
        self.follower.catch_up().await
    }

    /// The keys that change from now on, batch by batch, after they have changed.
    pub fn subscribe(&self) -> UnboundedReceiver<Vec<String>> {
        self.followed.subscribe()
    }

    /// Values that could not be decoded, since the start.
    pub fn skipped(&self) -> u64 {
        self.kept.skipped.load(Ordering::Relaxed)
    }

    /// Records that the rule did not believe, since the start.
    pub fn refused(&self) -> u64 {
        self.kept.refused.load(Ordering::Relaxed)
    }
}

struct Decode<R> {
    kept: Arc<Kept<R>>,
    schemas: Arc<Schemas>,
    folds: HashMap<i32, Fold>,
    rule: Rule<R>,
}

#[async_trait]
impl<R: events::Record + Send + Sync + 'static> Sink for Decode<R> {
    fn start(&mut self, ends: &[i64]) -> Result<Vec<i64>, LogError> {
        Ok(vec![0; ends.len()])
    }

    fn restart(&mut self) -> Result<(), LogError> {
        self.folds.clear();
        self.kept.records.write().clear();
        Ok(())
    }

    async fn take(&mut self, batch: &Batch, wanted: bool) -> Taken {
        let mut changes: Vec<(String, Option<Arc<R>>)> = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            if self.folds.entry(batch.partition).or_default().judge(record) != Verdict::State {
                continue;
            }
            let decoded = match (&record.value, std::str::from_utf8(&record.key)) {
                (None, Ok(key)) => Ok((key, None)),
                (Some(_), Ok(key)) => self.schemas.decode::<R>(record).await.map(|value| (key, Some(Arc::new(value)))),
                (_, Err(_)) => Err(events::CodecError::NoPrefix),
            };
            let (partition, offset) = (batch.partition, record.offset);
            match decoded {
                Ok((key, Some(value))) => match (self.rule)(key, &value) {
                    Ok(()) => changes.push((key.to_owned(), Some(value))),
                    Err(reason) => {
                        self.kept.refused.fetch_add(1, Ordering::Relaxed);
                        metrics::counter!("oneknock_records_refused_total", "topic" => batch.topic.to_string()).increment(1);
                        tracing::error!(topic = &*batch.topic, partition, offset, reason, "a record is refused: as if it were not there");
                    }
                },
                Ok((key, None)) => changes.push((key.to_owned(), None)),
                Err(error) => {
                    self.kept.skipped.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(topic = &*batch.topic, partition, offset, %error, "a record cannot be read; it is passed over");
                }
            }
        }
        let keys = if wanted { changes.iter().map(|(key, _)| key.clone()).collect() } else { Vec::new() };
        let mut records = self.kept.records.write();
        for (key, value) in changes {
            match value {
                Some(value) => drop(records.insert(key, value)),
                None => drop(records.remove(&key)),
            }
        }
        Taken::Changed(keys)
    }
}
