//! What a worker does: appended once, answered when decided, and only where it is the worker's to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::*;
use domain::Clock;
use events::*;
use serde_json::{Value, json};
use testkit::given;

const ID: &str = "6f1c1f0e-8d3a-4a39-9a53-4d4a5c2b7e11";
const OTHER_ID: &str = "6f1c1f0e-8d3a-4a39-9a53-4d4a5c2b7e12";

fn claim(id: &str) -> Value {
    json!({"action_id": id, "action": "claim", "version": 1})
}

#[tokio::test]
async fn the_first_wins_and_its_repeat_gets_the_same_answer() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    site.router(vec![task.clone()]).await;
    let (status, won) = site.act(W1, &task.task_id, claim(ID)).await;
    assert_eq!((status, &won["state"], &won["assignee"]), (200, &json!("CLAIMED"), &json!("w1")));
    let (status, lost) = site.act(S1, &task.task_id, claim(OTHER_ID)).await;
    assert_eq!((status, &lost["task"]["assignee"]), (409, &json!("w1")));
    for (token, id, expected) in [(W1, ID, 200), (S1, OTHER_ID, 409)] {
        assert_eq!(site.act(token, &task.task_id, claim(id)).await.0, expected);
    }
    assert_eq!(site.actions().await, 2, "a repeat is appended no more");
    // Somebody else's id is nobody's key.
    let (status, body) = site.act(S1, &task.task_id, claim(ID)).await;
    assert_eq!((status, &body["field"]), (400, &json!("action_id")));
}

#[tokio::test]
async fn an_action_in_flight_is_appended_once_and_stands() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    // Nobody decides: both wait their ten seconds, and the action stands.
    let (first, second) = tokio::join!(site.act(W1, &task.task_id, claim(ID)), site.act(W1, &task.task_id, claim(ID)));
    assert_eq!((first.0, second.0), (503, 503));
    assert_eq!(site.actions().await, 1);
    site.router(vec![task.clone()]).await;
    assert_eq!(site.act(W1, &task.task_id, claim(ID)).await.0, 200);
    assert_eq!(site.actions().await, 1);
}

#[tokio::test]
async fn what_makes_no_sense_names_its_field_and_is_not_appended() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    for (body, field) in [
        (json!({"action_id": ID, "action": "dance"}), "action"),
        (json!({"action_id": ID, "action": "hand_back", "to_grid": "nowhere"}), "to_grid"),
        // A grid that lies outside the mandate's divisions.
        (json!({"action_id": ID, "action": "hand_back", "to_grid": "g9"}), "to_grid"),
        (json!({"action_id": ID, "action": "outcome", "outcome": "screened", "at": "2025-10-01T00:00:00Z"}), "at"),
    ] {
        let (status, answer) = site.act(W1, &task.task_id, body.clone()).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(site.actions().await, 0);
}

#[tokio::test]
async fn absent_and_not_yours_look_alike() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    let not_yours = site.act(W2, &task.task_id, claim(ID)).await;
    let absent = site.act(W2, "0123", claim(ID)).await;
    assert_eq!(not_yours, absent);
    assert_eq!((absent.0, site.actions().await), (404, 0));
    assert_eq!(site.act(OPS, &task.task_id, claim(ID)).await.0, 403);
}

/// The task was in g1 until 2025-10-09T09:00:00Z, then in g2. With the clock of events those moments can be told in the test.
#[tokio::test]
async fn whose_it_was_at_that_moment_may_say_what_happened_then() {
    let site = Site::with(Clock::Events, |_| {}).await;
    let task = open_task("h1", "g1");
    let there =
        Task { observed_until: Millis(1_760_100_000_000), ..moved(&task, "g2", events::time::parse("2025-10-09T09:00:00Z").unwrap()) };
    site.shown(&there).await;
    site.router(vec![there.clone()]).await;
    let screened = |id: &str, at: Value| json!({"action_id": id, "action": "outcome", "outcome": "screened", "at": at});
    assert_eq!(site.act(W1, &task.task_id, screened(ID, json!("2025-10-09T09:00:01Z"))).await.0, 404);
    assert_eq!(site.act(W1, &task.task_id, screened(ID, Value::Null)).await.0, 404, "without a moment it is now");
    let (status, body) = site.act(W1, &task.task_id, screened(ID, json!("2025-10-09T08:59:59Z"))).await;
    assert_eq!((status, body), (200, json!({"task_id": task.task_id, "state": "DONE", "version": 3})), "his no longer: bare");
    assert_eq!(site.act(W2, &task.task_id, screened(OTHER_ID, Value::Null)).await.1["grid"], "g2");
}

#[tokio::test]
async fn a_hand_back_is_answered_also_when_asked_again() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    site.router(vec![task.clone()]).await;
    let body = json!({"action_id": ID, "action": "hand_back", "to_grid": "g2"});
    let bare = json!({"task_id": task.task_id, "state": "OPEN", "version": 2});
    for _ in 0..2 {
        assert_eq!(site.act(W1, &task.task_id, body.clone()).await, (200, bare.clone()));
    }
    assert_eq!(site.actions().await, 1);
}

/// The actions that were appended, with their keys.
async fn appended(site: &Site) -> Vec<(String, Action)> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let end = site.log.offsets(topics::ACTIONS, partition).await.unwrap().1;
        let mut reader = site.log.read(vec![eventlog::From { topic: topics::ACTIONS.into(), partition, offset: 0 }]).await.unwrap();
        let mut next = 0;
        while next < end {
            let batch = reader.next().await.unwrap();
            next = batch.next_offset;
            for record in &batch.records {
                let key = String::from_utf8(record.key.to_vec()).unwrap();
                all.push((key, site.schemas.decode::<Action>(record).await.unwrap()));
            }
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

#[tokio::test]
async fn who_is_registered_at_the_door_is_told_to_the_household_and_no_token_leaves() {
    let site = Site::open().await;
    for (household, grid) in [("h1", "g1"), ("h2", "g1"), ("h3", "g2")] {
        site.household(household, grid, "文三路 1 号").await;
    }
    let token = "00112233445566778899aabbccddeeff";
    let travellers = [format!("{token}-0000000000000001"), format!("{token}-0000000000000002")];
    let task = Task { stays: travellers.iter().map(|traveller| stay(traveller)).collect(), ..open_task("~p", "g1") };
    site.shown(&task).await;
    // The household that they are of was never visited.
    let never = Task { task_id: TaskId::default(), episode: 0, state: TaskState::Waiting, version: 0, ..open_task("h2", "g1") };
    site.router(vec![task.clone(), never]).await;

    let detail = site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await.1;
    assert!(!detail.to_string().contains(token), "{detail}");
    let people: Vec<Value> = detail["people"].as_array().unwrap().iter().map(|one| one["person"].clone()).collect();
    assert_eq!((people.len(), &detail["people"][0]["since"]), (2, &json!("2025-10-09T08:53:20Z")));
    let register =
        |id: &str, household: &str, people: Value| json!({"action_id": id, "action": "register", "household": household, "people": people});
    for (household, people, field) in [
        ("nowhere", Value::Null, "household"),
        // Somebody else's household looks like none.
        ("h3", Value::Null, "household"),
        ("h2", json!(["0011"]), "people"),
    ] {
        let (status, answer) = site.act(W1, &task.task_id, register(OTHER_ID, household, people)).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{household}");
    }
    assert_eq!(site.act(W2, &task.task_id, register(OTHER_ID, "h2", Value::Null)).await.0, 404, "the task is not his");
    for _ in 0..2 {
        let (status, answer) = site.act(W1, &task.task_id, register(ID, "h2", json!([people[1]]))).await;
        assert_eq!((status, &answer["task_id"]), (200, &json!(task.task_id)));
    }
    let told = appended(&site).await;
    assert_eq!(told.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["m1/h2"], "once, and to that household");
    let register = told[0].1.register.clone().unwrap();
    assert_eq!((register.household.as_str(), register.travellers), ("h2", vec![given::traveller_id(&travellers[1])]));
}

#[tokio::test]
async fn who_was_met_at_another_household_is_told_to_both() {
    let site = Site::open().await;
    site.household("h1", "g1", "文三路 1 号").await;
    site.household("h2", "g1", "文三路 2 号").await;
    let task = Task { stays: vec![stay("00112233445566778899aabbccddeeff-0000000000000001")], ..open_task("h1", "g1") };
    site.shown(&task).await;
    let never = Task { task_id: TaskId::default(), episode: 0, state: TaskState::Waiting, version: 0, ..open_task("h2", "g1") };
    site.router(vec![task.clone(), never]).await;
    let register = json!({"action_id": ID, "action": "register", "household": "h2"});
    assert_eq!(site.act(W1, &task.task_id, register).await.0, 200);
    let told = appended(&site).await;
    assert_eq!(told.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["m1/h1", "m1/h2"]);
    assert_eq!(told[0].1, told[1].1);
    // Who has gone meanwhile is nobody's to register.
    site.shown(&Task { version: 9, stays: vec![], ..task.clone() }).await;
    let (status, answer) = site.act(W1, &task.task_id, json!({"action_id": OTHER_ID, "action": "register", "household": "h2"})).await;
    assert_eq!((status, &answer["field"]), (400, &json!("people")));
}

#[tokio::test]
async fn a_note_goes_sealed_and_is_read_in_the_detail() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    site.router(vec![task.clone()]).await;
    let (status, _) = site.act(W1, &task.task_id, json!({"action_id": ID, "action": "note", "note": "敲门三次"})).await;
    assert_eq!(status, 200);
    assert_eq!(site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await.1["note"], "敲门三次");
    assert!(site.reads().iter().any(|read| read["fields"] == json!(["note"])));
    for topic in [topics::ACTIONS, topics::TASKS] {
        let partition = topics::partition_of(topics::household_key(M, "h1").as_bytes(), PARTITIONS);
        let mut reader = site.log.read(vec![eventlog::From { topic: topic.into(), partition, offset: 0 }]).await.unwrap();
        let (mut next, end) = (0, site.log.offsets(topic, partition).await.unwrap().1);
        while next < end {
            let batch = reader.next().await.unwrap();
            next = batch.next_offset;
            let clear = "敲门三次".as_bytes();
            let found = batch
                .records
                .iter()
                .filter_map(|record| record.value.as_ref())
                .any(|value| value.windows(clear.len()).any(|part| part == clear));
            assert!(!found, "{topic}");
        }
    }
}

#[tokio::test]
async fn a_cookie_signs_in_and_changes_come_only_from_the_own_page() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    site.router(vec![task.clone()]).await;
    let answer = site.http.get(format!("{}/sign-in?token={W1}", site.base)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, "/"));
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(W1), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let me = site.http.get(format!("{}/v1/me", site.base)).header("cookie", &cookie).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["role"], &me["clock"], &me["demonstration"]),
        (&json!("w1"), &json!("worker"), &json!("wall"), &json!(true))
    );

    let host = site.base.trim_start_matches("http://").to_owned();
    let own = format!("http://{host}");
    for (name, value, expected) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "http://elsewhere.example", 403),
        ("x-nothing", "1", 403),
        ("origin", own.as_str(), 200),
        ("sec-fetch-site", "same-origin", 200),
    ] {
        let request =
            site.http.post(format!("{}/v1/tasks/{}/actions", site.base, task.task_id)).header("cookie", &cookie).header(name, value);
        assert_eq!(request.body(claim(ID).to_string()).send().await.unwrap().status().as_u16(), expected, "{name}: {value}");
    }
    let out = site.http.post(format!("{}/sign-out", site.base)).header("cookie", &cookie).header("origin", &own).send().await.unwrap();
    assert_eq!(out.status(), 204);
    let me = site.http.get(format!("{}/v1/me", site.base)).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(me.status(), 401);
    for token in ["wrong", OPS] {
        let answer = site.http.get(format!("{}/sign-in?token={token}", site.base)).send().await.unwrap();
        assert!(answer.status().is_client_error() && !answer.headers().contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn the_page_needs_nobody_and_runs_nothing_foreign() {
    let site = Site::open().await;
    let mut bytes = 0;
    for path in ["/", "/app.js", "/words.js", "/style.css"] {
        let answer = site.http.get(format!("{}{path}", site.base)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("innerHTML") && !text.contains(" onclick=") && !text.contains("style=\""), "{path}");
        assert!(!text.replace("http://www.w3.org", "").contains("https://"), "{path} loads nothing from elsewhere");
        bytes += text.len();
    }
    assert!(bytes < 60_000, "{bytes}");
}

/// An action id that somebody used at a task is no way to learn that the task is there.
#[tokio::test]
async fn somebody_elses_action_is_not_to_be_found_out() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    site.router(vec![task.clone()]).await;
    let claim = json!({"action_id": "6f1c1f0e-8d3a-4a39-9a53-4d4a5c2b7e11", "action": "claim"});
    assert_eq!(site.act(W1, &task.task_id, claim.clone()).await.0, 200);
    assert_eq!(site.act(W2, &task.task_id, claim.clone()).await, site.act(W2, "0123", claim.clone()).await);
    let (status, body) = site.act(S1, &task.task_id, claim).await;
    assert_eq!((status, &body["field"]), (400, &json!("action_id")));
}

/// Another id at each sign-in, the one before is worth nothing; and guessing at tokens from one address ends soon.
#[tokio::test]
async fn a_sign_in_changes_the_cookie_and_guessing_ends_soon() {
    let site = Site::open().await;
    let own = site.base.clone();
    let sign_in = async |token: &str, cookie: &str| {
        let request = site.http.post(format!("{own}/sign-in")).header("origin", &own).header("cookie", cookie);
        let answer = request.body(json!({"token": token}).to_string()).send().await.unwrap();
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"), cookie)
    };
    let me = async |cookie: &str| site.http.get(format!("{own}/v1/me")).header("cookie", cookie).send().await.unwrap().status().as_u16();
    let first = sign_in(W1, "").await.2.unwrap();
    let second = sign_in(W2, &first).await.2.unwrap();
    assert_eq!([first == second, me(&first).await == 401, me(&second).await == 200], [false, true, true]);
    let mut refused = 0;
    let (mut status, mut again) = (0, false);
    while refused < 1_000 && status != 429 {
        (status, again, _) = sign_in("somebody-s-guess-at-a-token", "").await;
        refused += 1;
    }
    assert_eq!((refused, again), (61, true));
    assert_eq!(me(&second).await, 200, "who is signed in goes on");
}
