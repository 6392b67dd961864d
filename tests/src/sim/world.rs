//! One simulated site on one thread from one seed: a log with faults, two to five router processes, inboxes, workers, and a judge who is
//! told all of it. What is drawn at a moment depends on that moment, so that a smaller script leaves much of the rest as it was.

use super::life::{Kind, Life, Process};
use super::mutant::Mutant;
use super::readers::{self, Inbox, Witness};
use super::topics::topics;
use domain::Clock;
use domain::mandate::in_force;
use eventlog::Append;
use eventlog::owner::{Event, Owner};
use eventlog::schemas::Schemas;
use eventlog::simulated::{Faults, Handle, SimulatedCore};
use events::time::{DAY_MS, HOUR_MS};
use events::topics::*;
use events::{Codec, Event as Arrival, Mandate, Millis};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use router::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use testkit::given;
use testkit::sim::script::{Deed, Finding, MANDATE, Seen, Step, What};
use testkit::sim::workers::Crew;

/// Nobody's clock or table may be further behind, in milliseconds: the judge allows an hour.
const BEHIND_MS: i64 = 10 * 60_000;
/// What the registry says is new for so long, in milliseconds.
const JUST_MS: i64 = 60_000;
/// Nothing is on its way for longer, in milliseconds.
const ON_THE_WAY_MS: i64 = 6 * HOUR_MS;
/// How often somebody plots after a step or a deed: in some worlds seldom, so that what is broken is not mended by the next owner.
const PLOTS: [f64; 3] = [0.03, 0.1, 0.3];
/// So many records of its partition an owner reads first when it takes over.
const FIRST_READ: usize = 3;

/// A site, and everybody at it.
pub(super) struct World<'a> {
    pub core: SimulatedCore,
    pub random: SmallRng,
    pub partitions: i32,
    pub mutant: Option<Mutant>,
    pub processes: Vec<Process>,
    /// By partition: who has it.
    pub assigned: Vec<usize>,
    /// How often each kind of trouble was made.
    pub counts: BTreeMap<&'static str, u64>,
    /// What is wrong that no judge is needed for.
    pub broken: Vec<Finding>,
    pub inboxes: Vec<Inbox>,
    pub witness: Witness,
    seed: u64,
    /// Moments at which trouble was made, and at which alone it may be; none: at all of them.
    pub moments: BTreeSet<i64>,
    troubled: Option<&'a BTreeSet<i64>>,
    moment: i64,
    linked_at: i64,
    /// How often somebody plots, and of trouble at random how much is made: shares of 1.
    plots: f64,
    pub lively: f64,
    /// It does not come to rest any more.
    pub stuck: bool,
    /// People want to know what becomes of processes.
    told: bool,
    told_of: BTreeSet<String>,
    writer: Handle,
    schemas: Arc<Schemas>,
    pub codec: Arc<Codec>,
    crew: Crew,
    mandate: Option<Mandate>,
    /// When mandates begin and end, in milliseconds.
    borders: Vec<i64>,
    deeds: BTreeMap<(Millis, u64), Deed>,
    sequence: u64,
    claims: u64,
    pub seen: &'a mut dyn FnMut(&Seen),
}

/// Who plays, and how.
pub(super) struct Cast<'a> {
    pub seed: u64,
    pub mutant: Option<Mutant>,
    pub crew: Crew,
    pub schemas: Arc<Schemas>,
    /// Trouble is made at these moments alone.
    pub troubled: Option<&'a BTreeSet<i64>>,
    /// What becomes of processes is told.
    pub told: bool,
}

impl<'a> World<'a> {
    pub fn new(cast: Cast<'a>, seen: &'a mut dyn FnMut(&Seen)) -> World<'a> {
        let Cast { seed, mutant, crew, schemas, troubled, told } = cast;
        let mut random = SmallRng::seed_from_u64(seed);
        let partitions = random.random_range(1..=3);
        let mut core = SimulatedCore::new(seed, Faults::default());
        let mut broken = Vec::new();
        for topic in topics(partitions, mutant) {
            broken.extend(core.create_topic(&topic).err().map(|error| Finding { law: 2, what: error.to_string() }));
        }
        let (writer, codec) = (core.open(), schemas.codec());
        let processes = random.random_range(2..=5);
        let (plots, lively) = (PLOTS[random.random_range(0..PLOTS.len())], [0.1, 0.5, 1.0][random.random_range(0..3)]);
        let mut world = World {
            core,
            partitions,
            mutant,
            processes: Vec::new(),
            assigned: (0..partitions as usize).map(|at| at % processes).collect(),
            counts: BTreeMap::new(),
            broken,
            inboxes: (0..3).map(|at| Inbox::new(partitions, at == 1 && mutant == Some(Mutant::ReaderTakesStale))).collect(),
            witness: Witness::new(partitions),
            random,
            seed,
            moments: BTreeSet::new(),
            troubled,
            moment: 0,
            linked_at: 0,
            plots,
            lively,
            stuck: false,
            told,
            told_of: BTreeSet::new(),
            writer,
            schemas,
            codec,
            crew,
            mandate: None,
            borders: Vec::new(),
            deeds: BTreeMap::new(),
            sequence: 0,
            claims: 0,
            seen,
        };
        for _ in 0..processes {
            let process = world.new_process();
            world.processes.push(process);
        }
        world
    }

    /// Plays a script to its end.
    pub fn play(&mut self, script: &[Step]) {
        let borders = |step: &Step| match &step.what {
            What::Mandate(mandate) => vec![step.at.0, mandate.valid_from.0, mandate.valid_until.0],
            _ => Vec::new(),
        };
        self.borders = script.iter().flat_map(borders).collect();
        let mut rested = Millis(0);
        for step in script {
            self.work_until(step.at);
            self.comes_to(step.at);
            if self.random.random_bool(0.15) && self.settle() && step.at.0 - rested.0 > DAY_MS {
                rested = step.at;
                self.rest();
            }
            let mut step = step.clone();
            step.at = self.now();
            (self.seen)(&Seen::Step(step.clone()));
            let place = self.write_step(step.what);
            if let Some(partition) = place.filter(|_| self.random.random_bool(0.8)) {
                self.move_under_way(partition as usize);
            }
            if self.random.random_bool(self.plots) {
                self.plot();
            }
            let moves = if self.random.random_bool(0.3) { 0 } else { self.random.random_range(0..40) };
            (0..moves).for_each(|_| self.make_move());
        }
        self.work_until(Millis(self.now().0 + DAY_MS));
        self.settle();
        self.rest();
        if self.random.random_bool(0.3) {
            self.begin_anew();
        }
        *self.counts.entry("stale records").or_default() += self.witness.stale;
    }

    /// Days go by, compaction leaves what it may leave, and others take over who hold nothing of their own.
    fn begin_anew(&mut self) {
        self.comes_to(Millis(self.now().0 + 3 * DAY_MS));
        self.compact_all();
        for at in 0..self.processes.len() {
            if self.processes[at].alive {
                self.kill(at, false);
            }
            self.processes[at].caches.clear();
        }
        self.settle();
        self.rest();
    }

    pub fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// For people alone.
    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if self.told {
            let now = self.now();
            (self.seen)(&Seen::Said(now, what()));
        }
    }

    /// Whether trouble may be made at this moment.
    pub fn may_trouble(&mut self) -> bool {
        let may = self.troubled.is_none_or(|moments| moments.contains(&self.moment));
        if may {
            self.moments.insert(self.moment);
        }
        may
    }

    pub fn now(&self) -> Millis {
        Millis(self.core.now_ms())
    }

    /// It has read nothing yet.
    pub fn new_process(&self) -> Process {
        Process::new(Site::told(self.schemas.clone(), given::signers(), Clock::Wall, self.partitions))
    }

    /// One step of the log, and what it stored is seen.
    pub fn step_core(&mut self) -> bool {
        let moved = self.core.step();
        if let Some(place) = self.core.stored_at() {
            let (now, told, mut said) = (self.now(), self.told, Vec::new());
            // The same position again and again tells nothing.
            let mut say = |what: &dyn Fn() -> String| {
                if told {
                    said.extend(Some(what()).filter(|what| self.told_of.insert(what.clone())).map(|what| Seen::Said(now, what)));
                }
            };
            if let Err(what) = self.witness.look(&self.core, &self.codec, place, &mut *self.seen, &mut say) {
                self.broken.push(Finding { law: 2, what });
            }
            said.iter().for_each(|one| (self.seen)(one));
        }
        moved
    }

    pub fn quiet_core(&mut self) {
        while self.step_core() {}
    }

    /// Written by a gateway, an importer, an inbox: they try until it stands.
    fn write(&mut self, topic: &'static str, partition: i32, key: &str, value: Option<Vec<u8>>) {
        let faults = std::mem::take(&mut self.core.faults);
        let (key, value) = (key.to_owned().into(), value.map(Into::into));
        let append = Append { topic: topic.into(), partition, key, value, ..Append::default() };
        if let Ok(ticket) = self.core.append(self.writer, vec![append]) {
            while self.core.answer(ticket).is_none() && self.step_core() {}
        }
        self.core.faults = faults;
    }

    fn write_keyed(&mut self, topic: &'static str, key: &str, value: Option<Vec<u8>>) {
        self.write(topic, partition_of(key.as_bytes(), self.partitions), key, value);
    }

    /// Answers the partition of an event that comes just after the registry has said something new.
    fn write_step(&mut self, what: What) -> Option<i32> {
        let codec = self.codec.clone();
        match what {
            What::Grid(code, grid) => self.write_keyed(GRIDS, &code, grid.map(|grid| codec.encode(&grid))),
            What::Entry(household, entry) => {
                self.write_keyed(HOUSEHOLDS, &household_key(MANDATE, &household), entry.map(|entry| codec.encode(&entry)));
            }
            What::Link(token, link) => {
                self.linked_at = self.now().0;
                self.write_keyed(IDENTIFIERS, &token.to_string(), link.map(|link| codec.encode(&link)));
            }
            What::Mandate(mandate) => {
                self.write_keyed(MANDATES, &mandate.id, Some(codec.encode(&mandate)));
                self.mandate = Some(mandate);
            }
            What::Policy(policy) => self.write_keyed(POLICIES, POLICY_KEY, Some(codec.encode(&policy))),
            What::Event(event, _) => {
                let head = event.head();
                let traveller = events::traveller_id(head.identifiers, head.destination.map(|to| &*to.grid)).unwrap_or_default();
                let partition = traveller_partition(&traveller, self.partitions);
                let value = match &*event {
                    Arrival::Checkpoint(event) => codec.encode(event),
                    Arrival::Highway(event) => codec.encode(event),
                    Arrival::Telecom(event) => codec.encode(event),
                };
                self.write(of_kind(event.kind()), partition, &traveller, Some(value));
                return Some(partition).filter(|_| self.now().0 - self.linked_at < JUST_MS);
            }
        }
        None
    }

    /// Workers do what is due by then.
    fn work_until(&mut self, until: Millis) {
        loop {
            // Workers who have not seen a task yet see it before days go by.
            let due = |world: &Self| world.deeds.first_key_value().is_some_and(|((at, _), _)| *at <= until);
            if !due(self) && until.0 - self.now().0 > ON_THE_WAY_MS {
                self.settle();
            }
            let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= until) else { return };
            let deed = entry.remove();
            self.comes_to(deed.at);
            let value = self.codec.encode(&deed.action);
            (self.seen)(&Seen::Deed(deed.clone()));
            self.write_keyed(ACTIONS, &deed.key, Some(value));
            if self.random.random_bool(self.plots) {
                self.plot();
            }
            (0..self.random.random_range(0..25)).for_each(|_| self.make_move());
        }
    }

    /// Time passes. Whoever runs knows it before anything else, as a tick a minute would have told.
    fn comes_to(&mut self, at: Millis) {
        let gap = at.0 - self.now().0;
        // What is sent under a mandate is not on its way still when that ends: the judge knows no such delay.
        let border = self.borders.iter().any(|border| (self.now().0..=at.0).contains(border));
        if gap > ON_THE_WAY_MS || border {
            self.settle();
        } else if gap > BEHIND_MS {
            self.finish_take_overs();
        }
        self.core.advance((at.0 - self.now().0).max(0));
        let seed = self.seed ^ (at.0 as u64).rotate_left(20);
        self.random = SmallRng::seed_from_u64(seed);
        self.core.reseed(seed);
        self.moment = at.0;
        self.core.faults = self.faults();
        if gap > BEHIND_MS {
            for at in 0..self.processes.len() {
                if self.processes[at].runs() {
                    // Nobody's road is slow for so long.
                    let handles: Vec<Handle> = self.processes[at].lives.iter().map(|life| life.handle).collect();
                    handles.into_iter().for_each(|handle| self.core.let_through(Some(handle)));
                    self.refresh(at);
                }
            }
        }
    }

    fn faults(&mut self) -> Faults {
        let bad = self.random.random_bool(0.3) && self.may_trouble();
        let share = |share: f64| if bad { share } else { 0.0 };
        Faults { lose: share(0.01), lose_answer: share(0.01), clean: 0.03 }
    }

    /// A process learns what time it is, and what the tables say.
    pub fn refresh(&mut self, at: usize) {
        let (now, mutant) = (self.now().0, self.mutant);
        self.processes[at].read_tables(&self.core, self.partitions, usize::MAX, mutant);
        for life in 0..self.processes[at].lives.len() {
            if self.processes[at].lives[life].owner.is_active() {
                self.processes[at].tell(life, Event::Tick(now), &mut self.core, mutant);
            }
        }
        self.quiet_core();
        for life in 0..self.processes[at].lives.len() {
            self.processes[at].read_own(life, usize::MAX, &mut self.core, mutant);
        }
    }

    /// Nobody is in the middle of a take-over when time passes.
    fn finish_take_overs(&mut self) {
        for at in 0..self.processes.len() {
            for life in 0..self.processes[at].lives.len() {
                self.take_over(at, life);
            }
        }
    }

    /// It becomes the owner, if nothing is in the way.
    pub fn take_over(&mut self, at: usize, life: usize) {
        for _ in 0..6 {
            let one = &self.processes[at].lives[life];
            if !self.processes[at].runs() || one.gone || one.owner.is_active() {
                return;
            }
            self.core.let_through(Some(one.handle));
            self.quiet_core();
            while self.processes[at].answer(life, 0, &mut self.core, self.mutant).is_some() {}
            // No log gives a whole partition at once.
            for most in [FIRST_READ, usize::MAX] {
                if !self.processes[at].lives[life].gone {
                    self.processes[at].read_own(life, most, &mut self.core, self.mutant);
                    self.processes[at].tables_ready(life, &mut self.core, self.partitions, self.mutant);
                }
            }
        }
        let one = &self.processes[at].lives[life];
        if one.owner.is_active() {
            let name = one.name();
            self.say(|| format!("process {at} owns {name}"));
        }
    }

    /// A process claims what is assigned to it and not claimed yet.
    pub fn claim(&mut self, at: usize) {
        for partition in 0..self.partitions {
            for kind in Kind::ALL {
                let holds = self.processes[at].lives.iter().any(|life| life.kind == kind && life.partition == partition && !life.gone);
                if self.assigned[partition as usize] != at || !self.processes[at].runs() || holds {
                    continue;
                }
                let (cached, newest) = (self.random.random_bool(0.85), self.random.random_bool(0.6));
                let cache = self.processes[at].cache(&self.core, kind, partition, newest).filter(|_| cached);
                if cache.is_some() {
                    self.note(if newest { "newest caches used" } else { "old caches used" });
                }
                self.claims += 1;
                let logic = kind.logic(self.processes[at].site.clone(), self.mutant);
                let (rules, claim) = (Mutant::rules(self.mutant), format!("claim-{}", self.claims));
                let fold = eventlog::fencing::Fold { highest_epoch: cache.as_ref().map_or(0, |cache| cache.highest_epoch) };
                let (owner, commands) = Owner::new(kind.topic(), partition, kind.inputs().to_vec(), rules, logic, &claim, cache);
                let (handle, tail) = (self.core.open(), owner.tail());
                self.say(|| format!("process {at} claims {:?} {partition} by {claim}, reads from {tail}", kind));
                let process = &mut self.processes[at];
                process.lives.push(Life {
                    kind,
                    partition,
                    owner,
                    handle,
                    tail,
                    inputs: None,
                    under_way: Vec::new(),
                    wants_tables: false,
                    changes: Default::default(),
                    gone: false,
                    fold,
                });
                process.obey(process.lives.len() - 1, commands, &mut self.core, self.mutant);
            }
        }
    }

    /// An inbox reads on; the first one's workers see what is new.
    pub fn read_inbox(&mut self, which: usize, partition: usize, most: usize) {
        let skip = which == 2 && self.mutant == Some(Mutant::ReaderSkips) && self.random.random_bool(0.1);
        let from = readers::From { core: &self.core, codec: &self.codec, witness: &self.witness };
        let new = self.inboxes[which].read(&from, partition, most, skip);
        if which == 0 {
            self.show(new);
        }
    }

    pub fn show(&mut self, new: Vec<(String, events::Task)>) {
        let now = self.now();
        if !self.mandate.as_ref().is_some_and(|mandate| in_force(mandate, now)) {
            return;
        }
        for (key, task) in new {
            for deed in self.crew.see(&key, &task, now, &task.task_id) {
                self.sequence += 1;
                self.deeds.insert((deed.at, self.sequence), deed);
            }
        }
    }
}
