//! The embedded log under the suite, and what it alone promises: one process, restarts, time-dependent compaction.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod conformance;

use conformance::{Under, record, text};
use eventlog::embedded::Embedded;
use eventlog::{Append, From, Log, LogError, NewTopic};
use std::path::Path;
use std::sync::Arc;

async fn make() -> Under {
    let dir = tempfile::tempdir().unwrap();
    let log = Embedded::open(dir.path()).unwrap();
    under(log, Box::new(dir))
}

fn under(log: Arc<Embedded>, keep: Box<dyn std::any::Any + Send + Sync>) -> Under {
    let compacted = log.clone();
    let compact: conformance::Compact = Box::new(move |topic| {
        let log = compacted.clone();
        Box::pin(async move {
            log.compact(&topic).await.unwrap();
        })
    });
    Under { log, compact: Some(compact), keep }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_log_conforms() {
    conformance::suite(make).await;
}

fn topic(name: &str, settings: &[(&str, &str)]) -> NewTopic {
    let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    NewTopic { name: name.to_owned(), partitions: 1, settings }
}

fn open(dir: &Path) -> Arc<Embedded> {
    Embedded::open(dir).unwrap()
}

#[tokio::test]
async fn a_second_one_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let Err(LogError::Held { holder, .. }) = Embedded::open(dir.path()) else { panic!("opened twice") };
    assert_eq!(holder, std::process::id().to_string());
    drop(log);
    open(dir.path());
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path());
        log.create_topics(&[topic("kept", &[("retention.ms", "1000")])]).await.unwrap();
        log.append((0..10).map(|number| record("kept", 0, "key", number)).collect()).await.unwrap();
        log.note_position("group", &[From { topic: "kept".into(), partition: 0, offset: 4 }]).await.unwrap();
    }
    let log = open(dir.path());
    assert_eq!(log.topics().await.unwrap()[0].settings, [("retention.ms".to_owned(), "1000".to_owned())]);
    assert_eq!(log.noted_positions("group").await.unwrap(), [From { topic: "kept".into(), partition: 0, offset: 4 }]);
    let before = log.offsets("kept", 0).await.unwrap();
    assert_eq!(before, (0, 10));
    assert_eq!(log.append(vec![record("kept", 0, "key", 10)]).await.unwrap()[0].offset, 10);
    let under = under(log, Box::new(()));
    let records = under.all("kept", 0, 0).await;
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), (0..=10).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.timestamp));
}

#[tokio::test]
async fn what_was_appended_but_not_awaited_is_written_when_the_log_closes() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path());
        log.create_topics(&[topic("kept", &[])]).await.unwrap();
        for number in 0..100 {
            drop(log.append(vec![record("kept", 0, "key", number)]));
        }
    }
    assert_eq!(open(dir.path()).offsets("kept", 0).await.unwrap(), (0, 100));
}

const HOUR: i64 = 3_600_000;

/// The time of the first record.
async fn begun(under: &Under, topic: &str) -> i64 {
    under.all(topic, 0, 0).await[0].timestamp
}

#[tokio::test]
async fn a_record_pushes_out_an_older_one_only_when_it_is_old_enough() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.create_topics(&[topic("lag", &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "3600000")])]).await.unwrap();
    for number in 0..3 {
        log.append(vec![record("lag", 0, "key", number)]).await.unwrap();
    }
    let under = under(log.clone(), Box::new(()));
    let begun = begun(&under, "lag").await;
    assert_eq!(log.compact_as_of("lag", begun + HOUR - 1).await.unwrap(), 0);
    assert_eq!(under.all("lag", 0, 0).await.len(), 3);
    assert_eq!(log.compact_as_of("lag", begun + 2 * HOUR).await.unwrap(), 2);
    assert_eq!(under.all("lag", 0, 0).await.iter().map(text).collect::<Vec<_>>(), ["2"]);
}

#[tokio::test]
async fn a_tombstone_goes_when_its_time_is_over_since_it_was_first_met() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let settings = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "0"), ("delete.retention.ms", "3600000")];
    log.create_topics(&[topic("tombstones", &settings)]).await.unwrap();
    log.append(vec![record("tombstones", 0, "key", 1)]).await.unwrap();
    log.append(vec![Append { value: None, ..record("tombstones", 0, "key", "") }]).await.unwrap();
    let under = under(log.clone(), Box::new(()));
    let begun = begun(&under, "tombstones").await;
    // Met for the first time a day late: whoever reads from the start then still has an hour to meet it.
    assert_eq!(log.compact_as_of("tombstones", begun + 24 * HOUR).await.unwrap(), 1);
    assert_eq!(log.compact_as_of("tombstones", begun + 25 * HOUR - 1).await.unwrap(), 0);
    assert_eq!(under.all("tombstones", 0, 0).await.len(), 1);
    assert_eq!(log.compact_as_of("tombstones", begun + 25 * HOUR).await.unwrap(), 1);
    assert_eq!(under.all("tombstones", 0, 0).await, vec![]);
    assert_eq!(log.offsets("tombstones", 0).await.unwrap(), (0, 2));
}

#[tokio::test]
async fn what_is_kept_for_a_time_goes_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.create_topics(&[topic("timed", &[("cleanup.policy", "delete"), ("retention.ms", "3600000")])]).await.unwrap();
    for number in 0..3 {
        log.append(vec![record("timed", 0, "key", number)]).await.unwrap();
    }
    let under = under(log.clone(), Box::new(()));
    let begun = begun(&under, "timed").await;
    assert_eq!(log.compact_as_of("timed", begun + HOUR).await.unwrap(), 0);
    assert_eq!(log.compact_as_of("timed", begun + 2 * HOUR).await.unwrap(), 3);
    assert_eq!(log.offsets("timed", 0).await.unwrap(), (3, 3));
    log.append(vec![record("timed", 0, "key", 3)]).await.unwrap();
    assert_eq!(under.all("timed", 0, 0).await.iter().map(text).collect::<Vec<_>>(), ["3"]);
    drop((under, log));
    assert_eq!(open(dir.path()).offsets("timed", 0).await.unwrap(), (3, 4));
}
