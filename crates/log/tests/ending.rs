//! A loop that is told to end does so also while its topic has more to read than it will ever have read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use async_trait::async_trait;
use eventlog::drive::{Loop, Tables, drive};
use eventlog::owner::{Desk, Logic, Rules};
use eventlog::simulated::Simulated;
use eventlog::{Acknowledgement, Append, Assignment, Batch, From, Log, LogError, Member, NewTopic, Reader, Record, TopicInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const TOPIC: &str = "long";

/// A log whose partitions have no end, and how much of them was read.
struct Endless(Arc<Simulated>, Arc<AtomicU64>);

#[async_trait]
impl Log for Endless {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.0.create_topics(topics).await
    }
    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.0.topics().await
    }
    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        self.0.append(records)
    }
    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.0.offsets(topic, partition).await
    }
    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(Always { from, count: Arc::clone(&self.1) }))
    }
    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        self.0.join(group, member, topics).await
    }
    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        self.0.note_position(group, positions).await
    }
    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        self.0.noted_positions(group).await
    }
}

/// There is always more.
struct Always {
    from: Vec<From>,
    count: Arc<AtomicU64>,
}

#[async_trait]
impl Reader for Always {
    async fn next(&mut self) -> Result<Batch, LogError> {
        let Some(from) = self.from.first_mut() else { return std::future::pending().await };
        let (offset, key) = (from.offset, format!("m/h{}", from.offset % 64).into_bytes());
        from.offset += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        let record = Record { partition: from.partition, offset, timestamp: 0, key: key.into(), value: None, headers: Default::default() };
        Ok(Batch { topic: from.topic.as_str().into(), partition: from.partition, records: vec![record], next_offset: from.offset })
    }
    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError> {
        self.from.extend(from);
        Ok(())
    }
    async fn remove(&mut self, _: &[(String, i32)]) -> Result<(), LogError> {
        self.from.clear();
        Ok(())
    }
}

struct Nothing;

impl Logic for Nothing {
    fn take_over(&mut self, _: &mut Desk<'_>) {}
    fn apply(&mut self, _: &str, records: &mut dyn Iterator<Item = &Record>, _: &mut Desk<'_>) -> usize {
        records.count()
    }
    fn changed(&mut self, _: &str, _: &[String], _: &mut Desk<'_>) {}
    fn delivered(&mut self, _: Vec<(Arc<str>, i64)>, _: &mut Desk<'_>) {}
}

#[async_trait]
impl Tables for Nothing {
    async fn catch_up(&self) -> Result<(), LogError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_folds_without_end_ends_when_told_to() {
    let count = Arc::new(AtomicU64::new(0));
    let log = Arc::new(Endless(Simulated::new(1), Arc::clone(&count)));
    log.create_topics(&[NewTopic { name: TOPIC.to_owned(), partitions: 1, settings: vec![] }]).await.unwrap();
    let (assign, assignments) = mpsc::unbounded_channel();
    let (_change, changes) = mpsc::channel(1);
    let (stop, shutdown) = watch::channel(false);
    let folding = Loop {
        log,
        topic: TOPIC,
        inputs: vec![],
        group: "g".to_owned(),
        wants_headers: Arc::new(|_, _| false),
        rules: Rules::ALL,
        logic: Box::new(|_| Nothing),
        cache_dir: None,
        tables: Arc::new(Nothing),
        changes,
        assignments,
        shutdown,
    };
    let ended = tokio::spawn(drive(folding));
    assign.send(Assignment::Assigned(vec![0])).unwrap();
    let begun = async {
        while count.load(Ordering::Relaxed) < 10_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begun).await.expect("it reads nothing");
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it reads on").unwrap().unwrap();
}
