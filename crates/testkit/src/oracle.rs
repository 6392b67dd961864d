//! Says from the outside whether a site kept its word: which visits there must be, by the events that were accepted, and what is
//! wrong with what is there. It shares no code with the router's judgement.
//!
//! It rests on what the load promises: the registry does not change meanwhile, every event is `in` and of a known household, none is
//! late, and the events of a household's next episode are sent only when all of the one before are decided.

use events::time::{DAY_MS, china_day};
use events::{Code, Decision, Millis, Outcome, SourceKind, Task, TaskState, ids};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Days of the default policy's window.
const WINDOW_DAYS: i64 = 14;
/// Findings of one kind that are shown.
const SHOWN_MAX: usize = 5;

/// An event that a gateway accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where its people live.
    pub household: String,
    /// Telecom is weak.
    pub kind: SourceKind,
    /// When it was seen.
    pub observed_at: Millis,
}

/// What the load knows to be true.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// By event id, as the gateway answered it.
    pub accepted: BTreeMap<String, Accepted>,
    /// Household and task of every screening that was answered with 200.
    pub screened: BTreeSet<(String, String)>,
}

/// What is found at the site when it has come to rest.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The mandate of it all.
    pub mandate: String,
    /// Every decision in the topic; those of one event in the topic's order.
    pub decisions: Vec<Decision>,
    /// The folded tasks.
    pub tasks: Vec<Task>,
    /// Every task that a worker was ever shown, by household.
    pub shown: BTreeMap<String, BTreeSet<String>>,
    /// Households of the tasks that are open, once for each task.
    pub open: Vec<String>,
}

/// What is wrong. Empty lists: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Visits that must be there, and are not or were never shown.
    pub lost: Vec<String>,
    /// Visits that must not be there.
    pub doubled: Vec<String>,
    /// Accepted events without a decision.
    pub undecided: Vec<String>,
    /// Events whose newest code was said again with another visit.
    pub restated: Vec<String>,
    /// Events with two codes at their highest revision, decisions about events that nobody accepted, screenings that do not stand.
    pub wrong: Vec<String>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        *self == Findings::default()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("undecided", &self.undecided),
            ("restated", &self.restated),
            ("wrong", &self.wrong),
        ];
        for (name, list) in lists {
            for what in list.iter().take(SHOWN_MAX) {
                writeln!(f, "{name}: {what}")?;
            }
            if list.len() > SHOWN_MAX {
                writeln!(f, "{name}: and {} more", list.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

/// How many visits these signals of one household make, in whatever order they came within an episode.
pub fn visits(signals: &[(SourceKind, Millis)]) -> usize {
    let mut signals = signals.to_vec();
    signals.sort_by_key(|(_, at)| *at);
    let mut count = 0;
    while let Some(start) = start(&signals) {
        count += 1;
        signals.retain(|(_, at)| at.0 >= start.0 + WINDOW_DAYS * DAY_MS);
    }
    count
}

/// The first strong signal, or the first weak one of another day than one before it, whichever is earlier. `signals` are in order.
fn start(signals: &[(SourceKind, Millis)]) -> Option<Millis> {
    signals.iter().enumerate().find_map(|(index, (kind, at))| {
        let joins_one_before = || {
            let near = |before: &Millis| at.0 - before.0 < WINDOW_DAYS * DAY_MS && china_day(*before) != china_day(*at);
            signals[..index].iter().any(|(_, before)| near(before))
        };
        (*kind != SourceKind::Telecom || joins_one_before()).then_some(*at)
    })
}

/// The signals of every household.
pub fn signals(truth: &Truth) -> BTreeMap<&str, Vec<(SourceKind, Millis)>> {
    let mut signals: BTreeMap<&str, Vec<(SourceKind, Millis)>> = BTreeMap::new();
    for event in truth.accepted.values() {
        signals.entry(&event.household).or_default().push((event.kind, event.observed_at));
    }
    signals
}

/// Compares what is there with what must be there.
pub fn check(truth: &Truth, seen: &Seen) -> Findings {
    let mut findings = Findings::default();
    let opened = decisions(truth, seen, &mut findings);
    let signals = signals(truth);
    let tasks: BTreeMap<&str, &Task> = seen.tasks.iter().map(|task| (task.household.as_str(), task)).collect();
    let households: BTreeSet<&str> =
        signals.keys().copied().chain(tasks.keys().copied()).chain(seen.shown.keys().map(String::as_str)).collect();
    let mut expected_opened = BTreeSet::new();
    for household in households {
        let expected = signals.get(household).map_or(0, |signals| visits(signals));
        let there = tasks.get(household).map_or(0, |task| task.episode);
        let there = usize::try_from(there).unwrap_or_default();
        if there < expected {
            findings.lost.push(format!("{household}: {there} visits of {expected}"));
        }
        if there > expected {
            findings.doubled.push(format!("{household}: {there} visits instead of {expected}"));
        }
        let due: BTreeSet<String> =
            (1..=expected).map(|episode| ids::task_id(&seen.mandate, household, episode as i64).to_string()).collect();
        let shown = seen.shown.get(household).cloned().unwrap_or_default();
        findings.lost.extend(due.difference(&shown).map(|task| format!("{household}: task {task} was never shown")));
        findings.doubled.extend(shown.difference(&due).map(|task| format!("{household}: task {task} was shown")));
        for task in &due {
            match opened.get(task).copied().unwrap_or_default() {
                0 => findings.wrong.push(format!("{household}: no event opened task {task}")),
                1 => {}
                several => findings.doubled.push(format!("{household}: {several} events opened task {task}")),
            }
        }
        expected_opened.extend(due);
    }
    let strangers = opened.keys().filter(|task| !expected_opened.contains(*task));
    findings.doubled.extend(strangers.map(|task| format!("task {task} was opened for no household that was seen")));
    let mut open = BTreeSet::new();
    findings
        .doubled
        .extend(seen.open.iter().filter(|household| !open.insert(*household)).map(|household| format!("{household}: two open tasks")));
    for (household, task) in &truth.screened {
        let stands = tasks.get(household.as_str()).is_some_and(|state| is_screened(state, task));
        if !stands {
            findings.wrong.push(format!("{household}: the screening of task {task} does not stand"));
        }
    }
    findings
}

/// Judges the decisions; gives for every task how many events have `opened` it by their newest word.
fn decisions(truth: &Truth, seen: &Seen, findings: &mut Findings) -> BTreeMap<String, usize> {
    let mut said: BTreeMap<String, Vec<&Decision>> = BTreeMap::new();
    for decision in &seen.decisions {
        said.entry(decision.event_id.to_string()).or_default().push(decision);
    }
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    for (event, said) in &said {
        if !truth.accepted.contains_key(event) {
            findings.wrong.push(format!("event {event}: decided, and never accepted"));
        }
        let highest = said.iter().map(|decision| decision.revision).max();
        let newest: Vec<&&Decision> = said.iter().filter(|decision| Some(decision.revision) == highest).collect();
        let Some((first, repeats)) = newest.split_first() else { continue };
        let word = |one: &Decision| format!("{} {} ({})", one.code.as_str(), one.task_id.as_deref().unwrap_or("no task"), one.reason);
        let against = |other: &Decision| format!("event {event} at revision {}: {}; {}", first.revision, word(first), word(other));
        if let Some(other) = repeats.iter().find(|other| other.code != first.code) {
            findings.wrong.push(against(other));
        } else if let Some(other) = repeats.iter().find(|other| other.task_id != first.task_id) {
            findings.restated.push(against(other));
        }
        if first.code == Code::Opened {
            *opened.entry(first.task_id.unwrap_or_default().to_string()).or_default() += 1;
        }
    }
    findings.undecided.extend(truth.accepted.keys().filter(|event| !said.contains_key(*event)).cloned());
    opened
}

fn is_screened(state: &Task, task: &str) -> bool {
    let now = *state.task_id == *task && state.state == TaskState::Done && state.outcome == Some(Outcome::Screened);
    let before = || state.before.as_ref().is_some_and(|one| *one.task_id == *task && one.state == TaskState::Done);
    now || before()
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{EventId, TaskId};

    const MANDATE: &str = "m";

    fn day(day: f64) -> Millis {
        Millis(1_767_542_400_000 + (day * DAY_MS as f64) as i64)
    }

    fn event(number: u8) -> EventId {
        EventId([number; 16])
    }

    fn decision(number: u8, code: Code, revision: i64, task_id: Option<TaskId>) -> Decision {
        let (mandate, reason, grid) = (MANDATE.into(), "".into(), None);
        Decision { event_id: event(number), mandate, code, revision, reason, grid, task_id, policy: 1, at: Millis(0) }
    }

    /// Two households with a visit each, one of them screened; a third where one weak signal waits.
    fn world() -> (Truth, Seen) {
        use SourceKind::*;
        let mut truth = Truth::default();
        for (number, household, kind) in [(1, "A", Checkpoint), (2, "A", Highway), (3, "B", Checkpoint), (4, "C", Telecom)] {
            let accepted = Accepted { household: household.into(), kind, observed_at: day(f64::from(number)) };
            truth.accepted.insert(event(number).to_string(), accepted);
        }
        let id = |household: &str| ids::task_id(MANDATE, household, 1);
        truth.screened.insert(("B".into(), id("B").to_string()));
        let task = |household: &str, state, outcome| Task {
            task_id: id(household),
            episode: 1,
            state,
            outcome,
            ..domain::household::new_task(MANDATE, household)
        };
        let seen = Seen {
            mandate: MANDATE.into(),
            decisions: vec![
                decision(1, Code::Joined, 65_536, Some(id("A"))),
                decision(1, Code::Opened, 65_537, Some(id("A"))),
                decision(1, Code::Opened, 65_537, Some(id("A"))),
                decision(2, Code::Joined, 65_536, Some(id("A"))),
                decision(3, Code::Opened, 65_536, Some(id("B"))),
                decision(4, Code::Held, 65_536, None),
            ],
            tasks: vec![
                task("A", TaskState::Open, None),
                task("B", TaskState::Done, Some(Outcome::Screened)),
                domain::household::new_task(MANDATE, "C"),
            ],
            shown: [("A", id("A")), ("B", id("B"))].map(|(household, task)| (household.into(), BTreeSet::from([task.to_string()]))).into(),
            open: vec!["A".into()],
        };
        (truth, seen)
    }

    #[test]
    fn a_site_that_kept_its_word_is_clean() {
        let (truth, seen) = world();
        assert_eq!(check(&truth, &seen), Findings::default());
    }

    #[test]
    fn a_lost_task_is_found() {
        let (truth, mut seen) = world();
        seen.tasks.retain(|task| task.household != "A");
        assert!(!check(&truth, &seen).lost.is_empty());
        let (truth, mut seen) = world();
        seen.shown.remove("A");
        assert!(!check(&truth, &seen).lost.is_empty(), "a task that no worker was shown is lost");
    }

    #[test]
    fn a_doubled_task_is_found() {
        let second = ids::task_id(MANDATE, "A", 2);
        let (truth, mut seen) = world();
        seen.tasks[0].episode = 2;
        assert!(!check(&truth, &seen).doubled.is_empty());
        let (truth, mut seen) = world();
        seen.decisions[3] = decision(2, Code::Opened, 65_536, Some(second));
        assert!(!check(&truth, &seen).doubled.is_empty());
        let (truth, mut seen) = world();
        seen.decisions[3].code = Code::Opened;
        assert!(!check(&truth, &seen).doubled.is_empty(), "two events opened one task");
        let (truth, mut seen) = world();
        seen.shown.entry("A".into()).or_default().insert(second.to_string());
        assert!(!check(&truth, &seen).doubled.is_empty());
        let (truth, mut seen) = world();
        seen.shown.insert("~f".into(), BTreeSet::from(["t".to_owned()]));
        assert!(!check(&truth, &seen).doubled.is_empty(), "a visit of somebody whom nobody saw");
        let (truth, mut seen) = world();
        seen.open.push("A".into());
        assert!(!check(&truth, &seen).doubled.is_empty());
    }

    #[test]
    fn an_event_without_an_answer_or_with_two_is_found() {
        let (truth, mut seen) = world();
        seen.decisions.pop();
        assert_eq!(check(&truth, &seen).undecided, [event(4).to_string()]);
        let (truth, mut seen) = world();
        seen.decisions.push(decision(4, Code::Late, 65_536, None));
        assert_eq!(check(&truth, &seen).wrong.len(), 1);
        let (truth, mut seen) = world();
        seen.decisions[2].task_id = TaskId::from("another").ok();
        assert_eq!(check(&truth, &seen).restated.len(), 1);
        let (mut truth, seen) = world();
        truth.accepted.remove(&event(2).to_string());
        assert_eq!(check(&truth, &seen).wrong.len(), 1);
    }

    #[test]
    fn a_screening_that_was_answered_and_does_not_stand_is_found() {
        let (truth, mut seen) = world();
        (seen.tasks[1].state, seen.tasks[1].outcome) = (TaskState::Open, None);
        assert_eq!(check(&truth, &seen).wrong.len(), 1);
    }

    #[test]
    fn visits_are_counted_by_the_set_of_signals() {
        use SourceKind::*;
        let count = |signals: &[(SourceKind, f64)]| visits(&signals.iter().map(|(kind, at)| (*kind, day(*at))).collect::<Vec<_>>());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(Checkpoint, 0.0), (Highway, 13.9)]), 1);
        assert_eq!(count(&[(Highway, 14.0), (Checkpoint, 0.0)]), 2);
        assert_eq!(count(&[(Telecom, 0.3), (Telecom, 0.8)]), 0);
        assert_eq!(count(&[(Telecom, 0.8), (Telecom, 1.1)]), 1);
        assert_eq!(count(&[(Telecom, 0.0), (Telecom, 14.0)]), 0);
        assert_eq!(count(&[(Telecom, 0.0), (Checkpoint, 13.0), (Checkpoint, 26.9)]), 1);
        assert_eq!(count(&[(Telecom, 0.3), (Telecom, 1.3), (Checkpoint, 15.3)]), 2);
    }
}
