//! What agencies, workers and ops hold: addresses, tokens, and the requests that they make. Survives a restart of the site.

use super::stream::Stream;
use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take: an action is answered after 10 s at the latest.
const REQUEST_SECONDS_MAX: u64 = 20;

/// Everybody's side of a site. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    /// Base address of the gateway.
    pub gateway: String,
    /// Base address of the inbox.
    pub inbox: String,
    /// Base address of the ops listener.
    pub ops: String,
    http: reqwest::Client,
    tokens: Arc<Tokens>,
}

struct Tokens {
    /// By kind of event.
    sources: HashMap<String, String>,
    /// The first of `workers`, `supervisors`, `ops`, `admins`.
    people: HashMap<&'static str, String>,
}

/// A gateway's answer to records.
#[derive(Debug)]
pub struct Posted {
    /// HTTP status.
    pub status: StatusCode,
    /// One for each record, where the status is 202.
    pub results: Vec<Value>,
}

/// A worker's answer.
#[derive(Debug)]
pub struct Acted {
    /// HTTP status.
    pub status: StatusCode,
    /// The task as it is, or problem+json.
    pub body: Value,
}

impl Client {
    /// Of a site that listens on these ports of 127.0.0.1: gateway, inbox, ops.
    ///
    /// # Errors
    /// tokens.json is not what `init` writes.
    pub fn new([gateway, inbox, ops]: [u16; 3], tokens: &Path) -> Result<Client> {
        let base = |port: u16| format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(2)).build()?;
        let tokens = Arc::new(Tokens::read(tokens)?);
        Ok(Client { gateway: base(gateway), inbox: base(inbox), ops: base(ops), http, tokens })
    }

    /// The token of the first of `workers`, `supervisors`, `ops` or `admins`.
    ///
    /// # Errors
    /// There is none.
    pub fn token(&self, role: &str) -> Result<&str> {
        self.tokens.people.get(role).map(String::as_str).with_context(|| format!("nobody in {role}"))
    }

    /// A source's token, by the kind of event that it may send.
    ///
    /// # Errors
    /// There is none.
    pub fn source_token(&self, kind: &str) -> Result<&str> {
        self.tokens.sources.get(kind).map(String::as_str).with_context(|| format!("no source of {kind}"))
    }

    /// Whether every listener says that it is ready.
    pub async fn is_ready(&self) -> bool {
        for base in [&self.ops, &self.gateway, &self.inbox] {
            let answer = self.http.get(format!("{base}/readyz")).timeout(Duration::from_secs(5)).send().await;
            if !answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return false;
            }
        }
        true
    }

    fn request(&self, method: Method, base: &str, path: &[&str], token: &str) -> Result<RequestBuilder> {
        self.request_with(method, base, path, &[], token)
    }

    fn request_with(&self, method: Method, base: &str, path: &[&str], query: &[(&str, &str)], token: &str) -> Result<RequestBuilder> {
        let mut url: reqwest::Url = base.parse()?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).bearer_auth(token).timeout(Duration::from_secs(REQUEST_SECONDS_MAX)))
    }

    /// Sends records of one kind (`checkpoint`, `highway`, `telecom`) as its source, once.
    ///
    /// # Errors
    /// No answer: nothing is known of what was taken.
    pub async fn post(&self, kind: &str, records: &[Value]) -> Result<Posted> {
        let mut body = String::new();
        for record in records {
            body.push_str(&record.to_string());
            body.push('\n');
        }
        let request = self.request(Method::POST, &self.gateway, &["v1", "events", kind], self.source_token(kind)?)?;
        let answer = request.header("content-type", "application/x-ndjson").body(body).send().await?;
        let status = answer.status();
        let mut body: Value = answer.json().await?;
        let results = body["results"].as_array_mut().map(std::mem::take).unwrap_or_default();
        ensure!(
            status != StatusCode::ACCEPTED || results.len() == records.len(),
            "{} results for {} records",
            results.len(),
            records.len()
        );
        Ok(Posted { status, results })
    }

    /// What has become of an agency's event, by the agency's own id: its code, or none while it waits.
    ///
    /// # Errors
    /// No answer, or none that is promised.
    pub async fn code(&self, kind: &str, id: &str) -> Result<Option<String>> {
        let answer = self.request(Method::GET, &self.gateway, &["v1", "events", id], self.source_token(kind)?)?.send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        match (status, body["status"].as_str()) {
            (StatusCode::OK, Some("decided")) => Ok(Some(body["code"].as_str().context("a decision without code")?.to_owned())),
            (StatusCode::OK, Some("queued")) | (StatusCode::NOT_FOUND, _) => Ok(None),
            _ => bail!("event {id}: {status} {body}"),
        }
    }

    /// All tasks that a worker of all grids sees, in every state.
    ///
    /// # Errors
    /// No answer, or none that is promised.
    pub async fn tasks(&self) -> Result<Vec<Value>> {
        let mut tasks = Vec::new();
        for state in ["open", "claimed", "done"] {
            let mut after: Option<String> = None;
            loop {
                let mut query = vec![("state", state)];
                query.extend(after.as_deref().map(|after| ("after", after)));
                let answer = self.request_with(Method::GET, &self.inbox, &["v1", "tasks"], &query, self.token("workers")?)?.send().await?;
                let status = answer.status();
                let mut page: Value = answer.json().await?;
                ensure!(status == StatusCode::OK, "list of tasks: {status} {page}");
                tasks.extend(page["tasks"].as_array_mut().map(std::mem::take).context("a page without tasks")?);
                match page["next"].as_str() {
                    Some(next) => after = Some(next.to_owned()),
                    None => break,
                }
            }
        }
        Ok(tasks)
    }

    /// Does something with a task, as the worker of all grids.
    ///
    /// # Errors
    /// No answer: the action may stand; the same `action_id` asks again.
    pub async fn act(&self, task_id: &str, action: &Value) -> Result<Acted> {
        self.act_as(self.token("workers")?, task_id, action).await
    }

    /// The same as whoever has this token.
    ///
    /// # Errors
    /// As `act`.
    pub async fn act_as(&self, token: &str, task_id: &str, action: &Value) -> Result<Acted> {
        let request = self.request(Method::POST, &self.inbox, &["v1", "tasks", task_id, "actions"], token)?;
        let answer = request.json(action).send().await?;
        Ok(Acted { status: answer.status(), body: answer.json().await? })
    }

    /// What `GET /v1/tasks` says to whoever has this token.
    ///
    /// # Errors
    /// No answer, or none that is promised.
    pub async fn list(&self, token: &str, query: &[(&str, &str)]) -> Result<Value> {
        let answer = self.request_with(Method::GET, &self.inbox, &["v1", "tasks"], query, token)?.send().await?;
        let (status, body) = (answer.status(), answer.json().await?);
        ensure!(status == StatusCode::OK, "list of tasks: {status} {body}");
        Ok(body)
    }

    /// Asks the gateway whether the household of an identifier has been screened.
    ///
    /// # Errors
    /// No answer, or none that is promised.
    pub async fn lookup(&self, identifier: &Value) -> Result<Value> {
        let request = self.request(Method::POST, &self.gateway, &["v1", "screenings", "lookup"], self.source_token("checkpoint")?)?;
        let answer = request.json(identifier).send().await?;
        let (status, body) = (answer.status(), answer.json().await?);
        ensure!(status == StatusCode::OK, "lookup: {status} {body}");
        Ok(body)
    }

    /// The worker's stream of changes; from now on, or from behind an id.
    ///
    /// # Errors
    /// It is not opened.
    pub async fn stream(&self, last_event_id: Option<&str>) -> Result<Stream> {
        let mut request = self.http.get(format!("{}/v1/tasks/stream", self.inbox)).bearer_auth(self.token("workers")?);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == StatusCode::OK, "stream: {}", answer.status());
        Ok(Stream::new(answer))
    }
}

impl Tokens {
    fn read(path: &Path) -> Result<Tokens> {
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let mut sources = HashMap::new();
        for source in file["sources"].as_array().into_iter().flatten() {
            for kind in source["kinds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let token = source["token"].as_str().context("a source without token")?;
                sources.insert(kind.to_owned(), token.to_owned());
            }
        }
        let first = |role: &'static str| file[role][0]["token"].as_str().map(|token| (role, token.to_owned()));
        let people = ["workers", "supervisors", "ops", "admins"].into_iter().filter_map(first).collect();
        Ok(Tokens { sources, people })
    }
}
