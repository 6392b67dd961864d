//! One owner at a time, on all three logs: two owners of one partition, one of them stopped past its take-over and woken again. Every rule
//! is left out once, and the same check must then see a law broken.
//!
//! The owners are moved by hand, one step after the other, so that the worst moment is the one that is tested; only the log is real.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod hands;

use eventlog::embedded::Embedded;
use eventlog::kafka::{Kafka, KafkaConfig};
use eventlog::owner::{Rules, Snapshot};
use eventlog::simulated::Simulated;
use hands::{Hand, INPUT_X, INPUT_Y, World};

/// When the owner that was stopped is woken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wakes {
    /// The next owner has taken over, and has written nothing yet.
    Early,
    /// The next owner has done all there was to do.
    Late,
}

/// What is broken at the end, if anything: an input lost, a message that no state bears out, two owners.
async fn story(world: &World, rules: Rules, wakes: Wakes) -> Vec<String> {
    world.input(INPUT_X, "a").await;
    world.input(INPUT_X, "b").await;
    world.input(INPUT_Y, "c").await;
    let mut first = Hand::start(world, rules, "first", None);
    first.settle().await;
    first.take_input(INPUT_X, 1).await;
    first.settle().await;
    // Here it is stopped: it has applied b, and its records are not on their way yet.
    first.take_input(INPUT_X, 1).await;

    let mut second = Hand::start(world, rules, "second", None);
    second.append().await;
    if rules.fold_to_claim {
        second.settle().await
    } else {
        second.read_own(1).await
    }
    if wakes == Wakes::Early {
        first.settle().await;
    }
    second.take_input(INPUT_Y, 1).await;
    second.settle().await;
    second.take_input(INPUT_X, 2).await;
    second.settle().await;
    if wakes == Wakes::Late {
        first.settle().await;
    }
    second.settle().await;
    first.settle().await;
    world.broken(rules, &[&first, &second], &["a", "b", "c"]).await
}

async fn all_rules_and_each_left_out(mut world: impl AsyncFnMut() -> World) {
    for wakes in [Wakes::Early, Wakes::Late] {
        let broken = story(&world().await, Rules::ALL, wakes).await;
        assert!(broken.is_empty(), "woken {wakes:?}: {broken:?}");
    }
    let controls = [
        ("1, no claim", Rules { claim: false, ..Rules::ALL }, Wakes::Early),
        ("2, not folded to the claim", Rules { fold_to_claim: false, ..Rules::ALL }, Wakes::Late),
        ("3, stale records are taken", Rules { ignore_stale: false, ..Rules::ALL }, Wakes::Late),
        ("4, it does not give way", Rules { give_way: false, ..Rules::ALL }, Wakes::Late),
        ("5, nothing is repaired", Rules { repair: false, ..Rules::ALL }, Wakes::Late),
        ("7, it speaks before it has read back", Rules { read_back: false, ..Rules::ALL }, Wakes::Late),
    ];
    for (name, rules, wakes) in controls {
        let broken = story(&world().await, rules, wakes).await;
        assert!(!broken.is_empty(), "without rule {name} nothing is seen to break: the check cannot fail");
        println!("without rule {name}: {}", broken.join("; "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    all_rules_and_each_left_out(async || {
        number += 1;
        World::new(Embedded::open(&dir.path().join(number.to_string())).unwrap(), "s").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated() {
    let mut seed = 0;
    all_rules_and_each_left_out(async || {
        seed += 1;
        World::new(Simulated::new(seed), "s").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka() {
    let config = KafkaConfig { bootstrap: testkit::kafka::shared().unwrap().bootstrap.clone(), properties: Default::default() };
    let log = tokio::task::spawn_blocking(move || Kafka::connect(&config)).await.unwrap().unwrap();
    let mut number = 0;
    all_rules_and_each_left_out(async || {
        number += 1;
        // Topics of their own for each story: the broker is shared.
        World::new(log.clone(), ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"][number]).await
    })
    .await;
}

/// Rule 8, and compaction at the worst moment: a cache of the fold, stored before a stale record came, then everything that may be
/// compacted is. Without the highest epoch in it, the next owner takes the stale record for a valid one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_knows_the_highest_epoch() {
    for (keeps_epoch, holds) in [(true, true), (false, false)] {
        let log = Simulated::new(7);
        let world = World::new(log.clone(), "s").await;
        for (topic, input) in [(INPUT_X, "a"), (INPUT_X, "b"), (INPUT_Y, "c")] {
            world.input(topic, input).await;
        }
        let mut first = Hand::start(&world, Rules::ALL, "first", None);
        first.settle().await;
        first.take_input(INPUT_X, 1).await;
        first.settle().await;
        first.take_input(INPUT_X, 1).await;
        let mut second = Hand::start(&world, Rules::ALL, "second", None);
        second.settle().await;
        second.take_input(INPUT_Y, 1).await;
        second.settle().await;
        let cache = second.cached();
        // The second dies; what the first had in flight arrives; nobody repairs it.
        drop(second);
        first.append().await;
        let cache = Snapshot { highest_epoch: if keeps_epoch { cache.highest_epoch } else { 0 }, ..cache };
        let mut third = Hand::start(&world, Rules::ALL, "third", Some(cache));
        third.settle().await;
        third.take_input(INPUT_X, 2).await;
        third.take_input(INPUT_Y, 1).await;
        third.settle().await;
        let lag = events::topics::MIN_COMPACTION_LAG_MS;
        log.advance(2 * lag);
        log.compact(world.fenced, 0).unwrap();
        let broken = world.broken(Rules::ALL, &[&third], &["a", "b", "c"]).await;
        assert_eq!(broken.is_empty(), holds, "keeps_epoch {keeps_epoch}: {broken:?}");
    }
}

/// A cache is the fold, never the memory ahead of it, and is not stored while a repair is owed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_waits_for_repairs_and_never_runs_ahead() {
    let log = Simulated::new(11);
    let world = World::new(log.clone(), "s").await;
    world.input(INPUT_X, "a").await;
    world.input(INPUT_Y, "c").await;
    let mut first = Hand::start(&world, Rules::ALL, "first", None);
    first.settle().await;
    first.take_input(INPUT_X, 1).await;
    let mut second = Hand::start(&world, Rules::ALL, "second", None);
    second.settle().await;
    second.take_input(INPUT_Y, 1).await;
    second.tick();
    assert!(!second.cached().states.contains_key("k"), "c is applied and not read back: it is in no cache yet");
    second.settle().await;
    assert_eq!(second.cached().states.get("k").map(|value| &value[..]), Some(&b"c"[..]));
    let tail = second.cached().tail;
    // A stale record: until its repair is read back, no cache goes past it.
    first.append().await;
    second.read_own(usize::MAX).await;
    second.tick();
    assert_eq!(second.cached().tail, tail, "a repair is owed");
    second.settle().await;
    assert!(second.cached().tail > tail, "the repair is read back");
    assert_eq!(second.cached().states.get("k").map(|value| &value[..]), Some(&b"c"[..]));
}
