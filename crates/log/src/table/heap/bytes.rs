//! Records' bytes by their place: in memory from some place on, before it in a file alone.

use super::record::{self, HEAD, Record};
use super::{damaged, failed};
use crate::table::StoreError;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a file begins with; another form of records has another.
pub const MAGIC: &[u8; 8] = b"1KTABLE1";
/// Where the first record begins, in memory too: the index has no place 0.
pub const START: u64 = MAGIC.len() as u64;
/// Memory is taken in pieces of this size.
const CHUNK_BYTES: usize = 1 << 20;
/// Newest bytes of a file that are kept in memory: looking there asks nobody.
const CACHED_BYTES_MAX: usize = 128 << 20;
/// A record of this size is read from the file at once; a longer one at the second try.
const READ_BYTES: usize = 256;

/// Where the bytes are.
pub struct Bytes {
    file: Option<Arc<File>>,
    /// What is in memory: without a gap, up to the end.
    chunks: Vec<Chunk>,
    cached: usize,
    end: u64,
}

struct Chunk {
    start: u64,
    bytes: Vec<u8>,
}

impl Bytes {
    /// None yet.
    pub fn new(file: Option<Arc<File>>) -> Bytes {
        Bytes { file, chunks: Vec::new(), cached: 0, end: START }
    }

    /// Where the next record begins.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Writes to the file what is kept next.
    pub fn write_behind(&self, records: &[u8]) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.write_all_at(records, self.end)).map_err(failed)
    }

    /// Has the file on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data()).map_err(failed)
    }

    /// Takes a record's bytes; where they begin is the end of now.
    pub fn keep(&mut self, bytes: &[u8]) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.bytes.len() + bytes.len() <= chunk.bytes.capacity() => chunk.bytes.extend_from_slice(bytes),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES.max(bytes.len()));
                chunk.extend_from_slice(bytes);
                self.cached += chunk.capacity();
                self.chunks.push(Chunk { start: self.end, bytes: chunk });
                while self.file.is_some() && self.cached > CACHED_BYTES_MAX && self.chunks.len() > 1 {
                    self.cached -= self.chunks.remove(0).bytes.capacity();
                }
            }
        }
        self.end += bytes.len() as u64;
    }

    /// The record that begins at a place of the index.
    pub fn at<T>(&self, place: u64, take: impl FnOnce(&Record<'_>) -> T) -> Result<T, StoreError> {
        let behind = self.chunks.partition_point(|chunk| chunk.start <= place);
        if let Some(chunk) = behind.checked_sub(1).and_then(|number| self.chunks.get(number)) {
            let record = chunk.bytes.get((place - chunk.start) as usize..).and_then(record::read).ok_or_else(damaged)?;
            return Ok(take(&record));
        }
        let file = self.file.as_ref().ok_or_else(damaged)?;
        let (mut short, mut long) = ([0; READ_BYTES], Vec::new());
        let there = usize::try_from(self.end - place).unwrap_or(READ_BYTES).min(READ_BYTES);
        file.read_exact_at(&mut short[..there], place).map_err(failed)?;
        let len = record::len(&short[..there]).filter(|len| *len as u64 <= self.end - place).ok_or_else(damaged)?;
        let bytes = if len <= there {
            &short[..len]
        } else {
            long.resize(len, 0);
            file.read_exact_at(&mut long, place).map_err(failed)?;
            &long[..]
        };
        // The file was sound when it was opened; this is what has happened to it since.
        let record = record::read(bytes).filter(|_| record::is_sound(bytes)).ok_or_else(damaged)?;
        Ok(take(&record))
    }

    /// Every record's place and bytes.
    pub fn each(&self, mut take: impl FnMut(u64, &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if let Some(file) = &self.file {
            let end = scan(file, self.end, &mut |place, bytes| take(place, bytes).map(ControlFlow::Continue))?;
            return if end == self.end { Ok(()) } else { Err(damaged()) };
        }
        for chunk in &self.chunks {
            let mut place = chunk.start;
            for (_, bytes) in record::all(&chunk.bytes) {
                take(place, bytes)?;
                place += bytes.len() as u64;
            }
        }
        Ok(())
    }
}

/// What is answered to a record's place and bytes; a break ends the scan before it.
type Answer = Result<ControlFlow<()>, StoreError>;

/// The bytes of a file's records up to `until`, as far as they have a length that can be: where that ends, or `take` ends it.
pub fn scan(file: &File, until: u64, take: &mut dyn FnMut(u64, &[u8]) -> Answer) -> Result<u64, StoreError> {
    let (mut buffer, mut from, mut read_to, mut place) = (Vec::new(), 0_usize, START, START);
    loop {
        let here = &buffer[from..];
        let len = record::len(here);
        if let Some(len) = len.filter(|len| *len <= here.len()) {
            if take(place, &here[..len])?.is_break() {
                return Ok(place);
            }
            (from, place) = (from + len, place + len as u64);
            continue;
        }
        let wanted = len.unwrap_or(HEAD) as u64;
        if wanted > until - place {
            return Ok(place);
        }
        buffer.drain(..from);
        from = 0;
        let more = (until - read_to).min((CHUNK_BYTES as u64).max(wanted)) as usize;
        let have = buffer.len();
        buffer.resize(have + more, 0);
        file.read_exact_at(&mut buffer[have..], read_to).map_err(failed)?;
        read_to += more as u64;
    }
}
