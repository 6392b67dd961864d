//! A bounded share of `cargo xtask sim` and `cargo xtask mutants`: sites under faults keep the laws, and the judge would see it if not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use oneknock_tests::sim::Player;
use oneknock_tests::sim::mutant::{Mutant, Rule};

#[test]
fn sites_under_faults_keep_the_laws() {
    let player = Player::new().unwrap();
    let report = player.run(0, 2000, |_| {});
    let history = || player.explain(report.failed.unwrap(), None).unwrap();
    assert!(report.failed.is_none(), "{report}\n{}", history());
    // Nothing passes because nothing went wrong.
    let wanted = ["kills", "revivals", "pauses", "woken past fencing", "appends failed", "stale records", "compactions", "old caches used"];
    let missing: Vec<&&str> = wanted.iter().filter(|kind| report.faults.get(**kind).is_none_or(|count| *count < 100)).collect();
    assert!(missing.is_empty(), "hardly ever: {missing:?} in {report}");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let player = Player::new().unwrap();
    for seed in 0..20 {
        assert_eq!(player.judge(seed, None), player.judge(seed, None), "seed {seed}");
    }
}

#[test]
fn deliberate_bugs_are_found_and_told_in_few_lines() {
    let player = Player::new().unwrap();
    let quick = [Mutant::NoReadBack, Mutant::TakeOverSilent, Mutant::InputsFromEnd, Mutant::ChangesLost, Mutant::ReaderSkips];
    for mutant in quick {
        let found = player.find(Rule::Owners(mutant), 0);
        assert!(found.seeds.is_some(), "{found}");
    }
    let seed = (0..50).find(|seed| !player.judge(*seed, Some(Mutant::NoReadBack)).0.is_empty()).unwrap();
    let told = player.explain(seed, Some(Mutant::NoReadBack)).unwrap();
    assert!(told.contains(&format!("seed {seed},")) && told.contains("law "), "{told}");
    assert_eq!(player.explain(0, None), None);
}
