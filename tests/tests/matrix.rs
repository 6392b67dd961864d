//! Who may what, at the real binary: `cargo xtask matrix` asks more of the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use clap::ValueEnum;
use oneknock_tests::matrix::{Matrix, Rule};

/// The share of each run of the tests; and the null controls: a table that forgets any of its rules must find the program wrong.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_what_the_table_says_and_nothing_else() {
    let matrix = Matrix::start().await.unwrap();
    let report = matrix.run(3_000, 7_000_000, None).await.unwrap();
    assert!(report.passes(), "{report}");
    for rule in Rule::value_variants() {
        let report = matrix.run(600, 8_000_000, Some(*rule)).await.unwrap();
        assert!(report.wrong_denials + report.otherwise > 0 && report.wrong_allows == 0, "{rule:?} is not missed: {report}");
    }
}
