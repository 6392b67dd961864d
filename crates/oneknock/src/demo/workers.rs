//! Made-up grid workers: each takes an open task now and then, goes there, and says how it went, through the inbox's own HTTP. They leave
//! the newest to whoever watches.

use super::place::Place;
use crate::site;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So many open tasks are left alone.
const LEFT_ALONE: usize = 10;
/// Events per second for which one more worker is out.
const EVENTS_PER_WORKER: u32 = 6;
const WORKERS_MIN: u32 = 3;

/// The workers at work.
pub struct Workers {
    out: JoinSet<()>,
}

impl Workers {
    /// Waits until everybody has finished what was begun.
    pub async fn end(mut self) {
        while self.out.join_next().await.is_some() {}
    }
}

struct Worker {
    http: Client,
    inbox: String,
    token: String,
    random: StdRng,
}

/// Sends them out, until stopped. Everyone but the first in tokens.json, who is the one who watches.
pub fn begin(place: &Place, http: &Client, seed: u64, rate: u32, stop: CancellationToken) -> Workers {
    let count = (rate / EVENTS_PER_WORKER).max(WORKERS_MIN) as usize;
    let mut out = JoinSet::new();
    for (number, entry) in place.tokens.workers.iter().skip(1).take(count).enumerate() {
        let random = StdRng::seed_from_u64(seed.wrapping_add(1000 + number as u64));
        let worker = Worker { http: http.clone(), inbox: place.inbox.clone(), token: entry.token.expose().clone(), random };
        out.spawn(worker.work(stop.clone()));
    }
    Workers { out }
}

impl Worker {
    async fn work(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = Duration::from_millis(self.random.random_range(400..1200));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.one_visit().await {
                tracing::debug!(%error, "a visit came to nothing");
            }
        }
    }

    async fn one_visit(&mut self) -> reqwest::Result<()> {
        let list = self.http.get(format!("{}/v1/tasks?state=open", self.inbox)).bearer_auth(&self.token).send().await?;
        let list: Value = list.error_for_status()?.json().await?;
        let tasks = list["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if tasks.len() <= LEFT_ALONE {
            return Ok(());
        }
        let task = tasks[self.random.random_range(0..tasks.len())].clone();
        let Some(id) = task["task_id"].as_str() else { return Ok(()) };
        if !self.act(id, &task, json!({"action": "claim"})).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(self.random.random_range(200..900))).await;
        let outcome = match self.random.random_range(0..100) {
            0..82 => "screened",
            82..92 => "not_home",
            92..95 => "moved_away",
            95..98 => "needs_help",
            _ => "refused",
        };
        self.act(id, &task, json!({"action": "outcome", "outcome": outcome})).await?;
        Ok(())
    }

    /// One action, asked again under the same id while it is undecided; whether it was taken.
    async fn act(&mut self, id: &str, task: &Value, mut action: Value) -> reqwest::Result<bool> {
        action["action_id"] = uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string().into();
        action["at"] = events::time::format(site::now()).into();
        action["version"] = task["version"].clone();
        let url = format!("{}/v1/tasks/{id}/actions", self.inbox);
        for _ in 0..3 {
            let answer = self.http.post(&url).bearer_auth(&self.token).json(&action).send().await?;
            match answer.status() {
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_secs(1)).await,
                status => return Ok(status.is_success()),
            }
        }
        Ok(false)
    }
}
