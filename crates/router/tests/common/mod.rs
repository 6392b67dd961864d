//! One real owner of households on the simulated log, moved by hand, with `clock = "wall"`: what it wants is done, and what is in its
//! partition is told to it. Where no input comes, its positions, read back, are all that moves its now.
#![allow(dead_code, reason = "each test file uses its own part")]

use domain::Clock;
use eventlog::owner::{Command, Desk, Event, Logic, Owner, Rules};
use eventlog::schemas::Schemas;
use eventlog::simulated::Simulated;
use eventlog::{Append, Batch, From, Log, Reader, Record as LogRecord};
use events::time::{DAY_MS, HOUR_MS};
use events::topics::*;
use events::*;
use router::{HOUSEHOLD_INPUTS, Households, Site};
use std::collections::VecDeque;
use std::sync::Arc;
use testkit::given;

/// The household that is registered from the beginning.
pub const KEY: &str = "m/A";

/// The loop as it is, or a null control, which is deaf to something.
pub struct Loop(Households, DeafTo);

#[derive(Clone, Copy, PartialEq)]
pub enum DeafTo {
    Nothing,
    Time,
    Actions,
}

impl Logic for Loop {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        self.0.take_over(desk);
    }

    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &LogRecord>, desk: &mut Desk<'_>) -> usize {
        if self.1 == DeafTo::Actions && topic == ACTIONS { records.count() } else { self.0.apply(topic, records, desk) }
    }

    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        self.0.changed(topic, keys, desk);
    }

    fn time(&mut self, desk: &mut Desk<'_>) {
        if self.1 != DeafTo::Time {
            self.0.time(desk);
        }
    }

    fn tick(&mut self, desk: &mut Desk<'_>) {
        if self.1 != DeafTo::Time {
            self.0.tick(desk);
        }
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        self.0.delivered(keys, desk);
    }
}

/// One owner of the only partition.
pub struct World {
    log: Arc<Simulated>,
    own: Box<dyn Reader>,
    tail: i64,
    site: Arc<Site>,
    pub owner: Owner<Loop>,
    pub codec: Codec,
    /// What it has said of events.
    pub sent: Vec<Decision>,
    /// What it has written of identifiers, by their keys.
    pub links: Vec<(String, Option<IdentifierLink>)>,
    /// Keys of own records, in the order in which they were appended; by append.
    pub written: Vec<Vec<String>>,
    /// The log's time, and that at the beginning.
    pub now: i64,
    day_0: i64,
    offset: i64,
    deaf_to: DeafTo,
}

impl World {
    /// Household A of grid g1 is registered, and so is whoever is named by `entry`.
    pub async fn new(deaf_to: DeafTo) -> World {
        World::with(deaf_to, None).await
    }

    /// An owner that finds this record of household A.
    pub async fn over(task: &Task) -> World {
        World::with(DeafTo::Nothing, Some(task)).await
    }

    async fn with(deaf_to: DeafTo, task: Option<&Task>) -> World {
        let (log, codec) = (Simulated::new(1), Codec::built_in());
        log.create_topics(&eventlog::site_topics(1)).await.unwrap();
        if let Some(task) = task {
            let value = Some(codec.encode(task).into());
            log.append(vec![Append { topic: TASKS.into(), partition: 0, key: KEY.into(), value, ..Append::default() }]).await.unwrap();
        }
        let site = Site::told(Schemas::open("").await.unwrap(), given::signers(), Clock::Wall, 1);
        let own = log.read(vec![From { topic: TASKS.into(), partition: 0, offset: 0 }]).await.unwrap();
        let (owner, commands) = owner(&site, deaf_to, "c1");
        let (sent, links, written) = (vec![], vec![], vec![]);
        let mut world = World { log, own, tail: 0, site, owner, codec, sent, links, written, now: 0, day_0: 0, offset: 0, deaf_to };
        for grid in ["g1", "g2"] {
            world.tell(GRIDS, grid, Some(world.codec.encode(&given::grid("3301"))));
        }
        world.tell(MANDATES, "m", Some(world.codec.encode(&given::mandate())));
        world.entry(KEY);
        world.perform(commands).await;
        assert!(world.owner.is_active());
        world.day_0 = world.now;
        world
    }

    /// Another owner of the same partition takes over; this one has died.
    pub async fn next_owner(&mut self) {
        let (owner, commands) = owner(&self.site, self.deaf_to, "c2");
        self.own = self.log.read(vec![From { topic: TASKS.into(), partition: 0, offset: 0 }]).await.unwrap();
        (self.owner, self.tail) = (owner, 0);
        self.perform(commands).await;
        assert!(self.owner.is_active());
    }

    fn tell(&self, topic: &str, key: &str, value: Option<Vec<u8>>) {
        self.site.take(topic, &record(key, value, 0, 0)).unwrap();
    }

    /// A household of grid g1.
    pub fn entry(&self, key: &str) {
        self.tell(HOUSEHOLDS, key, Some(self.codec.encode(&given::entry(1, "g1"))));
    }

    /// The registry says that household A is in this grid from now on, or has it no more.
    pub async fn entry_changes(&mut self, version: i64, grid: Option<&str>) {
        let commands = self.entries_change(vec![KEY.to_owned()], version, grid);
        self.perform(commands).await;
    }

    /// The same of many at once. What the owner wants to be done first is left to whoever asks.
    pub fn entries_change(&mut self, keys: Vec<String>, version: i64, grid: Option<&str>) -> Vec<Command> {
        for key in &keys {
            self.tell(HOUSEHOLDS, key, grid.map(|grid| self.codec.encode(&given::entry(version, grid))));
        }
        self.owner.handle(Event::Changed(HOUSEHOLDS, Arc::new(keys)))
    }

    /// Another policy is in force. What the owner wants to be done first is left to whoever asks.
    pub fn policy(&mut self, policy: &Policy) -> Vec<Command> {
        self.tell(POLICIES, POLICY_KEY, Some(self.codec.encode(policy)));
        self.owner.handle(Event::Changed(POLICIES, Arc::new(vec![POLICY_KEY.to_owned()])))
    }

    /// Does what the owner wants, and tells it all that is in its partition, until it wants nothing.
    pub async fn perform(&mut self, commands: Vec<Command>) {
        let mut todo = VecDeque::from(commands);
        loop {
            todo = self.obey(todo).await;
            if !todo.is_empty() {
                continue;
            }
            match self.read_own().await {
                Some(commands) => todo.extend(commands),
                None => return,
            }
        }
    }

    /// The same, and all that is done a portion at a tick.
    pub async fn perform_all(&mut self, mut commands: Vec<Command>) {
        loop {
            self.perform(commands).await;
            commands = self.owner.handle(Event::Tick(self.now));
            if commands.is_empty() {
                return;
            }
        }
    }

    /// Does what the owner wants. Answers what it wants then.
    pub async fn obey(&mut self, todo: VecDeque<Command>) -> VecDeque<Command> {
        let mut next = VecDeque::new();
        for command in todo {
            match command {
                Command::Append(number, records) => {
                    let decisions = records.iter().filter(|append| append.topic == DECISIONS);
                    self.sent.extend(decisions.map(|append| self.codec.decode::<Decision>(append.value.as_deref().unwrap()).unwrap()));
                    for append in records.iter().filter(|append| append.topic == IDENTIFIERS) {
                        let link = append.value.as_deref().map(|value| self.codec.decode(value).unwrap());
                        self.links.push((String::from_utf8(append.key.to_vec()).unwrap(), link));
                    }
                    let own = records.iter().filter(|append| append.topic == TASKS);
                    let own: Vec<String> = own.map(|append| String::from_utf8(append.key.to_vec()).unwrap()).collect();
                    self.written.extend(Some(own).filter(|own| !own.is_empty()));
                    let done = self.log.append(records).await;
                    next.extend(self.owner.handle(Event::Appended(number, done)));
                }
                Command::CatchUpTables => next.extend(self.owner.handle(Event::TablesReady)),
                Command::Stop(why) => panic!("{why}"),
                Command::ReadInputs(_) | Command::Cache(_) => {}
            }
        }
        next
    }

    /// Tells the owner the next of its partition; none: it has read all.
    pub async fn read_own(&mut self) -> Option<Vec<Command>> {
        if self.tail >= self.log.offsets(TASKS, 0).await.unwrap().1 {
            return None;
        }
        let batch = self.own.next().await.unwrap();
        self.tail = batch.next_offset;
        self.now = batch.records.iter().map(|record| record.timestamp).max().unwrap_or(self.now).max(self.now);
        Some(self.owner.handle(Event::Own(batch)))
    }

    pub fn at(&self, day: f64) -> Millis {
        Millis(self.day_0 + (day * DAY_MS as f64) as i64)
    }

    /// The log's time passes, an hour at a time, and the owner's heart beats.
    pub async fn until(&mut self, day: f64) {
        while self.now < self.at(day).0 {
            self.log.advance(HOUR_MS.min(self.at(day).0 - self.now));
            let clock = self.now + HOUR_MS;
            let commands = self.owner.handle(Event::Tick(clock));
            self.perform(commands).await;
        }
    }

    /// The log's time passes, and the owner is stopped: it hears nothing.
    pub fn sleeps_until(&mut self, day: f64) {
        self.log.advance(self.at(day).0 - self.now);
        self.now = self.at(day).0;
    }

    /// An input comes; what the owner wants to be done then is left to whoever asks.
    pub fn comes(&mut self, topic: &'static str, key: &str, value: Vec<u8>) -> Vec<Command> {
        let (offset, now) = (self.offset, self.now);
        self.offset += 1;
        let batch =
            Batch { topic: topic.into(), partition: 0, records: vec![record(key, Some(value), offset, now)], next_offset: offset + 1 };
        self.owner.handle(Event::Input(batch))
    }

    /// Somebody of a household is seen now, coming from a division. Answers the event's number with what the owner wants.
    pub fn sees(&mut self, key: &str, kind: SourceKind, origin: Option<&str>) -> (u64, Vec<Command>) {
        let number = self.offset as u64;
        let signal = Signal { origin_division: origin.map(Text::new), ..given::signal(kind, number, Millis(self.now)) };
        let value = self.codec.encode(&given::here("t", vec![signal]));
        (number, self.comes(ARRIVALS, key, value))
    }

    /// The same, and all that comes of it.
    pub async fn seen(&mut self, key: &str, kind: SourceKind, origin: Option<&str>) -> u64 {
        let (number, commands) = self.sees(key, kind, origin);
        self.perform(commands).await;
        number
    }

    /// A worker acts on the visit of household A.
    pub async fn acts(&mut self, action: ActionKind, outcome: Option<Outcome>) {
        let action = Action { outcome, ..given::action("a1", &self.task(KEY).task_id, action, Millis(self.now)) };
        self.acted(&action).await;
    }

    /// A worker at a door elsewhere says who household A's people are.
    pub async fn registers(&mut self, register: Registration) {
        let given = given::action("a2", "a task elsewhere", ActionKind::Register, Millis(self.now));
        self.acted(&Action { register: Some(register), ..given }).await;
    }

    async fn acted(&mut self, action: &Action) {
        let commands = self.comes(ACTIONS, KEY, self.codec.encode(action));
        self.perform(commands).await;
    }

    pub fn task(&self, key: &str) -> Task {
        self.codec.decode(self.owner.states().get(key).unwrap()).unwrap()
    }

    /// What was last said of an event.
    pub fn said(&self, number: u64) -> Option<&Decision> {
        let of_it = |decision: &&Decision| decision.event_id.0[..8] == number.to_be_bytes();
        self.sent.iter().filter(of_it).max_by_key(|decision| decision.revision)
    }
}

fn owner(site: &Arc<Site>, deaf_to: DeafTo, claim: &str) -> (Owner<Loop>, Vec<Command>) {
    let logic = Loop(Households::new(site.clone()), deaf_to);
    Owner::new(TASKS, 0, HOUSEHOLD_INPUTS.to_vec(), Rules::ALL, logic, claim, None)
}

fn record(key: &str, value: Option<Vec<u8>>, offset: i64, timestamp: i64) -> LogRecord {
    let (key, value) = (key.to_owned().into(), value.map(Into::into));
    LogRecord { partition: 0, offset, timestamp, key, value, headers: Default::default() }
}
