//! Kafka goes away and comes back: the gateway says so and takes nothing, and afterwards every role goes on by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{PATIENCE, Running, oneknock, output, said, site};
use keys::TokensFile;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

struct Agency {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Agency {
    async fn send(&self, id: &str) -> u16 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let seen = events::time::format(events::Millis(i64::try_from(now).unwrap() - 60_000));
        let destination = json!({"division": "330106", "grid": "330106001001-01", "address": id});
        let event = json!({"id": id, "observed_at": seen, "checkpoint": "c", "direction": "in", "permit": id, "destination": destination});
        let answer = self.http.post(&self.url).bearer_auth(&self.token).json(&event).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Sends until it is taken.
    async fn deliver(&self, id: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.send(id).await {
                202 => return,
                status => assert!(Instant::now() < deadline, "{id}: still {status}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn ledger(config: &str) -> Value {
    let (_, out, error) = said(&output(&["ops", "ledger", "--json", "--config", config]));
    serde_json::from_str(&out).unwrap_or_else(|wrong| panic!("{wrong}: {out} {error}"))
}

fn closes_over(config: &str, events: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ledger = ledger(config);
        if ledger["closed"] == true && ledger["accepted"].as_u64() >= Some(events) {
            return;
        }
        assert!(Instant::now() < deadline, "{ledger}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_kafka_comes_back_every_role_goes_on() {
    let mut kafka = testkit::kafka::Kafka::start(1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let config = fs::read_to_string(&site.config).unwrap();
    let config = config.replace("kind = \"embedded\"", "kind = \"kafka\"").replace("127.0.0.1:9092", &kafka.bootstrap);
    fs::write(&site.config, config).unwrap();
    let grids = dir.path().join("g.csv");
    fs::write(
        &grids,
        "grid,name,community,community_name,subdistrict,division,workers\n330106001001-01,g,330106001001,c,330106001,330106,1\n",
    )
    .unwrap();
    let (households, residents) = (dir.path().join("h.csv"), dir.path().join("r.csv"));
    fs::write(&households, "household,grid,address,contact_name,contact_phone\n").unwrap();
    fs::write(&residents, "resident,household,name,resident_id,phones,plates\n").unwrap();
    let paths = [&grids, &households, &residents].map(|path| path.to_str().unwrap());
    let import = ["registry", "import", "--grids", paths[0], "--households", paths[1], "--residents", paths[2], "--config", &site.config];
    let (code, _, error) = said(&output(&import));
    assert_eq!(code, Some(0), "{error}");
    let mut running = Running::start(oneknock(&["run", "--config", &site.config]));
    running.wait_for("ready");

    let tokens = TokensFile::read(&dir.path().join("tokens.json")).unwrap();
    let http = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{}/v1/events/checkpoint", site.ports[1]);
    let agency = Agency { http: http.clone(), url, token: tokens.sources[0].token.expose().clone() };
    agency.deliver("before").await;
    closes_over(&site.config, 1);

    kafka.kill_node(1);
    assert_eq!(agency.send("meanwhile").await, 503);
    kafka.start_node(1).unwrap();
    agency.deliver("meanwhile").await;
    agency.deliver("after").await;
    closes_over(&site.config, 3);

    // A worker's action is appended, decided and answered as before.
    let inbox = format!("http://127.0.0.1:{}/v1/tasks", site.ports[0]);
    let worker = tokens.workers[0].token.expose();
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    loop {
        let list: Value = http.get(format!("{inbox}?state=open")).bearer_auth(worker).send().await.unwrap().json().await.unwrap();
        if list["tasks"].as_array().is_some_and(|tasks| tasks.len() == 3) {
            let id = list["tasks"][0]["task_id"].as_str().unwrap();
            number += 1;
            let action = json!({"action_id": format!("00000000-0000-4000-8000-{number:012}"), "action": "note", "note": "n"});
            let answer = http.post(format!("{inbox}/{id}/actions")).bearer_auth(worker).json(&action).send().await.unwrap();
            if answer.status().is_success() {
                break;
            }
        }
        assert!(Instant::now() < deadline, "{list}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.signal("TERM");
    let status = running.end();
    assert_eq!(status.code(), Some(0), "{}", running.rest());
}
