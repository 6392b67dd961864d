//! Journeys, and what agencies make of them: each sees its part, with its own delay, its repeats and its mistakes.

use super::people::{People, grid_name, household_name};
use super::script::{MANDATE, Truth, event_id, identifier};
use super::troubles::{INSIDE, ORIGINS};
use events::time::{DAY_MS, HOUR_MS};
use events::{
    CheckpointPassage, Destination, Direction, Event, EventId, HighwayEntrance, Identifier, Millis, SourceKind, TelecomMovement, ids,
};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

const MINUTE_MS: i64 = 60_000;

/// What agencies need to see a journey.
pub(super) struct Agencies {
    /// An agency sends nothing from here to there, and all of it afterwards.
    pub outages: Vec<(SourceKind, Millis, Millis)>,
    /// How often somebody is asked where they go, things go wrong, and so on: shares of 1.
    pub mistakes: f64,
    passages: u64,
    strangers: usize,
}

/// An event as it will reach the gateway.
pub(super) struct Report {
    pub at: Millis,
    pub event: Event,
    pub truth: Truth,
}

/// What is seen of somebody at one place.
struct Sight {
    kind: SourceKind,
    observed_at: Millis,
    names: Vec<String>,
    direction: Direction,
    origin: Option<&'static str>,
    destination: Option<String>,
    home: String,
}

impl Agencies {
    /// Agencies of a city whose people and addresses have numbers below these.
    pub fn new(outages: Vec<(SourceKind, Millis, Millis)>, mistakes: f64) -> Agencies {
        Agencies { outages, mistakes, passages: 0, strangers: 0 }
    }

    /// Some of a household travel, and come home around `at`.
    pub fn household(
        &mut self,
        random: &mut SmallRng,
        city: &People,
        home: usize,
        at: Millis,
        note: &mut dyn FnMut(&'static str),
    ) -> Vec<Report> {
        let household = &city.households[home];
        let Some(leader) = household.people.choose(random).copied() else { return vec![] };
        let party: Vec<usize> = household.people.iter().copied().filter(|person| *person == leader || random.random_bool(0.35)).collect();
        let car = household.cars.choose(random).copied().filter(|_| random.random_bool(0.6));
        let direction = if random.random_bool(0.12) { Direction::Out } else { Direction::In };
        if direction == Direction::Out {
            note("direction out");
        }
        let origin = ORIGINS.choose(random).copied().filter(|_| !random.random_bool(0.15));
        note(match origin {
            None => "missing origin",
            Some("4201" | "420106" | "5101") => "origin in a zone",
            Some(_) => "origin in no zone",
        });
        let name = household_name(home);
        let mut sights = Vec::new();
        let sight = |kind, observed_at: Millis, names, destination| Sight {
            kind,
            observed_at,
            names,
            direction,
            origin,
            destination,
            home: name.clone(),
        };
        if let Some(car) = car.filter(|_| random.random_bool(0.5)) {
            let before = random.random_range(10 * MINUTE_MS..4 * HOUR_MS);
            sights.push(sight(SourceKind::Highway, Millis(at.0 - before), vec![format!("c{}", car + 1)], None));
        }
        for &person in &party {
            if random.random_bool(0.3) {
                continue;
            }
            let somebody = &city.people[person];
            let mut names = vec![somebody.name(person)];
            names.extend(somebody.phone.filter(|_| random.random_bool(0.6)).map(|phone| format!("f{}", phone + 1)));
            names.extend(car.filter(|_| random.random_bool(0.7)).map(|car| format!("c{}", car + 1)));
            if random.random_bool(self.mistakes) {
                note("missing identifier");
                names.remove(0);
            }
            if random.random_bool(self.mistakes) && car.is_some() {
                note("wrong plate");
                names.retain(|name| !name.starts_with('c'));
                names.push(format!("c{}", random.random_range(1..=city.cars.len().max(1) + 1)));
            }
            let destination = self.declares(random, city, home, somebody.registered.is_none(), &mut names, note);
            if !names.is_empty() {
                sights.push(sight(SourceKind::Checkpoint, at, names, destination));
            }
        }
        let phone = city.people[leader].phone.filter(|_| direction == Direction::In && random.random_bool(0.5));
        for night in 0..random.random_range(1..=2) {
            if let Some(phone) = phone {
                let later = random.random_range(2 * HOUR_MS..20 * HOUR_MS) + night * DAY_MS;
                sights.push(sight(SourceKind::Telecom, Millis(at.0 + later), vec![format!("f{}", phone + 1)], None));
            }
        }
        self.report_all(random, sights, note)
    }

    /// People whom no registry knows: guests of a household who may name its address, or strangers in one car.
    pub fn strangers(
        &mut self,
        random: &mut SmallRng,
        city: &People,
        host: usize,
        at: Millis,
        note: &mut dyn FnMut(&'static str),
    ) -> Vec<Report> {
        self.strangers += 1;
        let (group, several) = (self.strangers, random.random_bool(0.4));
        note(if several { "strangers in one car" } else { "guest" });
        let origin = ORIGINS.choose(random).copied();
        let mut sights = Vec::new();
        let names_host = random.random_bool(0.5);
        let grid = grid_name(city.households[host].grid);
        for number in 0..if several { random.random_range(2..=4) } else { 1 } {
            let mut names = vec![format!("p9{group:03}{number}")];
            if random.random_bool(0.5) {
                names.push(format!("f9{group:03}{number}"));
            }
            if several {
                names.push(format!("c9{group:03}"));
            }
            let mut destination = Some(grid.clone());
            match random.random_range(0..5) {
                0 => {
                    note("guest without a destination");
                    destination = None;
                }
                1 if !several => {}
                _ if names_host => {
                    note("guest names a known address");
                    names.push(format!("a{}", host + 1));
                }
                _ => {
                    note("guest names an unknown address");
                    names.push(format!("a9{group:03}"));
                }
            }
            let home = household_name(host);
            sights.push(Sight {
                kind: SourceKind::Checkpoint,
                observed_at: at,
                names,
                direction: Direction::In,
                origin,
                destination,
                home,
            });
        }
        self.report_all(random, sights, note)
    }

    /// Residents are seldom asked, people who are registered nowhere mostly; some name a grid that does not exist.
    fn declares(
        &self,
        random: &mut SmallRng,
        city: &People,
        home: usize,
        unknown: bool,
        names: &mut Vec<String>,
        note: &mut dyn FnMut(&'static str),
    ) -> Option<String> {
        if !random.random_bool(if unknown { 0.8 } else { 0.15 }) {
            return None;
        }
        if random.random_bool(0.4) {
            names.push(format!("a{}", home + 1));
        }
        if random.random_bool(self.mistakes) {
            note("unknown grid declared");
            return Some("g99".into());
        }
        if random.random_bool(self.mistakes) {
            note("wrong grid declared");
            return city.households.choose(random).map(|household| grid_name(household.grid));
        }
        Some(grid_name(city.households[home].grid))
    }

    fn report_all(&mut self, random: &mut SmallRng, sights: Vec<Sight>, note: &mut dyn FnMut(&'static str)) -> Vec<Report> {
        let mut reports = Vec::new();
        for sight in sights {
            self.passages += 1;
            let at = self.arrives(random, sight.kind, sight.observed_at, note);
            let name = format!("{}-{}", letter(sight.kind), self.passages);
            let truth = |name: &str| Truth { name: name.to_owned(), passage: self.passages, home: sight.home.clone() };
            reports.push(Report { at, event: event(&sight, &name, at), truth: truth(&name) });
            if random.random_bool(0.1) {
                note("repeat");
                let again = Millis(at.0 + random.random_range(1000..2 * DAY_MS));
                reports.push(Report { at: again, event: event(&sight, &name, again), truth: truth(&name) });
            }
            if random.random_bool(0.06) {
                note("twin under another id");
                let (twin, later) = (format!("{name}-twin"), Millis(at.0 + random.random_range(1000..DAY_MS)));
                reports.push(Report { at: later, event: event(&sight, &twin, later), truth: truth(&twin) });
            }
        }
        reports
    }

    /// When the gateway gets it: each agency has its own delay, and some days it has no line at all.
    fn arrives(&self, random: &mut SmallRng, kind: SourceKind, observed_at: Millis, note: &mut dyn FnMut(&'static str)) -> Millis {
        let (least, most) = match kind {
            SourceKind::Checkpoint => (1000, 20 * MINUTE_MS),
            SourceKind::Highway => (MINUTE_MS, 3 * HOUR_MS),
            SourceKind::Telecom => (HOUR_MS, 20 * HOUR_MS),
        };
        let at = Millis(observed_at.0 + random.random_range(least..most));
        let over =
            self.outages.iter().filter(|(agency, from, until)| *agency == kind && *from <= at && at < *until).map(|(.., until)| *until);
        match over.max() {
            Some(until) => {
                note(if until.0 - observed_at.0 > 3 * DAY_MS { "delayed past grace" } else { "delayed by an outage" });
                Millis(until.0 + random.random_range(0..HOUR_MS))
            }
            None => at,
        }
    }
}

fn letter(kind: SourceKind) -> char {
    match kind {
        SourceKind::Checkpoint => 'C',
        SourceKind::Highway => 'H',
        SourceKind::Telecom => 'T',
    }
}

fn event(sight: &Sight, agency_id: &str, received_at: Millis) -> Event {
    let source = match sight.kind {
        SourceKind::Checkpoint => "checkpoint-bureau",
        SourceKind::Highway => "highway-authority",
        SourceKind::Telecom => "telecom-operator",
    };
    let mut identifiers: Vec<Identifier> = sight.names.iter().map(|name| identifier(name)).collect();
    identifiers.sort_by_key(|identifier| identifier.kind);
    let content =
        format!("{:?}{}{:?}{:?}{:?}{:?}", sight.kind, sight.observed_at.0, sight.names, sight.direction, sight.origin, sight.destination);
    let id: EventId = event_id(source, agency_id, &content);
    let source_ref = format!("{:016x}", ids::digest64(&[source.as_bytes(), agency_id.as_bytes()]));
    let (observed_at, direction) = (sight.observed_at, sight.direction);
    let origin_division = sight.origin.map(Into::into);
    let destination = sight.destination.as_deref().map(|grid| Destination { division: INSIDE[0].into(), grid: grid.into(), address: None });
    match sight.kind {
        SourceKind::Checkpoint => Event::Checkpoint(CheckpointPassage {
            event_id: id,
            mandate: MANDATE.into(),
            source: source.into(),
            source_ref: source_ref.into(),
            observed_at,
            received_at,
            identifiers,
            origin_division,
            checkpoint: "G60-118".into(),
            direction,
            party_size: None,
            destination,
        }),
        SourceKind::Highway => Event::Highway(HighwayEntrance {
            event_id: id,
            mandate: MANDATE.into(),
            source: source.into(),
            source_ref: source_ref.into(),
            observed_at,
            received_at,
            identifiers,
            origin_division,
            station: "G60-K12".into(),
            direction,
            vehicle_class: None,
        }),
        SourceKind::Telecom => Event::Telecom(TelecomMovement {
            event_id: id,
            mandate: MANDATE.into(),
            source: source.into(),
            source_ref: source_ref.into(),
            observed_at,
            received_at,
            identifiers,
            origin_division,
            from_division: None,
            to_division: INSIDE[0].into(),
            dwell_minutes: 240,
        }),
    }
}
