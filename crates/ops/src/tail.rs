//! `ops tail TOPIC`: records as JSON, decoded; identifiers are tokens, what is sealed stays sealed.

use crate::scan::{self, Scan, Span};
use crate::{OpsError, decode};
use eventlog::schemas::Schemas;
use eventlog::{From, Log, Reader, Record};
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Most records of one answer.
pub const COUNT_MAX: usize = 10_000;

/// One record.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// When the log took it; RFC 3339.
    pub appended_at: String,
    /// The key.
    pub key: String,
    /// The owner's epoch, in topics that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The value; null is a tombstone, or one that cannot be read.
    pub value: Value,
    /// Why the value cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The newest `count` records of a topic, or of one partition of it, in the order of their append times. Fewer where compaction has
/// left gaps.
///
/// # Errors
/// No such topic, a count over 10 000, or the log is away.
pub async fn newest(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    topic: &str,
    partition: Option<i32>,
    count: usize,
) -> Result<Vec<Line>, OpsError> {
    if count > COUNT_MAX {
        return Err(OpsError::Argument { argument: "count", expected: "at most 10000" });
    }
    let back = i64::try_from(count).unwrap_or(i64::MAX);
    let spans = chosen(log, topic, partition).await?;
    let spans: Vec<Span> = spans.iter().map(|span| Span { first: span.first.max(span.end - back), ..*span }).collect();
    let mut scan = Scan::new(log, topic, &spans).await?;
    let mut records = Vec::new();
    while let Some(batch) = scan.next().await? {
        records.extend(batch.records);
    }
    records.sort_by_key(|record| (record.timestamp, record.partition, record.offset));
    let mut lines = Vec::new();
    for record in records.iter().skip(records.len().saturating_sub(count)) {
        lines.push(line(schemas, topic, record).await);
    }
    Ok(lines)
}

async fn chosen(log: &Arc<dyn Log>, topic: &str, partition: Option<i32>) -> Result<Vec<Span>, OpsError> {
    let mut spans = scan::spans(log, topic).await?;
    if let Some(partition) = partition {
        spans.retain(|span| span.partition == partition);
        if spans.is_empty() {
            return Err(OpsError::Argument { argument: "partition", expected: "one that the topic has" });
        }
    }
    Ok(spans)
}

async fn line(schemas: &Schemas, topic: &str, record: &Record) -> Line {
    let (value, error) = match decode::value(schemas, topic, record).await {
        Ok(value) => (value, None),
        Err(error) => (Value::Null, Some(error)),
    };
    Line {
        topic: topic.to_owned(),
        partition: record.partition,
        offset: record.offset,
        appended_at: events::time::format(events::Millis(record.timestamp)),
        key: String::from_utf8_lossy(&record.key).into_owned(),
        epoch: Some(eventlog::fencing::epoch_of(record)).filter(|epoch| *epoch > 0),
        value,
        error,
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{} {} ", self.appended_at, self.partition, self.offset, self.key)?;
        match &self.error {
            Some(error) => write!(f, "unreadable: {error}"),
            None if self.value.is_null() => f.write_str("tombstone"),
            None => write!(f, "{}", self.value),
        }
    }
}

/// A topic from its present end on, for ever.
pub struct Follow {
    reader: Box<dyn Reader>,
    topic: String,
    waiting: VecDeque<Record>,
}

impl Follow {
    /// Begins at the present end.
    ///
    /// # Errors
    /// No such topic or partition, or the log is away.
    pub async fn new(log: &Arc<dyn Log>, topic: &str, partition: Option<i32>) -> Result<Follow, OpsError> {
        let spans = chosen(log, topic, partition).await?;
        let from = |span: &Span| From { topic: topic.to_owned(), partition: span.partition, offset: span.end };
        let reader = log.read(spans.iter().map(from).collect()).await?;
        Ok(Follow { reader, topic: topic.to_owned(), waiting: VecDeque::new() })
    }

    /// The next record; waits until there is one. Cancel-safe but for the record that it is about to return.
    ///
    /// # Errors
    /// The log is away.
    pub async fn next(&mut self, schemas: &Schemas) -> Result<Line, OpsError> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Ok(line(schemas, &self.topic, &record).await);
            }
            self.waiting.extend(self.reader.next().await?.records);
        }
    }
}
