//! The loop that keeps the gateway's memory: reads events and decisions into `memory`, tasks into `covers`, for ever.
//!
//! What cannot be read is passed over with a warning: the memory helps senders, nothing rests on it.

use super::covers::Covers;
use super::memory::Memory;
use crate::now::now_ms;
use eventlog::schemas::Schemas;
use eventlog::{Batch, From, Log, LogError, Record};
use events::{CheckpointPassage, CodecError, Decision, EventId, HighwayEntrance, Task, TelecomMovement, Text, topics};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const FOLLOWED: [&str; 5] = [topics::CHECKPOINT, topics::HIGHWAY, topics::TELECOM, topics::DECISIONS, topics::TASKS];
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the loop fills.
#[derive(Clone)]
pub struct Followed {
    /// Events and what became of them.
    pub memory: Arc<Memory>,
    /// Screenings that stand.
    pub covers: Arc<Covers>,
    /// Whether everything that was there at the start has been read.
    pub has_caught_up: Arc<AtomicBool>,
}

/// Where the loop stands.
#[derive(Default)]
struct Place {
    next: HashMap<(String, i32), i64>,
    /// Ends at the start that are not reached yet.
    ahead: HashMap<(String, i32), i64>,
}

/// Follows the log until told to stop; where the log goes away, from where it was.
pub async fn follow(log: Arc<dyn Log>, schemas: Arc<Schemas>, partitions: i32, followed: Followed, shutdown: CancellationToken) {
    let mut place = Place::default();
    loop {
        let error = tokio::select! {
            () = shutdown.cancelled() => return,
            ended = read(log.as_ref(), &schemas, partitions, &followed, &mut place) => ended,
        };
        if let Err(error) = error {
            tracing::warn!(%error, "the gateway's memory lost the log and asks again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

async fn read(log: &dyn Log, schemas: &Schemas, partitions: i32, followed: &Followed, place: &mut Place) -> Result<(), LogError> {
    if place.next.is_empty() {
        let (mut next, mut ahead) = (HashMap::new(), HashMap::new());
        for topic in FOLLOWED {
            for partition in 0..partitions {
                let (first, end) = log.offsets(topic, partition).await?;
                next.insert((topic.to_owned(), partition), first);
                if first < end {
                    ahead.insert((topic.to_owned(), partition), end);
                }
            }
        }
        *place = Place { next, ahead };
    }
    let from = place.next.iter().map(|((topic, partition), &offset)| From { topic: topic.clone(), partition: *partition, offset });
    let mut reader = log.read(from.collect()).await?;
    let mut forget = tokio::time::interval(FORGET_EVERY);
    loop {
        if place.ahead.is_empty() && !followed.has_caught_up.swap(true, Ordering::AcqRel) {
            tracing::info!("the gateway's memory has caught up");
        }
        let batch = tokio::select! {
            batch = reader.next() => batch?,
            _ = forget.tick() => {
                followed.memory.forget(now_ms());
                continue;
            }
        };
        take(&batch, schemas, followed).await;
        let at = (batch.topic.to_string(), batch.partition);
        if place.ahead.get(&at).is_some_and(|&end| batch.next_offset >= end) {
            place.ahead.remove(&at);
        }
        place.next.insert(at, batch.next_offset);
    }
}

async fn take(batch: &Batch, schemas: &Schemas, followed: &Followed) {
    for record in &batch.records {
        let taken = match &*batch.topic {
            topics::TASKS => take_task(record, schemas, &followed.covers).await,
            topics::DECISIONS => {
                schemas.decode::<Decision>(record).await.map(|decision| followed.memory.decision(&decision, record.timestamp))
            }
            topic => match event_ids(topic, record, schemas).await {
                Ok((source_ref, event_id)) => {
                    let mut reference = [0; 16];
                    if hex::decode_to_slice(&source_ref, &mut reference).is_ok() {
                        followed.memory.event(reference, event_id, record.timestamp);
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = taken {
            tracing::warn!(topic = &*batch.topic, partition = record.partition, offset = record.offset, %error, "passed over");
        }
    }
}

async fn event_ids(topic: &str, record: &Record, schemas: &Schemas) -> Result<(Text, EventId), CodecError> {
    Ok(match topic {
        topics::CHECKPOINT => schemas.decode::<CheckpointPassage>(record).await.map(|event| (event.source_ref, event.event_id))?,
        topics::HIGHWAY => schemas.decode::<HighwayEntrance>(record).await.map(|event| (event.source_ref, event.event_id))?,
        _ => schemas.decode::<TelecomMovement>(record).await.map(|event| (event.source_ref, event.event_id))?,
    })
}

async fn take_task(record: &Record, schemas: &Schemas, covers: &Covers) -> Result<(), CodecError> {
    let Some(key) = covers.judge(record) else { return Ok(()) };
    let task = match record.value {
        Some(_) => Some(schemas.decode::<Task>(record).await?),
        None => None,
    };
    covers.set(&key, task.as_ref());
    Ok(())
}
