//! How fast a table is loaded from the embedded log: `cargo run --profile ci -p oneknock-log --example table_load -- ENTRIES`. Keys are 32
//! hex digits and values 60 bytes, as in the identifier table; prints a line each for memory, an empty disk cache, and a filled one.

use eventlog::embedded::Embedded;
use eventlog::table::{MemoryStore, SledStore, Store, Table};
use eventlog::{Append, Log, LogError, NewTopic};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const PARTITIONS: usize = 12;

fn failed(error: impl std::fmt::Display) -> LogError {
    LogError::Away(error.to_string())
}

#[tokio::main]
async fn main() -> Result<(), LogError> {
    let entries = std::env::args().nth(1).and_then(|argument| argument.parse().ok()).unwrap_or(1_000_000_u64);
    let dir = std::env::temp_dir().join(format!("oneknock-table-load-{}", std::process::id()));
    let log = Embedded::open(&dir.join("log"))?;
    log.create_topics(&[NewTopic { name: "load".into(), partitions: PARTITIONS as i32, settings: vec![] }]).await?;
    let began = Instant::now();
    for from in (0..entries).step_by(10_000) {
        let append = |number: u64| Append {
            topic: "load".into(),
            partition: (number % PARTITIONS as u64) as i32,
            key: format!("{:016x}{number:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
            value: Some(vec![b'v'; 60].into()),
            headers: Default::default(),
        };
        log.append((from..entries.min(from + 10_000)).map(append).collect()).await?;
    }
    println!("appended {entries} entries in {:.2} s", began.elapsed().as_secs_f64());
    load("memory", log.clone(), Box::new(MemoryStore::new())).await?;
    load("disk, from nothing", log.clone(), Box::new(SledStore::open(&dir.join("cache")).map_err(failed)?)).await?;
    load("disk, from its cache", log.clone(), Box::new(again(&dir)?)).await?;
    drop(log);
    std::fs::remove_dir_all(&dir).map_err(failed)
}

/// The cache just used, as soon as it has been let go.
fn again(dir: &Path) -> Result<SledStore, LogError> {
    for _ in 0..1_000 {
        match SledStore::open(&dir.join("cache")) {
            Err(eventlog::table::StoreError::Held(_)) => std::thread::sleep(std::time::Duration::from_millis(10)),
            opened => return opened.map_err(failed),
        }
    }
    Err(failed("the cache is held for too long"))
}

async fn load(what: &str, log: Arc<dyn Log>, store: Box<dyn Store>) -> Result<(), LogError> {
    let before = resident_bytes();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let table = Table::open(log, "load", store).await?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let entries = table.len();
    let (grown, per_second) = (resident_bytes().saturating_sub(before) >> 20, entries as f64 / seconds);
    println!("{what}: {entries} entries in {seconds:.2} s ({cpu:.2} CPU s), {per_second:.0} entries/s, {grown} MiB more in memory");
    Ok(())
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// Linux counts in hundredths; elsewhere 0.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let times = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split(' ').skip(12).take(2);
    times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
