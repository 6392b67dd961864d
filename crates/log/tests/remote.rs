//! The remote log under the suite, over a real socket, and who may do what there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod conformance;

use conformance::Under;
use eventlog::embedded::Embedded;
use eventlog::remote::{Remote, Right, router};
use eventlog::{Log, LogError, NewTopic};
use std::sync::Arc;

struct Served {
    url: String,
    server: tokio::task::JoinHandle<()>,
    log: Arc<Embedded>,
    _dir: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let log = Embedded::open(dir.path()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(log.clone(), |token, right| token == "admin" || token == "ops" && right == Right::Read);
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Served { url, server, log, _dir: dir }
}

async fn make() -> Under {
    let served = serve().await;
    let log = Remote::connect(&served.url, "admin").await.unwrap();
    let compacted = served.log.clone();
    let compact: conformance::Compact = Box::new(move |topic| {
        let log = compacted.clone();
        Box::pin(async move {
            log.compact(&topic).await.unwrap();
        })
    });
    Under { log, compact: Some(compact), keep: Box::new(served) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remote_log_conforms() {
    conformance::suite(make).await;
}

#[tokio::test]
async fn a_token_is_good_for_what_it_is_good_for() {
    let served = serve().await;
    let refused = |outcome: Result<(), LogError>| assert!(matches!(outcome, Err(LogError::Refused(_))), "{outcome:?}");
    refused(Remote::connect(&served.url, "nobody").await.map(drop));
    let admin = Remote::connect(&served.url, "admin").await.unwrap();
    admin.create_topics(&[NewTopic { name: "topic".into(), partitions: 1, settings: vec![] }]).await.unwrap();
    let ops = Remote::connect(&served.url, "ops").await.unwrap();
    assert_eq!(ops.offsets("topic", 0).await.unwrap(), (0, 0));
    refused(ops.append(vec![conformance::record("topic", 0, "key", 1)]).await.map(drop));
    refused(ops.create_topics(&[NewTopic { name: "other".into(), partitions: 1, settings: vec![] }]).await);
    refused(ops.note_position("group", &[]).await);
    assert_eq!(ops.offsets("topic", 0).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_log_whose_process_is_gone_is_away() {
    let served = serve().await;
    let log = Remote::connect(&served.url, "admin").await.unwrap();
    log.create_topics(&[NewTopic { name: "topic".into(), partitions: 1, settings: vec![] }]).await.unwrap();
    let url = served.url.clone();
    drop(served);
    // Connections that are there may live a little longer than the listener.
    let away = |outcome: Result<(), LogError>| assert!(matches!(outcome, Err(LogError::Away(_))), "{outcome:?}");
    away(Remote::connect(&url, "admin").await.map(drop));
}
