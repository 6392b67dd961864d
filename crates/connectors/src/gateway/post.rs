//! `POST /v1/events/{kind}`: records in, one result for each out, durable before the answer.

use super::body::{Item, Media, records};
use super::budget::Share;
use super::memory::{Flight, Judged, Memory, SourceRef, Verdict};
use super::problem::Problem;
use super::sign_in;
use super::{BODY_BYTES_MAX, Gateway, Shared};
use crate::appender::Appender;
use crate::intake::{self, Context, NotTaken, Prepared, Refusal, RefusalCode};
use crate::now::now_ms;
use axum::Json;
use axum::body::BodyDataStream;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::authorize::{Action, Object};
use eventlog::Append;
use events::{Actor, EventId, SourceKind};
use futures::StreamExt;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A body that takes longer is given up.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// So much of a body that is not taken is read all the same, of a source and of anybody else, and for so long.
const PASSED_OVER_BYTES_MAX: usize = 64 << 20;
const REFUSED_BYTES_MAX: usize = 1 << 20;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(10);
/// The log has so long to make a request's records durable: longer than a handle waits before it gives up by itself.
const DURABLE_WITHIN: Duration = Duration::from_secs(35);
/// Larger bodies are worked on beside the threads that serve others.
const BESIDE_BYTES: usize = 32 << 10;

#[derive(Serialize, Default)]
struct Answer {
    accepted: usize,
    duplicate: usize,
    rejected: usize,
    results: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    index: usize,
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'static, str>>,
}

/// One record after it was judged by itself.
struct Outcome {
    id: Option<String>,
    prepared: Result<Prepared, Refusal>,
}

pub async fn events(State(gateway): Shared, path: Result<Path<String>, PathRejection>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let kind = path.ok().and_then(|Path(name)| kind_of(&name));
    let source = sign_in::caller(&gateway.sign_in, &head.headers, &Object::Arrival(kind), Action::Append).await;
    let is_known = source.is_ok();
    let taken = match source {
        Ok(source) => take(&gateway, source, kind, &head.headers, &mut body).await,
        Err(problem) => Err(problem),
    };
    if taken.is_err() {
        pass_over(&mut body, if is_known { PASSED_OVER_BYTES_MAX } else { REFUSED_BYTES_MAX }).await;
    }
    taken
}

async fn take(
    gateway: &Arc<Gateway>,
    source: Arc<Actor>,
    kind: Option<SourceKind>,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    let kind = kind.ok_or_else(|| Problem::not_found("there are checkpoint, highway and telecom"))?;
    let media = media_of(headers)?;
    let length = content_length(headers)?;
    let Some(share) = gateway.budget.take(&source.name, length.unwrap_or(BODY_BYTES_MAX)) else {
        metrics::counter!("oneknock_gateway_turned_away_total").increment(1);
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too much under way at once").retry_after(1));
    };
    let body = read_body(body).await?;
    let trace = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(intake::traceparent).map(str::to_owned);
    let beside = body.len() > BESIDE_BYTES;
    let work = {
        let gateway = Arc::clone(gateway);
        move || judge_alone(&gateway, &source, kind, media, &body, trace.as_deref())
    };
    let outcomes = match beside {
        true => tokio::task::spawn_blocking(work).await.map_err(|_| internal())??,
        false => work()?,
    };
    let answer = append(gateway, share, outcomes).await?;
    count(kind, &answer);
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Reads what is left of a body that is not taken, and forgets it: many a client reads no answer before it has sent everything.
async fn pass_over(body: &mut BodyDataStream, most: usize) {
    let rest = async {
        let mut passed = 0;
        while let Some(Ok(chunk)) = body.next().await {
            passed += chunk.len();
            if passed > most {
                return;
            }
        }
    };
    // Whoever is slower than this gets the answer, and the connection is closed.
    let _in_time_or_not = tokio::time::timeout(PASSED_OVER_WITHIN, rest).await;
}

fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong here: take nothing as taken")
}

fn kind_of(name: &str) -> Option<SourceKind> {
    SourceKind::ALL.iter().copied().find(|kind| kind.as_str().to_ascii_lowercase() == name)
}

fn media_of(headers: &HeaderMap) -> Result<Media, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(Media::parse);
    media.filter(|_| encoding).ok_or_else(|| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json, not compressed",
        )
    })
}

/// The announced length; `None` where it is not announced.
fn content_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = length.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    let length = length.ok_or_else(|| Problem::unreadable("content-length is no number"))?;
    if length > BODY_BYTES_MAX { Err(Problem::too_large()) } else { Ok(Some(length)) }
}

async fn read_body(body: &mut BodyDataStream) -> Result<Vec<u8>, Problem> {
    let whole = async {
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::unreadable("the body broke off"))?;
            if whole.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Problem::too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    };
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
    tokio::time::timeout(BODY_WITHIN, whole).await.map_err(|_| late())?
}

/// Judges every record by itself: no other record, no log. Where the keys of one are away, nothing of the request is taken.
fn judge_alone(
    gateway: &Gateway,
    source: &Actor,
    kind: SourceKind,
    media: Media,
    body: &[u8],
    trace: Option<&str>,
) -> Result<Vec<Outcome>, Problem> {
    let site = &gateway.site;
    let (mandates, codec) = (site.mandates(), site.schemas.codec());
    let judge = |item: Item| {
        let received_at = now_ms();
        let context = Context {
            mandates: &mandates,
            keyring: &site.keyring,
            codec: &codec,
            rules: site.rules,
            partitions: site.partitions,
            source: &source.name,
            kind,
            received_at,
            judged_at: site.latest.at(received_at),
            traceparent: item.traceparent.as_deref().or(trace),
            default_mandate: None,
        };
        let fields = match item.fields {
            Ok(fields) => fields,
            Err(refusal) => return Ok(Outcome { id: None, prepared: Err(refusal) }),
        };
        let id = intake::text(fields.get("id"), "id", intake::ID_CHARS_MAX).ok().flatten();
        match intake::prepare(&context, &fields) {
            Ok(prepared) => Ok(Outcome { id, prepared: Ok(prepared) }),
            Err(NotTaken::Refused(refusal)) => Ok(Outcome { id, prepared: Err(refusal) }),
            Err(NotTaken::KeysAway) => Err(Problem::keys_away()),
        }
    };
    records(media, body)?.into_iter().map(judge).collect()
}

/// Compares with what is known, appends what is new and waits until all that the answer speaks of is durable.
async fn append(gateway: &Gateway, share: Share, outcomes: Vec<Outcome>) -> Result<Answer, Problem> {
    let ids = outcomes.iter().filter_map(|outcome| outcome.prepared.as_ref().ok()).map(|prepared| (prepared.source_ref, prepared.event_id));
    let ids: Vec<(SourceRef, EventId)> = ids.collect();
    let Judged { verdicts, flight, rests_on } = gateway.followed.memory.judge(&ids);
    let mut verdicts = verdicts.into_iter();
    let (mut appends, mut flying) = (Vec::new(), Vec::new());
    let mut answer = Answer::default();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let refused = |refusal: Refusal| Row {
            index,
            id: outcome.id.clone(),
            event_id: None,
            status: "rejected",
            code: Some(refusal.code.as_str()),
            field: refusal.field,
            message: Some(refusal.message),
        };
        let row = match outcome.prepared {
            Err(refusal) => refused(refusal),
            Ok(prepared) => {
                let known = |status| Row {
                    index,
                    id: Some(prepared.id.clone()),
                    event_id: Some(prepared.event_id),
                    status,
                    code: None,
                    field: None,
                    message: None,
                };
                match verdicts.next() {
                    Some(Verdict::Duplicate) => known("duplicate"),
                    Some(Verdict::IdReused) => refused(Refusal::at(RefusalCode::IdReused, "id", "this id came before with other content")),
                    Some(Verdict::New) | None => {
                        let row = known("accepted");
                        flying.push((prepared.source_ref, prepared.event_id));
                        appends.push(prepared.append);
                        row
                    }
                }
            }
        };
        match row.status {
            "accepted" => answer.accepted += 1,
            "duplicate" => answer.duplicate += 1,
            _ => answer.rejected += 1,
        }
        answer.results.push(row);
    }
    // On a task of its own: a caller who hangs up must not leave records under way for ever.
    let landing = Landing { memory: Arc::clone(&gateway.followed.memory), flight, records: flying, at: None };
    let appender = Arc::clone(&gateway.appender);
    let own = tokio::spawn(make_durable(appender, appends, landing, share));
    let mut durable = own.await.unwrap_or(false);
    for other in rests_on {
        durable &= tokio::time::timeout(DURABLE_WITHIN, other.is_durable()).await.unwrap_or(false);
    }
    if durable { Ok(answer) } else { Err(Problem::log_away()) }
}

async fn make_durable(appender: Arc<Appender>, appends: Vec<Append>, mut landing: Landing, _share: Share) -> bool {
    if !appends.is_empty() {
        match tokio::time::timeout(DURABLE_WITHIN, appender.append(appends)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, records = landing.records.len(), "records could not be made durable");
                return false;
            }
            Err(_) => {
                tracing::error!(records = landing.records.len(), "records were not durable in time");
                return false;
            }
        }
    }
    landing.at = Some(now_ms().0);
    true
}

/// Ends a flight however its task ends.
struct Landing {
    memory: Arc<Memory>,
    flight: Arc<Flight>,
    records: Vec<(SourceRef, EventId)>,
    at: Option<i64>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.memory.land(&self.flight, &self.records, self.at);
    }
}

fn count(kind: SourceKind, answer: &Answer) {
    for row in &answer.results {
        let code = row.code.unwrap_or(row.status);
        metrics::counter!("oneknock_gateway_records_total", "kind" => kind.as_str(), "code" => code).increment(1);
    }
}
