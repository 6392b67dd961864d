//! Zones: the level of recent stay makes priority and due time, a risk that rises asks again who was covered, and no zone ever takes a
//! visit away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::Clock;
use domain::household::{self, Context, Effects, Entry, Input};
use domain::policy::from_toml;
use events::time::{DAY_MS, HOUR_MS};
use events::*;
use std::collections::HashMap;
use testkit::given;

const DAY_0: i64 = 20_000 * DAY_MS;

fn day(day: f64) -> Millis {
    Millis(DAY_0 + (day * DAY_MS as f64).round() as i64)
}

/// A household, its policy, and what was last said of each event.
struct World {
    task: Task,
    policy: Policy,
    codes: HashMap<u64, Decision>,
    travellers: usize,
}

impl World {
    fn new(policy: &str) -> World {
        let policy = from_toml(policy, 1).unwrap();
        World { task: household::new_task("m", "A"), policy, codes: HashMap::new(), travellers: 0 }
    }

    fn apply(&mut self, input: &Input<'_>, now: Millis) -> Effects {
        let (mandate, grids) = (given::mandate(), HashMap::from([("g1".to_owned(), given::grid("330106"))]));
        let entry = Some(Entry { version: 1, grid: "g1" });
        let context =
            Context { now, clock: Clock::Wall, policy: &self.policy, mandate: Some(&mandate), entry, grids: &grids, settled: true };
        let effects = household::apply(&mut self.task, input, &context);
        household::acknowledged(&mut self.task);
        for decision in &effects.decisions {
            let number = u64::from_be_bytes(decision.event_id.0[..8].try_into().unwrap());
            let newest = self.codes.get(&number).is_none_or(|known| known.revision <= decision.revision);
            if newest {
                self.codes.insert(number, decision.clone());
            }
        }
        effects
    }

    /// Somebody new comes, or a traveller who was here.
    fn seen_as(&mut self, traveller: &str, kind: SourceKind, number: u64, from: Option<&str>, at: Millis) -> Code {
        let signal = Signal { origin_division: from.map(Text::new), ..given::signal(kind, number, at) };
        let here = Here { declared: None, signals: vec![signal], pushed_out: vec![], covers: vec![] };
        let arrival = Arrival { traveller: given::traveller_id(traveller), version: 1, message: ArrivalMessage::Here(here) };
        self.apply(&Input::Arrival(&arrival), at);
        self.code(number)
    }

    fn seen(&mut self, number: u64, from: Option<&str>, at: Millis) -> Code {
        self.travellers += 1;
        let traveller = format!("t{}", self.travellers);
        self.seen_as(&traveller, SourceKind::Checkpoint, number, from, at)
    }

    fn code(&self, number: u64) -> Code {
        self.codes[&number].code
    }

    fn screened(&mut self, at: Millis) {
        self.screened_at(at, at);
    }

    fn screened_at(&mut self, at: Millis, now: Millis) {
        let given = given::action(&format!("a{}", at.0), &self.task.task_id, ActionKind::Outcome, now);
        let action = Action { outcome: Some(Outcome::Screened), at: Some(at), ..given };
        self.apply(&Input::Action(&action), now);
        assert_eq!(self.task.answers.last().unwrap().status, 200);
    }

    /// Another policy is in force; what it changes is judged again.
    fn policy(&mut self, policy: &str, now: Millis) -> Effects {
        self.policy = from_toml(policy, self.policy.version + 1).unwrap();
        self.apply(&Input::Tables, now)
    }
}

const CALM: &str = "";
const HIGH: &str = "[zones]\n33 = \"low\"\n3301 = \"high\"\n";
const MEDIUM: &str = "[zones]\n3301 = \"medium\"\n";

#[test]
fn the_longest_zone_makes_priority_and_due_time() {
    for (from, priority, hours) in [
        (Some("330106"), Level::High, 4),
        (Some("3301"), Level::High, 4),
        (Some("330206"), Level::Low, 24),
        (Some("33"), Level::Low, 24),
        (Some("310000"), Level::Low, 24),
        (None, Level::Low, 24),
    ] {
        let mut world = World::new(HIGH);
        assert_eq!(world.seen(1, from, day(0.0)), Code::Opened);
        let due = Millis(day(0.0).0 + hours * HOUR_MS);
        assert_eq!((world.task.priority, world.task.due_at), (priority, Some(due)), "{from:?}");
    }
}

#[test]
fn who_comes_from_a_higher_zone_makes_an_open_visit_due_earlier_and_a_lower_one_never_later() {
    let mut world = World::new(HIGH);
    world.seen(1, None, day(0.0));
    assert_eq!(world.seen(2, Some("3301"), day(0.1)), Code::Joined);
    let due = Some(Millis(day(0.1).0 + 4 * HOUR_MS));
    assert_eq!((world.task.priority, world.task.due_at), (Level::High, due));
    assert_eq!(world.seen(3, Some("33"), day(0.2)), Code::Joined);
    assert_eq!((world.task.priority, world.task.due_at), (Level::High, due));
}

/// A screening answers again what a fallen zone had let count: the visit stays, and is shown to stand on the rest, now and when one joins.
#[test]
fn a_zone_that_falls_takes_what_is_answered_again_out_of_what_is_shown() {
    let shown = |world: &World| {
        let numbers = world.task.evidence.iter().map(|one| u64::from_be_bytes(one.event_id.0[..8].try_into().unwrap()));
        numbers.collect::<Vec<_>>()
    };
    let (one_high, both_high) = ("[zones]\n3301 = \"high\"\n3302 = \"medium\"\n", "[zones]\n3301 = \"high\"\n3302 = \"high\"\n");
    let mut world = World::new("[zones]\n3301 = \"medium\"\n3302 = \"medium\"\n");
    world.seen(1, Some("330106"), day(0.0));
    world.screened(day(0.5));
    assert_eq!((world.seen(2, Some("330106"), day(1.0)), world.seen(3, Some("330206"), day(1.1))), (Code::Covered, Code::Covered));
    world.policy(both_high, day(1.2));
    assert_eq!((world.task.state, shown(&world)), (TaskState::Open, vec![3, 2]));
    let version = world.task.version;
    world.policy(one_high, day(1.3));
    assert_eq!((world.task.state, world.task.priority, shown(&world)), (TaskState::Open, Level::High, vec![2]));
    assert_eq!(world.task.version, version + 1, "workers are told");
    assert_eq!(world.seen(4, Some("330106"), day(1.4)), Code::Joined);
    assert_eq!(shown(&world), [4, 2]);
}

#[test]
fn a_zone_changes_priority_and_due_time_of_what_is_open_and_only_to_earlier() {
    let mut world = World::new(CALM);
    world.seen(1, Some("330106"), day(0.0));
    let (version, opened) = (world.task.version, world.task.task_id);
    assert_eq!(world.task.due_at, Some(Millis(day(0.0).0 + 24 * HOUR_MS)));

    world.policy(HIGH, day(0.5));
    assert_eq!((world.task.priority, world.task.due_at), (Level::High, Some(Millis(day(0.5).0 + 4 * HOUR_MS))));
    assert_eq!(world.task.version, version + 1, "workers are told");

    world.policy(CALM, day(0.6));
    let due = Some(Millis(day(0.5).0 + 4 * HOUR_MS));
    assert_eq!((world.task.priority, world.task.due_at, world.task.state), (Level::Low, due, TaskState::Open));
    assert_eq!((&world.task.task_id, world.task.episode), (&opened, 1));
    // The null control: the same policy once more tells nobody anything.
    let version = world.task.version;
    assert_eq!(world.policy(CALM, day(0.7)).decisions.as_slice(), []);
    assert_eq!(world.task.version, version);
}

#[test]
fn a_policy_never_withdraws_a_visit() {
    for harsher in ["match = \"high\"", "match = \"high\"\nweak_sources = [\"checkpoint\"]", "weak_sources = [\"checkpoint\"]"] {
        let mut world = World::new(CALM);
        world.seen(1, Some("330106"), day(0.0));
        assert_eq!(world.policy(harsher, day(1.0)).decisions.as_slice(), [], "{harsher}");
        assert_eq!((world.task.state, world.code(1)), (TaskState::Open, Code::Opened), "{harsher}");
    }
}

#[test]
fn what_waits_is_judged_again_when_its_zone_rises() {
    let mut world = World::new("match = \"medium\"");
    assert_eq!(world.seen(1, Some("330106"), day(0.0)), Code::NotMatching);
    assert_eq!(world.seen(2, None, day(0.1)), Code::NotMatching);
    world.policy(&format!("match = \"medium\"\n{HIGH}"), day(1.0));
    assert_eq!((world.code(1), world.task.state, world.task.priority), (Code::Opened, TaskState::Open, Level::High));
    assert_eq!((world.codes[&1].policy, world.code(2)), (2, Code::Joined), "what waits joins what is open");
}

#[test]
fn what_waited_longer_than_the_window_is_not_judged_again() {
    let mut world = World::new("match = \"medium\"");
    world.seen(1, Some("330106"), day(0.0));
    world.policy(&format!("match = \"medium\"\n{HIGH}"), day(14.0));
    assert_eq!((world.code(1), world.task.episode), (Code::NotMatching, 0));
    assert_eq!(world.codes[&1].policy, 1, "it names the policy that it was judged by");
}

/// A at day 0 is screened on day 1; on day 2 somebody from elsewhere comes, and a screening answers that.
fn covered(policy: &str) -> World {
    let mut world = World::new(policy);
    assert_eq!(world.seen(1, Some("330106"), day(0.0)), Code::Opened);
    world.screened(day(1.0));
    assert_eq!(world.seen(2, Some("330106"), day(2.0)), Code::Covered);
    world
}

#[test]
fn who_was_covered_is_asked_again_when_the_risk_has_risen() {
    let mut world = covered(CALM);
    world.policy(HIGH, day(3.0));
    assert_eq!((world.code(2), world.task.episode, world.task.state), (Code::Opened, 2, TaskState::Open));
    assert_eq!(world.task.priority, Level::High);
    assert_eq!(world.code(1), Code::Opened, "what the screened visit stood on is not judged again");
    assert_eq!(world.task.evidence.len(), 1, "nor does the new visit stand on it");
    // Once screened at the higher level, they are covered at that level.
    world.screened(day(3.5));
    assert_eq!(world.seen(3, Some("330106"), day(4.0)), Code::Covered);
    world.policy(HIGH, day(5.0));
    assert_eq!((world.code(3), world.task.episode), (Code::Covered, 2));
}

#[test]
fn several_who_were_covered_make_one_visit() {
    let mut world = covered(CALM);
    assert_eq!(world.seen(3, Some("330106"), day(2.5)), Code::Covered);
    assert_eq!(world.seen(4, Some("310000"), day(2.6)), Code::Covered);
    world.policy(HIGH, day(3.0));
    assert_eq!((world.code(2), world.code(3), world.code(4)), (Code::Opened, Code::Joined, Code::Covered));
    assert_eq!((world.task.episode, world.task.joined), (2, 1));
}

/// The null controls: a risk that has not risen, or a policy that does not ask, changes nothing.
#[test]
fn who_was_covered_stays_so_where_the_risk_has_not_risen_or_nobody_asks() {
    for (before, after) in [
        (CALM, CALM.to_owned()),
        (CALM, "[zones]\n3302 = \"high\"".to_owned()),
        (CALM, format!("rescreen_when_risk_rises = false\n{HIGH}")),
        (MEDIUM, MEDIUM.to_owned()),
        (HIGH, MEDIUM.to_owned()),
        (HIGH, CALM.to_owned()),
    ] {
        let mut world = covered(before);
        assert_eq!(world.policy(&after, day(3.0)).decisions.as_slice(), [], "{before:?} {after:?}");
        assert_eq!((world.code(2), world.task.episode), (Code::Covered, 1), "{before:?} {after:?}");
    }
}

#[test]
fn a_new_arrival_of_a_higher_level_than_the_screening_is_visited_at_once() {
    let mut world = covered(MEDIUM);
    world.policy = from_toml("[zones]\n3301 = \"medium\"\n3302 = \"high\"", 2).unwrap();
    assert_eq!(world.seen(3, Some("330106"), day(3.0)), Code::Covered);
    assert_eq!(world.seen(4, Some("330206"), day(3.0)), Code::Opened);
}

/// Recorded late, from a phone without a network: who came before it was recorded, but after the door, stood in the screened visit.
#[test]
fn what_joined_the_screened_visit_after_the_door_is_not_judged_again_either() {
    let mut world = World::new(CALM);
    world.seen(1, Some("330106"), day(0.0));
    assert_eq!(world.seen(2, Some("330106"), day(1.5)), Code::Joined);
    world.screened_at(day(1.0), day(2.0));
    world.policy(HIGH, day(3.0));
    assert_eq!((world.code(1), world.code(2), world.task.episode), (Code::Opened, Code::Joined, 1));
    // A new one of that level is.
    assert_eq!(world.seen(3, Some("330106"), day(3.5)), Code::Opened);
    assert_eq!((world.task.evidence.len(), world.code(2)), (1, Code::Joined));
}

#[test]
fn a_weak_signal_that_was_covered_waits_for_a_second_one() {
    let mut world = World::new(CALM);
    world.seen(1, None, day(0.0));
    world.screened(day(1.0));
    assert_eq!(world.seen_as("p", SourceKind::Telecom, 2, Some("330106"), day(2.0)), Code::Covered);
    world.policy(HIGH, day(2.1));
    assert_eq!((world.code(2), world.task.episode), (Code::Held, 1));
    assert_eq!(world.seen_as("p", SourceKind::Telecom, 3, Some("330106"), day(3.0)), Code::Opened);
    assert_eq!(world.code(2), Code::Joined);
}

/// The zone falls again while the visit is open: it stays, and the next one who comes finds the old screening.
#[test]
fn a_visit_that_a_risen_risk_opened_stays_when_the_risk_falls() {
    let mut world = covered(CALM);
    world.policy(HIGH, day(3.0));
    world.policy(CALM, day(3.1));
    assert_eq!((world.task.state, world.task.episode, world.code(2)), (TaskState::Open, 2, Code::Opened));
    assert_eq!(world.seen(3, Some("330106"), day(3.2)), Code::Covered);
}
