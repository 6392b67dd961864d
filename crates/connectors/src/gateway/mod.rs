//! The gateway: agencies send arrivals over HTTP, and ask what became of them and whether a household has been screened.
//!
//! An answer of 202 is given once everything that it accepts is durable in the log. Must not know households' records beyond their covers.

mod body;
mod budget;
mod covers;
mod documents;
mod follow;
mod lookup;
mod lookups;
mod memory;
mod post;
mod problem;
mod sign_in;
mod status;

use crate::appender::{Appender, Connect};
use crate::intake::Rules;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use budget::Budget;
use domain::Clock;
use domain::mandate::Latest;
use eventlog::Log;
use eventlog::schemas::Schemas;
use eventlog::table::{Small, Table};
use events::time::DAY_MS;
use events::topics::AUDIT;
use events::{AuditCheckpoint, Mandate};
use follow::Followed;
use keys::{Keyring, SignIn};
pub use lookups::Lookups;
use problem::Problem;
use serde::Deserialize;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Most records of a request.
pub const RECORDS_MAX: usize = 10_000;
/// How long requests under way may take when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(6);

/// `[gateway]` of oneknock.toml.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Older events are `too_old`, in days; 0: no limit.
    pub max_age_days: u32,
    /// Events further ahead are `in_future`, in minutes; 0: no limit.
    pub max_future_minutes: u32,
    /// Questions about screenings that one source may ask within an hour.
    pub lookups_per_hour: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), max_age_days: 30, max_future_minutes: 10, lookups_per_hour: 3_600 }
    }
}

impl Config {
    /// The times that are taken, under the site's clock: also those of sources that fetch by themselves.
    pub fn rules(&self, clock: Clock) -> Rules {
        let limit = |count: u32, ms: i64| (count > 0).then(|| i64::from(count) * ms);
        Rules { clock, max_age_ms: limit(self.max_age_days, DAY_MS), max_future_ms: limit(self.max_future_minutes, 60_000) }
    }
}

/// What the gateway and every source work with.
#[derive(Clone)]
pub struct Site {
    /// The log, for reading.
    pub log: Arc<dyn Log>,
    /// Opens a handle for appending: again whenever one has failed.
    pub connect: Connect,
    /// Reads and writes values.
    pub schemas: Arc<Schemas>,
    /// The mandates' keys.
    pub keyring: Arc<Keyring>,
    /// `control.mandates.v1`: what of it is believed.
    pub mandates: Arc<Small<Mandate>>,
    /// The newest time that a mandate was judged by here.
    pub latest: Arc<Latest>,
    /// Which times are taken.
    pub rules: Rules,
    /// Partitions of every keyed topic.
    pub partitions: i32,
}

impl Site {
    /// All mandates that are known now.
    pub fn mandates(&self) -> Vec<Arc<Mandate>> {
        self.mandates.all().into_iter().map(|(_, mandate)| mandate).collect()
    }
}

/// What requests share.
struct Gateway {
    site: Site,
    sign_in: Arc<SignIn>,
    identifiers: Arc<Table>,
    lookups: Lookups,
    followed: Followed,
    budget: Arc<Budget>,
    appender: Arc<Appender>,
}

type Shared = State<Arc<Gateway>>;

/// Serves until told to stop; then requests under way are finished. `identifiers` is `registry.identifiers.v1`, read whole
/// into a `Grouped` store.
///
/// # Errors
/// If the listener fails.
pub async fn run(
    site: Site,
    sign_in: Arc<SignIn>,
    identifiers: Arc<Table>,
    lookups: Lookups,
    listener: tokio::net::TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let followed = Followed { memory: Arc::default(), covers: Arc::default(), has_caught_up: Arc::default() };
    let follower = follow::follow(Arc::clone(&site.log), Arc::clone(&site.schemas), site.partitions, followed.clone(), shutdown.clone());
    let follower = tokio::spawn(follower);
    let appender = Arc::new(Appender::new(Arc::clone(&site.connect)));
    let gateway = Arc::new(Gateway { site, sign_in, identifiers, lookups, followed, budget: Arc::default(), appender });
    let heads = tokio::spawn(publish_heads(Arc::clone(&gateway), shutdown.clone()));
    let served = axum::serve(listener, router(gateway)).with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future();
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => ended?,
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN).await; } => {
            tracing::warn!("requests were still under way when the time to drain ended");
        }
    }
    shutdown.cancel();
    follower.await?;
    heads.await?;
    Ok(())
}

/// Publishes the signed heads of the log of questions.
async fn publish_heads(gateway: Arc<Gateway>, stop: CancellationToken) {
    let append = |key: String, note: String| {
        let record = gateway.site.schemas.append(AUDIT, &key, &AuditCheckpoint { note }, gateway.site.partitions);
        let appender = Arc::clone(&gateway.appender);
        async move { appender.append(vec![record]).await.is_ok() }
    };
    audit::publish(&gateway.lookups.log, stop.cancelled(), append).await;
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/events/{name}", post(post::events).get(status::event))
        .route("/v1/screenings/lookup", post(lookup::screening))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(documents::routes())
        .fallback(|| async { Problem::not_found("there is nothing here; /openapi.json says what there is") })
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this address") })
        .with_state(gateway)
}

async fn ready(State(gateway): Shared) -> Result<&'static str, Problem> {
    match gateway.followed.has_caught_up.load(Ordering::Acquire) {
        true => Ok("ready\n"),
        false => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "still reading what happened before").retry_after(1)),
    }
}
