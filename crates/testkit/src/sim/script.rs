//! What a simulated world is made of: steps in the order of time, what was seen of the site that took them, and what a judge finds in it.
//!
//! Ids and tokens are computed from short names (`h1` a household, `p1` a person, `f1` a phone, `c1` a car, `a1` an address, `g1` a
//! grid), so that a history can be read again.

use events::{
    Action, Decision, Event, EventId, GridEntry, HouseholdEntry, Identifier, IdentifierKind, IdentifierLink, Mandate, Millis, Policy, Task,
    Token, ids,
};
use std::collections::BTreeMap;
use std::fmt;

/// The one mandate of a simulated site.
pub const MANDATE: &str = "m";
/// Day 0 of every script: midnight in China, 2026-01-05.
pub const DAY_0: Millis = Millis(1_767_542_400_000);

/// One thing that happens in the world, at this time of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When it reaches the log: never before the step before it.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// What can happen, beside what workers do.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// `registry.grids.v1`: code and entry.
    Grid(String, Option<GridEntry>),
    /// `registry.households.v1`: household (without its mandate) and entry; none: it is gone.
    Entry(String, Option<HouseholdEntry>),
    /// `registry.identifiers.v1`: none: emptied.
    Link(Token, Option<IdentifierLink>),
    /// `control.mandates.v1`.
    Mandate(Mandate),
    /// `control.policies.v1`.
    Policy(Policy),
    /// An agency's event, as the gateway appends it, and the truth behind it.
    Event(Box<Event>, Truth),
}

/// What really happened, which no part of the site can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The agency's own id, readable.
    pub name: String,
    /// Number of the true passage: repeats and twins share it.
    pub passage: u64,
    /// Where these people really live or stay at that time.
    pub home: String,
}

/// What a worker or supervisor sends, and where: key of `inbox.actions.v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// When it is sent.
    pub at: Millis,
    /// `mandate/household`.
    pub key: String,
    /// The action; `received_at` is `at`.
    pub action: Action,
}

/// What a judge is told, in the order in which it was stored.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A step was appended to its topic.
    Step(Step),
    /// An action was appended to its topic.
    Deed(Deed),
    /// A record of `inbox.tasks.v1` that is not stale: key and value.
    Task(Millis, String, Option<Box<Task>>),
    /// A record of `routing.decisions.v1`.
    Decision(Decision),
    /// Every input is passed by its position, nothing is on its way, and this is the time.
    Rest(Millis),
    /// At this rest a reader holds these tasks by key.
    View(String, BTreeMap<String, Task>),
    /// For people alone: what becomes of processes and log.
    Said(Millis, String),
}

/// A broken law, with household, events and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which: 1 one visit, 2 nothing vanishes, 3 same answer; see `ARCHITECTURE.md`.
    pub law: u8,
    /// What was seen.
    pub what: String,
}

impl Finding {
    /// What is wrong, without the names and times: the same wrong in another history has the same kind.
    pub fn kind(&self) -> String {
        let is_word = |word: &&str| word.chars().all(|letter| letter.is_alphabetic() || letter == '_');
        let words: Vec<&str> = self.what.split(' ').filter(is_word).take(12).collect();
        format!("{} {}", self.law, words.join(" "))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {}: {}", self.law, self.what)
    }
}

/// The token of a name: always the same.
pub fn token(name: &str) -> Token {
    Token(digest16(&[b"token", name.as_bytes()]))
}

/// An identifier by its name: the letter says its kind.
pub fn identifier(name: &str) -> Identifier {
    let kind = match name.as_bytes().first() {
        Some(b'p') => IdentifierKind::ResidentId,
        Some(b'x') => IdentifierKind::Passport,
        Some(b'f') => IdentifierKind::Phone,
        Some(b'c') => IdentifierKind::Plate,
        _ => IdentifierKind::Address,
    };
    Identifier { kind, token: token(name) }
}

/// The id of an event: by source, the agency's id and the content.
pub fn event_id(source: &str, agency_id: &str, content: &str) -> EventId {
    EventId(digest16(&[b"event", source.as_bytes(), agency_id.as_bytes(), content.as_bytes()]))
}

fn digest16(parts: &[&[u8]]) -> [u8; 16] {
    let mut again = parts.to_vec();
    again.push(b"again");
    let (first, second) = (ids::digest64(parts).to_be_bytes(), ids::digest64(&again).to_be_bytes());
    std::array::from_fn(|at| if at < 8 { first[at] } else { second[at - 8] })
}

/// Milliseconds of day `day` of a script.
pub fn day(day: f64) -> Millis {
    Millis(DAY_0.0 + (day * events::time::DAY_MS as f64).round() as i64)
}
