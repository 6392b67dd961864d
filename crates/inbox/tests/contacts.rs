//! Opening contacts: with a reason, so many an hour, and what supervisors hear of more; and that nobody can look people up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use common::*;
use domain::Clock;
use events::*;
use serde_json::{Value, json};

/// A site with tasks in g1, of which a worker may open so many contacts an hour.
async fn site(per_hour: u32, tasks: &[Task]) -> Site {
    let mut site = Site::with(Clock::Wall, |_| {}).await;
    site.config.contact_reads_per_hour = per_hour;
    site.restart().await;
    for task in tasks {
        site.household(&task.household, task.grid.as_deref().unwrap(), "文三路 1 号").await;
        let task = Task { judged_by: JudgedBy { entry: 1, ..task.judged_by }, ..task.clone() };
        site.task(&task).await;
        site.eventually("the task", async || site.get(ALL, "/v1/tasks").await.1.to_string().contains(&*task.task_id)).await;
    }
    site
}

fn details(site: &Site) -> Vec<Value> {
    site.reads().into_iter().filter(|entry| entry["what"] == "detail").collect()
}

#[tokio::test]
async fn a_contact_is_opened_for_a_reason_which_is_written_down() {
    let open = open_task("h1", "g1");
    let done = Task { state: TaskState::Done, ..open_task("h2", "g1") };
    let site = site(100, &[open.clone(), done.clone()]).await;
    for (token, task, query, reason) in [
        (W1, &open, "", "visit"),
        (W1, &open, "?reason=%E5%AE%B6%E5%B1%9E%E6%9D%A5%E7%94%B5", "家属来电"),
        (W1, &done, "", "none given"),
        (S1, &open, "", "none given"),
        (S1, &open, "?reason=complaint%2017", "complaint 17"),
    ] {
        assert_eq!(site.get(token, &format!("/v1/tasks/{}{query}", task.task_id)).await.0, 200);
        let entry = details(&site).pop().unwrap();
        assert_eq!(entry["fields"], json!(["address", "contact"]), "{query}");
        if query.is_empty() {
            assert_eq!(entry["reason"], json!(reason));
            continue;
        }
        // Own words may name anybody: they stand there sealed.
        assert!(entry.get("reason").is_none() && !entry.to_string().contains(reason), "{entry}");
        let sealed = BASE64_STANDARD.decode(entry["reason_sealed"].as_str().unwrap()).unwrap();
        let opened = site.keyring.mandate(M).unwrap().open("reason", &task.task_id, &sealed).unwrap();
        assert_eq!(opened.expose().as_slice(), reason.as_bytes());
    }
    let (status, body) = site.get(W1, &format!("/v1/tasks/{}?reason={}", open.task_id, "x".repeat(201))).await;
    assert_eq!((status, &body["field"]), (400, &json!("reason")));
    // A list opens no contact and has none.
    site.get(W1, "/v1/tasks").await;
    assert_eq!(site.reads().pop().unwrap().get("reason"), None);
}

#[tokio::test]
async fn one_contact_too_many_locks_and_another_supervisor_of_the_place_ends_it() {
    let task = open_task("h1", "g1");
    let mut site = site(3, std::slice::from_ref(&task)).await;
    let url = format!("/v1/tasks/{}", task.task_id);
    for _ in 0..3 {
        assert_eq!(site.get(W1, &url).await.0, 200);
    }
    let answer = site.http.get(format!("{}{url}", site.base)).bearer_auth(W1).send().await.unwrap();
    let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!((answer.status().as_u16(), (3_500..=3_600).contains(&after)), (429, true), "{after}");
    assert!(!answer.text().await.unwrap().contains("李四"));
    // What is absent, and what is somebody else's, looks as it always does; the list, and others, go on.
    assert_eq!(site.get(W1, "/v1/tasks/0123").await.0, 404);
    assert_eq!(site.get(W1, "/v1/tasks").await.0, 200);
    assert_eq!(site.get(S1, &url).await.0, 200);
    assert_eq!(details(&site).len(), 4, "nothing was opened for the one too many");

    let (_, shown) = site.get(S1, "/v1/notices").await;
    let notice = &shown["notices"][0];
    assert_eq!(
        (&notice["actor"], &notice["grid"], &notice["budget"], &notice["state"]),
        (&json!("w1"), &json!("g1"), &json!(3), &json!("locked"))
    );
    assert_eq!(site.get(W1, "/v1/notices").await.0, 403);
    assert_eq!(site.get(OPS, "/v1/notices").await.0, 403);
    // It outlives a restart.
    site.restart().await;
    site.eventually("the lock", async || site.get(W1, &url).await.0 == 429).await;
    assert_eq!(site.get(S1, "/v1/notices").await.1, shown);

    let unlock = async |token: &str, id: &str| {
        let url = format!("{}/v1/notices/{id}/unlock", site.base);
        let answer = site.http.post(url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let id = notice["id"].as_str().unwrap();
    assert_eq!(unlock(S9, "0123").await, unlock(S9, id).await, "absent and not yours look alike");
    assert_eq!(unlock(S9, id).await.0, 404);
    assert_eq!(unlock(W1, id).await.0, 403);
    assert_eq!(site.get(W1, &url).await.0, 429);
    let (status, ended) = unlock(S1, id).await;
    assert_eq!((status, &ended["state"], &ended["unlocked_by"]), (200, &json!("unlocked"), &json!("s1")));
    assert_eq!(site.get(W1, &url).await.0, 200);
    let written: Vec<Value> =
        site.reads().into_iter().filter(|entry| ["lock", "unlock"].contains(&entry["what"].as_str().unwrap())).collect();
    assert_eq!(written.iter().map(|entry| &entry["actor"]).collect::<Vec<_>>(), ["w1", "s1"]);
}

#[tokio::test]
async fn a_supervisor_does_not_end_their_own_lock() {
    let task = open_task("h1", "g1");
    let site = site(0, std::slice::from_ref(&task)).await;
    assert_eq!(site.get(S1, &format!("/v1/tasks/{}", task.task_id)).await.0, 429);
    let id = site.get(S1, "/v1/notices").await.1["notices"][0]["id"].as_str().unwrap().to_owned();
    let unlock = async |token: &str| {
        let answer = site.http.post(format!("{}/v1/notices/{id}/unlock", site.base)).bearer_auth(token).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!([unlock(S1).await, unlock(ALL).await], [404, 200]);
}

/// Whoever adds an address to the inbox must come by here: none finds people, only tasks that are somebody's already.
#[test]
fn no_endpoint_looks_people_up() {
    let routes = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/mod.rs")).unwrap();
    let found: Vec<&str> = routes.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let known = [
        "/v1/me",
        "/v1/tasks",
        "/v1/tasks/stream",
        "/v1/tasks/{id}",
        "/v1/tasks/{id}/actions",
        "/v1/notices",
        "/v1/notices/{id}/unlock",
        "/sign-in",
        "/sign-out",
        "/",
        "/app.js",
        "/words.js",
        "/style.css",
        "/healthz",
        "/readyz",
    ];
    assert_eq!(found, known);
    let query = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/request.rs")).unwrap();
    let mut asked: Vec<&str> = query.split("take(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["after", "grid", "limit", "list", "state"], "what a list can be asked for");
}
