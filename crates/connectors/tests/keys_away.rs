//! A mandate in force whose keys cannot be had: nothing is refused for good, nothing is passed over, and nothing is taken in clear.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod support;

use connectors::sources::files::{Config, Format, run};
use connectors::sources::{Mode, SourceError};
use events::SourceKind;
use events::topics::{CHECKPOINT, HIGHWAY};
use serde_json::json;
use std::path::PathBuf;
use support::{TestSite, codes, eventually, minutes_ago};
use tokio_util::sync::CancellationToken;

/// Takes the mandate's key file away, as a lost disk would, and tells the running process.
fn lose(site: &TestSite) -> (PathBuf, Vec<u8>) {
    let path = site.dir.path().join("keys/m.json");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    site.site.keyring.reload().unwrap();
    (path, bytes)
}

fn find(site: &TestSite, (path, bytes): (PathBuf, Vec<u8>)) {
    keys::files::create(&path, &bytes).unwrap();
    site.site.keyring.reload().unwrap();
}

#[tokio::test]
async fn the_gateway_answers_503_and_takes_the_same_request_once_the_keys_are_back() {
    let site = TestSite::new().await;
    let gateway = site.gateway().await;
    let good = json!({"id": "cp-1", "observed_at": minutes_ago(5), "checkpoint": "c", "direction": "in", "phone": "13800138000"});
    let bad = json!({"id": "cp-2"});
    let lost = lose(&site);
    let (status, answer) = gateway.send("checkpoint", &[bad.clone(), good.clone()]).await;
    assert_eq!((status, answer["detail"].as_str().unwrap().contains("send again")), (503, true), "{answer}");
    let question = json!({"phone": "13800138000"}).to_string();
    let ask = || gateway.post("/v1/screenings/lookup", gateway.token("telecom"), "application/json", question.clone());
    assert_eq!(ask().await.0, 503);
    assert!(site.records(CHECKPOINT).await.is_empty());

    find(&site, lost);
    let (status, answer) = gateway.send("checkpoint", &[bad, good]).await;
    assert_eq!((status, codes(&answer)), (202, vec!["missing_field observed_at".to_owned(), "accepted".to_owned()]));
    assert_eq!(ask().await.0, 200);
    assert_eq!(site.records(CHECKPOINT).await.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_waits_and_is_read_whole_once_the_keys_are_back() {
    let site = TestSite::new().await;
    let folder = site.dir.path().join("drop");
    std::fs::create_dir(&folder).unwrap();
    let line = |id: &str| {
        json!({"id": id, "observed_at": minutes_ago(5), "station": "s", "direction": "in", "plate": "浙A12345"}).to_string() + "\n"
    };
    std::fs::write(folder.join("a.ndjson"), line("1") + &line("2")).unwrap();
    let source = "highway-authority".to_owned();
    let config = Config { path: folder.clone(), format: Format::Ndjson, event: SourceKind::Highway, source, mandate: None };
    let state = site.dir.path().join("state");
    let lost = lose(&site);
    let once = run("toll", &config, site.site.clone(), &state, Mode::Once, CancellationToken::new()).await;
    assert!(matches!(once, Err(SourceError::KeysAway)), "{once:?}");

    let shutdown = CancellationToken::new();
    let following = {
        let (config, state, other, shutdown) = (config.clone(), state.clone(), site.site.clone(), shutdown.clone());
        tokio::spawn(async move { run("toll", &config, other, &state, Mode::Follow, shutdown).await })
    };
    find(&site, lost);
    eventually(|| async { site.records(HIGHWAY).await.len() == 2 }).await;
    shutdown.cancel();
    let summary = following.await.unwrap().unwrap();
    assert_eq!((summary.accepted, summary.rejected), (2, 0));
    assert!(!folder.join("a.ndjson.rejects.csv").exists());
}
