//! What the doctor finds: nothing on a site as it must be, and each thing that is wrong on one that differs in that alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use domain::Clock;
use eventlog::embedded::Embedded;
use eventlog::simulated::Simulated;
use eventlog::{Append, Log, NewTopic, site_topics};
use events::topics::{HOUSEHOLDS, TASKS, TRAVELLERS};
use events::{Mandate, MandateState, Millis};
use ops::doctor::{Known, doctor};
use std::sync::Arc;
use testkit::given;

const PARTITIONS: i32 = 2;

/// A site as it must be: what is told of it, and what the doctor knows beside it.
struct Site {
    topics: Vec<NewTopic>,
    /// Topic, partition and key.
    records: Vec<(&'static str, i32, &'static str)>,
    known: Known,
}

/// What makes a site another than it must be.
type Change = Box<dyn Fn(&mut Site)>;

fn site() -> Site {
    let owned = |topic| (0..PARTITIONS).map(move |partition| (topic, partition, "~position/x"));
    Site {
        topics: site_topics(PARTITIONS),
        records: owned(TRAVELLERS).chain(owned(TASKS)).chain([(HOUSEHOLDS, 0, "m/h1")]).collect(),
        known: Known {
            mandates: vec![Arc::new(given::mandate())],
            keys: Ok(["m".to_owned()].into()),
            partitions: PARTITIONS,
            clock: Clock::Wall,
        },
    }
}

/// Kind and subject of everything that is found.
async fn found(log: Arc<dyn Log>, site: &Site) -> Vec<(&'static str, String)> {
    log.create_topics(&site.topics).await.unwrap();
    for (topic, partition, key) in &site.records {
        let (key, value) = ((*key).into(), Some("0".into()));
        log.append(vec![Append { topic: (*topic).into(), partition: *partition, key, value, headers: Default::default() }]).await.unwrap();
    }
    let diagnosis = doctor(&log, &site.known).await.unwrap();
    assert_eq!(diagnosis.healthy, diagnosis.findings.is_empty());
    let text = diagnosis.to_string();
    assert!(diagnosis.findings.iter().all(|one| !one.next.is_empty() && text.contains(&one.next)), "{text}");
    diagnosis.findings.into_iter().map(|one| (one.kind, one.about)).collect()
}

#[tokio::test]
async fn what_is_as_it_must_be_is_healthy_and_each_thing_that_is_not_is_found() {
    let mandate = |site: &mut Site, change: fn(Mandate) -> Mandate| site.known.mandates = vec![Arc::new(change(given::mandate()))];
    let cases: Vec<(Change, Vec<(&str, &str)>)> = vec![
        (Box::new(|_| {}), vec![]),
        (Box::new(|site| site.topics.retain(|topic| topic.name != "routing.decisions.v1")), vec![("topic", "routing.decisions.v1")]),
        (
            Box::new(|site| {
                let tasks = site.topics.iter_mut().find(|topic| topic.name == TASKS).unwrap();
                tasks.settings.iter_mut().find(|(name, _)| name == "min.compaction.lag.ms").unwrap().1 = "1000".into();
            }),
            vec![("topic", TASKS)],
        ),
        (Box::new(|site| site.known.partitions = 3), site_topics(3).iter().map(|_| ("topic", "")).collect()),
        (Box::new(|site| site.known.mandates.clear()), vec![("mandate", "site")]),
        (Box::new(move |site| mandate(site, |one| Mandate { state: MandateState::Suspended, ..one })), vec![("mandate", "site")]),
        (Box::new(move |site| mandate(site, |one| Mandate { valid_until: Millis(1), ..one })), vec![("mandate", "site")]),
        (Box::new(|site| site.known.keys = Ok([].into())), vec![("keys", "m")]),
        (Box::new(|site| site.known.keys = Err("the password is wrong".into())), vec![("keys", "site")]),
        (Box::new(|site| site.records.retain(|(topic, ..)| *topic != HOUSEHOLDS)), vec![("mandate", "m")]),
        (
            Box::new(|site| site.records.retain(|(topic, partition, _)| (*topic, *partition) != (TASKS, 1))),
            vec![("owner", "inbox.tasks.v1/1")],
        ),
        (
            Box::new(|site| {
                site.topics.push(NewTopic { name: "dlq.router.inbox.actions.v1".into(), partitions: 1, settings: vec![] });
                site.records.push(("dlq.router.inbox.actions.v1", 0, "k"));
            }),
            vec![("dead_letters", "dlq.router.inbox.actions.v1")],
        ),
    ];
    for (at, (change, expected)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = site();
        change(&mut site);
        let found = found(Embedded::open(dir.path()).unwrap(), &site).await;
        let found: Vec<(&str, &str)> = found.iter().map(|(kind, about)| (*kind, about.as_str())).collect();
        let same = |((kind, about), (found, of)): (&(&str, &str), &(&str, &str))| kind == found && (about.is_empty() || about == of);
        assert!(expected.len() == found.len() && expected.iter().zip(&found).all(same), "case {at}: {expected:?}, found {found:?}");
    }
}

#[tokio::test]
async fn with_the_clock_of_events_dates_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = site();
    site.known.mandates = vec![Arc::new(Mandate { valid_until: Millis(1), ..given::mandate() })];
    site.known.clock = Clock::Events;
    assert_eq!(found(Embedded::open(dir.path()).unwrap(), &site).await, vec![]);
}

/// The simulated log's time is of long ago.
#[tokio::test]
async fn a_partition_that_nobody_has_written_for_an_hour_has_no_owner() {
    let found = found(Simulated::new(1), &site()).await;
    let expected: Vec<_> =
        [TRAVELLERS, TASKS].iter().flat_map(|topic| (0..PARTITIONS).map(move |at| ("owner", format!("{topic}/{at}")))).collect();
    assert_eq!(found, expected);
}
