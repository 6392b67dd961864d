//! `ops topics`: every topic, how much it holds and how it is kept; which of the site's are missing.

use crate::{OpsError, scan};
use eventlog::Log;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// All topics of the log.
#[derive(Debug, Serialize)]
pub struct Topics {
    /// Those that are there, by name.
    pub topics: Vec<Topic>,
    /// Those that a site has and this log does not.
    pub missing: Vec<String>,
}

/// One topic.
#[derive(Debug, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether it is one of the site's.
    pub ours: bool,
    /// How many partitions.
    pub partitions: i32,
    /// Offsets in use: at most so many records, fewer where compaction has left gaps.
    pub records_max: i64,
    /// Offsets ever given.
    pub appended: i64,
    /// `cleanup.policy`, where the log knows it.
    pub cleanup: Option<String>,
    /// `retention.ms`, where the log knows it and it counts.
    pub retention_ms: Option<i64>,
    /// First and next offset of each partition.
    pub offsets: Vec<(i64, i64)>,
}

/// Makes the report.
///
/// # Errors
/// The log is away.
pub async fn topics(log: &Arc<dyn Log>) -> Result<Topics, OpsError> {
    let mut found = log.topics().await?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let site: Vec<&str> = events::topics::ALL.iter().map(|spec| spec.name).collect();
    let mut topics = Vec::new();
    for info in &found {
        let mut offsets = Vec::new();
        for partition in 0..info.partitions {
            let span = scan::span(log, &info.name, partition).await?;
            offsets.push((span.first, span.end));
        }
        let setting = |name: &str| info.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let cleanup = setting("cleanup.policy");
        let deletes = cleanup.as_deref().is_some_and(|policy| policy.contains("delete"));
        topics.push(Topic {
            name: info.name.clone(),
            ours: site.contains(&info.name.as_str()) || info.name.starts_with("dlq."),
            partitions: info.partitions,
            records_max: offsets.iter().map(|(first, end)| end - first).sum(),
            appended: offsets.iter().map(|(_, end)| end).sum(),
            retention_ms: setting("retention.ms").filter(|_| deletes).and_then(|value| value.parse().ok()),
            cleanup,
            offsets,
        });
    }
    let missing = site.iter().filter(|name| found.iter().all(|info| info.name != **name)).map(|name| (*name).to_owned()).collect();
    Ok(Topics { topics, missing })
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>10} {:>14} {:>14}  kept", "topic", "partitions", "records ≤", "appended")?;
        for topic in &self.topics {
            let kept = match (&topic.cleanup, topic.retention_ms) {
                (_, Some(ms)) if ms > 0 => format!("{} days", ms / events::time::DAY_MS),
                (Some(policy), _) => policy.clone(),
                (None, _) => "?".to_owned(),
            };
            let foreign = if topic.ours { "" } else { "  (not a topic of OneKnock)" };
            let name = &topic.name;
            writeln!(f, "{name:<34} {:>10} {:>14} {:>14}  {kept}{foreign}", topic.partitions, topic.records_max, topic.appended)?;
        }
        match self.missing.is_empty() {
            true => Ok(()),
            false => writeln!(f, "missing: {} (`oneknock run` creates them)", self.missing.join(", ")),
        }
    }
}
