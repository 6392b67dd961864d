//! Questions and orders to the cluster: topics, offsets, positions for displays.

use super::config::KafkaConfig;
use super::context::Context;
use super::{ANSWER_TIMEOUT, queue, sorted};
use crate::{Append, From, LogError, NewTopic, TopicInfo};
use parking_lot::{Mutex, RwLock};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, ConfigSource, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Replicas of a topic where there are as many brokers.
const REPLICAS_MAX: i32 = 3;
/// A topic's setting for the greatest batch, what is taken for it before it has been asked for, and what framing takes of it.
const RECORD_BYTES_KEY: &str = "max.message.bytes";
const RECORD_BYTES_MAX: usize = 1_000_000;
const FRAMING_BYTES: usize = 512;
/// Settings that are told even where they stand at the brokers' default.
const ALWAYS_TOLD: &[&str] = &[
    "cleanup.policy",
    "delete.retention.ms",
    "message.timestamp.type",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "retention.ms",
    "segment.ms",
];

/// What appending needs to know of a topic.
#[derive(Clone, Copy)]
struct Known {
    partitions: i32,
    record_bytes_max: usize,
}

pub(super) struct Admin {
    client: AdminClient<Context>,
    // As far as anybody has asked: an append that cannot work must be told at once, for one that fails later ends the handle.
    known: RwLock<HashMap<String, Known>>,
    noters: Mutex<HashMap<String, Arc<BaseConsumer<Context>>>>,
}

impl Admin {
    pub(super) fn open(config: &KafkaConfig) -> Result<Admin, LogError> {
        let client = AdminClient::from_config_and_context(&config.admin(), Context).map_err(|error| sorted(&error))?;
        Ok(Admin { client, known: RwLock::default(), noters: Mutex::default() })
    }

    /// Asks for all topics, which creates none even where brokers create what is asked for. Blocks.
    pub(super) fn learn_topics(&self) -> Result<Metadata, LogError> {
        let answer = self.client.inner().fetch_metadata(None, ANSWER_TIMEOUT);
        // A wrong password and a certificate that is not believed look alike otherwise.
        let failure = queue::last_failure(self.client.inner());
        let metadata = answer.map_err(|error| match (sorted(&error), failure) {
            (LogError::Away(error), Some(failure)) => LogError::Away(format!("{error}; {failure}")),
            (error, _) => error,
        })?;
        let mut known = self.known.write();
        let topics = metadata.topics().iter().map(|topic| {
            let record_bytes_max = known.get(topic.name()).map_or(RECORD_BYTES_MAX, |known| known.record_bytes_max);
            (topic.name().to_owned(), Known { partitions: count(topic.partitions().len()), record_bytes_max })
        });
        *known = topics.collect();
        drop(known);
        Ok(metadata)
    }

    /// # Errors
    /// [`LogError::NoTopic`]. Asks the brokers (blocking) only where it does not know the topic yet.
    pub(super) fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.known(topic).map(|known| known.partitions)
    }

    fn known(&self, topic: &str) -> Result<Known, LogError> {
        let known = self.known.read().get(topic).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        self.learn_topics()?;
        self.known.read().get(topic).copied().ok_or_else(|| LogError::NoTopic(topic.to_owned()))
    }

    fn check_partition(&self, topic: &str, partition: i32) -> Result<Known, LogError> {
        let mut known = self.known(topic)?;
        if partition >= known.partitions {
            // Somebody may have added partitions.
            self.learn_topics()?;
            known = self.known(topic)?;
        }
        if partition < 0 || partition >= known.partitions {
            return Err(LogError::NoTopic(format!("{topic}/{partition}")));
        }
        Ok(known)
    }

    /// # Errors
    /// [`LogError::NoTopic`]; [`LogError::Refused`] for a record that is too large for its topic.
    pub(super) fn check(&self, records: &[Append]) -> Result<(), LogError> {
        let mut last: Option<(&str, Known)> = None;
        for record in records {
            let known = match last {
                Some((topic, known)) if topic == record.topic && (0..known.partitions).contains(&record.partition) => known,
                _ => self.check_partition(&record.topic, record.partition)?,
            };
            last = Some((&record.topic, known));
            let (bytes, most) = (size(record), known.record_bytes_max);
            if bytes > most {
                return Err(LogError::Refused(format!("a record of {bytes} bytes for {}: at most {most}", record.topic)));
            }
        }
        Ok(())
    }

    /// First and end offset. Blocks; asks again where the partition has just got another leader, which librdkafka does not do by itself.
    pub(super) fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.check_partition(topic, partition)?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let asked = self.offsets_within(topic, partition, deadline.saturating_duration_since(Instant::now()));
            if !matches!(asked, Err(LogError::Away(_))) || Instant::now() > deadline {
                return asked;
            }
            std::thread::sleep(ASK_AGAIN);
            // The answer, or the lack of one, shows with the next question.
            let _ = self.learn_topics();
        }
    }

    pub(super) fn offsets_within(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), LogError> {
        self.client.inner().fetch_watermarks(topic, partition, timeout).map_err(|error| sorted(&error))
    }

    pub(super) async fn create_topics(self: &Arc<Self>, topics: &[NewTopic]) -> Result<(), LogError> {
        let admin = Arc::clone(self);
        let metadata = super::blocking(move || admin.learn_topics()).await?;
        let replicas = count(metadata.brokers().len()).clamp(1, REPLICAS_MAX);
        drop(metadata);
        let missing: Vec<&NewTopic> = topics.iter().filter(|topic| !self.known.read().contains_key(&topic.name)).collect();
        if missing.is_empty() {
            return self.describe().await.map(drop);
        }
        let orders: Vec<_> = missing.iter().map(|topic| order(topic, replicas)).collect();
        let results = self.client.create_topics(&orders, &patient()).await.map_err(|error| sorted(&error))?;
        for result in results {
            match result {
                // Another process was quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(about_topic(&name, code)),
            }
        }
        let (admin, names) = (Arc::clone(self), missing.iter().map(|topic| topic.name.clone()).collect());
        super::blocking(move || admin.wait_for_leaders(names)).await?;
        self.describe().await.map(drop)
    }

    /// A topic that has just been created is not known to every broker at once.
    fn wait_for_leaders(&self, mut names: Vec<String>) -> Result<(), LogError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let metadata = self.learn_topics()?;
            for topic in metadata.topics() {
                let led = !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0);
                names.retain(|name| !(led && name == topic.name()));
            }
            if names.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LogError::Away(format!("topics created but without a leader: {}", names.join(", "))));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    pub(super) async fn topics(self: &Arc<Self>) -> Result<Vec<TopicInfo>, LogError> {
        let admin = Arc::clone(self);
        drop(super::blocking(move || admin.learn_topics()).await?);
        self.describe().await
    }

    /// All known topics but Kafka's own, sorted; learns how large their records may be.
    async fn describe(&self) -> Result<Vec<TopicInfo>, LogError> {
        let known: BTreeMap<String, i32> = self.known.read().iter().map(|(name, known)| (name.clone(), known.partitions)).collect();
        let names = known.keys().filter(|name| !name.starts_with("__"));
        let resources: Vec<ResourceSpecifier<'_>> = names.map(|name| ResourceSpecifier::Topic(name)).collect();
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let described = self.client.describe_configs(&resources, &patient()).await.map_err(|error| sorted(&error))?;
        let mut settings: HashMap<String, Vec<(String, String)>> = HashMap::new();
        // One that may not be described is told without settings.
        for resource in described.into_iter().flatten() {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            let most = resource.get(RECORD_BYTES_KEY).and_then(|entry| entry.value.as_ref()?.parse::<usize>().ok());
            if let (Some(most), Some(known)) = (most, self.known.write().get_mut(name)) {
                known.record_bytes_max = most.saturating_sub(FRAMING_BYTES);
            }
            settings.insert(name.clone(), told(resource));
        }
        let listed = known.into_iter().filter(|(name, _)| !name.starts_with("__"));
        let info = |(name, partitions)| {
            let settings = settings.remove(&name).unwrap_or_default();
            TopicInfo { name, partitions, settings }
        };
        Ok(listed.map(info).collect())
    }

    /// Blocks.
    pub(super) fn note_position(&self, config: &KafkaConfig, group: &str, positions: &[From]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for From { topic, partition, offset } in positions {
            self.check_partition(topic, *partition)?;
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(|error| sorted(&error))?;
        }
        if positions.is_empty() {
            return Ok(());
        }
        let noter = self.noter(config, group)?;
        let committed = noter.commit(&list, CommitMode::Sync);
        // Its own log lines would gather otherwise.
        while noter.poll(Duration::ZERO).is_some() {}
        committed.map_err(|error| sorted(&error))
    }

    /// Blocks.
    pub(super) fn noted_positions(&self, config: &KafkaConfig, group: &str) -> Result<Vec<From>, LogError> {
        drop(self.learn_topics()?);
        let mut list = TopicPartitionList::new();
        for (topic, known) in self.known.read().iter() {
            for partition in 0..known.partitions {
                list.add_partition(topic, partition);
            }
        }
        let noted = self.noter(config, group)?.committed_offsets(list, ANSWER_TIMEOUT).map_err(|error| sorted(&error))?;
        let position = |((topic, partition), offset): ((String, i32), Offset)| match offset {
            Offset::Offset(offset) => Some(From { topic, partition, offset }),
            _ => None,
        };
        let mut positions: Vec<From> = noted.to_topic_map().into_iter().filter_map(position).collect();
        positions.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        Ok(positions)
    }

    fn noter(&self, config: &KafkaConfig, group: &str) -> Result<Arc<BaseConsumer<Context>>, LogError> {
        let mut noters = self.noters.lock();
        if let Some(noter) = noters.get(group) {
            return Ok(Arc::clone(noter));
        }
        let settings = config.consumer(&format!("{group}.positions"));
        let noter = Arc::new(BaseConsumer::from_config_and_context(&settings, Context).map_err(|error| sorted(&error))?);
        noters.insert(group.to_owned(), Arc::clone(&noter));
        Ok(noter)
    }
}

impl Drop for Admin {
    /// Closing a consumer can take as long as a broker is away: nobody waits for it.
    fn drop(&mut self) {
        let noters = std::mem::take(self.noters.get_mut());
        if !noters.is_empty() {
            std::thread::spawn(move || drop(noters));
        }
    }
}

fn patient() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn order<'a>(topic: &'a NewTopic, replicas: i32) -> rdkafka::admin::NewTopic<'a> {
    let mut order = rdkafka::admin::NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(replicas));
    // One of three may be away: that is what an acknowledgement is worth.
    if replicas >= 3 {
        order = order.set("min.insync.replicas", "2");
    }
    topic.settings.iter().fold(order, |order, (name, value)| order.set(name, value))
}

fn about_topic(name: &str, code: RDKafkaErrorCode) -> LogError {
    match sorted(&rdkafka::error::KafkaError::AdminOp(code)) {
        LogError::Refused(reason) => LogError::Refused(format!("topic {name}: {reason}")),
        other => other,
    }
}

fn told(resource: ConfigResource) -> Vec<(String, String)> {
    let worth_telling =
        |entry: &rdkafka::admin::ConfigEntry| entry.source == ConfigSource::DynamicTopic || ALWAYS_TOLD.contains(&entry.name.as_str());
    let entries = resource.entries.into_iter().filter(worth_telling);
    let mut settings: Vec<(String, String)> = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
    settings.sort();
    settings
}

/// What a record takes in a batch, without the batch's own head.
fn size(record: &Append) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
    record.key.len() + record.value.as_deref().map_or(0, <[u8]>::len) + headers
}
