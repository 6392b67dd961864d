//! What workers and supervisors may do with a visit, and what each outcome makes of it: sentence by sentence as the contract has them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::Clock;
use domain::household::Input;
use events::time::{DAY_MS, HOUR_MS};
use events::*;
use testkit::house::{House, day, signal};

use ActionKind::{Claim, HandBack, Note, Release};
use Outcome::*;

/// A visit that stands in this way; its signal is number 1, of day 0.
fn visit(state: &str) -> House {
    let mut house = House::new("A");
    assert_eq!(house.passes("t", 1, 0.0), Some(Code::Opened));
    house.now = day(0.5);
    let status = match state {
        "open" => 200,
        "claimed by w1" => house.claim("w1"),
        "triage" => house.hand_back("w1", None),
        "done" => house.outcome("w1", MovedAway),
        "withdrawn" => house.outcome("w1", WrongHousehold),
        "expired" => {
            house.time(14.0);
            200
        }
        other => panic!("{other}"),
    };
    assert_eq!(status, 200);
    house
}

fn reports(outcome: Outcome) -> impl Fn(&mut House, &str) -> i32 {
    move |house, actor| house.outcome(actor, outcome)
}

#[test]
fn who_may_do_what() {
    type Does = Box<dyn Fn(&mut House, &str) -> i32>;
    let deeds: Vec<(&str, Does)> = vec![
        ("claim", Box::new(|house, actor| house.claim(actor))),
        ("release", Box::new(|house, actor| house.release(actor))),
        ("hand_back", Box::new(|house, actor| house.hand_back(actor, Some("g2")))),
        ("not_home", Box::new(reports(NotHome))),
        ("moved_away", Box::new(reports(MovedAway))),
        ("wrong_household", Box::new(reports(WrongHousehold))),
        ("refused", Box::new(reports(Refused))),
        ("screened", Box::new(reports(Screened))),
        ("needs_help", Box::new(reports(NeedsHelp))),
        ("note", Box::new(|house, actor| house.acts(actor, Note, |_| {}))),
    ];
    let (worker, other, supervisor) = ("w1", "w2", "s1");
    // Of each state and person, what is allowed besides screened, needs_help and note, which always are.
    let decisions = ["hand_back", "not_home", "moved_away", "wrong_household", "refused"];
    let allowed = |state: &str, actor: &str, deed: &str| match (state, actor) {
        _ if ["screened", "needs_help", "note"].contains(&deed) => true,
        ("open", _) | ("triage", "s1") => deed == "claim" || decisions.contains(&deed),
        ("claimed by w1", "w1") => deed == "release" || decisions.contains(&deed),
        ("claimed by w1", "s1") => deed == "release",
        _ => false,
    };
    for state in ["open", "claimed by w1", "triage", "done", "withdrawn", "expired"] {
        for actor in [worker, other, supervisor] {
            for (deed, does) in &deeds {
                let mut house = visit(state);
                let before = house.task.clone();
                let expected = if allowed(state, actor, deed) { 200 } else { 409 };
                assert_eq!(does(&mut house, actor), expected, "{deed} by {actor}, {state}");
                if expected == 409 {
                    let answers = std::mem::take(&mut house.task.answers);
                    assert_eq!(answers.len(), before.answers.len() + 1);
                    assert_eq!(house.task, Task { answers: vec![], ..before }, "{deed} by {actor}, {state}: nothing changes");
                }
            }
        }
    }
}

#[test]
fn of_two_workers_at_once_one_wins_and_the_record_says_who() {
    let mut house = visit("open");
    assert_eq!((house.claim("w1"), house.claim("w2")), (200, 409));
    assert_eq!((house.task.state, house.task.assignee.as_deref()), (TaskState::Claimed, Some("w1")));
    assert_eq!(house.outcome("w2", Refused), 409, "it is claimed by somebody else");
    assert_eq!(house.outcome("w1", Refused), 200);
    assert_eq!(house.task.assignee, None);
    assert_eq!(house.claim("w2"), 200, "and then it is free again");
}

#[test]
fn an_action_under_its_own_id_again_changes_nothing() {
    let mut house = visit("open");
    let action = house.action("w1", ActionKind::Outcome, |action| action.outcome = Some(NotHome));
    house.apply(&Input::Action(&action));
    let once = house.task.clone();
    house.now = day(3.0);
    house.apply(&Input::Action(&action));
    assert_eq!((house.task.attempts, &house.task), (1, &once));
    // The null control: under another id it is another attempt.
    house.outcome("w1", NotHome);
    assert_eq!(house.task.attempts, 2);
}

#[test]
fn a_signal_that_joins_meanwhile_is_no_conflict() {
    let mut house = visit("open");
    let version = house.task.version;
    assert_eq!(house.passes("u", 2, 0.6), Some(Code::Joined));
    assert!(house.task.version > version);
    assert_eq!(house.claim("w1"), 200);
}

#[test]
fn a_screening_counts_in_every_state_from_its_own_moment() {
    for state in ["open", "claimed by w1", "triage", "done", "withdrawn", "expired"] {
        for outcome in [Screened, NeedsHelp] {
            let mut house = visit(state);
            house.now = house.now.max(day(2.0));
            let at = day(1.25);
            let status = house.acts("w2", ActionKind::Outcome, |action| (action.outcome, action.at) = (Some(outcome), Some(at)));
            assert_eq!((status, house.task.state), (200, TaskState::Done), "{state}");
            let until = Millis(at.0 + 14 * DAY_MS);
            assert_eq!((house.task.screened_at, house.task.covered_until, house.task.outcome), (Some(at), Some(until), Some(outcome)));
            assert_eq!(house.task.supervisor, outcome == NeedsHelp, "needs_help goes to the supervisor also");
            assert_eq!(house.passes("u", 2, 15.24), Some(Code::Covered), "{state}: until the window's end");
            assert_eq!(house.passes("u", 3, 15.25), Some(Code::Opened), "{state}: exclusive");
        }
    }
}

#[test]
fn a_screening_that_stands_is_not_moved_by_another() {
    let mut house = visit("open");
    house.now = day(1.0);
    house.outcome("w1", Screened);
    house.now = day(3.0);
    assert_eq!(house.outcome("w2", NeedsHelp), 200);
    assert_eq!((house.task.screened_at, house.task.outcome), (Some(day(1.0)), Some(Screened)));
    assert!(house.task.supervisor, "help is needed all the same");
    // A supervisor who writes down what was done about it has it off the list; a worker's note does not.
    house.acts("w1", Note, |_| {});
    assert!(house.task.supervisor);
    house.acts("s1", Note, |_| {});
    assert!(!house.task.supervisor);
}

#[test]
fn the_last_episode_can_still_be_screened_and_nothing_else() {
    let mut house = visit("open");
    let before = Text::new(house.task.task_id);
    assert_eq!(house.passes("t", 2, 14.5), Some(Code::Opened));
    assert_eq!(house.task.before.as_ref().map(|before| before.state), Some(TaskState::Expired));
    let on_before = |action: &mut Action| action.task_id = before.clone();
    for (kind, outcome) in [(Claim, None), (Release, None), (HandBack, None), (ActionKind::Outcome, Some(NotHome))] {
        let status = house.acts("w1", kind, |action| {
            on_before(action);
            action.outcome = outcome;
        });
        assert_eq!(status, 409, "{kind}");
    }
    assert_eq!(house.acts("w1", Note, on_before), 200);
    let status = house.acts("w1", ActionKind::Outcome, |action| {
        on_before(action);
        (action.outcome, action.at) = (Some(Screened), Some(day(13.0)));
    });
    assert_eq!((status, house.task.state), (200, TaskState::Withdrawn), "the new visit is answered");
    assert_eq!(house.code(2), Some(Code::Covered));
    let last = house.task.before.as_ref().unwrap();
    assert_eq!((last.state, last.outcome), (TaskState::Done, Some(Screened)));
    let status = house.acts("w1", Claim, |action| action.task_id = "another".into());
    assert_eq!(status, 404);
}

#[test]
fn who_was_not_at_home_is_due_again_and_after_the_last_attempt_the_supervisors() {
    let mut house = visit("open");
    house.claim("w1");
    for attempt in 1..=4 {
        house.now = Millis(day(0.5).0 + i64::from(attempt) * 20 * HOUR_MS);
        assert_eq!(house.outcome("w1", NotHome), 200);
        assert_eq!((house.task.state, house.task.assignee.as_ref(), house.task.attempts), (TaskState::Open, None, attempt));
        assert_eq!(house.task.due_at, Some(Millis(house.now.0 + 20 * HOUR_MS)), "retry_hours after the visit");
        assert_eq!(house.task.supervisor, attempt >= 3, "attempt {attempt} of attempts_max 3");
        assert_eq!(house.passes("u", 10 + u8::try_from(attempt).unwrap(), 4.0 + f64::from(attempt) / 10.0), Some(Code::Joined));
        house.now = day(0.5);
    }
    // What is done is on nobody's list.
    house.now = day(5.0);
    house.outcome("w2", Screened);
    assert!(!house.task.supervisor);
}

#[test]
fn who_refuses_is_the_supervisors_and_later_arrivals_join() {
    let mut house = visit("open");
    assert_eq!(house.outcome("w1", Refused), 200);
    assert_eq!((house.task.state, house.task.supervisor, house.task.outcome), (TaskState::Open, true, Some(Refused)));
    assert_eq!(house.passes("u", 2, 1.0), Some(Code::Joined));
    house.acts("s1", Note, |_| {});
    assert!(house.task.supervisor, "it is still to be decided");
}

#[test]
fn who_moved_away_is_over_until_the_window_ends_or_the_registry_changes() {
    let mut house = visit("done");
    assert_eq!((house.task.state, house.task.outcome), (TaskState::Done, Some(MovedAway)));
    assert_eq!(house.passes("t", 2, 2.0), Some(Code::Joined));
    assert_eq!(house.passes("t", 3, 13.9), Some(Code::Joined));
    assert_eq!(house.task.episode, 1);
    assert_eq!(house.passes("t", 4, 14.0), Some(Code::Opened));

    // The registry changes: what is live is judged again, for the whole household.
    let mut house = visit("done");
    house.entry = Some((2, "g1"));
    house.tables();
    assert_eq!((house.task.state, house.task.episode, house.code(1)), (TaskState::Open, 2, Some(Code::Opened)), "also what opened it");
    let mut house = visit("done");
    assert_eq!(house.passes("u", 2, 2.0), Some(Code::Joined));
    house.tables();
    assert_eq!(house.task.episode, 1, "the null control: nothing has changed");
    house.entry = Some((2, "g1"));
    house.tables();
    assert_eq!((house.task.state, house.task.episode), (TaskState::Open, 2));
    assert_eq!([house.code(1), house.code(2)], [Some(Code::Opened), Some(Code::Joined)]);

    // So it is where a traveller of that episode is let go.
    let mut house = visit("done");
    assert_eq!(house.passes("u", 2, 2.0), Some(Code::Joined));
    house.lets_go("t");
    assert_eq!((house.task.state, house.code(2)), (TaskState::Open, Some(Code::Opened)));
}

#[test]
fn of_the_wrong_household_nothing_is_resolved_until_the_registry_changes() {
    let mut house = visit("withdrawn");
    assert_eq!((house.task.state, house.code(1)), (TaskState::Withdrawn, Some(Code::Unresolved)));
    assert_eq!(house.passes("u", 2, 1.0), Some(Code::Unresolved));
    assert_eq!(house.passes("u", 3, 13.0), Some(Code::Unresolved));
    house.entry = Some((2, "g1"));
    house.tables();
    assert_eq!((house.task.state, house.task.episode), (TaskState::Open, 2));
    assert!([1, 2, 3].iter().all(|&number| matches!(house.code(number), Some(Code::Opened | Code::Joined))));
}

#[test]
fn at_a_pseudo_household_a_newly_declared_grid_lifts_it() {
    let mut house = House::new("~00000000000000000000000000000001");
    assert_eq!(house.passes_towards("g1", "t", 1, 0.0), Some(Code::Opened));
    house.outcome("w1", WrongHousehold);
    assert_eq!(house.passes_towards("g1", "u", 2, 0.6), Some(Code::Unresolved), "the same grid is nothing new");
    assert_eq!(house.passes_towards("g2", "v", 3, 0.7), Some(Code::Opened));
    assert_eq!((house.task.episode, house.task.grid.as_deref()), (2, Some("g2")));
}

#[test]
fn handed_back_it_is_another_grids_until_the_entry_names_a_third() {
    let mut house = visit("open");
    assert_eq!(house.hand_back("w1", Some("g2")), 200);
    assert_eq!((house.task.grid.as_deref(), house.task.triage), (Some("g2"), false));
    let told: Vec<&str> = house.task.grids.iter().map(|stay| stay.grid.as_str()).collect();
    assert_eq!(told, ["g1", "g2"], "both are told");
    house.entry = Some((2, "g1"));
    house.tables();
    assert_eq!(house.task.grid.as_deref(), Some("g2"), "the entry names no other grid than it did then");
    house.grids.insert("g3".into(), testkit::given::grid("330108"));
    house.entry = Some((3, "g3"));
    house.tables();
    assert_eq!(house.task.grid.as_deref(), Some("g3"));

    for (grid, field) in [("nowhere", "to_grid"), ("g9", "to_grid")] {
        let mut house = visit("open");
        assert_eq!(house.hand_back("w1", Some(grid)), 400);
        let answer = house.task.answers.last().unwrap();
        assert_eq!((answer.field.as_deref(), house.task.grid.as_deref()), (Some(field), Some("g1")));
    }
}

#[test]
fn in_triage_arrivals_join_and_a_supervisor_assigns_it() {
    let mut house = visit("triage");
    assert_eq!((house.task.state, house.task.triage, house.task.grid.as_deref()), (TaskState::Open, true, Some("g1")));
    assert_eq!(house.passes("u", 2, 1.0), Some(Code::Joined));
    assert_eq!(house.hand_back("s1", Some("g2")), 200);
    assert_eq!((house.task.triage, house.task.grid.as_deref()), (false, Some("g2")));
    assert_eq!(house.claim("w2"), 200);
}

#[test]
fn an_entry_that_is_gone_leaves_grid_and_task_as_they_are() {
    let mut house = visit("open");
    house.entry = None;
    house.tables();
    assert_eq!((house.task.state, house.task.grid.as_deref()), (TaskState::Open, Some("g1")));
    assert_eq!(house.passes("u", 2, 1.0), Some(Code::Joined));
}

#[test]
fn a_moment_at_the_door_lies_between_opening_and_now() {
    for (at, taken) in [(day(-3.0), day(0.0)), (day(0.25), day(0.25)), (day(9.0), day(1.0))] {
        let mut house = visit("open");
        house.now = day(1.0);
        house.acts("w1", ActionKind::Outcome, |action| (action.outcome, action.at) = (Some(Screened), Some(at)));
        assert_eq!(house.task.screened_at, Some(taken));
    }
    for clock in [Clock::Wall, Clock::Events] {
        for (age, status) in [(28 * DAY_MS, 200), (28 * DAY_MS + 1, 400)] {
            let mut house = visit("open");
            house.clock = clock;
            (house.now, house.task.observed_until) = (day(30.0), day(30.0));
            let at = Some(Millis(day(30.0).0 - age));
            let answered = house.acts("w1", ActionKind::Outcome, |action| (action.outcome, action.at) = (Some(Screened), at));
            assert_eq!(answered, status, "{clock:?}");
            let field = house.task.answers.last().unwrap().field.clone();
            assert_eq!(field.as_deref(), (status == 400).then_some("at"));
        }
    }
    // With the clock of events nothing is too late for `at`, and none is now.
    let mut house = visit("open");
    house.clock = Clock::Events;
    house.acts("w1", ActionKind::Outcome, |action| (action.outcome, action.at) = (Some(Screened), Some(day(9.0))));
    assert_eq!((house.task.screened_at, house.task.observed_until), (Some(day(9.0)), day(0.0)));
}

/// What joined a claimed visit after its end opens the next one in the step that lets the claim go.
#[test]
fn released_past_its_end_it_is_over_and_what_came_after_is_judged_at_once() {
    type LetsBe = fn(&mut House);
    let let_be: [(&str, LetsBe); 3] = [
        ("released", |house| assert_eq!(house.release("w1"), 200)),
        ("not at home, told late", |house| {
            let told = |action: &mut Action| (action.outcome, action.at) = (Some(NotHome), Some(day(13.5)));
            assert_eq!(house.acts("w1", ActionKind::Outcome, told), 200);
        }),
        ("refused", |house| assert_eq!(house.outcome("w1", Refused), 200)),
    ];
    for (how, lets_be) in let_be {
        let mut house = visit("open");
        house.now = day(13.4);
        house.claim("w1");
        assert_eq!(house.passes("t", 2, 13.95), Some(Code::Joined));
        assert_eq!(house.passes("t", 3, 14.6), Some(Code::Joined), "a claimed one does not end");
        lets_be(&mut house);
        assert_eq!((house.task.state, house.task.episode), (TaskState::Open, 2), "{how}");
        assert_eq!(house.task.before.as_ref().map(|before| before.state), Some(TaskState::Expired));
        assert_eq!([house.code(2), house.code(3)], [Some(Code::Joined), Some(Code::Opened)], "{how}");
    }
    // The null control: before its end it is open again, and the same visit.
    let mut house = visit("open");
    house.now = day(13.4);
    house.claim("w1");
    house.passes("t", 2, 13.95);
    house.release("w1");
    assert_eq!((house.task.state, house.task.episode), (TaskState::Open, 1));
}

/// A screening that comes late, for somebody who has gone: the next owner tells it again until it is heard, and nobody else.
#[test]
fn who_has_gone_is_covered_also_where_the_owner_ends_before_it_is_heard() {
    let mut house = visit("open");
    house.is_heard = false;
    house.lets_go("t");
    domain::household::acknowledged(&mut house.task);
    house.now = day(2.0);
    let screened = house.action("w1", ActionKind::Outcome, |action| (action.outcome, action.at) = (Some(Screened), Some(day(0.4))));
    let told = house.apply(&Input::Action(&screened)).covered;
    assert_eq!(told.iter().map(|(traveller, covered)| (traveller.as_str(), covered.cover.at)).collect::<Vec<_>>(), [("t", day(0.4))]);
    let again = |house: &mut House| domain::household::unsent(&mut house.task, &house.policy, house.now, house.clock).covered;
    for _ in 0..2 {
        assert!(domain::household::has_unsent(&house.task));
        assert_eq!(again(&mut house), told);
    }
    let before = house.task.clone();
    domain::household::acknowledged(&mut house.task);
    assert_eq!((again(&mut house), domain::household::has_unsent(&house.task)), (vec![], false), "the null control");
    // Who comes back before it was heard has it already.
    house.task = before;
    let here = Here { declared: None, signals: vec![], pushed_out: vec![], covers: vec![] };
    house.here("t", 2, here);
    assert_eq!(house.task.stays[0].covers.len(), 1);
    house.lets_go("nobody");
    assert_eq!(house.task.stays[0].covers.len(), 1);
}

/// What a screening that comes along, or a traveller who leaves, changes for others is said again when it comes again.
#[test]
fn a_repeat_says_again_what_it_changed() {
    let said = |effects: domain::household::Effects| -> Vec<(u8, Code, i64)> {
        effects.decisions.iter().map(|said| (said.event_id.0[0], said.code, said.revision)).collect()
    };
    let mut house = visit("open");
    let cover = Cover { at: day(0.1), until: day(14.1), level: Level::Low };
    let here = Here { declared: None, signals: vec![], pushed_out: vec![], covers: vec![cover] };
    let first = said(house.here("t", 1, here.clone()));
    assert_eq!((first.len(), first[0].1, house.task.state), (1, Code::Covered, TaskState::Withdrawn));
    let record = house.task.clone();
    assert_eq!((said(house.here("t", 1, here)), &house.task), (first, &record));

    let mut house = visit("open");
    let weak = testkit::house::signal(SourceKind::Telecom, 2, day(0.5));
    assert_eq!(house.arrives("u", weak), Some(Code::Joined));
    let first = said(house.lets_go("t"));
    assert_eq!((first.len(), first[0].0, first[0].1), (1, 2, Code::Held), "alone it makes no visit");
    let record = house.task.clone();
    assert_eq!((said(house.lets_go("t")), &house.task), (first, &record));
}

#[test]
fn what_is_live_again_after_a_withdrawal_opens_in_the_grid_that_it_declares() {
    let mut house = House::new("~t");
    assert_eq!(house.passes_towards("g1", "t", 1, 0.0), Some(Code::Opened));
    assert_eq!(house.passes_towards("g1", "t", 2, 13.0), Some(Code::Joined));
    house.time(14.0);
    assert_eq!((house.task.state, house.passes_towards("g2", "u", 3, 14.5)), (TaskState::Expired, Some(Code::Opened)));
    assert_eq!(house.task.grid.as_deref(), Some("g2"));
    house.lets_go("u");
    assert_eq!((house.task.state, house.code(2)), (TaskState::Open, Some(Code::Opened)));
    assert_eq!(house.task.grid.as_deref(), Some("g1"), "of who is left nobody goes to g2");
}

#[test]
fn what_is_shown_is_what_is_kept_also_where_a_signal_was_pushed_out_and_nothing_else_changed() {
    let mut house = visit("open");
    for number in 2..=9 {
        assert_eq!(house.passes("t", number, 0.5 + f64::from(number) / 10.0), Some(Code::Joined));
    }
    house.now = day(9.0);
    let late = testkit::house::signal(SourceKind::Checkpoint, 10, day(0.1));
    assert_eq!(house.arrives("t", Signal { appended_at: house.now, ..late }), Some(Code::Late), "it pushes another out");
    assert_eq!(house.passes("u", 11, 9.5), Some(Code::Joined));
    let kept = house.task.stays.iter().flat_map(|stay| &stay.signals).filter(|signal| signal.code != Some(Code::Late));
    let mut kept: Vec<EventId> = kept.map(|signal| EventId(signal.event_id.0)).collect();
    let mut shown: Vec<EventId> = house.task.evidence.iter().map(|evidence| evidence.event_id).collect();
    kept.sort();
    shown.sort();
    assert_eq!(shown, kept);
}

/// The one that opened is answered by a screening that was on its way, or let go: what had come along with its traveller makes the episode
/// from now on, as if it had arrived alone.
#[test]
fn what_came_along_and_is_left_alone_makes_the_episode() {
    let cover = Cover { at: day(1.0), until: day(15.0), level: Level::Low };
    for answered in [true, false] {
        let mut house = House::new("A");
        assert_eq!(house.passes("t", 1, 0.0), Some(Code::Opened));
        house.now = day(3.0);
        let came = Signal { code: Some(Code::Covered), late: Some(false), ..signal(SourceKind::Checkpoint, 2, day(2.5)) };
        assert_eq!(house.arrives("u", came), Some(Code::Joined));
        assert_eq!(house.task.start, Some(day(0.0)), "what comes along does not enter");
        if answered {
            house.here("t", 1, Here { declared: None, signals: vec![], pushed_out: vec![], covers: vec![cover.clone()] });
        } else {
            house.lets_go("t");
        }
        assert_eq!((house.task.state, house.task.start, house.task.end), (TaskState::Open, Some(day(2.5)), Some(day(16.5))));
        assert_eq!(house.passes("v", 3, 15.0), Some(Code::Joined));
    }
}
