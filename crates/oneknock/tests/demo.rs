//! The demonstration from the outside: a link at once, a line each second, books that close.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{Running, oneknock};

fn demo(dir: &str, words: &[&str]) -> Running {
    let port = testkit::ports::free().unwrap().to_string();
    let all = ["demo", "--households", "60", "--seed", "5", "--dir", dir, "--port", &port];
    let mut command = oneknock(&all);
    command.args(words);
    Running::start(command)
}

/// The number behind these words.
fn figure(line: &str, words: &str) -> u64 {
    let behind = line.split_once(words).unwrap_or_else(|| panic!("{line:?} should say {words:?}")).1;
    behind.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn it_shows_a_link_pushes_visits_avoids_others_and_closes_its_books() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = demo(dir.path().to_str().unwrap(), &["--rate", "40", "--seconds", "6", "--lang", "en"]);
    let link = running.wait_for("Inbox:");
    assert!(link.contains("/sign-in?token="), "{link}");
    running.wait_for(" 2 s ");
    running.wait_for("Stopping");
    let events = figure(&running.wait_for("events "), "events");
    let visits = figure(&running.wait_for("visits pushed"), "visits pushed");
    let avoided = figure(&running.wait_for("repeat visits avoided"), "repeat visits avoided");
    assert!(events >= 100 && visits > 0 && avoided > 0, "{events} {visits} {avoided}");
    assert!(visits + avoided <= events, "{visits} + {avoided} of {events}");
    running.wait_for("closed");
    let status = running.end();
    assert_eq!(status.code(), Some(0), "{}", running.rest());
}

#[test]
fn told_to_stop_it_still_closes_its_books_in_chinese_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = demo(dir.path().to_str().unwrap(), &["--rate", "20", "--lang", "zh-CN"]);
    running.wait_for("收件箱");
    running.wait_for(" 2 秒");
    running.signal("INT");
    running.wait_for("已结平");
    let status = running.end();
    assert_eq!(status.code(), Some(0), "{}", running.rest());
}
