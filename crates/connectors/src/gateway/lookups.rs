//! Questions about screenings: so many an hour for each source, and each written down before it is answered.

use super::problem::Problem;
use crate::now::now_ms;
use audit::AuditLog;
use axum::http::StatusCode;
use domain::hourly::Hourly;
use events::{Actor, Identifier, time};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;

/// The log of questions, and how many there may be.
pub struct Lookups {
    /// Where they are written down.
    pub log: AuditLog,
    per_hour: u32,
    asked: Mutex<HashMap<String, Hourly>>,
}

impl Lookups {
    /// So many questions an hour for each source.
    pub fn new(log: AuditLog, per_hour: u32) -> Lookups {
        Lookups { log, per_hour, asked: Mutex::default() }
    }

    /// Counts a question and writes it down: who, when, under which mandate, about which token.
    ///
    /// # Errors
    /// It is one too many, or cannot be written down: then it must not be answered.
    pub async fn record(&self, source: &Actor, mandate: &str, identifier: &Identifier) -> Result<(), Problem> {
        let now = now_ms();
        let counted = self.asked.lock().entry(source.name.clone()).or_default().take(now, self.per_hour);
        counted.map_err(|ms| {
            metrics::counter!("oneknock_gateway_lookups_turned_away_total").increment(1);
            let detail = "more questions within an hour than this source may ask: ask again later";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(ms.unsigned_abs().div_ceil(1000))
        })?;
        let entry = json!({
            "at": time::format(now), "actor": source.name, "role": source.role.name(), "what": "lookup",
            "mandate": mandate, "kind": identifier.kind.as_str(), "token": identifier.token.to_string(),
        });
        let unwritten = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the question cannot be written down, so it is not answered");
        self.log.record(&entry).await.map_err(|_| unwritten().retry_after(5))
    }
}
