//! The histories that say how signals are judged, through the real binary: agencies post, a worker acts, and what anybody may ask is
//! compared. On the embedded log and on a real Kafka.
//!
//! All histories share one site and run at once, each with people and households of its own; only the one in which the mandate ends
//! has a site to itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod run;
mod world;

use events::Code;
use futures::future::join_all;
use oneknock_tests::log_choice::LogKind;
use std::time::Duration;
use testkit::histories::{self, History, Step};
use testkit::site::{LogChoice, Options};
use world::World;

/// The history in which the mandate ends, and when it does: at the beginning of day 3 in China.
const MANDATE_ENDS: (u8, f64) = (24, 3.0);

/// Runs histories at once on one site; gives what broke, in words.
async fn broken(world: &World, histories: &[History]) -> Vec<String> {
    let runs = join_all(histories.iter().map(|history| run::run(world, history))).await;
    let mut broken: Vec<String> = runs.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    match world.at_rest().await {
        Ok(()) => {
            // When nothing moves any more, what was said last must still hold.
            for history in histories {
                broken.extend(run::still_holds(world, history).await.err().map(|error| format!("{error:#}")));
            }
        }
        Err(error) => broken.push(format!("the site does not come to rest: {error:#}")),
    }
    broken
}

async fn all_hold(log: LogKind) {
    let (choice, _kafka) = log.start().await.unwrap();
    let world = World::start(Options::of_events(choice)).await.unwrap();
    let all = histories::all().into_iter().chain(histories::at_the_door()).chain(histories::moving());
    let histories: Vec<History> = all.filter(|history| history.number != MANDATE_ENDS.0).collect();
    assert!(histories.len() >= 42, "{} histories", histories.len());
    let broken = broken(&world, &histories).await;
    assert!(broken.is_empty(), "{} histories break on {}:\n{}", broken.len(), log.as_str(), broken.join("\n"));
    world.stop().await.unwrap();
}

async fn the_mandate_ends(log: LogKind) {
    let (choice, _kafka) = log.start().await.unwrap();
    let until = events::time::format(world::moment(MANDATE_ENDS.1));
    let world = World::start(Options::of_events_between(choice, "2026-01-01", &until)).await.unwrap();
    let histories: Vec<History> = histories::all().into_iter().filter(|history| history.number == MANDATE_ENDS.0).collect();
    let ends = |step: &Step| matches!(step, Step::MandateEnds(day) if *day == MANDATE_ENDS.1);
    assert!(histories.iter().any(|history| history.steps.iter().any(ends)), "no history ends on day {}", MANDATE_ENDS.1);
    let broken = broken(&world, &histories).await;
    assert!(broken.is_empty(), "it breaks on {}:\n{}", log.as_str(), broken.join("\n"));
    world.stop().await.unwrap();
}

/// Histories that are not true: each question that is asked of a site must be able to hear no.
fn untrue() -> Vec<(&'static str, History)> {
    let told = |number, wrong: fn(&mut Step)| {
        let mut history = histories::all().into_iter().find(|history| history.number == 4).expect("history 4");
        history.number = number;
        history.steps.iter_mut().for_each(wrong);
        history
    };
    vec![
        (
            "Open(",
            // Nobody registers anybody, and nobody moves.
            {
                let history = histories::at_the_door().into_iter().find(|history| history.number == 113).expect("history 113");
                let steps = history.steps.into_iter().filter(|step| !matches!(step, Step::Register(..) | Step::Now(..))).collect();
                History { number: 95, steps, ..history }
            },
        ),
        (
            "See(",
            told(91, |step| match step {
                Step::See(sighting, code) if sighting.event == "h" => *code = Code::Joined,
                _ => {}
            }),
        ),
        (
            "Now(",
            told(92, |step| {
                if let Step::Now(_, code) = step {
                    *code = Code::Covered
                }
            }),
        ),
        (
            "Visits(",
            told(93, |step| {
                if let Step::Visits(count) = step {
                    *count = 1
                }
            }),
        ),
        (
            "Open(",
            told(94, |step| {
                if let Step::Open(grids) = step {
                    *grids = &["g2"]
                }
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_not_true_breaks() {
    let mut world = World::start(Options::of_events(LogChoice::Embedded)).await.unwrap();
    world.patience = Duration::from_secs(2);
    let (steps, untrue): (Vec<_>, Vec<_>) = untrue().into_iter().unzip();
    let broken = broken(&world, &untrue).await;
    assert_eq!(broken.len(), steps.len(), "{broken:#?}");
    for (step, broken) in steps.iter().zip(&broken) {
        assert!(broken.contains(&format!(": {step}")), "{broken} should name the step {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_hold_on_the_embedded_log() {
    all_hold(LogKind::Embedded).await;
    the_mandate_ends(LogKind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_hold_on_kafka() {
    all_hold(LogKind::Kafka).await;
    the_mandate_ends(LogKind::Kafka).await;
}
