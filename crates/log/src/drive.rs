//! Drives owners: what the machines in `owner.rs` want is done on a log, and what comes of it is told to them. One task for all
//! partitions of a loop; one reader for their own topic, one for their inputs, so that inputs can wait while own records are read.

use crate::clock::now_ms;
use crate::owner::{Command, Event, Logic, Owner, Rules, Stopped};
use crate::{Appended, Assignment, Batch, From, Log, LogError, Reader, WantsHeaders};
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

mod cache;

pub use cache::FoldCache;

/// How often positions are written and caches stored.
const TICK: Duration = Duration::from_millis(200);
/// How long an owner that was superseded waits before it claims again, if the group still gives it the partition.
const CLAIM_AGAIN: Duration = Duration::from_secs(5);
/// How long draining may take.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long storing caches may take behind that: what is not stored is folded again.
const SAVE_MAX: Duration = Duration::from_secs(2);
/// Ticks between two notes of the position for displays.
const NOTE_EVERY: u32 = 10;

/// The tables that a logic looks at.
#[async_trait]
pub trait Tables: Send + Sync {
    /// Reads each to its present end.
    async fn catch_up(&self) -> Result<(), LogError>;
}

/// A loop of the router: which topics, by what logic.
pub struct Loop<L> {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The fenced topic that it owns.
    pub topic: &'static str,
    /// What it reads.
    pub inputs: Vec<&'static str>,
    /// Name for positions in displays.
    pub group: String,
    /// Of what inputs the headers are wanted.
    pub wants_headers: WantsHeaders,
    /// All of them, but in null controls.
    pub rules: Rules,
    /// A logic for each partition.
    pub logic: Box<dyn Fn(i32) -> L + Send>,
    /// Where folds are cached; none: every start folds the topic.
    pub cache_dir: Option<std::path::PathBuf>,
    /// Tables.
    pub tables: Arc<dyn Tables>,
    /// Keys of tables that change.
    pub changes: mpsc::Receiver<(&'static str, Arc<Vec<String>>)>,
    /// Which partitions are ours.
    pub assignments: mpsc::UnboundedReceiver<Assignment>,
    /// Turns true to drain and end.
    pub shutdown: watch::Receiver<bool>,
}

struct Held<L> {
    owner: Owner<L>,
    life: u64,
    cache: Option<FoldCache>,
}

type Done = (i32, u64, Event);

struct Driver<L> {
    wanted: Loop<L>,
    owned: Box<dyn Reader>,
    inputs: Box<dyn Reader>,
    held: BTreeMap<i32, Held<L>>,
    assigned: BTreeSet<i32>,
    /// Partitions to be claimed at that time.
    claims: BTreeMap<i32, Instant>,
    lives: u64,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// Runs the loop until it is told to shut down.
///
/// # Errors
/// The log is away, or refuses: whoever runs it starts it again with a new handle.
pub async fn drive<L: Logic>(wanted: Loop<L>) -> Result<(), LogError> {
    let inputs = wanted.log.read_lean(vec![], wanted.wants_headers.clone()).await?;
    let owned = wanted.log.read(vec![]).await?;
    let (held, assigned, claims) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let mut driver = Driver { wanted, owned, inputs, held, assigned, claims, lives: 0, under_way: FuturesUnordered::new() };
    driver.run().await
}

impl<L: Logic> Driver<L> {
    async fn run(&mut self) -> Result<(), LogError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut ticks, mut drain_until, mut tables_open) = (0u32, None, true);
        loop {
            let draining = drain_until.is_some();
            let has_room = !draining && self.held.values().all(|held| held.owner.has_room());
            tokio::select! {
                biased;
                // First of all: whoever folds a long topic always has more to read.
                changed = self.wanted.shutdown.changed(), if !draining => {
                    if changed.is_err() || *self.wanted.shutdown.borrow() {
                        drain_until = Some(Instant::now() + DRAIN_MAX);
                    }
                }
                () = tokio::time::sleep_until(drain_until.unwrap_or_else(Instant::now)), if draining => return self.end().await,
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.tick(ticks).await?;
                    if draining && self.held.values().all(|held| held.owner.is_idle() || !held.owner.is_active()) {
                        return self.end().await;
                    }
                }
                Some((partition, life, event)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.tell(partition, Some(life), event).await?;
                }
                batch = self.owned.next(), if !self.held.is_empty() => {
                    let batch = batch?;
                    self.tell(batch.partition, None, Event::Own(batch)).await?;
                }
                Some(change) = self.wanted.assignments.recv(), if !draining => self.assign(change).await?,
                change = self.wanted.changes.recv(), if tables_open && !draining => match change {
                    Some((topic, keys)) => {
                        for partition in self.held.keys().copied().collect::<Vec<_>>() {
                            self.tell(partition, None, Event::Changed(topic, keys.clone())).await?;
                        }
                    }
                    None => tables_open = false,
                },
                batch = self.inputs.next(), if has_room && !self.held.is_empty() => {
                    let batch: Batch = batch?;
                    self.tell(batch.partition, None, Event::Input(batch)).await?;
                }
            }
        }
    }

    async fn assign(&mut self, change: Assignment) -> Result<(), LogError> {
        match change {
            Assignment::Assigned(partitions) => {
                for partition in partitions {
                    // Each reads its cache first; whoever is told to end begins none.
                    if !*self.wanted.shutdown.borrow() && self.assigned.insert(partition) {
                        self.claim(partition).await?;
                    }
                }
            }
            Assignment::Revoked(partitions) => {
                for partition in partitions {
                    self.assigned.remove(&partition);
                    self.claims.remove(&partition);
                    self.let_go(partition).await?;
                }
            }
        }
        Ok(())
    }

    /// A new life as the owner of this partition.
    async fn claim(&mut self, partition: i32) -> Result<(), LogError> {
        self.lives += 1;
        let (first, _) = self.wanted.log.offsets(self.wanted.topic, partition).await?;
        let (cache, fold) = match &self.wanted.cache_dir {
            Some(dir) => {
                let (cache, fold) = FoldCache::open(dir, &*self.wanted.log, self.wanted.topic, partition).await;
                (Some(cache), fold)
            }
            None => (None, None),
        };
        let logic = (self.wanted.logic)(partition);
        let claim = uuid::Uuid::new_v4().to_string();
        let inputs = self.wanted.inputs.clone();
        let (owner, commands) = Owner::new(self.wanted.topic, partition, inputs, self.wanted.rules, logic, &claim, fold);
        let offset = owner.tail().max(first);
        let life = self.lives;
        self.held.insert(partition, Held { owner, life, cache });
        self.owned.add(vec![From { topic: self.wanted.topic.to_owned(), partition, offset }]).await?;
        tracing::info!(topic = self.wanted.topic, partition, from = offset, "claims a partition");
        self.obey(partition, commands).await
    }

    async fn let_go(&mut self, partition: i32) -> Result<(), LogError> {
        if self.held.remove(&partition).is_none() {
            return Ok(());
        }
        self.owned.remove(&[(self.wanted.topic.to_owned(), partition)]).await?;
        let inputs: Vec<_> = self.wanted.inputs.iter().map(|topic| ((*topic).to_owned(), partition)).collect();
        self.inputs.remove(&inputs).await
    }

    /// Tells an owner; what comes too late for its life is nothing.
    async fn tell(&mut self, partition: i32, life: Option<u64>, event: Event) -> Result<(), LogError> {
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        if life.is_some_and(|life| life != held.life) {
            return Ok(());
        }
        let commands = held.owner.handle(event);
        self.obey(partition, commands).await
    }

    async fn obey(&mut self, partition: i32, commands: Vec<Command>) -> Result<(), LogError> {
        for command in commands {
            let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
            let life = held.life;
            match command {
                Command::Append(number, records) => {
                    let appended = self.wanted.log.append(records);
                    self.under_way.push(Box::pin(async move { (partition, life, Event::Appended(number, appended.await)) }));
                }
                Command::CatchUpTables => {
                    let tables = self.wanted.tables.clone();
                    self.under_way.push(Box::pin(async move {
                        let failed = |error| Event::Appended(0, Err::<Vec<Appended>, _>(error));
                        (partition, life, tables.catch_up().await.map_or_else(failed, |()| Event::TablesReady))
                    }));
                }
                Command::ReadInputs(from) => {
                    tracing::info!(topic = self.wanted.topic, partition, states = held.owner.states().len(), "owns a partition");
                    self.inputs.add(from).await?;
                }
                Command::Cache(snapshot) => {
                    if let Some(cache) = &mut held.cache {
                        cache.store(snapshot);
                    }
                }
                Command::Stop(why) => {
                    tracing::warn!(topic = self.wanted.topic, partition, reason = %why, "an owner ends");
                    self.let_go(partition).await?;
                    match why {
                        Stopped::Append(error) => return Err(error),
                        Stopped::Superseded | Stopped::TooFarBehind if self.assigned.contains(&partition) => {
                            self.claims.insert(partition, Instant::now() + CLAIM_AGAIN);
                        }
                        Stopped::Superseded | Stopped::TooFarBehind => {}
                    }
                }
            }
        }
        Ok(())
    }

    async fn tick(&mut self, ticks: u32) -> Result<(), LogError> {
        let now = now_ms();
        for partition in self.held.keys().copied().collect::<Vec<_>>() {
            self.tell(partition, None, Event::Tick(now)).await?;
        }
        let due: Vec<i32> = self.claims.iter().filter(|(_, at)| **at <= Instant::now()).map(|(partition, _)| *partition).collect();
        for partition in due {
            self.claims.remove(&partition);
            self.claim(partition).await?;
        }
        if ticks.is_multiple_of(NOTE_EVERY) {
            self.note_positions().await;
        }
        Ok(())
    }

    /// What is left to do when all is drained, or the time for it is over.
    async fn end(&mut self) -> Result<(), LogError> {
        let left = async {
            self.note_positions().await;
            self.save().await
        };
        tokio::time::timeout(SAVE_MAX, left).await.unwrap_or_else(|_| {
            tracing::warn!("storing caches takes longer than an end may: the next start folds more");
            Ok(())
        })
    }

    /// The next start folds from here.
    async fn save(&mut self) -> Result<(), LogError> {
        for partition in self.held.keys().copied().collect::<Vec<_>>() {
            self.tell(partition, None, Event::Save).await?;
        }
        for held in self.held.values_mut() {
            if let Some(cache) = &mut held.cache {
                cache.finish().await;
            }
        }
        Ok(())
    }

    /// For displays alone: a failure is no more than a line in the log.
    async fn note_positions(&mut self) {
        let positions: Vec<From> = self.held.values().flat_map(|held| held.owner.positions()).collect();
        if !positions.is_empty()
            && let Err(error) = self.wanted.log.note_position(&self.wanted.group, &positions).await
        {
            tracing::warn!(%error, "positions cannot be noted for displays");
        }
    }
}
