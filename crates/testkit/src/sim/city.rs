//! The city itself: an endless source of steps from one seed, in the order of time, made day by day so that a large city needs no
//! more memory than its people.

mod changes;

use super::journeys::{Agencies, Report};
use super::people::{People, grid_name};
use super::registry::{Registry, grid_entry};
use super::script::{DAY_0, Step, Truth, What, token};
use super::troubles::{self, INSIDE, OUTSIDE};
use domain::mandate::in_force;
use events::time::{DAY_MS, HOUR_MS};
use events::{Event, IdentifierLink, Mandate, Millis, SourceKind};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// How long a gateway may not know that a mandate is over, in milliseconds.
const GATEWAY_LAG_MS: i64 = 40 * 60_000;

/// How large the city is, and how lively.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Households at the beginning.
    pub households: usize,
    /// Grids; the last may lie outside the mandate.
    pub grids: usize,
    /// Days after which nobody travels any more.
    pub days: i64,
    /// Journeys of one household on one day.
    pub journeys: f64,
    /// Changes of the registry on one day, in the whole city.
    pub changes: f64,
    /// Policies and mandates change.
    pub troubled: bool,
}

impl Plan {
    /// A world that is judged as a whole: 2 to 8 households, some dozens of events.
    pub fn small(random: &mut SmallRng) -> Plan {
        let (households, days) = (random.random_range(2..=8), random.random_range(3..=36));
        let journeys = f64::from(random.random_range(4..=14)) / (households as f64 * days as f64);
        let changes = f64::from(random.random_range(0..=8)) / days as f64;
        Plan { households, grids: random.random_range(2..=4), days, journeys, changes, troubled: true }
    }

    /// A city of so many households.
    pub fn large(households: usize, days: i64) -> Plan {
        let grids = (households / 300).max(2);
        Plan { households, grids, days, journeys: 0.06, changes: households as f64 / 2000.0, troubled: false }
    }
}

#[expect(clippy::large_enum_variant, reason = "most are ready, and those are the large ones")]
enum Pending {
    Ready(What),
    Report(Box<Event>, Truth),
    /// Households and people whom an import publishes as they are then.
    Import(Vec<usize>, Vec<usize>),
}

/// The city, as an iterator over its steps.
pub struct City {
    /// How often each kind of thing was made, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Events that the gateway did not take: no mandate was in force.
    pub refused: u64,
    random: SmallRng,
    plan: Plan,
    people: People,
    agencies: Agencies,
    registry: Registry,
    mandate: Option<Mandate>,
    mandate_since: Millis,
    day: i64,
    sequence: u64,
    order: BinaryHeap<Reverse<(Millis, u64)>>,
    pending: BTreeMap<u64, Pending>,
    ready: VecDeque<Step>,
    /// The newest households that travelled.
    travelled: VecDeque<usize>,
}

impl City {
    /// A city of this plan.
    pub fn new(seed: u64, plan: Plan) -> City {
        City::build(SmallRng::seed_from_u64(seed), plan)
    }

    /// A small world: the plan comes from the seed, too.
    pub fn small(seed: u64) -> City {
        let mut random = SmallRng::seed_from_u64(seed);
        let plan = Plan::small(&mut random);
        City::build(random, plan)
    }

    /// The grids' codes.
    pub fn grids(&self) -> Vec<String> {
        (0..self.plan.grids).map(grid_name).collect()
    }

    fn build(mut random: SmallRng, plan: Plan) -> City {
        let mut counts = BTreeMap::new();
        let mut note = |what| *counts.entry(what).or_insert(0) += 1;
        let people = People::settle(&mut random, plan.households, plan.grids, &mut note);
        let governs = troubles::plan(&mut random, DAY_0, plan.days, plan.troubled, &mut note);
        let outages = outages(&mut random, &plan);
        let mut city = City {
            counts,
            refused: 0,
            agencies: Agencies::new(outages, 0.06),
            random,
            plan,
            people,
            registry: Registry::default(),
            mandate: None,
            mandate_since: DAY_0,
            day: 0,
            sequence: 0,
            order: BinaryHeap::new(),
            pending: BTreeMap::new(),
            ready: VecDeque::new(),
            travelled: VecDeque::new(),
        };
        city.found(governs);
        city
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    fn push(&mut self, at: Millis, pending: Pending) {
        self.order.push(Reverse((at, self.sequence)));
        self.pending.insert(self.sequence, pending);
        self.sequence += 1;
    }

    /// Grids, what governs, the first import.
    fn found(&mut self, governs: Vec<(Millis, What)>) {
        for grid in 0..self.plan.grids {
            let outside = grid > 0 && grid + 1 == self.plan.grids && self.random.random_bool(0.4);
            if outside {
                self.note("grid outside");
            }
            let division = if outside { OUTSIDE } else { INSIDE[grid % INSIDE.len()] };
            self.push(DAY_0, Pending::Ready(What::Grid(grid_name(grid), Some(grid_entry(grid, division, DAY_0)))));
        }
        for (at, what) in governs {
            self.push(at, Pending::Ready(what));
        }
        for household in 0..self.plan.households {
            self.push(DAY_0, Pending::Import(vec![household], vec![]));
            if !self.people.households[household].has_entry {
                let at = self.later(DAY_0, 1, 72);
                self.push(at, Pending::Import(vec![household], vec![]));
            }
        }
        if self.random.random_bool(0.15) && !self.people.phones.is_empty() {
            self.note("common identifier");
            let phone = self.random.random_range(0..self.people.phones.len());
            let common = IdentifierLink { mandate: super::script::MANDATE.into(), links: vec![], common: true };
            let at = Millis(DAY_0.0 + 1);
            self.push(at, Pending::Ready(What::Link(token(&format!("f{}", phone + 1)), Some(common))));
        }
    }

    fn later(&mut self, at: Millis, hours_min: i64, hours_max: i64) -> Millis {
        Millis(at.0 + self.random.random_range(hours_min * HOUR_MS..hours_max * HOUR_MS))
    }

    fn live_a_day(&mut self) {
        let midnight = Millis(DAY_0.0 + self.day * DAY_MS);
        self.day += 1;
        for _ in 0..self.draws(self.plan.changes) {
            self.change(midnight);
        }
        for home in self.people.present() {
            for _ in 0..self.draws(self.plan.journeys) {
                let at = self.later(midnight, 6, 22);
                self.travelled.truncate(7);
                self.travelled.push_front(home);
                self.journey(|agencies, random, people, note| agencies.household(random, people, home, at, note));
            }
            let commutes = self.people.households[home].people.iter().any(|person| self.people.people[*person].commutes);
            if commutes && self.day % 7 < 5 && self.random.random_bool(0.25) {
                self.note("commuter");
                let at = self.later(midnight, 17, 20);
                self.journey(|agencies, random, people, note| agencies.household(random, people, home, at, note));
            }
        }
        let strangers = self.draws(self.plan.journeys * self.plan.households as f64 * 0.15);
        for _ in 0..strangers {
            let Some(host) = self.people.somebody(&mut self.random) else { continue };
            let at = self.later(midnight, 6, 22);
            self.journey(|agencies, random, people, note| agencies.strangers(random, people, host, at, note));
        }
    }

    fn journey(&mut self, travel: impl FnOnce(&mut Agencies, &mut SmallRng, &People, &mut dyn FnMut(&'static str)) -> Vec<Report>) {
        let counts = &mut self.counts;
        let mut note = |what| *counts.entry(what).or_insert(0) += 1;
        for report in travel(&mut self.agencies, &mut self.random, &self.people, &mut note) {
            self.push(report.at, Pending::Report(Box::new(report.event), report.truth));
        }
    }

    /// How often something happens that happens so often on average.
    fn draws(&mut self, mean: f64) -> usize {
        mean as usize + usize::from(self.random.random_bool(mean.fract().clamp(0.0, 1.0)))
    }

    fn happen(&mut self, at: Millis, pending: Pending) {
        match pending {
            Pending::Ready(what) => {
                if let What::Mandate(mandate) = &what {
                    self.mandate_since = at;
                    self.mandate = Some(mandate.clone());
                }
                self.ready.push_back(Step { at, what });
            }
            Pending::Import(households, people) => {
                for household in &households {
                    self.people.households[*household].has_entry |= at > DAY_0;
                }
                let steps = self.registry.import(&self.people, &households, &people, at);
                self.ready.extend(steps.into_iter().map(|what| Step { at, what }));
            }
            Pending::Report(event, truth) => {
                if self.gateway_takes(at) {
                    self.ready.push_back(Step { at, what: What::Event(event, truth) });
                } else {
                    self.refused += 1;
                }
            }
        }
    }

    /// In force, or not for long enough that every gateway knows.
    fn gateway_takes(&mut self, at: Millis) -> bool {
        let Some(mandate) = &self.mandate else { return false };
        let takes = in_force(mandate, at);
        let since = if at >= mandate.valid_until { mandate.valid_until } else { self.mandate_since };
        let does_not_know = !takes && at.0 - since.0 < GATEWAY_LAG_MS;
        if does_not_know {
            self.note("from a gateway that did not know");
        }
        takes || does_not_know
    }
}

impl Iterator for City {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            let lived = Millis(DAY_0.0 + self.day * DAY_MS);
            let due = self.order.peek().map(|Reverse((at, _))| *at);
            // Nothing of a day that has not been lived yet can arrive before its midnight.
            if self.day < self.plan.days && due.is_none_or(|at| at >= lived) {
                self.live_a_day();
                continue;
            }
            let Reverse((at, number)) = self.order.pop()?;
            if let Some(pending) = self.pending.remove(&number) {
                self.happen(at, pending);
            }
        }
    }
}

/// In a small world each agency may lose its line once, in a large one every ten days.
fn outages(random: &mut SmallRng, plan: &Plan) -> Vec<(SourceKind, Millis, Millis)> {
    let mut outages = Vec::new();
    for kind in [SourceKind::Checkpoint, SourceKind::Highway, SourceKind::Telecom] {
        let share = if plan.troubled { 0.3 } else { 1.0 };
        for decade in 0..(plan.days / 10).max(1) {
            if random.random_bool(share) {
                let from = DAY_0.0 + decade * 10 * DAY_MS + random.random_range(0..9 * DAY_MS);
                outages.push((kind, Millis(from), Millis(from + random.random_range(HOUR_MS..6 * DAY_MS))));
            }
        }
    }
    outages
}
