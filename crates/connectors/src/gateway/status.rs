//! `GET /v1/events/{id}`: what became of an event, for its own source, without personal data.

use super::problem::Problem;
use super::{Shared, sign_in};
use crate::intake;
use crate::now::now_ms;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use domain::authorize::{Action, Object};
use events::{Millis, time};
use serde_json::{Value, json};

/// The newest event of the source's id, under whichever mandate.
pub async fn event(State(gateway): Shared, headers: HeaderMap, path: Result<Path<String>, PathRejection>) -> Result<Json<Value>, Problem> {
    let source = sign_in::caller(&gateway.sign_in, &headers, &Object::ArrivalStatus, Action::Read).await?;
    let unknown = || Problem::not_found("no event of this id in the last 28 days");
    let Path(id) = path.map_err(|_| unknown())?;
    let id = intake::bounded_text(&id, "id", intake::ID_CHARS_MAX).ok().flatten().ok_or_else(unknown)?;
    let keyring = &gateway.site.keyring;
    let mandates = keyring.ids().into_iter().filter_map(|mandate| keyring.mandate(&mandate));
    let references: Vec<_> = mandates.filter_map(|keys| keys.source_ref(&source.name, &id).ok()).collect();
    let (event_id, fate) = gateway.followed.memory.newest(&references, now_ms()).ok_or_else(unknown)?;
    Ok(Json(match fate.decided {
        Some(decided) => {
            json!({"id": id, "event_id": event_id, "status": "decided", "code": decided.code, "at": time::format(decided.at)})
        }
        None => {
            let at = time::format(Millis(fate.appended_at.unwrap_or_default()));
            json!({"id": id, "event_id": event_id, "status": "queued", "code": null, "at": at})
        }
    }))
}
