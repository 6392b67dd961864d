//! Records as bytes: a run of one partition's records in one piece, as the embedded log stores it and the remote one sends it. Reading
//! copies nothing: keys and values are slices of the piece.
//!
//! It knows nothing of files, connections or what a record means.

use crate::{Headers, Record};
use bytes::Bytes;

/// Bytes in front of the records: next offset, base offset, base timestamp, newest timestamp (8 each), count (4); all little-endian.
const HEAD_BYTES: usize = 36;

/// The piece is not one: cut off, or never written by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a piece of the log is damaged")]
pub(crate) struct Damaged;

/// What stands in front of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The offset behind everything that this piece speaks of; where compaction removed the last records, more than the last + 1.
    pub next: i64,
    base: i64,
    base_timestamp: i64,
    /// The newest record's timestamp, in milliseconds.
    pub newest: i64,
    /// Records in it.
    pub count: u32,
}

/// A record with what only compaction looks at.
pub(crate) struct Stored {
    /// The record.
    pub record: Record,
    /// Of a tombstone: from when on (in milliseconds) it may go; 0 while no compaction has passed over it.
    pub horizon: i64,
}

/// Writes a piece.
pub(crate) struct Writer {
    out: Vec<u8>,
    base: i64,
    base_timestamp: i64,
    newest: i64,
    count: u32,
}

impl Writer {
    /// A piece whose first offset and timestamp are no higher than any record's that will be pushed.
    pub fn new(base: i64, base_timestamp: i64) -> Writer {
        Writer { out: vec![0; HEAD_BYTES], base, base_timestamp, newest: base_timestamp, count: 0 }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Adds a record; offsets never go back.
    pub fn push(&mut self, place: (i64, i64), key: &[u8], value: Option<&[u8]>, headers: &Headers, horizon: i64) {
        let (offset, timestamp) = place;
        self.number(offset.wrapping_sub(self.base) as u64);
        self.number(timestamp.wrapping_sub(self.base_timestamp) as u64);
        self.slice(key);
        match value {
            Some(value) => {
                self.number(value.len() as u64 + 1);
                self.out.extend_from_slice(value);
            }
            None => {
                self.number(0);
                self.out.extend_from_slice(&horizon.to_le_bytes());
            }
        }
        self.slice(headers.bytes());
        self.newest = self.newest.max(timestamp);
        self.count += 1;
    }

    /// The piece; `next` is the offset behind everything that it speaks of.
    pub fn finish(mut self, next: i64) -> Vec<u8> {
        for (at, number) in [next, self.base, self.base_timestamp, self.newest].into_iter().enumerate() {
            self.out[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        self.out[32..HEAD_BYTES].copy_from_slice(&self.count.to_le_bytes());
        self.out
    }

    fn slice(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

/// What stands in front of a piece's records.
pub(crate) fn head(piece: &[u8]) -> Result<Head, Damaged> {
    let number = |at: usize| -> Result<i64, Damaged> {
        let bytes = piece.get(at..at + 8).ok_or(Damaged)?;
        Ok(i64::from_le_bytes(bytes.try_into().map_err(|_| Damaged)?))
    };
    let count = piece.get(32..HEAD_BYTES).ok_or(Damaged)?;
    let count = u32::from_le_bytes(count.try_into().map_err(|_| Damaged)?);
    Ok(Head { next: number(0)?, base: number(8)?, base_timestamp: number(16)?, newest: number(24)?, count })
}

/// The records of a piece, in order.
pub(crate) struct Records {
    piece: Bytes,
    at: usize,
    left: u32,
    head: Head,
    partition: i32,
}

/// Reads a piece of this partition.
pub(crate) fn read(piece: Bytes, partition: i32) -> Result<Records, Damaged> {
    let head = head(&piece)?;
    Ok(Records { piece, at: HEAD_BYTES, left: head.count, head, partition })
}

/// Adds a piece's records from this offset on.
pub(crate) fn read_from(piece: Bytes, partition: i32, offset: i64, into: &mut Vec<Record>) -> Result<Head, Damaged> {
    let records = read(piece, partition)?;
    let head = records.head;
    for stored in records {
        let record = stored?.record;
        if record.offset >= offset {
            into.push(record);
        }
    }
    Ok(head)
}

impl Iterator for Records {
    type Item = Result<Stored, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let stored = self.stored();
        if stored.is_err() {
            self.left = 0;
        }
        Some(stored)
    }
}

impl Records {
    fn stored(&mut self) -> Result<Stored, Damaged> {
        // Wrapping, as they were written: another log's timestamps may go back.
        let offset = self.head.base.wrapping_add(self.number()? as i64);
        let timestamp = self.head.base_timestamp.wrapping_add(self.number()? as i64);
        let key = self.slice()?;
        let (value, horizon) = match self.number()?.checked_sub(1) {
            Some(length) => (Some(self.take(length)?), 0),
            None => (None, i64::from_le_bytes(self.take(8)?.as_ref().try_into().map_err(|_| Damaged)?)),
        };
        let headers = Headers::from_bytes(self.slice()?).ok_or(Damaged)?;
        Ok(Stored { record: Record { partition: self.partition, offset, timestamp, key, value, headers }, horizon })
    }

    fn slice(&mut self) -> Result<Bytes, Damaged> {
        let length = self.number()?;
        self.take(length)
    }

    fn take(&mut self, length: u64) -> Result<Bytes, Damaged> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).ok_or(Damaged)?;
        if end > self.piece.len() {
            return Err(Damaged);
        }
        let slice = self.piece.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.piece.get(self.at).ok_or(Damaged)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        [("h", &[0, 255][..]), ("h", &[])].into_iter().collect()
    }

    fn piece() -> Vec<u8> {
        let mut writer = Writer::new(7, 1_000);
        writer.push((7, 1_000), b"a", Some(b""), &headers(), 0);
        writer.push((300, 90_000), b"", None, &Headers::new(), 5);
        writer.finish(400)
    }

    #[test]
    fn what_was_written_is_read() {
        let records: Vec<Stored> = read(piece().into(), 3).unwrap().map(Result::unwrap).collect();
        assert_eq!((records[0].record.offset, records[0].record.timestamp), (7, 1_000));
        assert_eq!(records[0].record.value.as_deref(), Some(&b""[..]));
        assert_eq!(records[0].record.headers, headers());
        assert_eq!((records[1].record.offset, records[1].record.timestamp, records[1].horizon), (300, 90_000, 5));
        assert_eq!((records[1].record.value.clone(), records[1].record.partition), (None, 3));
        let head = head(&piece()).unwrap();
        assert_eq!((head.next, head.newest, head.count), (400, 90_000, 2));
    }

    #[test]
    fn a_piece_cut_anywhere_is_damaged_and_no_panic() {
        let whole = piece();
        for end in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..end]);
            let read = read(cut, 0).and_then(|records| records.collect::<Result<Vec<_>, _>>());
            assert!(read.is_err(), "cut at {end}");
        }
    }
}
