//! What would be under another policy: the log's own inputs through the router's own loops, on copies in memory, under the policy in
//! force and under the new one; and what would open at once if the new one were applied now. It reads, and appends nothing.

use super::report::Report;
use super::visits::{Counts, Visits};
use super::words;
use crate::failure::Failure;
use crate::language::Language;
use crate::site::Site;
use domain::Clock;
use eventlog::fencing::{Fold, Verdict};
use eventlog::merged::Merged;
use eventlog::owner::States;
use events::topics::{ACTIONS, TASKS};
use events::{Millis, Policy, Task};
use indicatif::{ProgressBar, ProgressStyle};
use router::{REPLAYED, Replay};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two redraws of the progress line.
const REDRAW: Duration = Duration::from_millis(120);
/// Between two looks of other work at this thread, in records.
const YIELD_EVERY: u64 = 64;

/// From, inclusive, to, exclusive.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The beginning.
    pub from: Millis,
    /// The end.
    pub to: Millis,
}

impl Span {
    /// Whether it lies between.
    pub fn holds(&self, at: Millis) -> bool {
        self.from <= at && at < self.to
    }
}

/// Both copies: the policy in force, and the new one.
type Both<T> = [T; 2];

/// Compares. Everything that the log holds is replayed up to the span's end, so that what was open or covered at its beginning is known.
pub async fn run(site: &Site, clock: Clock, policy: &Policy, span: Span, language: Language) -> Result<Report, Failure> {
    // As if one owner had all: nothing is written, so that nobody minds.
    let tables = router::Site::open(&site.log, Arc::clone(&site.schemas), site.signers.clone(), clock, 1, None).await?;
    let in_force = Policy::clone(&tables.policy());
    let mut policy = policy.clone();
    policy.version = policy.version.max(in_force.version + 1);
    let versions = [in_force.version, policy.version];
    let sites: Both<Arc<router::Site>> = [tables.under(in_force), tables.under(policy)];

    let mut visits: Both<Visits> = [Visits::new(span), Visits::new(span)];
    let mut replays: Both<Replay> = sites.clone().map(|site| Replay::new(site, States::default()));
    let mut inputs = Merged::open(&*site.log, &REPLAYED).await?;
    let bar = progress(inputs.total(), words::replaying(language))?;
    let (mut since, mut events, mut actions) = (None, 0, 0);
    while let Some((topic, record)) = inputs.next().await? {
        if clock == Clock::Wall && record.timestamp >= span.to.0 {
            break;
        }
        since.get_or_insert(Millis(record.timestamp));
        *(if topic == ACTIONS { &mut actions } else { &mut events }) += 1;
        for (replay, visits) in replays.iter_mut().zip(&mut visits) {
            replay.input(topic, &record, &mut |key, task| visits.see(key, task));
        }
        bar.inc(1);
        if (events + actions) % YIELD_EVERY == 0 {
            tokio::task::yield_now().await;
        }
    }
    if clock == Clock::Wall {
        let end = crate::site::now().min(span.to);
        for (replay, visits) in replays.iter_mut().zip(&mut visits) {
            replay.until(end.0, &mut |key, task| visits.see(key, task));
        }
    }
    bar.finish_and_clear();
    drop(replays);
    let at_once = at_once(site, &sites, language).await?;
    let counts = visits.map(Visits::counts);
    Ok(Report::new(span, since, [events, actions], versions, counts, at_once))
}

/// What would open if the policies were applied now, to all that the log holds of households.
async fn at_once(site: &Site, sites: &Both<Arc<router::Site>>, language: Language) -> Result<Both<Counts>, Failure> {
    let mut tasks = Merged::open(&*site.log, &[TASKS]).await?;
    let bar = progress(tasks.total(), words::looking(language))?;
    let (mut folds, mut states, mut now) = (HashMap::<i32, Fold>::new(), States::default(), 0);
    while let Some((_, record)) = tasks.next().await? {
        now = now.max(record.timestamp);
        bar.inc(1);
        if folds.entry(record.partition).or_default().judge(&record) != Verdict::State {
            continue;
        }
        let Ok(key) = std::str::from_utf8(&record.key) else { continue };
        match record.value {
            Some(value) => drop(states.insert(Arc::from(key), value)),
            None => drop(states.remove(key)),
        }
    }
    let codec = site.schemas.codec();
    let known: Vec<(Arc<str>, Task)> = states.iter().filter_map(|(key, value)| Some((key.clone(), codec.decode(value).ok()?))).collect();
    let span = Span { from: Millis(i64::MIN), to: Millis(i64::MAX) };
    let opened = sites.clone().map(|site| {
        let (mut visits, mut replay) = (Visits::new(span), Replay::new(site, states.clone()));
        known.iter().for_each(|(key, task)| visits.known(key, task));
        replay.policy_applied(now, &mut |key, task| visits.see(key, task));
        visits.counts()
    });
    bar.finish_and_clear();
    Ok(opened)
}

/// It hides itself where stderr is no terminal.
fn progress(total: u64, what: &'static str) -> Result<ProgressBar, Failure> {
    let bar = ProgressBar::new(total);
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {bar:30} {human_pos}/{human_len} {eta}")?);
    bar.set_message(what);
    bar.enable_steady_tick(REDRAW);
    Ok(bar)
}
