//! `cargo xtask bench`: how fast, and for how much CPU, the router drains a backlog of events from one local Kafka node through both of
//! its loops. The router is the real binary in a process of its own; events, registry and mandate are appended as connectors would.

use crate::pass_through;
use crate::process::{cpu_seconds, peak_mib};
use anyhow::{Context, Result, ensure};
use eventlog::kafka::{Kafka as KafkaLog, KafkaConfig};
use eventlog::{Append, Log};
use events::topics::{
    ACTIONS, ARRIVALS, CHECKPOINT, DECISIONS, GRIDS, HIGHWAY, HOUSEHOLDS, IDENTIFIERS, RETURNS, TASKS, TELECOM, TRAVELLERS, household_key,
    partition_of,
};
use events::{
    CheckpointPassage, Codec, Direction, EventId, GridEntry, HighwayEntrance, HouseholdEntry, Identifier, IdentifierKind, IdentifierLink,
    Link, Millis, Record, Token, cloudevents, ids,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::kafka::{Compiler, Kafka, Options as KafkaOptions};

const PARTITIONS: i32 = 12;
const MANDATE: &str = "demo-mandate";
/// CPU seconds of the router per million events that are the first mark.
const MARK: f64 = 8.0;

/// What is drained.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events in the backlog.
    pub events: u64,
    /// Travellers: two thirds people, one third cars.
    pub travellers: u64,
    /// Households that they belong to.
    pub households: u64,
    /// Of the draws.
    pub seed: u64,
}

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
            "{} events of {} travellers in {} households: {:.0} events/s; per million router {:.2} CPU s (mark {:.0}; {:.1} times a bare pass-through of {:.2}), broker {:.2} CPU s; peak {} MiB; records per event{}; ledger {}",
            self.events,
            self.travellers,
            self.households,
            self.events_per_second,
            self.router_cpu_seconds_per_million,
            self.mark,
            self.router_cpu_seconds_per_million / self.pass_through_cpu_seconds_per_million,
            self.pass_through_cpu_seconds_per_million,
            self.broker_cpu_seconds_per_million,
            self.router_peak_mib,
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
    let Options { events, travellers, households, seed } = options;
    let kafka_options = KafkaOptions { heap_mib: 1024, compiler: Compiler::Optimising, ..KafkaOptions::new(1) };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start_with(kafka_options)).await??;
    let broker = *kafka.pids().first().context("Kafka has no node")?;
    let folder = tempfile::tempdir()?;
    let site = site(folder.path(), &kafka.bootstrap)?;
    let config = KafkaConfig { bootstrap: kafka.bootstrap.clone(), properties: Default::default() };
    let log: Arc<dyn Log> = tokio::task::spawn_blocking(move || KafkaLog::connect(&config)).await??;
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await?;
    let mut load = Load {
        log: log.clone(),
        codec: Codec::built_in(),
        random: SmallRng::seed_from_u64(seed),
        travellers,
        households,
        sent: 0,
        waiting: vec![],
    };
    say("publishing the registry");
    load.registry().await?;
    say("half of the travellers are seen before");
    let mut router = start(&site)?;
    for traveller in (0..travellers).step_by(2) {
        load.event(traveller).await?;
    }
    load.flush().await?;
    drained(&log, &mut router).await?;
    stop(&mut router).await?;
    say("appending the backlog");
    for _ in 0..events {
        let traveller = load.random.random_range(0..travellers);
        load.event(traveller).await?;
    }
    load.flush().await?;
    say("draining");
    let appended_before = appended(&log).await?;
    let (before, began) = (cpu_seconds(broker)?, Instant::now());
    let mut router = start(&site)?;
    drained(&log, &mut router).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (router_cpu, router_peak_mib) = (cpu_seconds(router.id())?, peak_mib(router.id())?);
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
        router_cpu_seconds_per_million: router_cpu / millions,
        broker_cpu_seconds_per_million: broker_cpu / millions,
        router_peak_mib,
        records_per_event,
        ledger_closed: ledger["closed"] == true && ledger["accepted"] == events + travellers.div_ceil(2),
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

/// Appends what connectors would.
struct Load {
    log: Arc<dyn Log>,
    codec: Codec,
    random: SmallRng,
    travellers: u64,
    households: u64,
    sent: u64,
    waiting: Vec<Append>,
}

fn token(kind: IdentifierKind, number: u64) -> Identifier {
    let (first, second) = (ids::digest64(&[kind.as_str().as_bytes(), &number.to_be_bytes()]), ids::digest64(&[&number.to_be_bytes()]));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&second.to_be_bytes());
    Identifier { kind, token: Token(bytes) }
}

impl Load {
    async fn push<R: Record>(&mut self, topic: &'static str, key: &str, record: &R, headers: cloudevents::Headers) -> Result<()> {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let append =
            Append { topic: topic.into(), partition, key: key.to_owned().into(), value: Some(self.codec.encode(record).into()), headers };
        self.waiting.push(append);
        if self.waiting.len() >= 10_000 { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.log.append(std::mem::take(&mut self.waiting)).await?;
        Ok(())
    }

    async fn registry(&mut self) -> Result<()> {
        for grid in 0..200 {
            let entry = GridEntry {
                name: format!("grid {grid}"),
                community: "330106001001".into(),
                community_name: "community".into(),
                subdistrict: "330106001".into(),
                division: "330106".into(),
                workers: 2,
                published_at: Millis(1),
            };
            self.push(GRIDS, &format!("g{grid}"), &entry, cloudevents::Headers::new()).await?;
        }
        for household in 0..self.households {
            let entry = HouseholdEntry { version: 1, grid: format!("g{}", household % 200), address: None, contact: None };
            self.push(HOUSEHOLDS, &household_key(MANDATE, &format!("h{household:06}")), &entry, cloudevents::Headers::new()).await?;
        }
        for traveller in 0..self.travellers {
            let household = traveller % self.households;
            for identifier in self.identifiers(traveller) {
                let links = vec![Link { household: format!("h{household:06}"), grid: format!("g{}", household % 200) }];
                let link = IdentifierLink { mandate: MANDATE.into(), links, common: false };
                self.push(IDENTIFIERS, &identifier.token.to_string(), &link, cloudevents::Headers::new()).await?;
            }
        }
        self.flush().await
    }

    /// Every third is a car.
    fn identifiers(&self, traveller: u64) -> Vec<Identifier> {
        match traveller % 3 {
            2 => vec![token(IdentifierKind::Plate, traveller)],
            _ => vec![token(IdentifierKind::ResidentId, traveller), token(IdentifierKind::Phone, traveller)],
        }
    }

    async fn event(&mut self, traveller: u64) -> Result<()> {
        self.sent += 1;
        let identifiers = self.identifiers(traveller);
        let key = identifiers[0].token.to_string();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&ids::digest64(&[&self.sent.to_be_bytes()]).to_be_bytes());
        id[8..].copy_from_slice(&self.sent.to_be_bytes());
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
        let (event_id, received_at) = (EventId(id), Millis(now));
        let observed_at = Millis(now - self.random.random_range(0..3_600_000));
        let (mandate, source_ref, origin_division) = (MANDATE.into(), event_id.to_string().into(), Some("3301".into()));
        if traveller % 3 == 2 {
            let headers = cloudevents::headers(event_id, "highway-authority", "HighwayEntrance", received_at, None);
            let (source, station, vehicle_class) = ("highway-authority".into(), "G60-K12".into(), Some("car".into()));
            let event = HighwayEntrance {
                event_id,
                mandate,
                source,
                source_ref,
                observed_at,
                received_at,
                identifiers,
                origin_division,
                station,
                direction: Direction::In,
                vehicle_class,
            };
            return self.push(HIGHWAY, &key, &event, headers).await;
        }
        let headers = cloudevents::headers(event_id, "checkpoint-bureau", "CheckpointPassage", received_at, None);
        let (source, checkpoint, party_size) = ("checkpoint-bureau".into(), "G60-118".into(), Some(1));
        let event = CheckpointPassage {
            event_id,
            mandate,
            source,
            source_ref,
            observed_at,
            received_at,
            identifiers,
            origin_division,
            checkpoint,
            direction: Direction::In,
            party_size,
            destination: None,
        };
        self.push(CHECKPOINT, &key, &event, headers).await
    }
}
