//! What has to become of the records, worked out from the same data by other means: no code of the program is used, and none of its
//! tokens, travellers or messages are known here. The order of arrival is not needed, since all lies within one window and nobody
//! is screened: a place is visited once or not at all.

use super::Made;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Whom a record leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A household of the register.
    Household(String),
    /// Nobody who is known; by what they are told apart.
    Unknown(String),
}

/// One record and what has to become of it.
pub struct Expected {
    /// Its agency's id.
    pub id: String,
    /// Whom it leads to; none: it has no identifier and is refused.
    pub place: Option<Place>,
    /// Another row said the same under another id.
    pub repeated: bool,
    /// Inward.
    pub arrives: bool,
    /// It declares a grid.
    pub declares: bool,
}

impl Expected {
    /// The place that has to be visited because of this record.
    fn makes_a_visit(&self) -> Option<&Place> {
        let counts = self.arrives && !self.repeated;
        self.place.as_ref().filter(|place| counts && (self.declares || matches!(place, Place::Household(_))))
    }
}

/// All records: the gates' first, then the checkpoints', each in the order of its files.
pub struct Expectation {
    /// Of the gates.
    pub tolls: Vec<Expected>,
    /// Of the checkpoints.
    pub passages: Vec<Expected>,
}

/// Works it out.
pub fn of(made: &Made) -> Expectation {
    let mut by_number: HashMap<String, BTreeSet<&str>> = HashMap::new();
    let mut by_plate: HashMap<&str, &str> = HashMap::new();
    let mut by_address: HashMap<String, BTreeSet<&str>> = HashMap::new();
    for (id, household) in &made.census.households {
        by_address.entry(plain(&household.grid, &household.address)).or_default().insert(id);
        by_plate.extend(household.plate.as_deref().map(|plate| (plate, id.as_str())));
        for person in household.people.iter().filter(|person| !person.ssn.is_empty()) {
            by_number.entry(plain("", &person.ssn)).or_default().insert(id);
        }
    }
    let mut seen = HashSet::new();
    let toll = |toll: &super::toll::Toll| {
        let place = by_plate
            .get(toll.plate.as_str())
            .map_or_else(|| Place::Unknown(toll.plate.clone()), |household| Place::Household((*household).to_owned()));
        let repeated = !seen.insert((toll.at.clone(), toll.station.clone(), toll.plate.clone()));
        Expected { id: toll.id.clone(), place: Some(place), repeated, arrives: toll.inward, declares: false }
    };
    let tolls = made.tolls.iter().map(toll).collect();
    let mut seen = HashSet::new();
    let passage = |passage: &super::passages::Passage| {
        let number = plain("", &passage.number);
        let address = passage.grid.as_ref().zip(passage.address.as_ref()).map(|(grid, address)| plain(grid, address));
        let known = by_number.get(&number).or_else(|| by_address.get(address.as_ref()?));
        let place = match known.map(|households| households.iter().collect::<Vec<_>>()).as_deref() {
            Some([only]) => Place::Household((**only).to_owned()),
            // Nobody, or two doors of one address, which one grid cannot tell apart.
            _ => Place::Unknown(address.clone().unwrap_or_else(|| number.clone())),
        };
        let repeated = !seen.insert((passage.at.clone(), passage.checkpoint.clone(), number.clone(), address));
        Expected {
            id: passage.id.clone(),
            place: (!number.is_empty()).then_some(place),
            repeated: repeated && !number.is_empty(),
            arrives: true,
            declares: passage.grid.is_some(),
        }
    };
    let passages = made.passages.iter().map(passage).collect();
    Expectation { tolls, passages }
}

impl Expectation {
    /// All records.
    pub fn all(&self) -> impl Iterator<Item = &Expected> {
        self.tolls.iter().chain(&self.passages)
    }

    /// Records without any identifier.
    pub fn without_identifier(&self) -> usize {
        self.all().filter(|record| record.place.is_none()).count()
    }

    /// The places that have to be visited, each once: households where somebody arrived, and unknown people who said where they go.
    pub fn visited(&self) -> BTreeSet<&Place> {
        self.all().filter_map(Expected::makes_a_visit).collect()
    }

    /// Newest decisions by code.
    pub fn codes(&self) -> BTreeMap<&'static str, u64> {
        let visited = self.visited();
        let mut codes = BTreeMap::from([("opened", visited.len() as u64)]);
        let mut arrivals = 0;
        for record in self.all() {
            let Some(place) = &record.place else { continue };
            let code = match (record.repeated, record.arrives, visited.contains(place)) {
                (true, ..) => "duplicate",
                (_, false, _) => "not_matching",
                (_, _, false) => "unresolved",
                _ => {
                    arrivals += 1;
                    continue;
                }
            };
            *codes.entry(code).or_default() += 1;
        }
        codes.insert("joined", arrivals - visited.len() as u64);
        codes
    }
}

/// Letters and digits alone, upper case, behind a grid.
fn plain(grid: &str, text: &str) -> String {
    let letters: String = text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect();
    if letters.is_empty() { letters } else { format!("{grid}|{letters}") }
}
