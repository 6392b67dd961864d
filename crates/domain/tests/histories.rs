//! The histories on the pure core: keepers and households as maps, messages as a queue. No log, no time but the events' own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use domain::household::{self, Context, Effects, Input};
use domain::{Clock, policy, resolve, traveller};
use events::time::DAY_MS;
use events::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use testkit::given;
use testkit::histories::{self, Act, Sighting, Step};

const DAY_0: i64 = 1_767_542_400_000;

fn moment(day: f64) -> Millis {
    Millis(DAY_0 + (day * DAY_MS as f64).round() as i64)
}

fn token(name: &str) -> Token {
    let digest = ids::digest64(&[name.as_bytes()]).to_be_bytes();
    Token(std::array::from_fn(|at| digest[at % 8]))
}

fn identifier(name: &str) -> Identifier {
    let kind = match name.split(':').next() {
        Some("id") => IdentifierKind::ResidentId,
        Some("phone") => IdentifierKind::Phone,
        Some("plate") => IdentifierKind::Plate,
        _ => IdentifierKind::Address,
    };
    Identifier { kind, token: token(name) }
}

enum Letter {
    Arrival(Text, Arrival),
    Return(TravellerId, Return),
}

struct World {
    policy: Policy,
    mandate: Mandate,
    grids: HashMap<String, GridEntry>,
    entries: BTreeMap<String, HouseholdEntry>,
    links: BTreeMap<Token, IdentifierLink>,
    /// By token and household.
    doors: BTreeMap<(Token, Text), IdentifierLink>,
    travellers: BTreeMap<TravellerId, Traveller>,
    households: BTreeMap<Text, Task>,
    letters: VecDeque<Letter>,
    decisions: BTreeMap<EventId, Vec<Decision>>,
    sightings: BTreeMap<&'static str, Sighting>,
    /// The task that an event belonged to at first.
    tasks: BTreeMap<&'static str, (Text, TaskId)>,
    actions: usize,
}

impl World {
    fn new() -> World {
        let grid = |division: &str| GridEntry {
            name: String::new(),
            community: format!("{division}001001"),
            community_name: String::new(),
            subdistrict: format!("{division}001"),
            division: division.into(),
            workers: 1,
            published_at: Millis(1),
        };
        let entry = |grid: &str| HouseholdEntry { version: 1, grid: grid.into(), address: None, contact: None };
        let text = "id='m'\nversion=1\ntitle='t'\nlegal_basis='l'\nissued_by='i'\npurposes=['p']\nsources=['*']\nfields=['*']\ndivisions=['*']\n\
                    max_households=9\nvalid_from='2025-01-01T00:00:00Z'\nvalid_until='2027-01-01T00:00:00Z'";
        World {
            policy: policy::default_policy(),
            mandate: domain::mandate::from_toml(text).unwrap(),
            grids: HashMap::from([("g1".into(), grid("330106")), ("g2".into(), grid("330107"))]),
            entries: BTreeMap::from([("A".into(), entry("g1")), ("B".into(), entry("g2"))]),
            links: BTreeMap::new(),
            doors: BTreeMap::new(),
            travellers: BTreeMap::new(),
            households: BTreeMap::new(),
            letters: VecDeque::new(),
            decisions: BTreeMap::new(),
            sightings: BTreeMap::new(),
            tasks: BTreeMap::new(),
            actions: 0,
        }
    }

    fn place(&self, identifiers: &[Identifier], declared: Option<&str>) -> Text {
        resolve::resolve(identifiers, declared, |identifier| {
            let token = identifier.token;
            let doors = self.doors.iter().filter(|((of, _), _)| *of == token).map(|(_, link)| link.clone());
            resolve::merge_links(self.links.get(&token).cloned(), doors).map(Cow::Owned)
        })
    }

    fn see(&mut self, sighting: &Sighting) {
        let mut identifiers: Vec<Identifier> = sighting.identifiers.iter().map(|name| identifier(name)).collect();
        let declared = sighting.to.map(|(grid, address)| {
            identifiers.extend(address.map(identifier));
            Destination { division: "330106".into(), grid: grid.into(), address: None }
        });
        let id = traveller_id(&identifiers, declared.as_ref().map(|declared| declared.grid.as_str())).unwrap();
        let observed_at = moment(sighting.day);
        let passage = format!("{:?}{}{:?}", sighting.kind, observed_at.0, identifiers);
        let signal = Signal {
            event_id: Fixed16(token(sighting.event).0),
            digest: ids::digest64(&[passage.as_bytes()]),
            direction: if sighting.out { Direction::Out } else { Direction::In },
            ..given::signal(sighting.kind, 0, observed_at)
        };
        let place = self.place(&identifiers, declared.as_ref().map(|declared| declared.grid.as_str()));
        let record = self.travellers.entry(id).or_insert_with(|| traveller::first_record(identifiers, declared, place));
        if let Some(message) = traveller::events(record, vec![signal]) {
            let arrival = Arrival { traveller: id, version: record.version, message };
            self.letters.push_back(Letter::Arrival(record.place.clone(), arrival));
        }
    }

    fn apply(&mut self, household: &str, input: &Input<'_>) {
        let task = self.households.entry(household.into()).or_insert_with(|| household::new_task("m", household));
        let context = Context {
            now: Millis(0),
            clock: Clock::Events,
            policy: &self.policy,
            mandate: Some(&self.mandate),
            entry: self.entries.get(household).map(|entry| household::Entry { version: entry.version, grid: &entry.grid }),
            grids: &self.grids,
            settled: true,
        };
        let Effects { decisions, left, covered, links, .. } = household::apply(task, input, &context);
        domain::invariants::check(task).unwrap();
        household::acknowledged(task);
        let changed = !links.is_empty();
        for (token, link) in links {
            match link {
                Some(link) => drop(self.doors.insert((token, household.into()), link)),
                None => drop(self.doors.remove(&(token, household.into()))),
            }
        }
        for decision in decisions {
            self.decisions.entry(decision.event_id).or_default().push(decision);
        }
        let left = left.into_iter().map(|(id, left)| (id, ReturnMessage::Left(left)));
        let covered = covered.into_iter().map(|(id, covered)| (id, ReturnMessage::Covered(covered)));
        self.letters.extend(left.chain(covered).map(|(id, message)| Letter::Return(id, Return { message })));
        if changed {
            self.look_again();
        }
    }

    fn settle(&mut self) {
        while let Some(letter) = self.letters.pop_front() {
            match letter {
                Letter::Arrival(place, arrival) => self.apply(&place, &Input::Arrival(&arrival)),
                Letter::Return(id, Return { message }) => {
                    let record = &self.travellers[&id];
                    let declared = record.declared.as_ref().map(|declared| declared.grid.as_str());
                    let place = self.place(&record.identifiers, declared);
                    let record = self.travellers.get_mut(&id).unwrap();
                    let message = match message {
                        ReturnMessage::Left(left) => traveller::left(record, &left, || place),
                        ReturnMessage::Covered(covered) => traveller::covered(record, &covered.cover),
                    };
                    if let Some(message) = message {
                        let arrival = Arrival { traveller: id, version: record.version, message };
                        self.letters.push_back(Letter::Arrival(record.place.clone(), arrival));
                    }
                }
            }
        }
    }

    /// As an import publishes it: households, then identifiers, and what is gone in the reverse order.
    fn registry(&mut self, people: &[(&str, &str)]) {
        self.links.clear();
        for (name, household) in people {
            let grid = histories::grid_of(household);
            let links =
                &mut self.links.entry(token(name)).or_insert(IdentifierLink { mandate: "m".into(), links: vec![], common: false }).links;
            links.push(Link { household: (*household).into(), grid: grid.into() });
            let entry = HouseholdEntry { version: 1, grid: grid.into(), address: None, contact: None };
            self.entries.entry((*household).into()).or_insert(entry);
        }
        self.look_again();
        let gone: Vec<String> =
            self.entries.keys().filter(|known| people.iter().all(|(_, household)| known != household)).cloned().collect();
        for household in gone {
            self.entries.remove(&household);
            self.apply(&household, &Input::Tables);
        }
    }

    /// Links have changed.
    fn look_again(&mut self) {
        for id in self.travellers.keys().cloned().collect::<Vec<_>>() {
            let record = &self.travellers[&id];
            let place = self.place(&record.identifiers, record.declared.as_ref().map(|declared| declared.grid.as_str()));
            let record = self.travellers.get_mut(&id).unwrap();
            let (version, from) = (record.version, record.place.clone());
            if let Some(message) = traveller::table_says(record, &place, Millis(0)) {
                self.letters.push_back(Letter::Arrival(from, Arrival { traveller: id, version, message }));
            }
        }
    }

    fn newest(&self, event: &str) -> &Decision {
        self.decisions[&EventId(token(event).0)].iter().max_by_key(|decision| decision.revision).unwrap()
    }

    fn act(&mut self, act: &Act) {
        let (household, task_id) = self.tasks[act.event].clone();
        self.actions += 1;
        let given = given::action(&format!("action-{}", self.actions), &task_id, act.action, Millis(0));
        let action = Action { outcome: act.outcome, to_grid: act.to_grid.map(Text::new), at: Some(moment(act.day)), ..given };
        self.apply(&household, &Input::Action(&action));
        let answer = self.households[&household].answers.last().unwrap();
        assert_eq!(answer.status, 200, "{act:?}");
    }

    /// Sent as the inbox sends it: to the household where they are met, if it is one, and to the one that they are of; and sent again.
    fn register(&mut self, event: &str, household: &str) {
        let id = Fixed16(token(event).0);
        let holds = |task: &Task| task.stays.iter().any(|stay| stay.signals.iter().any(|signal| signal.event_id == id));
        let (place, task) = self.households.iter().find(|(_, task)| holds(task)).unwrap();
        let travellers = task.stays.iter().filter(|stay| stay.left_at.is_none()).map(|stay| stay.traveller).collect();
        self.actions += 1;
        let register = Some(Registration { household: household.into(), travellers });
        let action =
            Action { register, ..given::action(&format!("action-{}", self.actions), &task.task_id, ActionKind::Register, Millis(0)) };
        let elsewhere = (!place.starts_with('~') && place != household).then(|| place.to_string());
        for to in elsewhere.iter().map(String::as_str).chain([household, household]) {
            self.apply(to, &Input::Action(&action));
        }
        assert_eq!(self.households[household].answers.last().unwrap().status, 200);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::See(sighting, code) => {
                self.see(sighting);
                self.settle();
                self.sightings.insert(sighting.event, sighting.clone());
                let newest = self.newest(sighting.event);
                assert_eq!(newest.code, *code, "{}", sighting.event);
                let task_id = newest.task_id;
                let of_task = self.households.iter().find(|(_, task)| Some(&task.task_id) == task_id.as_ref());
                if let (Some((household, _)), Some(task_id)) = (of_task, task_id) {
                    self.tasks.insert(sighting.event, (household.clone(), task_id));
                }
            }
            Step::Again(event) => {
                let (before, said) = (self.households.clone(), self.newest(event).clone());
                self.see(&self.sightings[event].clone());
                self.settle();
                assert_eq!(self.households, before);
                let newest = self.newest(event);
                assert_eq!((newest.code, newest.revision), (said.code, said.revision));
            }
            Step::Registry(people) => self.registry(people),
            Step::Act(act) => self.act(act),
            Step::Register(event, household) => self.register(event, household),
            Step::Now(event, code) => assert_eq!(self.newest(event).code, *code, "{event} by now"),
            Step::Visits(count) => {
                let visits: i64 = self.households.values().map(|task| task.episode).sum();
                assert_eq!(visits, *count as i64, "visits");
            }
            Step::Open(grids) => {
                let open = |task: &&Task| matches!(task.state, TaskState::Open | TaskState::Claimed);
                let mut open: Vec<&str> = self.households.values().filter(open).filter_map(|task| task.grid.as_deref()).collect();
                open.sort_unstable();
                assert_eq!(&open, grids, "open tasks");
            }
            Step::MandateEnds(day) => self.mandate.valid_until = moment(*day),
        }
        self.settle();
    }
}

fn run(history: &histories::History) -> Result<(), usize> {
    let mut world = World::new();
    for (at, step) in history.steps.iter().enumerate() {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step(step))).is_err() {
            return Err(at);
        }
    }
    Ok(())
}

#[test]
fn histories() {
    let mut failed = 0;
    for history in histories::all().into_iter().chain(histories::at_the_door()).chain(histories::moving()) {
        if let Err(at) = run(&history) {
            failed += 1;
            eprintln!("history {} ({}) breaks at step {at}: {:?}", history.number, history.title, history.steps[at]);
        }
    }
    assert_eq!(failed, 0, "histories that break");
}

/// The null control: where nobody writes the registration down, none of these comes to its end.
#[test]
fn unregistered_nobody_is_found_at_the_door() {
    for mut history in histories::at_the_door() {
        let steps = history.steps.len();
        history.steps.retain(|step| !matches!(step, Step::Register(..)));
        assert!(history.steps.len() < steps);
        assert!(run(&history).is_err(), "history {} ({})", history.number, history.title);
    }
}

/// The null control: where the registry says nothing new, none of these comes to its end.
#[test]
fn unmoved_nothing_moves() {
    for mut history in histories::moving() {
        let first = history.steps.iter().position(|step| matches!(step, Step::Registry(_))).unwrap();
        let mut at = 0..;
        history.steps.retain(|step| at.next() == Some(first) || !matches!(step, Step::Registry(_)));
        let holds = run(&history).is_ok();
        // Back under its old name it is as if it had never gone.
        assert_eq!(holds, history.number == 140, "history {} ({})", history.number, history.title);
    }
}
