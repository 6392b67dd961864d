//! One household's inputs within the grace period, in any order and any number of times: the same visits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::Clock;
use domain::household::{self, Context, Entry, Input};
use domain::policy::default_policy;
use events::time::{DAY_MS, HOUR_MS};
use events::{Arrival, Direction, Millis, Signal, SourceKind, Task, TaskState};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use testkit::given;
use testkit::house::signal;

const DAY_0: i64 = 20_000 * DAY_MS;

/// A signal: who, of what kind, hours after the first day, leaving or not.
type Sight = (u8, SourceKind, i64, bool);

fn sights() -> impl Strategy<Value = Vec<Sight>> {
    let kind = prop_oneof![Just(SourceKind::Checkpoint), Just(SourceKind::Highway), Just(SourceKind::Telecom)];
    // 72 hours are the grace period.
    prop::collection::vec((0..4_u8, kind, 0..72_i64, prop::bool::weighted(0.1)), 1..14)
}

/// Every sight once at least, in any order.
fn orders() -> impl Strategy<Value = (Vec<Sight>, Vec<usize>, Vec<usize>)> {
    sights().prop_flat_map(|sights| {
        let all: Vec<usize> = (0..sights.len()).collect();
        let repeated = prop::collection::vec(0..sights.len(), 0..8);
        let order = move |repeated: Vec<usize>| Just([all.clone(), repeated].concat()).prop_shuffle();
        let orders = (repeated.clone().prop_flat_map(order.clone()), repeated.prop_flat_map(order));
        (Just(sights), orders.0, orders.1)
    })
}

fn arrival(at: usize, (who, kind, hours, out): Sight) -> Arrival {
    let direction = if out { Direction::Out } else { Direction::In };
    let signal = Signal { direction, ..signal(kind, at as u8, Millis(DAY_0 + hours * HOUR_MS)) };
    given::here(&format!("t{who}"), vec![signal])
}

/// Visits, whether one is open, since when signals count for it, and what it stands on.
fn visits(sights: &[Sight], order: &[usize]) -> (i64, TaskState, Option<Millis>, BTreeSet<[u8; 16]>) {
    let (mandate, policy, grids) = (given::mandate(), default_policy(), HashMap::from([("g".to_owned(), given::grid("3301"))]));
    let context = Context {
        now: Millis(DAY_0 + 3 * DAY_MS),
        clock: Clock::Wall,
        policy: &policy,
        mandate: Some(&mandate),
        entry: Some(Entry { version: 1, grid: "g" }),
        grids: &grids,
        settled: false,
    };
    let mut task: Task = household::new_task("m", "h");
    for &at in order {
        household::apply(&mut task, &Input::Arrival(&arrival(at, sights[at])), &context);
    }
    let evidence = task.evidence.iter().map(|evidence| evidence.event_id.0).collect();
    (task.episode, task.state, task.start, evidence)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_order_and_any_repetition_make_the_same_visits((sights, one, other) in orders()) {
        prop_assert_eq!(visits(&sights, &one), visits(&sights, &other));
    }
}

/// The null control: where the last word of each order is lost, orders are told apart.
#[test]
fn what_depends_on_the_order_is_seen() {
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) });
    let all_but_the_last = |order: &[usize]| order[..order.len() - 1].to_vec();
    let told_apart = runner.run(&orders(), |(sights, one, other)| {
        prop_assert_eq!(visits(&sights, &all_but_the_last(&one)), visits(&sights, &all_but_the_last(&other)));
        Ok(())
    });
    assert!(told_apart.is_err());
}
