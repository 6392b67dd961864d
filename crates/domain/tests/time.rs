//! What time alone does to a household, and that nothing else does it: by the owner's now, no input but `Input::Time`. And what comes
//! late: a screening of somebody who has gone meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::Clock;
use domain::household::{self, Context, Effects, Entry, Input, due};
use domain::policy::default_policy;
use events::time::HOUR_MS;
use events::*;
use std::collections::HashMap;
use testkit::given;
use testkit::house::{day, signal};

fn apply(task: &mut Task, input: &Input<'_>, now: Millis, clock: Clock) -> Effects {
    let (mandate, policy, grids) = (given::mandate(), default_policy(), HashMap::from([("g1".to_owned(), given::grid("3301"))]));
    let entry = Some(Entry { version: 1, grid: "g1" });
    let context = Context { now, clock, policy: &policy, mandate: Some(&mandate), entry, grids: &grids, settled: true };
    let effects = household::apply(task, input, &context);
    household::acknowledged(task);
    effects
}

/// Somebody is seen and arrives at once.
fn seen(task: &mut Task, kind: SourceKind, number: u8, at: Millis) -> Effects {
    apply(task, &Input::Arrival(&given::here("t", vec![signal(kind, number, at)])), at, Clock::Wall)
}

fn release(task: &mut Task, at: Millis) {
    apply(task, &Input::Arrival(&given::release("t", at)), at, Clock::Wall);
}

fn acts(task: &mut Task, action: ActionKind, outcome: Option<Outcome>, at: Millis) -> Effects {
    let action = Action { outcome, ..given::action(&format!("a{}", at.0), &task.task_id, action, at) };
    let effects = apply(task, &Input::Action(&action), at, Clock::Wall);
    assert_eq!(task.answers.last().unwrap().status, 200);
    effects
}

/// Time passes, and nothing is due before the moment that `due` names; what is due is done once.
fn time(task: &mut Task, now: Millis) -> Effects {
    let policy = default_policy();
    if let Some(at) = due(task, &policy, Clock::Wall) {
        let (before, early) = (task.clone(), Millis(at.0 - 1).min(now));
        assert!(!apply(task, &Input::Time, early, Clock::Wall).changed);
        assert_eq!(*task, before);
    }
    let effects = apply(task, &Input::Time, now, Clock::Wall);
    let after = task.clone();
    assert!(!apply(task, &Input::Time, now, Clock::Wall).changed, "a repeat changes nothing");
    assert_eq!(*task, after);
    assert!(due(task, &policy, Clock::Wall).is_none_or(|at| at > now), "what was due is done");
    effects
}

fn due_at(task: &Task) -> Option<Millis> {
    due(task, &default_policy(), Clock::Wall)
}

fn household() -> Task {
    household::new_task("m", "A")
}

#[test]
fn history_5_a_visit_that_nobody_makes_ends_by_the_clock() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    assert_eq!(due_at(&task), Some(day(14.0)));
    time(&mut task, day(13.9));
    assert_eq!(task.state, TaskState::Open);
    let version = task.version;
    time(&mut task, day(14.0));
    assert_eq!((task.state, task.version), (TaskState::Expired, version + 1));
    seen(&mut task, SourceKind::Checkpoint, 2, day(14.0));
    assert_eq!((task.state, task.episode), (TaskState::Open, 2));
}

/// The null control: with the events' own clock nothing is ever due, and nothing is done.
#[test]
fn with_the_clock_of_events_nothing_expires_by_itself() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    assert_eq!(due(&task, &default_policy(), Clock::Events), None);
    assert!(!apply(&mut task, &Input::Time, day(99.0), Clock::Events).changed);
    assert_eq!(task.state, TaskState::Open);
}

#[test]
fn history_10_a_weak_signal_alone_waits_and_makes_no_task() {
    let mut task = household();
    let effects = seen(&mut task, SourceKind::Telecom, 1, day(0.0));
    assert_eq!(effects.decisions[0].code, Code::Held);
    assert_eq!(time(&mut task, day(14.0)).decisions.as_slice(), []);
    assert_eq!((task.state, task.episode), (TaskState::Waiting, 0));
    // It is over by now: it makes nothing count.
    assert_eq!(seen(&mut task, SourceKind::Telecom, 2, day(14.0)).decisions[0].code, Code::Held);
}

#[test]
fn history_22_who_was_not_at_home_is_due_again_20_hours_later() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    acts(&mut task, ActionKind::Outcome, Some(Outcome::NotHome), day(0.5));
    time(&mut task, Millis(day(0.5).0 + 20 * HOUR_MS));
    assert_eq!((task.state, task.attempts), (TaskState::Open, 1));
    assert_eq!(task.due_at, Some(Millis(day(0.5).0 + 20 * HOUR_MS)));
    // Asked again on the last day, it may still be made until it is due.
    acts(&mut task, ActionKind::Outcome, Some(Outcome::NotHome), day(13.9));
    assert_eq!(due_at(&task), Some(Millis(day(13.9).0 + 20 * HOUR_MS)));
}

#[test]
fn a_claim_that_nobody_acts_on_lapses() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    acts(&mut task, ActionKind::Claim, None, day(1.0));
    assert_eq!(due_at(&task), Some(day(2.0)));
    // Who is at work on it keeps it.
    acts(&mut task, ActionKind::Note, None, day(1.5));
    time(&mut task, day(2.0));
    assert_eq!((task.state, task.assignee.as_deref()), (TaskState::Claimed, Some("w-1")));
    time(&mut task, day(2.5));
    assert_eq!((task.state, task.assignee.as_deref()), (TaskState::Open, None));
}

#[test]
fn a_claim_outlives_the_end_and_what_came_after_it_is_visited() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    acts(&mut task, ActionKind::Claim, None, day(13.5));
    assert_eq!(seen(&mut task, SourceKind::Checkpoint, 2, day(14.2)).decisions[0].code, Code::Joined);
    assert_eq!(task.state, TaskState::Claimed);
    let effects = time(&mut task, day(14.5));
    assert_eq!((task.state, task.episode), (TaskState::Open, 2));
    let opened: Vec<u8> = effects.decisions.iter().filter(|said| said.code == Code::Opened).map(|said| said.event_id.0[0]).collect();
    assert_eq!(opened, vec![2], "the first signal is over with its visit");
}

/// The owner before may have ended with the screening in its record and what it had to tell untold.
#[test]
fn a_late_screening_that_is_repeated_is_told_again_to_whoever_has_gone() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    release(&mut task, day(1.0));
    let told = acts(&mut task, ActionKind::Outcome, Some(Outcome::Screened), day(1.5)).covered;
    assert_eq!(told.iter().map(|(traveller, covered)| (&**traveller, covered.cover.at)).collect::<Vec<_>>(), [("t", day(1.5))]);
    let before = task.clone();
    let again = acts(&mut task, ActionKind::Outcome, Some(Outcome::Screened), day(1.5));
    assert_eq!((again.covered, again.changed), (told, false));
    assert_eq!(task, before);
    assert!(acts(&mut task, ActionKind::Note, None, day(1.6)).covered.is_empty(), "another action tells nobody");
}

#[test]
fn who_was_let_go_is_forgotten_but_for_the_version() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    release(&mut task, day(1.0));
    assert!(task.stays[0].first_taken_at.is_some());
    time(&mut task, day(35.9));
    assert!(task.stays[0].first_taken_at.is_some(), "a late screening must find the traveller");
    time(&mut task, day(36.0));
    assert_eq!((task.stays[0].first_taken_at, task.stays[0].version), (None, 1));
    assert_eq!(seen(&mut task, SourceKind::Checkpoint, 1, day(36.1)).decisions.as_slice(), [], "that version was let go");
}

#[test]
fn a_household_that_is_over_shrinks_to_its_episode_and_versions() {
    let mut task = household();
    seen(&mut task, SourceKind::Checkpoint, 1, day(0.0));
    acts(&mut task, ActionKind::Outcome, Some(Outcome::Screened), day(1.0));
    time(&mut task, day(35.9));
    assert_eq!((task.covers.len(), task.stays[0].signals.len()), (1, 1));
    let version = task.version;
    assert!(time(&mut task, day(36.0)).changed);
    assert_eq!((task.covers.len(), task.answers.len(), task.stays[0].signals.len(), task.stays[0].version), (0, 0, 0, 1));
    assert_eq!((task.episode, task.version), (1, version), "nobody is told");
    assert_eq!(due_at(&task), None, "nothing is left to forget");
    assert_eq!(seen(&mut task, SourceKind::Checkpoint, 2, day(40.0)).decisions[0].code, Code::Opened);
    assert_eq!(task.episode, 2);
}
