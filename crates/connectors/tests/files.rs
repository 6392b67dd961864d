//! The file drop: positions that neither skip nor repeat, and rows that are rejected alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod support;

use connectors::gateway::Config as GatewayConfig;
use connectors::sources::files::{Config, Format, RECORD_BYTES_MAX, run};
use connectors::sources::{self, Mode, SourceError, Summary};
use domain::Clock;
use events::topics::{CHECKPOINT, HIGHWAY};
use events::{CheckpointPassage, HighwayEntrance, SourceKind};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use support::{TestSite, eventually, mandate, minutes_ago, passage};
use tokio_util::sync::CancellationToken;

async fn site() -> TestSite {
    let config = GatewayConfig { max_age_days: 0, max_future_minutes: 0, ..GatewayConfig::default() };
    TestSite::with(&[mandate("m")], Clock::Wall, config).await
}

fn drop_folder(site: &TestSite) -> PathBuf {
    let folder = site.dir.path().join("drop");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn config(path: &Path, format: Format, event: SourceKind) -> Config {
    Config { path: path.to_owned(), format, event, source: "s".into(), mandate: None }
}

async fn once(site: &TestSite, config: &Config) -> Result<Summary, SourceError> {
    run("toll", config, site.site.clone(), &site.dir.path().join("state"), Mode::Once, CancellationToken::new()).await
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

const HEADER: &str = "id,observed_at,station,direction,plate,note\n";

fn entrance(id: &str) -> String {
    format!("{id},2026-01-03T08:14:00+08:00,K12,in,浙A{id},\"x,\ny\"\n")
}

#[tokio::test]
async fn a_file_that_grows_is_read_once_across_restarts() {
    let site = site().await;
    let folder = drop_folder(&site);
    let (path, config) = (folder.join("a.csv"), config(&folder, Format::Csv, SourceKind::Highway));
    append(&path, format!("\u{feff}{HEADER}{}{}", entrance("1"), entrance("2")).as_bytes());
    assert_eq!(once(&site, &config).await.unwrap(), Summary { accepted: 2, rejected: 0 });
    assert_eq!(once(&site, &config).await.unwrap(), Summary::default());
    append(&path, entrance("3").as_bytes());
    std::fs::rename(&path, folder.join("renamed.csv")).unwrap();
    // A new file under the old name; others are none of its business.
    append(&path, format!("{HEADER}{}", entrance("4").trim_end()).as_bytes());
    append(&folder.join(".hidden.csv"), b"x");
    append(&folder.join("b.csv.part"), b"x");
    assert_eq!(once(&site, &config).await.unwrap(), Summary { accepted: 2, rejected: 0 });
    let entrances = site.decoded::<HighwayEntrance>(HIGHWAY).await;
    let distinct: std::collections::BTreeSet<String> = entrances.iter().map(|event| event.event_id.to_string()).collect();
    assert_eq!((entrances.len(), distinct.len()), (4, 4));
    // Begun anew, the ids are the same.
    append(&folder.join("copy.csv"), format!("{HEADER}{}", entrance("1")).as_bytes());
    assert_eq!(once(&site, &config).await.unwrap().accepted, 1);
    let entrances = site.decoded::<HighwayEntrance>(HIGHWAY).await;
    let distinct: std::collections::BTreeSet<String> = entrances.iter().map(|event| event.event_id.to_string()).collect();
    assert_eq!((entrances.len(), distinct.len()), (5, 4));
}

#[tokio::test]
async fn a_position_moves_only_when_the_log_has_it() {
    let site = site().await;
    let folder = drop_folder(&site);
    let config = config(&folder, Format::Csv, SourceKind::Highway);
    append(&folder.join("a.csv"), format!("{HEADER}bad\n{}", entrance("1")).as_bytes());
    site.is_away.store(true, Ordering::SeqCst);
    assert!(matches!(once(&site, &config).await, Err(SourceError::Log(_))));
    site.is_away.store(false, Ordering::SeqCst);
    assert_eq!(once(&site, &config).await.unwrap(), Summary { accepted: 1, rejected: 1 });
    let rejects = std::fs::read_to_string(folder.join("a.rejects.csv")).unwrap();
    assert_eq!(rejects, "row,column,code,message\n2,,bad_value,\"expected 6 cells, found 1\"\n");
}

#[tokio::test]
async fn what_was_written_down_but_not_passed_is_not_written_twice() {
    let site = site().await;
    let folder = drop_folder(&site);
    let config = config(&folder, Format::Ndjson, SourceKind::Highway);
    append(&folder.join("a.ndjson"), b"1\n");
    once(&site, &config).await.unwrap();
    // A process that died between the rejects file and the position.
    append(&folder.join("a.rejects.csv"), b"2,,bad_value,\"not a JSON object\"\n");
    append(&folder.join("a.ndjson"), b"2\n\n3\n");
    once(&site, &config).await.unwrap();
    let rejects = std::fs::read_to_string(folder.join("a.rejects.csv")).unwrap();
    let rows: Vec<&str> = rejects.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(rows, ["1", "2", "4"]);
}

#[tokio::test]
async fn hostile_rows_are_rejected_and_the_good_beside_them_go_through() {
    let site = site().await;
    let folder = drop_folder(&site);
    let mut lines: Vec<u8> = Vec::new();
    let long = vec![b'x'; 3 * RECORD_BYTES_MAX];
    let hostile: [&[u8]; 8] = [b"\xff\xfe\x00", b"{", b"[]", b"null", b"\x00\x01", &long, b"{\"id\":\"SECRET\"}", b"\"\\ud800\""];
    for (at, bytes) in hostile.iter().enumerate() {
        lines.extend(passage(&format!("g{at}"), json!({"observed_at": minutes_ago(1)})).to_string().into_bytes());
        lines.push(b'\n');
        lines.extend(*bytes);
        lines.push(b'\n');
    }
    append(&folder.join("a.ndjson"), &lines);
    let summary = once(&site, &config(&folder, Format::Ndjson, SourceKind::Checkpoint)).await.unwrap();
    assert_eq!(summary, Summary { accepted: 8, rejected: 8 });
    let rejects = std::fs::read_to_string(folder.join("a.rejects.csv")).unwrap();
    let rows: Vec<&str> = rejects.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(rows, ["2", "4", "6", "8", "10", "12", "14", "16"]);
    assert!(!rejects.contains("SECRET"));
    assert_eq!(site.decoded::<CheckpointPassage>(CHECKPOINT).await.len(), 8);
}

#[tokio::test]
async fn a_quote_that_never_closes_takes_only_its_own_line() {
    let site = site().await;
    let folder = drop_folder(&site);
    let text = format!("{HEADER}{}2,\"x,K12,in,p,\n", entrance("1"));
    let plain = "3,2026-01-03T08:14:00+08:00,K12,in,浙A3,\n";
    append(&folder.join("a.csv"), format!("{text}{plain}").as_bytes());
    let summary = once(&site, &config(&folder, Format::Csv, SourceKind::Highway)).await.unwrap();
    assert_eq!(summary, Summary { accepted: 2, rejected: 1 });
}

#[tokio::test]
async fn gb18030_is_read_as_it_was_meant() {
    let site = site().await;
    let folder = drop_folder(&site);
    let text = "id,observed_at,checkpoint,direction,plate,destination.division,destination.grid,destination.address,party_size\n\
        1,2026-01-03T08:14:00+08:00,卡口,in,浙A12345,330106,g1,文三路 90 号,2\n";
    append(&folder.join("utf8.csv"), text.as_bytes());
    append(&folder.join("gb.csv"), &encoding_rs::GB18030.encode(text).0);
    let summary = once(&site, &config(&folder, Format::Csv, SourceKind::Checkpoint)).await.unwrap();
    assert_eq!(summary, Summary { accepted: 2, rejected: 0 });
    let passages = site.decoded::<CheckpointPassage>(CHECKPOINT).await;
    assert_eq!(passages[0].event_id, passages[1].event_id);
    assert_eq!((passages[0].party_size, passages[0].destination.as_ref().map(|to| to.grid.as_str())), (Some(2), Some("g1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_takes_what_comes_and_outlives_a_log_that_is_away() {
    let site = site().await;
    let folder = drop_folder(&site);
    let config = config(&folder, Format::Csv, SourceKind::Highway);
    let (state, shutdown) = (site.dir.path().join("state"), CancellationToken::new());
    let running = {
        let (config, site, shutdown) = (config.clone(), site.site.clone(), shutdown.clone());
        tokio::spawn(async move { run("toll", &config, site, &state, Mode::Follow, shutdown).await })
    };
    append(&folder.join("a.csv"), format!("{HEADER}{}", entrance("1")).as_bytes());
    eventually(|| async { site.records(HIGHWAY).await.len() == 1 }).await;
    site.is_away.store(true, Ordering::SeqCst);
    append(&folder.join("b.csv"), format!("{HEADER}{}", entrance("2")).as_bytes());
    append(&folder.join("a.csv"), b"half a row with\"out its end");
    site.is_away.store(false, Ordering::SeqCst);
    eventually(|| async { site.records(HIGHWAY).await.len() == 2 }).await;
    shutdown.cancel();
    assert_eq!(running.await.unwrap().unwrap().accepted, 2);
    assert!(!folder.join("a.rejects.csv").exists());
}

#[tokio::test]
async fn a_source_speaks_in_the_name_of_one_that_may() {
    let site = site().await;
    let text = |source: &str, event: &str| {
        let text = format!("kind = \"files\"\npath = \"x\"\nformat = \"csv\"\nevent = \"{event}\"\nsource = \"{source}\"");
        toml::from_str::<sources::Config>(&text)
    };
    let check = |source: &str, event: &str| sources::check("toll", &text(source, event).unwrap(), &site.tokens);
    assert!(check("highway-authority", "highway").is_ok());
    assert!(check("nobody", "highway").unwrap_err().to_string().starts_with("sources.toll.source"));
    assert!(check("highway-authority", "telecom").unwrap_err().to_string().starts_with("sources.toll.event"));
    assert!(text("x", "radio").is_err());
    assert!(
        toml::from_str::<sources::Config>("kind = \"files\"\npath = \"x\"\nformat = \"csv\"\nevent = \"highway\"\nsource = \"s\"\nx = 1")
            .is_err()
    );
}
