//! The inbox over HTTP: routes, and what every answer has in common.
//!
//! It must not know Avro or Kafka. What a request means stands in one file per kind; who may do it in `entitled.rs`.

mod actions;
mod notices;
mod page;
mod problem;
mod request;
mod sign_in;
mod stream;
mod tasks;

pub use actions::InFlight;
pub use sign_in::Sessions;

use crate::app::App;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use problem::Problem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// No request of the inbox is longer, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the routes share: the app, once it is there.
#[derive(Clone)]
pub struct Inbox {
    /// Empty while the tables are read.
    pub app: Arc<OnceLock<Arc<App>>>,
    /// Ends the streams.
    pub shutdown: CancellationToken,
}

/// The app, where the view has been read to its end.
pub struct Ready(pub Arc<App>);

impl FromRequestParts<Inbox> for Ready {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, inbox: &Inbox) -> Result<Ready, Problem> {
        let app = inbox.app.get().filter(|app| app.caught_up.load(Ordering::Acquire));
        app.map(|app| Ready(Arc::clone(app))).ok_or_else(|| Problem::again("the inbox is still reading the log", 2))
    }
}

/// All routes.
pub fn routes(inbox: Inbox) -> Router {
    let api = Router::new()
        .route("/v1/me", get(tasks::me))
        .route("/v1/tasks", get(tasks::list))
        .route("/v1/tasks/stream", get(stream::stream))
        .route("/v1/tasks/{id}", get(tasks::detail))
        .route("/v1/tasks/{id}/actions", post(actions::act))
        .route("/v1/notices", get(notices::list))
        .route("/v1/notices/{id}/unlock", post(notices::unlock))
        .route("/sign-in", get(sign_in::by_link).post(sign_in::by_form))
        .route("/sign-out", post(sign_in::out))
        .layer(middleware::from_fn(never_stored));
    Router::new()
        .merge(api)
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/words.js", get(page::words))
        .route("/style.css", get(page::style))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this address") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(tower_http::compression::CompressionLayer::new())
        .layer(middleware::from_fn(guarded))
        .with_state(inbox)
}

async fn ready(ready: Result<Ready, Problem>) -> Response {
    match ready {
        Ok(Ready(app)) if app.follows.load(Ordering::Acquire) => "ready".into_response(),
        Ok(_) => Problem::again("the inbox does not follow the log", 2).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Personal data stays in no cache; a stream has its own word for it.
async fn never_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What a browser must be told of every answer: run nothing but our own files, show us in no frame, tell nobody where one came from.
async fn guarded(request: Request, next: Next) -> Response {
    const HEADERS: &[(HeaderName, &str)] = &[
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
