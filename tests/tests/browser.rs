//! The page of workers and supervisors in a real browser, on a real site. What it must do stands in `tests/browser/worker.mjs`,
//! `supervisor.mjs` and `forget.mjs` beside it.
//!
//! A missing part fails the test and names `cargo xtask setup`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use anyhow::{Context, Result};
use events::{Millis, time};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::parts;
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, PATIENCE, Site, numbers, until};
use tokio::process::Command;

/// A passage of somebody who lives in this household, now.
fn passage(household: &str) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    Ok(json!({
        "id": format!("cp-{household}"),
        "observed_at": time::format(Millis(i64::try_from(now)?)),
        "checkpoint": "G60-118",
        "direction": "in",
        "resident_id": numbers::resident_id(numbers::of_name(household)),
    }))
}

/// The words of a command on this site, for a script to give.
fn command(site: &Site, words: &[&str]) -> Result<Value> {
    let mut all = vec![testkit::site::binary()?.display().to_string()];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    all.extend(["--config".to_owned(), site.config().display().to_string()]);
    Ok(json!(all))
}

/// What was erased, and what a mandate allowed that has ended, goes from the phone: the open task, the list, and what was not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_forgets() -> Result<()> {
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    let register = of_one_each(&["first", "second"]);
    let address = |household: &str| register.households.get(household).map(|(_, address)| address.clone());
    site.import(&register).await?;
    site.client.post("checkpoint", &[passage("first")?, passage("second")?]).await?;
    until("two tasks", PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        Ok(if tasks.len() == 2 { Ok(()) } else { Err(format!("{tasks:?}")) })
    })
    .await?;
    let told = json!({
        "inbox": site.client.inbox, "token": site.client.token("workers")?, "first": address("first"), "second": address("second"),
        "erase": command(&site, &["registry", "erase", "--household", "first"])?,
        "suspend": command(&site, &["mandate", "suspend", testkit::site::MANDATE])?,
        "resume": command(&site, &["mandate", "resume", testkit::site::MANDATE])?,
        "end": command(&site, &["mandate", "end", testkit::site::MANDATE])?,
    });
    play("forget.mjs", told).await?;
    site.stop().await
}

/// Plays a script to its end.
async fn play(script: &str, mut told: Value) -> Result<()> {
    told["chromium"] = json!(parts::path("ONEKNOCK_CHROMIUM")?);
    told["playwright"] = json!(parts::path("ONEKNOCK_PLAYWRIGHT")?);
    let mut node = Command::new("node");
    node.arg(format!("{}/browser/{script}", env!("CARGO_MANIFEST_DIR"))).env("ONEKNOCK_BROWSER", told.to_string()).kill_on_drop(true);
    let output = node.output().await.context("cannot start node: run `cargo xtask setup`")?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Households of grid g1 with one resident each.
fn of_one_each(households: &[&str]) -> Register {
    let mut register = Register::of_two_grids();
    for household in households {
        register.household(household, "g1");
        let resident_id = numbers::resident_id(numbers::of_name(household));
        let (resident, household) = (format!("{household}-0"), (*household).to_owned());
        register.residents.insert(Resident { resident, household, resident_id, ..Resident::default() });
    }
    register
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workers_morning_on_the_phone() -> Result<()> {
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    let register = of_one_each(&["first", "second"]);
    let address = |household: &str| register.households.get(household).map(|(_, address)| address.clone());
    site.import(&register).await?;
    let posted = site.client.post("checkpoint", &[passage("first")?]).await?;
    anyhow::ensure!(posted.results[0]["status"] == "accepted", "{posted:?}");
    until("the first task", PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        Ok(if tasks.len() == 1 { Ok(()) } else { Err(format!("{tasks:?}")) })
    })
    .await?;

    let told = json!({
        "inbox": site.client.inbox, "token": site.client.token("workers")?,
        "gateway": site.client.gateway, "source_token": site.client.source_token("checkpoint")?,
        "first": address("first"), "second": address("second"), "second_event": passage("second")?,
    });
    play("worker.mjs", told).await?;

    let tasks = site.client.tasks().await?;
    let of = |household: &str| tasks.iter().find(|task| task["household"] == household).context("a task of each household");
    let (first, second) = (of("first")?, of("second")?);
    assert_eq!((&first["state"], &first["outcome"]), (&json!("DONE"), &json!("screened")), "{first}");
    assert_eq!((&second["state"], &second["attempts"]), (&json!("OPEN"), &json!(1)), "{second}");
    site.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisors_round_on_the_phone() -> Result<()> {
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    let register = of_one_each(&["refusing", "lost", "met"]);
    let address = |household: &str| register.households.get(household).map(|(_, address)| address.clone());
    site.import(&register).await?;
    // Two whom nobody knows, on the way to the same unknown address.
    let mut passages = vec![passage("refusing")?, passage("lost")?, passage("met")?];
    for stranger in ["stranger-1", "stranger-2"] {
        let mut one = passage(stranger)?;
        one["destination"] = json!({"division": "330106", "grid": "g1", "address": "河边新村9号"});
        passages.push(one);
    }
    let posted = site.client.post("checkpoint", &passages).await?;
    anyhow::ensure!(posted.results.iter().all(|result| result["status"] == "accepted"), "{posted:?}");
    let evidence = |task: &Value| task["evidence"].as_array().map_or(0, Vec::len);
    let tasks = until("four tasks", PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        let all = tasks.len() == 4 && tasks.iter().map(evidence).sum::<usize>() == 5;
        Ok(if all { Ok(tasks) } else { Err(format!("{tasks:?}")) })
    })
    .await?;
    for (household, mut action) in
        [("refusing", json!({"action": "outcome", "outcome": "refused"})), ("lost", json!({"action": "hand_back"}))]
    {
        action["action_id"] = uuid::Uuid::new_v4().to_string().into();
        let task = tasks.iter().find(|task| task["household"] == household).and_then(|task| task["task_id"].as_str());
        let acted = site.client.act(task.context("its task")?, &action).await?;
        anyhow::ensure!(acted.status == 200, "{} {}", acted.status, acted.body);
    }
    let told = json!({
        "inbox": site.client.inbox, "token": site.client.token("supervisors")?, "strangers": "河边新村9号", "household": "met",
        "refusing": address("refusing"), "lost": address("lost"), "met": address("met"),
    });
    play("supervisor.mjs", told).await?;

    until("the strangers to be met where they live, and the lost one in its grid", PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        let of = |household: &str| tasks.iter().find(|task| task["household"] == household).context("its task");
        let lost = of("lost")?;
        let right = (&lost["grid"], &lost["triage"]) == (&json!("g2"), &json!(false)) && (evidence(of("met")?), tasks.len()) == (3, 3);
        Ok(if right { Ok(()) } else { Err(format!("{tasks:?}")) })
    })
    .await?;
    site.stop().await
}
