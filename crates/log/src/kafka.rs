//! The log on Apache Kafka, by rdkafka. Partitions are given, never chosen; nothing is committed but positions for displays; transactions
//! are not used (docs/adr/0001). What a record means is not its business.
//!
//! **A handle ends at the first append that fails.** Everything that waits is then answered with [`LogError::Away`], what has not been sent
//! is thrown away, and every later append of this handle fails at once. So what reaches a partition through one handle is always a
//! beginning of what was appended, never a series with a hole. Whoever wants to go on connects again. Three things work together:
//! the idempotent producer (order and no duplicates over retries), `enable.gapless.guarantee` (a permanent broker error is fatal for the
//! producer), and a time limit of our own over all that waits: librdkafka's would drop single records and send those behind them.

mod admin;
mod append;
mod config;
mod context;
mod member;
mod queue;
mod read;

pub use config::KafkaConfig;

use crate::{Acknowledgement, Append, From, Log, LogError, Member, NewTopic, Reader, TopicInfo, WantsHeaders};
use admin::Admin;
use append::Appender;
use async_trait::async_trait;
use futures::FutureExt;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::Duration;

/// How long a question to the brokers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// By this name everybody else knows it.
pub type Kafka = KafkaLog;

/// A connection to a Kafka cluster: one producer, one client for questions, and a client for each reader and member.
pub struct KafkaLog {
    config: KafkaConfig,
    admin: Arc<Admin>,
    appender: Appender,
}

impl KafkaLog {
    /// Connects, and waits up to 10 s for the first broker that answers (blocking: at start-up, or by `spawn_blocking`).
    ///
    /// # Errors
    /// [`LogError::Refused`] names the property that is unknown, not allowed, or has a bad value; [`LogError::Away`]: nobody answers.
    pub fn connect(config: &KafkaConfig) -> Result<Arc<KafkaLog>, LogError> {
        config.check()?;
        let admin = Arc::new(Admin::open(config)?);
        admin.learn_topics()?;
        let appender = Appender::open(config)?;
        Ok(Arc::new(KafkaLog { config: config.clone(), admin, appender }))
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.admin.create_topics(topics).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.admin.topics().await
    }

    /// As the trait says. The producer's thread copies the records into the producer's memory, which has room for so many; the others wait
    /// as they came, so callers keep a bounded number under way.
    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        match self.admin.check(&records) {
            Ok(()) => self.appender.append(records),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        let (admin, topic) = (Arc::clone(&self.admin), topic.to_owned());
        blocking(move || admin.offsets(&topic, partition)).await
    }

    /// As the trait says. Records of a batch share one buffer: keep a copy of what is kept for long.
    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        self.read_lean(from, Arc::new(|_, _| true)).await
    }

    /// As the trait says. librdkafka parses the headers of a record when it is asked for them.
    async fn read_lean(&self, from: Vec<From>, wants_headers: WantsHeaders) -> Result<Box<dyn Reader>, LogError> {
        let (admin, config) = (Arc::clone(&self.admin), self.config.clone());
        blocking(move || read::open(admin, &config, from, wants_headers)).await
    }

    /// As the trait says. Membership is static: a member that is dropped keeps its partitions for `session.timeout.ms` (10 s, or what the
    /// configuration says), and gets them back without any change for the others when it joins again before.
    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        let (admin, config) = (Arc::clone(&self.admin), self.config.clone());
        let (group, member) = (group.to_owned(), member.to_owned());
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        blocking(move || member::join(&admin, &config, &group, &member, topics)).await
    }

    /// As the trait says. Kafka takes no offsets from outside for a group that has members, so they are committed for a group of their
    /// own, `<group>.positions`: that is the name to look for in Kafka's own tools.
    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        let (admin, config) = (Arc::clone(&self.admin), self.config.clone());
        let (group, positions) = (group.to_owned(), positions.to_vec());
        blocking(move || admin.note_position(&config, &group, &positions)).await
    }

    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        let (admin, config, group) = (Arc::clone(&self.admin), self.config.clone(), group.to_owned());
        blocking(move || admin.noted_positions(&config, &group)).await
    }
}

/// rdkafka's questions block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, LogError> + Send + 'static) -> Result<T, LogError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LogError::Away(format!("a question to Kafka ended early: {error}"))))
}

/// What a caller can do about it decides. Away is what may be better later.
fn sorted(error: &KafkaError) -> LogError {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, InvalidConfig, InvalidPartitions, InvalidReplicationFactor, InvalidTopic,
        PolicyViolation, SaslAuthenticationFailed, TopicAuthorizationFailed, UnsupportedSASLMechanism,
    };
    match error {
        // The value may be a password: only the key is named.
        KafkaError::ClientConfig(_, reason, key, _) => LogError::Refused(format!("Kafka property {key}: {reason}")),
        KafkaError::ClientCreation(reason) => LogError::Refused(format!("Kafka properties: {reason}")),
        other => match other.rdkafka_error_code() {
            Some(
                ClusterAuthorizationFailed
                | GroupAuthorizationFailed
                | InvalidConfig
                | InvalidPartitions
                | InvalidReplicationFactor
                | InvalidTopic
                | PolicyViolation
                | SaslAuthenticationFailed
                | TopicAuthorizationFailed
                | UnsupportedSASLMechanism,
            ) => LogError::Refused(other.to_string()),
            _ => LogError::Away(other.to_string()),
        },
    }
}
