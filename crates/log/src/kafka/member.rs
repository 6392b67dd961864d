//! Membership of a group: which partition numbers are this process's. It reads nothing; safety never depends on it (`fencing.rs`).
//!
//! The classic protocol takes everything away and gives it again at every change. Held here is what a member really loses: partitions
//! that come back in the same change are not told.

use super::admin::Admin;
use super::config::KafkaConfig;
use super::{context, sorted};
use crate::{Assignment, LogError, Member};
use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long it listens before it looks whether it should end.
const LISTEN: Duration = Duration::from_millis(100);

struct KafkaMember {
    changes: mpsc::UnboundedReceiver<Result<Assignment, LogError>>,
    stop: Arc<AtomicBool>,
}

#[async_trait]
impl Member for KafkaMember {
    async fn next(&mut self) -> Result<Assignment, LogError> {
        self.changes.recv().await.unwrap_or_else(|| Err(LogError::Away("the member has ended".into())))
    }
}

impl Drop for KafkaMember {
    /// Only tells the thread: closing a consumer can take as long as a broker is away.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Blocks.
pub(super) fn join(
    admin: &Admin,
    config: &KafkaConfig,
    group: &str,
    member: &str,
    mut topics: Vec<String>,
) -> Result<Box<dyn Member>, LogError> {
    // All members name the same topics, in whatever order: one of them stands for all.
    topics.sort();
    let first = topics.first().ok_or_else(|| LogError::Refused(format!("group {group} has no topics")))?;
    let partitions = admin.partitions(first)?;
    for topic in &topics {
        let others = admin.partitions(topic)?;
        if others != partitions {
            let reason = format!("topics of group {group} must have the same partitions: {first} has {partitions}, {topic} {others}");
            return Err(LogError::Refused(reason));
        }
    }
    let session = config.session_timeout()?;
    let mut settings = config.consumer(group);
    settings.set("group.instance.id", member).set("session.timeout.ms", session.as_millis().to_string());
    if settings.get("heartbeat.interval.ms").is_none() {
        settings.set("heartbeat.interval.ms", (session.as_millis() / 4).max(1).to_string());
    }
    let consumer = BaseConsumer::from_config_and_context(&settings, Rebalances::default()).map_err(|error| sorted(&error))?;
    consumer.subscribe(&[first]).map_err(|error| sorted(&error))?;
    let (told, changes) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("kafka member".into());
    thread.spawn(move || listen(&consumer, session, &told, &stopped)).map_err(|error| LogError::Away(error.to_string()))?;
    Ok(Box::new(KafkaMember { changes, stop }))
}

fn listen(
    consumer: &BaseConsumer<Rebalances>,
    grace: Duration,
    told: &mpsc::UnboundedSender<Result<Assignment, LogError>>,
    stop: &AtomicBool,
) {
    let mut held = Held::default();
    while !stop.load(Ordering::Relaxed) {
        let polled = consumer.poll(LISTEN);
        let now = Instant::now();
        let rebalances = std::mem::take(&mut *consumer.context().0.lock());
        let changes = rebalances.into_iter().flat_map(|rebalance| held.apply(rebalance, now)).collect::<Vec<_>>();
        for change in changes.into_iter().chain(held.give_up(now, grace)) {
            let _ = told.send(Ok(change));
        }
        if let Some(Err(error)) = polled
            && let Some(error) = hopeless(consumer, &error)
        {
            let _ = told.send(Err(error));
            return;
        }
    }
}

/// Also where another process joins under the same name: then this one is fenced.
fn hopeless(consumer: &BaseConsumer<Rebalances>, error: &KafkaError) -> Option<LogError> {
    if let Some((code, reason)) = consumer.client().fatal_error() {
        return Some(LogError::Away(format!("the group has put this member out: {code}: {reason}")));
    }
    match sorted(error) {
        refused @ LogError::Refused(_) => Some(refused),
        _ => None,
    }
}

/// What the group says.
enum Rebalance {
    Assigned(BTreeSet<i32>),
    /// Everything; for good where the group had already given it to others.
    Revoked {
        lost: bool,
    },
}

/// What the caller believes to have.
#[derive(Default)]
struct Held {
    partitions: BTreeSet<i32>,
    // Everything has been taken away, and nothing given yet.
    revoked: Option<Instant>,
}

impl Held {
    fn apply(&mut self, rebalance: Rebalance, now: Instant) -> Vec<Assignment> {
        match rebalance {
            Rebalance::Revoked { lost: true } => self.lose(),
            Rebalance::Revoked { lost: false } => {
                self.revoked = Some(now);
                Vec::new()
            }
            Rebalance::Assigned(partitions) => {
                self.revoked = None;
                let gone: Vec<i32> = self.partitions.difference(&partitions).copied().collect();
                let new: Vec<i32> = partitions.difference(&self.partitions).copied().collect();
                self.partitions = partitions;
                let gone = (!gone.is_empty()).then_some(Assignment::Revoked(gone));
                gone.into_iter().chain((!new.is_empty()).then_some(Assignment::Assigned(new))).collect()
            }
        }
    }

    /// A change that does not come to an end may have given everything to others.
    fn give_up(&mut self, now: Instant, grace: Duration) -> Vec<Assignment> {
        match self.revoked {
            Some(since) if now.duration_since(since) > grace => self.lose(),
            _ => Vec::new(),
        }
    }

    fn lose(&mut self) -> Vec<Assignment> {
        self.revoked = None;
        let gone: Vec<i32> = std::mem::take(&mut self.partitions).into_iter().collect();
        if gone.is_empty() { Vec::new() } else { vec![Assignment::Revoked(gone)] }
    }
}

/// Called inside `poll`: writes down what happened, and never waits.
#[derive(Default)]
struct Rebalances(Mutex<Vec<Rebalance>>);

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::log_error(&error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let (rebalance, answered) = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let numbers = partitions.elements().iter().map(|element| element.partition()).collect();
            // Nothing is taken to be read: the assignment is all that is wanted, and the group wants an answer.
            (Rebalance::Assigned(numbers), consumer.assign(&TopicPartitionList::new()))
        } else {
            (Rebalance::Revoked { lost: consumer.assignment_lost() }, consumer.unassign())
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "the group did not take the answer to its change");
        }
        self.0.lock().push(rebalance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(partitions: &[i32]) -> Rebalance {
        Rebalance::Assigned(partitions.iter().copied().collect())
    }

    #[test]
    fn only_what_really_changes_is_told() {
        let (mut held, now) = (Held::default(), Instant::now());
        assert_eq!(held.apply(assigned(&[0, 1, 2, 3]), now), [Assignment::Assigned(vec![0, 1, 2, 3])]);
        assert_eq!(held.apply(Rebalance::Revoked { lost: false }, now), []);
        assert_eq!(held.apply(assigned(&[0, 1]), now), [Assignment::Revoked(vec![2, 3])]);
        assert_eq!(held.apply(Rebalance::Revoked { lost: false }, now), []);
        assert_eq!(held.apply(assigned(&[1, 2]), now), [Assignment::Revoked(vec![0]), Assignment::Assigned(vec![2])]);
        assert_eq!(held.give_up(now + Duration::from_secs(60), Duration::from_secs(6)), []);
    }

    #[test]
    fn what_is_lost_is_told_at_once_and_what_is_not_given_back_after_a_while() {
        let (mut held, now, grace) = (Held::default(), Instant::now(), Duration::from_secs(6));
        held.apply(assigned(&[0]), now);
        assert_eq!(held.apply(Rebalance::Revoked { lost: true }, now), [Assignment::Revoked(vec![0])]);
        held.apply(assigned(&[0]), now);
        held.apply(Rebalance::Revoked { lost: false }, now);
        assert_eq!(held.give_up(now + Duration::from_secs(5), grace), []);
        assert_eq!(held.give_up(now + Duration::from_secs(7), grace), [Assignment::Revoked(vec![0])]);
        assert_eq!(held.give_up(now + Duration::from_secs(60), grace), []);
    }
}
