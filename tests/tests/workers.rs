//! Workers and supervisors over HTTP, on the real binary by the wall's clock: two at once, grids of one's own, lists of those who decide,
//! and people who are registered at the door.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use anyhow::{Context, Result, ensure};
use events::{Millis, time};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::site::client::Acted;
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, PATIENCE, Site, numbers, until};

const TOKEN_DIGITS: &str = "0123456789abcdef0123456789abcdef";

/// The token of somebody whom the test has added.
fn token(name: &str) -> String {
    format!("{name}-{TOKEN_DIGITS}")
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(i64::try_from(since.as_millis()).unwrap())
}

/// A site with two workers who have a grid each, and a supervisor of the division in which the first one is.
async fn site() -> Result<Site> {
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    site.stop().await?;
    let path = site.dir().join("tokens.json");
    let mut tokens: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    for (name, grid) in [("w-g1", "g1"), ("w-g1-too", "g1"), ("w-g2", "g2")] {
        tokens["workers"].as_array_mut().context("workers")?.push(json!({"name": name, "grids": [grid], "token": token(name)}));
    }
    let supervisor = json!({"name": "s-330106", "areas": ["330106"], "token": token("s-330106")});
    tokens["supervisors"].as_array_mut().context("supervisors")?.push(supervisor);
    std::fs::write(&path, tokens.to_string())?;
    site.restart().await?;
    Ok(site)
}

/// Two grids with these households, each with one resident of its name.
fn register(households: &[(&str, &str)]) -> Register {
    let mut register = Register::of_two_grids();
    for (household, grid) in households {
        register.household(household, grid);
        lives(&mut register, household, household);
    }
    register
}

fn lives(register: &mut Register, person: &str, household: &str) {
    let resident_id = numbers::resident_id(numbers::of_name(person));
    let (resident, household) = (format!("{person}-in-{household}"), household.to_owned());
    register.residents.insert(Resident { resident, household, resident_id, ..Resident::default() });
}

/// Somebody passes a checkpoint now, on the way to a grid if one is named.
async fn passes(site: &Site, id: &str, person: &str, to: Option<&str>) -> Result<()> {
    let destination = to.map(|grid| json!({"division": if grid == "g1" { "330106" } else { "330107" }, "grid": grid}));
    let passage = json!({
        "id": id, "observed_at": time::format(now()), "checkpoint": "G60-118", "direction": "in",
        "resident_id": numbers::resident_id(numbers::of_name(person)), "destination": destination,
    });
    let posted = site.client.post("checkpoint", &[passage]).await?;
    ensure!(posted.results[0]["status"] == "accepted", "{posted:?}");
    Ok(())
}

async fn list(site: &Site, who: &str, query: &[(&str, &str)]) -> Result<Value> {
    site.client.list(&token(who), query).await
}

/// The only task that somebody sees in a list, once it is the only one.
async fn only(site: &Site, who: &str, query: &[(&str, &str)]) -> Result<Value> {
    until(&format!("one task for {who} of {query:?}"), PATIENCE, async || {
        let body = list(site, who, query).await?;
        let tasks = body["tasks"].as_array().context("tasks")?;
        Ok(if let [task] = tasks.as_slice() { Ok(task.clone()) } else { Err(format!("{tasks:?}")) })
    })
    .await
}

async fn none(site: &Site, who: &str, query: &[(&str, &str)]) -> Result<()> {
    until(&format!("no task for {who} of {query:?}"), PATIENCE, async || {
        let body = list(site, who, query).await?;
        Ok(if body["tasks"] == json!([]) { Ok(()) } else { Err(body.to_string()) })
    })
    .await
}

async fn acts(site: &Site, who: &str, task: &Value, mut action: Value) -> Result<Acted> {
    action["action_id"] = uuid::Uuid::new_v4().to_string().into();
    // The phone's own view, which a signal that joins meanwhile makes old.
    action["version"] = json!(1);
    site.client.act_as(&token(who), task["task_id"].as_str().context("a task")?, &action).await
}

fn status(acted: &Acted) -> u16 {
    acted.status.as_u16()
}

const OPEN: &[(&str, &str)] = &[("state", "open")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_at_once_one_wins_and_the_other_sees_who() -> Result<()> {
    let mut site = site().await?;
    site.import(&register(&[("first", "g1")])).await?;
    passes(&site, "c-1", "first", None).await?;
    let task = only(&site, "w-g1", OPEN).await?;
    let claim = || json!({"action": "claim"});
    let (one, two) = tokio::join!(acts(&site, "w-g1", &task, claim()), acts(&site, "w-g1-too", &task, claim()));
    let (one, two) = (one?, two?);
    let (won, lost, winner, loser) = if status(&one) == 200 { (one, two, "w-g1", "w-g1-too") } else { (two, one, "w-g1-too", "w-g1") };
    assert_eq!((status(&won), &won.body["state"], &won.body["assignee"]), (200, &json!("CLAIMED"), &json!(winner)));
    assert_eq!((status(&lost), &lost.body["task"]["assignee"], &lost.body["task"]["state"]), (409, &json!(winner), &json!("CLAIMED")));
    // An outcome by another than the assignee is no better, but for an open door; a signal that joins is no conflict.
    passes(&site, "c-2", "first", None).await?;
    let refused = json!({"action": "outcome", "outcome": "refused"});
    let conflict = acts(&site, loser, &task, refused.clone()).await?;
    assert_eq!((status(&conflict), &conflict.body["task"]["assignee"]), (409, &json!(winner)));
    assert_eq!(status(&acts(&site, winner, &task, refused).await?), 200);

    // Nobody at home: due again 20 hours after the visit, and on no list of what is overdue before that.
    let at = Millis(now().0 / 1000 * 1000);
    let away = json!({"action": "outcome", "outcome": "not_home", "at": time::format(at)});
    let acted = acts(&site, loser, &task, away).await?;
    assert_eq!((status(&acted), &acted.body["attempts"]), (200, &json!(1)));
    let due_at = time::parse(acted.body["due_at"].as_str().context("due")?).context("a time")?;
    let opened_at = time::parse(task["opened_at"].as_str().context("opened")?).context("a time")?;
    assert_eq!(due_at.0 - at.max(opened_at).0, 20 * 3_600_000, "{}", acted.body);
    none(&site, "s-330106", &[("list", "overdue")]).await?;

    let screened = json!({"action": "outcome", "outcome": "screened"});
    assert_eq!(status(&acts(&site, winner, &task, screened.clone()).await?), 200);
    let again = acts(&site, loser, &task, screened).await?;
    assert_eq!((status(&again), &again.body["state"]), (200, &json!("DONE")), "it counts in every state");
    assert_eq!(status(&acts(&site, loser, &task, claim()).await?), 409);
    // Another grid's worker sees nothing of it.
    assert_eq!(status(&acts(&site, "w-g2", &task, claim()).await?), 404);
    site.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_finds_what_must_be_decided() -> Result<()> {
    let mut site = site().await?;
    site.import(&register(&[("refusing", "g1"), ("nobodys", "g1"), ("helpless", "g1"), ("plain", "g1"), ("far", "g2")])).await?;
    for household in ["refusing", "nobodys", "helpless", "plain", "far"] {
        passes(&site, household, household, None).await?;
    }
    let tasks = until("five tasks", PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        Ok(if tasks.len() == 5 { Ok(tasks) } else { Err(format!("{tasks:?}")) })
    })
    .await?;
    let of = |household: &str| tasks.iter().find(|task| task["household"] == household).cloned().context("a task");
    let outcome = |outcome: &str| json!({"action": "outcome", "outcome": outcome});
    assert_eq!(status(&acts(&site, "w-g1", &of("refusing")?, outcome("refused")).await?), 200);
    assert_eq!(status(&acts(&site, "w-g2", &of("far")?, outcome("refused")).await?), 200);
    let handed = acts(&site, "w-g1", &of("nobodys")?, json!({"action": "hand_back"})).await?;
    // For supervisors alone: to the worker it is only known to be open still.
    assert_eq!((status(&handed), handed.body.get("address")), (200, None));
    let triage = only(&site, "s-330106", &[("list", "triage")]).await?;
    assert_eq!((&triage["household"], &triage["triage"]), (&json!("nobodys"), &json!(true)));
    none(&site, "w-g1", &[("list", "triage")]).await?;
    assert_eq!(status(&acts(&site, "w-g1", &triage, json!({"action": "claim"})).await?), 404);
    let refused = only(&site, "s-330106", &[("list", "supervisor")]).await?;
    assert_eq!(refused["household"], "refusing", "and nothing of another area");

    // Assigned, it is a worker's again, in another grid.
    assert_eq!(status(&acts(&site, "s-330106", &triage, json!({"action": "hand_back", "to_grid": "g2"})).await?), 200);
    let assigned = only(&site, "w-g2", &[("state", "open"), ("list", "supervisor")]).await;
    assert_eq!(assigned?["household"], "far");
    until("it to be assigned", PATIENCE, async || {
        let body = list(&site, "w-g2", OPEN).await?;
        let found = body["tasks"].as_array().context("tasks")?.iter().any(|task| task["household"] == "nobodys");
        Ok(if found { Ok(()) } else { Err(body.to_string()) })
    })
    .await?;

    // Help is needed: done, and the supervisor's until somebody who decides has written what was done about it.
    let helpless = of("helpless")?;
    assert_eq!(status(&acts(&site, "w-g1", &helpless, outcome("needs_help")).await?), 200);
    let done = only(&site, "s-330106", &[("list", "supervisor"), ("state", "done")]).await?;
    assert_eq!((&done["household"], &done["outcome"]), (&json!("helpless"), &json!("needs_help")));
    assert_eq!(status(&acts(&site, "w-g1", &helpless, json!({"action": "note", "note": "等医生"})).await?), 200);
    only(&site, "s-330106", &[("list", "supervisor"), ("state", "done")]).await?;
    assert_eq!(status(&acts(&site, "s-330106", &helpless, json!({"action": "note", "note": "医生已到"})).await?), 200);
    none(&site, "s-330106", &[("list", "supervisor"), ("state", "done")]).await?;
    site.stop().await
}

/// Unknown, and on the way to grid g2; the worker there knows that they are of a household of g1, which is not his to name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_registered_at_the_door_moves_and_both_grids_are_told() -> Result<()> {
    let mut site = site().await?;
    site.import(&register(&[("home", "g2"), ("other", "g1")])).await?;
    passes(&site, "c-1", "stranger", Some("g1")).await?;
    let task = only(&site, "w-g1", OPEN).await?;
    assert_eq!(task["household"], Value::Null);
    let before = list(&site, "w-g1", &[]).await?["last"].as_str().context("a cursor")?.to_owned();
    let home = json!({"action": "register", "household": "home"});
    let not_his = acts(&site, "w-g1", &task, home.clone()).await?;
    assert_eq!((status(&not_his), &not_his.body["field"]), (400, &json!("household")));
    // Whoever has both grids may say so.
    let both = site.client.token("workers")?.to_owned();
    let action_id = uuid::Uuid::new_v4().to_string();
    let mut action = home;
    action["action_id"] = action_id.into();
    for _ in 0..2 {
        let acted = site.client.act_as(&both, task["task_id"].as_str().context("id")?, &action).await?;
        ensure!(status(&acted) == 200, "{} {}", acted.status, acted.body);
    }
    let there = only(&site, "w-g2", OPEN).await?;
    assert_eq!((&there["household"], &there["grid"]), (&json!("home"), &json!("g2")));
    none(&site, "w-g1", OPEN).await?;
    // The old grid is told: it has the same task, withdrawn.
    let told = until("the old grid to be told", PATIENCE, async || {
        let body = list(&site, "w-g1", &[("after", &before)]).await?;
        let of_it = body["tasks"].as_array().context("tasks")?.iter().find(|one| one["task_id"] == task["task_id"]).cloned();
        Ok(of_it.filter(|one| one["state"] == "WITHDRAWN").ok_or_else(|| body.to_string()))
    })
    .await?;
    assert!(told["version"].as_i64() > task["version"].as_i64());
    // Screened there, and known from now on: also to an agency that asks.
    let screened = json!({"action": "outcome", "outcome": "screened"});
    assert_eq!(status(&acts(&site, "w-g2", &there, screened).await?), 200);
    passes(&site, "c-2", "stranger", Some("g1")).await?;
    let person = json!({"resident_id": numbers::resident_id(numbers::of_name("stranger"))});
    until("the person to be covered", PATIENCE, async || {
        let code = site.client.code("checkpoint", "c-2").await?;
        let answer = site.client.lookup(&person).await?;
        let right = code.as_deref() == Some("covered") && answer["covered"] == json!(true);
        Ok(if right { Ok(()) } else { Err(format!("{code:?} {answer}")) })
    })
    .await?;
    site.closed_ledger().await?;
    site.stop().await
}

/// A household is renamed into another grid: the old grid hears once more of its task, the new one has another; nobody is asked twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_household_is_told_to_both_grids() -> Result<()> {
    let mut site = site().await?;
    site.import(&register(&[("first", "g1"), ("second", "g1")])).await?;
    for household in ["first", "second"] {
        passes(&site, household, household, None).await?;
    }
    let tasks = until("two tasks", PATIENCE, async || {
        let body = list(&site, "w-g1", OPEN).await?;
        let tasks = body["tasks"].as_array().context("tasks")?;
        Ok(if tasks.len() == 2 { Ok(tasks.clone()) } else { Err(body.to_string()) })
    })
    .await?;
    let of = |household: &str| tasks.iter().find(|task| task["household"] == household).context("a task");
    let screened = json!({"action": "outcome", "outcome": "screened"});
    assert_eq!(status(&acts(&site, "w-g1", of("second")?, screened).await?), 200);
    // The first moves grids under its own name, the second under a new one.
    let before = list(&site, "w-g1", &[]).await?["last"].as_str().context("a cursor")?.to_owned();
    let mut moved = register(&[("first", "g2"), ("second-renamed", "g2")]);
    lives(&mut moved, "second", "second-renamed");
    site.import(&moved).await?;
    let there = only(&site, "w-g2", OPEN).await?;
    assert_eq!((&there["task_id"], &there["household"]), (&of("first")?["task_id"], &json!("first")));
    let bare = until("the old grid to be told", PATIENCE, async || {
        let body = list(&site, "w-g1", &[("after", &before)]).await?;
        let of_it = body["tasks"].as_array().context("tasks")?.iter().find(|one| one["task_id"] == there["task_id"]).cloned();
        Ok(of_it.ok_or_else(|| body.to_string()))
    })
    .await?;
    let fields: Vec<&String> = bare.as_object().context("a task")?.keys().collect();
    assert_eq!(fields, ["state", "task_id", "version"], "it left this worker's grids: {bare}");
    passes(&site, "again", "second", None).await?;
    until("the screening to go along", PATIENCE, async || {
        let code = site.client.code("checkpoint", "again").await?;
        Ok(if code.as_deref() == Some("covered") { Ok(()) } else { Err(format!("{code:?}")) })
    })
    .await?;
    assert_eq!(only(&site, "w-g2", OPEN).await?["household"], "first");
    site.stop().await
}
