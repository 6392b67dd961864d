//! The worker's page in a real browser, on a real site: signed in by link, a task seen, an outcome by one tap, a second task without a
//! reload, work without a network, two languages. What the page must do stands in `tests/browser/worker.mjs`.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workers_morning_on_the_phone() -> Result<()> {
    let chromium = parts::path("ONEKNOCK_CHROMIUM")?;
    let playwright = parts::path("ONEKNOCK_PLAYWRIGHT")?;
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    let mut register = Register::of_two_grids();
    for household in ["first", "second"] {
        register.household(household, "g1");
        let resident_id = numbers::resident_id(numbers::of_name(household));
        let (resident, household) = (format!("{household}-0"), household.to_owned());
        register.residents.insert(Resident { resident, household, resident_id, ..Resident::default() });
    }
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
        "chromium": chromium, "playwright": playwright,
        "inbox": site.client.inbox, "token": site.client.token("workers")?,
        "gateway": site.client.gateway, "source_token": site.client.source_token("checkpoint")?,
        "first": address("first"), "second": address("second"), "second_event": passage("second")?,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/worker.mjs");
    let mut node = Command::new("node");
    node.arg(script).env("ONEKNOCK_BROWSER", told.to_string()).kill_on_drop(true);
    let output = node.output().await.context("cannot start node: run `cargo xtask setup`")?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let tasks = site.client.tasks().await?;
    let of = |household: &str| tasks.iter().find(|task| task["household"] == household).context("a task of each household");
    let (first, second) = (of("first")?, of("second")?);
    assert_eq!((&first["state"], &first["outcome"]), (&json!("DONE"), &json!("screened")), "{first}");
    assert_eq!((&second["state"], &second["attempts"]), (&json!("OPEN"), &json!(1)), "{second}");
    site.stop().await
}
