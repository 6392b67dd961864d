//! One real owner of households on the simulated log, moved by hand, with `clock = "wall"`: its positions, read back, are all that moves
//! its now. Tests that look at what it says and writes stand on this.

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

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        self.0.delivered(keys, desk);
    }
}

/// One owner of the only partition, moved by hand.
pub struct World {
    log: Arc<Simulated>,
    own: Box<dyn Reader>,
    tail: i64,
    site: Arc<Site>,
    owner: Owner<Loop>,
    codec: Codec,
    /// What it has said of events.
    pub sent: Vec<Decision>,
    /// What it has written of identifiers, by their keys.
    pub links: Vec<(String, Option<IdentifierLink>)>,
    /// The log's time, and that at the beginning.
    pub now: i64,
    day_0: i64,
    offset: i64,
}

impl World {
    pub async fn new(deaf_to: DeafTo) -> World {
        World::with(deaf_to, None).await
    }

    /// An owner that finds this record.
    pub async fn over(task: &Task) -> World {
        World::with(DeafTo::Nothing, Some(task)).await
    }

    async fn with(deaf_to: DeafTo, task: Option<&Task>) -> World {
        let log = Simulated::new(1);
        log.create_topics(&eventlog::site_topics(1)).await.unwrap();
        if let Some(task) = task {
            let value = Some(Codec::built_in().encode(task).into());
            let record = eventlog::Append { topic: TASKS.into(), partition: 0, key: KEY.into(), value, headers: Default::default() };
            log.append(vec![record]).await.unwrap();
        }
        let site = Site::told(Schemas::open("").await.unwrap(), Clock::Wall, 1);
        let own = log.read(vec![From { topic: TASKS.into(), partition: 0, offset: 0 }]).await.unwrap();
        let logic = Loop(Households::new(site.clone()), deaf_to);
        let (owner, commands) = Owner::new(TASKS, 0, HOUSEHOLD_INPUTS.to_vec(), Rules::ALL, logic, "c1", None);
        let codec = Codec::built_in();
        let mut world = World { log, own, tail: 0, site, owner, codec, sent: vec![], links: vec![], now: 0, day_0: 0, offset: 0 };
        world.tables();
        world.perform(commands).await;
        assert!(world.owner.is_active());
        world.day_0 = world.now;
        world
    }

    fn tables(&self) {
        let text = "id='m'\nversion=1\ntitle='t'\nlegal_basis='l'\nissued_by='i'\npurposes=['p']\nsources=['*']\nfields=['*']\ndivisions=['*']\n\
                    max_households=9\nvalid_from='1970-01-01T00:00:00Z'\nvalid_until='2100-01-01T00:00:00Z'";
        let (name, community, community_name, subdistrict) = (String::new(), String::new(), String::new(), String::new());
        let grid = GridEntry { name, community, community_name, subdistrict, division: "3301".into(), workers: 1, published_at: Millis(1) };
        let entry = HouseholdEntry { version: 1, grid: "g1".into(), address: None, contact: None };
        let tell = |topic, key: &str, value: Vec<u8>| self.site.take(topic, &record(key, value, 0, 0)).unwrap();
        tell(GRIDS, "g1", self.codec.encode(&grid));
        tell(MANDATES, "m", self.codec.encode(&domain::mandate::from_toml(text).unwrap()));
        tell(HOUSEHOLDS, KEY, self.codec.encode(&entry));
    }

    /// Does what the owner wants, and tells it all that is in its partition, until it wants nothing.
    async fn perform(&mut self, commands: Vec<Command>) {
        let mut todo = VecDeque::from(commands);
        loop {
            while let Some(command) = todo.pop_front() {
                match command {
                    Command::Append(number, records) => {
                        let decisions = records.iter().filter(|append| append.topic == DECISIONS);
                        self.sent.extend(decisions.map(|append| self.codec.decode::<Decision>(append.value.as_deref().unwrap()).unwrap()));
                        for append in records.iter().filter(|append| append.topic == IDENTIFIERS) {
                            let link = append.value.as_deref().map(|value| self.codec.decode(value).unwrap());
                            self.links.push((String::from_utf8(append.key.to_vec()).unwrap(), link));
                        }
                        let done = self.log.append(records).await;
                        todo.extend(self.owner.handle(Event::Appended(number, done)));
                    }
                    Command::CatchUpTables => todo.extend(self.owner.handle(Event::TablesReady)),
                    Command::Stop(why) => panic!("{why}"),
                    Command::ReadInputs(_) | Command::Cache(_) => {}
                }
            }
            if self.tail >= self.log.offsets(TASKS, 0).await.unwrap().1 {
                return;
            }
            let batch = self.own.next().await.unwrap();
            self.tail = batch.next_offset;
            self.now = batch.records.iter().map(|record| record.timestamp).max().unwrap_or(self.now).max(self.now);
            todo.extend(self.owner.handle(Event::Own(batch)));
        }
    }

    fn at(&self, day: f64) -> Millis {
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

    async fn input(&mut self, topic: &'static str, value: Vec<u8>) {
        let (offset, now) = (self.offset, self.now);
        self.offset += 1;
        let batch = Batch { topic: topic.into(), partition: 0, records: vec![record(KEY, value, offset, now)], next_offset: offset + 1 };
        let commands = self.owner.handle(Event::Input(batch));
        self.perform(commands).await;
    }

    pub async fn seen(&mut self, kind: SourceKind) {
        let at = Millis(self.now);
        let signal = Signal {
            event_id: Fixed16([self.offset as u8; 16]),
            kind,
            observed_at: at,
            received_at: at,
            appended_at: at,
            digest: self.offset,
            direction: Direction::In,
            origin_division: None,
            late: None,
            taken_at: Millis(0),
            code: None,
            episode: 0,
            count: -1,
            screened: false,
            came_along: false,
        };
        let here = Here { declared: None, signals: vec![signal], pushed_out: vec![], covers: vec![] };
        let arrival = Arrival { traveller: "t".into(), version: 1, message: ArrivalMessage::Here(here) };
        self.input(ARRIVALS, self.codec.encode(&arrival)).await;
    }

    pub async fn registers(&mut self, register: Registration) {
        let action = Action {
            action_id: "a2".into(),
            task_id: "a task elsewhere".into(),
            actor: "w-1".into(),
            supervisor: false,
            action: ActionKind::Register,
            outcome: None,
            to_grid: None,
            note: None,
            at: None,
            received_at: Millis(self.now),
            register: Some(register),
        };
        self.input(ACTIONS, self.codec.encode(&action)).await;
    }

    /// The registry says that the household is in this grid, or has it no more.
    pub async fn entry(&mut self, version: i64, grid: Option<&str>) {
        let entry = |grid: &str| HouseholdEntry { version, grid: grid.into(), address: None, contact: None };
        let value = grid.map(|grid| self.codec.encode(&entry(grid)).into());
        let record = LogRecord { value, ..record(KEY, vec![], 0, 0) };
        self.site.take(HOUSEHOLDS, &record).unwrap();
        let commands = self.owner.handle(Event::Changed(HOUSEHOLDS, Arc::new(vec![KEY.to_owned()])));
        self.perform(commands).await;
    }

    pub async fn acts(&mut self, action: ActionKind, outcome: Option<Outcome>) {
        let action = Action {
            action_id: "a1".into(),
            task_id: self.task().task_id,
            actor: "w-1".into(),
            supervisor: false,
            action,
            outcome,
            to_grid: None,
            note: None,
            at: None,
            received_at: Millis(self.now),
            register: None,
        };
        self.input(ACTIONS, self.codec.encode(&action)).await;
    }

    pub fn task(&self) -> Task {
        self.codec.decode(self.owner.states().get(KEY).unwrap()).unwrap()
    }
}

fn record(key: &str, value: Vec<u8>, offset: i64, timestamp: i64) -> LogRecord {
    let (key, value) = (key.to_owned().into(), Some(value.into()));
    LogRecord { partition: 0, offset, timestamp, key, value, headers: Default::default() }
}
