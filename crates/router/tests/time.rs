//! What time does, through a real owner of households with `clock = "wall"`: where no input comes, its positions, read back, are all that
//! moves its now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::{DeafTo, KEY, World};
use events::time::HOUR_MS;
use events::*;

#[tokio::test]
async fn history_5_expires_by_the_clock() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.seen(KEY, SourceKind::Checkpoint, None).await;
    world.until(13.9).await;
    assert_eq!(world.task(KEY).state, TaskState::Open);
    world.until(14.1).await;
    assert_eq!(world.task(KEY).state, TaskState::Expired);
    world.until(36.0).await;
    assert_eq!(world.task(KEY).stays[0].signals, vec![], "and is forgotten");
    assert_eq!((world.task(KEY).episode, world.task(KEY).stays[0].version), (1, 1));
}

/// The null control: where the loop is not told the time, nothing ends.
#[tokio::test]
async fn without_being_told_the_time_nothing_expires() {
    let mut world = World::new(DeafTo::Time).await;
    world.seen(KEY, SourceKind::Checkpoint, None).await;
    world.until(36.0).await;
    assert_eq!((world.task(KEY).state, world.task(KEY).stays[0].signals.len()), (TaskState::Open, 1));
}

#[tokio::test]
async fn history_10_is_held_and_makes_no_task() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.seen(KEY, SourceKind::Telecom, None).await;
    world.until(14.1).await;
    assert_eq!((world.task(KEY).state, world.task(KEY).episode), (TaskState::Waiting, 0));
    assert_eq!(world.sent.iter().map(|decision| decision.code).collect::<Vec<_>>(), vec![Code::Held]);
}

/// Nobody was at home on day 0.5: whether it is due again 20 hours later, and overdue after that and no sooner.
async fn is_due_again(deaf_to: DeafTo) -> bool {
    let mut world = World::new(deaf_to).await;
    world.seen(KEY, SourceKind::Checkpoint, None).await;
    world.until(0.5).await;
    world.acts(ActionKind::Outcome, Some(Outcome::NotHome)).await;
    let again = Millis(world.now + 20 * HOUR_MS);
    world.until(1.3).await;
    let early = domain::household::is_overdue(&world.task(KEY), Millis(world.now));
    world.until(1.5).await;
    let task = world.task(KEY);
    let late = domain::household::is_overdue(&task, Millis(world.now));
    !early && late && (task.state, task.attempts, task.due_at) == (TaskState::Open, 1, Some(again))
}

#[tokio::test]
async fn history_22_is_due_again_after_20_hours() {
    assert!(is_due_again(DeafTo::Nothing).await);
}

/// The null control: where nobody hears that they were not at home, it is due when it was.
#[tokio::test]
async fn unheard_it_is_not_due_again() {
    assert!(!is_due_again(DeafTo::Actions).await);
}

#[tokio::test]
async fn a_claim_lapses_by_the_clock() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.seen(KEY, SourceKind::Checkpoint, None).await;
    world.acts(ActionKind::Claim, None).await;
    world.until(0.9).await;
    assert_eq!(world.task(KEY).state, TaskState::Claimed);
    world.until(1.1).await;
    assert_eq!(world.task(KEY).state, TaskState::Open);
}

/// It may read its inputs before its own partition, whose newest record was of long ago when it was stopped.
#[tokio::test]
async fn an_owner_that_was_stopped_judges_nothing_at_a_time_before_it_was_said() {
    let mut world = World::new(DeafTo::Nothing).await;
    world.seen(KEY, SourceKind::Checkpoint, None).await;
    world.sleeps_until(0.3);
    world.acts(ActionKind::Outcome, Some(Outcome::Screened)).await;
    assert_eq!(world.task(KEY).screened_at, Some(world.at(0.3)), "the cover lasts from then");
}
