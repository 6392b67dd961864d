//! The router: two loops of owners over the same partitions, the tables that they share, the group that spreads the work.

use crate::households::{self, Households};
use crate::outgoing::GROUP;
use crate::site::Site;
use crate::travellers::{self, Travellers};
use anyhow::Context as _;
use domain::Clock;
use domain::mandate::Signers;
use eventlog::drive::{Loop, drive};
use eventlog::owner::Rules;
use eventlog::schemas::Schemas;
use eventlog::{Assignment, Log, LogError, NewTopic, WantsHeaders};
use events::topics::{DEAD_LETTER_RETENTION_MS, TASKS, TRAVELLERS, dead_letters};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the router needs to know, whole before anything opens.
#[derive(Clone)]
pub struct Config {
    /// What "now" is.
    pub clock: Clock,
    /// Whose signatures mandates need.
    pub signers: Signers,
    /// Where its caches lie; they may be deleted at any time. None: no caches.
    pub data_dir: Option<PathBuf>,
    /// Its name in the group, stable over restarts.
    pub member: String,
}

/// Runs until told to stop; then it drains.
///
/// # Errors
/// The log is away or refuses, or its topics are missing. Nothing is lost: the next run goes on from positions and records.
pub async fn run(config: Config, log: Arc<dyn Log>, schemas: Arc<Schemas>, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_with(config, log, schemas, shutdown, Rules::ALL).await
}

/// The same, with rules left out: for null controls alone.
///
/// # Errors
/// As `run`.
pub async fn run_with(
    config: Config,
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    shutdown: CancellationToken,
    rules: Rules,
) -> anyhow::Result<()> {
    // Tables are long: whoever is told to stop meanwhile has nothing to drain.
    let Some(opened) = shutdown.run_until_cancelled(open(&config, &log, schemas)).await else { return Ok(()) };
    let (site, partitions) = opened?;
    let (identifier_changes, other_changes) = site.spawn_changes();
    let topics: Vec<&str> = travellers::INPUTS.iter().chain(households::INPUTS).copied().chain([TRAVELLERS, TASKS]).collect();
    let mut member = log.join(GROUP, &config.member, &topics).await?;
    let ((to_travellers, first), (to_households, second)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let (stop, stopped) = watch::channel(false);
    let schemas_of = site.clone();
    // What can be read needs none; what cannot, goes with them to the dead letters.
    let wants_headers: WantsHeaders = Arc::new(move |topic, value| !travellers::is_sound(&schemas_of.codec(), topic, value));
    let (of_travellers, of_households) = (site.clone(), site.clone());
    let travellers = drive(Loop {
        log: log.clone(),
        topic: TRAVELLERS,
        inputs: travellers::INPUTS.to_vec(),
        group: GROUP.to_owned(),
        wants_headers: wants_headers.clone(),
        rules,
        logic: Box::new(move |_| Travellers::new(of_travellers.clone())),
        cache_dir: config.data_dir.as_ref().map(|dir| dir.join("folds")),
        tables: site.clone(),
        changes: identifier_changes,
        assignments: first,
        shutdown: stopped.clone(),
    });
    let households = drive(Loop {
        log: log.clone(),
        topic: TASKS,
        inputs: households::INPUTS.to_vec(),
        group: GROUP.to_owned(),
        wants_headers,
        rules,
        logic: Box::new(move |_| Households::new(of_households.clone())),
        cache_dir: config.data_dir.as_ref().map(|dir| dir.join("folds")),
        tables: site.clone(),
        changes: other_changes,
        assignments: second,
        shutdown: stopped,
    });
    let mut loops = tokio::task::JoinSet::new();
    loops.spawn(travellers);
    loops.spawn(households);
    // Owners hold the same numbers in both loops. Summed over a site's routers, a partition that is missing has no owner.
    metrics::gauge!("oneknock_partitions").set(f64::from(partitions));
    let mut owned = BTreeSet::new();
    let mut assign = |change: Assignment| {
        tracing::info!(?change, "the group says");
        match &change {
            Assignment::Assigned(more) => owned.extend(more.iter().copied()),
            Assignment::Revoked(gone) => owned.retain(|partition| !gone.contains(partition)),
        }
        metrics::gauge!("oneknock_partitions_owned").set(owned.len() as f64);
        let _ = to_travellers.send(change.clone());
        let _ = to_households.send(change);
    };
    let mut draining = false;
    loop {
        tokio::select! {
            change = member.next(), if !draining => assign(change?),
            () = shutdown.cancelled(), if !draining => {
                draining = true;
                let _ = stop.send(true);
            }
            ended = loops.join_next() => match ended {
                Some(ended) => ended.context("a loop of the router has panicked")??,
                None => return Ok(()),
            },
        }
        if !draining && loops.len() < 2 {
            anyhow::bail!("a loop of the router has ended");
        }
    }
}

/// The tables, read to their ends, and how many partitions each topic has.
async fn open(config: &Config, log: &Arc<dyn Log>, schemas: Arc<Schemas>) -> anyhow::Result<(Arc<Site>, i32)> {
    let partitions = partitions(&**log).await.context("the router cannot see its topics")?;
    create_dead_letter_topics(&**log, partitions).await?;
    let site = Site::open(log, schemas, config.signers.clone(), config.clock, partitions, config.data_dir.as_deref()).await;
    Ok((site.context("the router cannot read its tables")?, partitions))
}

async fn partitions(log: &dyn Log) -> Result<i32, LogError> {
    let topics = log.topics().await?;
    let of = |name: &str| topics.iter().find(|topic| topic.name == name).map(|topic| topic.partitions);
    let partitions = of(TASKS).ok_or_else(|| LogError::NoTopic(TASKS.to_owned()))?;
    for topic in events::topics::ALL {
        match of(topic.name) {
            None => return Err(LogError::NoTopic(topic.name.to_owned())),
            Some(other) if other != partitions => {
                return Err(LogError::Refused(format!("topic {} has {other} partitions, {TASKS} has {partitions}", topic.name)));
            }
            Some(_) => {}
        }
    }
    Ok(partitions)
}

async fn create_dead_letter_topics(log: &dyn Log, partitions: i32) -> Result<(), LogError> {
    let setting = |name: &str, value: String| (name.to_owned(), value);
    let topic = |input: &&str| NewTopic {
        name: dead_letters(GROUP, input),
        partitions,
        settings: vec![
            setting("cleanup.policy", "delete".into()),
            setting("retention.ms", DEAD_LETTER_RETENTION_MS.to_string()),
            setting("message.timestamp.type", "LogAppendTime".into()),
        ],
    };
    let topics: Vec<NewTopic> = travellers::INPUTS.iter().chain(households::INPUTS).map(topic).collect();
    log.create_topics(&topics).await
}
