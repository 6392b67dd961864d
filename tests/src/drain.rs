//! `cargo xtask bench`: how fast, and for how much CPU, the router drains a backlog of events from one local Kafka node through both of
//! its loops. The router is the real binary in a process of its own; events, registry and mandate are appended as connectors would.

use crate::backlog::{Backlog, Options, PARTITIONS};
use crate::process::{Cpu, cpu, cpu_seconds, peak_mib};
use crate::{memory, pass_through};
use anyhow::{Context, Result, ensure};
use eventlog::kafka::{Kafka as KafkaLog, KafkaConfig};
use eventlog::{Append, Log};
use events::topics::{ACTIONS, ARRIVALS, CHECKPOINT, DECISIONS, HIGHWAY, RETURNS, TASKS, TELECOM, TRAVELLERS};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::kafka::{Compiler, Kafka, Options as KafkaOptions};

/// Records in one append.
const APPEND_RECORDS: usize = 10_000;
/// CPU seconds of the router per million events that are the first mark.
const MARK: f64 = 8.0;
/// MiB that are had at hand before the router starts: more than it ever had resident.
const AT_HAND_MIB: usize = 2048;

/// What it took.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Events in the backlog.
    pub events: u64,
    /// Travellers, half of them seen before.
    pub travellers: u64,
    /// Households.
    pub households: u64,
    /// From the router's start until every position had passed everything.
    pub seconds: f64,
    /// Events per second of that.
    pub events_per_second: f64,
    /// CPU seconds of the router's process per million events, from its start.
    pub router_cpu_seconds_per_million: f64,
    /// Those of them that the system took for it.
    pub router_system_seconds_per_million: f64,
    /// What a page of memory that is touched first costs on this machine, in microseconds: where it is more than one or two, the router's
    /// seconds are the machine's in part.
    pub page_microseconds: f64,
    /// CPU seconds of the broker per million events, over the same time.
    pub broker_cpu_seconds_per_million: f64,
    /// The router's peak memory.
    pub router_peak_mib: u64,
    /// Records that the router appended, per event: what most of its CPU time goes with.
    pub records_per_event: BTreeMap<&'static str, f64>,
    /// The ledger closed: every event has one newest decision.
    pub ledger_closed: bool,
    /// The least that this machine needs for that volume: CPU seconds of a process that reads the events and appends each again, per million.
    pub pass_through_cpu_seconds_per_million: f64,
    /// The first mark: router CPU seconds per million.
    pub mark: f64,
}

impl Report {
    /// Whether the ledger closes and the mark is met.
    pub fn passes(&self) -> bool {
        self.ledger_closed && self.router_cpu_seconds_per_million <= self.mark
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events of {} travellers in {} households: {:.0} events/s; per million router {:.2} CPU s ({:.2} of it the system's; mark {:.0}; {:.1} times a bare pass-through of {:.2}), broker {:.2} CPU s; peak {} MiB, {:.1} us for a page; records per event{}; ledger {}",
            self.events,
            self.travellers,
            self.households,
            self.events_per_second,
            self.router_cpu_seconds_per_million,
            self.router_system_seconds_per_million,
            self.mark,
            self.router_cpu_seconds_per_million / self.pass_through_cpu_seconds_per_million,
            self.pass_through_cpu_seconds_per_million,
            self.broker_cpu_seconds_per_million,
            self.router_peak_mib,
            self.page_microseconds,
            self.records_per_event.iter().map(|(topic, records)| format!(" {topic} {records:.2}")).collect::<String>(),
            if self.ledger_closed { "closed" } else { "OPEN" },
        )
    }
}

/// Runs it.
///
/// # Errors
/// Kafka is not set up, the binary is missing, or the backlog is not drained in 20 minutes.
pub async fn run(options: Options, mut say: impl FnMut(&str)) -> Result<Report> {
    let Options { events, travellers, households, .. } = options;
    let kafka_options = KafkaOptions { heap_mib: 1024, compiler: Compiler::Optimising, ..KafkaOptions::new(1) };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start_with(kafka_options)).await??;
    let broker = *kafka.pids().first().context("Kafka has no node")?;
    let folder = tempfile::tempdir()?;
    let site = site(folder.path(), &kafka.bootstrap)?;
    let config = KafkaConfig { bootstrap: kafka.bootstrap.clone(), properties: Default::default() };
    let log: Arc<dyn Log> = tokio::task::spawn_blocking(move || KafkaLog::connect(&config)).await??;
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await?;
    let mut backlog = Backlog::new(options);
    say("publishing the registry");
    append(&log, backlog.registry().map(Ok)).await?;
    say("half of the travellers are seen before");
    let mut router = start(&site)?;
    append(&log, backlog.seen_before()).await?;
    drained(&log, &mut router).await?;
    stop(&mut router).await?;
    say("appending the backlog");
    append(&log, backlog.events()).await?;
    let appended_before = appended(&log).await?;
    // Twice: the first time the machine may have to get it from its host.
    memory::have_at_hand(AT_HAND_MIB)?;
    let page_microseconds = memory::have_at_hand(AT_HAND_MIB)?;
    say("draining");
    let (before, began) = (cpu_seconds(broker)?, Instant::now());
    let mut router = start(&site)?;
    drained(&log, &mut router).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (Cpu { user, system }, router_peak_mib) = (cpu(router.id())?, peak_mib(router.id())?);
    let broker_cpu = cpu_seconds(broker)? - before;
    stop(&mut router).await?;
    let per_event = |(topic, count): (&'static str, i64)| (topic, (count - appended_before[topic]) as f64 / events as f64);
    let records_per_event = appended(&log).await?.into_iter().map(per_event).collect();
    say("measuring a bare pass-through");
    let pass_through = pass_through::measure(&kafka.bootstrap).await?;
    say("asking the ledger");
    let ledger = Command::new(testkit::site::binary()?).args(["ops", "ledger", "--json", "--config"]).arg(&site).output()?;
    let ledger: serde_json::Value = serde_json::from_slice(&ledger.stdout).context("the ledger's answer is no JSON")?;
    let millions = events as f64 / 1e6;
    Ok(Report {
        events,
        travellers,
        households,
        seconds,
        events_per_second: events as f64 / seconds,
        router_cpu_seconds_per_million: (user + system) / millions,
        router_system_seconds_per_million: system / millions,
        page_microseconds,
        broker_cpu_seconds_per_million: broker_cpu / millions,
        router_peak_mib,
        records_per_event,
        ledger_closed: ledger["closed"] == true && ledger["accepted"] == events + backlog.seen_before_count(),
        pass_through_cpu_seconds_per_million: pass_through,
        mark: MARK,
    })
}

/// A site on this Kafka, with every port free for the system to choose.
fn site(folder: &Path, bootstrap: &str) -> Result<std::path::PathBuf> {
    let dir = folder.join("site");
    let output = Command::new(testkit::site::binary()?).arg("init").arg(&dir).output()?;
    ensure!(output.status.success(), "`oneknock init` failed: {}", String::from_utf8_lossy(&output.stderr));
    let path = dir.join("oneknock.toml");
    let mut config: toml::Table = std::fs::read_to_string(&path)?.parse()?;
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let table = config.entry(section).or_insert_with(|| toml::Table::new().into());
        table.as_table_mut().map(|table| table.insert(key.to_owned(), value))
    };
    set("log", "kind", "kafka".into());
    set("log", "bootstrap", bootstrap.into());
    set("log", "partitions", i64::from(PARTITIONS).into());
    for section in ["gateway", "inbox", "ops"] {
        set(section, "listen", format!("127.0.0.1:{}", testkit::ports::free()?).into());
    }
    std::fs::write(&path, toml::to_string(&config)?)?;
    Ok(path)
}

fn start(config: &Path) -> Result<Child> {
    let mut run = Command::new(testkit::site::binary()?);
    run.args(["run", "--role", "router", "--config"]).arg(config).env("RUST_LOG", "warn").stdout(Stdio::null());
    Ok(run.spawn()?)
}

async fn stop(router: &mut Child) -> Result<()> {
    Command::new("kill").arg(router.id().to_string()).status()?;
    for _ in 0..150 {
        if router.try_wait()?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    router.kill()?;
    anyhow::bail!("the router did not end in 15 s")
}

/// Until the positions that the router notes have passed the end of all its inputs.
async fn drained(log: &Arc<dyn Log>, router: &mut Child) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(1200);
    loop {
        let noted = log.noted_positions("router").await?;
        let mut behind = 0;
        for topic in [CHECKPOINT, HIGHWAY, TELECOM, RETURNS, ARRIVALS, ACTIONS] {
            for partition in 0..PARTITIONS {
                let (_, last) = log.offsets(topic, partition).await?;
                let noted = noted.iter().find(|from| from.topic == topic && from.partition == partition).map_or(0, |from| from.offset);
                behind += last - noted.min(last);
            }
        }
        if behind == 0 {
            return Ok(());
        }
        ensure!(router.try_wait()?.is_none(), "the router has ended");
        ensure!(Instant::now() < end, "{behind} inputs are not drained after 20 minutes");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How many records each of the router's topics holds.
async fn appended(log: &Arc<dyn Log>) -> Result<BTreeMap<&'static str, i64>> {
    let mut records = BTreeMap::new();
    for topic in [TRAVELLERS, ARRIVALS, TASKS, DECISIONS, RETURNS] {
        for partition in 0..PARTITIONS {
            *records.entry(topic).or_default() += log.offsets(topic, partition).await?.1;
        }
    }
    Ok(records)
}

async fn append(log: &Arc<dyn Log>, records: impl Iterator<Item = Result<Append>>) -> Result<()> {
    let mut records = records.peekable();
    while records.peek().is_some() {
        log.append(records.by_ref().take(APPEND_RECORDS).collect::<Result<_>>()?).await?;
    }
    Ok(())
}
