//! Reads the tasks' topic into the view, for ever; and reads it again for a client whose cursor the view's memory does not reach.
//!
//! It must not know what is done with the view.

use crate::app::App;
use crate::cursor::Cursor;
use crate::view::{Change, Earlier};
use eventlog::fencing::Verdict;
use eventlog::{Batch, From, Log, LogError};
use events::Task;
use events::topics::{CLAIM_PREFIX, POSITION_PREFIX, TASKS};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the follower waits before it reads a log again that was away, in milliseconds.
const RETRY_MS: u64 = 500;

/// Follows until shutdown. `App::caught_up` says that it has reached the end that the topic had when it began, `App::follows` that it
/// reads now.
pub async fn follow(app: Arc<App>, shutdown: CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return,
            ended = read(&app) => ended,
        };
        app.follows.store(false, Ordering::Release);
        if let Err(error) = ended {
            tracing::warn!(%error, topic = TASKS, "the view does not follow the log; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
        }
    }
}

async fn read(app: &App) -> Result<(), LogError> {
    let start = app.view.read().position().clone();
    let mut behind = HashMap::new();
    let mut from = Vec::new();
    for partition in 0..app.partitions {
        let (_, end) = app.log.offsets(TASKS, partition).await?;
        if start.at(partition) < end {
            behind.insert(partition, end);
        }
        from.push(From { topic: TASKS.to_owned(), partition, offset: start.at(partition) });
    }
    let mut reader = app.log.read(from).await?;
    loop {
        if behind.is_empty() {
            app.caught_up.store(true, Ordering::Release);
            app.follows.store(true, Ordering::Release);
        }
        let batch = reader.next().await?;
        take(app, &batch).await?;
        if behind.get(&batch.partition).is_some_and(|&end| batch.next_offset >= end) {
            behind.remove(&batch.partition);
        }
    }
}

/// One batch into the view. What it names is brought up to date first: topics have no order between them.
async fn take(app: &App, batch: &Batch) -> Result<(), LogError> {
    let mut tasks: Vec<Option<Option<Task>>> = Vec::with_capacity(batch.records.len());
    for record in &batch.records {
        let own = record.key.starts_with(CLAIM_PREFIX.as_bytes()) || record.key.starts_with(POSITION_PREFIX.as_bytes());
        tasks.push(match &record.value {
            _ if own => None,
            None => Some(None),
            Some(_) => match app.schemas.decode::<Task>(record).await {
                Ok(task) => Some(Some(task)),
                Err(error) => {
                    metrics::counter!("oneknock_inbox_unreadable_total").increment(1);
                    tracing::warn!(partition = record.partition, offset = record.offset, %error, "a task that cannot be read is passed over");
                    None
                }
            },
        });
    }
    catch_up(app, tasks.iter().flatten().flatten()).await?;
    let changed = {
        let mut view = app.view.write();
        let before = view.next_sequence();
        for (record, task) in batch.records.iter().zip(tasks) {
            let verdict = view.judge(record);
            if let (Verdict::State, Some(task), Ok(key)) = (verdict, task, std::str::from_utf8(&record.key)) {
                if let Some(task) = &task {
                    app.in_flight.decided(task);
                }
                view.take(record.partition, record.offset, key, task);
            }
        }
        view.pass(batch.partition, batch.next_offset);
        view.next_sequence() != before
    };
    if changed {
        app.changed.send_modify(|count| *count += 1);
    }
    Ok(())
}

async fn catch_up(app: &App, tasks: impl Iterator<Item = &Task>) -> Result<(), LogError> {
    let (mut mandates, mut grids, mut households) = (false, false, false);
    for task in tasks {
        mandates |= app.mandates.get(&task.mandate).is_none();
        grids |= task.grid.as_ref().is_some_and(|grid| app.grids.get(grid).is_none());
        households |= task.judged_by.entry > app.entry(task).map_or(0, |entry| entry.version);
    }
    if mandates {
        app.mandates.catch_up().await?;
    }
    if grids {
        app.grids.catch_up().await?;
    }
    if households {
        app.households.catch_up().await?;
    }
    Ok(())
}

/// The households that have a record in these partitions from these offsets to `until`. Superseded records count too: their households'
/// present state is told once more, which does no harm.
pub async fn changed_keys(log: &dyn Log, from: &[(i32, i64)], until: &Cursor) -> Result<Vec<Change>, LogError> {
    let mut newest: BTreeMap<i32, HashMap<Arc<str>, i64>> = BTreeMap::new();
    for &(partition, offset) in from {
        let mut reader = log.read(vec![From { topic: TASKS.to_owned(), partition, offset }]).await?;
        let keys = newest.entry(partition).or_default();
        let mut next = offset;
        while next < until.at(partition) {
            let batch = reader.next().await?;
            next = batch.next_offset;
            for record in batch.records.iter().filter(|record| record.offset < until.at(partition)) {
                match std::str::from_utf8(&record.key) {
                    Ok(key) if !key.starts_with(CLAIM_PREFIX) && !key.starts_with(POSITION_PREFIX) => {
                        keys.insert(Arc::from(key), record.offset);
                    }
                    _ => {}
                }
            }
        }
    }
    let mut changes: Vec<Change> = newest
        .into_iter()
        .flat_map(|(partition, keys)| {
            keys.into_iter().map(move |(key, offset)| Change { partition, offset, key, earlier: Earlier::Unknown })
        })
        .collect();
    changes.sort_unstable_by_key(|change| (change.partition, change.offset));
    Ok(changes)
}
