//! Reads topics from where they begin to where they ended when the scan began: what every report is made of.
//!
//! It knows offsets and nothing of what a record means.

use crate::OpsError;
use eventlog::{Batch, From, Log, Reader};
use std::collections::HashMap;
use std::sync::Arc;

/// What one partition holds: `first` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub first: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// The partitions of a topic as they are now.
pub async fn spans(log: &Arc<dyn Log>, topic: &str) -> Result<Vec<Span>, OpsError> {
    let topics = log.topics().await?;
    let partitions = topics.iter().find(|info| info.name == topic).map(|info| info.partitions);
    let mut spans = Vec::new();
    // What is none of ours may be anything that somebody typed: it is not said again.
    let no_topic =
        || OpsError::NoTopic(events::topics::ALL.iter().map(|spec| spec.name).find(|name| *name == topic).unwrap_or("of this name"));
    for partition in 0..partitions.ok_or_else(no_topic)? {
        spans.push(span(log, topic, partition).await?);
    }
    Ok(spans)
}

/// One partition as it is now.
pub async fn span(log: &Arc<dyn Log>, topic: &str, partition: i32) -> Result<Span, OpsError> {
    let (first, end) = log.offsets(topic, partition).await?;
    Ok(Span { partition, first, end })
}

/// A bounded read over several partitions of one topic.
pub struct Scan {
    reader: Option<Box<dyn Reader>>,
    /// Partitions not yet read to their end.
    open: HashMap<i32, i64>,
}

impl Scan {
    /// Reads these spans; empty ones cost nothing.
    pub async fn new(log: &Arc<dyn Log>, topic: &str, spans: &[Span]) -> Result<Scan, OpsError> {
        let wanted: Vec<Span> = spans.iter().copied().filter(|span| span.first < span.end).collect();
        let from = |span: &Span| From { topic: topic.to_owned(), partition: span.partition, offset: span.first };
        let reader = match wanted.is_empty() {
            true => None,
            false => Some(log.read(wanted.iter().map(from).collect()).await?),
        };
        Ok(Scan { reader, open: wanted.iter().map(|span| (span.partition, span.end)).collect() })
    }

    /// The next batch, without what was appended after the scan began; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Batch>, OpsError> {
        let Some(reader) = self.reader.as_mut() else { return Ok(None) };
        while !self.open.is_empty() {
            let mut batch = reader.next().await?;
            let Some(&end) = self.open.get(&batch.partition) else { continue };
            batch.records.retain(|record| record.offset < end);
            if batch.next_offset >= end {
                self.open.remove(&batch.partition);
            }
            if !batch.records.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}
