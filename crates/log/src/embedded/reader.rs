//! Reads partitions: from memory at their end, from the file behind it. Woken by commits, never polling.

use super::partition::{Partition, Readable};
use super::store;
use crate::chunk;
use crate::{Batch, LogError, Reader, Record};
use async_trait::async_trait;
use redb::Database;
use std::sync::Arc;
use tokio::sync::Notify;

/// One partition being read.
pub(super) struct Place {
    pub topic: Arc<str>,
    pub partition: Arc<Partition>,
    pub offset: i64,
}

pub(super) struct EmbeddedReader {
    database: Arc<Database>,
    places: Vec<Place>,
    turn: usize,
    woken: Arc<Notify>,
}

impl EmbeddedReader {
    pub fn new(database: Arc<Database>, places: Vec<Place>) -> EmbeddedReader {
        let woken = Arc::new(Notify::new());
        places.iter().for_each(|place| place.partition.wake(&woken));
        EmbeddedReader { database, places, turn: 0, woken }
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
