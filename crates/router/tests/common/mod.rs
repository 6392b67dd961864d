//! One owner of households on the simulated log, moved by hand: what it wants is done, and what is in its partition is told to it.
#![allow(dead_code, reason = "each test file uses its own part")]

use domain::Clock;
use eventlog::owner::{Command, Desk, Event, Logic, Owner, Rules};
use eventlog::schemas::Schemas;
use eventlog::simulated::Simulated;
use eventlog::{Batch, From, Log, Reader, Record as LogRecord};
use events::time::{DAY_MS, HOUR_MS};
use events::topics::*;
use events::*;
use router::{HOUSEHOLD_INPUTS, Households, Site};
use std::collections::VecDeque;
use std::sync::Arc;
use testkit::given;

/// The loop as it is, or the null control: nobody tells it the time.
pub struct Loop(Households, bool);

impl Logic for Loop {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        self.0.take_over(desk);
    }

    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &LogRecord>, desk: &mut Desk<'_>) -> usize {
        self.0.apply(topic, records, desk)
    }

    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        self.0.changed(topic, keys, desk);
    }

    fn time(&mut self, desk: &mut Desk<'_>) {
        if self.1 {
            self.0.time(desk);
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
    pub sent: Vec<Decision>,
    /// Keys of own records, in the order in which they were appended; by append.
    pub written: Vec<Vec<String>>,
    /// The log's time, and that at the beginning.
    pub now: i64,
    day_0: i64,
    offset: i64,
    tells_time: bool,
}

impl World {
    /// Household A of grid g1 is registered, and so is whoever is named by `entry`.
    pub async fn new(tells_time: bool) -> World {
        let log = Simulated::new(1);
        log.create_topics(&eventlog::site_topics(1)).await.unwrap();
        let site = Site::told(Schemas::open("").await.unwrap(), Clock::Wall, 1);
        let own = log.read(vec![From { topic: TASKS.into(), partition: 0, offset: 0 }]).await.unwrap();
        let (owner, commands) = owner(&site, tells_time, "c1");
        let codec = Codec::built_in();
        let (sent, written) = (vec![], vec![]);
        let mut world = World { log, own, tail: 0, site, owner, codec, sent, written, now: 0, day_0: 0, offset: 0, tells_time };
        world.tell(GRIDS, "g1", world.codec.encode(&given::grid("3301")));
        world.tell(MANDATES, "m", world.codec.encode(&given::mandate()));
        world.entry("m/A");
        world.perform(commands).await;
        assert!(world.owner.is_active());
        world.day_0 = world.now;
        world
    }

    /// Another owner of the same partition takes over; this one has died.
    pub async fn next_owner(&mut self) {
        let (owner, commands) = owner(&self.site, self.tells_time, "c2");
        self.own = self.log.read(vec![From { topic: TASKS.into(), partition: 0, offset: 0 }]).await.unwrap();
        (self.owner, self.tail) = (owner, 0);
        self.perform(commands).await;
        assert!(self.owner.is_active());
    }

    fn tell(&self, topic: &str, key: &str, value: Vec<u8>) {
        self.site.take(topic, &record(key, value, 0, 0)).unwrap();
    }

    /// A household of grid g1.
    pub fn entry(&self, key: &str) {
        let entry = HouseholdEntry { version: 1, grid: "g1".into(), address: None, contact: None };
        self.tell(HOUSEHOLDS, key, self.codec.encode(&entry));
    }

    /// Another policy is in force. What the owner wants to be done first is left to whoever asks.
    pub fn policy(&mut self, policy: &Policy) -> Vec<Command> {
        self.tell(POLICIES, POLICY_KEY, self.codec.encode(policy));
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

    /// Does what the owner wants. Answers what it wants then.
    pub async fn obey(&mut self, todo: VecDeque<Command>) -> VecDeque<Command> {
        let mut next = VecDeque::new();
        for command in todo {
            match command {
                Command::Append(number, records) => {
                    let decisions = records.iter().filter(|append| append.topic == DECISIONS);
                    self.sent.extend(decisions.map(|append| self.codec.decode::<Decision>(append.value.as_deref().unwrap()).unwrap()));
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

    /// An input comes; what the owner wants to be done then is left to whoever asks.
    pub fn comes(&mut self, topic: &'static str, key: &str, value: Vec<u8>) -> Vec<Command> {
        let (offset, now) = (self.offset, self.now);
        self.offset += 1;
        let batch = Batch { topic: topic.into(), partition: 0, records: vec![record(key, value, offset, now)], next_offset: offset + 1 };
        self.owner.handle(Event::Input(batch))
    }

    /// Somebody of a household is seen now, coming from a division. Answers the event's number with what the owner wants.
    pub fn sees(&mut self, key: &str, kind: SourceKind, origin: Option<&str>) -> (u64, Vec<Command>) {
        let number = self.offset as u64;
        let signal = Signal { origin_division: origin.map(Text::new), ..given::signal(kind, number, Millis(self.now)) };
        let here = Here { declared: None, signals: vec![signal], pushed_out: vec![], covers: vec![] };
        let arrival = Arrival { traveller: "t".into(), version: 1, message: ArrivalMessage::Here(here) };
        let value = self.codec.encode(&arrival);
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
        let action = Action {
            action_id: "a1".into(),
            task_id: self.task("m/A").task_id,
            actor: "w-1".into(),
            supervisor: false,
            action,
            outcome,
            to_grid: None,
            note: None,
            register: None,
            at: None,
            received_at: Millis(self.now),
        };
        let commands = self.comes(ACTIONS, "m/A", self.codec.encode(&action));
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

fn owner(site: &Arc<Site>, tells_time: bool, claim: &str) -> (Owner<Loop>, Vec<Command>) {
    let logic = Loop(Households::new(site.clone()), tells_time);
    Owner::new(TASKS, 0, HOUSEHOLD_INPUTS.to_vec(), Rules::ALL, logic, claim, None)
}

fn record(key: &str, value: Vec<u8>, offset: i64, timestamp: i64) -> LogRecord {
    let (key, value) = (key.to_owned().into(), Some(value.into()));
    LogRecord { partition: 0, offset, timestamp, key, value, headers: Default::default() }
}
