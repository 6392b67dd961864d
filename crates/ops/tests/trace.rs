//! One event's way, from hand-made topics: by its traveller to its household, past what a superseded owner wrote, and without a token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use domain::household::{self, Context, Entry, Input, Row};
use domain::{Clock, policy};
use eventlog::embedded::Embedded;
use eventlog::fencing::epoch_headers;
use eventlog::schemas::Schemas;
use eventlog::{Append, Headers, Log, site_topics};
use events::*;
use std::collections::HashMap;
use std::sync::Arc;
use testkit::given;

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
        task_id: TaskId::from("t").ok(),
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
    let missing = ops::trace::trace(&log, &schemas, &given::signers(), ID).await.unwrap_err();
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

    let trace = ops::trace::trace(&log, &schemas, &given::signers(), ID).await.unwrap();
    assert_eq!(trace.code, Some("joined"), "the highest revision counts, not the last record");
    let revisions: Vec<(i64, i64)> = trace.decisions.iter().map(|decision| (decision.traveller_version, decision.count)).collect();
    assert_eq!(revisions, [(2, 1), (1, 0)]);
    let state = trace.traveller.as_ref().unwrap();
    assert_eq!((state.household.as_str(), state.version), ("h-1", 2));
    assert_eq!(trace.records[0].identifiers, ["PLATE"]);
    assert!(trace.household.is_none());
    for text in [trace.text(ops::Language::English), trace.text(ops::Language::Chinese), serde_json::to_string(&trace).unwrap()] {
        assert!(!text.contains(&TOKEN.to_string()), "{text}");
        assert!(text.contains("because") && text.contains("h-1") && !text.contains("h-2"), "{text}");
    }
}

/// A log with nothing in it but its topics.
async fn empty(dir: &std::path::Path) -> (Arc<dyn Log>, Arc<Schemas>) {
    let log: Arc<dyn Log> = Embedded::open(dir).unwrap();
    log.create_topics(&site_topics(PARTITIONS)).await.unwrap();
    (log, Schemas::open("").await.unwrap())
}

#[tokio::test]
async fn every_row_of_the_table_is_shown_with_its_reason_and_what_would_have_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let (log, schemas) = empty(dir.path()).await;
    for (at, row) in Row::ALL.into_iter().enumerate() {
        let id = EventId([at as u8 + 1; 16]);
        let said = Decision { event_id: id, reason: row.reason().into(), ..decision(row.code(), 65_536) };
        let key = id.to_string();
        let partition = topics::partition_of(key.as_bytes(), PARTITIONS);
        append(&log, topics::DECISIONS, partition, &key, schemas.codec().encode(&said), Headers::new()).await;
        // The same once more, in words that no longer tell which row it was.
        let again = Decision { reason: "usual".into(), ..said };
        append(&log, topics::DECISIONS, partition, &key, schemas.codec().encode(&again), Headers::new()).await;

        let trace = ops::trace::trace(&log, &schemas, &given::signers(), id).await.unwrap();
        assert_eq!(trace.row, Some(row.number()), "{row:?}");
        let english = trace.text(ops::Language::English);
        let named = [row.code().as_str(), row.reason(), "policy 1", "grid g", "visit t", "said again 1 times"];
        for wanted in named.into_iter().chain([format!("row {}", row.number()).as_str()]) {
            assert!(english.contains(wanted), "{row:?}: {wanted}: {english}");
        }
        let leads_to_a_visit = matches!(row.code(), Code::Opened) || matches!(row, Row::Waited | Row::JoinsOpen);
        assert_eq!(english.contains("For a visit:"), !leads_to_a_visit, "{row:?}: {english}");
        let chinese = trace.text(ops::Language::Chinese);
        assert!(chinese.contains(&format!("第 {} 行", row.number())) && !chinese.contains(row.reason()), "{row:?}: {chinese}");
    }
}

/// A household that was screened at day 1, and this event of somebody from a zone of day 2, as its owner has written it.
fn screened_then_seen(zones: &Policy) -> Task {
    let (mandate, grids) = (given::mandate(), HashMap::from([("g".to_owned(), given::grid("3301"))]));
    let day = |day: i64| Millis(20_000 * time::DAY_MS + day * time::DAY_MS);
    let mut task = household::new_task("m", "h-1");
    let mut apply = |input: &Input<'_>, now| {
        let entry = Some(Entry { version: 1, grid: "g" });
        let context = Context { now, clock: Clock::Wall, policy: zones, mandate: Some(&mandate), entry, grids: &grids, settled: true };
        household::apply(&mut task, input, &context);
        task.task_id
    };
    let traveller = traveller_id(&event().identifiers, None).unwrap();
    let arrival = |signal| Arrival {
        traveller,
        version: 1,
        message: ArrivalMessage::Here(Here { declared: None, signals: vec![signal], pushed_out: vec![], covers: vec![] }),
    };
    let task_id = apply(&Input::Arrival(&arrival(given::signal(SourceKind::Highway, 9, day(0)))), day(0));
    let screened = Action {
        action_id: "a".into(),
        task_id: Text::new(task_id),
        action: ActionKind::Outcome,
        outcome: Some(Outcome::Screened),
        to_grid: None,
        note: None,
        register: None,
        at: None,
        actor: "w-0007".into(),
        supervisor: false,
        received_at: day(1),
    };
    apply(&Input::Action(&screened), day(1));
    let signal = Signal { event_id: ID.fixed(), origin_division: Some("3301".into()), ..given::signal(SourceKind::Highway, 1, day(2)) };
    apply(&Input::Arrival(&arrival(signal)), day(2));
    task
}

#[tokio::test]
async fn which_screening_answers_it_is_shown_and_that_a_risen_risk_would_change_that() {
    for (policy, answers) in [("", true), ("[zones]\n3301 = \"high\"", false)] {
        let dir = tempfile::tempdir().unwrap();
        let (log, schemas) = empty(dir.path()).await;
        let codec = schemas.codec();
        let put = async |topic, key: &str, value| {
            let partition = topics::partition_of(key.as_bytes(), PARTITIONS);
            append(&log, topic, partition, key, value, epoch_headers(1)).await;
        };
        let key = TOKEN.to_string();
        put(topics::HIGHWAY, &key, codec.encode(&event())).await;
        put(topics::DECISIONS, &ID.to_string(), codec.encode(&decision(Code::Covered, 65_537))).await;
        put(topics::GRIDS, "g", codec.encode(&given::grid("3301"))).await;
        put(topics::MANDATES, "m", codec.encode(&given::mandate())).await;
        put(topics::POLICIES, topics::POLICY_KEY, codec.encode(&policy::from_toml(policy, 5).unwrap())).await;
        put(topics::TASKS, "m/h-1", codec.encode(&screened_then_seen(&policy::default_policy()))).await;
        let id = traveller_id(&event().identifiers, None).unwrap();
        let partition = topics::traveller_partition(&id, PARTITIONS);
        let key = topics::traveller_key("m", &id);
        append(&log, topics::TRAVELLERS, partition, &key, codec.encode(&traveller("h-1", 1)), epoch_headers(1)).await;

        let trace = ops::trace::trace(&log, &schemas, &given::signers(), ID).await.unwrap();
        let asked = trace.asked.as_ref().unwrap();
        assert_eq!(asked.covers.iter().map(|cover| (cover.answers, cover.risk_has_risen)).collect::<Vec<_>>(), [(answers, !answers)]);
        let first = asked.table.iter().find(|row| row.applies).unwrap();
        assert_eq!((first.row, first.code), if answers { (7, "covered") } else { (12, "opened") });
        assert_eq!(asked.table.len(), Row::table().count());
        assert_eq!(trace.household.as_ref().unwrap().answers.len(), 1);
        let (english, chinese) = (trace.text(ops::Language::English), trace.text(ops::Language::Chinese));
        for text in [&english, &chinese] {
            assert!(!text.contains("w-0007") && text.lines().count() <= 45, "{text}");
        }
        assert!(english.contains(if answers { "answers it" } else { "the risk has risen" }), "{english}");
        assert!(english.contains("It led to no visit: covered."), "{english}");
    }
}
