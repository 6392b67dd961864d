//! A bounded share of `cargo xtask kill`: the whole process is killed a few times under load on each log; nothing is lost or doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use oneknock_tests::kill::{self, Options};
use oneknock_tests::log_choice::LogKind;
use testkit::site::PROGRAM;

async fn survives(log: LogKind, count: u32) {
    let options = Options { log, count, seed: 1, rate: 300, program: PROGRAM };
    let report = kill::run(&options, |line| println!("{line}")).await.unwrap();
    println!("{report}");
    assert!(report.passes(), "{report}");
    assert!(report.kills == count && report.screened > 0 && report.tasks > 100, "too little happened: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_the_embedded_log() {
    survives(LogKind::Embedded, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_kafka() {
    survives(LogKind::Kafka, 3).await;
}
