//! The books over hand-made topics: they close where every event has its decision, and not otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use eventlog::embedded::Embedded;
use eventlog::schemas::Schemas;
use eventlog::{Append, Log, site_topics};
use events::{Code, Decision, EventId, HighwayEntrance, Identifier, IdentifierKind, Millis, Token, topics};
use std::sync::Arc;

const PARTITIONS: i32 = 3;

struct Books {
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    _dir: tempfile::TempDir,
}

impl Books {
    async fn open() -> Books {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(dir.path()).unwrap();
        log.create_topics(&site_topics(PARTITIONS)).await.unwrap();
        Books { log, schemas: Schemas::open("").await.unwrap(), _dir: dir }
    }

    async fn append(&self, topic: &'static str, key: &str, value: Vec<u8>) {
        let partition = topics::partition_of(key.as_bytes(), PARTITIONS);
        let record =
            Append { topic: topic.into(), partition, key: key.to_owned().into(), value: Some(value.into()), headers: Default::default() };
        self.log.append(vec![record]).await.unwrap();
    }

    async fn event(&self, number: u8) {
        let token = Token([number; 16]);
        let event = HighwayEntrance {
            event_id: EventId([number; 16]),
            mandate: "m".into(),
            source: "highway-authority".into(),
            source_ref: "r".into(),
            observed_at: Millis(1),
            received_at: Millis(2),
            identifiers: vec![Identifier { kind: IdentifierKind::Plate, token }],
            origin_division: None,
            station: "s".into(),
            direction: events::Direction::In,
            vehicle_class: None,
        };
        self.append(topics::HIGHWAY, &token.to_string(), self.schemas.codec().encode(&event)).await;
    }

    async fn decision(&self, number: u8, code: Code, revision: i64) {
        let event_id = EventId([number; 16]);
        let decision = Decision {
            event_id,
            mandate: "m".into(),
            code,
            revision,
            reason: "because".into(),
            grid: None,
            task_id: None,
            policy: 1,
            at: Millis(3),
        };
        self.append(topics::DECISIONS, &event_id.to_string(), self.schemas.codec().encode(&decision)).await;
    }

    async fn ledger(&self) -> ops::ledger::Ledger {
        ops::ledger::ledger(&self.log, &self.schemas).await.unwrap()
    }
}

#[tokio::test]
async fn an_empty_log_closes() {
    let ledger = Books::open().await.ledger().await;
    assert_eq!((ledger.accepted, ledger.undecided, ledger.closed), (0, 0, true));
    assert_eq!(ledger.decisions.len(), Code::ALL.len(), "every code is named");
}

#[tokio::test]
async fn the_newest_revision_counts_whatever_the_order_and_repeats_count_once() {
    let books = Books::open().await;
    for number in [1, 2, 3, 2] {
        books.event(number).await;
    }
    books.decision(1, Code::Opened, 65_536).await;
    books.decision(2, Code::Covered, 65_538).await;
    books.decision(2, Code::Opened, 65_537).await;
    books.decision(3, Code::Held, 65_536).await;
    books.decision(3, Code::Joined, 65_537).await;
    let ledger = books.ledger().await;
    assert_eq!((ledger.accepted, ledger.undecided, ledger.unknown, ledger.closed), (3, 0, 0, true));
    let counted: Vec<(&str, u64)> = ledger.decisions.iter().filter(|(_, count)| **count > 0).map(|(code, count)| (*code, *count)).collect();
    assert_eq!(counted, [("covered", 1), ("joined", 1), ("opened", 1)]);
    assert_eq!(ledger.by_source["highway-authority"].accepted, 3);

    let json = serde_json::to_value(&ledger).unwrap();
    assert_eq!(json["decisions"]["opened"], 1);
    assert_eq!(json["closed"], true);
}

#[tokio::test]
async fn an_event_without_a_decision_keeps_them_open() {
    let books = Books::open().await;
    books.event(1).await;
    books.event(2).await;
    books.decision(1, Code::Opened, 65_536).await;
    let ledger = books.ledger().await;
    assert_eq!((ledger.accepted, ledger.undecided, ledger.closed), (2, 1, false));
    assert_eq!(ledger.overdue, 0, "it may still be under way");
    assert_eq!(ledger.open.len(), 1);
    assert_eq!((ledger.open[0].source.as_str(), ledger.open[0].undecided), ("highway-authority", 1));
    assert!(ledger.to_string().contains("NOT CLOSED"));
}

#[tokio::test]
async fn a_decision_about_nothing_keeps_them_open() {
    let books = Books::open().await;
    books.event(1).await;
    books.decision(1, Code::Opened, 65_536).await;
    books.decision(9, Code::Opened, 65_536).await;
    let ledger = books.ledger().await;
    assert_eq!((ledger.accepted, ledger.undecided, ledger.unknown, ledger.closed), (1, 0, 1, false));
}

#[tokio::test]
async fn what_cannot_be_read_is_seen_and_hides_nothing() {
    let books = Books::open().await;
    books.event(1).await;
    books.append(topics::HIGHWAY, "x", b"\0\0\0\0\x02truncated".to_vec()).await;
    books.append(topics::DECISIONS, "x", b"junk".to_vec()).await;
    books.decision(1, Code::Opened, 65_536).await;
    let ledger = books.ledger().await;
    assert_eq!((ledger.accepted, ledger.unreadable, ledger.closed), (1, 1, true));
}
