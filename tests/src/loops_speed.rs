//! `cargo xtask bench --loops`: what the router's two loops cost by themselves. The owners and logics are the router's own; in place of
//! Kafka there are lists in memory, so that what is measured is theirs, and steadier than with a broker on the same cores. Batches, steps
//! and tables are as in the drained backlog (`drain.rs`).

use crate::backlog::{Backlog, MANDATE, Options, PARTITIONS};
use crate::process::on_the_core;
use anyhow::{Result, bail};
use domain::Clock;
use eventlog::owner::{Command, Event, Logic, Owner, Rules};
use eventlog::schemas::Schemas;
use eventlog::simulated::Simulated;
use eventlog::{Append, Batch, Log, Record};
use events::topics::{ARRIVALS, DECISIONS, MANDATES, RETURNS, TASKS, TRAVELLERS};
use events::{Codec, Mandate};
use router::{HOUSEHOLD_INPUTS, Households, Site, TRAVELLER_INPUTS, Travellers};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use testkit::given;

/// Records that a reader hands on at once.
const BATCH_RECORDS: usize = 2_000;
/// How late the router is: so late that it gathers.
const LATE_MS: i64 = 60_000;

/// What it took.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// CPU seconds per million events of the loop that resolves.
    pub travellers_cpu_seconds_per_million: f64,
    /// Of the loop that routes.
    pub households_cpu_seconds_per_million: f64,
    /// Records per event, by topic.
    pub records_per_event: BTreeMap<&'static str, f64>,
    /// Every event has a decision, and one alone.
    pub all_decided: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events: per million travellers {:.2} CPU s, households {:.2} CPU s; records per event{}; {}",
            self.events,
            self.travellers_cpu_seconds_per_million,
            self.households_cpu_seconds_per_million,
            self.records_per_event.iter().map(|(topic, records)| format!(" {topic} {records:.2}")).collect::<String>(),
            if self.all_decided { "each decided" } else { "NOT ALL DECIDED" },
        )
    }
}

/// What the loops have appended, and of which events it was said what became of them.
#[derive(Default)]
struct Told {
    records: BTreeMap<&'static str, u64>,
    decided: HashSet<Vec<u8>>,
}

/// Runs it. So many of what the loops have to tell one another are lost on the way: a null control, for then not all is decided.
///
/// # Errors
/// An owner stops, or what is appended cannot be read.
pub async fn run(options: Options, lost: usize) -> Result<Report> {
    let log = Simulated::new(1);
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await?;
    let mut backlog = Backlog::new(options);
    let mandate = given::signed(Mandate { id: MANDATE.into(), ..given::mandate() });
    let (topic, key, value) = (MANDATES.into(), MANDATE.to_owned().into(), Some(Codec::built_in().encode(&mandate).into()));
    log.append(vec![Append { topic, key, value, ..Append::default() }]).await?;
    log.append(backlog.registry().collect()).await?;
    let (log, caches): (Arc<dyn Log>, _) = (log, tempfile::tempdir()?);
    let schemas = Schemas::open("").await?;
    let site = Site::open(&log, schemas, given::signers(), Clock::Wall, PARTITIONS, Some(caches.path())).await?;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
    let mut keepers = owners(TRAVELLERS, TRAVELLER_INPUTS, now, || Travellers::new(site.clone()))?;
    let mut routers = owners(TASKS, HOUSEHOLD_INPUTS, now, || Households::new(site.clone()))?;
    let (mut told, mut seconds) = (Told::default(), [0.0; 2]);
    let before = backlog.seen_before().collect::<Result<Vec<_>>>()?;
    drain(&mut keepers, &mut routers, before, 0, &mut Told::default(), &mut [0.0; 2])?;
    let events = backlog.events().collect::<Result<Vec<_>>>()?;
    drain(&mut keepers, &mut routers, events, lost, &mut told, &mut seconds)?;
    let per_million = |seconds: f64| seconds * 1e6 / options.events as f64;
    Ok(Report {
        events: options.events,
        travellers_cpu_seconds_per_million: per_million(seconds[0]),
        households_cpu_seconds_per_million: per_million(seconds[1]),
        all_decided: told.decided.len() as u64 == options.events && told.records.get(DECISIONS) == Some(&options.events),
        records_per_event: told.records.into_iter().map(|(topic, count)| (topic, count as f64 / options.events as f64)).collect(),
    })
}

fn owners<L: Logic>(topic: &'static str, inputs: &[&'static str], now: i64, logic: impl Fn() -> L) -> Result<Vec<Moved<L>>> {
    (0..PARTITIONS).map(|partition| Moved::new(topic, partition, inputs, logic(), now)).collect()
}

/// Events through both loops, and the loops' messages to one another until there are none.
fn drain(
    keepers: &mut [Moved<Travellers>],
    routers: &mut [Moved<Households>],
    events: Vec<Append>,
    mut lost: usize,
    told: &mut Told,
    seconds: &mut [f64; 2],
) -> Result<()> {
    let mut waiting = events;
    while !waiting.is_empty() {
        let mut said = Vec::new();
        for batch in batches(std::mem::take(&mut waiting)) {
            let at = batch.partition as usize;
            let began = on_the_core()?;
            if *batch.topic == *ARRIVALS {
                routers[at].tell(Event::Input(batch))?;
                seconds[1] += (on_the_core()? - began).as_secs_f64();
            } else {
                keepers[at].tell(Event::Input(batch))?;
                seconds[0] += (on_the_core()? - began).as_secs_f64();
            }
        }
        seconds[0] += rest(keepers, told, &mut said)?;
        seconds[1] += rest(routers, told, &mut said)?;
        waiting = said;
        waiting.retain(|message| [ARRIVALS, RETURNS].contains(&&*message.topic));
        waiting.drain(..lost.min(waiting.len()));
        lost = 0;
    }
    Ok(())
}

/// What has gathered is applied; and what the owners have said meanwhile.
fn rest<L: Logic>(owners: &mut [Moved<L>], told: &mut Told, said: &mut Vec<Append>) -> Result<f64> {
    let began = on_the_core()?;
    for owner in owners.iter_mut() {
        owner.tick()?;
    }
    let seconds = (on_the_core()? - began).as_secs_f64();
    for owner in owners {
        *told.records.entry(owner.topic).or_default() += std::mem::take(&mut owner.written);
        for message in owner.said.drain(..) {
            if let Some(topic) = [ARRIVALS, RETURNS, DECISIONS].into_iter().find(|topic| *topic == message.topic) {
                *told.records.entry(topic).or_default() += 1;
                if topic == DECISIONS {
                    told.decided.insert(message.key.to_vec());
                }
            }
            said.push(message);
        }
    }
    Ok(seconds)
}

/// As a reader hands them on: keys and values of a batch in one buffer.
fn batches(messages: Vec<Append>) -> Vec<Batch> {
    let mut of: BTreeMap<(String, i32), Vec<Append>> = BTreeMap::new();
    for message in messages {
        of.entry((message.topic.to_string(), message.partition)).or_default().push(message);
    }
    let batch = |topic: &str, partition: i32, messages: &[Append]| {
        let mut buffer = Vec::new();
        for message in messages {
            buffer.extend_from_slice(&message.key);
            buffer.extend_from_slice(message.value.as_deref().unwrap_or_default());
        }
        let mut rest = bytes::Bytes::from(buffer);
        let record = |message: &Append| Record {
            partition,
            offset: 0,
            timestamp: 0,
            key: rest.split_to(message.key.len()),
            value: message.value.as_ref().map(|value| rest.split_to(value.len())),
            headers: eventlog::Headers::new(),
        };
        Batch { topic: topic.into(), partition, records: messages.iter().map(record).collect(), next_offset: 0 }
    };
    let all =
        of.iter().flat_map(|((topic, partition), messages)| messages.chunks(BATCH_RECORDS).map(move |part| batch(topic, *partition, part)));
    all.collect()
}

/// An owner; what it wants done is done at once.
struct Moved<L> {
    topic: &'static str,
    partition: i32,
    owner: Owner<L>,
    next: i64,
    clock: i64,
    /// When everything was appended that is no record of its own.
    appended_at: i64,
    /// The next offset of each input.
    offsets: BTreeMap<Arc<str>, i64>,
    written: u64,
    said: Vec<Append>,
}

impl<L: Logic> Moved<L> {
    fn new(topic: &'static str, partition: i32, inputs: &[&'static str], logic: L, appended_at: i64) -> Result<Moved<L>> {
        let (owner, commands) = Owner::new(topic, partition, inputs.to_vec(), Rules::ALL, logic, "claim", None);
        let mut moved =
            Moved { topic, partition, owner, next: 0, clock: 1, appended_at, offsets: BTreeMap::new(), written: 0, said: Vec::new() };
        moved.obey(commands)?;
        Ok(moved)
    }

    fn tell(&mut self, mut event: Event) -> Result<()> {
        if let Event::Input(batch) = &mut event {
            let next = self.offsets.entry(batch.topic.clone()).or_default();
            for record in &mut batch.records {
                (record.offset, record.timestamp, *next) = (*next, self.appended_at, *next + 1);
            }
            batch.next_offset = *next;
        }
        let commands = self.owner.handle(event);
        self.obey(commands)
    }

    /// So much time passes that nothing gathers any longer.
    fn tick(&mut self) -> Result<()> {
        for _ in 0..3 {
            self.clock += LATE_MS;
            self.tell(Event::Tick(self.clock))?;
        }
        Ok(())
    }

    fn obey(&mut self, commands: Vec<Command>) -> Result<()> {
        let mut commands = VecDeque::from(commands);
        while let Some(command) = commands.pop_front() {
            let events = match command {
                Command::Append(_, records) if records.first().is_some_and(|record| record.topic == self.topic) => {
                    self.written += records.len() as u64;
                    self.own(records)
                }
                Command::Append(number, records) => {
                    self.said.extend(records);
                    vec![Event::Appended(number, Ok(Vec::new()))]
                }
                Command::CatchUpTables => vec![Event::TablesReady],
                Command::ReadInputs(_) | Command::Cache(_) => vec![],
                Command::Stop(why) => bail!("an owner ends: {why}"),
            };
            for event in events {
                commands.extend(self.owner.handle(event));
            }
        }
        Ok(())
    }

    /// Reading its own records back.
    fn own(&mut self, records: Vec<Append>) -> Vec<Event> {
        let (mut records, mut events) = (records.into_iter().peekable(), Vec::new());
        while records.peek().is_some() {
            let record = |Append { partition, key, value, headers, .. }: Append| {
                self.next += 1;
                Record { partition, offset: self.next - 1, timestamp: self.appended_at + LATE_MS, key, value, headers }
            };
            let records = records.by_ref().take(BATCH_RECORDS).map(record).collect();
            events.push(Event::Own(Batch { topic: self.topic.into(), partition: self.partition, records, next_offset: self.next }));
        }
        events
    }
}
