//! `cargo xtask table`: what it takes to load the identifier table, on which all resolving stands: from one local Kafka node into a cold
//! cache, again from the cache, and without a cache into memory. Each in a process of its own, so that memory is its own too. Every entry
//! is then looked up, and its links compared with what was published.

use crate::process::{cpu_seconds, peak_mib, resident_mib};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use eventlog::kafka::{Kafka as KafkaLog, KafkaConfig};
use eventlog::table::{FileStore, MemoryStore, SledStore, Store, Table};
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
const LOOK_UPS: u64 = 300_000;

/// What a table is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// In a file, as a router keeps identifiers.
    File,
    /// In sled, as an inbox keeps households: for comparison.
    Sled,
    /// In memory, as one without a cache does.
    Memory,
}

/// One loading.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Seconds until the table was at its end.
    pub seconds: f64,
    /// CPU seconds of the process until then.
    pub cpu_seconds: f64,
    /// Peak memory of the process until then.
    pub peak_mib: u64,
    /// Memory of the process then.
    pub resident_mib: u64,
    /// Nanoseconds of CPU that looking up one entry's links takes, decoding left out.
    pub look_up_ns: u64,
    /// What is in it.
    #[serde(flatten)]
    pub checked: Checked,
}

/// What a table holds of what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Entries that are there with the links that were published.
    pub right: u64,
    /// Entries that are not there, or with other links.
    pub wrong: u64,
    /// Entries that nobody published.
    pub foreign: u64,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the cache is.
    pub kept: Kept,
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

impl Checked {
    /// Whether it is all of it, and nothing else.
    fn passes(&self, entries: u64) -> bool {
        *self == Checked { right: entries, wrong: 0, foreign: 0 }
    }
}

impl Report {
    /// Whether every loading found every entry with its links, and nothing else.
    pub fn passes(&self) -> bool {
        [&self.cold, &self.cached, &self.memory].iter().all(|loaded| loaded.checked.passes(self.entries))
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { seconds, cpu_seconds, peak_mib, resident_mib, look_up_ns, checked } = self;
        let Checked { wrong, foreign, .. } = checked;
        write!(f, "{seconds:.1} s, {cpu_seconds:.1} CPU s, {peak_mib} MiB at most, {resident_mib} MiB then, {look_up_ns} ns a look-up")?;
        if wrong + foreign > 0 { write!(f, ", {wrong} entries WRONG or missing, {foreign} FOREIGN") } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { entries, cold, cached, memory, disk_mib, .. } = self;
        write!(f, "{entries} identifiers\n  cold: {cold}\n  from the cache, {disk_mib} MiB on disk: {cached}\n  in memory: {memory}")
    }
}

/// Runs it. So many of the entries published are `flawed`: every second of these left out, the others with another's links.
///
/// # Errors
/// Kafka is not set up, or a loading fails.
pub async fn run(kept: Kept, entries: u64, flawed: u64, mut say: impl FnMut(&str)) -> Result<Report> {
    let kafka_options = KafkaOptions { heap_mib: 1024, compiler: Compiler::Optimising, ..KafkaOptions::new(1) };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start_with(kafka_options)).await??;
    let log = connect(&kafka.bootstrap).await?;
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await?;
    say("publishing the identifiers");
    publish(&log, PARTITIONS, entries, flawed).await?;
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let name = |kept: Kept| kept.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut load = |what: &str, how: Kept| -> Result<Loaded> {
        say(&format!("loading: {what}"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["load", &name(how), &kafka.bootstrap, &entries.to_string()]).arg(&cache);
        let output = command.output()?;
        ensure!(output.status.success(), "loading {what} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("a loading's answer is no JSON")
    };
    let (cold, cached, memory) = (load("cold", kept)?, load("from the cache", kept)?, load("in memory", Kept::Memory)?);
    Ok(Report { kept, entries, cold, cached, memory, disk_mib: bytes(&cache)? >> 20 })
}

async fn connect(bootstrap: &str) -> Result<Arc<dyn Log>> {
    let config = KafkaConfig { bootstrap: bootstrap.to_owned(), properties: Default::default() };
    Ok(tokio::task::spawn_blocking(move || KafkaLog::connect(&config)).await??)
}

/// An entry, by its number: its token, and what the registry says of it.
fn entry(number: u64) -> (Token, IdentifierLink) {
    let (first, second) = (ids::digest64(&[&number.to_be_bytes()]), ids::digest64(&[&number.to_le_bytes(), b"2"]));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&second.to_be_bytes());
    let links = vec![Link { household: format!("330106001001-{:06}", number / 3), grid: "330106001001-03".into() }];
    (Token(bytes), IdentifierLink { mandate: "demo-mandate".into(), links, common: false })
}

/// Publishes that many entries, `flawed` of them not as they should be.
///
/// # Errors
/// What the log says.
pub async fn publish(log: &Arc<dyn Log>, partitions: i32, entries: u64, flawed: u64) -> Result<()> {
    let codec = Codec::built_in();
    for from in (0..entries).step_by(20_000) {
        let append = |number: u64| {
            let (token, link) = match number {
                flaw if flaw >= flawed => entry(number),
                flaw if flaw % 2 == 0 => return None,
                flaw => (entry(flaw).0, entry(flaw + 3).1),
            };
            let key = token.to_string().into_bytes();
            let partition = partition_of(&key, partitions);
            let value = Some(codec.encode(&link));
            Some(Append { topic: IDENTIFIERS.into(), partition, key: key.into(), value: value.map(Into::into), ..Append::default() })
        };
        log.append((from..entries.min(from + 20_000)).filter_map(append).collect()).await?;
    }
    Ok(())
}

/// What looking an entry up takes, from a sample over all of them in no order.
fn look_up_ns(table: &Table, entries: u64) -> Result<u64> {
    let sample = |number: u64| entry(ids::digest64(&[&number.to_be_bytes(), b"sample"]).unsigned_abs() % entries.max(1)).0.to_string();
    let keys: Vec<String> = (0..LOOK_UPS).map(sample).collect();
    let pid = std::process::id();
    let before = cpu_seconds(pid)?;
    let bytes: usize = keys.iter().filter_map(|key| table.with(key, <[u8]>::len)).sum();
    std::hint::black_box(bytes);
    Ok(((cpu_seconds(pid)? - before) * 1e9 / LOOK_UPS as f64) as u64)
}

/// One loading, in this process.
///
/// # Errors
/// The log is away, or the cache cannot be opened.
pub async fn load(kept: Kept, bootstrap: &str, entries: u64, cache: &Path) -> Result<Loaded> {
    let log = connect(bootstrap).await?;
    let began = Instant::now();
    let store: Box<dyn Store> = match kept {
        Kept::Memory => Box::new(MemoryStore::new()),
        Kept::File => Box::new(FileStore::open(cache)?),
        Kept::Sled => Box::new(SledStore::open(cache)?),
    };
    let table = Table::open(log, IDENTIFIERS, store).await?;
    let (seconds, pid) = (began.elapsed().as_secs_f64(), std::process::id());
    let (cpu_seconds, peak_mib, resident_mib) = (cpu_seconds(pid)?, peak_mib(pid)?, resident_mib(pid)?);
    let (look_up_ns, checked) = (look_up_ns(&table, entries)?, check(&table, entries));
    Ok(Loaded { seconds, cpu_seconds, peak_mib, resident_mib, look_up_ns, checked })
}

/// Looks that many entries up.
pub fn check(table: &Table, entries: u64) -> Checked {
    let codec = Codec::built_in();
    let (mut there, mut right) = (0, 0);
    for (token, link) in (0..entries).map(entry) {
        let same = |value: &[u8]| codec.decode::<IdentifierLink>(value).is_ok_and(|found| found == link);
        if let Some(same) = table.with(&token.to_string(), same) {
            there += 1;
            right += u64::from(same);
        }
    }
    Checked { right, wrong: entries - right, foreign: (table.len() as u64).saturating_sub(there) }
}

fn bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() { bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventlog::embedded::Embedded;

    /// The check can fail: what is left out, has another's links or should not be there is seen.
    #[tokio::test]
    async fn every_flaw_is_seen() {
        for (flawed, foreign) in [(0, 0), (1, 0), (2, 0), (7, 0), (0, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let log: Arc<dyn Log> = Embedded::open(dir.path()).unwrap();
            log.create_topics(&eventlog::site_topics(2)).await.unwrap();
            publish(&log, 2, 100 + foreign, flawed).await.unwrap();
            let table = Table::open(log, IDENTIFIERS, Box::new(MemoryStore::new())).await.unwrap();
            let checked = check(&table, 100);
            assert_eq!(checked, Checked { right: 100 - flawed, wrong: flawed, foreign });
            assert_eq!(checked.passes(100), flawed + foreign == 0);
        }
    }
}
