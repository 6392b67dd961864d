//! The ops listener: metrics and health for machines, the reports for the ops team, and on the embedded log the log itself for this
//! site's other commands. It shows no personal data, since it has no key to open any.

use crate::metrics::Metrics;
use crate::{OpsError, dlq, lag, ledger, tail, topics, trace};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::authorize::{Action, Field, Object, Under, authorize};
use domain::mandate::Signers;
use eventlog::Log;
use eventlog::remote::Right;
use eventlog::schemas::Schemas;
use events::Actor;
use keys::{Denied, SignIn, bearer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long the log may take to show that it is there.
const READY: Duration = Duration::from_secs(2);

/// How long requests under way may take when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// What this listener is told beside the log.
#[derive(Clone)]
pub struct Config {
    /// Consumer groups and the topics that each reads, for `lag`.
    pub groups: &'static [(&'static str, &'static [&'static str])],
    /// Whether this process's log is served to the site's other commands: where it is embedded.
    pub serve_log: bool,
    /// Whose signatures mandates need.
    pub signers: Signers,
}

#[derive(Clone)]
struct Served {
    config: Config,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    tokens: Arc<SignIn>,
    metrics: Metrics,
}

/// Serves until told to stop.
///
/// # Errors
/// The listener fails.
pub async fn run(
    config: Config,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    tokens: Arc<SignIn>,
    metrics: Metrics,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let upkeep = metrics.clone();
    let app = app(Served { config, log, schemas, tokens, metrics }).into_make_service_with_connect_info::<SocketAddr>();
    let drained = shutdown.clone().cancelled_owned();
    let served = axum::serve(listener, app).with_graceful_shutdown(drained).into_future();
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        done = served => done?,
        // Somebody follows a topic, for ever.
        () = late => {}
        () = upkeep.upkeep() => {}
    }
    Ok(())
}

fn app(served: Served) -> Router {
    let reports = Router::new()
        .route("/v1/topics", get(topics_report))
        .route("/v1/lag", get(lag_report))
        .route("/v1/ledger", get(ledger_report))
        .route("/v1/trace/{event}", get(trace_report))
        .route("/v1/tail/{topic}", get(tail_report))
        .route("/v1/dlq", get(dlq_report));
    let mut app = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(reports)
        .with_state(served.clone());
    if served.config.serve_log {
        app = app.merge(served_log(&served));
    }
    app
}

/// Only from this machine, wherever the listener listens.
fn served_log(served: &Served) -> Router {
    let tokens = Arc::clone(&served.tokens);
    let check = move |token: &str, right: Right| {
        let action = match right {
            Right::Read => Action::Read,
            Right::Append => Action::Append,
        };
        tokens.local(token).is_some_and(|actor| authorize(&actor, Under::Site, &Object::Log, Field::State, action).is_ok())
    };
    eventlog::remote::router(Arc::clone(&served.log), check).layer(middleware::from_fn(from_this_machine))
}

async fn from_this_machine(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    match peer.ip().is_loopback() {
        true => next.run(request).await,
        false => problem(StatusCode::FORBIDDEN, "the log is served to this machine alone"),
    }
}

async fn metrics_text(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], served.metrics.render())
}

async fn ready(State(served): State<Served>) -> Response {
    match tokio::time::timeout(READY, served.log.topics()).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        _ => problem(StatusCode::SERVICE_UNAVAILABLE, "the log is away"),
    }
}

/// Whoever has signed in.
struct Caller(Arc<Actor>);

impl FromRequestParts<Served> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, served: &Served) -> Result<Caller, Response> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let signed_in = match header.and_then(bearer) {
            Some(token) => served.tokens.actor(token).await,
            None => Err(Denied::Unknown),
        };
        signed_in.map(Caller).map_err(|denied| match denied {
            Denied::Unknown => {
                let mut answer = problem(StatusCode::UNAUTHORIZED, "expected the bearer token of the ops team or an administrator");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
                answer
            }
            Denied::Away => {
                let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "the sign-in provider cannot be asked: ask again");
                answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("10"));
                answer
            }
        })
    }
}

impl Caller {
    fn may_read(&self, object: &Object<'_>) -> Result<(), Refused> {
        let may = authorize(&self.0, Under::Site, object, Field::State, Action::Read);
        may.map_err(|_| Refused(StatusCode::FORBIDDEN, "for the ops team and administrators"))
    }
}

/// Why there is no report.
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        problem(self.0, self.1)
    }
}

type Report = Result<Response, Refused>;

async fn topics_report(caller: Caller, State(served): State<Served>) -> Report {
    caller.may_read(&Object::Report)?;
    Ok(answer(topics::topics(&served.log).await))
}

async fn lag_report(caller: Caller, State(served): State<Served>) -> Report {
    caller.may_read(&Object::Report)?;
    Ok(answer(lag::lag(&served.log, served.config.groups).await))
}

async fn ledger_report(caller: Caller, State(served): State<Served>) -> Report {
    caller.may_read(&Object::Report)?;
    Ok(answer(ledger::ledger(&served.log, &served.schemas).await))
}

async fn trace_report(caller: Caller, State(served): State<Served>, Path(event): Path<String>) -> Report {
    caller.may_read(&Object::Report)?;
    Ok(match event.parse() {
        Ok(id) => answer(trace::trace(&served.log, &served.schemas, &served.config.signers, id).await),
        Err(_) => problem(StatusCode::BAD_REQUEST, "event: expected 32 hexadecimal digits"),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    count: Option<usize>,
    partition: Option<i32>,
}

async fn tail_report(
    caller: Caller,
    State(served): State<Served>,
    Path(topic): Path<String>,
    query: Result<Query<TailQuery>, QueryRejection>,
) -> Report {
    caller.may_read(&Object::Topic(&topic))?;
    let Query(query) = query.map_err(|_| Refused(StatusCode::BAD_REQUEST, "expected count and partition, both numbers"))?;
    let lines = tail::newest(&served.log, &served.schemas, &topic, query.partition, query.count.unwrap_or(10)).await;
    Ok(answer(lines.map(|records| json!({ "records": records }))))
}

async fn dlq_report(caller: Caller, State(served): State<Served>) -> Report {
    caller.may_read(&Object::Report)?;
    Ok(answer(dlq::list(&served.log).await))
}

fn answer(report: Result<impl Serialize, OpsError>) -> Response {
    match report {
        Ok(report) => Json(report).into_response(),
        Err(error) => {
            let status = match &error {
                OpsError::NoTopic(_) | OpsError::NoEvent(_) => StatusCode::NOT_FOUND,
                OpsError::Argument { .. } => StatusCode::BAD_REQUEST,
                OpsError::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            problem(status, &error.to_string())
        }
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail}).to_string();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}
