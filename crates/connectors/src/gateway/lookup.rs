//! `POST /v1/screenings/lookup`: has this household been screened already? Nothing else is said.

use super::problem::Problem;
use super::{Gateway, Shared, sign_in};
use crate::intake::{self, Fields, NotTaken, Refusal, RefusalCode};
use crate::now::now_ms;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use domain::authorize::{Action, Field, Object, Under, authorize};
use domain::{Clock, resolve};
use eventlog::table::each_member;
use events::topics::household_key;
use events::{Actor, CodecError, Identifier, IdentifierKind, IdentifierLink, time};
use serde_json::{Value, json};
use std::borrow::Cow;

const BODY_BYTES_MAX: usize = 16 << 10;
const KINDS: [IdentifierKind; 5] =
    [IdentifierKind::ResidentId, IdentifierKind::Passport, IdentifierKind::Permit, IdentifierKind::Phone, IdentifierKind::Plate];

/// Resolves one identifier alone and asks for a cover of its household, or of the traveller that it is.
pub async fn screening(State(gateway): Shared, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Json<Value>, Problem> {
    let source = sign_in::caller(&gateway.sign_in, &headers, &Object::Screening, Action::Read).await?;
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(super::body::Media::parse);
    if media != Some(super::body::Media::Json) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json"));
    }
    let body = body.ok().filter(|body| body.len() <= BODY_BYTES_MAX).ok_or_else(Problem::too_large)?;
    let fields = intake::parse_object(&body).map_err(|_| Problem::unreadable("the body is not one JSON object"))?;
    let (mandate, identifier) = identify(&gateway, &source, &fields).map_err(|not_taken| match not_taken {
        NotTaken::Refused(refusal) => refused(refusal),
        NotTaken::KeysAway => Problem::keys_away(),
    })?;
    gateway.lookups.record(&source, &mandate, &identifier).await?;
    let link = link(&gateway, &identifier).await;
    let place = resolve::resolve(&[identifier], None, |_| link.as_ref().map(Cow::Borrowed));
    let until = gateway.followed.covers.until(&household_key(&mandate, &place), identifier.token);
    let stands = until.filter(|until| gateway.site.rules.clock == Clock::Events || now_ms() < *until);
    Ok(Json(match stands {
        Some(until) => json!({"covered": true, "covered_until": time::format(until)}),
        None => json!({"covered": false}),
    }))
}

fn identify(gateway: &Gateway, source: &Actor, fields: &Fields) -> Result<(String, Identifier), NotTaken> {
    let site = &gateway.site;
    let named = intake::text(fields.get("mandate"), "mandate", intake::CODE_CHARS_MAX)?;
    let mandates = site.mandates();
    let now = site.latest.at(now_ms());
    let chosen = intake::choose(&mandates, &source.name, named.as_deref(), |one| intake::in_force(one, site.rules.clock, now, None))?;
    let keys = site.keyring.mandate(&chosen.id).ok_or(NotTaken::KeysAway)?;
    let mut given = KINDS.into_iter().filter(|kind| fields.get(intake::field_of(*kind)).is_some());
    let (Some(kind), None) = (given.next(), given.next()) else {
        let message = "exactly one of resident_id, passport, permit, phone, plate must be there";
        return Err(Refusal::whole(RefusalCode::MissingField, message).into());
    };
    let label = intake::field_of(kind);
    let under = Under::Mandate { mandate: Some(chosen.as_ref()), at: (site.rules.clock == Clock::Wall).then_some(now) };
    if authorize(source, under, &Object::Screening, Field::Identifier(label), Action::Read).is_err() {
        return Err(Refusal::at(RefusalCode::OutOfMandate, label, "the mandate does not allow this identifier").into());
    }
    let identifier = intake::identifier(fields, kind, &keys)?.ok_or_else(|| Refusal::missing(label))?;
    Ok((chosen.id.clone(), identifier))
}

fn refused(refusal: Refusal) -> Problem {
    let denied = matches!(refusal.code, RefusalCode::NoMandate | RefusalCode::OutOfMandate) && refusal.field != Some("mandate");
    let status = if denied { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    let problem = Problem::new(status, "this question cannot be answered").with("code", refusal.code.as_str());
    let problem = problem.with("message", refusal.message.into_owned());
    match refusal.field {
        Some(field) => problem.with("field", field),
        None => problem,
    }
}

/// What the registry and the doors say of an identifier; what cannot be read is as if unknown.
async fn link(gateway: &Gateway, identifier: &Identifier) -> Option<IdentifierLink> {
    let token = identifier.token.to_string();
    let imported = match gateway.identifiers.get(&token) {
        Some(value) => read(gateway, &value).await,
        None => None,
    };
    let members = gateway.identifiers.get(&format!("{token}/")).unwrap_or_default();
    let mut at_the_door = Vec::new();
    for (_, value) in each_member(&members) {
        at_the_door.extend(read(gateway, value).await);
    }
    resolve::merge_links(imported, at_the_door)
}

async fn read(gateway: &Gateway, value: &[u8]) -> Option<IdentifierLink> {
    let schemas = &gateway.site.schemas;
    let read = match schemas.codec().decode(value) {
        Err(CodecError::UnknownSchema(id)) => match schemas.learn(id).await {
            Ok(()) => schemas.codec().decode(value),
            Err(error) => Err(error),
        },
        read => read,
    };
    read.inspect_err(|error| tracing::warn!(%error, "an identifier's households cannot be read")).ok()
}
