//! Reads partitions: from memory at their end, from the file behind it. Woken by commits, never polling.

use super::partition::{Partition, Readable, Topics};
use super::store;
use crate::chunk;
use crate::{Batch, From, LogError, Reader, Record};
use async_trait::async_trait;
use redb::Database;
use std::sync::Arc;
use tokio::sync::Notify;

/// One partition being read.
struct Place {
    topic: Arc<str>,
    partition: Arc<Partition>,
    offset: i64,
}

pub(super) struct EmbeddedReader {
    database: Arc<Database>,
    topics: Arc<Topics>,
    places: Vec<Place>,
    turn: usize,
    woken: Arc<Notify>,
}

impl EmbeddedReader {
    pub fn new(database: Arc<Database>, topics: Arc<Topics>) -> EmbeddedReader {
        EmbeddedReader { database, topics, places: Vec::new(), turn: 0, woken: Arc::new(Notify::new()) }
    }
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self) -> Result<Batch, LogError> {
        loop {
            // Every partition gets its turn: one that is far behind does not keep the others waiting.
            for step in 0..self.places.len() {
                let at = (self.turn + step) % self.places.len();
                let place = &mut self.places[at];
                let (records, next) = match place.partition.readable(place.offset) {
                    Readable::Nothing => continue,
                    Readable::Tail(pieces) => from_tail(place, pieces)?,
                    Readable::File(offset, end) => from_file(&self.database, &place.partition, offset, end).await?,
                };
                // Only now, with nothing awaited behind it: a call that is dropped before has read nothing.
                place.offset = next;
                self.turn = at + 1;
                return Ok(Batch { topic: place.topic.clone(), partition: place.partition.number, records, next_offset: next });
            }
            self.woken.notified().await;
        }
    }

    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError> {
        let place = |from: From| {
            let partition = self.topics.partition(&from.topic, from.partition)?;
            Ok(Place { topic: from.topic.into(), partition, offset: from.offset.max(0) })
        };
        for place in from.into_iter().map(place).collect::<Result<Vec<_>, LogError>>()? {
            match self.places.iter_mut().find(|known| Arc::ptr_eq(&known.partition, &place.partition)) {
                Some(known) => known.offset = place.offset,
                None => {
                    place.partition.wake(&self.woken);
                    self.places.push(place);
                }
            }
        }
        Ok(())
    }

    async fn remove(&mut self, partitions: &[(String, i32)]) -> Result<(), LogError> {
        self.places.retain(|place| {
            let removed = partitions.iter().any(|(topic, number)| **topic == *place.topic && *number == place.partition.number);
            if removed {
                place.partition.wake_no_more(&self.woken);
            }
            !removed
        });
        Ok(())
    }
}

fn from_tail(place: &Place, pieces: Vec<super::partition::Piece>) -> Result<(Vec<Record>, i64), LogError> {
    let (mut records, mut next) = (Vec::new(), place.offset);
    for piece in pieces {
        if records.len() >= store::BATCH_RECORDS {
            break;
        }
        next = next.max(piece.next);
        chunk::read_from(piece.bytes, place.partition.number, place.offset, &mut records)
            .map_err(|error| store::damaged(&place.partition, error))?;
    }
    Ok((records, next))
}

async fn from_file(database: &Arc<Database>, partition: &Arc<Partition>, offset: i64, end: i64) -> Result<(Vec<Record>, i64), LogError> {
    let (database, partition) = (database.clone(), partition.clone());
    let read = tokio::task::spawn_blocking(move || store::batch(&database, &partition, offset, end));
    read.await.map_err(|error| LogError::Away(error.to_string()))?
}
