//! What stands in the file: one redb database, four tables. Records lie in pieces (`chunk.rs`), one or a few per commit and partition,
//! under the offset of the first: a B-tree entry per piece, not per record, is what makes appending and folding fast.
//!
//! It knows the layout and nothing of threads, readers or groups.

use super::partition::{Partition, Topic};
use crate::chunk;
use crate::{LogError, Record, TopicInfo};
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Topic id, partition, first offset (big-endian) to a piece.
pub(super) const PIECES: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("pieces");
/// Topic's name to id, partitions, settings (JSON).
const TOPICS: TableDefinition<&str, (u32, i32, &str)> = TableDefinition::new("topics");
/// Topic id, partition to next offset, newest timestamp. Written by the committer alone.
pub(super) const ENDS: TableDefinition<(u32, i32), (i64, i64)> = TableDefinition::new("ends");
/// Topic id, partition to first offset. Written by retention alone.
pub(super) const STARTS: TableDefinition<(u32, i32), i64> = TableDefinition::new("starts");
/// Group, topic, partition to the noted position.
pub(super) const NOTED: TableDefinition<(&str, &str, i32), i64> = TableDefinition::new("noted");
/// The layout's number, under "layout".
const META: TableDefinition<&str, u32> = TableDefinition::new("meta");

const LAYOUT: u32 = 1;
const CACHE_BYTES: usize = 128 << 20;

/// A batch read from the file: at least one piece, then more up to about so much.
pub(super) const BATCH_RECORDS: usize = 1_000;
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// Anything that redb says: the disk is full or broken, or the file is damaged.
pub(super) fn away(error: impl Into<redb::Error>) -> LogError {
    LogError::Away(error.into().to_string())
}

/// The same for a piece.
pub(super) fn damaged(partition: &Partition, error: chunk::Damaged) -> LogError {
    LogError::Away(format!("topic id {}, partition {}: {error}", partition.topic, partition.number))
}

/// The key of a piece. Offsets are never negative, so that bytes sort as offsets do.
pub(super) fn piece_key(topic: u32, partition: i32, offset: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..8].copy_from_slice(&partition.to_be_bytes());
    key[8..].copy_from_slice(&offset.max(0).to_be_bytes());
    key
}

/// Opens or creates the file. A file that this process creates is there after a power cut, too: its folder is synced.
pub(super) fn open(dir: &Path) -> Result<Database, LogError> {
    let path = dir.join("log.redb");
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(away)?;
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|error| LogError::Away(format!("{}: {error}", dir.display())))?;
    prepare(database)
}

/// Creates the tables; refuses a layout that it does not know.
pub(super) fn prepare(database: Database) -> Result<Database, LogError> {
    let write = database.begin_write().map_err(away)?;
    {
        let mut meta = write.open_table(META).map_err(away)?;
        let layout = meta.get("layout").map_err(away)?.map(|layout| layout.value());
        match layout {
            Some(LAYOUT) => {}
            Some(other) => return Err(LogError::Refused(format!("the embedded log has layout {other}, this program knows {LAYOUT}"))),
            None => drop(meta.insert("layout", LAYOUT).map_err(away)?),
        }
        write.open_table(PIECES).map_err(away)?;
        write.open_table(TOPICS).map_err(away)?;
        write.open_table(ENDS).map_err(away)?;
        write.open_table(STARTS).map_err(away)?;
        write.open_table(NOTED).map_err(away)?;
    }
    write.commit().map_err(away)?;
    Ok(database)
}

/// All topics with where their partitions stand.
pub(super) fn load(database: &Database) -> Result<HashMap<String, Arc<Topic>>, LogError> {
    let read = database.begin_read().map_err(away)?;
    let ends = read.open_table(ENDS).map_err(away)?;
    let starts = read.open_table(STARTS).map_err(away)?;
    let mut topics = HashMap::new();
    for entry in read.open_table(TOPICS).map_err(away)?.iter().map_err(away)? {
        let (name, row) = entry.map_err(away)?;
        let (id, partitions, settings) = row.value();
        let settings =
            serde_json::from_str(settings).map_err(|error| LogError::Refused(format!("settings of {}: {error}", name.value())))?;
        let info = TopicInfo { name: name.value().to_owned(), partitions, settings };
        let mut loaded = Vec::new();
        for number in 0..partitions {
            let (next, newest) = ends.get((id, number)).map_err(away)?.map_or((0, 0), |row| row.value());
            let start = starts.get((id, number)).map_err(away)?.map_or(0, |row| row.value());
            loaded.push(Arc::new(Partition::new(id, number, start, next, newest)));
        }
        topics.insert(info.name.clone(), Arc::new(Topic { info, partitions: loaded }));
    }
    Ok(topics)
}

/// Creates those that are missing and returns them.
pub(super) fn create(database: &Database, wanted: &[crate::NewTopic]) -> Result<Vec<Topic>, LogError> {
    let write = database.begin_write().map_err(away)?;
    let mut created = Vec::new();
    {
        let mut table = write.open_table(TOPICS).map_err(away)?;
        let mut id = table.len().map_err(away)? as u32;
        for topic in wanted {
            if table.get(topic.name.as_str()).map_err(away)?.is_some() {
                continue;
            }
            let settings = serde_json::to_string(&topic.settings).map_err(|error| LogError::Refused(error.to_string()))?;
            table.insert(topic.name.as_str(), (id, topic.partitions, settings.as_str())).map_err(away)?;
            let info = TopicInfo { name: topic.name.clone(), partitions: topic.partitions, settings: topic.settings.clone() };
            let partitions = (0..topic.partitions).map(|number| Arc::new(Partition::new(id, number, 0, 0, 0))).collect();
            created.push(Topic { info, partitions });
            id += 1;
        }
    }
    write.commit().map_err(away)?;
    Ok(created)
}

/// A batch from this offset on, and the offset behind it. No records where everything from there to `end` has been compacted away.
pub(super) fn batch(database: &Database, partition: &Partition, offset: i64, end: i64) -> Result<(Vec<Record>, i64), LogError> {
    let read = database.begin_read().map_err(away)?;
    let table = read.open_table(PIECES).map_err(away)?;
    let key = |offset| piece_key(partition.topic, partition.number, offset);
    // The piece that the offset lies in begins at it or before.
    let first = table.range::<&[u8; 16]>(&key(0)..=&key(offset)).map_err(away)?.next_back();
    let first = first.transpose().map_err(away)?.map(|(_, piece)| Bytes::copy_from_slice(piece.value()));
    let (mut records, mut next, mut bytes) = (Vec::new(), offset, 0);
    if let Some(piece) = first {
        bytes += piece.len();
        let head = chunk::read_from(piece, partition.number, offset, &mut records).map_err(|error| damaged(partition, error))?;
        next = next.max(head.next);
    }
    for entry in table.range::<&[u8; 16]>(&key(offset.saturating_add(1))..&key(end)).map_err(away)? {
        if !records.is_empty() && (records.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES) {
            return Ok((records, next));
        }
        let piece = Bytes::copy_from_slice(entry.map_err(away)?.1.value());
        bytes += piece.len();
        let head = chunk::read_from(piece, partition.number, offset, &mut records).map_err(|error| damaged(partition, error))?;
        next = next.max(head.next);
    }
    Ok((records, next.max(end)))
}

/// What a group has noted.
pub(super) fn noted(database: &Database, group: &str) -> Result<Vec<crate::From>, LogError> {
    let read = database.begin_read().map_err(away)?;
    let table = read.open_table(NOTED).map_err(away)?;
    let mut noted = Vec::new();
    for entry in table.range((group, "", i32::MIN)..).map_err(away)? {
        let (key, offset) = entry.map_err(away)?;
        let (owner, topic, partition) = key.value();
        if owner != group {
            break;
        }
        noted.push(crate::From { topic: topic.to_owned(), partition, offset: offset.value() });
    }
    Ok(noted)
}
