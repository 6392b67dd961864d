//! A bounded share of `cargo xtask canaries`; the check itself plants every coding of every field, and a line in the site's log, and must
//! find them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use oneknock_tests::canaries::{self, Options};
use oneknock_tests::log_choice::LogKind;
use testkit::site::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_found_in_clear() {
    let report = canaries::run(&Options { log: LogKind::Embedded, count: 200, seed: 1, program: PROGRAM }, |_| {}).await.unwrap();
    assert!(report.passes(), "{report}");
}
