//! `GET /v1/tasks/stream`: changes as they happen, resumable by the id of the last event.
//!
//! Each batch of changes is written to the log of reads before it goes out. A stream that cannot be answered ends: the phone comes back with its
//! last id, to this inbox or another.

use super::problem::Problem;
use super::tasks::known;
use super::{Inbox, Ready};
use crate::answer::Depth;
use crate::app::App;
use crate::cursor::{self, Cursor};
use crate::entitled::Viewer;
use crate::feed;
use crate::time::now;
use crate::view::Change;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// Something is sent at least so often.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a phone comes back when the stream ended.
const COME_BACK: Duration = Duration::from_secs(2);
/// Changes looked at in one go, and updates sent in one.
const BATCH_MAX: usize = 256;

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

pub(super) async fn stream(
    Ready(app): Ready,
    viewer: Viewer,
    State(inbox): State<Inbox>,
    headers: HeaderMap,
    query: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = || Problem::field("after", "expected `last` of a list or the id of an event");
    let Query(query) = query.map_err(|_| wrong())?;
    let last_id = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?").to_owned());
    let from = match last_id.or(query.after).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(cursor::parse_position(&text).ok_or_else(wrong)?),
    };
    if let Some(cursor) = &from {
        known(&app, cursor).await?;
    }
    let (sender, events) = mpsc::channel(16);
    // Subscribed before the position is read: no change falls in between.
    let changed = app.changed.subscribe();
    let start = Start {
        next_sequence: app.view.read().next_sequence(),
        resumed: from.is_some(),
        cursor: from.unwrap_or_else(|| app.view.read().position().clone()),
    };
    tokio::spawn(send(app, viewer, start, changed, sender, inbox.shutdown));
    let stream = Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, stream).into_response())
}

struct Start {
    next_sequence: u64,
    resumed: bool,
    cursor: Cursor,
}

type Sender = mpsc::Sender<Result<Event, Infallible>>;

async fn send(
    app: Arc<App>,
    viewer: Viewer,
    start: Start,
    mut changed: tokio::sync::watch::Receiver<u64>,
    sender: Sender,
    shutdown: CancellationToken,
) {
    metrics::gauge!("oneknock_inbox_streams").increment(1.0);
    let mut mandates = app.mandates_mark(now());
    // Whoever was away may hold what is over by now; whoever begins holds nothing.
    let mut forgotten = if start.resumed { vec![] } else { app.to_forget(now()) };
    let ended = async {
        let hello = Event::default().retry(COME_BACK).comment("from here on");
        sender.send(Ok(hello)).await.map_err(|_| ())?;
        let Start { mut next_sequence, resumed, mut cursor } = start;
        if resumed {
            let since = app.changes_since(&cursor).await.map_err(|_| ())?;
            next_sequence = since.next_sequence;
            for part in since.changes.chunks(BATCH_MAX) {
                tell(&app, &viewer, part, &mut cursor, &sender).await?;
            }
        }
        loop {
            changed.borrow_and_update();
            loop {
                let changes = app.view.read().since_sequence(next_sequence, BATCH_MAX);
                // Slower than memory is long: the phone comes back with its id.
                let changes = changes.ok_or(())?;
                if changes.is_empty() {
                    break;
                }
                next_sequence += changes.len() as u64;
                tell(&app, &viewer, &changes, &mut cursor, &sender).await?;
            }
            let forget = app.to_forget(now());
            for one in forget.iter().filter(|one| !forgotten.contains(*one)) {
                let event = Event::default().event("forget").data(serde_json::json!(one).to_string());
                sender.send(Ok(event)).await.map_err(|_| ())?;
            }
            forgotten = forget;
            let mark = app.mandates_mark(now());
            if mark != mandates {
                let event = Event::default().event("mandates").data(serde_json::json!(mark).to_string());
                mandates = mark;
                sender.send(Ok(event)).await.map_err(|_| ())?;
            }
            tokio::select! {
                () = sender.closed() => return Err(()),
                () = shutdown.cancelled() => return Err(()),
                // A mandate's dates pass without a record.
                () = tokio::time::sleep(HEARTBEAT) => {}
                changed = changed.changed() => changed.map_err(|_| ())?,
            }
        }
    };
    let _: Result<(), ()> = ended.await;
    metrics::gauge!("oneknock_inbox_streams").decrement(1.0);
}

async fn tell(app: &App, viewer: &Viewer, changes: &[Change], cursor: &mut Cursor, sender: &Sender) -> Result<(), ()> {
    let (updates, _) = feed::updates(app, viewer, now(), changes, usize::MAX, cursor);
    if updates.is_empty() {
        return Ok(());
    }
    let (items, cursors): (Vec<_>, Vec<_>) = updates.into_iter().map(|update| (update.item, update.cursor)).unzip();
    let answers = app.answer(viewer, "stream", Depth::Address, &items).await.map_err(|_| ())?;
    for (answer, cursor) in answers.into_iter().zip(cursors) {
        let mut event = Event::default().event("task").data(answer.to_string());
        if let Some(cursor) = cursor {
            event = event.id(cursor.text());
        }
        sender.send(Ok(event)).await.map_err(|_| ())?;
    }
    Ok(())
}
