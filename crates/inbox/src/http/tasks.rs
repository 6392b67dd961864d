//! `/v1/me`, the list of tasks, the changes since a cursor, and one task.

use super::Ready;
use super::problem::Problem;
use super::request::{self, ListQuery, list_query, states};
use crate::answer::{Depth, Item, Reason};
use crate::app::{App, Asked, LockedMs};
use crate::cursor::{self, After, Cursor, Page};
use crate::entitled::Viewer;
use crate::feed;
use crate::time::now;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Clock;
use domain::authorize::{Action, Field};
use events::TaskState;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Grids named in `/v1/me`; who has more knows them by code.
const GRIDS_NAMED_MAX: usize = 500;

pub(super) async fn me(Ready(app): Ready, viewer: Viewer) -> Json<Value> {
    let now = now();
    let scope = viewer.scope();
    let mandates: Vec<Value> = app
        .mandates
        .all()
        .into_iter()
        .filter(|(_, mandate)| mandate.state == events::MandateState::Open)
        .map(|(id, mandate)| {
            json!({
                "id": id, "version": mandate.version, "title": mandate.title, "demonstration": mandate.demonstration,
                "valid_until": events::time::format(mandate.valid_until),
            })
        })
        .collect();
    let demonstration = mandates.iter().any(|mandate| mandate["demonstration"] == true);
    let grids: Vec<Value> = app
        .grids
        .all()
        .into_iter()
        .filter(|(grid, _)| app.has_grid(&viewer, grid, Action::Read))
        .take(GRIDS_NAMED_MAX)
        .map(|(grid, entry)| json!({"grid": grid, "name": entry.name, "community": entry.community_name}))
        .collect();
    Json(json!({
        "name": viewer.name(),
        "role": viewer.role(),
        "grids": if viewer.is_supervisor() { Value::Null } else { json!(scope) },
        "areas": if viewer.is_supervisor() { json!(scope) } else { Value::Null },
        "grid_names": grids,
        "clock": match app.clock { Clock::Wall => "wall", Clock::Events => "events" },
        "now": events::time::format(now),
        "demonstration": demonstration,
        "mandates": mandates,
    }))
}

pub(super) async fn list(
    Ready(app): Ready,
    viewer: Viewer,
    headers: HeaderMap,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| Problem::field("query", "expected name=value, percent-encoded"))?;
    let query = list_query(query)?;
    let after = match &query.after {
        None => None,
        Some(text) => Some(cursor::parse(text).ok_or_else(|| Problem::field("after", "expected a cursor that this inbox gave"))?),
    };
    let (items, next, last) = match after {
        None => page(&app, &viewer, query, None)?,
        Some(After::Page(after)) => page(&app, &viewer, query, Some(after))?,
        Some(After::Position(reached)) => changes(&app, &viewer, &query, reached, None).await?,
        Some(After::Changes { reached, last }) => changes(&app, &viewer, &query, reached, Some(last)).await?,
    };
    let mandates = app.mandates_mark(now());
    let tag = tag(&viewer, &items, next.as_deref(), &mandates);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag) {
        // Nothing was opened, so nothing was read.
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let tasks = app.answer(&viewer, "list", Depth::Address, &items).await?;
    let body = json!({"tasks": tasks, "next": next, "last": last.text(), "mandates": mandates, "forget": app.to_forget(now())});
    Ok(([(header::ETAG, tag)], Json(body)).into_response())
}

type Answered = (Vec<Item>, Option<String>, Cursor);

/// A page of the list. What a later page asks for stands in its cursor.
fn page(app: &App, viewer: &Viewer, query: ListQuery, after: Option<Page>) -> Result<Answered, Problem> {
    let (state, grid, list, limit) = match &after {
        Some(page) => (page.state.clone(), page.grid.clone(), page.list.clone(), page.limit.clamp(1, 500)),
        None => (query.state, query.grid, query.list, query.limit),
    };
    let states = states(state.as_deref())?;
    let asked = Asked { states: &states, grid: grid.as_deref(), list: request::list(list.as_deref())? };
    let listed = app.list(viewer, now(), &asked, limit, after.as_ref());
    let next = listed.next.map(|page| Page { state, grid, list, ..page }.text());
    Ok((listed.items, next, listed.last))
}

/// The changes since a cursor, whatever state or grid the query names.
async fn changes(app: &App, viewer: &Viewer, query: &ListQuery, mut reached: Cursor, last: Option<Cursor>) -> Result<Answered, Problem> {
    known(app, &reached).await?;
    let since = app.changes_since(&reached).await?;
    let last = last.unwrap_or(since.position);
    let changes: Vec<_> = since.changes.into_iter().filter(|change| change.offset < last.at(change.partition)).collect();
    let (updates, whole) = feed::updates(app, viewer, now(), &changes, query.limit, &mut reached);
    let next = (!whole).then(|| reached.changes_text(&last));
    Ok((updates.into_iter().map(|update| update.item).collect(), next, last))
}

/// A cursor of another log, or of a log that was begun anew, would wait for ever.
pub(super) async fn known(app: &App, cursor: &Cursor) -> Result<(), Problem> {
    let unknown = || Problem::field("after", "this cursor is of another log: ask for the list again");
    if cursor.0.len() != app.view.read().position().0.len() {
        return Err(unknown());
    }
    let position = app.view.read().position().clone();
    for partition in 0..app.partitions {
        // Another inbox may be ahead of this one.
        if cursor.at(partition) > position.at(partition)
            && cursor.at(partition) > app.log.offsets(events::topics::TASKS, partition).await?.1
        {
            return Err(unknown());
        }
    }
    Ok(())
}

/// Changes when what the answer says changes; not when only the position has moved.
fn tag(viewer: &Viewer, items: &[Item], next: Option<&str>, mandates: &[String]) -> HeaderValue {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    add(viewer.name());
    add(next.map_or("", |_| "more"));
    mandates.iter().for_each(|mandate| add(mandate));
    for item in items {
        match item {
            Item::Whole { task, entry } => {
                add(&task.task_id);
                add(&format!("{} {} {}", task.version, task.state, entry.as_ref().map_or(0, |entry| entry.version)));
            }
            Item::Ended(task) => add(&format!("ended {} {}", task.task_id, task.version)),
            Item::Bare { task_id, state, version } => add(&format!("bare {task_id} {state} {version}")),
        }
    }
    HeaderValue::from_str(&format!("W/\"{}\"", hex::encode(&digest.finalize()[..12]))).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// One task with its contact: a read with a reason, and one of so many an hour.
pub(super) async fn detail(
    Ready(app): Ready,
    viewer: Viewer,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|_| Problem::field("query", "expected name=value, percent-encoded"))?;
    let reason = request::reason(query)?;
    let Path(task_id) = path.map_err(|_| Problem::no_task())?;
    let task = app.view.read().of_task(&task_id).map(|(_, task)| Arc::clone(task));
    let item = task.and_then(|task| own(&app, &viewer, &task, &task_id, Field::Contact)).ok_or_else(Problem::no_task)?;
    let mut reason = reason.as_deref().map_or(Reason::Known("none given"), Reason::Own);
    if let Item::Whole { task, .. } = &item {
        let visits = !viewer.is_supervisor() && matches!(task.state, TaskState::Open | TaskState::Claimed);
        if visits && matches!(reason, Reason::Known(_)) {
            reason = Reason::Known("visit");
        }
        let locked = "more contacts were opened within an hour than a visit needs: your supervisor sees this and can let you go on";
        app.spend(&viewer, task, now()).await?.map_err(|LockedMs(ms)| Problem::later(locked, ms))?;
    }
    let mut answer = app.answer(&viewer, "detail", Depth::Everything { reason }, &[item]).await?;
    answer.pop().map(Json).ok_or_else(Problem::no_task)
}

/// The task as it now is, so much of it: if it is the viewer's.
pub(super) fn own(app: &App, viewer: &Viewer, task: &Arc<events::Task>, task_id: &str, field: Field<'_>) -> Option<Item> {
    if *task.task_id == *task_id {
        let seen = crate::view::is_shown(task) && app.may_read(viewer, task, now(), field).is_ok();
        return seen.then(|| app.whole(task));
    }
    let before = task.before.as_ref().filter(|before| *before.task_id == *task_id)?;
    app.may_read_before(viewer, task, before, now()).then(|| Item::Ended(Arc::clone(task)))
}
