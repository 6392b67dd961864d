//! The side that has the log.

use super::Right;
use super::wire::{FRAME_BYTES_MAX, Failure, Frame, Join, Noted, Outcome, Place, Topic, take_appends};
use crate::{Log, LogError, Member, NewTopic, Reader};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt, future, stream};
use std::sync::Arc;
use std::time::Duration;

/// So often a stream without news says that it is still there; that also tells the server of a client that has gone.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(2);

type Check = dyn Fn(&str, Right) -> bool + Send + Sync;

/// The log under `/log/…`. `check` says whether a bearer token is good for something.
pub fn router(log: Arc<dyn Log>, check: impl Fn(&str, Right) -> bool + Send + Sync + 'static) -> Router {
    let check: Arc<Check> = Arc::new(check);
    let asks = |right: Right| {
        let check = check.clone();
        middleware::from_fn(move |request: Request, next: Next| {
            let refusal = refusal(&*check, request.headers(), right);
            async move {
                match refusal {
                    Some((status, failure)) => (status, Json(failure)).into_response(),
                    None => next.run(request).await,
                }
            }
        })
    };
    let reading = Router::new()
        .route("/log/topics", get(topics))
        .route("/log/offsets", post(offsets))
        .route("/log/read", post(read))
        .route("/log/join", post(join))
        .route("/log/positions", post(noted))
        .route_layer(asks(Right::Read));
    let appending = Router::new()
        .route("/log/topics", post(create_topics))
        .route("/log/append", post(append))
        .route("/log/noted", post(note))
        .route_layer(asks(Right::Append));
    reading.merge(appending).layer(DefaultBodyLimit::max(FRAME_BYTES_MAX)).with_state(log)
}

/// 401 where the token is good for nothing, 403 where it is good for something else.
fn refusal(check: &Check, headers: &HeaderMap, right: Right) -> Option<(StatusCode, Failure)> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let refused = |status, message: &str| Some((status, Failure::Refused { message: message.to_owned() }));
    match token {
        Some(token) if check(token, right) => None,
        Some(token) if check(token, Right::Read) || check(token, Right::Append) => {
            refused(StatusCode::FORBIDDEN, "the token is not good for this")
        }
        _ => refused(StatusCode::UNAUTHORIZED, "no valid token"),
    }
}

struct Refusal(LogError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            LogError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            LogError::Refused(_) => StatusCode::BAD_REQUEST,
            LogError::Held { .. } => StatusCode::CONFLICT,
            LogError::NoTopic(_) => StatusCode::NOT_FOUND,
        };
        (status, Json(Failure::from(self.0))).into_response()
    }
}

impl std::convert::From<LogError> for Refusal {
    fn from(error: LogError) -> Refusal {
        Refusal(error)
    }
}

type Served = State<Arc<dyn Log>>;

async fn topics(State(log): Served) -> Result<Json<Vec<Topic>>, Refusal> {
    Ok(Json(log.topics().await?.into_iter().map(Topic::from).collect()))
}

async fn create_topics(State(log): Served, Json(topics): Json<Vec<Topic>>) -> Result<Json<()>, Refusal> {
    let topics: Vec<NewTopic> = topics.into_iter().map(NewTopic::from).collect();
    log.create_topics(&topics).await?;
    Ok(Json(()))
}

async fn offsets(State(log): Served, Json(place): Json<Place>) -> Result<Json<(i64, i64)>, Refusal> {
    let place = crate::From::from(place);
    Ok(Json(log.offsets(&place.topic, place.partition).await?))
}

async fn append(State(log): Served, body: Bytes) -> Result<Json<Vec<Outcome>>, Refusal> {
    let appends = take_appends(body).map_err(|error| LogError::Refused(error.to_string()))?;
    // Their order is fixed here, before any is awaited.
    let acknowledgements: Vec<_> = appends.into_iter().map(|records| log.append(records)).collect();
    let outcomes = future::join_all(acknowledgements).await.into_iter().map(|outcome| match outcome {
        Ok(appended) => Ok(appended.into_iter().map(|appended| appended.offset).collect()),
        Err(error) => Err(Failure::from(error)),
    });
    Ok(Json(outcomes.collect()))
}

async fn note(State(log): Served, Json(noted): Json<Noted>) -> Result<Json<()>, Refusal> {
    let positions: Vec<crate::From> = noted.positions.into_iter().map(crate::From::from).collect();
    log.note_position(&noted.group, &positions).await?;
    Ok(Json(()))
}

async fn noted(State(log): Served, Json(group): Json<String>) -> Result<Json<Noted>, Refusal> {
    let positions = log.noted_positions(&group).await?.iter().map(Place::from).collect();
    Ok(Json(Noted { group, positions }))
}

async fn read(State(log): Served, Json(from): Json<Vec<Place>>) -> Result<Body, Refusal> {
    let reader = log.read(from.into_iter().map(crate::From::from).collect()).await?;
    Ok(streamed(reader))
}

async fn join(State(log): Served, Json(join): Json<Join>) -> Result<Body, Refusal> {
    let topics: Vec<&str> = join.topics.iter().map(String::as_str).collect();
    Ok(streamed(log.join(&join.group, &join.member, &topics).await?))
}

/// What a stream is made of.
trait Source: Send + 'static {
    fn next_frame(&mut self) -> impl Future<Output = Result<Frame, LogError>> + Send;
}

impl Source for Box<dyn Reader> {
    async fn next_frame(&mut self) -> Result<Frame, LogError> {
        self.next().await.map(Frame::Batch)
    }
}

impl Source for Box<dyn Member> {
    async fn next_frame(&mut self) -> Result<Frame, LogError> {
        self.next().await.map(Frame::Assignment)
    }
}

/// Frames as fast as the client takes them; ends behind an error, or when the client goes.
fn streamed(source: impl Source) -> Body {
    let frames = stream::unfold(Some(source), |source| async {
        let mut source = source?;
        // Cancel-safe on both sides: nothing is lost by the pause.
        match tokio::time::timeout(ALIVE_EVERY, source.next_frame()).await {
            Err(_) => Some((Frame::Alive, Some(source))),
            Ok(Ok(frame)) => Some((frame, Some(source))),
            Ok(Err(error)) => Some((Frame::Failed(error.into()), None)),
        }
    });
    Body::from_stream(frames.map(|frame| Ok::<Bytes, std::convert::Infallible>(frame.to_bytes())))
}
