//! The worker's page: four files inside the program. It holds nothing personal, so it needs no sign-in; what it asks for does.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "page/"]
struct Files;

pub(super) async fn index(headers: HeaderMap) -> Response {
    file(&headers, "index.html", "text/html; charset=utf-8")
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    file(&headers, "app.js", "text/javascript; charset=utf-8")
}

pub(super) async fn words(headers: HeaderMap) -> Response {
    file(&headers, "words.js", "text/javascript; charset=utf-8")
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    file(&headers, "style.css", "text/css; charset=utf-8")
}

fn file(headers: &HeaderMap, name: &str, kind: &'static str) -> Response {
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..12]));
    let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    let unchanged = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let common = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], file.data).into_response()
}
