//! Who calls, by the bearer token of a request; and whether they may, which `domain::authorize` says.

use super::problem::Problem;
use axum::http::{HeaderMap, StatusCode, header};
use domain::authorize::{Action, Field, Object, Under, authorize};
use events::{Actor, Role};
use keys::{Denied, SignIn, bearer};
use std::sync::Arc;

/// Whoever calls, if they may do this with the object: 401 without a known token, 403 to a known one that may not.
pub async fn caller(sign_in: &SignIn, headers: &HeaderMap, object: &Object<'_>, action: Action) -> Result<Arc<Actor>, Problem> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(bearer).ok_or_else(Problem::unauthorized)?;
    let actor = sign_in.actor(token).await.map_err(|denied| match denied {
        Denied::Unknown => Problem::unauthorized(),
        Denied::Away => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the sign-in provider cannot be asked: send again").retry_after(10),
    })?;
    authorize(&actor, Under::Site, object, Field::State, action).map_err(|_| refused(&actor))?;
    Ok(actor)
}

fn refused(actor: &Actor) -> Problem {
    let detail = match actor.role {
        Role::Source { .. } => "this source may not send this kind of event",
        _ => "this is for sources alone",
    };
    Problem::new(StatusCode::FORBIDDEN, detail)
}
