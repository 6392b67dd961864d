//! `cargo xtask table`: what it takes to load the identifier table, on which all resolving stands: from one local Kafka node into a cold
//! cache, again from the cache, and without a cache into memory. Each in a process of its own, so that memory is its own too.

use crate::process::{cpu_seconds, peak_mib};
use anyhow::{Context, Result, ensure};
use eventlog::kafka::{Kafka as KafkaLog, KafkaConfig};
use eventlog::table::{MemoryStore, SledStore, Store, Table};
use eventlog::{Append, Log};
use events::topics::{IDENTIFIERS, partition_of};
use events::{Codec, IdentifierLink, Link, Token, ids};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use testkit::kafka::{Compiler, Kafka, Options as KafkaOptions};

const PARTITIONS: i32 = 12;

/// One loading.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Seconds until the table was at its end.
    pub seconds: f64,
    /// CPU seconds of the process.
    pub cpu_seconds: f64,
    /// Peak memory of the process.
    pub peak_mib: u64,
    /// Entries that it has.
    pub entries: usize,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Entries published.
    pub entries: u64,
    /// Into an empty cache on disk.
    pub cold: Loaded,
    /// The same again, from the cache.
    pub cached: Loaded,
    /// Into memory, without a cache.
    pub memory: Loaded,
    /// The cache on disk.
    pub disk_mib: u64,
}

impl Report {
    /// Whether every loading found every entry.
    pub fn passes(&self) -> bool {
        [&self.cold, &self.cached, &self.memory].iter().all(|loaded| loaded.entries as u64 == self.entries)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |loaded: &Loaded| format!("{:.1} s, {:.1} CPU s, {} MiB", loaded.seconds, loaded.cpu_seconds, loaded.peak_mib);
        let (cold, cached, memory) = (one(&self.cold), one(&self.cached), one(&self.memory));
        write!(f, "{} identifiers: cold {cold}; from the cache {cached}, {} MiB on disk; in memory {memory}", self.entries, self.disk_mib)
    }
}

/// Runs it.
///
/// # Errors
/// Kafka is not set up, or a loading fails.
pub async fn run(entries: u64, mut say: impl FnMut(&str)) -> Result<Report> {
    let kafka_options = KafkaOptions { heap_mib: 1024, compiler: Compiler::Optimising, ..KafkaOptions::new(1) };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start_with(kafka_options)).await??;
    let log = connect(&kafka.bootstrap).await?;
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await?;
    say("publishing the identifiers");
    publish(&log, entries).await?;
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let mut load = |how: &str| -> Result<Loaded> {
        say(&format!("loading: {how}"));
        let output = Command::new(std::env::current_exe()?).args(["load", how, &kafka.bootstrap]).arg(&cache).output()?;
        ensure!(output.status.success(), "loading {how} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("a loading's answer is no JSON")
    };
    let (cold, cached, memory) = (load("cold")?, load("cached")?, load("memory")?);
    Ok(Report { entries, cold, cached, memory, disk_mib: bytes(&cache)? >> 20 })
}

async fn connect(bootstrap: &str) -> Result<Arc<dyn Log>> {
    let config = KafkaConfig { bootstrap: bootstrap.to_owned(), properties: Default::default() };
    Ok(tokio::task::spawn_blocking(move || KafkaLog::connect(&config)).await??)
}

async fn publish(log: &Arc<dyn Log>, entries: u64) -> Result<()> {
    let codec = Codec::built_in();
    for from in (0..entries).step_by(20_000) {
        let append = |number: u64| {
            let (first, second) = (ids::digest64(&[&number.to_be_bytes()]), ids::digest64(&[&number.to_le_bytes(), b"2"]));
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&first.to_be_bytes());
            bytes[8..].copy_from_slice(&second.to_be_bytes());
            let key = Token(bytes).to_string().into_bytes();
            let links = vec![Link { household: format!("330106001001-{:06}", number / 3), grid: "330106001001-03".into() }];
            let value = Some(codec.encode(&IdentifierLink { mandate: "demo-mandate".into(), links, common: false }));
            Append { topic: IDENTIFIERS.into(), partition: partition_of(&key, PARTITIONS), key, value, headers: vec![] }
        };
        log.append((from..entries.min(from + 20_000)).map(append).collect()).await?;
    }
    Ok(())
}

/// One loading, in this process: `how` is `cold`, `cached` or `memory`.
///
/// # Errors
/// The log is away, or the cache cannot be opened.
pub async fn load(how: &str, bootstrap: &str, cache: &Path) -> Result<Loaded> {
    let log = connect(bootstrap).await?;
    let began = Instant::now();
    let store: Box<dyn Store> = match how {
        "memory" => Box::new(MemoryStore::new()),
        _ => Box::new(SledStore::open(cache)?),
    };
    let table = Table::open(log, IDENTIFIERS, store).await?;
    let seconds = began.elapsed().as_secs_f64();
    let pid = std::process::id();
    Ok(Loaded { seconds, cpu_seconds: cpu_seconds(pid)?, peak_mib: peak_mib(pid)?, entries: table.len() })
}

fn bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
