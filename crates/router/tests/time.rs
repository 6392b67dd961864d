//! What time alone does, through a real owner of households on the simulated log with `clock = "wall"`: its positions, read back, are all
//! that moves its now, and no input comes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::World;
use events::time::HOUR_MS;
use events::*;

#[tokio::test]
async fn history_5_expires_by_the_clock() {
    let mut world = World::new(true).await;
    world.seen("m/A", SourceKind::Checkpoint, None).await;
    world.until(13.9).await;
    assert_eq!(world.task("m/A").state, TaskState::Open);
    world.until(14.1).await;
    assert_eq!(world.task("m/A").state, TaskState::Expired);
    world.until(36.0).await;
    assert_eq!(world.task("m/A").stays[0].signals, vec![], "and is forgotten");
    assert_eq!((world.task("m/A").episode, world.task("m/A").stays[0].version), (1, 1));
}

/// The null control: where the loop is not told the time, nothing ends.
#[tokio::test]
async fn without_being_told_the_time_nothing_expires() {
    let mut world = World::new(false).await;
    world.seen("m/A", SourceKind::Checkpoint, None).await;
    world.until(36.0).await;
    assert_eq!((world.task("m/A").state, world.task("m/A").stays[0].signals.len()), (TaskState::Open, 1));
}

#[tokio::test]
async fn history_10_is_held_and_makes_no_task() {
    let mut world = World::new(true).await;
    world.seen("m/A", SourceKind::Telecom, None).await;
    world.until(14.1).await;
    assert_eq!((world.task("m/A").state, world.task("m/A").episode), (TaskState::Waiting, 0));
    assert_eq!(world.sent.iter().map(|decision| decision.code).collect::<Vec<_>>(), vec![Code::Held]);
}

#[tokio::test]
async fn history_22_is_due_again_after_20_hours() {
    let mut world = World::new(true).await;
    world.seen("m/A", SourceKind::Checkpoint, None).await;
    world.until(0.5).await;
    world.acts(ActionKind::Outcome, Some(Outcome::NotHome)).await;
    let again = Millis(world.now + 20 * HOUR_MS);
    world.until(1.5).await;
    let task = world.task("m/A");
    assert_eq!((task.state, task.attempts, task.due_at), (TaskState::Open, 1, Some(again)));
}

#[tokio::test]
async fn a_claim_lapses_by_the_clock() {
    let mut world = World::new(true).await;
    world.seen("m/A", SourceKind::Checkpoint, None).await;
    world.acts(ActionKind::Claim, None).await;
    world.until(0.9).await;
    assert_eq!(world.task("m/A").state, TaskState::Claimed);
    world.until(1.1).await;
    assert_eq!(world.task("m/A").state, TaskState::Open);
}
