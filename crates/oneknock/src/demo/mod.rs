//! `oneknock demo`: the whole of it in one process on the embedded log: a made-up city, three agencies that send over HTTP, the real
//! gateway, router and inbox, and some workers who knock, so that an arrival can be answered by an earlier visit.
//!
//! It goes by the outside alone, like an agency or a phone: what it counts it reads from the topics.

mod agencies;
mod city;
mod journeys;
mod place;
mod watch;
mod words;
mod workers;

pub use place::TableFiles;

use crate::cli::{self, Role};
use crate::commands::{registry, run};
use crate::failure::Failure;
use city::City;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// How long the last events may take to be decided at the end.
const SETTLE: Duration = Duration::from_secs(30);
/// How long the page is waited for before its address is shown all the same.
const PAGE: Duration = Duration::from_secs(5);
const ROLES: [Role; 4] = [Role::Gateway, Role::Router, Role::Inbox, Role::Ops];

/// Runs it.
pub async fn run(options: cli::Demo) -> Result<(), Failure> {
    let words = words::of(options.lang);
    let place = place::Place::prepare(&options).await?;
    let parsed = run::parse(&place.config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut running = run::start(parsed, &ROLES, ops::metrics::install()?).await?;
    let http = reqwest::Client::new();
    wait_for_page(&http, &place.inbox).await;
    say(&(words.welcome)(&place.sign_in_link(), &place.config.display().to_string()));

    let city = Arc::new(City::make_up(options.households, options.seed));
    say(&(words.importing)(city.households.len()));
    let tables = place.write_tables(&city.tables())?;
    let imported = registry::import_tables(&run::parse(&place.config)?, &running.site, tables).await?;
    tracing::info!(households = imported.households.published, identifiers = imported.identifiers.published, "registry imported");

    let watch = Watch::begin(&running.site).await?;
    let (stop_sending, stop_knocking) = (CancellationToken::new(), CancellationToken::new());
    let agencies = agencies::begin(&place, &http, Arc::clone(&city), &options, stop_sending.clone());
    let workers = workers::begin(&place, &http, options.seed, options.rate, stop_knocking.clone());

    let began = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = options.seconds.map(|seconds| began + Duration::from_secs(seconds));
    let failed = loop {
        tokio::select! {
            _ = tick.tick() => {
                if end.is_some_and(|end| Instant::now() >= end) {
                    break None;
                }
                say(&(words.progress)(began.elapsed().as_secs(), &watch.tally(agencies.accepted())));
            }
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            failure = running.ended() => break Some(failure),
        }
    };
    if let Some(failure) = failed {
        return Err(failure);
    }

    say(words.closing);
    let closing = close(running, agencies, workers, &watch, words, [stop_sending, stop_knocking]);
    tokio::select! {
        closed = closing => if closed? { Ok(()) } else { Err(Failure::Negative) },
        _ = terminate.recv() => Err(anyhow::anyhow!("told to stop a second time").into()),
        _ = interrupt.recv() => Err(anyhow::anyhow!("told to stop a second time").into()),
    }
}

/// Lets everybody finish, prints the summary and ends the site; whether the ledger closes.
async fn close(
    running: run::Running,
    agencies: agencies::Agencies,
    workers: workers::Workers,
    watch: &Watch,
    words: &words::Words,
    [stop_sending, stop_knocking]: [CancellationToken; 2],
) -> Result<bool, Failure> {
    stop_sending.cancel();
    let accepted = agencies.end().await;
    stop_knocking.cancel();
    workers.end().await;
    let closed = settle(&running.site).await?;
    say(&(words.summary)(&watch.tally(accepted), closed));
    running.drain().await?;
    Ok(closed)
}

/// One text on stdout. That nobody reads it any more is no reason to end.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

async fn wait_for_page(http: &reqwest::Client, inbox: &str) {
    let ready = async {
        loop {
            match http.get(format!("{inbox}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    // Later than that it will come by itself; the address is right all the same.
    let _ = tokio::time::timeout(PAGE, ready).await;
}

/// Waits until all is decided; whether the ledger closes.
async fn settle(site: &crate::site::Site) -> Result<bool, Failure> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let ledger = ops::ledger::ledger(&site.log, &site.schemas).await?;
        if ledger.closed || Instant::now() >= deadline {
            return Ok(ledger.closed);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
