//! The log: the one place that knows where topics live. Kafka for anything real, embedded for demos and small pilots, simulated for
//! tests, remote for commands beside a running process. One interface, one conformance suite (`tests/conformance/`).
//!
//! It knows bytes, partitions and offsets; what a record means is not its business.

mod chunk;
mod clock;
pub mod drive;
pub mod embedded;
pub mod fencing;
pub mod kafka;
pub mod merged;
pub mod owner;
pub mod remote;
pub mod schemas;
pub mod simulated;
pub mod table;

use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A record's headers: names and bytes, in order.
pub use events::cloudevents::Headers;

/// A record to be appended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Append {
    /// The topic.
    pub topic: Cow<'static, str>,
    /// The partition: callers compute it (`events::topics::partition_of`).
    pub partition: i32,
    /// The key; UTF-8 in our topics.
    pub key: Bytes,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its offset in its partition.
    pub offset: i64,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The log's own time of append, in milliseconds: never the event's.
    pub timestamp: i64,
    /// The key.
    pub key: Bytes,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

impl Record {
    /// A header's bytes.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name)
    }
}

/// What a reader gets next.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Records in the order of their offsets; compaction leaves gaps. May be empty, where only `next_offset` or `end_offset` moved.
    pub records: Vec<Record>,
    /// The offset to be read next.
    pub next_offset: i64,
}

/// Why the log could not do it. What a caller does next decides the variant.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Unknown whether it was appended: an owner ends; a gateway answers 503.
    #[error("the log is away: {0}")]
    Away(String),
    /// It will never work: configuration or a bug.
    #[error("the log refuses: {0}")]
    Refused(String),
    /// Somebody else holds the embedded log.
    #[error("the log in {dir} is held by process {holder}")]
    Held {
        /// The folder.
        dir: String,
        /// Process id, where it is known.
        holder: String,
    },
    /// The topic or partition does not exist.
    #[error("topic {0} or its partition does not exist")]
    NoTopic(String),
}

/// A topic to be created, with its settings in Kafka's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// `cleanup.policy`, `retention.ms`, `min.compaction.lag.ms` and so on.
    pub settings: Vec<(String, String)>,
}

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Settings in Kafka's own words, as far as the log knows them.
    pub settings: Vec<(String, String)>,
}

/// Where a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset to read; one that compaction or retention removed reads from the next that is there.
    pub offset: i64,
}

/// What changes in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// These partitions (numbers, the same of every topic of the group) are this member's from now on.
    Assigned(Vec<i32>),
    /// These are no longer.
    Revoked(Vec<i32>),
}

/// Reads partitions. Dropping it ends it.
#[async_trait]
pub trait Reader: Send {
    /// The next batch of any of its partitions; waits until there is one. Cancel-safe. Within a partition in order, none twice.
    async fn next(&mut self) -> Result<Batch, LogError>;

    /// Reads these too, from now on. Of a partition that it reads already: from that offset on.
    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError>;

    /// Reads these no longer: no batch of theirs follows.
    async fn remove(&mut self, partitions: &[(String, i32)]) -> Result<(), LogError>;
}

/// A member of a group. Dropping it leaves the group.
#[async_trait]
pub trait Member: Send {
    /// The next change; waits until there is one. Cancel-safe.
    async fn next(&mut self) -> Result<Assignment, LogError>;
}

/// Whether the headers of a record are wanted, by its topic and value: reading them can cost more than all the rest.
pub type WantsHeaders = Arc<dyn Fn(&str, &[u8]) -> bool + Send + Sync>;

/// An append under way. Resolves when it is durable, or never will be known to be. Dropping it does not take it back.
pub type Acknowledgement = futures::future::BoxFuture<'static, Result<Vec<Appended>, LogError>>;

/// The log.
#[async_trait]
pub trait Log: Send + Sync {
    /// Creates what is missing; leaves what is there as it is.
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError>;

    /// All topics.
    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError>;

    /// Appends in this order, per partition also behind everything appended before through this handle. The order is fixed when this
    /// returns (before the future is awaited); the future resolves when all is durable, with one `Appended` per record, in order.
    fn append(&self, records: Vec<Append>) -> Acknowledgement;

    /// First offset and the offset that the next record will get.
    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError>;

    /// Reads the partitions from there on, for ever.
    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError>;

    /// As `read`, but headers that are not wanted may be missing.
    async fn read_lean(&self, from: Vec<From>, wants_headers: WantsHeaders) -> Result<Box<dyn Reader>, LogError> {
        let _ = wants_headers;
        self.read(from).await
    }

    /// Joins the group that spreads partitions over processes: all members name the same topics, and a partition number of all topics
    /// goes to one member. `member` is stable over restarts.
    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError>;

    /// Writes down how far a group has got, for lag displays alone: nothing rests on it.
    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError>;

    /// What was written down: per topic and partition the offset to be read next.
    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError>;
}

/// The topics of OneKnock with their settings, for `create_topics`.
pub fn site_topics(partitions: i32) -> Vec<NewTopic> {
    use events::topics::{ALL, DELETE_RETENTION_MS, Kept, MIN_COMPACTION_LAG_MS, SEGMENT_MS};
    let setting = |name: &str, value: String| (name.to_owned(), value);
    let topic = |spec: &events::topics::TopicSpec| {
        let mut settings = vec![setting("message.timestamp.type", "LogAppendTime".into()), setting("segment.ms", SEGMENT_MS.to_string())];
        match spec.kept {
            Kept::Compacted => {
                settings.push(setting("cleanup.policy", "compact".into()));
                settings.push(setting("min.compaction.lag.ms", MIN_COMPACTION_LAG_MS.to_string()));
                settings.push(setting("delete.retention.ms", DELETE_RETENTION_MS.to_string()));
            }
            Kept::For(ms) => {
                settings.push(setting("cleanup.policy", "delete".into()));
                settings.push(setting("retention.ms", ms.to_string()));
            }
        }
        NewTopic { name: spec.name.to_owned(), partitions, settings }
    };
    ALL.iter().map(topic).collect()
}
