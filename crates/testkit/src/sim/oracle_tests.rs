//! The judge on histories written by hand: good ones are clean, and each bad one, a good one with one thing wrong, breaks the law that
//! it must break. No rule of the core is called.

use super::oracle::Judge;
use super::script::{DAY_0, Deed, Finding, MANDATE, Seen, Step, Truth, What, day, event_id, identifier, token};
use super::{registry, troubles};
use domain::household::new_task;
use events::time::HOUR_MS;
use events::topics::household_key;
use events::*;

/// Households h1 of g1 and h2 of g2 with p1 and p2, a third grid outside the mandate, the default policy.
fn town() -> Vec<Seen> {
    let step = |what| Seen::Step(Step { at: DAY_0, what });
    let entry = |grid: &str| HouseholdEntry { version: 1, grid: grid.into(), address: None, contact: None };
    let mandate = troubles::mandate(1, DAY_0, day(60.0), MandateState::Open);
    let mut policy = domain::policy::default_policy();
    policy.zones = vec![Zone { division: "42".into(), level: Level::High }];
    let grid = |number, division: &str| step(What::Grid(format!("g{}", number + 1), Some(registry::grid_entry(number, division, DAY_0))));
    vec![
        step(What::Policy(policy)),
        step(What::Mandate(mandate)),
        grid(0, troubles::INSIDE[0]),
        grid(1, troubles::INSIDE[1]),
        grid(2, troubles::OUTSIDE),
        step(What::Entry("h1".into(), Some(entry("g1")))),
        step(What::Entry("h2".into(), Some(entry("g2")))),
        link(0.0, "p1", Some("h1")),
        link(0.0, "p2", Some("h2")),
    ]
}

fn link(at: f64, name: &str, household: Option<&str>) -> Seen {
    let grid = |household: &str| household.replace('h', "g");
    let links = household.map(|household| vec![Link { household: household.into(), grid: grid(household) }]);
    let link = links.map(|links| IdentifierLink { mandate: MANDATE.into(), links, common: false });
    Seen::Step(Step { at: day(at), what: What::Link(token(name), link) })
}

/// A passage, seen and arriving at these days.
fn passage(name: &str, who: &str, seen: f64, arrives: f64) -> CheckpointPassage {
    CheckpointPassage {
        event_id: id(name),
        mandate: MANDATE.into(),
        source: "checkpoint-bureau".into(),
        source_ref: name.into(),
        observed_at: day(seen),
        received_at: day(arrives),
        identifiers: vec![identifier(who)],
        origin_division: None,
        checkpoint: "G60-118".into(),
        direction: Direction::In,
        party_size: None,
        destination: None,
    }
}

fn sent(passage: CheckpointPassage) -> Seen {
    let truth = Truth { name: passage.source_ref.to_string(), passage: 1, home: "h1".into() };
    let at = passage.received_at;
    Seen::Step(Step { at, what: What::Event(Box::new(Event::Checkpoint(passage)), truth) })
}

fn id(name: &str) -> EventId {
    event_id("checkpoint-bureau", name, "")
}

/// The record of a visit in its own grid, on these passages of who lives there, seen at these days.
fn task(household: &str, episode: i64, version: i64, state: TaskState, evidence: &[(&str, f64)]) -> Task {
    let evidence = evidence.iter().rev().map(|(name, seen)| Evidence {
        event_id: id(name),
        kind: SourceKind::Checkpoint,
        observed_at: day(*seen),
        origin_division: None,
    });
    Task {
        task_id: ids::task_id(MANDATE, household, episode),
        grid: Some(household.replace('h', "g").into()),
        evidence: evidence.collect(),
        episode,
        version,
        state,
        ..new_task(MANDATE, household)
    }
}

fn record(at: f64, task: Task) -> Seen {
    Seen::Task(day(at), household_key(MANDATE, &task.household), Some(Box::new(task)))
}

fn said(name: &str, code: Code, revision: i64, visit: Option<(&str, i64)>) -> Seen {
    Seen::Decision(Decision {
        event_id: id(name),
        mandate: MANDATE.into(),
        code,
        revision: 65_536 + revision,
        reason: String::new().into(),
        grid: None,
        task_id: visit.map(|(household, episode)| ids::task_id(MANDATE, household, episode)),
        policy: 0,
        at: Millis(0),
    })
}

fn screened(at: f64, household: &str) -> Seen {
    let action = Action {
        action_id: "a1".into(),
        task_id: Text::new(ids::task_id(MANDATE, household, 1)),
        action: ActionKind::Outcome,
        outcome: Some(Outcome::Screened),
        to_grid: None,
        note: None,
        at: Some(day(at)),
        actor: "w1".into(),
        supervisor: false,
        received_at: day(at),
        register: None,
    };
    Seen::Deed(Deed { at: day(at), key: household_key(MANDATE, household), action })
}

fn answered(task: Task, status: i32) -> Task {
    let answer = Answer { action_id: "a1".into(), status, field: None, actor: "w1".into(), at: Millis(0), version: task.version };
    let done = status == 200;
    let (outcome, screened_at) = (done.then_some(Outcome::Screened), done.then_some(Millis(1)));
    Task { answers: vec![answer], outcome, screened_at, ..task }
}

fn before(task: Task, state: TaskState, outcome: Option<Outcome>) -> Option<Before> {
    let (start, end, opened_at, ended_at) = (DAY_0, day(15.0), DAY_0, day(15.0));
    let (grid, priority, grids) = (task.grid, task.priority, vec![]);
    Some(Before { task_id: task.task_id, episode: task.episode, grid, state, outcome, start, end, opened_at, ended_at, priority, grids })
}

const OPEN: TaskState = TaskState::Open;
const DONE: TaskState = TaskState::Done;

/// p1 comes on day 1 and is screened on day 2; comes again on day 3, and on day 20.
fn a_screening() -> Vec<Seen> {
    let mut history = town();
    let done = answered(task("h1", 1, 2, DONE, &[("c1", 1.0)]), 200);
    let again =
        Task { answers: done.answers.clone(), before: before(done.clone(), DONE, done.outcome), ..task("h1", 2, 3, OPEN, &[("c3", 20.0)]) };
    history.extend([
        sent(passage("c1", "p1", 1.0, 1.0)),
        record(1.0, task("h1", 1, 1, OPEN, &[("c1", 1.0)])),
        said("c1", Code::Opened, 0, Some(("h1", 1))),
        screened(2.0, "h1"),
        record(2.0, done),
        Seen::Rest(day(2.1)),
        sent(passage("c2", "p1", 3.0, 3.0)),
        said("c2", Code::Covered, 0, Some(("h1", 1))),
        Seen::Rest(day(3.1)),
        sent(passage("c3", "p1", 20.0, 20.0)),
        record(20.0, again),
        said("c3", Code::Opened, 0, Some(("h1", 2))),
        Seen::Rest(day(20.1)),
    ]);
    history
}

/// p1 comes on day 1, and belongs to h2 from day 2 on.
fn a_move() -> Vec<Seen> {
    let mut history = town();
    history.extend([
        sent(passage("c1", "p1", 1.0, 1.0)),
        record(1.0, task("h1", 1, 1, OPEN, &[("c1", 1.0)])),
        said("c1", Code::Opened, 0, Some(("h1", 1))),
        link(2.0, "p1", Some("h2")),
        record(2.0, task("h1", 1, 2, TaskState::Withdrawn, &[("c1", 1.0)])),
        record(2.0, task("h2", 1, 1, OPEN, &[("c1", 1.0)])),
        said("c1", Code::Opened, 65_536, Some(("h2", 1))),
        Seen::Rest(day(2.1)),
    ]);
    history
}

fn judged(history: &[Seen]) -> Vec<Finding> {
    let mut judge = Judge::new(HOUR_MS);
    judge.expires_by_the_clock = true;
    history.iter().for_each(|seen| judge.see(seen));
    judge.findings
}

fn newest(history: &[Seen]) -> Millis {
    let times = history.iter().map(|seen| match seen {
        Seen::Step(step) => step.at,
        Seen::Task(at, ..) | Seen::Rest(at) => *at,
        _ => DAY_0,
    });
    times.max().unwrap_or(DAY_0)
}

#[test]
fn good_histories_are_clean() {
    for history in [town(), a_screening(), a_move()] {
        assert_eq!(judged(&history), vec![]);
    }
}

/// One thing at a time is wrong with a good history.
/// What is wrong, the law that breaks, what the finding must say, a good history, how it is spoilt.
type BadHistory = (&'static str, u8, &'static str, fn() -> Vec<Seen>, fn(&mut Vec<Seen>));

#[test]
fn each_bad_history_breaks_its_law() {
    let cases: &[BadHistory] = &[
        ("a move in the wrong order", 1, "open for c1 at once", a_move, |all| all.swap(13, 14)),
        ("the old place keeps its task", 1, "open for c1 at once", a_move, |all| drop(all.remove(13))),
        ("nobody asks at the new place", 2, "lives at m/h2", a_move, |all| {
            all.truncate(14);
            all.push(Seen::Rest(day(2.1)));
        }),
        ("no decision", 2, "no decision", a_move, |all| all.retain(|seen| !matches!(seen, Seen::Decision(_)))),
        ("two words at one revision", 2, "is opened", a_move, |all| all.insert(12, said("c1", Code::Joined, 0, Some(("h1", 1))))),
        ("a word about nothing", 2, "nobody sent", a_move, |all| all.push(said("c9", Code::Opened, 0, Some(("h1", 1))))),
        ("a task about nothing", 2, "nobody sent", a_move, |all| all.push(record(3.0, task("h2", 1, 2, OPEN, &[("c9", 1.0)])))),
        ("an older record wins", 3, "goes back", a_move, |all| all.push(record(3.0, task("h1", 1, 1, TaskState::Withdrawn, &[])))),
        ("a record is emptied", 3, "was emptied", a_move, |all| all.push(Seen::Task(day(3.0), "m/h1".into(), None))),
        ("an id that is drawn", 3, "not computed", a_move, |all| {
            all.push(record(3.0, Task { task_id: TaskId::from("drawn").unwrap(), ..task("h1", 1, 3, TaskState::Withdrawn, &[]) }));
        }),
        ("a silent change", 3, "without a new version", a_move, |all| {
            all.push(record(3.0, Task { grid: Some("g1".into()), ..task("h2", 1, 1, OPEN, &[("c1", 1.0)]) }));
        }),
        ("a reader that is behind", 3, "a reader holds", a_move, |all| all.push(Seen::View("a reader".into(), [].into()))),
        ("the wrong grid", 1, "not in g2", a_move, |all| {
            all.push(record(3.0, Task { grid: Some("g1".into()), ..task("h2", 1, 2, OPEN, &[("c1", 1.0)]) }));
        }),
        ("a grid outside", 1, "outside the mandate", a_move, |all| {
            all.push(record(3.0, Task { grid: Some("g3".into()), ..task("h2", 1, 2, OPEN, &[("c1", 1.0)]) }));
        }),
        ("a priority of nothing", 1, "priority HIGH", a_move, |all| {
            all.push(record(3.0, Task { priority: Level::High, ..task("h2", 1, 2, OPEN, &[("c1", 1.0)]) }));
        }),
        ("a task without evidence", 1, "rests on nothing", a_move, |all| all.push(record(3.0, task("h2", 1, 2, OPEN, &[])))),
        ("a task that never ends", 1, "after its end", a_move, |all| {
            all.push(record(3.0, Task { end: Some(day(2.5)), ..task("h2", 1, 2, OPEN, &[("c1", 1.0)]) }));
        }),
        ("late, but it came in time", 2, "came in time", town, |all| {
            all.extend([sent(passage("c1", "p1", 1.0, 1.1)), said("c1", Code::Late, 0, None)]);
        }),
        ("in time, but it came late", 2, "too late", town, |all| {
            let task = task("h1", 1, 1, OPEN, &[("c1", 1.0)]);
            all.extend([sent(passage("c1", "p1", 1.0, 5.0)), record(5.0, task), said("c1", Code::Opened, 0, Some(("h1", 1)))]);
        }),
        ("a visit of who leaves", 2, "left the area", town, |all| {
            let passage = CheckpointPassage { direction: Direction::Out, ..passage("c1", "p1", 1.0, 1.0) };
            all.extend([sent(passage), record(1.0, task("h1", 1, 1, OPEN, &[("c1", 1.0)])), said("c1", Code::Opened, 0, Some(("h1", 1)))]);
        }),
        ("without a mandate", 2, "no mandate", town, |all| {
            all.extend([sent(passage("c1", "p1", 70.0, 70.0)), said("c1", Code::Held, 0, None)]);
        }),
        ("strong, and it waits", 2, "strong and live", town, |all| {
            all.extend([sent(passage("c1", "p1", 1.0, 1.0)), said("c1", Code::MandateEnded, -1, None), said("c1", Code::Late, 0, None)]);
            all.push(Seen::Rest(day(1.1)));
        }),
        ("covered by nobody", 2, "nothing bears it out", town, |all| {
            all.extend([sent(passage("c1", "p1", 1.0, 1.0)), said("c1", Code::Covered, 0, None)]);
        }),
        ("a duplicate of nothing", 2, "nothing bears it out", town, |all| {
            all.extend([sent(passage("c1", "p1", 1.0, 1.0)), said("c1", Code::Duplicate, 0, None)]);
        }),
        ("a screening without effect", 1, "although it was screened", a_screening, |all| {
            all.insert(14, record(2.0, task("h1", 1, 3, OPEN, &[("c1", 1.0)])));
        }),
        ("asked again under a screening", 1, "a screening covers c2", a_screening, |all| {
            let old = task("h1", 1, 2, DONE, &[]);
            let anew = Task { before: before(old, DONE, Some(Outcome::Screened)), ..task("h1", 2, 3, OPEN, &[("c2", 3.0)]) };
            all.insert(16, record(3.0, anew));
        }),
        ("an action without an answer", 2, "has no answer", a_screening, |all| drop(all.remove(13))),
        ("a screening is refused", 1, "was refused with 409", a_screening, |all| {
            all[13] = record(2.0, answered(task("h1", 1, 2, DONE, &[("c1", 1.0)]), 409));
        }),
        ("two visits within one window", 1, "had expired", a_screening, |all| {
            all.truncate(12);
            let old = task("h1", 1, 2, TaskState::Expired, &[("c1", 1.0)]);
            let anew = Task { before: before(old.clone(), TaskState::Expired, None), ..task("h1", 2, 3, OPEN, &[("c2", 3.0)]) };
            all.extend([sent(passage("c2", "p1", 3.0, 3.0)), record(3.0, old), record(3.0, anew)]);
        }),
    ];
    for (name, law, says, history, spoil) in cases {
        let mut history = history();
        spoil(&mut history);
        history.push(Seen::Rest(Millis(newest(&history).0 + 2 * HOUR_MS)));
        let findings = judged(&history);
        let found = findings.iter().any(|finding| finding.law == *law && finding.what.contains(says));
        assert!(found, "{name}: law {law}, {says:?} is not in {findings:#?}");
    }
    assert!(cases.len() >= 12);
}
