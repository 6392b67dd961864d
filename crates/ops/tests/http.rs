//! The ops listener: who may ask for what, and that it says the same as the commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use eventlog::embedded::Embedded;
use eventlog::remote::Remote;
use eventlog::schemas::Schemas;
use eventlog::{Append, Log, LogError, site_topics};
use events::topics;
use keys::{SignIn, TokensFile};
use ops::metrics::Metrics;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const GROUPS: &[(&str, &[&str])] = &[("router", &[topics::CHECKPOINT])];

struct Listener {
    base: String,
    tokens: TokensFile,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Listener {
    async fn open(serve_log: bool) -> Listener {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(dir.path()).unwrap();
        log.create_topics(&site_topics(2)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let tokens = TokensFile::draw();
        let sign_in = Arc::new(SignIn::new(&tokens));
        let stop = CancellationToken::new();
        let config = ops::Config { groups: GROUPS, signers: testkit::given::signers(), serve_log };
        let schemas = Schemas::open("").await.unwrap();
        let ended = tokio::spawn(ops::run(config, log, schemas, sign_in, Metrics::detached(), listener, stop.clone()));
        Listener { base, tokens, stop, ended, _dir: dir }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn ops(&self) -> &str {
        self.tokens.ops[0].token.expose()
    }

    fn admin(&self) -> &str {
        self.tokens.admins[0].token.expose()
    }
}

#[tokio::test]
async fn health_and_metrics_are_for_everybody_and_reports_for_ops_and_admin() {
    let listener = Listener::open(true).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(listener.get(path, None).await.0, 200, "{path}");
    }
    let worker = listener.tokens.workers[0].token.expose();
    for path in ["/v1/topics", "/v1/lag", "/v1/ledger", "/v1/dlq", "/v1/tail/control.policies.v1"] {
        assert_eq!(listener.get(path, None).await.0, 401, "{path}");
        assert_eq!(listener.get(path, Some("nobody has this token at all")).await.0, 401, "{path}");
        let (status, problem) = listener.get(path, Some(worker)).await;
        assert_eq!((status, &problem["status"]), (403, &403.into()), "{path}");
        for token in [listener.ops(), listener.admin()] {
            assert_eq!(listener.get(path, Some(token)).await.0, 200, "{path}");
        }
    }
    let (_, ledger) = listener.get("/v1/ledger", Some(listener.ops())).await;
    assert_eq!(ledger["closed"], true);
    let unknown = "0".repeat(32);
    for (path, status) in [("/v1/tail/no.such.topic", 404), ("/v1/tail/control.policies.v1?count=20000", 400), ("/v1/trace/x", 400)] {
        assert_eq!(listener.get(path, Some(listener.ops())).await.0, status, "{path}");
    }
    assert_eq!(listener.get(&format!("/v1/trace/{unknown}"), Some(listener.ops())).await.0, 404);
    listener.stop.cancel();
    listener.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_log_is_served_to_ops_for_reading_and_to_admin_for_appending() {
    let listener = Listener::open(true).await;
    let record = || Append {
        topic: topics::GRIDS.into(),
        partition: 0,
        key: b"g".to_vec().into(),
        value: Some(b"v".to_vec().into()),
        headers: Default::default(),
    };
    let worker = listener.tokens.workers[0].token.expose();
    assert!(matches!(Remote::connect(&listener.base, worker).await.err(), Some(LogError::Refused(_))));

    let reading = Remote::connect(&listener.base, listener.ops()).await.unwrap();
    assert_eq!(reading.topics().await.unwrap().len(), topics::ALL.len());
    assert!(matches!(reading.append(vec![record()]).await, Err(LogError::Refused(_))));

    let appending = Remote::connect(&listener.base, listener.admin()).await.unwrap();
    assert_eq!(appending.append(vec![record()]).await.unwrap()[0].offset, 0);
    assert_eq!(reading.offsets(topics::GRIDS, 0).await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_log_that_is_not_ours_alone_is_not_served() {
    let listener = Listener::open(false).await;
    assert!(Remote::connect(&listener.base, listener.admin()).await.is_err());
    assert_eq!(listener.get("/log/topics", Some(listener.admin())).await.0, 404);
}

#[tokio::test]
async fn the_one_that_measures_tells_of_lag_and_books() {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Embedded::open(dir.path()).unwrap();
    log.create_topics(&site_topics(2)).await.unwrap();
    let event = Append {
        topic: topics::CHECKPOINT.into(),
        partition: 1,
        key: b"t".to_vec().into(),
        value: Some(b"junk".to_vec().into()),
        headers: Default::default(),
    };
    log.append(vec![event]).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let sign_in = Arc::new(SignIn::new(&TokensFile::draw()));
    let schemas = Schemas::open("").await.unwrap();
    let config = ops::Config { groups: GROUPS, signers: testkit::given::signers(), serve_log: false };
    let metrics = ops::metrics::install().unwrap();
    let (of_log, of_schemas) = (Arc::clone(&log), Arc::clone(&schemas));
    tokio::spawn(async move { ops::gauges::keep(GROUPS, &of_log, &of_schemas).await });
    tokio::spawn(ops::run(config, log, schemas, sign_in, metrics, listener, CancellationToken::new()));

    let wanted = [
        "oneknock_lag_records{group=\"router\",topic=\"events.checkpoint.v1\"} 1",
        "oneknock_ledger_decisions{code=\"opened\"} 0",
        "oneknock_ledger_closed 1",
        "oneknock_ledger_undecided 0",
    ];
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        if wanted.iter().all(|line| text.contains(line)) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
