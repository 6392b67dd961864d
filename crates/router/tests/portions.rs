//! A zone's change concerns every household, an import many. They are judged again in portions, behind one another, and whoever comes in
//! meanwhile goes first and is judged by what is newest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::{DeafTo, World};
use domain::policy::from_toml;
use eventlog::owner::Command;
use events::*;
use std::collections::VecDeque;

/// More than a few portions.
const HOUSEHOLDS: usize = 700;

fn key(number: usize) -> String {
    format!("m/h{number:03}")
}

fn policy(zones: &str, version: i64) -> Policy {
    from_toml(&format!("match = \"medium\"\n[zones]\n{zones}"), version).unwrap()
}

/// Everybody waits: from where they come is no zone.
async fn everybody_waits(deaf_to: DeafTo) -> World {
    let mut world = World::new(deaf_to).await;
    let commands = world.policy(&policy("", 1));
    world.perform(commands).await;
    for number in 0..HOUSEHOLDS {
        world.entry(&key(number));
        world.seen(&key(number), SourceKind::Checkpoint, Some("330106")).await;
    }
    assert_eq!(judged_by(&world, 1), HOUSEHOLDS);
    world.written.clear();
    world
}

fn judged_by(world: &World, version: i64) -> usize {
    (0..HOUSEHOLDS).filter(|number| world.task(&key(*number)).judged_by.policy == version).count()
}

fn open(world: &World) -> usize {
    (0..HOUSEHOLDS).filter(|number| world.task(&key(*number)).state == TaskState::Open).count()
}

#[tokio::test]
async fn a_zone_that_rises_makes_every_visit_that_it_should_a_portion_at_a_time() {
    let mut world = everybody_waits(DeafTo::Nothing).await;
    let commands = world.policy(&policy("3301 = \"high\"", 2));
    world.perform_all(commands).await;
    assert_eq!((judged_by(&world, 2), open(&world)), (HOUSEHOLDS, HOUSEHOLDS));
    let largest = world.written.iter().map(Vec::len).max().unwrap();
    assert!(largest <= HOUSEHOLDS / 10, "{largest} households were judged in one step");
    assert!(world.sent.iter().filter(|said| said.code == Code::Opened).all(|said| said.policy == 2));
}

/// The null control: where the loop is not told the time, only the first portion is judged.
#[tokio::test]
async fn without_being_told_the_time_most_are_left() {
    let mut world = everybody_waits(DeafTo::Time).await;
    let commands = world.policy(&policy("3301 = \"high\"", 2));
    world.perform_all(commands).await;
    assert!((1..HOUSEHOLDS / 10).contains(&judged_by(&world, 2)), "{}", judged_by(&world, 2));
}

/// Goes on as the driver does, until an event has its decision. Answers how many households are judged by then.
async fn until_said(world: &mut World, number: u64, commands: Vec<Command>) -> usize {
    let mut todo = VecDeque::from(commands);
    while world.said(number).is_none() {
        todo = world.obey(todo).await;
        todo.extend(world.read_own().await.into_iter().flatten());
    }
    let judged = judged_by(world, 2);
    world.perform_all(todo.into()).await;
    judged
}

#[tokio::test]
async fn a_fresh_arrival_does_not_wait_for_all_of_them() {
    let mut world = everybody_waits(DeafTo::Nothing).await;
    let mut commands = world.policy(&policy("3301 = \"high\"", 2));
    let (number, more) = world.sees("m/A", SourceKind::Checkpoint, Some("330106"));
    commands.extend(more);
    let judged = until_said(&mut world, number, commands).await;
    assert_eq!(world.said(number).unwrap().code, Code::Opened);
    assert!(judged < HOUSEHOLDS / 4, "{judged} were judged before the one who had just come");
    assert_eq!(judged_by(&world, 2), HOUSEHOLDS);
}

#[tokio::test]
async fn who_comes_in_before_its_turn_is_judged_by_what_is_newest_first() {
    let mut world = everybody_waits(DeafTo::Nothing).await;
    let first = |world: &World, number: usize| world.task(&key(number)).stays[0].signals[0].clone();
    let mut commands = world.policy(&policy("3301 = \"high\"", 2));
    let late: Vec<usize> = (0..HOUSEHOLDS).filter(|number| world.task(&key(*number)).judged_by.policy == 1).collect();
    for number in &late {
        commands.extend(world.sees(&key(*number), SourceKind::Highway, None).1);
    }
    world.perform_all(commands).await;
    for number in late {
        let task = world.task(&key(number));
        assert_eq!((first(&world, number).code, task.joined, task.episode), (Some(Code::Opened), 1, 1), "{number}");
    }
}

#[tokio::test]
async fn a_change_during_a_change_counts_for_everybody() {
    let mut world = everybody_waits(DeafTo::Nothing).await;
    let mut commands = world.policy(&policy("3301 = \"high\"", 2));
    let first = judged_by(&world, 2);
    commands.extend(world.policy(&policy("3302 = \"high\"", 3)));
    world.perform_all(commands).await;
    assert_eq!(judged_by(&world, 3), HOUSEHOLDS);
    assert_eq!(open(&world), first, "those whose turn had come, and no policy takes that away");
}

#[tokio::test]
async fn what_an_owner_leaves_the_next_one_does() {
    let mut world = everybody_waits(DeafTo::Nothing).await;
    let commands = world.policy(&policy("3301 = \"high\"", 2));
    world.obey(commands.into()).await;
    assert!(judged_by(&world, 2) < HOUSEHOLDS / 4);
    world.next_owner().await;
    assert_eq!((judged_by(&world, 2), open(&world)), (HOUSEHOLDS, HOUSEHOLDS));
}

fn in_grid(world: &World, grid: &str) -> usize {
    (0..HOUSEHOLDS).filter(|number| world.task(&key(*number)).grid.as_deref() == Some(grid)).count()
}

#[tokio::test]
async fn an_import_that_moves_everybody_is_judged_a_portion_at_a_time_too() {
    for (deaf_to, all) in [(DeafTo::Nothing, true), (DeafTo::Time, false)] {
        let mut world = everybody_waits(deaf_to).await;
        let mut commands = world.entries_change((0..HOUSEHOLDS).map(key).collect(), 2, Some("g2"));
        assert!((1..HOUSEHOLDS / 10).contains(&in_grid(&world, "g2")), "the first portion alone");
        let late = (0..HOUSEHOLDS).find(|number| world.task(&key(*number)).grid.as_deref() == Some("g1")).unwrap();
        let (number, more) = world.sees(&key(late), SourceKind::Highway, None);
        commands.extend(more);
        until_said(&mut world, number, commands).await;
        assert_eq!(world.said(number).unwrap().grid.as_deref(), Some("g2"), "who comes in is judged by what is newest");
        // The null control: where the loop is not told the time, the others are left.
        assert_eq!(in_grid(&world, "g2") == HOUSEHOLDS, all, "{}", in_grid(&world, "g2"));
    }
}
