//! `ops lag`: how far each group of consumers has got, as it wrote down itself. Nothing rests on these numbers.

use crate::{OpsError, scan};
use eventlog::Log;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What every group has still to read.
#[derive(Debug, Serialize)]
pub struct Lag {
    /// By group, then topic.
    pub groups: Vec<GroupTopic>,
    /// Records not read yet, over all.
    pub total: i64,
}

/// One topic of one group.
#[derive(Debug, Serialize)]
pub struct GroupTopic {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Records not read yet.
    pub lag: i64,
    /// By partition.
    pub partitions: Vec<PartitionLag>,
}

/// One partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    /// The partition.
    pub partition: i32,
    /// The offset to be read next; null: the group has never written one down.
    pub position: Option<i64>,
    /// The offset that the next record will get.
    pub end: i64,
    /// Records not read yet.
    pub lag: i64,
}

/// Makes the report for these groups and the topics that each reads.
///
/// # Errors
/// The log is away.
pub async fn lag(log: &Arc<dyn Log>, groups: &[(&str, &[&str])]) -> Result<Lag, OpsError> {
    let there = log.topics().await?;
    let mut report = Vec::new();
    for (group, topics) in groups {
        let noted: BTreeMap<(String, i32), i64> =
            log.noted_positions(group).await?.into_iter().map(|from| ((from.topic, from.partition), from.offset)).collect();
        for topic in topics.iter().filter(|topic| there.iter().any(|info| info.name == **topic)) {
            let mut partitions = Vec::new();
            for span in scan::spans(log, topic).await? {
                let position = noted.get(&((*topic).to_owned(), span.partition)).copied();
                let lag = (span.end - position.unwrap_or(span.first).max(span.first)).max(0);
                partitions.push(PartitionLag { partition: span.partition, position, end: span.end, lag });
            }
            let lag = partitions.iter().map(|partition| partition.lag).sum();
            report.push(GroupTopic { group: (*group).to_owned(), topic: (*topic).to_owned(), lag, partitions });
        }
    }
    Ok(Lag { total: report.iter().map(|topic| topic.lag).sum(), groups: report })
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:<28} {:>10}  partitions behind", "group", "topic", "lag")?;
        for topic in &self.groups {
            let behind: Vec<String> = topic
                .partitions
                .iter()
                .filter(|partition| partition.lag > 0)
                .map(|partition| format!("{}:{}", partition.partition, partition.lag))
                .collect();
            writeln!(f, "{:<12} {:<28} {:>10}  {}", topic.group, topic.topic, topic.lag, behind.join(" "))?;
        }
        writeln!(f, "total {}", self.total)
    }
}
