//! `/v1/notices`: who opened more contacts within an hour than is usual, for the supervisors of the place; and the end of the lock.

use super::Ready;
use super::problem::Problem;
use crate::entitled::Viewer;
use crate::time::now;
use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use domain::authorize::Action;
use serde_json::{Value, json};

/// `GET /v1/notices`.
pub(super) async fn list(Ready(app): Ready, viewer: Viewer) -> Result<Json<Value>, Problem> {
    for_supervisors(&viewer, Action::Read)?;
    let shown = app.budgets.notices();
    let shown = shown.iter().filter(|notice| app.may_notice(&viewer, notice, Action::Read));
    Ok(Json(json!({ "notices": shown.map(|notice| notice.json(now())).collect::<Vec<_>>() })))
}

/// `POST /v1/notices/{id}/unlock`: by somebody else than the one it is about.
pub(super) async fn unlock(Ready(app): Ready, viewer: Viewer, path: Result<Path<String>, PathRejection>) -> Result<Json<Value>, Problem> {
    let unlock = Action::Act { screening: false };
    for_supervisors(&viewer, unlock)?;
    let id = path.map(|Path(id)| id).unwrap_or_default();
    let notice = app.budgets.notices().into_iter().find(|notice| notice.id == id && app.may_notice(&viewer, notice, unlock));
    let notice = notice.ok_or_else(Problem::no_notice)?;
    app.unlocking(&viewer, &notice, now()).await?;
    let notice = app.budgets.unlock(&id, viewer.name()).ok_or_else(Problem::no_notice)?;
    Ok(Json(notice.json(now())))
}

fn for_supervisors(viewer: &Viewer, action: Action) -> Result<(), Problem> {
    if viewer.may_ask_for_notices(action) { Ok(()) } else { Err(Problem::forbidden("notices are for supervisors")) }
}
