//! Changes as they happen: the stream, its resuming, and polling.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::*;
use events::*;
use serde_json::json;

#[tokio::test]
async fn a_stream_begins_now_and_is_resumed_by_its_last_id_also_by_another_process() {
    let mut site = Site::open().await;
    site.household("h1", "g1", "文三路 1 号").await;
    site.shown(&open_task("before", "g1")).await;
    let mut stream = Stream::open(&site, W1, "", None).await;
    let mut task = open_task("h1", "g1");
    task.judged_by.entry = 1;
    site.task(&task).await;
    let (name, id, data) = stream.next().await;
    assert_eq!((name.as_str(), &data["task_id"], &data["address"]), ("task", &json!(task.task_id), &json!("文三路 1 号")));
    assert!(site.reads().iter().any(|read| read["what"] == "stream" && read["actor"] == "w1"));
    drop(stream);

    let task = Task { version: 2, state: TaskState::Claimed, assignee: Some("w1".into()), ..task };
    let second = open_task("h2", "g1");
    site.shown(&task).await;
    site.shown(&second).await;
    let mut missed = vec![task.task_id.to_string(), second.task_id.to_string()];
    for restarted in [false, true] {
        if restarted {
            site.restart().await;
        }
        let mut stream = Stream::open(&site, W1, "", id.as_deref()).await;
        let mut found = vec![];
        for _ in &missed {
            found.push(stream.next().await.2["task_id"].as_str().unwrap().to_owned());
        }
        found.sort();
        missed.sort();
        assert_eq!(found, missed, "restarted: {restarted}");
        // Nothing else was told before what comes now.
        let marker = open_task(&format!("marker{restarted}"), "g1");
        site.task(&marker).await;
        assert_eq!(stream.next().await.2["task_id"], marker.task_id.as_str());
        missed.push(marker.task_id.to_string());
    }
}

#[tokio::test]
async fn a_task_that_left_comes_once_more_bare_and_never_again() {
    let mut site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    let last = site.get(W1, "/v1/tasks").await.1["last"].as_str().unwrap().to_owned();
    let (mut old, mut new) = (Stream::open(&site, W1, "", None).await, Stream::open(&site, W2, "", None).await);
    let there = moved(&task, "g2", Millis(1_760_000_100_000));
    site.task(&there).await;
    let bare = json!({"task_id": task.task_id, "state": "OPEN", "version": 2});
    assert_eq!(old.next().await.2, bare);
    assert_eq!(new.next().await.2["grid"], "g2");
    // What happens to it over there is no longer the old grid's business.
    site.shown(&Task { version: 3, state: TaskState::Claimed, ..there }).await;
    let marker = open_task("h3", "g1");
    site.task(&marker).await;
    assert_eq!(old.next().await.2["task_id"], marker.task_id.as_str());
    // By polling the same, from memory and from the log.
    for restarted in [false, true] {
        if restarted {
            site.restart().await;
        }
        let (_, body) = site.get(W1, &format!("/v1/tasks?after={last}")).await;
        let tasks = body["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 2);
        assert!(tasks.contains(&json!({"task_id": task.task_id, "state": "CLAIMED", "version": 3})), "restarted: {restarted}: {body}");
    }
}

#[tokio::test]
async fn polling_costs_nothing_while_nothing_changes() {
    let site = Site::open().await;
    site.shown(&open_task("h1", "g1")).await;
    let last = site.get(W1, "/v1/tasks").await.1["last"].as_str().unwrap().to_owned();
    let poll = async |tag: Option<&str>| {
        let mut request = site.http.get(format!("{}/v1/tasks?after={last}", site.base)).bearer_auth(W1);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        request.send().await.unwrap()
    };
    let tag = poll(None).await.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(poll(Some(&tag)).await.status(), 304);
    // Somebody else's task moves the position, and nothing of this worker's.
    site.shown(&open_task("h2", "g2")).await;
    assert_eq!(poll(Some(&tag)).await.status(), 304);
    site.shown(&open_task("h3", "g1")).await;
    assert_eq!(poll(Some(&tag)).await.status(), 200);
}

#[tokio::test]
async fn changes_come_in_pages_that_share_their_end() {
    let site = Site::open().await;
    let last = site.get(W1, "/v1/tasks").await.1["last"].as_str().unwrap().to_owned();
    for at in 0..7 {
        site.shown(&open_task(&format!("h{at}"), "g1")).await;
    }
    let (mut after, mut found, mut ends) = (last, vec![], vec![]);
    loop {
        let (_, body) = site.get(W1, &format!("/v1/tasks?limit=3&after={after}")).await;
        found.extend(body["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap().to_owned()));
        ends.push(body["last"].as_str().unwrap().to_owned());
        match body["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    found.sort();
    found.dedup();
    assert_eq!((found.len(), ends.len()), (7, 3));
    assert!(ends.iter().all(|end| *end == ends[0]));
    assert_eq!(site.get(W1, &format!("/v1/tasks?after={}", ends[0])).await.1["tasks"], json!([]));
}

/// One record may end a visit and open the next: a phone that still holds the first must hear of both.
#[tokio::test]
async fn an_episode_that_ended_in_the_same_record_is_told_too() {
    let mut site = Site::open().await;
    let first = open_task("h1", "g1");
    site.shown(&first).await;
    let mut stream = Stream::open(&site, W1, "", None).await;
    let opened = first.opened_at.unwrap();
    let before = Before {
        task_id: first.task_id,
        episode: 1,
        grid: Some("g1".into()),
        state: TaskState::Done,
        outcome: Some(Outcome::Screened),
        start: opened,
        end: Millis(opened.0 + 1),
        opened_at: opened,
        ended_at: Millis(opened.0 + 1),
        priority: Level::Low,
        grids: first.grids.clone(),
    };
    let second = Task { task_id: task_id(M, "h1", 2), episode: 2, version: 3, before: Some(before), ..first.clone() };
    site.task(&second).await;
    let (_, id, data) = stream.next().await;
    assert_eq!((&data["task_id"], &data["state"], id), (&json!(first.task_id), &json!("DONE"), None));
    let (_, id, data) = stream.next().await;
    assert_eq!((&data["task_id"], &data["state"], id.is_some()), (&json!(second.task_id), &json!("OPEN"), true));
    // Both ids lead somewhere.
    for (id, state) in [(&first.task_id, "DONE"), (&second.task_id, "OPEN")] {
        assert_eq!(site.get(W1, &format!("/v1/tasks/{id}")).await.1["state"], state);
    }
    // An open stream does not hold a shutdown up.
    tokio::time::timeout(WAIT, site.stop()).await.expect("it drains");
}
