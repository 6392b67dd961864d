//! Who is shown what, in which shape and in which order; and that it is written down first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::*;
use domain::Clock;
use events::*;
use serde_json::{Value, json};

fn ids(body: &Value) -> Vec<&str> {
    body["tasks"].as_array().into_iter().flatten().filter_map(|task| task["task_id"].as_str()).collect()
}

#[tokio::test]
async fn a_task_has_the_fields_of_the_contract_and_the_address_in_clear() {
    let site = Site::open().await;
    site.household("h1", "g1", "文三路 1 号").await;
    let mut task = open_task("h1", "g1");
    task.judged_by.entry = 1;
    task.address = Some(site.sealed("address", "some-event", "别处"));
    site.shown(&task).await;
    let mut unknown = open_task("~00000000000000000000000000000001", "g1");
    unknown.address = Some(site.sealed("address", "some-event", "曙光路 2 号"));
    site.shown(&unknown).await;

    let (status, body) = site.get(W1, "/v1/tasks?state=open").await;
    assert_eq!(status, 200);
    assert_eq!(body["next"], Value::Null);
    let found = body["tasks"].as_array().unwrap().iter().find(|found| found["task_id"] == task.task_id.as_str()).unwrap();
    for (field, value) in [
        ("mandate", json!(M)),
        ("household", json!("h1")),
        ("grid", json!("g1")),
        ("episode", json!(1)),
        ("version", json!(1)),
        ("state", json!("OPEN")),
        ("priority", json!("LOW")),
        ("opened_at", json!("2025-10-09T08:53:20Z")),
        ("due_at", json!("2025-10-10T08:53:20Z")),
        ("joined", json!(2)),
        ("assignee", Value::Null),
        ("triage", json!(false)),
        ("address", json!("文三路 1 号")),
    ] {
        assert_eq!(found[field], value, "{field}");
    }
    let evidence =
        json!([{"event_id": "07".repeat(16), "kind": "checkpoint", "observed_at": "2025-10-09T08:53:20Z", "origin_division": "3301"}]);
    assert_eq!(found["evidence"], evidence);
    assert!(!body.to_string().contains("李四") && !body.to_string().contains("13800138000"), "a list names nobody");
    let found = body["tasks"].as_array().unwrap().iter().find(|found| found["task_id"] == unknown.task_id.as_str()).unwrap();
    assert_eq!((&found["household"], &found["address"]), (&Value::Null, &json!("曙光路 2 号")));

    let (_, detail) = site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await;
    assert_eq!(detail["contact"], json!({"name": "李四", "phone": "13800138000"}));
}

#[tokio::test]
async fn an_entry_of_another_household_does_not_open() {
    let site = Site::open().await;
    // Whoever writes the registry's topic copies h2's sealed address under h1's key, owner and all.
    let other = site.sealed("address", &topics::household_key(M, "h2"), "别人家");
    let entry = HouseholdEntry { version: 1, grid: "g1".into(), address: Some(other), contact: None };
    site.put(topics::HOUSEHOLDS, &topics::household_key(M, "h1"), &entry).await;
    let mut task = open_task("h1", "g1");
    task.judged_by.entry = 1;
    site.shown(&task).await;
    let (_, body) = site.get(W1, "/v1/tasks").await;
    assert_eq!((ids(&body), &body["tasks"][0]["address"]), (vec![task.task_id.as_str()], &Value::Null));
}

#[tokio::test]
async fn everybody_sees_own_tasks_alone() {
    let site = Site::open().await;
    let (one, two, far) = (open_task("h1", "g1"), open_task("h2", "g2"), open_task("h9", "g9"));
    let waiting = Task { state: TaskState::Waiting, ..open_task("hw", "g1") };
    let triage = Task { triage: true, ..open_task("ht", "g1") };
    site.task(&waiting).await;
    for task in [&one, &two, &far, &triage] {
        site.shown(task).await;
    }
    for (token, expected) in [(W1, vec![&one]), (W2, vec![&two]), (S1, vec![&one, &two, &triage]), (ALL, vec![&one, &two, &far, &triage])] {
        let (_, body) = site.get(token, "/v1/tasks").await;
        let (mut found, mut expected): (Vec<_>, Vec<_>) = (ids(&body), expected.iter().map(|task| task.task_id.as_str()).collect());
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{token}");
    }
    // Absent and not yours look alike.
    let not_mine = site.get(W1, &format!("/v1/tasks/{}", two.task_id)).await;
    let absent = site.get(W1, "/v1/tasks/0123").await;
    assert_eq!(not_mine, absent);
    assert_eq!(absent.0, 404);
    assert_eq!(site.get(W1, &format!("/v1/tasks/{}", waiting.task_id)).await.0, 404);
    assert_eq!(site.get(OPS, "/v1/tasks").await.0, 403);
    assert_eq!(site.get("nobody-has-this-token-0000", "/v1/tasks").await.0, 401);
    let answer = site.http.get(format!("{}/v1/tasks", site.base)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (401, "application/problem+json"));
}

#[tokio::test]
async fn who_decides_finds_what_waits_for_a_word() {
    let site = Site::open().await;
    let later = Some(Millis(i64::MAX / 4));
    let not_due = |household: &str| Task { due_at: later, ..open_task(household, "g1") };
    let wrong = Lifted { outcome: Outcome::WrongHousehold, entry_version: 1, until: Millis(0) };
    let tasks = [
        not_due("plain"),
        Task { supervisor: true, ..not_due("refused") },
        Task { supervisor: true, state: TaskState::Done, outcome: Some(Outcome::NeedsHelp), ..not_due("help") },
        Task { triage: true, ..not_due("triage") },
        Task { state: TaskState::Withdrawn, outcome: Some(Outcome::WrongHousehold), standing: Some(wrong), ..not_due("wrong") },
        open_task("overdue", "g1"),
        Task { state: TaskState::Claimed, assignee: Some("w1".into()), ..open_task("claimed", "g1") },
        Task { state: TaskState::Expired, ..open_task("expired", "g1") },
        Task { supervisor: true, due_at: later, ..open_task("elsewhere", "g9") },
    ];
    for task in &tasks {
        site.shown(task).await;
    }
    let households = |body: &Value| -> Vec<String> {
        let mut found: Vec<String> =
            body["tasks"].as_array().unwrap().iter().map(|task| task["household"].as_str().unwrap().to_owned()).collect();
        found.sort();
        found
    };
    for (list, of_supervisor, of_worker) in [
        ("supervisor", vec!["help", "refused"], vec!["help", "refused"]),
        ("triage", vec!["triage", "wrong"], vec!["wrong"]),
        ("overdue", vec!["claimed", "overdue"], vec!["claimed", "overdue"]),
        ("expired", vec!["expired"], vec!["expired"]),
    ] {
        for (token, expected) in [(S1, of_supervisor), (W1, of_worker), (W2, vec![])] {
            assert_eq!(households(&site.get(token, &format!("/v1/tasks?list={list}")).await.1), expected, "{list} of {token}");
        }
    }
    // With a state, and page by page: what was asked for stands in the cursor.
    assert_eq!(households(&site.get(S1, "/v1/tasks?list=supervisor&state=open").await.1), ["refused"]);
    let (_, first) = site.get(S1, "/v1/tasks?list=overdue&limit=1").await;
    let (_, second) = site.get(S1, &format!("/v1/tasks?after={}", first["next"].as_str().unwrap())).await;
    let mut both = [households(&first), households(&second)].concat();
    both.sort();
    assert_eq!((both, &second["next"]), (vec!["claimed".to_owned(), "overdue".to_owned()], &Value::Null));
    let (status, answer) = site.get(S1, "/v1/tasks?list=mine").await;
    assert_eq!((status, &answer["field"]), (400, &json!("list")));
}

/// With the clock of events a household's own now is what it has seen.
#[tokio::test]
async fn overdue_is_by_the_clock_of_the_site() {
    let site = Site::with(Clock::Events, |_| {}).await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    assert_eq!(ids(&site.get(S1, "/v1/tasks?list=overdue").await.1).len(), 0);
    let observed_until = Millis(task.due_at.unwrap().0 + 1);
    site.shown(&Task { observed_until, version: 2, ..task.clone() }).await;
    assert_eq!(ids(&site.get(S1, "/v1/tasks?list=overdue").await.1), [task.task_id.as_str()]);
}

#[tokio::test]
async fn a_suspended_mandate_shows_nothing_and_a_resumed_one_all() {
    let site = Site::open().await;
    let task = open_task("h1", "g1");
    site.shown(&task).await;
    let mut stream = Stream::open(&site, W1, "", None).await;
    site.mandate(MandateState::Suspended, 2).await;
    let forget = json!({"mandate": M, "reason": "suspended"});
    assert_eq!(stream.next().await, ("forget".to_owned(), None, forget.clone()));
    assert_eq!(stream.next().await, ("mandates".to_owned(), None, json!([])));
    let (_, body) = site.get(W1, "/v1/tasks").await;
    assert_eq!((ids(&body).len(), &body["forget"]), (0, &json!([forget])));
    // Who was away is told when the stream is resumed; who begins has nothing to forget.
    let mut resumed = Stream::open(&site, W1, "", body["last"].as_str()).await;
    assert_eq!(resumed.next().await, ("forget".to_owned(), None, forget));
    assert_eq!(site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await.0, 404);
    site.mandate(MandateState::Open, 3).await;
    assert_eq!(stream.next().await.2, json!(["m1@3"]));
    assert_eq!(site.get(W1, "/v1/tasks").await.1["forget"], json!([]));
    assert_eq!(ids(&site.get(W1, "/v1/tasks").await.1), [task.task_id.as_str()]);
}

#[tokio::test]
async fn what_a_superseded_owner_wrote_is_not_shown() {
    let site = Site::open().await;
    let old = site.claim("h1", "old").await;
    let new = site.claim("h1", "new").await;
    let task = open_task("h1", "g1");
    site.task_of_epoch(&task, new).await;
    let late = Task { state: TaskState::Done, version: 9, ..task.clone() };
    site.task_of_epoch(&late, old).await;
    // Another household of the same partition behind both: when it shows, both have been read.
    let partition = |household: &str| topics::partition_of(topics::household_key(M, household).as_bytes(), PARTITIONS);
    let neighbour = (0..).map(|at| format!("n{at}")).find(|name| partition(name) == partition("h1")).unwrap();
    let marker = open_task(&neighbour, "g1");
    site.task_of_epoch(&marker, new).await;
    site.eventually("the marker", async || site.get(W1, &format!("/v1/tasks/{}", marker.task_id)).await.0 == 200).await;
    let found = site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await.1;
    assert_eq!((&found["state"], &found["version"]), (&json!("OPEN"), &json!(1)));
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_repeat() {
    let site = Site::open().await;
    let tasks: Vec<Task> = (0..25)
        .map(|at| {
            let mut task = open_task(&format!("h{at}"), if at % 5 == 0 { "g2" } else { "g1" });
            (task.priority, task.due_at) = (Level::ALL[at % 3], Some(Millis(1_760_000_000_000 + (at as i64 / 2) * 1000)));
            task
        })
        .collect();
    for task in &tasks {
        site.shown(task).await;
    }
    let (_, mut body) = site.get(W1, "/v1/tasks?state=open&limit=6").await;
    let first_last = body["last"].clone();
    let mut found: Vec<Value> = vec![];
    // While the pages are read, one task changes and one comes.
    site.shown(&Task { version: 2, state: TaskState::Claimed, ..tasks[1].clone() }).await;
    site.shown(&open_task("new", "g1")).await;
    loop {
        assert_eq!(body["last"], first_last);
        found.extend(body["tasks"].as_array().unwrap().iter().cloned());
        let Some(next) = body["next"].as_str() else { break };
        body = site.get(W1, &format!("/v1/tasks?after={next}")).await.1;
    }
    let (_, changes) = site.get(W1, &format!("/v1/tasks?after={}", first_last.as_str().unwrap())).await;
    let changed = ids(&changes);
    assert!(changed.contains(&tasks[1].task_id.as_str()) && changed.len() == 2);
    let mut seen: Vec<&str> = found.iter().map(|task| task["task_id"].as_str().unwrap()).chain(changed.iter().copied()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 21, "20 of g1 and the new one");
    let urgency = |task: &Value| (task["priority"] != "HIGH", task["priority"] == "LOW", task["due_at"].as_str().unwrap().to_owned());
    assert!(found.is_sorted_by_key(urgency), "most urgent first");
}

#[tokio::test]
async fn bad_questions_are_answered_by_field() {
    let site = Site::open().await;
    let other_log = "pAQE"; // One partition, where this log has three.
    for (query, field) in
        [("state=waiting", "state"), ("limit=0", "limit"), ("after=x", "after"), (&format!("after={other_log}")[..], "after")]
    {
        let (status, body) = site.get(W1, &format!("/v1/tasks?{query}")).await;
        assert_eq!((status, &body["field"]), (400, &json!(field)), "{query}");
    }
}

#[tokio::test]
async fn a_read_is_written_down_before_it_is_answered() {
    let site = Site::open().await;
    site.household("h1", "g1", "文三路 1 号").await;
    let mut task = open_task("h1", "g1");
    task.judged_by.entry = 1;
    site.shown(&task).await;
    let before = site.reads().len();
    site.get(W1, "/v1/tasks").await;
    site.get(W1, &format!("/v1/tasks/{}", task.task_id)).await;
    let reads = site.reads();
    assert_eq!(reads.len(), before + 2);
    let member = |at: usize, name: &str| reads[before + at][name].clone();
    assert_eq!((member(0, "actor"), member(0, "what"), member(0, "fields")), (json!("w1"), json!("list"), json!(["address"])));
    assert_eq!(
        (member(1, "what"), member(1, "tasks"), member(1, "fields")),
        (json!("detail"), json!([task.task_id]), json!(["address", "contact"]))
    );
    let text = serde_json::to_string(&reads).unwrap();
    assert!(!text.contains("文三路") && !text.contains("李四"), "nothing personal stands in it");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_cannot_be_written_down_is_not_shown() {
    let full = |dir: &std::path::Path| std::os::unix::fs::symlink("/dev/full", dir.join("reads-00000001.jsonl")).unwrap();
    let site = Site::with(Clock::Wall, full).await;
    site.household("h1", "g1", "文三路 1 号").await;
    let mut task = open_task("h1", "g1");
    task.judged_by.entry = 1;
    let bare = open_task("h2", "g2");
    site.task(&task).await;
    // Nothing personal in it, so it is shown all the same, and the other one was read before it.
    site.shown(&bare).await;
    site.eventually("the task", async || site.get(W1, "/v1/tasks").await.0 == 503).await;
    for path in ["/v1/tasks".to_owned(), format!("/v1/tasks/{}", task.task_id)] {
        let answer = site.http.get(format!("{}{path}", site.base)).bearer_auth(W1).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
        let body = answer.text().await.unwrap();
        assert!(!body.contains("文三路") && !body.contains("李四"), "{body}");
    }
    // A stream from the beginning ends before it tells of the task.
    let beginning = "pAwAAAA";
    let stream = site.http.get(format!("{}/v1/tasks/stream?after={beginning}", site.base)).bearer_auth(W1).send().await.unwrap();
    let told = tokio::time::timeout(WAIT, stream.text()).await.expect("it ends").unwrap();
    assert!(!told.contains("data:") && !told.contains("文三路"), "{told}");
}
