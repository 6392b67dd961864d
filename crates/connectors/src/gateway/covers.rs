//! Which screenings stand, folded from `inbox.tasks.v1`: what "has this household been screened already?" is answered by.
//!
//! Keeps the end of each cover and nothing else of a task: by household, and by the strongest token of each traveller who has a cover of
//! his own, wherever he is.

use eventlog::Record;
use eventlog::fencing::{Fold, Verdict};
use events::{Cover, Millis, Task, Token};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// What one household's record says.
#[derive(Default, PartialEq)]
struct Held {
    until: Option<Millis>,
    travellers: Vec<(Token, Millis)>,
}

#[derive(Default)]
struct State {
    folds: HashMap<i32, Fold>,
    households: HashMap<String, Held>,
    /// By token and household key.
    travellers: HashMap<Token, BTreeMap<String, Millis>>,
}

/// The covers, shared by requests and the loop that follows the log.
#[derive(Default)]
pub struct Covers {
    state: Mutex<State>,
}

impl Covers {
    /// The key whose state the next record of `inbox.tasks.v1` is, in the order of its partition; `None` for claims, positions and what
    /// an owner wrote that has been superseded.
    pub fn judge(&self, record: &Record) -> Option<String> {
        let mut state = self.state.lock();
        match state.folds.entry(record.partition).or_default().judge(record) {
            Verdict::State => std::str::from_utf8(&record.key).ok().map(str::to_owned),
            Verdict::Claim | Verdict::Position(_) | Verdict::Stale => None,
        }
    }

    /// Takes a key's new state; `None` where it has none any more.
    pub fn set(&self, key: &str, task: Option<&Task>) {
        self.state.lock().replace(key, task.map(held_by).unwrap_or_default());
    }

    /// Until when a screening of the household (by its key) or of the traveller answers; the latest end, whether it is over or not.
    pub fn until(&self, household_key: &str, traveller: Token) -> Option<Millis> {
        let state = self.state.lock();
        let household = state.households.get(household_key).and_then(|held| held.until);
        let own = state.travellers.get(&traveller).and_then(|places| places.values().max().copied());
        household.max(own)
    }
}

impl State {
    fn replace(&mut self, key: &str, held: Held) {
        for (token, _) in self.households.remove(key).unwrap_or_default().travellers {
            if let Some(places) = self.travellers.get_mut(&token) {
                places.remove(key);
                if places.is_empty() {
                    self.travellers.remove(&token);
                }
            }
        }
        for &(token, until) in &held.travellers {
            let place = self.travellers.entry(token).or_default().entry(key.to_owned()).or_insert(until);
            *place = (*place).max(until);
        }
        if held != Held::default() {
            self.households.insert(key.to_owned(), held);
        }
    }
}

fn held_by(task: &Task) -> Held {
    let latest = |covers: &[Cover]| covers.iter().map(|cover| cover.until).max();
    let mut travellers = Vec::new();
    for stay in &task.stays {
        let strongest = stay.traveller.split_once('-').and_then(|(token, _)| token.parse().ok());
        travellers.extend(strongest.zip(latest(&stay.covers)));
    }
    Held { until: latest(&task.covers), travellers }
}
