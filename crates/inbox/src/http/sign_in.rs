//! Who asks: a bearer token, or the cookie that stands for one on a phone.
//!
//! The cookie holds a random session id; the token itself is never in it, and the server keeps only the id's hash. A change by cookie
//! must come from our own page.

use super::problem::Problem;
use super::{Inbox, Ready};
use crate::entitled::Viewer;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use events::Actor;
use keys::{Denied, bearer};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const COOKIE: &str = "oneknock_session";
/// A session ends so long after it was last used.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// And so long after it was begun, however often it is used.
const SESSION_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// So many sign-ins may fail from one address, each of them until a minute has passed; then it is turned away for a while.
const FAILURES_MAX: u32 = 60;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered.
const ADDRESSES_MAX: usize = 10_000;
/// More sessions than workers of a city have phones: then the one that was idle longest goes.
const SESSIONS_MAX: usize = 50_000;

struct Session {
    actor: Arc<Actor>,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) > SESSION_IDLE_MAX || now.duration_since(self.begun) > SESSION_LIFE_MAX
    }
}

/// Whom a cookie stands for, in memory: a restart signs everybody out.
#[derive(Default)]
pub struct Sessions {
    begun: Mutex<HashMap<[u8; 32], Session>>,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Sessions {
    /// Begins one; the id goes into the cookie. `None` where the system has no randomness.
    fn begin(&self, actor: Arc<Actor>, now: Instant) -> Option<String> {
        let mut id = [0; 32];
        getrandom::fill(&mut id).ok()?;
        let id = hex::encode(id);
        let mut sessions = self.begun.lock();
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, session| !session.is_over(now));
        }
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(hash, _)| *hash);
            oldest.and_then(|hash| sessions.remove(&hash));
        }
        sessions.insert(hashed(&id), Session { actor, begun: now, used: now });
        Some(id)
    }

    fn actor(&self, id: &str, now: Instant) -> Option<Arc<Actor>> {
        let mut sessions = self.begun.lock();
        let session = sessions.get_mut(&hashed(id))?;
        if session.is_over(now) {
            sessions.remove(&hashed(id));
            return None;
        }
        session.used = now;
        Some(Arc::clone(&session.actor))
    }

    fn end(&self, id: &str) {
        self.begun.lock().remove(&hashed(id));
    }

    /// Whether somebody at this address may still try to sign in.
    fn may_try(&self, from: IpAddr, now: Instant) -> bool {
        let failures = self.failures.lock();
        !failures.get(&from).is_some_and(|(since, count)| *count >= FAILURES_MAX && now.duration_since(*since) < FAILURES_WITHIN)
    }

    fn failed(&self, from: IpAddr, now: Instant) {
        let mut failures = self.failures.lock();
        if failures.len() >= ADDRESSES_MAX {
            failures.retain(|_, (since, _)| now.duration_since(*since) < FAILURES_WITHIN);
        }
        if failures.len() >= ADDRESSES_MAX {
            failures.clear();
        }
        let (since, count) = failures.entry(from).or_insert((now, 0));
        if now.duration_since(*since) >= FAILURES_WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

fn hashed(id: &str) -> [u8; 32] {
    Sha256::digest(id).into()
}

/// The viewer of a request.
impl FromRequestParts<Inbox> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, inbox: &Inbox) -> Result<Viewer, Problem> {
        let Ready(app) = Ready::from_request_parts(parts, inbox).await?;
        let actor = if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(bearer);
            let token = token.ok_or_else(Problem::unauthorised)?;
            app.sign_in.actor(token).await.map_err(|denied| match denied {
                Denied::Unknown => Problem::unauthorised(),
                Denied::Away => Problem::again("the sign-in provider cannot be asked: ask again", 10),
            })?
        } else {
            let actor =
                session_id(&parts.headers).and_then(|id| app.sessions.actor(id, Instant::now())).ok_or_else(Problem::unauthorised)?;
            if !matches!(parts.method, Method::GET | Method::HEAD) && !from_own_page(&parts.headers) {
                return Err(Problem::forbidden("a change by cookie must come from the inbox's own page"));
            }
            actor
        };
        Viewer::of(actor).ok_or_else(|| Problem::forbidden("the inbox is for workers and supervisors"))
    }
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether the browser says that our own page sends this. Old browsers know only `Origin`.
fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    origin.is_some() && origin == text("host")
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

/// `GET /sign-in?token=…`: the link that a worker is given.
pub(super) async fn by_link(
    Ready(app): Ready,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    link: Result<Query<Link>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let token = link.map(|Query(link)| link.token).unwrap_or_default();
    match begin(&app, from.ip(), &headers, &token) {
        Ok(cookie) => {
            (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, HeaderValue::from_static("/"))]).into_response()
        }
        // Somebody who opens an old link in a browser is better served by the form than by JSON.
        Err(_) if wants_page(&headers) => Redirect::to("/#sign-in-failed").into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// `POST /sign-in` `{"token":"…"}`: the page's form.
pub(super) async fn by_form(
    Ready(app): Ready,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    if !from_own_page(&headers) {
        return Err(Problem::forbidden("signing in must come from the inbox's own page"));
    }
    let link: Link = serde_json::from_slice(&body).map_err(|_| Problem::field("token", "expected {\"token\":\"…\"}"))?;
    let cookie = begin(&app, from.ip(), &headers, &link.token)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// `POST /sign-out`.
pub(super) async fn out(State(inbox): State<Inbox>, headers: HeaderMap) -> Result<Response, Problem> {
    if !from_own_page(&headers) {
        return Err(Problem::forbidden("signing out must come from the inbox's own page"));
    }
    if let (Some(app), Some(id)) = (inbox.app.get(), session_id(&headers)) {
        app.sessions.end(id);
    }
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

fn begin(app: &crate::app::App, from: IpAddr, headers: &HeaderMap, token: &str) -> Result<HeaderValue, Problem> {
    let now = Instant::now();
    if !app.sessions.may_try(from, now) {
        return Err(Problem::later("too many sign-ins have failed from here: try again in a minute", 60_000));
    }
    // An access token ends within minutes and a cookie does not: only what stands in tokens.json begins one.
    let actor = app.sign_in.local(token.trim()).ok_or_else(|| {
        metrics::counter!("oneknock_inbox_sign_ins_failed_total").increment(1);
        app.sessions.failed(from, now);
        Problem::unauthorised()
    })?;
    if Viewer::of(Arc::clone(&actor)).is_none() {
        return Err(Problem::forbidden("the inbox is for workers and supervisors"));
    }
    // Another id at each sign-in: one that somebody planted or saw before is worth nothing.
    if let Some(old) = session_id(headers) {
        app.sessions.end(old);
    }
    let id = app.sessions.begin(actor, now).ok_or_else(|| Problem::again("no session can be begun now", 5))?;
    // Behind a proxy that speaks TLS the cookie stays on TLS; on loopback there is none.
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let cookie = format!(
        "{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}",
        SESSION_IDLE_MAX.as_secs(),
        if secure { "; Secure" } else { "" }
    );
    HeaderValue::from_str(&cookie).map_err(|_| Problem::again("no session can be begun now", 5))
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{Role, Scope};

    fn somebody() -> Arc<Actor> {
        Arc::new(Actor { name: "w".into(), role: Role::Worker { grids: Scope::All } })
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_also_when_it_never_is() {
        let sessions = Sessions::default();
        let begun = Instant::now();
        let idle = sessions.begin(somebody(), begun).unwrap();
        assert!(sessions.actor(&idle, begun + SESSION_IDLE_MAX).is_some());
        assert!(sessions.actor(&idle, begun + SESSION_IDLE_MAX * 2 + Duration::from_secs(1)).is_none());
        let busy = sessions.begin(somebody(), begun).unwrap();
        let mut now = begun;
        while now + SESSION_IDLE_MAX <= begun + SESSION_LIFE_MAX {
            now += SESSION_IDLE_MAX;
            assert!(sessions.actor(&busy, now).is_some());
        }
        assert!(sessions.actor(&busy, begun + SESSION_LIFE_MAX + Duration::from_secs(1)).is_none());
        assert!(sessions.actor(&busy, now).is_none(), "what is over is forgotten");
    }

    #[test]
    fn who_fails_too_often_waits_and_nobody_else_does() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..FAILURES_MAX {
            assert!(sessions.may_try(one, now));
            sessions.failed(one, now);
        }
        assert!(!sessions.may_try(one, now) && sessions.may_try(other, now));
        assert!(sessions.may_try(one, now + FAILURES_WITHIN));
        sessions.failed(one, now + FAILURES_WITHIN);
        assert!(sessions.may_try(one, now + FAILURES_WITHIN));
    }
}
