//! One event's way, from hand-made topics: by its traveller to its household, past what a superseded owner wrote, and without a token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use eventlog::embedded::Embedded;
use eventlog::fencing::epoch_headers;
use eventlog::schemas::Schemas;
use eventlog::{Append, Headers, Log, site_topics};
use events::{Code, Decision, EventId, HighwayEntrance, Identifier, IdentifierKind, Millis, Token, Traveller, topics};
use std::sync::Arc;

const PARTITIONS: i32 = 3;
const TOKEN: Token = Token([7; 16]);
const ID: EventId = EventId([1; 16]);

async fn append(log: &Arc<dyn Log>, topic: &'static str, partition: i32, key: &str, value: Vec<u8>, headers: Headers) {
    let record = Append { topic: topic.into(), partition, key: key.to_owned().into(), value: Some(value.into()), headers };
    log.append(vec![record]).await.unwrap();
}

fn event() -> HighwayEntrance {
    HighwayEntrance {
        event_id: ID,
        mandate: "m".into(),
        source: "highway-authority".into(),
        source_ref: "r".into(),
        observed_at: Millis(1),
        received_at: Millis(2),
        identifiers: vec![Identifier { kind: IdentifierKind::Plate, token: TOKEN }],
        origin_division: None,
        station: "s".into(),
        direction: events::Direction::In,
        vehicle_class: None,
    }
}

fn decision(code: Code, revision: i64) -> Decision {
    Decision {
        event_id: ID,
        mandate: "m".into(),
        code,
        revision,
        reason: "because".into(),
        grid: Some("g".into()),
        task_id: Some("t".into()),
        policy: 1,
        at: Millis(3),
    }
}

fn traveller(place: &str, version: i64) -> Traveller {
    Traveller {
        identifiers: event().identifiers,
        declared: None,
        place: place.into(),
        version,
        leaving: false,
        carried: vec![],
        carried_out: vec![],
        covers: vec![],
    }
}

#[tokio::test]
async fn an_events_way_is_shown_with_what_counts_and_without_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Embedded::open(dir.path()).unwrap();
    log.create_topics(&site_topics(PARTITIONS)).await.unwrap();
    let schemas = Schemas::open("").await.unwrap();
    let codec = schemas.codec();
    let missing = ops::trace::trace(&log, &schemas, ID).await.unwrap_err();
    assert!(matches!(missing, ops::OpsError::NoEvent(ID)), "{missing}");

    let key = TOKEN.to_string();
    append(&log, topics::HIGHWAY, topics::partition_of(key.as_bytes(), PARTITIONS), &key, codec.encode(&event()), Headers::new()).await;
    let key = ID.to_string();
    let partition = topics::partition_of(key.as_bytes(), PARTITIONS);
    for decision in [decision(Code::Joined, 2 * 65_536 + 1), decision(Code::Opened, 65_536)] {
        append(&log, topics::DECISIONS, partition, &key, codec.encode(&decision), Headers::new()).await;
    }
    let id = events::traveller_id(&event().identifiers, None).unwrap();
    let partition = topics::traveller_partition(&id, PARTITIONS);
    let key = topics::traveller_key("m", &id);
    let claim = format!("{}one", topics::CLAIM_PREFIX);
    append(&log, topics::TRAVELLERS, partition, &claim, b"{}".to_vec(), Headers::new()).await;
    append(&log, topics::TRAVELLERS, partition, &key, codec.encode(&traveller("h-1", 2)), epoch_headers(1)).await;
    // An owner that has been superseded.
    append(&log, topics::TRAVELLERS, partition, &key, codec.encode(&traveller("h-2", 3)), epoch_headers(0)).await;

    let trace = ops::trace::trace(&log, &schemas, ID).await.unwrap();
    assert_eq!(trace.code, Some("joined"), "the highest revision counts, not the last record");
    let revisions: Vec<(i64, i64)> = trace.decisions.iter().map(|decision| (decision.traveller_version, decision.count)).collect();
    assert_eq!(revisions, [(2, 1), (1, 0)]);
    let state = trace.traveller.as_ref().unwrap();
    assert_eq!((state.household.as_str(), state.version), ("h-1", 2));
    assert_eq!(trace.records[0].identifiers, ["PLATE"]);
    assert!(trace.household.is_none());
    for text in [trace.to_string(), serde_json::to_string(&trace).unwrap()] {
        assert!(!text.contains(&TOKEN.to_string()), "{text}");
        assert!(text.contains("because") && text.contains("h-1") && !text.contains("h-2"), "{text}");
    }
}
