//! The inbox: folds tasks into a view per grid, shows them to the workers whose they are, and takes what workers did at the door.
//!
//! It decides nothing about a visit: that is the router's, and its word stands in the tasks' topic. What it alone does is open sealed
//! fields, for somebody entitled, after the read is written down (`reads.rs`, `answer.rs`).

mod answer;
mod app;
mod cursor;
mod entitled;
mod feed;
mod follow;
mod http;
mod reads;
mod shape;
mod time;
mod view;

pub use reads::{Reads, ReadsError};

use app::App;
use domain::Clock;
use eventlog::Log;
use eventlog::schemas::Schemas;
use eventlog::table::{MemoryStore, SledStore, Small, Store, Table};
use events::topics::{GRIDS, HOUSEHOLDS, MANDATES, TASKS};
use keys::{Keyring, SignIn};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// `[inbox]` of oneknock.toml.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the inbox listens.
    pub listen: String,
    /// A folder for a cache of the households' entries; without it they are kept in memory, some 500 bytes each.
    pub cache: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: "127.0.0.1:8080".into(), cache: None }
    }
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
    keyring: Arc<Keyring>,
    sign_in: Arc<SignIn>,
    audit_dir: PathBuf,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let slot: Arc<OnceLock<Arc<App>>> = Arc::default();
    let routes = http::routes(http::Inbox { app: Arc::clone(&slot), shutdown: shutdown.clone() });
    // Whatever of the two ends first with an error ends the other.
    let stop = shutdown.child_token();
    let drained = stop.clone();
    let serve = async {
        let served = axum::serve(listener, routes).with_graceful_shutdown(async move { drained.cancelled().await }).await;
        stop.cancel();
        anyhow::Ok(served?)
    };
    let follow = async {
        let opened = tokio::select! {
            opened = open(&config, clock, log, schemas, keyring, sign_in, &audit_dir) => Some(opened),
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
                tokio::join!(follow::follow(app, stop.clone()), mandates);
                Ok(())
            }
        }
    };
    let (served, followed) = tokio::join!(serve, follow);
    followed.and(served)
}

async fn open(
    config: &Config,
    clock: Clock,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    keyring: Arc<Keyring>,
    sign_in: Arc<SignIn>,
    audit_dir: &Path,
) -> anyhow::Result<Arc<App>> {
    let reads = Reads::open(audit_dir)?;
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
        mandates: Small::open(Arc::clone(&log), Arc::clone(&schemas), MANDATES).await?,
        grids: Small::open(Arc::clone(&log), Arc::clone(&schemas), GRIDS).await?,
        households: Table::open(Arc::clone(&log), HOUSEHOLDS, store).await?,
        log,
        schemas,
        keyring,
        sign_in,
        sessions: http::Sessions::default(),
        reads,
        in_flight: http::InFlight::default(),
        partitions,
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
