//! `cargo xtask latency`: from the gateway's 202 to the event in the worker's stream, at a steady rate of single events of households
//! that nobody has seen before.
//!
//! Requests are sent at their time whether or not earlier ones are answered, so that a slow answer is not hidden by fewer questions.

use crate::log_choice::LogKind;
use anyhow::{Context, Result, bail, ensure};
use events::{Millis, time};
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::site::client::Client;
use testkit::site::register::{Register, Resident};
use testkit::site::{Options as SiteOptions, PATIENCE, Site, numbers};
use tokio::sync::mpsc;

/// What p99 must stay below, in milliseconds.
pub const P99_MS_MAX: f64 = 100.0;
/// Seconds at the beginning that are not counted: connections are made, pages are read for the first time.
const WARM_UP_SECONDS: u32 = 2;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which log.
    pub log: LogKind,
    /// Events per second.
    pub rate: u32,
    /// For how long, after the warm-up.
    pub seconds: u32,
}

/// What came of it. All times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On which log.
    pub log: &'static str,
    /// Events per second.
    pub rate: u32,
    /// Events that are counted.
    pub events: usize,
    /// Of those, never shown.
    pub missing: usize,
    /// From the 202 to the stream: the median.
    pub p50_ms: f64,
    /// From the 202 to the stream: 99 of 100 are quicker.
    pub p99_ms: f64,
    /// From the 202 to the stream: the slowest.
    pub max_ms: f64,
    /// From the request's beginning to its 202: the median.
    pub accepted_p50_ms: f64,
    /// From the request's beginning to its 202: 99 of 100 are quicker.
    pub accepted_p99_ms: f64,
}

impl Report {
    /// Whether it is quick enough, and nothing is missing.
    pub fn passes(&self) -> bool {
        self.events > 0 && self.missing == 0 && self.p99_ms < P99_MS_MAX
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "latency: log {}, {} events/s, {} events, {} missing, 202 to stream p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (bar: p99 below {P99_MS_MAX} ms), \
             request to 202 p50 {:.1} ms, p99 {:.1} ms",
            self.log,
            self.rate,
            self.events,
            self.missing,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.accepted_p50_ms,
            self.accepted_p99_ms
        )
    }
}

/// When a request began, and when its 202 was there.
pub(crate) type Answered = (u32, Instant, Instant);

/// Runs it. `progress` hears a line now and then.
///
/// # Errors
/// The site does not start, or does not take an event.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    let (log, _kafka) = options.log.start().await?;
    let mut site = Site::start(SiteOptions::of_today(log)).await?;
    let warm_up = options.rate * WARM_UP_SECONDS;
    let seconds = options.seconds + WARM_UP_SECONDS;
    let count = warm_up + options.rate * options.seconds;
    site.import(&register(count)).await?;
    progress(&format!("{count} households are registered; {} events/s for {seconds} s", options.rate));

    let mut stream = site.client.stream(None).await?;
    let watching = tokio::spawn(async move {
        let mut shown: HashMap<u32, Instant> = HashMap::new();
        let deadline = Instant::now() + Duration::from_secs(seconds.into()) + PATIENCE;
        while shown.len() < count as usize {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(message) = tokio::time::timeout(left, stream.next()).await else { break };
            let (at, message) = (Instant::now(), message?);
            let household = message.data["household"].as_str().and_then(|name| name.strip_prefix('h')?.parse().ok());
            shown.entry(household.context("a task of another household")?).or_insert(at);
        }
        anyhow::Ok(shown)
    });
    let answered = send(&site.client, count, options.rate).await?;
    let shown = watching.await??;
    site.stop().await?;

    let counted: Vec<&Answered> = answered.iter().filter(|(number, ..)| *number >= warm_up).collect();
    let mut to_stream: Vec<f64> = counted
        .iter()
        // The stream may be quicker than the answer.
        .filter_map(|(number, _, accepted)| Some(ms(shown.get(number)?.saturating_duration_since(*accepted))))
        .collect();
    let mut to_accepted: Vec<f64> = counted.iter().map(|(_, began, accepted)| ms(accepted.duration_since(*began))).collect();
    to_stream.sort_by(f64::total_cmp);
    to_accepted.sort_by(f64::total_cmp);
    Ok(Report {
        log: options.log.as_str(),
        rate: options.rate,
        events: counted.len(),
        missing: counted.len() - to_stream.len(),
        p50_ms: quantile(&to_stream, 0.5),
        p99_ms: quantile(&to_stream, 0.99),
        max_ms: quantile(&to_stream, 1.0),
        accepted_p50_ms: quantile(&to_accepted, 0.5),
        accepted_p99_ms: quantile(&to_accepted, 0.99),
    })
}

fn register(count: u32) -> Register {
    let mut register = Register::of_two_grids();
    for number in 0..count {
        let household = name(number);
        register.household(&household, if number % 2 == 0 { "g1" } else { "g2" });
        let resident_id = numbers::resident_id(number.into());
        register.residents.insert(Resident { resident: format!("{household}-0"), household, resident_id, ..Resident::default() });
    }
    register
}

/// Sends each event at its time, and waits for all answers.
async fn send(client: &Client, count: u32, rate: u32) -> Result<Vec<Answered>> {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let began = Instant::now();
    for number in 0..count {
        let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        tokio::time::sleep_until(due.into()).await;
        let (client, answers) = (client.clone(), answers.clone());
        // A closed channel: the check has ended already.
        tokio::spawn(async move { _ = answers.send(send_one(&client, number, None).await) });
    }
    drop(answers);
    let mut all = Vec::with_capacity(count as usize);
    while let Some(answer) = answered.recv().await {
        all.push(answer?);
    }
    ensure!(all.len() == count as usize, "{} of {count} requests were answered", all.len());
    Ok(all)
}

/// One passage of this number's resident; where from, if that matters.
pub(crate) async fn send_one(client: &Client, number: u32, origin: Option<&str>) -> Result<Answered> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let observed_at = time::format(Millis(i64::try_from(now)?));
    let record = json!({
        "id": format!("cp-{number}"), "observed_at": observed_at, "checkpoint": "G60-118", "direction": "in",
        "resident_id": numbers::resident_id(number.into()), "origin_division": origin,
    });
    let began = Instant::now();
    let posted = client.post("checkpoint", &[record]).await?;
    let accepted = Instant::now();
    if posted.status != StatusCode::ACCEPTED || posted.results[0]["status"] != "accepted" {
        bail!("event {number} is answered by {} {:?}", posted.status, posted.results);
    }
    Ok((number, began, accepted))
}

pub(crate) fn name(number: u32) -> String {
    format!("h{number:06}")
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Of a sorted list; 0 of an empty one.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99), quantile(&hundred, 1.0)), (50.0, 99.0, 100.0));
        assert_eq!((quantile(&[7.0], 0.5), quantile(&[7.0], 0.99), quantile(&[], 0.99)), (7.0, 7.0, 0.0));
    }
}
