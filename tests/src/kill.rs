//! `cargo xtask kill`: the whole process is killed at random moments under load, again and again. Afterwards every visit that must be
//! there is there once, and the books close.
//!
//! Two rounds, twenty days of the events' clock apart, so that every household has two episodes: its second begins when its first,
//! screened or not, is over.

mod load;

use crate::log_choice::LogKind;
use crate::topics;
use anyhow::{Result, ensure};
use events::{Task, TaskState};
use load::{Load, Round};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::oracle::{self, Findings, Seen, Truth};
use testkit::site::{MANDATE, Options as SiteOptions, PATIENCE, Site, until};

/// Longest time under load between two kills, in milliseconds.
const QUIET_MS_MAX: u64 = 2_000;
/// One kill of so many hits the process while it starts.
const STARTING_OF: u32 = 4;
/// Days between the two rounds: more than a window and a cover.
const ROUND_DAYS: i64 = 20;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which log.
    pub log: LogKind,
    /// How many kills, over both rounds.
    pub count: u32,
    /// The same seed draws the same city, journeys and pauses; the moments of the kills are the machine's.
    pub seed: u64,
    /// Events per second, of all sources.
    pub rate: u32,
    /// `testkit::site::PROGRAM`, or the one without dedupe, which must not pass.
    pub program: &'static str,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On which log.
    pub log: &'static str,
    /// The seed.
    pub seed: u64,
    /// Kills.
    pub kills: u32,
    /// Of those, while the process started.
    pub kills_while_starting: u32,
    /// Distinct events that were accepted.
    pub events: usize,
    /// Records sent, with repeats and what had to be sent again.
    pub records_sent: u64,
    /// Households with a signal.
    pub households: usize,
    /// Visits that there must be.
    pub tasks: usize,
    /// Screenings that were answered.
    pub screened: usize,
    /// Visits that are missing.
    pub lost: usize,
    /// Visits too many.
    pub doubled: usize,
    /// Accepted events without a decision.
    pub undecided: usize,
    /// Events whose code was said again with another visit.
    pub restated: usize,
    /// Anything else that must not be.
    pub wrong: usize,
    /// Whether the ledger closes, and counts as many events as were accepted.
    pub ledger_closed: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was found, in words.
    #[serde(skip)]
    pub findings: Findings,
}

impl Report {
    /// Whether nothing was lost, doubled or left open.
    pub fn passes(&self) -> bool {
        self.ledger_closed && self.findings.is_clean() && self.tasks > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.findings)?;
        let ledger = if self.ledger_closed { "closed" } else { "NOT CLOSED" };
        let Report { log, kills, kills_while_starting, events, records_sent, households, tasks, screened, .. } = self;
        write!(
            f,
            "kill: log {log}, {kills} kills ({kills_while_starting} while starting), {records_sent} records sent, {events} events, \
             {households} households, {tasks} tasks, {screened} screened, lost {}, doubled {}, undecided {}, restated {}, wrong {}, ledger {ledger}, \
             seed {}, {:.0} s",
            self.lost, self.doubled, self.undecided, self.restated, self.wrong, self.seed, self.seconds
        )
    }
}

/// Runs it. `progress` hears a line after each kill.
///
/// # Errors
/// The site does not start or come to rest, or answers what it must not.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    let began = Instant::now();
    let (log, _kafka) = options.log.start().await?;
    let mut site = Site::start(SiteOptions { program: options.program, ..SiteOptions::of_events(log) }).await?;
    let load = Load::new(site.client.clone(), options.seed, options.count.div_ceil(2), options.rate);
    site.import(&load.register()).await?;
    let watcher = tokio::spawn(Arc::clone(&load).watch());
    let mut rng = StdRng::seed_from_u64(options.seed);
    let (mut kills, mut kills_while_starting) = (0, 0);
    for round in 0..2 {
        let workers = load.begin(Round { number: round, first_day: i64::from(round) * ROUND_DAYS });
        let until_kill = if round == 0 { options.count.div_ceil(2) } else { options.count };
        while kills < until_kill {
            tokio::time::sleep(Duration::from_millis(rng.random_range(20..QUIET_MS_MAX))).await;
            site.kill9();
            kills += 1;
            if kills < until_kill && rng.random_ratio(1, STARTING_OF) {
                site.launch()?;
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
                site.kill9();
                kills += 1;
                kills_while_starting += 1;
            }
            site.restart().await?;
            load.next_cohort();
            progress(&format!("kill {kills} of {}: {}", options.count, load.figures()));
        }
        load.end();
        for worker in workers {
            worker.await??;
        }
        site.closed_ledger().await?;
        progress(&format!("round {} of 2 is at rest: {}", round + 1, load.figures()));
    }
    let truth = load.truth();
    load.until_shown(&expected_tasks(&truth)).await?;
    watcher.abort();
    let seen = seen(&site, &load).await?;
    let findings = oracle::check(&truth, &seen);
    let ledger = site.closed_ledger().await?;
    site.stop().await?;
    Ok(Report {
        log: options.log.as_str(),
        seed: options.seed,
        kills,
        kills_while_starting,
        events: truth.accepted.len(),
        records_sent: load.records_sent(),
        households: oracle::signals(&truth).len(),
        tasks: expected_tasks(&truth).len(),
        screened: truth.screened.len(),
        lost: findings.lost.len(),
        doubled: findings.doubled.len(),
        undecided: findings.undecided.len(),
        restated: findings.restated.len(),
        wrong: findings.wrong.len(),
        ledger_closed: ledger.closed && ledger.accepted == truth.accepted.len() as u64,
        seconds: began.elapsed().as_secs_f64(),
        findings,
    })
}

/// Ids of all visits that there must be.
fn expected_tasks(truth: &Truth) -> Vec<(String, String)> {
    let ids = |(household, signals): (&str, Vec<_>)| {
        let visits = oracle::visits(&signals);
        let id = |episode| events::ids::task_id(MANDATE, household, episode as i64).to_string();
        (1..=visits).map(|episode| (household.to_owned(), id(episode))).collect::<Vec<_>>()
    };
    oracle::signals(truth).into_iter().flat_map(ids).collect()
}

/// What is there now, read from the topics and as the worker sees it.
async fn seen(site: &Site, load: &Load) -> Result<Seen> {
    let log = site.log().await?;
    let (decisions, tasks) = (topics::decisions(&log).await?, topics::tasks(&log).await?);
    ensure!(!decisions.is_empty(), "no decision can be read");
    let is_listed = |task: &&Task| matches!(task.state, TaskState::Open | TaskState::Claimed | TaskState::Done);
    let due: BTreeSet<&str> = tasks.iter().filter(is_listed).map(|task| task.task_id.as_str()).collect();
    // The inbox follows the topic: its list is the last to know.
    let listed = until("the inbox to list the tasks that are there", PATIENCE, async || {
        let listed = site.client.tasks().await?;
        let ids: BTreeSet<&str> = listed.iter().filter_map(|task| task["task_id"].as_str()).collect();
        let other = ids.symmetric_difference(&due).count();
        Ok(if other == 0 { Ok(listed) } else { Err(format!("{} are listed, {} are there", ids.len(), due.len())) })
    })
    .await?;
    let open = listed.iter().filter(|task| matches!(task["state"].as_str(), Some("OPEN" | "CLAIMED")));
    let open = open.map(|task| task["household"].as_str().unwrap_or("~").to_owned()).collect();
    Ok(Seen { mandate: MANDATE.to_owned(), decisions, tasks, shown: load.shown(), open })
}
