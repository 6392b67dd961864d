//! A site in a folder of its own: the embedded log, a mandate with keys, tokens, and the gateway on a free port.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use connectors::gateway::{self, Config, Site};
use domain::Clock;
use domain::mandate::Book;
use eventlog::embedded::Embedded;
use eventlog::schemas::Schemas;
use eventlog::table::{Grouped, MemoryStore, Small, Table};
use eventlog::{Append, From, Log, Record, site_topics};
use events::topics::{MANDATES, partition_of};
use events::{Codec, Mandate, Millis};
use keys::{Keyring, SignIn, TokensFile};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::given;
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: i32 = 3;

pub struct TestSite {
    pub dir: tempfile::TempDir,
    pub site: Site,
    pub tokens: TokensFile,
    pub lookups_per_hour: u32,
    /// While set, no handle for appending can be opened.
    pub is_away: Arc<AtomicBool>,
}

pub fn mandate(id: &str) -> Mandate {
    let text = format!(
        r#"id = "{id}"
           version = 1
           title = "t"
           legal_basis = "l"
           issued_by = "i"
           purposes = ["p"]
           sources = ["*"]
           fields = ["*"]
           divisions = ["3301"]
           max_households = 1000
           demonstration = true
           valid_from = "2020-01-01T00:00:00Z"
           valid_until = "2100-01-01T00:00:00Z""#
    );
    given::signed(domain::mandate::from_toml(&text).unwrap())
}

impl TestSite {
    pub async fn new() -> TestSite {
        TestSite::with(&[mandate("m")], Clock::Wall, Config::default()).await
    }

    pub async fn with(mandates: &[Mandate], clock: Clock, config: Config) -> TestSite {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
        log.create_topics(&site_topics(PARTITIONS)).await.unwrap();
        let schemas = Schemas::open("").await.unwrap();
        let keyring = Arc::new(Keyring::init(&testkit::keyring::settings(dir.path())).unwrap());
        for one in mandates {
            keyring.create_mandate(&one.id).unwrap();
            put(log.as_ref(), MANDATES, &one.id, Some(Codec::built_in().encode(&given::signed(one.clone())))).await;
        }
        let rule = Book::new(given::signers()).rule();
        let mandates = Small::open_where(Arc::clone(&log), Arc::clone(&schemas), MANDATES, rule).await.unwrap();
        let is_away = Arc::new(AtomicBool::new(false));
        let (away, same) = (Arc::clone(&is_away), Arc::clone(&log));
        let connect: connectors::Connect = Arc::new(move || {
            let is_away = away.load(Ordering::SeqCst);
            let log: Arc<dyn Log> = Arc::new(MayGoAway { log: Arc::clone(&same), is_away: Arc::clone(&away) });
            Box::pin(async move { if is_away { Err(eventlog::LogError::Away("test".into())) } else { Ok(log) } })
        });
        let site =
            Site { log, connect, schemas, keyring, mandates, latest: Arc::default(), rules: config.rules(clock), partitions: PARTITIONS };
        TestSite { dir, site, tokens: TokensFile::draw(), lookups_per_hour: config.lookups_per_hour, is_away }
    }

    pub async fn put(&self, topic: &str, key: &str, value: Option<Vec<u8>>) {
        put(self.site.log.as_ref(), topic, key, value).await;
    }

    pub async fn gateway(&self) -> Gateway {
        let identifiers = Table::open(Arc::clone(&self.site.log), events::topics::IDENTIFIERS, Grouped::over(Box::new(MemoryStore::new())));
        let identifiers = identifiers.await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let sign_in = Arc::new(SignIn::new(&self.tokens));
        let running = tokio::spawn(gateway::run(self.site.clone(), sign_in, identifiers, self.lookups(), listener, shutdown.clone()));
        let tokens = self.tokens.sources.iter().map(|source| source.token.expose().clone()).collect();
        let gateway = Gateway { url, tokens, shutdown, running, client: reqwest::Client::new() };
        eventually(|| async { gateway.get("/readyz").await.0 == 200 }).await;
        gateway
    }

    /// Each gateway of the site has a log of its own, as each process has.
    fn lookups(&self) -> gateway::Lookups {
        let name = |number| if number == 0 { audit::LOOKUPS.to_owned() } else { format!("{}-{number}", audit::LOOKUPS) };
        let signer = || audit::Signer::open(&self.dir.path().join("keys")).unwrap();
        let log = (0..8).find_map(|number| audit::AuditLog::open(&self.dir.path().join("audit"), &name(number), signer()).ok());
        gateway::Lookups::new(log.unwrap(), self.lookups_per_hour)
    }

    /// What is written down of questions.
    pub fn asked(&self) -> Vec<Value> {
        let mut asked = Vec::new();
        audit::each_entry(&self.dir.path().join("audit"), audit::LOOKUPS, |entry| asked.push(entry.clone())).unwrap();
        asked
    }

    /// All records of a topic, in the order of its partitions.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        let mut all = Vec::new();
        for partition in 0..PARTITIONS {
            let (first, end) = self.site.log.offsets(topic, partition).await.unwrap();
            if first == end {
                continue;
            }
            let mut reader = self.site.log.read(vec![From { topic: topic.to_owned(), partition, offset: first }]).await.unwrap();
            let mut next = first;
            while next < end {
                let batch = reader.next().await.unwrap();
                next = batch.next_offset;
                all.extend(batch.records);
            }
        }
        all
    }

    pub async fn decoded<R: events::Record>(&self, topic: &str) -> Vec<R> {
        let records = self.records(topic).await;
        records.iter().filter_map(|record| record.value.as_ref()).map(|value| Codec::built_in().decode(value).unwrap()).collect()
    }
}

/// The site's log, of which appends fail while it is away.
struct MayGoAway {
    log: Arc<dyn Log>,
    is_away: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Log for MayGoAway {
    async fn create_topics(&self, topics: &[eventlog::NewTopic]) -> Result<(), eventlog::LogError> {
        self.log.create_topics(topics).await
    }
    async fn topics(&self) -> Result<Vec<eventlog::TopicInfo>, eventlog::LogError> {
        self.log.topics().await
    }
    fn append(&self, records: Vec<Append>) -> eventlog::Acknowledgement {
        match self.is_away.load(Ordering::SeqCst) {
            true => Box::pin(std::future::ready(Err(eventlog::LogError::Away("test".into())))),
            false => self.log.append(records),
        }
    }
    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), eventlog::LogError> {
        self.log.offsets(topic, partition).await
    }
    async fn read(&self, from: Vec<From>) -> Result<Box<dyn eventlog::Reader>, eventlog::LogError> {
        self.log.read(from).await
    }
    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn eventlog::Member>, eventlog::LogError> {
        self.log.join(group, member, topics).await
    }
    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), eventlog::LogError> {
        self.log.note_position(group, positions).await
    }
    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, eventlog::LogError> {
        self.log.noted_positions(group).await
    }
}

async fn put(log: &dyn Log, topic: &str, key: &str, value: Option<Vec<u8>>) {
    let key = key.as_bytes().to_vec();
    let partition = partition_of(&key, PARTITIONS);
    log.append(vec![Append {
        topic: topic.to_owned().into(),
        partition,
        key: key.into(),
        value: value.map(Into::into),
        headers: Default::default(),
    }])
    .await
    .unwrap();
}

pub async fn eventually<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !check().await {
        assert!(Instant::now() < deadline, "not within 30 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub struct Gateway {
    pub url: String,
    /// Of the checkpoint, highway and telecom sources.
    pub tokens: Vec<String>,
    pub shutdown: CancellationToken,
    pub running: tokio::task::JoinHandle<anyhow::Result<()>>,
    pub client: reqwest::Client,
}

impl Gateway {
    pub fn token(&self, kind: &str) -> &str {
        let at = ["checkpoint", "highway", "telecom"].iter().position(|name| *name == kind).unwrap();
        &self.tokens[at]
    }

    pub async fn post(&self, path: &str, token: &str, media: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(token).header("content-type", media);
        answer(request.body(body).send().await.unwrap()).await
    }

    /// Plain objects as NDJSON, or one as JSON.
    pub async fn send(&self, kind: &str, records: &[Value]) -> (u16, Value) {
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        self.post(&format!("/v1/events/{kind}"), self.token(kind), "application/x-ndjson", lines.join("\n")).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(path, self.token("checkpoint")).await
    }

    pub async fn get_as(&self, path: &str, token: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.url)).bearer_auth(token).send().await.unwrap()).await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// Status and body. Whatever says no says it as problem+json.
pub async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let media = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status >= 400 {
        assert_eq!(media.as_deref(), Some("application/problem+json"), "{status} {body}");
        assert_eq!(body["status"], json!(status));
    }
    (status, body)
}

/// Codes of all results, `accepted` and `duplicate` among them, each with the field.
pub fn codes(answer: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let code = row["code"].as_str().or(row["status"].as_str()).unwrap().to_owned();
        row["field"].as_str().map(|field| format!("{code} {field}")).unwrap_or(code)
    };
    answer["results"].as_array().unwrap().iter().map(row).collect()
}

pub fn minutes_ago(minutes: i64) -> String {
    events::time::format(Millis(connectors::now_ms().0 - minutes * 60_000))
}

/// A whole passage; `change` overwrites fields.
pub fn passage(id: &str, change: Value) -> Value {
    let mut record = json!({
        "id": id, "observed_at": "", "checkpoint": "G60-118", "direction": "in", "resident_id": "11010519491231002X",
        "phone": "13800138000", "plate": "浙A12345", "name": "王小明", "passport": null, "permit": null, "origin_division": "3301",
        "destination": {"division": "330106", "grid": "330106001001-03", "address": "文三路 90 号 3 幢 201 室"}, "party_size": 2,
    });
    record["observed_at"] = json!(minutes_ago(5));
    merge(&mut record, change);
    record
}

pub fn merge(record: &mut Value, change: Value) {
    for (name, value) in change.as_object().unwrap() {
        record[name] = value.clone();
    }
}
