//! Three agencies that send what they see, as NDJSON over HTTP, each with its own token. What the gateway could not take is sent again:
//! ids make that safe.

use super::city::City;
use super::journeys::{Journeys, Message};
use super::place::Place;
use crate::cli;
use crate::site;
use events::SourceKind;
use reqwest::{Client, header};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often they send.
const EVERY_MS: u64 = 200;
const MILLISECONDS: u64 = 1000;

/// The agencies at work.
pub struct Agencies {
    accepted: Arc<AtomicU64>,
    sending: JoinHandle<()>,
}

impl Agencies {
    /// Events that the gateway has taken so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until the last message is answered.
    pub async fn end(self) -> u64 {
        if let Err(error) = self.sending.await {
            tracing::error!(%error, "the agencies broke off");
        }
        self.accepted.load(Ordering::Relaxed)
    }
}

struct Sender {
    http: Client,
    gateway: String,
    tokens: HashMap<SourceKind, String>,
    accepted: Arc<AtomicU64>,
}

/// Begins to send, until stopped.
pub fn begin(place: &Place, http: &Client, city: Arc<City>, options: &cli::Demo, stop: CancellationToken) -> Agencies {
    let mut tokens = HashMap::new();
    for source in &place.tokens.sources {
        for kind in source.kinds.iter().filter_map(|kind| SourceKind::parse(kind)) {
            tokens.insert(kind, source.token.expose().clone());
        }
    }
    let accepted: Arc<AtomicU64> = Arc::default();
    let sender = Sender { http: http.clone(), gateway: place.gateway.clone(), tokens, accepted: Arc::clone(&accepted) };
    // Tells this run's ids from those of an earlier run on a kept site.
    let run = format!("{:x}", site::now().0);
    let journeys = Journeys::new(city, options.seed, run);
    let sending = tokio::spawn(send(sender, journeys, u64::from(options.rate), stop));
    Agencies { accepted, sending }
}

async fn send(sender: Sender, mut journeys: Journeys, rate: u64, stop: CancellationToken) {
    let mut tick = interval(Duration::from_millis(EVERY_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut again: Vec<Message> = Vec::new();
    let mut ticks: u64 = 0;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => break,
        }
        // Exact over time, whatever the rate.
        let due = |ticks: u64| rate * EVERY_MS * ticks / MILLISECONDS;
        let count = usize::try_from(due(ticks + 1) - due(ticks)).unwrap_or(usize::MAX);
        ticks += 1;
        let mut messages = std::mem::take(&mut again);
        messages.extend(journeys.take(count, site::now()));
        again = sender.post_all(messages).await;
    }
    // What could not be taken is not lost, only late: one last time.
    let left = sender.post_all(again).await;
    if !left.is_empty() {
        tracing::warn!(messages = left.len(), "the gateway did not take the last messages");
    }
}

impl Sender {
    /// Sends each agency's part; returns what was not taken.
    async fn post_all(&self, messages: Vec<Message>) -> Vec<Message> {
        let of = |kind: SourceKind| messages.iter().filter(move |message| message.kind == kind).cloned().collect::<Vec<_>>();
        let (checkpoint, highway, telecom) = tokio::join!(
            self.post(SourceKind::Checkpoint, of(SourceKind::Checkpoint)),
            self.post(SourceKind::Highway, of(SourceKind::Highway)),
            self.post(SourceKind::Telecom, of(SourceKind::Telecom)),
        );
        [checkpoint, highway, telecom].concat()
    }

    async fn post(&self, kind: SourceKind, messages: Vec<Message>) -> Vec<Message> {
        if messages.is_empty() {
            return messages;
        }
        let body: String = messages.iter().map(|message| format!("{}\n", message.body)).collect();
        let url = format!("{}/v1/events/{}", self.gateway, kind.as_str().to_lowercase());
        let token = self.tokens.get(&kind).map(String::as_str).unwrap_or_default();
        let request = self.http.post(url).bearer_auth(token).header(header::CONTENT_TYPE, "application/x-ndjson").body(body);
        let answer = match request.send().await {
            Ok(answer) if answer.status().is_success() => answer.json::<Value>().await.ok(),
            Ok(answer) => {
                tracing::debug!(status = answer.status().as_u16(), "the gateway does not take it now");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the gateway is away");
                None
            }
        };
        let Some(answer) = answer else { return messages };
        self.accepted.fetch_add(answer["accepted"].as_u64().unwrap_or_default(), Ordering::Relaxed);
        let rejected = answer["rejected"].as_u64().unwrap_or_default();
        if rejected > 0 {
            let code = answer["results"].as_array().and_then(|results| results.iter().find_map(|result| result["code"].as_str()));
            tracing::warn!(rejected, code, "the gateway rejected records");
        }
        Vec::new()
    }
}
