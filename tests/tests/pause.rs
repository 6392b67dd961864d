//! Fencing as it happens: two processes on one Kafka, the one that owns the partitions is stopped (SIGSTOP) in the midst of its work for
//! longer than the group waits for it, the other takes over, and the first is woken (SIGCONT) with what it had in flight. Nobody may
//! see two visits, or none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use anyhow::{Context, Result, ensure};
use oneknock_tests::{log_choice::LogKind, topics};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::ports;
use testkit::site::client::Client;
use testkit::site::register::{Register, Resident};
use testkit::site::{Options, PATIENCE, Site, binary, numbers, until};

const HOUSEHOLDS: u64 = 240;
/// People of each household: all are seen, the first makes the visit.
const PEOPLE: u64 = 4;

fn register() -> Register {
    let mut register = Register::of_two_grids();
    for household in 0..HOUSEHOLDS {
        let name = format!("h{household}");
        register.household(&name, if household % 2 == 0 { "g1" } else { "g2" });
        for person in 0..PEOPLE {
            register.residents.insert(Resident {
                resident: format!("r{household}-{person}"),
                household: name.clone(),
                resident_id: numbers::resident_id(household * PEOPLE + person),
                ..Resident::default()
            });
        }
    }
    register
}

/// One person of every household is seen.
async fn see(client: &Client, person: u64, events: &mut BTreeSet<String>) -> Result<()> {
    let record = |household: u64| {
        json!({"id": format!("c-{household}-{person}"), "observed_at": "2026-03-02T08:00:00+08:00", "checkpoint": "G60-118", "direction": "in",
               "resident_id": numbers::resident_id(household * PEOPLE + person)})
    };
    let records: Vec<_> = (0..HOUSEHOLDS).map(record).collect();
    for some in records.chunks(40) {
        let posted = client.post("checkpoint", some).await?;
        ensure!(posted.status == 202, "status {}", posted.status);
        events.extend(posted.results.iter().filter_map(|result| result["event_id"].as_str().map(str::to_owned)));
    }
    Ok(())
}

fn signal(pid: u32, name: &str) -> Result<()> {
    ensure!(Command::new("kill").args([name, &pid.to_string()]).status()?.success(), "kill {name} failed");
    Ok(())
}

/// Ended with the test.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same site on another machine, as it were: gateway, router and ops listener on ports of its own.
async fn second(site: &Site) -> Result<(Second, Client)> {
    let ports = [ports::free()?, ports::free()?, ports::free()?];
    let mut run = Command::new(binary()?);
    run.args(["run", "--role", "gateway,router,ops", "--config"]).arg(site.config());
    for (name, port) in ["GATEWAY", "INBOX", "OPS"].iter().zip(ports) {
        run.env(format!("ONEKNOCK_{name}_LISTEN"), format!("127.0.0.1:{port}"));
    }
    let child = Second(run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let client = Client::new(ports, &site.dir().join("tokens.json"))?;
    let http = reqwest::Client::new();
    until("the second process to be ready", PATIENCE, async || {
        let answer = http.get(format!("{}/readyz", client.gateway)).send().await;
        Ok(if answer.is_ok_and(|answer| answer.status() == 200) { Ok(()) } else { Err("not ready".to_owned()) })
    })
    .await?;
    Ok((child, client))
}

async fn story() -> Result<()> {
    let (log, kafka) = LogKind::Kafka.start().await?;
    let site = Site::start(Options::of_events(log)).await?;
    site.import(&register()).await?;
    let (_second, other) = second(&site).await?;
    let mut events = BTreeSet::new();
    see(&site.client, 0, &mut events).await?;
    let first = site.pid().context("the first process runs")?;
    // In the midst of it: what the first has in its hands now arrives after the take-over.
    see(&site.client, 1, &mut events).await?;
    signal(first, "-STOP")?;
    let log = {
        let bootstrap = kafka.as_ref().context("Kafka runs")?.bootstrap.clone();
        let config = eventlog::kafka::KafkaConfig { bootstrap, properties: BTreeMap::new() };
        tokio::task::spawn_blocking(move || eventlog::kafka::Kafka::connect(&config)).await??
    };
    let log: std::sync::Arc<dyn eventlog::Log> = log;
    see(&other, 2, &mut events).await?;
    // The first is woken only when the other has decided everything: it has taken over every partition.
    until("the other to take over", Duration::from_secs(120), async || {
        let decided: BTreeSet<String> = topics::decisions(&log).await?.iter().map(|decision| decision.event_id.to_string()).collect();
        let missing = events.difference(&decided).count();
        Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} events are undecided")) })
    })
    .await?;
    signal(first, "-CONT")?;
    see(&other, 3, &mut events).await?;
    let ledger = site.closed_ledger().await?;
    ensure!(ledger.accepted == events.len() as u64, "{} accepted, {} sent", ledger.accepted, events.len());
    let mut newest: BTreeMap<String, events::Decision> = BTreeMap::new();
    for decision in topics::decisions(&log).await? {
        let held = newest.entry(decision.event_id.to_string()).or_insert_with(|| decision.clone());
        if decision.revision >= held.revision {
            ensure!(decision.revision > held.revision || decision.code == held.code, "two codes at one revision: {held:?} {decision:?}");
            *held = decision;
        }
    }
    let opened = newest.values().filter(|decision| decision.code == events::Code::Opened).count() as u64;
    ensure!(opened == HOUSEHOLDS, "{opened} visits of {HOUSEHOLDS} households");
    let tasks = topics::tasks(&log).await?;
    let once = tasks.iter().filter(|task| task.episode == 1 && task.state == events::TaskState::Open).count() as u64;
    ensure!(once == HOUSEHOLDS && tasks.len() as u64 == HOUSEHOLDS, "{once} open first tasks, {} records", tasks.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_sleeps_past_its_take_over_changes_nothing() {
    story().await.unwrap();
}
