//! The inbox: folds tasks into a view per grid, shows them to the workers whose they are, and takes what workers did at the door.
//!
//! It decides nothing about a visit: that is the router's, and its word stands in the tasks' topic. What it alone does is open sealed
//! fields, for somebody entitled, after the read is written down (`answer.rs`, crate `audit`).

mod answer;
mod app;
mod budget;
mod cursor;
mod entitled;
mod feed;
mod follow;
mod heads;
mod http;
mod list;
mod shape;
mod time;
mod view;

use app::App;
use audit::{AuditError, AuditLog, Signer};
use budget::Budgets;
use domain::Clock;
use domain::mandate::{Book, Latest, Signers};
use eventlog::Log;
use eventlog::schemas::Schemas;
use eventlog::table::{MemoryStore, SledStore, Small, Store, Table};
use events::topics::{GRIDS, HOUSEHOLDS, MANDATES, TASKS};
use keys::{Keyring, SignIn};
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take when the process is asked to stop: a phone far away may take for ever.
const DRAIN: Duration = Duration::from_secs(6);

/// `[inbox]` of oneknock.toml.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the inbox listens.
    pub listen: String,
    /// A folder for a cache of the households' entries; without it they are kept in memory, some 500 bytes each.
    pub cache: Option<PathBuf>,
    /// Contacts that one person may open within an hour; who opens more is stopped, and supervisors are told.
    pub contact_reads_per_hour: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: "127.0.0.1:8080".into(), cache: None, contact_reads_per_hour: 120 }
    }
}

/// The log of reads: where it lies, and what signs its heads.
pub struct Audit {
    /// The folder.
    pub dir: PathBuf,
    /// The site's signer.
    pub signer: Signer,
}

/// Serves until shutdown. The page and `/healthz` answer at once, everything else when the log has been read.
///
/// # Errors
/// If the log of reads or the log cannot be opened, or the listener fails.
#[expect(clippy::too_many_arguments, reason = "each is another thing that the caller has opened; a struct would only name them twice")]
pub async fn run(
    config: Config,
    clock: Clock,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    signers: Signers,
    keyring: Arc<Keyring>,
    sign_in: Arc<SignIn>,
    audit: Audit,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let slot: Arc<OnceLock<Arc<App>>> = Arc::default();
    let routes = http::routes(http::Inbox { app: Arc::clone(&slot), shutdown: shutdown.clone() });
    // Whatever of the two ends first with an error ends the other.
    let stop = shutdown.child_token();
    let drained = stop.clone();
    let serve = async {
        let served = axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move { drained.cancelled().await })
            .into_future();
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let served = tokio::select! {
            served = served => served,
            () = late => {
                tracing::warn!("requests were still under way when the time to drain ended");
                Ok(())
            }
        };
        stop.cancel();
        anyhow::Ok(served?)
    };
    let follow = async {
        let opened = tokio::select! {
            opened = open(&config, clock, log, schemas, signers, keyring, sign_in, audit) => Some(opened),
            () = stop.cancelled() => None,
        };
        match opened {
            None => Ok(()),
            Some(Err(error)) => {
                stop.cancel();
                Err(error)
            }
            Some(Ok(app)) => {
                let _ = slot.set(Arc::clone(&app));
                let mandates = tell_of_mandates(Arc::clone(&app), stop.clone());
                let heads = heads::publish(Arc::clone(&app), stop.clone());
                tokio::join!(follow::follow(app, stop.clone()), mandates, heads);
                Ok(())
            }
        }
    };
    let (served, followed) = tokio::join!(serve, follow);
    followed.and(served)
}

#[expect(clippy::too_many_arguments, reason = "as `run`")]
async fn open(
    config: &Config,
    clock: Clock,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    signers: Signers,
    keyring: Arc<Keyring>,
    sign_in: Arc<SignIn>,
    audit: Audit,
) -> anyhow::Result<Arc<App>> {
    let budgets = Budgets::new(config.contact_reads_per_hour);
    let opened = tokio::task::spawn_blocking(move || {
        let reads = AuditLog::open(&audit.dir, audit::READS, audit.signer)?;
        let now = time::now();
        let folded = audit::each_entry(&audit.dir, audit::READS, |entry| budgets.fold(entry, now));
        folded.map(|()| (reads, budgets)).map_err(|source| AuditError::Io { dir: audit.dir, source })
    });
    let (reads, budgets) = opened.await??;
    let store: Box<dyn Store> = match &config.cache {
        Some(dir) => Box::new(SledStore::open(dir)?),
        None => Box::new(MemoryStore::default()),
    };
    let topics = log.topics().await?;
    let partitions = topics.iter().find(|topic| topic.name == TASKS).map(|topic| topic.partitions);
    let partitions = partitions.ok_or_else(|| anyhow::anyhow!("topic {TASKS} does not exist"))?;
    Ok(Arc::new(App {
        clock,
        view: parking_lot::RwLock::new(view::View::new(usize::try_from(partitions)?, view::CHANGES_MAX)),
        changed: tokio::sync::watch::Sender::new(0),
        mandates: Small::open_where(Arc::clone(&log), Arc::clone(&schemas), MANDATES, Book::new(signers).rule()).await?,
        latest: Latest::default(),
        grids: Small::open(Arc::clone(&log), Arc::clone(&schemas), GRIDS).await?,
        households: Table::open(Arc::clone(&log), HOUSEHOLDS, store).await?,
        log,
        schemas,
        keyring,
        sign_in,
        sessions: http::Sessions::default(),
        reads,
        budgets,
        in_flight: http::InFlight::default(),
        partitions,
        caught_up: AtomicBool::new(false),
        follows: AtomicBool::new(false),
        rereads: app::rereads(),
    }))
}

/// A mandate that is suspended or resumed changes what everybody sees, without a record of any task.
async fn tell_of_mandates(app: Arc<App>, stop: CancellationToken) {
    let mut mandates = app.mandates.subscribe();
    loop {
        let told = tokio::select! {
            told = mandates.recv() => told,
            () = stop.cancelled() => None,
        };
        if told.is_none() {
            return;
        }
        app.changed.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::Cursor;
    use crate::view::{Earlier, View};
    use eventlog::embedded::Embedded;
    use eventlog::{Append, site_topics};
    use std::sync::atomic::Ordering;

    /// A view that remembers one change, and a client that has seen nothing: the log is read again, and nothing of it is lost.
    #[tokio::test]
    async fn a_client_that_memory_does_not_reach_back_to_is_answered_from_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
        log.create_topics(&site_topics(2)).await.unwrap();
        let schemas = Schemas::open("").await.unwrap();
        let keyring = Arc::new(Keyring::init(&testkit::keyring::settings(dir.path())).unwrap());
        let sign_in = Arc::new(SignIn::new(&keys::TokensFile::default()));
        let audit = Audit { dir: dir.path().join("audit"), signer: Signer::open(&dir.path().join("keys")).unwrap() };
        let app = open(
            &Config::default(),
            Clock::Wall,
            Arc::clone(&log),
            Arc::clone(&schemas),
            testkit::given::signers(),
            keyring,
            sign_in,
            audit,
        )
        .await
        .unwrap();
        *app.view.write() = View::new(2, 1);

        // The shortest record there is: zero bytes are empty texts, nulls, first symbols and empty lists.
        let mut task: events::Task = events::Avro::read(&mut [0; 256].as_slice()).unwrap();
        (task.task_id, task.state) = (events::TaskId::from("t").unwrap(), events::TaskState::Open);
        let record = |partition, key: &str, value: Vec<u8>| Append {
            topic: TASKS.into(),
            partition,
            key: key.to_owned().into(),
            value: Some(value.into()),
            headers: Default::default(),
        };
        let state = schemas.codec().encode(&task);
        log.append(vec![
            record(0, "m/a", state.clone()),
            record(0, "m/b", state.clone()),
            record(0, "~position/x", vec![0]),
            record(0, "m/a", state.clone()),
            record(1, "m/c", b"no Avro".to_vec()),
            record(1, "m/d", state),
        ])
        .await
        .unwrap();
        let shutdown = CancellationToken::new();
        let following = tokio::spawn(follow::follow(Arc::clone(&app), shutdown.clone()));
        let end = Cursor(vec![4, 2]);
        let caught_up = async {
            while *app.view.read().position() != end {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), caught_up).await.unwrap();
        assert!(app.caught_up.load(Ordering::Acquire));

        let since = async |cursor: Vec<i64>| {
            let changes = app.changes_since(&Cursor(cursor)).await.unwrap();
            assert_eq!(changes.position, end);
            let mut found: Vec<(String, i64, bool)> =
                changes.changes.iter().map(|change| (change.key.to_string(), change.offset, change.earlier == Earlier::Unknown)).collect();
            found.sort();
            found
        };
        let keys = |found: Vec<(String, i64, bool)>| found.into_iter().map(|(key, offset, _)| (key, offset)).collect::<Vec<_>>();
        let all = keys(since(vec![0, 0]).await);
        let expect = |entries: &[(&str, i64)]| entries.iter().map(|&(key, offset)| (key.to_owned(), offset)).collect::<Vec<_>>();
        // What cannot be read is told as its household's present state, which is none; or is remembered as nothing at all.
        assert!(expect(&[("m/a", 3), ("m/b", 1), ("m/d", 1)]).iter().all(|entry| all.contains(entry)), "{all:?}");
        assert_eq!(keys(since(vec![2, 2]).await), expect(&[("m/a", 3)]));
        assert_eq!(since(vec![4, 2]).await, []);
        shutdown.cancel();
        following.await.unwrap();
    }
}
