//! `ops dlq list`: dead letters, by topic, with why they are there. The bytes themselves are never shown: nobody knows what is in them.

use crate::OpsError;
use crate::scan::{self, Scan, Span};
use eventlog::Log;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Newest dead letters of each partition that are looked at for their reasons.
const LOOKED_AT: i64 = 1000;

/// Every topic of dead letters.
#[derive(Debug, Serialize)]
pub struct DeadLetters {
    /// By name.
    pub topics: Vec<DeadTopic>,
    /// All letters that are kept.
    pub letters: i64,
}

/// One topic of dead letters.
#[derive(Debug, Serialize)]
pub struct DeadTopic {
    /// `dlq.<group>.<topic>`.
    pub name: String,
    /// Letters that are kept.
    pub letters: i64,
    /// When the newest came; RFC 3339.
    pub newest_at: Option<String>,
    /// Why, of the newest, with counts.
    pub reasons: BTreeMap<String, u64>,
}

/// Makes the report.
///
/// # Errors
/// The log is away.
pub async fn list(log: &Arc<dyn Log>) -> Result<DeadLetters, OpsError> {
    let mut names: Vec<String> = log.topics().await?.into_iter().map(|info| info.name).filter(|name| name.starts_with("dlq.")).collect();
    names.sort();
    let mut topics = Vec::new();
    for name in names {
        let spans = scan::spans(log, &name).await?;
        let newest: Vec<Span> = spans.iter().map(|span| Span { first: span.first.max(span.end - LOOKED_AT), ..*span }).collect();
        let mut reasons = BTreeMap::new();
        let mut newest_at = None;
        let mut scan = Scan::new(log, &name, &newest).await?;
        while let Some(batch) = scan.next().await? {
            for record in &batch.records {
                newest_at = newest_at.max(Some(record.timestamp));
                let reason = record.header("__dlq.errors.message").map_or("unknown".into(), String::from_utf8_lossy);
                *reasons.entry(reason.into_owned()).or_default() += 1;
            }
        }
        let newest_at = newest_at.map(|at| events::time::format(events::Millis(at)));
        topics.push(DeadTopic { name, letters: spans.iter().map(|span| span.end - span.first).sum(), newest_at, reasons });
    }
    Ok(DeadLetters { letters: topics.iter().map(|topic| topic.letters).sum(), topics })
}

impl fmt::Display for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for topic in &self.topics {
            writeln!(f, "{:<44} {:>8}  newest {}", topic.name, topic.letters, topic.newest_at.as_deref().unwrap_or("-"))?;
            for (reason, count) in &topic.reasons {
                writeln!(f, "  {count:>6} × {reason}")?;
            }
        }
        writeln!(f, "{} dead letters", self.letters)
    }
}
