//! The log of reads of a whole site: the program itself verifies it, says who opened whose data, and finds what was done to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use anyhow::Result;
use oneknock_tests::tamper;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, Site, binary, numbers, until};

fn register() -> Register {
    let mut register = Register::of_two_grids();
    for (at, household) in ["h1", "h2"].into_iter().enumerate() {
        register.household(household, "g1");
        let (resident, resident_id) = (format!("r{at}"), numbers::resident_id(at as u64));
        register.residents.insert(Resident { resident, household: household.into(), resident_id, ..Resident::default() });
    }
    register
}

/// `oneknock audit subject` with the person's number on standard input.
fn asked_by(site: &Site, number: &str) -> Result<Value> {
    use std::io::Write as _;
    let mut command = Command::new(binary()?);
    command.args(["audit", "subject", "--json", "--config"]).arg(site.config()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    writeln!(child.stdin.take().unwrap(), "{number}")?;
    Ok(serde_json::from_slice(&child.wait_with_output()?.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_tells_who_opened_whose_data_and_finds_what_was_done_to_its_record() {
    let mut site = Site::start(Options::of_events(LogChoice::Embedded)).await.unwrap();
    site.import(&register()).await.unwrap();
    let passage = json!({"id": "c1", "observed_at": "2026-03-02T08:00:00+08:00", "checkpoint": "G60-118", "direction": "in", "resident_id": numbers::resident_id(0)});
    assert_eq!(site.client.post("checkpoint", &[passage]).await.unwrap().status, 202);
    let tasks = until("the visit", testkit::site::PATIENCE, async || {
        let tasks = site.client.tasks().await?;
        Ok(if tasks.is_empty() { Err("no task yet".to_owned()) } else { Ok(tasks) })
    });
    let tasks = tasks.await.unwrap();
    // The list has shown the address: that is a read of h1, and none of h2.
    let reads = asked_by(&site, &numbers::resident_id(0)).unwrap();
    assert_eq!(reads["reads"][0]["household"], "h1");
    assert_eq!(reads["reads"][0]["task_id"], tasks[0]["task_id"]);
    assert_eq!(reads["reads"][0]["fields"], json!(["address"]));
    assert_eq!(asked_by(&site, &numbers::resident_id(1)).unwrap()["reads"], json!([]));
    // So is what an agency asks about somebody, and about nobody else.
    assert_eq!(site.client.lookup(&json!({"resident_id": numbers::resident_id(0)})).await.unwrap()["covered"], false);
    let asked = asked_by(&site, &numbers::resident_id(0)).unwrap();
    let actor = &asked["lookups"][0]["actor"];
    assert_eq!((actor, asked["lookups"].as_array().map(Vec::len)), (&json!("checkpoint-bureau"), Some(1)));
    assert_eq!(asked_by(&site, &numbers::resident_id(1)).unwrap()["lookups"], json!([]));
    let by_household = site.command(&["audit", "subject", "--household", "h1", "--json", "--html", "subject.html"]).await.unwrap();
    assert_eq!(by_household.json("audit subject").unwrap()["lookups"], asked["lookups"]);
    assert!(std::fs::read_to_string(site.dir().join("subject.html")).unwrap().contains("checkpoint-bureau"));
    // A stop publishes the head; the log is whole, and all of it under a head that others hold.
    site.stop().await.unwrap();
    let verified = site.command(&["audit", "verify", "--json"]).await.unwrap();
    assert_eq!(verified.code, Some(0), "{}", verified.out);
    let report: Value = serde_json::from_str(&verified.out).unwrap();
    let reads = report["logs"].as_array().unwrap().iter().find(|log| log["name"] == "reads").unwrap();
    assert!(reads["entries"].as_u64() > Some(0) && reads["covered_by_published"] == reads["entries"], "{reads}");
    // Somebody writes another name under a read.
    let file = site.dir().join("audit/reads-00000001.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("w-0001", "w-0007", 1)).unwrap();
    let verified = site.command(&["audit", "verify"]).await.unwrap();
    assert_eq!(verified.code, Some(1));
    assert!(verified.out.contains("NOT WHOLE"), "{}", verified.out);
    std::fs::write(&file, whole).unwrap();
    assert_eq!(site.command(&["audit", "verify"]).await.unwrap().code, Some(0));
}

/// A policy that is applied, and what was edited in tokens.json while the site was down; under signed heads like all the rest.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_policy_and_of_who_may_sign_in_are_written_down() {
    let mut site = Site::start(Options::of_events(LogChoice::Embedded)).await.unwrap();
    let changes = |site: &Site| {
        let text = std::fs::read_to_string(site.dir().join("audit/changes-00000001.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(changes(&site)[0]["added"].as_array().map(Vec::len), Some(7), "whom init made");
    let policy = site.dir().join("policy.toml");
    let applied = site.command(&["policy", "apply", &policy.display().to_string()]).await.unwrap();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    site.stop().await.unwrap();
    let tokens = site.dir().join("tokens.json");
    let text = std::fs::read_to_string(&tokens).unwrap();
    std::fs::write(&tokens, text.replace("w-0001", "w-0002")).unwrap();
    site.restart().await.unwrap();
    site.stop().await.unwrap();
    site.restart().await.unwrap();
    site.stop().await.unwrap();
    let changes = changes(&site);
    assert_eq!(changes.iter().map(|change| &change["what"]).collect::<Vec<_>>(), ["sign_in", "policy", "sign_in"], "{changes:?}");
    assert!(changes[2]["removed"][0].as_str().unwrap().starts_with("worker w-0001 * "), "{changes:?}");
    assert!(changes[2]["added"][0].as_str().unwrap().starts_with("worker w-0002 * "), "{changes:?}");
    let report: Value = serde_json::from_str(&site.command(&["audit", "verify", "--json"]).await.unwrap().out).unwrap();
    let log = report["logs"].as_array().unwrap().iter().find(|log| log["name"] == "changes").unwrap();
    assert_eq!((&log["entries"], &log["covered_by_published"], &report["whole"]), (&json!(3), &json!(3), &json!(true)));
}

/// Every kind of tampering comes many times.
#[tokio::test]
async fn every_tampering_with_the_log_of_reads_is_found() {
    let report = tamper::run(600, 1_000_000, false).await.unwrap();
    assert!(report.passes(), "{report}");
    assert_eq!(report.by_kind.len(), 16, "{report}");
}

/// The null control: without the checkpoints that others hold, whoever holds the key goes unnoticed.
#[tokio::test]
async fn without_published_checkpoints_the_holder_of_the_key_goes_unnoticed() {
    let report = tamper::run(300, 2_000_000, true).await.unwrap();
    assert!(report.missed_kinds.contains_key("fork_and_sign") && report.missed_kinds.contains_key("truncate_and_sign"), "{report}");
}
