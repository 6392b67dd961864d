//! A script played on the pure core alone: keepers and households as maps, messages in queues that a seed delays, mixes and repeats; no
//! log, no owners. It shows in seconds whether rules and judge agree, carries a large city, and takes deliberate bugs, so that the
//! judge itself is judged.

mod bugs;

pub use bugs::Bug;

use super::city::City;
use super::oracle::Judge;
use super::script::{Deed, Finding, MANDATE, Seen, Step, What};
use super::shrink;
use super::workers::Crew;
use crate::given;
use bugs::Hand;
use domain::household::{self, Context, Effects, Input};
use domain::{Clock, mandate, resolve, traveller};
use events::time::{DAY_MS, HOUR_MS};
use events::topics::{household_key, split_key};
use events::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How often a script is played at most to make it smaller.
const TRIES_MAX: usize = 3000;

/// What is on its way to one household or keeper, in order.
#[derive(Clone, Debug)]
enum Letter {
    Arrival(Arrival),
    Action(Box<Action>),
    Tables,
    Time,
    Return(Return),
}

/// How a script is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// Who comes first, what waits, what comes twice.
    pub seed: u64,
    /// A deliberate bug.
    pub bug: Option<Bug>,
    /// Everything is delivered before the next step, and comes to rest only so often, in milliseconds: for large cities.
    pub calm: Option<i64>,
}

/// The site.
struct Site<'a> {
    now: Millis,
    seed: u64,
    random: SmallRng,
    calm: bool,
    hand: Hand,
    policy: Policy,
    mandate: Option<Mandate>,
    grids: HashMap<String, GridEntry>,
    entries: HashMap<String, HouseholdEntry>,
    links: HashMap<Token, IdentifierLink>,
    travellers: HashMap<String, Traveller>,
    by_token: HashMap<Token, Vec<String>>,
    households: HashMap<String, Task>,
    /// When time alone changes which household; a moment that is no longer true does nothing.
    due: BTreeSet<(Millis, usize)>,
    queues: BTreeMap<usize, VecDeque<Letter>>,
    /// Households and travellers in the order in which they first came: whose turn it is depends on no token.
    names: Vec<String>,
    /// Their places there.
    numbers: HashMap<String, usize>,
    deeds: BTreeMap<(Millis, u64), Deed>,
    crew: Crew,
    sequence: u64,
    seen: &'a mut dyn FnMut(&Seen),
}

/// Plays a script to its end, with the crew at work, and tells `seen` all that a judge is told. Comes back with the crew.
pub fn play(script: impl Iterator<Item = Step>, crew: Crew, how: Play, seen: &mut dyn FnMut(&Seen)) -> Crew {
    let mut site = Site {
        now: Millis(0),
        seed: how.seed,
        random: SmallRng::seed_from_u64(how.seed),
        calm: how.calm.is_some(),
        hand: Hand::new(how.bug),
        policy: domain::policy::default_policy(),
        mandate: None,
        grids: HashMap::new(),
        entries: HashMap::new(),
        links: HashMap::new(),
        travellers: HashMap::new(),
        by_token: HashMap::new(),
        households: HashMap::new(),
        due: BTreeSet::new(),
        queues: BTreeMap::new(),
        names: Vec::new(),
        numbers: HashMap::new(),
        deeds: BTreeMap::new(),
        crew,
        sequence: 0,
        seen,
    };
    let mut rested = Millis(0);
    for step in script {
        site.work_until(step.at);
        site.comes_to(step.at);
        let due = step.at.0 - rested.0 > how.calm.unwrap_or(DAY_MS);
        if how.calm.is_none() && site.random.random_bool(0.75) {
            for _ in 0..site.random.random_range(0..6) {
                site.deliver_one();
            }
        } else {
            site.settle();
            if due && (how.calm.is_some() || site.random.random_bool(0.5)) {
                rested = step.at;
                (site.seen)(&Seen::Rest(site.now));
            }
        }
        (site.seen)(&Seen::Step(step.clone()));
        site.step(step.what);
    }
    let end = Millis(site.now.0 + DAY_MS);
    site.work_until(end);
    site.settle();
    (site.seen)(&Seen::Rest(site.now));
    let view = site.hand.view(site.households.iter().map(|(name, task)| (household_key(MANDATE, name), task.clone())).collect());
    if how.calm.is_none() {
        (site.seen)(&Seen::View("a reader".into(), view));
    }
    site.crew
}

impl Site<'_> {
    /// What is drawn from now on depends on this moment, not on what was drawn before: a smaller script leaves the rest as it was.
    fn comes_to(&mut self, at: Millis) {
        self.now = self.now.max(at);
        self.random = SmallRng::seed_from_u64(self.seed ^ (at.0 as u64).rotate_left(20));
        while let Some((_, household)) = self.due.first().filter(|(due, _)| *due <= self.now).copied() {
            self.due.pop_first();
            self.queues.entry(household).or_default().push_back(Letter::Time);
        }
    }

    /// Workers do what is due by then. Nothing is on its way for days.
    fn work_until(&mut self, until: Millis) {
        loop {
            let next = self.deeds.first_key_value().map_or(until, |((at, _), _)| until.min(*at));
            if next.0 - self.now.0 > DAY_MS && !self.queues.is_empty() {
                self.settle();
                continue;
            }
            let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= until) else { return };
            let deed = entry.remove();
            self.comes_to(deed.at);
            (self.seen)(&Seen::Deed(deed.clone()));
            if let Some((_, household)) = split_key(&deed.key).filter(|_| !self.hand.loses(Bug::ActionLost, &mut self.random)) {
                self.send(household, Letter::Action(Box::new(deed.action)));
            }
            if self.random.random_bool(0.7) {
                self.settle();
            }
        }
    }

    fn send(&mut self, to: &str, letter: Letter) {
        let number = self.number(to);
        self.queues.entry(number).or_default().push_back(letter);
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    fn settle(&mut self) {
        while self.deliver_one() {}
    }

    /// The next letter of some queue; now and then it comes twice.
    fn deliver_one(&mut self) -> bool {
        if self.queues.is_empty() {
            return false;
        }
        // Of a large city's many queues it is the first one's turn, at no search.
        let which = if self.calm { 0 } else { self.random.random_range(0..self.queues.len()) };
        let Some(number) = self.queues.keys().nth(which).copied() else { return false };
        let twice = self.random.random_bool(0.03);
        let Some(queue) = self.queues.get_mut(&number) else { return false };
        let letter = if twice { queue.front().cloned() } else { queue.pop_front() };
        if queue.is_empty() {
            self.queues.remove(&number);
        }
        let to = self.names[number].clone();
        match letter {
            Some(Letter::Arrival(arrival)) => self.apply(&to, &Input::Arrival(&arrival)),
            Some(Letter::Action(action)) => self.apply(&to, &Input::Action(&action)),
            Some(Letter::Tables) => self.apply(&to, &Input::Tables),
            Some(Letter::Time) => self.apply(&to, &Input::Time),
            Some(Letter::Return(message)) => self.returned(&to, message),
            None => {}
        }
        true
    }

    fn step(&mut self, what: What) {
        match what {
            What::Grid(code, entry) => {
                match entry {
                    Some(entry) => drop(self.grids.insert(code.clone(), entry)),
                    None => drop(self.grids.remove(&code)),
                }
                // In a large city there is always some grid that changes, and hardly anybody whom that concerns.
                let calm = self.calm;
                self.judge_all_again(|task| !calm || names(task, &code));
            }
            What::Entry(household, entry) => {
                match entry {
                    Some(entry) => drop(self.entries.insert(household.clone(), entry)),
                    None => drop(self.entries.remove(&household)),
                }
                self.judge_again(&household);
            }
            What::Link(token, link) => {
                match link {
                    Some(link) => drop(self.links.insert(token, link)),
                    None => drop(self.links.remove(&token)),
                }
                for id in self.by_token.get(&token).cloned().unwrap_or_default() {
                    self.look_again(&id);
                }
            }
            What::Mandate(mandate) => {
                self.mandate = Some(mandate);
                self.judge_all_again(|_| true);
            }
            What::Policy(policy) => {
                self.policy = policy;
                self.judge_all_again(|_| true);
            }
            What::Event(event, _) => self.event(&event),
        }
    }

    fn judge_all_again(&mut self, concerned: impl Fn(&Task) -> bool) {
        let all = self.households.iter().filter(|(_, task)| concerned(task));
        let mut households: Vec<String> = all.map(|(household, _)| household.clone()).collect();
        households.sort_by_key(|household| self.numbers.get(household).copied());
        households.iter().for_each(|household| self.judge_again(household));
    }

    fn judge_again(&mut self, household: &str) {
        if self.households.contains_key(household) && !self.hand.loses(Bug::TablesNotAsked, &mut self.random) {
            self.send(household, Letter::Tables);
        }
    }

    fn place(&self, identifiers: &[Identifier], declared: Option<&Destination>) -> String {
        let declared = declared.map(|declared| &*declared.grid).filter(|_| self.hand.bug != Some(Bug::DestinationIgnored));
        resolve::resolve(identifiers, declared, |identifier| self.links.get(&identifier.token).map(Cow::Borrowed)).to_string()
    }

    fn event(&mut self, event: &Event) {
        let head = event.head();
        let declared = head.destination.cloned();
        let declared_grid = declared.as_ref().map(|declared| &*declared.grid);
        let Some(id) = traveller_id(head.identifiers, declared_grid).map(|id| id.to_string()) else { return };
        let allowed = |at| self.mandate.as_ref().is_some_and(|mandate| mandate::within_dates(mandate, at));
        if !(allowed(head.received_at) && allowed(self.now) || self.hand.bug == Some(Bug::MandateNotAsked)) {
            let (event_id, code, at, policy) = (head.event_id, Code::MandateEnded, self.now, 0);
            let (mandate, reason) = (MANDATE.into(), "no mandate was in force".into());
            let decision = Decision { event_id, mandate, code, revision: 0, reason, grid: None, task_id: None, policy, at };
            return (self.seen)(&Seen::Decision(decision));
        }
        if !self.travellers.contains_key(&id) {
            let place = self.place(head.identifiers, declared.as_ref());
            self.number(&id);
            for identifier in head.identifiers {
                self.by_token.entry(identifier.token).or_default().push(id.clone());
            }
            self.travellers.insert(id.clone(), traveller::first_record(head.identifiers.to_vec(), declared, place.into()));
        }
        let signal = self.hand.signal(traveller::signal(event, self.now));
        let Some(record) = self.travellers.get_mut(&id) else { return };
        let message = traveller::events(record, vec![signal]);
        if message.is_none() && self.hand.bug == Some(Bug::CarriedLost) {
            record.carried.clear();
        }
        self.tell(&id, message);
    }

    /// A keeper's message goes to the traveller's place; what was carried is delivered with it.
    fn tell(&mut self, id: &str, message: Option<ArrivalMessage>) {
        let (Some(message), Some(record)) = (message, self.travellers.get_mut(id)) else { return };
        let (place, version) = (record.place.to_string(), record.version);
        if matches!(message, ArrivalMessage::Here(_)) {
            traveller::delivered(record, version);
        }
        if matches!(message, ArrivalMessage::Here(_)) && self.hand.loses(Bug::HereLost, &mut self.random) {
            return;
        }
        self.send(&place, Letter::Arrival(Arrival { traveller: given::traveller_id(id), version, message }));
    }

    fn look_again(&mut self, id: &str) {
        let Some(record) = self.travellers.get(id) else { return };
        let place = self.place(&record.identifiers, record.declared.as_ref());
        let Some(record) = self.travellers.get_mut(id) else { return };
        if record.leaving {
            return;
        }
        let message = traveller::table_says(record, &place, self.now);
        self.tell(id, message.clone());
        if let (Some(_), Some(Bug::MovedAtOnce)) = (message, self.hand.bug)
            && let Some(record) = self.travellers.get_mut(id)
        {
            let task = self.households.get(&*record.place);
            let stay = task.and_then(|task| task.stays.iter().find(|stay| *stay.traveller == *id));
            let signals = stay.map(|stay| stay.signals.clone()).unwrap_or_default();
            let left = Left { version: record.version, signals, pushed_out: vec![], covers: vec![] };
            let message = traveller::left(record, &left, || place.as_str().into());
            self.tell(id, message);
        }
    }

    fn returned(&mut self, id: &str, Return { message }: Return) {
        let Some(record) = self.travellers.get(id) else { return };
        let place = self.place(&record.identifiers, record.declared.as_ref());
        let Some(record) = self.travellers.get_mut(id) else { return };
        let message = match message {
            ReturnMessage::Left(left) => traveller::left(record, &self.hand.left(left), || place.into()),
            ReturnMessage::Covered(_) if self.hand.bug == Some(Bug::CoveredNotPassedOn) => None,
            ReturnMessage::Covered(covered) => traveller::covered(record, &covered.cover),
        };
        self.tell(id, message);
        // The table may have moved on while the traveller was leaving.
        self.look_again(id);
    }

    fn apply(&mut self, household: &str, input: &Input<'_>) {
        if self.hand.ignores(input) {
            return;
        }
        let before = self.households.remove(household);
        let known = before.is_some();
        let mut task = before.unwrap_or_else(|| household::new_task(MANDATE, household));
        self.hand.before(&mut task, input);
        let (policy, mandate) = (self.hand.policy(&self.policy), self.hand.mandate(self.mandate.as_ref()));
        let entry = self.hand.entry(household, self.entries.get(household));
        let context = Context {
            now: self.now,
            clock: Clock::Wall,
            policy: &policy,
            mandate: mandate.as_deref(),
            entry: entry.as_ref().map(|entry| household::Entry { version: entry.version, grid: &entry.grid }),
            grids: &self.grids,
            settled: true,
        };
        let Effects { decisions, mut left, mut covered, links: _, changed } = household::apply(&mut task, input, &context);
        left.sort_by_key(|(id, _)| self.numbers.get(id.as_str()).copied());
        covered.sort_by_key(|(id, _)| self.numbers.get(id.as_str()).copied());
        household::acknowledged(&mut task);
        self.hand.after(&mut task, &mut self.random);
        let key = household_key(MANDATE, household);
        if changed || !known {
            (self.seen)(&Seen::Task(self.now, key.clone(), Some(Box::new(task.clone()))));
            if self.mandate.as_ref().is_some_and(|mandate| mandate::in_force(mandate, self.now)) {
                // What a worker does at a pseudo-household depends on no token either.
                let number = self.numbers.get(household).copied().unwrap_or_default();
                let draws_by = if household.starts_with('~') { format!("{number}/{}", task.episode) } else { task.task_id.to_string() };
                for deed in self.crew.see(&key, &task, self.now, &draws_by) {
                    self.sequence += 1;
                    self.deeds.insert((deed.at, self.sequence), deed);
                }
            }
        }
        if let Some(due) = household::due(&task, &self.policy, Clock::Wall) {
            let number = self.number(household);
            self.due.insert((due, number));
        }
        self.households.insert(household.to_owned(), task);
        for decision in decisions {
            if !self.hand.loses(Bug::DecisionLost, &mut self.random) {
                (self.seen)(&Seen::Decision(decision));
            }
        }
        for (id, left) in left {
            self.send(&id, Letter::Return(Return { message: ReturnMessage::Left(left) }));
        }
        for (id, covered) in covered {
            self.send(&id, Letter::Return(Return { message: ReturnMessage::Covered(covered) }));
        }
    }
}

/// Whether it may be in a grid, now or when that changes.
fn names(task: &Task, grid: &str) -> bool {
    let declared = task.stays.iter().filter_map(|stay| stay.declared.as_ref()).map(|declared| &declared.grid);
    let handed_back = task.handed_back.iter().filter_map(|handed_back| handed_back.to_grid.as_ref());
    task.grid.iter().chain(&task.entry_grid).chain(handed_back).chain(declared).any(|name| **name == *grid)
}

/// A judge who wants every visit ended by the clock alone: here each household is told the time when something is due.
fn by_the_clock() -> Judge {
    let mut judge = Judge::new(HOUR_MS);
    judge.expires_by_the_clock = true;
    judge
}

/// A small world from one seed, played and judged: what is wrong, and how often each kind of thing happened.
pub fn judge(seed: u64, bug: Option<Bug>) -> (Vec<Finding>, BTreeMap<&'static str, u64>) {
    let mut city = City::small(seed);
    let (grids, mut judge) = (city.grids(), by_the_clock());
    let crew = play(city.by_ref(), Crew::new(seed, grids), Play { seed, bug, calm: None }, &mut |seen| judge.see(seen));
    let mut counts = city.counts;
    counts.extend(crew.counts);
    (judge.findings, counts)
}

/// The smallest history that was found in which the world of this seed goes wrong in the same way, and what is wrong with it; none: it
/// is clean.
pub fn explain(seed: u64, bug: Option<Bug>) -> Option<String> {
    let city = City::small(seed);
    let grids = city.grids();
    let again = |steps: &[Step]| {
        let (mut judge, mut history) = (by_the_clock(), Vec::new());
        play(steps.iter().cloned(), Crew::new(seed, grids.clone()), Play { seed, bug, calm: None }, &mut |seen| {
            judge.see(seen);
            history.push(seen.clone());
        });
        (judge.findings, history)
    };
    let steps: Vec<Step> = city.collect();
    let kind = again(&steps).0.first()?.kind();
    let small = shrink::shrink(&steps, TRIES_MAX, |steps| again(steps).0.iter().any(|finding| finding.kind() == kind));
    let (findings, history) = again(&small);
    let wrong: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Some(format!("seed {seed}, {} of {} steps\n{}{}\n", small.len(), steps.len(), shrink::tell(&history), wrong.join("\n")))
}
