//! What an acknowledgement is worth when the power goes: a disk in memory that knows what has been synced. After a cut it holds that,
//! and of what was written since whatever it likes. `kill -9` cannot show this: the system's cache outlives the process.

use super::{Embedded, store};
use crate::{Append, Log, NewTopic};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Platters {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Disk {
    platters: Arc<Mutex<Platters>>,
    /// A disk whose sync does nothing: the null control.
    honest: bool,
}

impl Disk {
    fn new(contents: Vec<u8>, honest: bool) -> Disk {
        let platters = Platters { synced: contents.clone(), now: contents, since: Vec::new() };
        Disk { platters: Arc::new(Mutex::new(platters)), honest }
    }

    /// What is left when the power goes now.
    fn cut(&self, random: &mut StdRng) -> Vec<u8> {
        let platters = self.platters.lock();
        let mut left = platters.synced.clone();
        left.resize(platters.now.len(), 0);
        for (at, bytes) in &platters.since {
            if random.random_bool(0.5) && at + bytes.len() <= left.len() {
                left[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        left
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.platters.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let (platters, at) = (self.platters.lock(), offset as usize);
        let found = platters.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.platters.lock().now.resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platters = self.platters.lock();
        if self.honest {
            platters.synced = platters.now.clone();
            platters.since.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let (mut platters, at) = (self.platters.lock(), offset as usize);
        platters.now[at..at + data.len()].copy_from_slice(data);
        platters.since.push((at, data.to_vec()));
        Ok(())
    }
}

fn open(disk: Disk) -> Option<Arc<Embedded>> {
    let database = redb::Builder::new().create_with_backend(disk).ok()?;
    Embedded::start(store::prepare(database).ok()?, None).ok()
}

/// Every value that the log holds; none where it cannot even be opened.
async fn left(contents: Vec<u8>) -> HashSet<u32> {
    let Some(log) = open(Disk::new(contents, true)) else { return HashSet::new() };
    let Ok((_, end)) = log.offsets("topic", 0).await else { return HashSet::new() };
    let (mut values, mut read_to) = (HashSet::new(), 0);
    let mut reader = log.read(vec![crate::From { topic: "topic".into(), partition: 0, offset: 0 }]).await.unwrap();
    while read_to < end {
        let Ok(batch) = reader.next().await else { return HashSet::new() };
        read_to = batch.next_offset;
        values.extend(batch.records.iter().map(|record| u32::from_be_bytes(record.value.as_deref().unwrap().try_into().unwrap())));
    }
    values
}

/// Cuts the power again and again under four writers; whether everything acknowledged before each cut was there behind it.
async fn survives(honest: bool, seed: u64) -> bool {
    let disk = Disk::new(Vec::new(), honest);
    let log = open(disk.clone()).unwrap();
    let topic = NewTopic { name: "topic".into(), partitions: 1, settings: vec![] };
    log.create_topics(&[topic]).await.unwrap();
    let acknowledged: Arc<Mutex<HashSet<u32>>> = Arc::default();
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let (log, acknowledged) = (log.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in 0..100 {
                    let value = writer * 1_000 + number;
                    let append = Append { topic: "topic".into(), value: Some(value.to_be_bytes().to_vec().into()), ..Append::default() };
                    log.append(vec![append]).await.unwrap();
                    acknowledged.lock().insert(value);
                }
            })
        })
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut cuts = Vec::new();
    for cut in 1..=20 {
        while acknowledged.lock().len() < cut * 20 {
            tokio::task::yield_now().await;
        }
        // In this order: what is acknowledged between the two may be there or not.
        let before = acknowledged.lock().clone();
        cuts.push((before, disk.cut(&mut random)));
    }
    futures::future::join_all(writers).await.into_iter().for_each(|writer| writer.unwrap());
    for (acknowledged, contents) in cuts {
        if !acknowledged.is_subset(&left(contents).await) {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_power_cut() {
    for seed in 0..3 {
        assert!(survives(true, seed).await, "seed {seed}: something acknowledged is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_sync_is_caught() {
    assert!(!survives(false, 0).await, "the check sees nothing");
}
