//! The histories that say how signals are judged, as data: they run on the pure core, on the embedded log and on Kafka alike.
//!
//! Days count by observed_at from a midnight in China; each event arrives at once unless its place in the list says otherwise. The
//! default policy, `clock = "events"`, household A of grid g1, household B of grid g2.

mod moving;

pub use moving::{at_the_door, moving};

use events::{ActionKind, Code, Outcome, SourceKind};

/// One history.
pub struct History {
    /// Its number.
    pub number: u8,
    /// What happens, in words.
    pub title: &'static str,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens, or that must hold when all has come to rest.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event arrives, and this becomes of it.
    See(Sighting, Code),
    /// The same event arrives again: the same answer, nothing changes.
    Again(&'static str),
    /// The registry as it is from now on: identifier, household. Households that begin with A are in grid g1, others in g2; one that
    /// is not named is gone.
    Registry(&'static [(&'static str, &'static str)]),
    /// A worker acts on the task that this event belongs to at first.
    Act(Act),
    /// A worker at the door of the task that this event stands in now registers all who are there in a household.
    Register(&'static str, &'static str),
    /// What has become of an event by now.
    Now(&'static str, Code),
    /// How many visits were opened in all.
    Visits(usize),
    /// The grids of the open tasks, sorted.
    Open(&'static [&'static str]),
    /// The mandate ends at this day.
    MandateEnds(f64),
}

/// An event.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Its name here, and the agency's id.
    pub event: &'static str,
    /// The kind of source.
    pub kind: SourceKind,
    /// Such as `id:p1`, `phone:f1`, `plate:c1`, strongest first.
    pub identifiers: &'static [&'static str],
    /// When it was seen.
    pub day: f64,
    /// Declared grid and address.
    pub to: Option<(&'static str, Option<&'static str>)>,
    /// Leaving.
    pub out: bool,
}

/// What a worker does.
#[derive(Clone, Debug)]
pub struct Act {
    /// The task that this event opened or joined when it arrived.
    pub event: &'static str,
    /// What.
    pub action: ActionKind,
    /// For an outcome.
    pub outcome: Option<Outcome>,
    /// For a hand-back.
    pub to_grid: Option<&'static str>,
    /// When, at the door.
    pub day: f64,
}

/// The grid of a household.
pub fn grid_of(household: &str) -> &'static str {
    if household.starts_with('A') { "g1" } else { "g2" }
}

fn see(kind: SourceKind, event: &'static str, identifiers: &'static [&'static str], day: f64) -> Sighting {
    Sighting { event, kind, identifiers, day, to: None, out: false }
}

fn c(event: &'static str, identifiers: &'static [&'static str], day: f64) -> Sighting {
    see(SourceKind::Checkpoint, event, identifiers, day)
}

fn h(event: &'static str, identifiers: &'static [&'static str], day: f64) -> Sighting {
    see(SourceKind::Highway, event, identifiers, day)
}

fn t(event: &'static str, identifiers: &'static [&'static str], day: f64) -> Sighting {
    see(SourceKind::Telecom, event, identifiers, day)
}

fn to(sighting: Sighting, grid: &'static str, address: Option<&'static str>) -> Sighting {
    Sighting { to: Some((grid, address)), ..sighting }
}

fn outcome(event: &'static str, outcome: Outcome, day: f64) -> Step {
    Step::Act(Act { event, action: ActionKind::Outcome, outcome: Some(outcome), to_grid: None, day })
}

const FAMILY: Step = Step::Registry(&[
    ("id:p1", "A"),
    ("id:p2", "A"),
    ("id:p3", "A"),
    ("id:p4", "A"),
    ("phone:f1", "A"),
    ("plate:c1", "A"),
    ("id:q1", "B"),
    ("phone:f2", "B"),
]);

/// All that need no clock.
pub fn all() -> Vec<History> {
    use Code::*;
    use Step::*;
    let history = |number, title, steps| History { number, title, steps };
    vec![
        history(
            1,
            "three sources report one household",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                See(h("h", &["plate:c1"], 0.1), Joined),
                See(t("t", &["phone:f1"], 1.0), Joined),
                Visits(1),
                Open(&["g1"]),
            ],
        ),
        history(
            2,
            "the same event again, and under another id",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                Again("c"),
                See(c("c-twin", &["id:p1"], 0.0), Duplicate),
                Again("c"),
                Visits(1),
            ],
        ),
        history(
            3,
            "four people in one car",
            vec![
                FAMILY,
                See(c("c1", &["id:p1", "plate:c1"], 0.0), Opened),
                See(c("c2", &["id:p2", "plate:c1"], 0.0), Joined),
                See(c("c3", &["id:p3", "plate:c1"], 0.0), Joined),
                See(c("c4", &["id:p4", "plate:c1"], 0.0), Joined),
                Visits(1),
                Open(&["g1"]),
            ],
        ),
        history(
            4,
            "a screening answers for fourteen days",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                outcome("c", Outcome::Screened, 1.0),
                Open(&[]),
                See(h("h", &["plate:c1"], 3.0), Covered),
                See(c("c-14.9", &["id:p1"], 14.9), Covered),
                See(c("c-15", &["id:p1"], 15.0), Opened),
                Now("c", Opened),
                Visits(2),
                Open(&["g1"]),
            ],
        ),
        history(
            5,
            "nobody comes, and the episode ends",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                See(c("c-13.9", &["id:p1"], 13.9), Joined),
                See(c("c-14", &["id:p1"], 14.0), Opened),
                Visits(2),
                Open(&["g1"]),
            ],
        ),
        history(
            6,
            "a signal from before the screening comes after it",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                outcome("c", Outcome::Screened, 1.5),
                See(h("h", &["plate:c1"], 0.5), Covered),
                Visits(1),
                Open(&[]),
            ],
        ),
        history(
            7,
            "older signals come later: one moves the start, one is late",
            vec![
                FAMILY,
                See(c("c-5", &["id:p1"], 5.0), Opened),
                See(c("c-3", &["id:p1"], 3.0), Joined),
                See(c("c-1", &["id:p1"], 1.0), Late),
                // The start is day 3: day 17 is the end.
                See(c("c-16.9", &["id:p1"], 16.9), Joined),
                See(c("c-17", &["id:p1"], 17.0), Opened),
                Visits(2),
            ],
        ),
        history(
            8,
            "weak signals count on the second day",
            vec![
                FAMILY,
                See(t("t-0", &["phone:f1"], 0.3), Held),
                See(t("t-0-evening", &["phone:f1"], 0.8), Held),
                Open(&[]),
                See(t("t-1", &["phone:f1"], 1.3), Opened),
                Now("t-0", Joined),
                Now("t-0-evening", Joined),
                // The start is day 1.3: day 15.3 is the end.
                See(c("c-15.2", &["id:p1"], 15.2), Joined),
                See(c("c-15.3", &["id:p1"], 15.3), Opened),
                Visits(2),
            ],
        ),
        history(
            9,
            "a weak signal, and a strong one much later",
            vec![
                FAMILY,
                See(t("t", &["phone:f1"], 0.0), Held),
                See(c("c", &["id:p1"], 13.0), Opened),
                Now("t", Joined),
                See(c("c-26.9", &["id:p1"], 26.9), Joined),
                Visits(1),
                Open(&["g1"]),
            ],
        ),
        history(11, "leaving", vec![FAMILY, See(Sighting { out: true, ..c("c", &["id:p1"], 0.0) }, NotMatching), Visits(0), Open(&[])]),
        history(
            12,
            "an unknown person is registered later",
            vec![
                FAMILY,
                See(c("c", &["id:x"], 0.0), Unresolved),
                Open(&[]),
                Registry(&[("id:p1", "A"), ("id:x", "A")]),
                Now("c", Opened),
                Visits(1),
                Open(&["g1"]),
            ],
        ),
        history(
            13,
            "an unknown person with a destination is registered elsewhere before anyone came",
            vec![
                FAMILY,
                See(to(c("c", &["id:x", "phone:y"], 0.0), "g2", None), Opened),
                Open(&["g2"]),
                Registry(&[("id:p1", "A"), ("id:x", "A")]),
                Now("c", Opened),
                Open(&["g1"]),
                Visits(2),
            ],
        ),
        history(
            14,
            "the same, but screened first: the cover goes along",
            vec![
                FAMILY,
                See(to(c("c", &["id:x", "phone:y"], 0.0), "g2", None), Opened),
                outcome("c", Outcome::Screened, 1.0),
                Registry(&[("id:p1", "A"), ("id:x", "A")]),
                Now("c", Opened),
                Open(&[]),
                See(to(c("c-3", &["id:x", "phone:y"], 3.0), "g2", None), Covered),
                Visits(1),
                Open(&[]),
            ],
        ),
        history(
            15,
            "four unknown people in one car to one unknown address",
            vec![
                FAMILY,
                See(to(c("c1", &["id:x1", "plate:z"], 0.0), "g2", Some("新村12号")), Opened),
                See(to(c("c2", &["id:x2", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                See(to(c("c3", &["id:x3", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                See(to(c("c4", &["id:x4", "plate:z"], 0.0), "g2", Some("新村12号")), Joined),
                Visits(1),
                Open(&["g2"]),
            ],
        ),
        history(
            16,
            "a person moves to another household",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                Open(&["g1"]),
                Registry(&[("id:p1", "B"), ("id:p2", "A"), ("id:q1", "B")]),
                Now("c", Opened),
                Open(&["g2"]),
                Visits(2),
            ],
        ),
        history(
            17,
            "the same, but somebody else is still there",
            vec![
                FAMILY,
                See(c("c1", &["id:p1"], 0.0), Opened),
                See(c("c2", &["id:p2"], 0.2), Joined),
                Registry(&[("id:p1", "B"), ("id:p2", "A"), ("id:q1", "B")]),
                Now("c1", Opened),
                Now("c2", Joined),
                Open(&["g1", "g2"]),
                Visits(2),
            ],
        ),
        history(
            18,
            "a screening that was recorded offline follows the person",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                Registry(&[("id:p1", "B"), ("id:p2", "A"), ("id:q1", "B")]),
                Now("c", Opened),
                Open(&["g2"]),
                outcome("c", Outcome::Screened, 0.5),
                Now("c", Covered),
                Open(&[]),
                Visits(2),
            ],
        ),
        history(
            19,
            "a phone of two households",
            vec![
                Registry(&[("phone:f", "A"), ("phone:f", "B")]),
                See(c("c1", &["phone:f"], 0.0), Unresolved),
                Open(&[]),
                See(to(c("c2", &["phone:f"], 0.1), "g2", None), Opened),
                Open(&["g2"]),
                Visits(1),
            ],
        ),
        history(
            20,
            "the wrong household, until the registry is corrected",
            vec![
                FAMILY,
                See(c("c-0", &["id:p1"], 0.0), Opened),
                outcome("c-0", Outcome::WrongHousehold, 0.5),
                Now("c-0", Unresolved),
                Open(&[]),
                See(c("c-1", &["id:p1"], 1.0), Unresolved),
                Registry(&[("id:p1", "B"), ("id:p2", "A"), ("id:q1", "B")]),
                Now("c-0", Opened),
                Now("c-1", Joined),
                Open(&["g2"]),
                Visits(2),
            ],
        ),
        history(
            21,
            "they moved away",
            vec![
                FAMILY,
                See(c("c-0", &["id:p1"], 0.0), Opened),
                outcome("c-0", Outcome::MovedAway, 0.5),
                Open(&[]),
                See(c("c-2", &["id:p1"], 2.0), Joined),
                Open(&[]),
                See(c("c-14", &["id:p1"], 14.0), Opened),
                Visits(2),
                Open(&["g1"]),
            ],
        ),
        history(
            23,
            "handed back to another grid",
            vec![
                FAMILY,
                See(c("c", &["id:p1"], 0.0), Opened),
                Step::Act(self::Act { event: "c", action: ActionKind::HandBack, outcome: None, to_grid: Some("g2"), day: 0.5 }),
                Open(&["g2"]),
                See(h("h", &["plate:c1"], 1.0), Joined),
                Open(&["g2"]),
                Visits(1),
            ],
        ),
        history(
            24,
            "the mandate ends",
            vec![FAMILY, See(c("c", &["id:p1"], 0.0), Opened), MandateEnds(3.0), See(c("c-4", &["id:p1"], 4.0), MandateEnded), Visits(1)],
        ),
    ]
}
