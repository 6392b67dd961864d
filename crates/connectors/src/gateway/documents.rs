//! What describes the gateway: OpenAPI, AsyncAPI, and the schemas by the read-only part of the Confluent API. Open to everybody.

use super::problem::Problem;
use super::{Gateway, Shared};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use events::SchemaName;
use serde_json::{Value, json};
use std::sync::Arc;

const OPENAPI: &str = include_str!("openapi.json");
const ASYNCAPI: &str = include_str!("asyncapi.yaml");

pub fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], OPENAPI) }))
        .route("/asyncapi.yaml", get(|| async { ([(CONTENT_TYPE, "application/yaml")], ASYNCAPI) }))
        .route("/schemas/ids/{id}", get(schema))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}/versions", get(versions))
        .route("/subjects/{subject}/versions/{version}", get(version))
}

fn subject_of(name: SchemaName) -> String {
    format!("{}-value", name.topic())
}

/// A problem that clients of the Confluent API understand too.
fn unknown(error_code: u64, message: &'static str) -> Problem {
    Problem::not_found(message).with("error_code", error_code).with("message", message)
}

fn by_subject(subject: Result<&str, &PathRejection>) -> Result<SchemaName, Problem> {
    let found = subject.ok().and_then(|subject| SchemaName::ALL.iter().find(|name| subject_of(**name) == subject));
    found.copied().ok_or_else(|| unknown(40_401, "Subject not found."))
}

async fn schema(State(gateway): Shared, path: Result<Path<u32>, PathRejection>) -> Result<Json<Value>, Problem> {
    let missing = || unknown(40_403, "Schema not found");
    let Path(id) = path.map_err(|_| missing())?;
    let codec = gateway.site.schemas.codec();
    let ours = SchemaName::ALL.iter().copied().find(|name| codec.id(*name) == id);
    let name = ours.or_else(|| SchemaName::by_built_in_id(id)).ok_or_else(missing)?;
    Ok(Json(json!({"schema": name.text()})))
}

async fn subjects() -> Json<Vec<String>> {
    Json(SchemaName::ALL.iter().map(|name| subject_of(*name)).collect())
}

async fn versions(path: Result<Path<String>, PathRejection>) -> Result<Json<[u32; 1]>, Problem> {
    by_subject(path.as_ref().map(|Path(subject)| subject.as_str())).map(|_| Json([1]))
}

async fn version(State(gateway): Shared, path: Result<Path<(String, String)>, PathRejection>) -> Result<Json<Value>, Problem> {
    let name = by_subject(path.as_ref().map(|Path((subject, _))| subject.as_str()))?;
    if !path.is_ok_and(|Path((_, version))| matches!(version.as_str(), "1" | "latest")) {
        return Err(unknown(40_402, "Version not found."));
    }
    let id = gateway.site.schemas.codec().id(name);
    Ok(Json(json!({"subject": subject_of(name), "version": 1, "id": id, "schema": name.text()})))
}
