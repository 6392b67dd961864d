//! Answers that say no: `application/problem+json` (RFC 9457), never with a value that was sent.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error as the outside sees it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: &'static str,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    /// With a status and a sentence for people.
    pub fn new(status: StatusCode, detail: &'static str) -> Problem {
        Problem { status, detail, members: Vec::new(), headers: Vec::new() }
    }

    /// One more member.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.members.push((name, value.into()));
        self
    }

    /// When to come again, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// 400: the request as a whole cannot be read.
    pub fn unreadable(detail: &'static str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: no token that is known.
    pub fn unauthorized() -> Problem {
        let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token of a source is needed");
        problem.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        problem
    }

    /// 413: the limits of one request.
    pub fn too_large() -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "at most 8 MiB and 10 000 records a request")
    }

    /// 503: nothing was taken.
    pub fn log_away() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the log is away: take nothing as taken and send again").retry_after(5)
    }

    /// 503: nothing was taken, and nothing can be said.
    pub fn keys_away() -> Problem {
        metrics::counter!("oneknock_gateway_keys_away_total").increment(1);
        let detail = "the keys of a mandate in force cannot be had now: take nothing as taken and send again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(30)
    }

    /// 404.
    pub fn not_found(detail: &'static str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(object) = body.as_object_mut() {
            object.extend(self.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        let mut response = (self.status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(self.headers);
        response
    }
}
