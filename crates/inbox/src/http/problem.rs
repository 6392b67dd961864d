//! Every error of the inbox, as `application/problem+json` (RFC 9457).

use audit::AuditError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    detail: &'static str,
    field: Option<String>,
    task: Option<Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    /// By status, with one line for people.
    pub fn new(status: StatusCode, detail: &'static str) -> Problem {
        Problem { status, detail, field: None, task: None, retry_after_s: None }
    }

    /// 400: what is wrong with which field.
    pub fn field(field: impl Into<String>, detail: &'static str) -> Problem {
        Problem { field: Some(field.into()), ..Problem::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 401.
    pub fn unauthorised() -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "a valid token is needed")
    }

    /// 403.
    pub fn forbidden(detail: &'static str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: absent, or not yours; the two look alike.
    pub fn no_task() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "there is no such task among yours")
    }

    /// 404: absent, or not yours; the two look alike.
    pub fn no_notice() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "there is no such notice among yours")
    }

    /// 429: too much was asked for; when to come again.
    pub fn later(detail: &'static str, ms: i64) -> Problem {
        let seconds = u32::try_from(ms.max(0).unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX);
        Problem { retry_after_s: Some(seconds), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 409, with the task as it now is.
    pub fn conflict(task: Value) -> Problem {
        Problem { task: Some(task), ..Problem::new(StatusCode::CONFLICT, "another action came first, or this one is not allowed now") }
    }

    /// 503: ask again after so many seconds.
    pub fn again(detail: &'static str, retry_after_s: u32) -> Problem {
        Problem { retry_after_s: Some(retry_after_s), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl From<AuditError> for Problem {
    fn from(_: AuditError) -> Problem {
        Problem::again("the read cannot be written down, so nothing is shown", 5)
    }
}

impl From<eventlog::LogError> for Problem {
    fn from(_: eventlog::LogError) -> Problem {
        Problem::again("the log is away", 2)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.field.map(|field| ("field".to_owned(), Value::from(field))));
            members.extend(self.task.map(|task| ("task".to_owned(), task)));
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
