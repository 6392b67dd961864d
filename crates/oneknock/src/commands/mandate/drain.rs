//! Waits until what was queued for an ended mandate is decided: the ledger says so, noted positions only say when to ask it again.

use crate::commands::ops::GROUPS;
use crate::failure::Failure;
use crate::site::Site;
use events::topics::{CHECKPOINT, HIGHWAY, TELECOM};
use indicatif::{ProgressBar, ProgressStyle};
use ops::OpsError;
use ops::lag::Lag;
use ops::ledger::{Ledger, ledger_of};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Every running role knows of an act within so long.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks at the positions.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What became of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drained {
    /// How long it was waited for.
    pub seconds: u64,
    /// Events without a decision after that.
    pub undecided: u64,
    /// False: no router can have been running. True says only that one may have been.
    pub router: bool,
}

/// Waits at most so long, and returns the mandate's books as well.
pub async fn drain(site: &Site, id: &str, most: Duration) -> Result<(Drained, Ledger), Failure> {
    let begun = Instant::now();
    let deadline = begun + most;
    let router = !site.is_alone();
    if router {
        tokio::time::sleep(KNOWN_WITHIN.min(most)).await;
    }
    let mut books = ledger_of(&site.log, &site.schemas, id).await?;
    // It hides itself where stderr is no terminal.
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} waiting for {human_pos} events to be decided")?);
    while router && books.undecided > 0 && Instant::now() < deadline {
        bar.set_position(books.undecided);
        read_on(site, &bar, deadline).await?;
        books = ledger_of(&site.log, &site.schemas, id).await?;
    }
    bar.finish_and_clear();
    let drained = Drained { seconds: begun.elapsed().as_secs(), undecided: books.undecided, router };
    match (drained.undecided, router) {
        (0, _) => println!("  {} events were accepted for it, and all of them are decided", books.accepted),
        (left, true) => {
            println!("  {left} of {} events are not decided after {} s; they never open a visit", books.accepted, drained.seconds);
        }
        (left, false) => println!("  no router runs here: {left} of {} events are not decided; they never open a visit", books.accepted),
    }
    Ok((drained, books))
}

/// Returns when the routers have read what the topics of events hold now, or at the deadline.
async fn read_on(site: &Site, bar: &ProgressBar, deadline: Instant) -> Result<(), OpsError> {
    let ends = positions(&ops::lag::lag(&site.log, GROUPS).await?, |partition| Some(partition.end));
    loop {
        bar.tick();
        tokio::time::sleep(LOOK_EVERY).await;
        let read = positions(&ops::lag::lag(&site.log, GROUPS).await?, |partition| partition.position);
        let is_read = ends.iter().zip(&read).all(|(end, read)| *end == Some(0) || read >= end);
        if is_read || Instant::now() >= deadline {
            return Ok(());
        }
    }
}

/// One number of each partition of the topics of events, in their order.
fn positions(lag: &Lag, which: impl Fn(&ops::lag::PartitionLag) -> Option<i64>) -> Vec<Option<i64>> {
    let events = lag.groups.iter().filter(|one| [CHECKPOINT, HIGHWAY, TELECOM].contains(&one.topic.as_str()));
    events.flat_map(|one| &one.partitions).map(which).collect()
}
