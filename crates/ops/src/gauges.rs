//! What is measured of the site as a whole, for alerts and dashboards: lag, dead letters, and whether the books close. One process of a
//! site is enough. It asks the log as the commands do, and seldom enough that nobody notices.

use crate::{OpsError, dlq, lag, ledger};
use eventlog::Log;
use eventlog::schemas::Schemas;
use metrics::{describe_gauge, gauge};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at lag and dead letters.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Between two ledgers: each reads all events of 28 days.
const LEDGER_EVERY: Duration = Duration::from_secs(600);

/// Measures for ever: the lag of these groups, each with the topics that it reads.
pub async fn keep(groups: &[(&str, &[&str])], log: &Arc<dyn Log>, schemas: &Schemas) {
    describe_gauge!("oneknock_lag_records", "Records that a group has not read yet, as it wrote down itself.");
    describe_gauge!("oneknock_dead_letters", "Dead letters that are kept.");
    describe_gauge!("oneknock_ledger_decisions", "Events of the last 28 days by their newest decision.");
    describe_gauge!("oneknock_ledger_undecided", "Accepted events of the last 28 days without a decision.");
    describe_gauge!("oneknock_ledger_closed", "1 where every accepted event older than a minute has its decision.");
    tokio::join!(look(groups, log), count(log, schemas));
}

async fn look(groups: &[(&str, &[&str])], log: &Arc<dyn Log>) {
    loop {
        if let Err(error) = look_once(groups, log).await {
            tracing::warn!(%error, "lag and dead letters cannot be measured now");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look_once(groups: &[(&str, &[&str])], log: &Arc<dyn Log>) -> Result<(), OpsError> {
    for topic in lag::lag(log, groups).await?.groups {
        gauge!("oneknock_lag_records", "group" => topic.group, "topic" => topic.topic).set(topic.lag as f64);
    }
    for topic in dlq::list(log).await?.topics {
        gauge!("oneknock_dead_letters", "topic" => topic.name).set(topic.letters as f64);
    }
    Ok(())
}

async fn count(log: &Arc<dyn Log>, schemas: &Schemas) {
    loop {
        match ledger::ledger(log, schemas).await {
            Ok(books) => {
                for (code, count) in &books.decisions {
                    gauge!("oneknock_ledger_decisions", "code" => *code).set(*count as f64);
                }
                gauge!("oneknock_ledger_undecided").set(books.undecided as f64);
                let closed = books.overdue == 0 && books.unknown == 0;
                gauge!("oneknock_ledger_closed").set(if closed { 1.0 } else { 0.0 });
            }
            Err(error) => tracing::warn!(%error, "the ledger cannot be counted now"),
        }
        tokio::time::sleep(LEDGER_EVERY).await;
    }
}
