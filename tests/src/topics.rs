//! Reads whole topics, as any other program could.

use anyhow::Result;
use eventlog::fencing::{Fold, Verdict};
use eventlog::schemas::Schemas;
use eventlog::{From, Log, Record};
use events::topics::{DECISIONS, TASKS};
use events::{Decision, Task};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Every record of a topic up to its present end, in order within each partition.
///
/// # Errors
/// The log is away, or there is no such topic.
pub async fn records(log: &Arc<dyn Log>, topic: &str) -> Result<Vec<Record>> {
    let partitions = log.topics().await?.into_iter().find(|info| info.name == topic).map_or(0, |info| info.partitions);
    let mut open = HashMap::new();
    let mut from = Vec::new();
    for partition in 0..partitions {
        let (first, end) = log.offsets(topic, partition).await?;
        if first < end {
            open.insert(partition, end);
            from.push(From { topic: topic.to_owned(), partition, offset: first });
        }
    }
    let mut records = Vec::new();
    if open.is_empty() {
        return Ok(records);
    }
    let mut reader = log.read(from).await?;
    while !open.is_empty() {
        let batch = reader.next().await?;
        let Some(&end) = open.get(&batch.partition) else { continue };
        records.extend(batch.records.into_iter().filter(|record| record.offset < end));
        if batch.next_offset >= end {
            open.remove(&batch.partition);
        }
    }
    Ok(records)
}

/// Every decision, in no order.
///
/// # Errors
/// The log is away, or a value cannot be read.
pub async fn decisions(log: &Arc<dyn Log>) -> Result<Vec<Decision>> {
    let schemas = Schemas::open("").await?;
    let mut decisions = Vec::new();
    for record in records(log, DECISIONS).await? {
        decisions.push(schemas.decode::<Decision>(&record).await?);
    }
    Ok(decisions)
}

/// The tasks as everybody folds them.
///
/// # Errors
/// The log is away, or a value cannot be read.
pub async fn tasks(log: &Arc<dyn Log>) -> Result<Vec<Task>> {
    let schemas = Schemas::open("").await?;
    let mut folds: HashMap<i32, Fold> = HashMap::new();
    let mut newest: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
    for record in records(log, TASKS).await? {
        if folds.entry(record.partition).or_default().judge(&record) == Verdict::State {
            newest.insert(record.key.to_vec(), record);
        }
    }
    let mut tasks = Vec::new();
    for record in newest.values().filter(|record| record.value.is_some()) {
        tasks.push(schemas.decode::<Task>(record).await?);
    }
    Ok(tasks)
}
