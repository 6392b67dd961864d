//! What a judge knows of a script: events as their agencies tell them, where the registry has everybody and may have had them while it
//! was being read, what governed when. It judges nothing.

use super::script::{Step, What};
use events::time::{DAY_MS, HOUR_MS, format};
use events::topics::pseudo_household;
use events::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An accepted event, as its agency tells it.
pub(super) struct Fact {
    pub name: String,
    pub at: Millis,
    pub event: Event,
    pub traveller: String,
    /// Digest of what makes a passage the same.
    passage: i64,
}

pub(super) struct Journey {
    pub identifiers: Vec<Identifier>,
    pub declared: Option<String>,
    /// Every place where it was or may have been; the last is where it is.
    pub places: Vec<String>,
    /// In the order in which they came.
    pub events: Vec<EventId>,
}

/// What the script has said so far.
#[derive(Default)]
pub(super) struct Known {
    /// How far the site's now, and its tables, may be behind the log's, in milliseconds.
    pub slack: i64,
    pub now: Millis,
    /// When all was at rest last: what the registry said since may still be on its way.
    pub rested: Millis,
    pub events: BTreeMap<EventId, Fact>,
    /// Events of the same passage, by digest.
    passages: HashMap<i64, Vec<EventId>>,
    /// Grids of every household, since when; none: the entry is gone.
    pub entries: BTreeMap<String, Vec<(Millis, Option<String>)>>,
    pub grids: BTreeMap<String, GridEntry>,
    /// Grids that have ever been outside the mandate.
    pub outside: BTreeSet<String>,
    pub mandates: Vec<(Millis, Mandate)>,
    pub policies: Vec<Policy>,
    pub journeys: BTreeMap<String, Journey>,
    /// Now, since when, and what was before.
    links: HashMap<Token, (Option<IdentifierLink>, Millis, Option<IdentifierLink>)>,
    by_token: HashMap<Token, BTreeSet<String>>,
    moved: BTreeMap<String, Millis>,
    /// Travellers by the place where they are.
    at_place: HashMap<String, BTreeSet<String>>,
}

impl Known {
    pub fn new(slack: i64) -> Known {
        Known { slack, policies: vec![domain::policy::default_policy()], ..Known::default() }
    }

    pub fn step(&mut self, step: &Step) {
        self.now = self.now.max(step.at);
        match &step.what {
            What::Grid(code, Some(entry)) => drop(self.grids.insert(code.clone(), entry.clone())),
            What::Grid(code, None) => drop(self.grids.remove(code)),
            What::Entry(household, entry) => {
                let grid = entry.as_ref().map(|entry| entry.grid.to_string());
                self.entries.entry(household.clone()).or_default().push((step.at, grid));
            }
            What::Link(token, link) => {
                let old = self.links.remove(token).and_then(|(old, ..)| old);
                self.links.insert(*token, (link.clone(), step.at, old));
                for traveller in self.by_token.get(token).cloned().unwrap_or_default() {
                    self.place(&traveller, step.at);
                }
            }
            What::Mandate(mandate) => self.mandates.push((step.at, mandate.clone())),
            What::Policy(policy) => {
                if self.events.is_empty() {
                    self.policies.clear();
                }
                self.policies.push(policy.clone());
            }
            What::Event(event, truth) => self.event(step.at, event, &truth.name),
        }
        if !matches!(step.what, What::Grid(..) | What::Mandate(_)) {
            return;
        }
        let outside = self.grids.iter().filter(|(code, _)| !self.is_inside(code)).map(|(code, _)| code.clone());
        self.outside.extend(outside.collect::<Vec<_>>());
    }

    fn event(&mut self, at: Millis, event: &Event, name: &str) {
        let head = event.head();
        if self.events.contains_key(&head.event_id) {
            return;
        }
        let declared = head.destination.map(|destination| destination.grid.to_string());
        let traveller = traveller_id(head.identifiers, declared.as_deref()).unwrap_or_default().to_string();
        let passage = format!("{} {} {} {:?}", head.source, head.seen_at, head.observed_at.0, head.identifiers);
        let passage = ids::digest64(&[passage.as_bytes()]);
        self.passages.entry(passage).or_default().push(head.event_id);
        for identifier in head.identifiers {
            self.by_token.entry(identifier.token).or_default().insert(traveller.clone());
        }
        let (identifiers, places, events) = (head.identifiers.to_vec(), vec![], vec![]);
        let journey = self.journeys.entry(traveller.clone()).or_insert(Journey { identifiers, declared, places, events });
        journey.events.push(head.event_id);
        self.place(&traveller, at);
        self.events.insert(head.event_id, Fact { name: name.to_owned(), at, event: event.clone(), traveller, passage });
    }

    /// Where the registry has a traveller now, and where it may have it while it is being read.
    fn place(&mut self, traveller: &str, at: Millis) {
        let Some(journey) = self.journeys.get(traveller) else { return };
        let recent = |token: &Token| self.links.get(token).is_some_and(|(_, changed, _)| at.0 - changed.0 <= self.slack);
        let fresh: Vec<Token> = journey.identifiers.iter().map(|one| one.token).filter(|token| recent(token)).take(4).collect();
        let place = |mask: usize| {
            let old = |token: Token| fresh.iter().position(|other| *other == token).is_some_and(|bit| mask & 1 << bit != 0);
            place_of(&journey.identifiers, journey.declared.as_deref(), |token| match self.links.get(&token)? {
                (_, _, before) if old(token) => before.as_ref(),
                (now, ..) => now.as_ref(),
            })
        };
        let places: Vec<String> = (0..1_usize << fresh.len()).rev().map(place).collect();
        let Some(journey) = self.journeys.get_mut(traveller) else { return };
        let before = journey.places.last().cloned();
        if let (Some(now), true) = (places.last().cloned(), before.as_ref() != places.last()) {
            // Whoever comes for the first time has left nobody; unless the registry was just being read.
            for place in places.iter().chain(&before).filter(|_| before.is_some() || places.len() > 1) {
                self.moved.insert(place.clone(), at);
            }
            journey.places.extend(places);
            journey.places.dedup();
            if let Some(before) = before {
                self.at_place.entry(before).or_default().remove(traveller);
            }
            self.at_place.entry(now).or_default().insert(traveller.to_owned());
        }
    }

    pub fn level(&self, policy: &Policy, event: &Event) -> Option<Level> {
        let origin = event.head().origin_division?;
        let longest = policy.zones.iter().filter(|zone| origin.starts_with(&*zone.division)).max_by_key(|zone| zone.division.len());
        longest.map(|zone| zone.level)
    }

    pub fn is_inside(&self, grid: &str) -> bool {
        let (Some(entry), Some(mandate)) = (self.grids.get(grid), self.mandates.last()) else { return true };
        let mandate = &mandate.1;
        mandate
            .divisions
            .iter()
            .any(|area| &**area == "*" || [&entry.division, &entry.community].iter().any(|code| code.starts_with(&**area)))
    }

    pub fn in_force(mandate: &Mandate, at: Millis) -> bool {
        mandate.state != MandateState::Ended && mandate.valid_from <= at && at < mandate.valid_until
    }

    pub fn window(&self, shortest: bool) -> i64 {
        let days = self.policies.iter().map(|policy| i64::from(policy.window_days));
        if shortest { days.min() } else { days.max() }.unwrap_or(14) * DAY_MS
    }

    pub fn grace(&self, shortest: bool) -> i64 {
        let hours = self.policies.iter().map(|policy| i64::from(policy.grace_hours));
        if shortest { hours.min() } else { hours.max() }.unwrap_or(72) * HOUR_MS
    }

    /// The registry has said something new of a household since then, or of somebody who was there.
    pub fn changed_since(&self, household: &str, since: Millis) -> bool {
        let after = |at: &Millis| at.0 + self.slack >= since.min(self.rested).0;
        let anew = household.starts_with('~') && self.living(household).any(|fact| after(&fact.at));
        self.entry_changed_since(household, since) || anew || self.moved.get(household).is_some_and(after)
    }

    /// An event for people: its name, its household, when it was seen.
    pub fn who(&self, fact: &Fact) -> String {
        let household = self.places(fact).last().map_or("nowhere", |place| short(place));
        format!("{} of {household}, seen {},", fact.name, seen_at(fact))
    }

    /// All events of the same passage.
    pub fn twins(&self, fact: &Fact) -> &[EventId] {
        self.passages.get(&fact.passage).map_or(&[], |same| same)
    }

    /// The registry has said something new of a household's entry since then.
    pub fn entry_changed_since(&self, household: &str, since: Millis) -> bool {
        let newest = self.entries.get(household).and_then(|entry| entry.last());
        newest.is_some_and(|(at, _)| at.0 + self.slack >= since.0)
    }

    pub fn places(&self, fact: &Fact) -> &[String] {
        self.journeys.get(&fact.traveller).map_or(&[], |journey| &journey.places)
    }

    pub fn grid(&self, household: &str) -> Option<&str> {
        self.entries.get(household)?.last()?.1.as_deref().filter(|grid| self.grids.contains_key(*grid))
    }

    /// A household keeps of one traveller the first signal and the newest 7; what was pushed out is beyond this judge.
    pub fn is_crowded(&self, fact: &Fact) -> bool {
        self.journeys.get(&fact.traveller).is_some_and(|journey| journey.events.len() > 7)
    }

    /// The first event of a traveller, as the log took it.
    pub fn first_at(&self, fact: &Fact) -> Millis {
        let first = self.journeys.get(&fact.traveller).and_then(|journey| journey.events.first());
        first.and_then(|first| self.events.get(first)).map_or(Millis(0), |first| first.at)
    }

    /// At one of these places, for sure or possibly, no grid is known.
    pub fn may_lack_grid(&self, fact: &Fact) -> bool {
        let declared = fact.event.head().destination.map(|destination| &*destination.grid);
        self.places(fact).iter().any(|place| match self.entries.get(place) {
            _ if place.starts_with('~') => declared.is_none_or(|grid| !self.grids.contains_key(grid)),
            Some(entry) => entry.len() > 1 || entry.first().is_none_or(|(at, _)| at.0 + self.slack > fact.at.0),
            None => true,
        })
    }

    /// A grid that it may have been placed in has been outside the mandate.
    pub fn may_be_outside(&self, fact: &Fact) -> bool {
        let declared = fact.event.head().destination.map(|destination| &*destination.grid);
        let places = self.places(fact);
        let entries = places.iter().filter_map(|place| self.entries.get(place)).flatten().filter_map(|(_, grid)| grid.as_deref());
        let somebody = !self.outside.is_empty() && places.iter().any(|place| place.starts_with('~'));
        somebody || entries.chain(declared).any(|grid| self.outside.contains(grid))
    }

    /// The mandate allowed it when it was received, as far as gateway and router may have known.
    pub fn may_be_allowed(&self, fact: &Fact) -> bool {
        let known = |at: usize| self.mandates.get(at + 1).is_none_or(|(next, _)| next.0 + self.slack >= fact.at.0);
        let allows = |(at, (_, one)): (usize, &(Millis, Mandate))| known(at) && Known::in_force(one, fact.event.head().received_at);
        self.mandates.iter().enumerate().any(allows)
    }

    /// The mandate may have forbidden it, then or by now.
    pub fn may_be_forbidden(&self, fact: &Fact) -> bool {
        let forbids = |at| self.mandates.iter().any(|(_, one)| !Known::in_force(one, at));
        self.mandates.is_empty() || forbids(fact.event.head().received_at) || forbids(Millis(self.now.0 + self.slack))
    }

    /// The grid that must be responsible for a place, if that is certain, and lies in the mandate.
    pub fn certain_grid(&self, place: &str) -> Option<String> {
        let declared = self.declared_at(place);
        let grid = match place.starts_with('~') {
            true if declared.len() == 1 => declared.first().cloned()?,
            true => return None,
            false => self.grid(place)?.to_owned(),
        };
        (self.grids.contains_key(&grid) && self.is_inside(&grid)).then_some(grid)
    }

    /// Grids that guests of a place declare.
    pub fn declared_at(&self, place: &str) -> Vec<String> {
        let here = self.at_place.get(place).into_iter().flatten().filter_map(|traveller| self.journeys.get(traveller));
        let declared: BTreeSet<String> = here.filter_map(|journey| journey.declared.clone()).collect();
        declared.into_iter().collect()
    }

    /// Events of everybody who is at a place.
    pub fn living(&self, place: &str) -> impl Iterator<Item = &Fact> {
        let here = self.at_place.get(place).into_iter().flatten().filter_map(|traveller| self.journeys.get(traveller));
        here.flat_map(|journey| &journey.events).filter_map(|event| self.events.get(event))
    }
}

/// Where the registry has these identifiers: strongest first, each narrows what the ones before left, unless nothing would be left.
fn place_of<'a>(identifiers: &[Identifier], declared: Option<&str>, link: impl Fn(Token) -> Option<&'a IdentifierLink>) -> String {
    let mut left: BTreeMap<&str, &str> = BTreeMap::new();
    for known in identifiers.iter().filter_map(|one| link(one.token)).filter(|known| !known.common) {
        let here: BTreeMap<&str, &str> = known.links.iter().map(|link| (&*link.household, &*link.grid)).collect();
        let both: BTreeMap<&str, &str> =
            left.iter().filter(|(household, _)| here.contains_key(*household)).map(|(a, b)| (*a, *b)).collect();
        match (left.is_empty(), both.is_empty()) {
            (true, _) => left = here,
            (false, false) => left = both,
            (false, true) => {}
        }
    }
    let in_grid: Vec<&str> = left.iter().filter(|(_, grid)| Some(**grid) == declared).map(|(household, _)| *household).collect();
    match (left.len(), &in_grid[..]) {
        (1, _) => left.keys().next().map_or_else(String::new, |household| (*household).to_owned()),
        (2.., [only]) => (*only).to_owned(),
        _ => {
            let address = identifiers.iter().find(|one| one.kind == IdentifierKind::Address).or(identifiers.first());
            address.map_or_else(String::new, |one| pseudo_household(one.token))
        }
    }
}

pub(super) fn seen_at(fact: &Fact) -> String {
    format(fact.event.head().observed_at)
}

pub(super) fn names(facts: &[&Fact]) -> String {
    facts.iter().map(|fact| format!("{} seen {}", fact.name, seen_at(fact))).collect::<Vec<_>>().join(", ")
}

/// The beginning of an id, for people.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
