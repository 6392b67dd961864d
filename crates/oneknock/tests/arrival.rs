//! One arrival by commands alone: a register, a dropped file, a visit, and the way that the event took; with bad rows beside the good ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{PATIENCE, Running, Site, oneknock, output, said, site};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const GRIDS: &str = "grid,name,community,community_name,subdistrict,division,workers\n\
    330106001001-01,桂花社区第1网格,330106001001,桂花社区,330106001,330106,2\n";
const HOUSEHOLDS: &str = "household,grid,address,contact_name,contact_phone\n\
    h-1,330106001001-01,云栖街道桂花社区1幢101室,王芳,13800138000\n";
const RESIDENTS: &str = "resident,household,name,resident_id,phones,plates\n\
    r-1,h-1,王芳,11010519491231002X,13800138000,浙A12345\n\
    r-2,h-none,李四,,13900139000,\n";

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn import(dir: &Path, site: &Site, residents: &str) -> (Option<i32>, String, String) {
    let (grids, households) = (write(dir, "g.csv", GRIDS), write(dir, "h.csv", HOUSEHOLDS));
    let residents = write(dir, "r.csv", residents);
    let words = ["registry", "import", "--grids", &grids, "--config", &site.config, "--households", &households, "--residents", &residents];
    said(&output(&words))
}

/// The ledger, as soon as it closes over so many events.
fn closed_ledger(site: &Site, accepted: u64) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, out, error) = said(&output(&["ops", "ledger", "--json", "--config", &site.config]));
        let ledger: Value = serde_json::from_str(&out).unwrap_or_else(|wrong| panic!("{wrong}: {out} {error}"));
        assert_eq!(code, Some(if ledger["closed"] == true { 0 } else { 1 }), "{ledger}");
        if ledger["closed"] == true && ledger["accepted"] == accepted {
            return ledger;
        }
        assert!(Instant::now() < deadline, "{ledger}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_dropped_file_becomes_one_visit_and_bad_rows_beside_it_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    one_arrival(dir.path(), &site, &["gateway,router,inbox,ops"]);
}

/// The same words and answers, with each command a client of its own and the roles in three processes.
#[test]
fn on_kafka_it_is_the_same() {
    let kafka = testkit::kafka::Kafka::start(1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let config = fs::read_to_string(&site.config).unwrap();
    let config = config.replace("kind = \"embedded\"", "kind = \"kafka\"").replace("127.0.0.1:9092", &kafka.bootstrap);
    fs::write(&site.config, config).unwrap();
    one_arrival(dir.path(), &site, &["gateway,ops", "router", "inbox"]);
}

fn one_arrival(dir: &Path, site: &Site, processes: &[&str]) {
    // With nothing running: on the embedded log the import opens it itself.
    let (code, out, error) = import(dir, site, RESIDENTS);
    assert_eq!(code, Some(3), "{out} {error}");
    let counts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&counts["rejected"], &counts["households"]["published"]), (&1.into(), &1.into()), "{counts}");
    let rejects = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let rejects: Vec<_> = rejects.filter(|path| path.to_string_lossy().contains("reject")).collect();
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert!(!fs::read_to_string(&rejects[0]).unwrap().contains("李四"));

    let mut config = fs::read_to_string(&site.config).unwrap();
    config.push_str("[sources.road]\nkind = \"files\"\npath = \"./drop.ndjson\"\nformat = \"ndjson\"\nevent = \"checkpoint\"\nsource = \"checkpoint-bureau\"\n");
    fs::write(&site.config, config).unwrap();
    let seen = |minutes: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        events::time::format(events::Millis(i64::try_from(now).unwrap() - minutes * 60_000))
    };
    let event = |id: &str, minutes: i64, who: &str| {
        format!("{{\"id\":\"{id}\",\"observed_at\":\"{}\",\"checkpoint\":\"G60-118\",\"direction\":\"in\",{who}}}\n", seen(minutes))
    };
    let drop = [
        event("cp-1", 30, "\"resident_id\":\"11010519491231002X\""),
        event("cp-2", 20, "\"phone\":\"+86 138-0013-8000\""),
        event("cp-3", 10, "\"resident_id\":\"110105194912310021\""),
    ];
    write(dir, "drop.ndjson", &drop.concat());

    let mut running = Vec::new();
    for roles in processes {
        let mut process = Running::start(oneknock(&["run", "--config", &site.config, "--role", roles]));
        process.wait_for("ready");
        running.push(process);
    }
    let (code, out, error) = said(&output(&["connect", "--once", "--source", "road", "--config", &site.config]));
    assert_eq!(code, Some(3), "{out} {error}");
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&summary["accepted"], &summary["rejected"]), (&2.into(), &1.into()), "{summary}");
    let ledger = closed_ledger(site, 2);
    assert_eq!((&ledger["decisions"]["opened"], &ledger["decisions"]["joined"]), (&1.into(), &1.into()), "{ledger}");

    // The event's way, from its newest decision.
    let (_, tail, _) = said(&output(&["ops", "tail", "routing.decisions.v1", "--json", "--config", &site.config]));
    let decision: Value = serde_json::from_str(tail.lines().last().unwrap()).unwrap();
    let id = decision["value"]["event_id"].as_str().unwrap();
    let (code, out, error) = said(&output(&["ops", "trace", id, "--json", "--config", &site.config]));
    assert_eq!(code, Some(0), "{error}");
    let trace: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&trace["code"], &trace["household"]["state"]), (&decision["value"]["code"], &"OPEN".into()), "{trace}");
    assert_eq!((&trace["traveller"]["household"], &trace["household"]["joined"]), (&"h-1".into(), &1.into()), "{trace}");

    // Beside the process that holds the log the import says the same: all is as it was.
    let (code, out, error) = import(dir, site, &RESIDENTS.lines().take(2).collect::<Vec<_>>().join("\n"));
    assert_eq!(code, Some(0), "{error}");
    let counts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&counts["households"]["unchanged"], &counts["rejected"]), (&1.into(), &0.into()), "{counts}");

    let (code, _, error) = said(&output(&["connect", "--source", "rail", "--config", &site.config]));
    assert_eq!(code, Some(2));
    assert!(error.contains("sources.rail") && error.contains("road"), "{error}");

    // No command and no log line ever holds a number in clear.
    for mut process in running {
        process.signal("TERM");
        let status = process.end();
        let rest = process.rest();
        assert_eq!(status.code(), Some(0), "{rest}");
        for number in ["11010519491231002X", "13800138000", "王芳"] {
            assert!(!rest.contains(number) && !tail.contains(number) && !trace.to_string().contains(number));
        }
    }
}
