//! A bounded share of `cargo xtask swap`, and each rule that must not be, planted: it is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use clap::ValueEnum;
use oneknock_tests::swap::{Planted, Swapper};

#[test]
fn where_somebody_comes_from_changes_nothing() {
    let report = Swapper::new().unwrap().run(0, 500, None, |_| {}).unwrap();
    assert!(report.passes(), "{report}");
}

#[test]
fn a_rule_that_looks_at_it_is_found() {
    let swapper = Swapper::new().unwrap();
    for planted in Planted::value_variants() {
        let report = swapper.run(0, 200, Some(*planted), |_| {}).unwrap();
        assert!(report.differences > 0, "{planted:?}: {report}");
    }
}
