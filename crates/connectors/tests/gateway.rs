//! The gateway as agencies see it, on the embedded log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod support;

use connectors::gateway::{Config, RECORDS_MAX};
use domain::Clock;
use events::topics::{CHECKPOINT, HIGHWAY, TELECOM, of_kind, partition_of};
use events::*;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use support::{TestSite, answer, codes, eventually, mandate, minutes_ago, passage};
use tokio::io::AsyncWriteExt;

fn entrance(id: &str) -> Value {
    json!({"id": id, "observed_at": minutes_ago(3), "station": "G60-K12", "direction": "in", "plate": "浙AD12345", "vehicle_class": "car",
        "origin_division": "3301"})
}

fn movement(id: &str) -> Value {
    json!({"id": id, "observed_at": minutes_ago(3), "phone": "+8613800138000", "from_division": "3302", "to_division": "330106",
        "dwell_minutes": 240})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_lands_under_its_strongest_token_with_its_headers() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    for (kind, record) in [("checkpoint", passage("a", json!({}))), ("highway", entrance("b")), ("telecom", movement("c"))] {
        let (status, answer) = gateway.send(kind, &[record]).await;
        assert_eq!((status, codes(&answer)), (202, vec!["accepted".to_owned()]), "{answer}");
        let topic = of_kind(SourceKind::parse(kind).unwrap());
        let record = site.records(topic).await.pop().unwrap();
        assert_eq!(record.partition, partition_of(&record.key, support::PARTITIONS));
        assert_eq!(record.header("ce_id").unwrap(), answer["results"][0]["event_id"].as_str().unwrap().as_bytes());
        assert_eq!(record.header("content-type").unwrap(), b"application/avro");
    }
    let keys = site.site.keyring.mandate("m").unwrap();
    let passage = site.decoded::<CheckpointPassage>(CHECKPOINT).await.remove(0);
    let expected = |kind, form: &str| Identifier { kind, token: keys.token(kind, form).unwrap() };
    let address = normal::address("330106001001-03", "文三路90号3幢201室").unwrap();
    let identifiers = [
        expected(IdentifierKind::ResidentId, "11010519491231002X"),
        expected(IdentifierKind::Phone, "13800138000"),
        expected(IdentifierKind::Plate, "浙A12345"),
        expected(IdentifierKind::Address, &address),
    ];
    assert_eq!(passage.identifiers, identifiers);
    let sealed = passage.destination.unwrap().address.unwrap();
    assert_eq!(sealed.owner, passage.event_id.to_string());
    let opened = keys.open("address", &sealed.owner, &sealed.value.0).unwrap().into_text().unwrap();
    assert_eq!(opened.expose(), "文三路 90 号 3 幢 201 室");
    let highway = site.records(HIGHWAY).await.remove(0);
    assert_eq!(highway.key, keys.token(IdentifierKind::Plate, "浙AD12345").unwrap().to_string().as_bytes());
    let telecom = site.decoded::<TelecomMovement>(TELECOM).await.remove(0);
    assert_eq!(telecom.identifiers, [expected(IdentifierKind::Phone, "13800138000")]);
    assert_eq!((telecom.origin_division.as_deref(), telecom.from_division.as_deref()), (Some("3302"), Some("3302")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_gets_its_own_code_and_costs_no_other() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let cases = [
        (json!({}), "accepted"),
        (json!({"id": null}), "missing_field id"),
        (json!({"id": ""}), "missing_field id"),
        (json!({"id": 7}), "bad_value id"),
        (json!({"id": "x".repeat(129)}), "bad_value id"),
        (json!({"id": "a\u{0}b"}), "bad_value id"),
        (json!({"observed_at": null}), "missing_field observed_at"),
        (json!({"observed_at": "yesterday"}), "bad_time observed_at"),
        (json!({"observed_at": "2026-13-01T00:00:00Z"}), "bad_time observed_at"),
        (json!({"observed_at": 1_700_000_000}), "bad_time observed_at"),
        (json!({"observed_at": minutes_ago(31 * 24 * 60)}), "too_old observed_at"),
        (json!({"observed_at": minutes_ago(-12)}), "in_future observed_at"),
        (json!({"mandate": "other"}), "no_mandate mandate"),
        (json!({"checkpoint": null}), "missing_field checkpoint"),
        (json!({"checkpoint": ["x"]}), "bad_value checkpoint"),
        (json!({"direction": "sideways"}), "bad_value direction"),
        (json!({"direction": "OUT"}), "accepted"),
        (json!({"resident_id": "110105194912310021"}), "bad_identifier resident_id"),
        (json!({"resident_id": ""}), "bad_identifier resident_id"),
        (json!({"phone": "1".repeat(33)}), "bad_identifier phone"),
        (json!({"plate": "浙A\u{7}12345"}), "bad_identifier plate"),
        (json!({"phone": 13_800_138_000_i64}), "bad_value phone"),
        (json!({"resident_id": null, "phone": null, "plate": null}), "missing_field resident_id"),
        (json!({"origin_division": "33O1"}), "bad_value origin_division"),
        (json!({"origin_division": "1234567890123"}), "bad_value origin_division"),
        (json!({"origin_division": null, "destination": null, "party_size": null}), "accepted"),
        (json!({"destination": "home"}), "bad_value destination"),
        (json!({"destination": {"division": "330106"}}), "missing_field destination.grid"),
        (json!({"destination": {"grid": "g"}}), "missing_field destination.division"),
        (json!({"destination": {"division": "330106", "grid": "g", "address": "路".repeat(513)}}), "bad_value destination.address"),
        (json!({"destination": {"division": "330106", "grid": "g", "address": " ，。 "}}), "accepted"),
        (json!({"destination": {"division": "310101", "grid": "g"}}), "out_of_mandate destination.division"),
        (json!({"destination": {"division": "33", "grid": "g"}}), "accepted"),
        (json!({"party_size": 0}), "bad_value party_size"),
        (json!({"party_size": 2.5}), "bad_value party_size"),
        (json!({"party_size": "2"}), "bad_value party_size"),
    ];
    let records: Vec<Value> = cases.iter().enumerate().map(|(at, (change, _))| passage(&format!("r{at}"), change.clone())).collect();
    let (status, answer) = gateway.send("checkpoint", &records).await;
    let expected: Vec<&str> = cases.iter().map(|(_, code)| *code).collect();
    assert_eq!((status, codes(&answer)), (202, expected.iter().map(|code| (*code).to_owned()).collect()));
    let accepted = expected.iter().filter(|code| **code == "accepted").count();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(accepted), &json!(cases.len() - accepted)));
    assert_eq!(site.records(CHECKPOINT).await.len(), accepted);

    let mut without_plate = entrance("h");
    without_plate["plate"] = Value::Null;
    assert_eq!(codes(&gateway.send("highway", &[without_plate]).await.1), ["missing_field plate"]);
    let changed = |id, change| {
        let mut record = movement(id);
        support::merge(&mut record, change);
        record
    };
    let records = [
        changed("1", json!({"phone": null})),
        changed("2", json!({"to_division": null})),
        changed("3", json!({"to_division": "310101"})),
        changed("4", json!({"dwell_minutes": null})),
        changed("5", json!({"dwell_minutes": -1})),
        changed("6", json!({"dwell_minutes": 99_999_999_999_i64})),
    ];
    let expected = [
        "missing_field phone",
        "missing_field to_division",
        "out_of_mandate to_division",
        "missing_field dwell_minutes",
        "bad_value dwell_minutes",
        "bad_value dwell_minutes",
    ];
    assert_eq!(codes(&gateway.send("telecom", &records).await.1), expected);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_the_same_event_however_it_is_written() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let at = "2026-01-03T08:14:00+08:00";
    let first = format!(
        r#"{{"id":"a","observed_at":"{at}","checkpoint":"c","direction":"in","resident_id":"11010519491231002X","phone":"13800138000"}}"#
    );
    // Other order, other spelling of time and identifiers, a name that is never read, an envelope.
    let again = r#"{"phone":"+86 138-0013-8000","direction":"IN","resident_id":"11010519491231002x","name":"x","checkpoint":"c","observed_at":"2026-01-03T00:14:00Z","id":"a"}"#;
    let wrapped = format!(r#"{{"specversion":"1.0","id":"e","source":"/x","type":"y","data":{first}}}"#);
    // These times are fixed, so the age of events does not matter here.
    let old = TestSite::with(&[mandate("m")], Clock::Wall, Config { max_age_days: 0, max_future_minutes: 0, ..Config::default() }).await;
    let gateway_of_old = old.gateway().await;
    let post = async |media: &'static str, body: String| {
        let token = gateway_of_old.token("checkpoint").to_owned();
        gateway_of_old.post("/v1/events/checkpoint", &token, media, body).await
    };
    let (status, one) = post("application/json", first.clone()).await;
    assert_eq!((status, codes(&one)), (202, vec!["accepted".to_owned()]));
    let (_, two) = post("application/json; charset=utf-8", again.to_owned()).await;
    let (_, three) = post("application/cloudevents+json", wrapped.clone()).await;
    let (_, four) = post("application/cloudevents-batch+json", format!("[{wrapped},{wrapped}]")).await;
    for answer in [&two, &three, &four] {
        for row in answer["results"].as_array().unwrap() {
            assert_eq!((row["status"].as_str(), &row["event_id"]), (Some("duplicate"), &one["results"][0]["event_id"]));
        }
    }
    let (_, reused) = post("application/json", first.replace("\"c\"", "\"d\"")).await;
    assert_eq!(codes(&reused), ["id_reused id"]);
    assert_eq!(old.records(CHECKPOINT).await.len(), 1);
    gateway_of_old.stop().await;

    // Another process remembers what the log holds.
    let restarted = old.gateway().await;
    let (_, answer) = restarted.post("/v1/events/checkpoint", restarted.token("checkpoint"), "application/json", first.clone()).await;
    assert_eq!((codes(&answer), &answer["results"][0]["event_id"]), (vec!["duplicate".to_owned()], &one["results"][0]["event_id"]));
    restarted.stop().await;

    // Within one request; and another site's keys make other ids.
    let (_, answer) = gateway.send("checkpoint", &[passage("b", json!({})), passage("b", json!({"checkpoint": "x"}))]).await;
    assert_eq!(codes(&answer), ["accepted", "id_reused id"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_taken_are_problems() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let token = gateway.token("checkpoint").to_owned();
    let path = "/v1/events/checkpoint";
    let json = "application/json";
    assert_eq!(gateway.post(path, "wrong-token-wrong-token-wrong", json, "{}").await.0, 401);
    assert_eq!(answer(gateway.client.post(format!("{}{path}", gateway.url)).send().await.unwrap()).await.0, 401);
    assert_eq!(gateway.post(path, site.tokens.admins[0].token.expose(), json, "{}").await.0, 403);
    assert_eq!(gateway.post("/v1/events/telecom", &token, json, "{}").await.0, 403);
    assert_eq!(gateway.post("/v1/events/radio", &token, json, "{}").await.0, 404);
    assert_eq!(gateway.post(path, &token, "text/csv", "{}").await.0, 415);
    for body in ["", "[]", "[{}]", "null", "{", "{}x"] {
        assert_eq!(gateway.post(path, &token, json, body).await.0, 400, "{body}");
    }
    assert_eq!(gateway.post(path, &token, json, "x".repeat((8 << 20) + 1)).await.0, 413);
    let chunks = futures::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    assert_eq!(gateway.post(path, &token, json, reqwest::Body::wrap_stream(chunks)).await.0, 413);
    assert_eq!(gateway.post(path, &token, "application/x-ndjson", "{}\n".repeat(RECORDS_MAX + 1)).await.0, 413);
    let (status, answer_of_most) = gateway.post(path, &token, "application/x-ndjson", "{}\n".repeat(RECORDS_MAX)).await;
    assert_eq!((status, &answer_of_most["rejected"]), (202, &json!(RECORDS_MAX)));
    assert_eq!(gateway.get("/nothing").await.0, 404);
    let response = gateway.client.delete(format!("{}{path}", gateway.url)).send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("POST") && allow.contains("GET"), "{allow}");
    assert_eq!(answer(response).await.0, 405);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_away_nothing_is_taken_and_afterwards_everything_is() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let record = passage("a", json!({}));
    assert_eq!(gateway.send("checkpoint", &[passage("before", json!({}))]).await.0, 202);
    site.is_away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let (status, _) = gateway.send("checkpoint", std::slice::from_ref(&record)).await;
        assert_eq!(status, 503);
    }
    site.is_away.store(false, Ordering::SeqCst);
    let (status, answer) = gateway.send("checkpoint", &[record]).await;
    assert_eq!((status, codes(&answer)), (202, vec!["accepted".to_owned()]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_with_too_much_under_way_comes_again_later() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /v1/events/checkpoint HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            gateway.token("checkpoint"),
            8 << 20
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        slow.push(connection);
    }
    eventually(|| async { gateway.send("checkpoint", &[]).await.0 == 429 }).await;
    let request = gateway.client.post(format!("{}/v1/events/checkpoint", gateway.url)).bearer_auth(gateway.token("checkpoint"));
    let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(gateway.send("highway", &[entrance("h")]).await.0, 202);
    drop(slow);
    eventually(|| async { gateway.send("checkpoint", &[]).await.0 == 202 }).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_mandate_and_what_it_allows() {
    let (mut one, mut two) = (mandate("one"), mandate("two"));
    one.sources = vec!["checkpoint-bureau".into()];
    one.fields = ["phone", "plate", "destination", "party_size"].map(String::from).into();
    two.sources = vec!["checkpoint-bureau".into(), "highway-authority".into()];
    let mut over = mandate("over");
    over.valid_until = Millis(over.valid_from.0 + 1);
    let mut suspended = mandate("suspended");
    suspended.state = MandateState::Suspended;
    let site = TestSite::with(&[one, two, over, suspended], Clock::Wall, Config::default()).await;
    let gateway = site.gateway().await;
    let records = [
        passage("a", json!({})),
        passage("b", json!({"mandate": "one"})),
        passage("c", json!({"mandate": "one", "phone": null, "plate": null})),
        passage("d", json!({"mandate": "two"})),
        passage("e", json!({"mandate": "over"})),
        passage("f", json!({"mandate": "suspended"})),
    ];
    let (_, answer) = gateway.send("checkpoint", &records).await;
    let expected = ["no_mandate mandate", "accepted", "out_of_mandate resident_id", "accepted", "no_mandate mandate", "no_mandate mandate"];
    assert_eq!(codes(&answer), expected);
    let passages = site.decoded::<CheckpointPassage>(CHECKPOINT).await;
    let lean = passages.iter().find(|passage| passage.mandate == "one").unwrap();
    let kinds: Vec<IdentifierKind> = lean.identifiers.iter().map(|identifier| identifier.kind).collect();
    assert_eq!(kinds, [IdentifierKind::Phone, IdentifierKind::Plate]);
    assert!(lean.origin_division.is_none() && lean.destination.as_ref().unwrap().address.is_none() && lean.party_size == Some(2));
    // No token is the same under another mandate.
    let full = passages.iter().find(|passage| passage.mandate == "two").unwrap();
    assert!(lean.identifiers.iter().all(|identifier| !full.identifiers.contains(identifier)));
    assert_eq!(codes(&gateway.send("highway", &[entrance("h")]).await.1), ["accepted"]);
    assert_eq!(codes(&gateway.send("telecom", &[movement("t")]).await.1), ["no_mandate"]);
    let mut named = movement("t");
    named["mandate"] = json!("two");
    assert_eq!(codes(&gateway.send("telecom", &[named]).await.1), ["out_of_mandate mandate"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_clock_of_events_a_mandate_is_judged_by_when_it_was_seen() {
    let mut old = mandate("old");
    old.valid_from = time::parse("2016-10-01T00:00:00+08:00").unwrap();
    old.valid_until = time::parse("2016-11-01T00:00:00+08:00").unwrap();
    let config = Config { max_age_days: 0, max_future_minutes: 0, ..Config::default() };
    let site = TestSite::with(&[old], Clock::Events, config).await;
    let gateway = site.gateway().await;
    let records = ["2016-09-30T23:59:59+08:00", "2016-10-01T00:00:00+08:00", "2016-10-31T23:59:59+08:00", "2016-11-01T00:00:00+08:00"]
        .map(|at| passage(at, json!({"observed_at": at})));
    assert_eq!(codes(&gateway.send("checkpoint", &records).await.1), ["no_mandate", "accepted", "accepted", "no_mandate"]);
    let (status, _) = gateway
        .post("/v1/screenings/lookup", gateway.token("telecom"), "application/json", json!({"phone": "13800138000"}).to_string())
        .await;
    assert_eq!(status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_clear_value_reaches_the_log_or_an_answer_that_says_no() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let secrets = [
        "agency-id-of-13900001111",
        "11010519491231002X",
        "E12345678",
        "HK-998877",
        "13800138000",
        "浙A12345",
        "王小明",
        "文三路 90 号 3 幢 201 室",
        "文三路90号3幢201室",
    ];
    let whole = json!({"passport": "E12345678", "permit": "HK-998877"});
    let (_, answer_of_good) = gateway.send("checkpoint", &[passage(secrets[0], whole)]).await;
    assert_eq!(codes(&answer_of_good), ["accepted"]);
    for topic in [CHECKPOINT, HIGHWAY, TELECOM] {
        for record in site.records(topic).await {
            let mut bytes = record.key.to_vec();
            bytes.extend_from_slice(record.value.as_deref().unwrap());
            record.headers.iter().for_each(|(name, value)| bytes.extend([name.as_bytes(), value].concat()));
            for secret in secrets {
                let plain: String = secret.chars().filter(|letter| *letter != '-').collect();
                for form in [secret, plain.as_str()] {
                    let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                    assert!(!found, "{form} in {topic}");
                }
            }
        }
    }
    let bad = json!({"resident_id": "SECRET-VALUE", "phone": "SECRET-VALUE"});
    for change in
        [bad, json!({"checkpoint": {"x": "SECRET-VALUE"}}), json!({"observed_at": "SECRET-VALUE"}), json!({"direction": "SECRET-VALUE"})]
    {
        let (_, answer) = gateway.send("checkpoint", &[passage("x", change)]).await;
        assert!(answer["rejected"] == json!(1) && !answer.to_string().contains("SECRET"), "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_bytes_get_an_answer_and_the_good_beside_them_go_through() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let hostile: Vec<Vec<u8>> = vec![
        b"".into(),
        b"\x00".into(),
        b"\xff\xfe{\x00}\x00".into(),
        b"{\"id\":\"\\ud800\"}".into(),
        b"{\"id\":1e999}".into(),
        b"{\"id\":\"a\",\"id\":\"b\"}".into(),
        b"{\"\":\"\"}".into(),
        b"-".into(),
        b"NaN".into(),
        deep.clone().into_bytes(),
        format!("{{\"destination\":{}}}", "{\"destination\":".repeat(200)).into_bytes(),
        format!("{{\"party_size\":{}}}", "9".repeat(100_000)).into_bytes(),
        b"{\"destination\":{\"grid\":\"x\"}".into(),
        "{\"id\":\"\u{202e}\u{0}\"}".into(),
        (0..=255).collect(),
    ];
    let medias = ["application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json"];
    for body in &hostile {
        for media in medias {
            let (status, _) = gateway.post("/v1/events/checkpoint", gateway.token("checkpoint"), media, body.clone()).await;
            assert!(matches!(status, 202 | 400), "{media} {status} {}", String::from_utf8_lossy(body));
        }
    }
    let mut lines: Vec<u8> = Vec::new();
    for (at, body) in hostile.iter().enumerate() {
        lines.extend(passage(&format!("good{at}"), json!({})).to_string().into_bytes());
        lines.push(b'\n');
        lines.extend(body.iter().copied().filter(|byte| *byte != b'\n'));
        lines.push(b'\n');
    }
    let (status, answer) = gateway.post("/v1/events/checkpoint", gateway.token("checkpoint"), "application/x-ndjson", lines).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(hostile.len())));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_record_at_once_is_taken_once() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let records = [passage("a", json!({})), passage("b", json!({}))];
    let answers = futures::future::join_all((0..8).map(|_| gateway.send("checkpoint", &records))).await;
    let count = |name: &str| answers.iter().map(|(_, answer)| answer[name].as_u64().unwrap()).sum::<u64>();
    assert!(answers.iter().all(|(status, _)| *status == 202));
    assert_eq!((count("accepted"), count("duplicate"), count("rejected")), (2, 14, 0));
    assert_eq!(site.records(CHECKPOINT).await.len(), 2);
    gateway.stop().await;
}
