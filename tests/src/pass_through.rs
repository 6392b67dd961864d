//! What reading and appending alone cost on this machine: a process that reads every event and appends it again as it is, through the
//! same log. What the router needs is told beside it: CPU seconds differ between machines, the ratio much less.

use crate::process::cpu_seconds;
use anyhow::{Context, Result, ensure};
use eventlog::kafka::{Kafka, KafkaConfig};
use eventlog::{Append, Batch, From, Log, NewTopic, Record};
use events::topics::{CHECKPOINT, HIGHWAY, TELECOM};
use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Where the copies go.
const COPY: &str = "bench.copy";
/// Batches whose copies are on their way.
const IN_FLIGHT_MAX: usize = 64;

/// CPU seconds per million events, in a process of its own that is this program once more, see [`copy`].
///
/// # Errors
/// It cannot be started, or it fails.
pub async fn measure(bootstrap: &str) -> Result<f64> {
    let mut program = Command::new(std::env::current_exe()?);
    let child = program.args(["--pass-through", bootstrap]).stdout(Stdio::piped()).spawn()?;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(output.status.success(), "the pass-through failed");
    String::from_utf8(output.stdout)?.trim().parse().context("the pass-through gave no figure")
}

/// Copies every event there is, and answers how many CPU seconds this process has used per million.
///
/// # Errors
/// The log is away.
pub async fn copy(bootstrap: &str) -> Result<f64> {
    let config = KafkaConfig { bootstrap: bootstrap.to_owned(), properties: Default::default() };
    let log = tokio::task::spawn_blocking(move || Kafka::connect(&config)).await??;
    let partitions = log.topics().await?.iter().find(|topic| topic.name == CHECKPOINT).map_or(0, |topic| topic.partitions);
    log.create_topics(&[NewTopic { name: COPY.to_owned(), partitions, settings: vec![] }]).await?;
    let (mut from, mut left) = (Vec::new(), 0);
    for topic in [CHECKPOINT, HIGHWAY, TELECOM] {
        for partition in 0..partitions {
            let (first, end) = log.offsets(topic, partition).await?;
            left += end - first;
            from.push(From { topic: topic.to_owned(), partition, offset: first });
        }
    }
    let events = left as f64;
    let mut reader = log.read_lean(from, Arc::new(|_, _| false)).await?;
    let mut under_way = VecDeque::new();
    while left > 0 {
        let Batch { records, partition, .. } = reader.next().await?;
        left -= records.len() as i64;
        let copied = |Record { key, value, headers, .. }| Append { topic: COPY.into(), partition, key, value, headers };
        under_way.push_back(log.append(records.into_iter().map(copied).collect()));
        if under_way.len() > IN_FLIGHT_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
    }
    for appended in under_way {
        appended.await?;
    }
    Ok(cpu_seconds(std::process::id())? * 1e6 / events)
}
