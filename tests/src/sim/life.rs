//! A router process of the simulation: its tables, its caches on disk, and the lives of its owners; each loop is the router's own.

use super::mutant::Mutant;
use eventlog::fencing::Fold;
use eventlog::owner::{Command, Desk, Event, Logic, Owner, Snapshot};
use eventlog::simulated::{Handle, SimulatedCore, Ticket};
use eventlog::{Appended, LogError, Record};
use events::topics::*;
use router::{HOUSEHOLD_INPUTS, Households, Site, TRAVELLER_INPUTS, Travellers};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The tables that a site reads whole.
pub(super) const TABLES: [&str; 5] = [MANDATES, POLICIES, GRIDS, IDENTIFIERS, HOUSEHOLDS];
/// Caches kept of one partition: the newest, and old ones that a disk may bring back.
const CACHES_MAX: usize = 4;

/// Which of the two loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Keeper,
    Household,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Keeper, Kind::Household];

    pub fn topic(self) -> &'static str {
        if self == Kind::Keeper { TRAVELLERS } else { TASKS }
    }

    pub fn inputs(self) -> &'static [&'static str] {
        if self == Kind::Keeper { TRAVELLER_INPUTS } else { HOUSEHOLD_INPUTS }
    }

    /// What it tells others by.
    pub fn outputs(self) -> &'static [&'static str] {
        if self == Kind::Keeper { &[ARRIVALS, DECISIONS] } else { &[RETURNS, DECISIONS] }
    }

    pub fn logic(self, site: Arc<Site>, mutant: Option<Mutant>) -> Loop {
        let real: Box<dyn Logic> = match self {
            Kind::Keeper => Box::new(Travellers::new(site)),
            Kind::Household => Box::new(Households::new(site)),
        };
        Loop { real, mutant }
    }
}

/// A loop of the router, as it is but for what a mutant leaves out.
pub(super) struct Loop {
    real: Box<dyn Logic>,
    mutant: Option<Mutant>,
}

impl Logic for Loop {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        if self.mutant != Some(Mutant::TakeOverSilent) {
            self.real.take_over(desk);
        }
    }

    fn since(&self, topic: &str, record: &Record) -> i64 {
        self.real.since(topic, record)
    }

    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &Record>, desk: &mut Desk<'_>) -> usize {
        self.real.apply(topic, records, desk)
    }

    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        self.real.changed(topic, keys, desk);
    }

    fn time(&mut self, desk: &mut Desk<'_>) {
        self.real.time(desk);
    }

    fn tick(&mut self, desk: &mut Desk<'_>) {
        self.real.tick(desk);
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        if self.mutant != Some(Mutant::NeverDelivered) {
            self.real.delivered(keys, desk);
        }
    }
}

/// What becomes of an append.
pub(super) enum Fate {
    UnderWay(Ticket),
    Known(Result<Vec<Appended>, LogError>),
}

/// One owner of one partition, from its claim to its end.
pub(super) struct Life {
    pub kind: Kind,
    pub partition: i32,
    pub owner: Owner<Loop>,
    pub handle: Handle,
    pub tail: i64,
    pub inputs: Option<Vec<i64>>,
    pub under_way: Vec<(u64, Fate, bool)>,
    pub wants_tables: bool,
    pub changes: VecDeque<(&'static str, Arc<Vec<String>>)>,
    pub gone: bool,
    /// As its owner folds: for a mutant's cache.
    pub fold: Fold,
}

impl Life {
    /// Where an end of it is told: `tasks/0` of process 1.
    pub fn name(&self) -> String {
        let kind = if self.kind == Kind::Keeper { "travellers" } else { "tasks" };
        format!("{kind}/{}", self.partition)
    }
}

/// A process that runs the router.
pub(super) struct Process {
    pub site: Arc<Site>,
    pub offsets: BTreeMap<(&'static str, i32), i64>,
    pub lives: Vec<Life>,
    pub alive: bool,
    pub paused: bool,
    /// It does not read its tables on: they fall behind until it is an owner again.
    pub stalled: bool,
    pub caches: BTreeMap<(Kind, i32), Vec<Snapshot>>,
}

impl Process {
    pub fn new(site: Arc<Site>) -> Process {
        Process { site, offsets: BTreeMap::new(), lives: Vec::new(), alive: true, paused: false, stalled: false, caches: BTreeMap::new() }
    }

    pub fn runs(&self) -> bool {
        self.alive && !self.paused
    }

    /// Reads its tables on, and lets its owners know what has changed. Answers how many values could not be read.
    pub fn read_tables(&mut self, core: &SimulatedCore, partitions: i32, most: usize, mutant: Option<Mutant>) -> usize {
        let mut unreadable = 0;
        for topic in TABLES {
            for partition in 0..if self.stalled { 0 } else { partitions } {
                let offset = self.offsets.entry((topic, partition)).or_default();
                let Ok(batch) = core.read(topic, partition, *offset, most) else { continue };
                *offset = batch.next_offset;
                if batch.records.is_empty() {
                    continue;
                }
                let mut keys = Vec::new();
                for record in &batch.records {
                    unreadable += usize::from(self.site.take(topic, record).is_err());
                    keys.push(String::from_utf8_lossy(&record.key).into_owned());
                }
                let (keys, of) = (Arc::new(keys), if topic == IDENTIFIERS { Kind::Keeper } else { Kind::Household });
                for life in self.lives.iter_mut().filter(|life| life.kind == of && mutant != Some(Mutant::ChangesLost)) {
                    life.changes.push_back((topic, keys.clone()));
                }
            }
        }
        unreadable
    }

    /// What lies on the disk for a partition, if it may still be used: the newest, or another that a disk brings back.
    pub fn cache(&self, core: &SimulatedCore, kind: Kind, partition: i32, newest: bool) -> Option<Snapshot> {
        let all = self.caches.get(&(kind, partition))?;
        let cache = if newest { all.last() } else { all.first() }?;
        // As the router does: nothing stands behind it, or what stands there is younger than compaction waits.
        let (_, end) = core.offsets(kind.topic(), partition).ok()?;
        let next = core.read(kind.topic(), partition, cache.tail, 1).ok()?;
        let young = next.records.first().is_some_and(|record| core.now_ms() - record.timestamp < MIN_COMPACTION_LAG_MS);
        (cache.tail == end || young).then(|| cache.clone())
    }

    fn keep(&mut self, kind: Kind, partition: i32, mut cache: Snapshot, mutant: Option<Mutant>) {
        if mutant == Some(Mutant::CacheWithoutEpoch) {
            cache.highest_epoch = 0;
        }
        let all = self.caches.entry((kind, partition)).or_default();
        all.push(cache);
        if all.len() > CACHES_MAX {
            all.remove(0);
        }
    }

    /// The owner wants its fold saved, or a mutant saves its memory.
    pub fn save(&mut self, at: usize, core: &mut SimulatedCore, mutant: Option<Mutant>) {
        let life = &self.lives[at];
        let (mut states, positions) = (life.owner.states().clone(), life.owner.positions());
        match mutant {
            Some(Mutant::CacheAhead | Mutant::CacheBeforeRepair) if positions.is_empty() => return,
            Some(Mutant::CacheAhead) => {
                let position = |at: eventlog::From| (format!("{POSITION_PREFIX}{}", at.topic).into(), at.offset.to_string().into());
                states.extend(positions.into_iter().map(position));
            }
            Some(Mutant::CacheBeforeRepair) => states = super::readers::folded(core, life.kind.topic(), life.partition, life.tail),
            _ => return self.tell(at, Event::Save, core, mutant),
        }
        let cache = Snapshot { states, tail: life.tail, highest_epoch: life.fold.highest_epoch };
        self.keep(life.kind, life.partition, cache, mutant);
    }

    /// Tells an owner what happened and does what it wants done.
    pub fn tell(&mut self, at: usize, event: Event, core: &mut SimulatedCore, mutant: Option<Mutant>) {
        let commands = self.lives[at].owner.handle(event);
        self.obey(at, commands, core, mutant);
    }

    pub fn obey(&mut self, at: usize, commands: Vec<Command>, core: &mut SimulatedCore, mutant: Option<Mutant>) {
        for command in commands {
            let life = &mut self.lives[at];
            match command {
                Command::Append(number, records) => {
                    let speaks = records.first().is_some_and(|record| record.topic != life.kind.topic());
                    let crosses = speaks && mutant == Some(Mutant::RoadsCross);
                    let handle = if crosses { core.open_like(life.handle) } else { life.handle };
                    let fate = match core.append(handle, records) {
                        Ok(_) if speaks && mutant == Some(Mutant::PositionEarly) => Fate::Known(Ok(Vec::new())),
                        Ok(ticket) => Fate::UnderWay(ticket),
                        Err(error) => Fate::Known(Err(error)),
                    };
                    life.under_way.push((number, fate, speaks));
                }
                Command::CatchUpTables => life.wants_tables = true,
                Command::ReadInputs(from) => {
                    let end = |topic: &str| core.offsets(topic, life.partition).map_or(0, |(_, end)| end);
                    let begins = |at: &eventlog::From| if mutant == Some(Mutant::InputsFromEnd) { end(&at.topic) } else { at.offset };
                    life.inputs = Some(from.iter().map(begins).collect());
                }
                Command::Cache(cache) => {
                    let (kind, partition) = (life.kind, life.partition);
                    self.keep(kind, partition, cache, mutant);
                }
                Command::Stop(_) => life.gone = true,
            }
        }
    }

    /// An answer that is there, to a life that waits for it; `which` chooses among those under way. Answers whether there was one, and
    /// whether the append failed.
    pub fn answer(&mut self, at: usize, which: usize, core: &mut SimulatedCore, mutant: Option<Mutant>) -> Option<bool> {
        let life = &mut self.lives[at];
        let count = life.under_way.len();
        for one in (0..count).map(|step| (which + step) % count) {
            let answer = match &mut life.under_way[one].1 {
                Fate::UnderWay(ticket) => core.answer(*ticket),
                Fate::Known(known) => Some(std::mem::replace(known, Ok(Vec::new()))),
            };
            let Some(mut answer) = answer else { continue };
            let (number, _, speaks) = life.under_way.remove(one);
            let failed = answer.is_err();
            if failed && speaks && mutant == Some(Mutant::FailureIgnored) {
                answer = Ok(Vec::new());
                life.handle = core.open();
            }
            self.tell(at, Event::Appended(number, answer), core, mutant);
            return Some(failed);
        }
        None
    }

    /// It reads so many of its own records. Answers whether there were any.
    pub fn read_own(&mut self, at: usize, most: usize, core: &mut SimulatedCore, mutant: Option<Mutant>) -> bool {
        let life = &mut self.lives[at];
        let Ok(batch) = core.read(life.kind.topic(), life.partition, life.tail, most) else { return false };
        // Who claims nothing has nothing to read at first, and must begin all the same.
        if batch.next_offset == life.tail && mutant != Some(Mutant::NoClaim) {
            return false;
        }
        life.tail = batch.next_offset;
        for record in &batch.records {
            let _ = life.fold.judge(record);
        }
        self.tell(at, Event::Own(batch), core, mutant);
        true
    }

    /// It reads so many records of an input. Answers whether there were any.
    pub fn read_input(&mut self, at: usize, which: usize, most: usize, core: &mut SimulatedCore, mutant: Option<Mutant>) -> bool {
        let life = &mut self.lives[at];
        let inputs = life.kind.inputs();
        let Some(offset) = life.inputs.as_mut().map(|offsets| &mut offsets[which % inputs.len()]) else { return false };
        let Ok(batch) = core.read(inputs[which % inputs.len()], life.partition, *offset, most) else { return false };
        if batch.next_offset == *offset {
            return false;
        }
        *offset = batch.next_offset;
        self.tell(at, Event::Input(batch), core, mutant);
        true
    }

    /// The tables are read to their end, if an owner waits for that.
    pub fn tables_ready(&mut self, at: usize, core: &mut SimulatedCore, partitions: i32, mutant: Option<Mutant>) {
        if !std::mem::take(&mut self.lives[at].wants_tables) {
            return;
        }
        self.stalled = false;
        if mutant != Some(Mutant::TablesNotRead) {
            self.read_tables(core, partitions, usize::MAX, mutant);
        }
        self.tell(at, Event::TablesReady, core, mutant);
    }

    /// The oldest change that an owner does not know of. Answers whether there was one.
    pub fn tell_change(&mut self, at: usize, core: &mut SimulatedCore, mutant: Option<Mutant>) -> bool {
        let Some((topic, keys)) = self.lives[at].changes.pop_front() else { return false };
        self.tell(at, Event::Changed(topic, keys), core, mutant);
        true
    }
}
