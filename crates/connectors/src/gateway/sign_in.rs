//! Which source calls: the bearer token of a request.

use super::problem::Problem;
use axum::http::{HeaderMap, StatusCode, header};
use events::SourceKind;
use keys::{Role, SignIn};
use std::collections::BTreeSet;

/// A source that has signed in.
pub struct Source {
    /// Its name in tokens.json.
    pub name: String,
    /// The kinds of events that it may send.
    pub kinds: BTreeSet<SourceKind>,
}

/// 401 without a known token, 403 to a known one of another role.
pub fn source(sign_in: &SignIn, headers: &HeaderMap) -> Result<Source, Problem> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or_else(Problem::unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthorized());
    }
    let actor = sign_in.actor(token.trim()).ok_or_else(Problem::unauthorized)?;
    match &actor.role {
        Role::Source { kinds } => Ok(Source { name: actor.name.clone(), kinds: kinds.clone() }),
        _ => Err(Problem::new(StatusCode::FORBIDDEN, "this is for sources alone")),
    }
}
