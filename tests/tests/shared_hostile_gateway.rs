//! Hostile input at the door: JSON that parsers fall over, naughty strings, CSV torture and GB18030, at the gateway and in dropped files.
//! Any bytes get a code, and the good records beside them go through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

use connectors::gateway::{self, Config, Site};
use connectors::sources::files::{self, Format};
use connectors::sources::{Mode, Summary};
use domain::Clock;
use domain::mandate::Book;
use eventlog::embedded::Embedded;
use eventlog::schemas::Schemas;
use eventlog::table::{MemoryStore, Small, Table};
use eventlog::{Append, From, Log, site_topics};
use events::topics::{CHECKPOINT, IDENTIFIERS, MANDATES};
use events::{CheckpointPassage, Codec, SourceKind};
use keys::{Keyring, SignIn, TokensFile};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::given;
use tokio_util::sync::CancellationToken;

const MANDATE: &str = r#"id = "m"
version = 1
title = "t"
legal_basis = "l"
issued_by = "i"
purposes = ["p"]
sources = ["*"]
fields = ["*"]
divisions = ["*"]
max_households = 1000
demonstration = true
valid_from = "2020-01-01T00:00:00Z"
valid_until = "2100-01-01T00:00:00Z"
"#;

struct Door {
    dir: tempfile::TempDir,
    site: Site,
    url: String,
    token: String,
    client: reqwest::Client,
}

async fn open() -> Door {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
    log.create_topics(&site_topics(1)).await.unwrap();
    let keyring = Arc::new(Keyring::init(&testkit::keyring::settings(dir.path())).unwrap());
    keyring.create_mandate("m").unwrap();
    let value = Some(Codec::built_in().encode(&given::signed(domain::mandate::from_toml(MANDATE).unwrap())).into());
    let append = Append { topic: MANDATES.into(), partition: 0, key: "m".into(), value, headers: Default::default() };
    log.append(vec![append]).await.unwrap();
    let schemas = Schemas::open("").await.unwrap();
    let mandates = Small::open_where(Arc::clone(&log), Arc::clone(&schemas), MANDATES, Book::new(given::signers()).rule()).await.unwrap();
    let identifiers = Table::open(Arc::clone(&log), IDENTIFIERS, Box::new(MemoryStore::new())).await.unwrap();
    let same = Arc::clone(&log);
    let connect: connectors::Connect = Arc::new(move || Box::pin(std::future::ready(Ok(Arc::clone(&same)))));
    let rules = Config { max_age_days: 0, max_future_minutes: 0, ..Config::default() }.rules(Clock::Wall);
    let site = Site { log, connect, schemas, keyring, mandates, latest: Arc::default(), rules, partitions: 1 };
    let tokens = TokensFile::draw();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/events/checkpoint", listener.local_addr().unwrap());
    let signer = audit::Signer::open(&dir.path().join("keys")).unwrap();
    let lookups = gateway::Lookups::new(audit::AuditLog::open(&dir.path().join("audit"), audit::LOOKUPS, signer).unwrap(), 3_600);
    let running = gateway::run(site.clone(), Arc::new(SignIn::new(&tokens)), identifiers, lookups, listener, CancellationToken::new());
    tokio::spawn(running);
    Door { dir, site, url, token: tokens.sources[0].token.expose().clone(), client: reqwest::Client::new() }
}

impl Door {
    async fn post(&self, media: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self.client.post(&self.url).bearer_auth(&self.token).header("content-type", media).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn drop_file(&self, name: &str, bytes: &[u8]) -> Summary {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.csv"), bytes).unwrap();
        let config = files::Config { path: folder, format: Format::Csv, event: SourceKind::Checkpoint, source: "s".into(), mandate: None };
        let state = self.dir.path().join("state");
        files::run(name, &config, self.site.clone(), &state, Mode::Once, CancellationToken::new()).await.unwrap()
    }

    async fn event_ids(&self) -> Vec<String> {
        let (_, end) = self.site.log.offsets(CHECKPOINT, 0).await.unwrap();
        let mut reader = self.site.log.read(vec![From { topic: CHECKPOINT.into(), partition: 0, offset: 0 }]).await.unwrap();
        let (mut ids, mut next) = (Vec::new(), 0);
        while next < end {
            let batch = reader.next().await.unwrap();
            next = batch.next_offset;
            let id = |value: &[u8]| Codec::built_in().decode::<CheckpointPassage>(value).unwrap().event_id.to_string();
            ids.extend(batch.records.iter().map(|record| id(record.value.as_deref().unwrap())));
        }
        ids
    }
}

fn shared(folder: &str) -> PathBuf {
    let root = std::env::var("ONEKNOCK_SHARED").expect("ONEKNOCK_SHARED names the folder with data/");
    Path::new(&root).join("data/hostile_input").join(folder)
}

fn files_of(folder: &Path, ending: &str) -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let named = paths.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(ending));
    let mut files: Vec<(String, Vec<u8>)> =
        named.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

fn good(id: &str) -> Value {
    json!({"id": id, "observed_at": "2026-01-03T08:14:00+08:00", "checkpoint": "c", "direction": "in", "plate": format!("P{id}")})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn json_that_parsers_fall_over() {
    let door = open().await;
    let suite = [files_of(&shared("json_test_suite/test_parsing"), ".json"), files_of(&shared("json_test_suite/test_transform"), ".json")];
    let mut sent = 0;
    for (at, (name, bytes)) in suite.into_iter().flatten().enumerate() {
        let is_object = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).is_ok();
        let (status, _) = door.post("application/json", bytes.clone()).await;
        let expected = if name.starts_with("n_") || !is_object { 400 } else { 202 };
        assert_eq!(status, expected, "{name} as JSON");
        for media in ["application/cloudevents+json", "application/cloudevents-batch+json"] {
            let (status, _) = door.post(media, bytes.clone()).await;
            assert!(matches!(status, 202 | 400), "{name} as {media}: {status}");
            assert!(status == 400 || !name.starts_with("n_"), "{name} as {media}");
        }
        let lines = [good(&format!("a{at}")).to_string().as_bytes(), &bytes, good(&format!("b{at}")).to_string().as_bytes()].join(&b'\n');
        let (status, answer) = door.post("application/x-ndjson", lines).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(2)), "{name} as NDJSON: {answer}");
        sent += 1;
    }
    println!("{sent} files of JSON, {} good records beside them", door.event_ids().await.len());
    assert_eq!(door.event_ids().await.len(), 2 * sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn naughty_strings_in_every_field() {
    let door = open().await;
    let strings: Vec<String> = serde_json::from_slice(&std::fs::read(shared("naughty/blns.json")).unwrap()).unwrap();
    let fields = [
        "id",
        "observed_at",
        "mandate",
        "checkpoint",
        "direction",
        "resident_id",
        "passport",
        "permit",
        "phone",
        "plate",
        "origin_division",
        "destination",
        "party_size",
    ];
    let mut records = Vec::new();
    for (at, text) in strings.iter().enumerate() {
        for field in fields {
            let mut record = good(&format!("{field}{at}"));
            record[field] = json!(text);
            records.push(record);
        }
        let mut record = good(&format!("address{at}"));
        record["destination"] = json!({"division": "330106", "grid": text, "address": text});
        records.push(record);
        records.push(good(&format!("good{at}")));
    }
    let codes =
        ["missing_field", "bad_value", "bad_identifier", "bad_time", "no_mandate", "out_of_mandate", "too_old", "in_future", "id_reused"];
    let (mut accepted_good, mut rejected) = (0, 0);
    for chunk in records.chunks(2_000) {
        let lines: Vec<String> = chunk.iter().map(Value::to_string).collect();
        let (status, answer) = door.post("application/x-ndjson", lines.join("\n").into_bytes()).await;
        assert_eq!(status, 202);
        for (row, record) in answer["results"].as_array().unwrap().iter().zip(chunk) {
            let is_good = record["id"].as_str().is_some_and(|id| id.starts_with("good") && id.len() < 10);
            accepted_good += usize::from(is_good && row["status"] == "accepted");
            if row["status"] == "rejected" {
                rejected += 1;
                assert!(codes.contains(&row["code"].as_str().unwrap()), "{row}");
            }
        }
    }
    println!("{} naughty records, {rejected} rejected by a code", records.len() - strings.len());
    assert_eq!(accepted_good, strings.len());
    assert!(rejected > strings.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn csv_torture_in_a_dropped_file() {
    let door = open().await;
    let folder = shared("csv_spectrum");
    let mut rows = 0;
    for (name, bytes) in files_of(&folder, ".csv") {
        let answers: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join(name.replace(".csv", ".json"))).unwrap()).unwrap();
        // Without a column `id` the header is rejected, and every row for lack of one: so many rows were seen.
        let summary = door.drop_file(&name, &bytes).await;
        assert_eq!(summary, Summary { accepted: 0, rejected: 1 + answers.len() as u64 }, "{name}");
        // The same cells, quoted anew as an address between good rows.
        let mut text =
            String::from("id,observed_at,checkpoint,direction,plate,destination.division,destination.grid,destination.address\n");
        for (at, cell) in answers.iter().flat_map(|row| row.as_object().unwrap().values()).enumerate() {
            let cell = cell.as_str().unwrap().replace('"', "\"\"");
            text.push_str(&format!("{name}{at},2026-01-03T08:14:00+08:00,c,in,P,330106,g,\"{cell}\"\n"));
            rows += 1;
        }
        let summary = door.drop_file(&format!("{name}-again"), text.as_bytes()).await;
        assert_eq!(summary.rejected, 0, "{name}");
    }
    println!("{rows} cells of CSV torture");
    assert_eq!(door.event_ids().await.len(), rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn gb18030_to_the_last_character() {
    let door = open().await;
    let read = |name: &str| std::fs::read(shared("gb18030").join(name)).unwrap();
    let (encoded, reference) = (read("gb18030_in.txt"), read("gb18030_in_ref.txt"));
    let table = |text: &[u8]| {
        let mut out = b"id,observed_at,checkpoint,direction,plate,destination.division,destination.grid,destination.address\n".to_vec();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            out.extend(format!("{at},2026-01-03T08:14:00+08:00,c,in,P,330106,g,\"a").bytes());
            out.extend(line.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\r')));
            out.extend(b"z\"\n");
        }
        out
    };
    let one = door.drop_file("encoded", &table(&encoded)).await;
    let other = door.drop_file("reference", &table(&reference)).await;
    assert!(one == other && one.accepted > 20_000, "{one:?} {other:?}");
    let ids = door.event_ids().await;
    let (encoded, reference) = ids.split_at(ids.len() / 2);
    println!("{} lines of GB18030", encoded.len());
    assert_eq!(encoded, reference);
}
