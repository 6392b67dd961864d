//! What the gateway answers when it is asked: what became of an event, whether a household has been screened, and its documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod support;

use connectors::gateway::Config;
use domain::Clock;
use eventlog::fencing::epoch_headers;
use events::topics::{CHECKPOINT, DECISIONS, HIGHWAY, IDENTIFIERS, TASKS, TELECOM, household_key, partition_of};
use events::*;
use serde_json::{Value, json};
use support::{TestSite, eventually, mandate, passage};
use testkit::given;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_learns_what_became_of_its_own_event_and_no_more() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let (_, sent) = gateway.send("checkpoint", &[passage("a/b 1", json!({}))]).await;
    let event_id: EventId = sent["results"][0]["event_id"].as_str().unwrap().parse().unwrap();
    let path = "/v1/events/a%2Fb%201";
    let (status, state) = gateway.get(path).await;
    assert_eq!((status, state["status"].as_str(), &state["event_id"]), (200, Some("queued"), &sent["results"][0]["event_id"]));
    assert_eq!(gateway.get_as(path, gateway.token("highway")).await.0, 404);
    assert_eq!(gateway.get("/v1/events/other").await.0, 404);
    for (revision, code) in [(65_537, Code::Held), (65_538, Code::Joined), (65_536, Code::Opened)] {
        let decision = Decision {
            event_id,
            mandate: "m".into(),
            code,
            revision,
            reason: "".into(),
            grid: None,
            task_id: None,
            policy: 0,
            at: Millis(1_700_000_000_000),
        };
        site.put(DECISIONS, &event_id.to_string(), Some(Codec::built_in().encode(&decision))).await;
    }
    // What cannot be read is passed over.
    site.put(DECISIONS, &event_id.to_string(), Some(vec![1, 2, 3])).await;
    eventually(|| async { gateway.get(path).await.1["code"] == json!("joined") }).await;
    let (_, state) = gateway.get(path).await;
    let expected = json!({"id": "a/b 1", "event_id": event_id, "status": "decided", "code": "joined", "at": "2023-11-14T22:13:20Z"});
    assert_eq!(state, expected);
    gateway.stop().await;
}

fn task(household: &str, covers: &[i64], travellers: &[(String, i64)]) -> Task {
    let cover = |until: &i64| Cover { at: Millis(0), until: Millis(*until), level: Level::Low };
    // Zeros are an empty record: absent, none, no text.
    let mut zeros = &[0; 1_024][..];
    let empty = Task::read(&mut zeros).unwrap();
    let stay = |(traveller, until): &(String, i64)| {
        let mut zeros = &[0; 1_024][..];
        Stay { traveller: given::traveller_id(traveller), covers: vec![cover(until)], ..Stay::read(&mut zeros).unwrap() }
    };
    let (covers, stays) = (covers.iter().map(cover).collect(), travellers.iter().map(stay).collect());
    Task { mandate: "m".into(), household: household.into(), covers, stays, ..empty }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_this_household_been_screened_already() {
    let site = TestSite::new().await;
    let keys = site.site.keyring.mandate("m").unwrap();
    let token = |form: &str| keys.token(IdentifierKind::Phone, form).unwrap();
    let codec = Codec::built_in();
    let link = |households: &[&str]| {
        let links = households.iter().map(|household| Link { household: (*household).into(), grid: "g".into() }).collect();
        codec.encode(&IdentifierLink { mandate: "m".into(), links, common: false })
    };
    site.put(IDENTIFIERS, &token("13800000001").to_string(), Some(link(&["A"]))).await;
    site.put(IDENTIFIERS, &token("13800000002").to_string(), Some(link(&["A", "B"]))).await;
    site.put(IDENTIFIERS, &token("13800000004").to_string(), Some(vec![0, 0, 0, 0, 99, 1])).await;
    let gateway = site.gateway().await;
    let ask =
        async |body: Value| gateway.post("/v1/screenings/lookup", gateway.token("telecom"), "application/json", body.to_string()).await;
    let covered = async |phone: &str| {
        let (status, answer) = ask(json!({"phone": phone})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    assert_eq!(covered("138 0000 0001").await, json!({"covered": false}));
    let until = connectors::now_ms().0 + 3_600_000;
    let put = async |household: &str, task: Option<&Task>, epoch: i64| {
        let key = household_key("m", household).into_bytes();
        let partition = partition_of(&key, support::PARTITIONS);
        let value = task.map(|task| codec.encode(task).into());
        let append = eventlog::Append { topic: TASKS.into(), partition, key: key.into(), value, headers: epoch_headers(epoch) };
        site.site.log.append(vec![append]).await.unwrap();
    };
    put("A", Some(&task("A", &[until - 5, until], &[])), 2).await;
    eventually(|| async { covered("13800000001").await["covered"] == json!(true) }).await;
    assert_eq!(covered("13800000001").await["covered_until"], json!(time::format(Millis(until))));
    // Two households: nobody; a phone that only a screened traveller has; an entry that cannot be read.
    assert_eq!(covered("13800000002").await, json!({"covered": false}));
    let traveller = format!("{}-0011223344556677", token("13800000003"));
    put("~x", Some(&task("~x", &[], &[(traveller, until)])), 2).await;
    eventually(|| async { covered("13800000003").await["covered"] == json!(true) }).await;
    assert_eq!(covered("13800000004").await, json!({"covered": false}));
    // A superseded owner says nothing; a cover that has ended answers nothing.
    put("A", Some(&task("A", &[], &[])), 1).await;
    put("~x", None, 2).await;
    eventually(|| async { covered("13800000003").await["covered"] == json!(false) }).await;
    put("A", Some(&task("A", &[connectors::now_ms().0 - 1], &[])), 2).await;
    eventually(|| async { covered("13800000001").await["covered"] == json!(false) }).await;

    for (body, status) in [
        (json!({}), 400),
        (json!({"phone": "1", "plate": "2"}), 400),
        (json!({"resident_id": "1"}), 400),
        (json!({"phone": 1}), 400),
        (json!({"phone": "1", "mandate": "x"}), 400),
        (json!([]), 400),
    ] {
        assert_eq!(ask(body.clone()).await.0, status, "{body}");
    }
    gateway.stop().await;
}

/// Links of the import and of the door are both asked; a door that takes its word back is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_registered_at_the_door_is_found_by_it() {
    let site = TestSite::new().await;
    let phone = |form: &str| site.site.keyring.mandate("m").unwrap().token(IdentifierKind::Phone, form).unwrap().to_string();
    let codec = Codec::built_in();
    let link = |household: &str| {
        let links = vec![Link { household: household.into(), grid: "g".into() }];
        codec.encode(&IdentifierLink { mandate: "m".into(), links, common: false })
    };
    let until = connectors::now_ms().0 + 3_600_000;
    for household in ["A", "B"] {
        let state = if household == "A" { task(household, &[until], &[]) } else { task(household, &[], &[]) };
        site.put(TASKS, &household_key("m", household), Some(codec.encode(&state))).await;
    }
    let (known, both) = (phone("13800000001"), phone("13800000002"));
    site.put(IDENTIFIERS, &both, Some(link("B"))).await;
    for token in [&known, &both] {
        site.put(IDENTIFIERS, &format!("{token}/A"), Some(link("A"))).await;
    }
    let gateway = site.gateway().await;
    let covered = async |phone: &str| {
        let body = json!({"phone": phone}).to_string();
        let (status, answer) = gateway.post("/v1/screenings/lookup", gateway.token("telecom"), "application/json", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["covered"] == json!(true)
    };
    assert!(covered("13800000001").await);
    assert!(!covered("13800000002").await, "of two households it identifies nobody");
    // The null controls: what the import says alone, and what a door says no more.
    site.put(IDENTIFIERS, &both, None).await;
    eventually(|| async { covered("13800000002").await }).await;
    site.put(IDENTIFIERS, &format!("{known}/A"), None).await;
    eventually(|| async { !covered("13800000001").await }).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_true() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let (_, document) = gateway.get("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post"].into_iter().filter(|method| item.get(method).is_some()) {
            let place = path.replace("{name}", "checkpoint").replace("{id}", "1").replace("{version}", "latest");
            let place = place.replace("{subject}", "events.checkpoint.v1-value");
            let url = format!("{}{place}", gateway.url);
            let request = if method == "get" { gateway.client.get(url) } else { gateway.client.post(url).body("{}") };
            let request = request.header("content-type", "application/json").bearer_auth(gateway.token("checkpoint"));
            let response = request.send().await.unwrap();
            let documented = &item[method]["responses"][response.status().as_str()];
            assert!(documented.is_object(), "{method} {path}: {}", response.status());
            let media = response.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
            assert!(documented["content"].get(&media).is_some(), "{method} {path}: {media}");
        }
    }
    let (_, subjects) = gateway.get("/subjects").await;
    assert_eq!(subjects.as_array().unwrap().len(), SchemaName::ALL.len());
    assert_eq!(gateway.get("/subjects/events.checkpoint.v1-value/versions").await.1, json!([1]));
    let (_, version) = gateway.get("/subjects/events.checkpoint.v1-value/versions/1").await;
    let (_, by_id) = gateway.get(&format!("/schemas/ids/{}", version["id"])).await;
    assert_eq!(
        (by_id["schema"].as_str(), by_id["schema"].as_str()),
        (version["schema"].as_str(), Some(SchemaName::CheckpointPassage.text().as_str()))
    );
    for unknown in ["/schemas/ids/999", "/schemas/ids/x", "/subjects/x/versions", "/subjects/events.checkpoint.v1-value/versions/2"] {
        assert_eq!(gateway.get(unknown).await.0, 404, "{unknown}");
    }
    let (_, asyncapi) = gateway.get("/asyncapi.yaml").await;
    for topic in [CHECKPOINT, HIGHWAY, TELECOM, DECISIONS] {
        assert!(asyncapi.as_str().unwrap().contains(topic), "{topic}");
    }
    gateway.stop().await;
}

/// Who asked, when and about which token; never the identifier. And so many an hour.
#[tokio::test]
async fn each_question_is_written_down_and_there_are_so_many_an_hour() {
    let site = TestSite::with(&[mandate("m")], Clock::Wall, Config { lookups_per_hour: 2, ..Config::default() }).await;
    let gateway = site.gateway().await;
    let ask = async |source: usize| {
        let request = gateway.client.post(format!("{}/v1/screenings/lookup", gateway.url)).bearer_auth(&gateway.tokens[source]);
        let answer = request.header("content-type", "application/json").body(r#"{"phone":"13800138000"}"#).send().await.unwrap();
        let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
        (answer.status().as_u16(), after)
    };
    assert_eq!([ask(0).await, ask(0).await], [(200, None), (200, None)]);
    let (status, after) = ask(0).await;
    assert_eq!((status, after.is_some_and(|after| (3_500..=3_600).contains(&after))), (429, true));
    assert_eq!(ask(1).await.0, 200, "each source has its own");
    let asked = site.asked();
    assert_eq!(
        asked.iter().map(|entry| entry["actor"].as_str().unwrap()).collect::<Vec<_>>(),
        ["checkpoint-bureau", "checkpoint-bureau", "highway-authority"]
    );
    assert_eq!((&asked[0]["what"], &asked[0]["mandate"], asked[0]["token"].as_str().unwrap().len()), (&json!("lookup"), &json!("m"), 32));
    assert!(!json!(asked).to_string().contains("13800138000"));
}
