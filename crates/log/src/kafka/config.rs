//! What an operator may say about the Kafka clients, and what is ours alone because correctness rests on it.

use crate::LogError;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::time::Duration;

/// How to reach Kafka.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, several joined by commas.
    pub bootstrap: String,
    /// Any property of librdkafka, by its own name: TLS, SASL, sizes, times. Those that this program rests on are refused.
    pub properties: BTreeMap<String, String>,
}

impl std::fmt::Debug for KafkaConfig {
    /// Without values: some are passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        formatter.debug_struct("KafkaConfig").field("bootstrap", &self.bootstrap).field("properties", &names).finish()
    }
}

/// Properties that nobody may change, each with the reason.
const OURS: &[(&str, &str)] = &[
    ("acks", "an answer means that it is durable"),
    ("request.required.acks", "an answer means that it is durable"),
    ("enable.idempotence", "order and no duplicates rest on it"),
    ("enable.gapless.guarantee", "a hole in a series of appends would be a silent loss"),
    ("max.in.flight", "order rests on it"),
    ("max.in.flight.requests.per.connection", "order rests on it"),
    ("message.send.max.retries", "the time limit ends a delivery, not a number"),
    ("retries", "the time limit ends a delivery, not a number"),
    ("message.max.bytes", "`max.message.bytes` of the topic says it"),
    ("transactional.id", "transactions are not used"),
    ("partitioner", "partitions are computed by the program"),
    ("isolation.level", "what a foreign transaction has aborted is not to be read"),
    ("enable.auto.commit", "positions live in the topics"),
    ("auto.commit.enable", "positions live in the topics"),
    ("enable.auto.offset.store", "positions live in the topics"),
    ("auto.offset.reset", "readers say where they begin"),
    ("enable.partition.eof", "readers rest on it"),
    ("group.id", "the program names its groups"),
    ("group.instance.id", "the program names its members"),
    ("group.protocol", "only the classic protocol has the range assignor"),
    ("partition.assignment.strategy", "topics of one group meet by the range assignor"),
    ("allow.auto.create.topics", "a topic is created with its settings or not at all"),
    ("bootstrap.servers", "it stands in `bootstrap`"),
    ("metadata.broker.list", "it stands in `bootstrap`"),
];

/// Names of properties that begin like this mean nothing to a producer; librdkafka would warn each time.
const OF_CONSUMERS: &[&str] = &["session.", "heartbeat.", "max.poll.", "fetch.", "max.partition.fetch.", "queued.", "check.crcs"];
/// The same for consumers.
const OF_PRODUCERS: &[&str] = &["linger.", "batch.", "compression.", "queue.buffering.", "request.timeout."];

/// Ours to enforce: librdkafka would drop single records and send what stands behind them.
const DELIVERY_TIMEOUT_KEYS: [&str; 2] = ["delivery.timeout.ms", "message.timeout.ms"];
const DELIVERY_TIMEOUT_MS: u64 = 30_000;
const SESSION_TIMEOUT_KEY: &str = "session.timeout.ms";
const SESSION_TIMEOUT_MS: u64 = 10_000;

/// A partition that a reader takes on waits for the fetch that is under way: so that one is short.
const CONSUMER_DEFAULTS: &[(&str, &str)] =
    &[("fetch.error.backoff.ms", "100"), ("fetch.queue.backoff.ms", "10"), ("fetch.wait.max.ms", "250")];

impl KafkaConfig {
    /// # Errors
    /// [`LogError::Refused`] names the key.
    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.bootstrap.trim().is_empty() {
            return Err(LogError::Refused("bootstrap: expected host:port of a Kafka broker".into()));
        }
        for (key, reason) in OURS {
            if self.properties.contains_key(*key) {
                return Err(LogError::Refused(format!("Kafka property {key} cannot be set: {reason}")));
            }
        }
        self.delivery_timeout().and(self.session_timeout()).map(|_| ())
    }

    /// How long an append may wait before the handle ends: `delivery.timeout.ms`, 30 s where nothing is said.
    pub(super) fn delivery_timeout(&self) -> Result<Duration, LogError> {
        let key = DELIVERY_TIMEOUT_KEYS.into_iter().find(|key| self.properties.contains_key(*key)).unwrap_or(DELIVERY_TIMEOUT_KEYS[0]);
        self.milliseconds(key, DELIVERY_TIMEOUT_MS)
    }

    /// How long a member may be silent before its partitions go to others.
    pub(super) fn session_timeout(&self) -> Result<Duration, LogError> {
        self.milliseconds(SESSION_TIMEOUT_KEY, SESSION_TIMEOUT_MS)
    }

    fn milliseconds(&self, key: &str, otherwise: u64) -> Result<Duration, LogError> {
        let Some(value) = self.properties.get(key) else { return Ok(Duration::from_millis(otherwise)) };
        match value.parse() {
            Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
            _ => Err(LogError::Refused(format!("Kafka property {key}: expected milliseconds, at least 1"))),
        }
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.client(&[OF_CONSUMERS, OF_PRODUCERS], &[])
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client(
            &[OF_CONSUMERS],
            &[
                ("linger.ms", "2"),
                ("queue.buffering.max.kbytes", "131072"),
                ("queue.buffering.max.messages", "500000"),
                ("batch.num.messages", "100000"),
            ],
        );
        config.set("enable.idempotence", "true").set("acks", "all").set("enable.gapless.guarantee", "true");
        // How large a record may be says its topic; a record is asked for that before.
        config.set("message.max.bytes", "67108864");
        // No limit for the single record: see `append.rs`.
        config.set("message.timeout.ms", "0").set("partitioner", "murmur2_random");
        config
    }

    /// For readers, members and positions.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client(&[OF_PRODUCERS], CONSUMER_DEFAULTS);
        config.set("group.id", group).set("group.protocol", "classic").set("partition.assignment.strategy", "range");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest").set("allow.auto.create.topics", "false");
        // Ours has no transactions; what an agency's program has aborted is not to be read. Ends of partitions are asked for alike.
        config.set("isolation.level", "read_committed");
        config
    }

    fn client(&self, without: &[&[&str]], defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "oneknock");
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            let useless = without.iter().copied().flatten().any(|start| key.starts_with(start));
            if !useless && !DELIVERY_TIMEOUT_KEYS.contains(&key.as_str()) {
                config.set(key, value);
            }
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: &str) -> KafkaConfig {
        KafkaConfig { bootstrap: "127.0.0.1:9092".into(), properties: BTreeMap::from([(key.to_owned(), value.to_owned())]) }
    }

    #[test]
    fn what_correctness_rests_on_is_refused_by_its_name() {
        for (key, _) in OURS {
            let error = with(key, "1").check().unwrap_err();
            assert!(matches!(&error, LogError::Refused(reason) if reason.contains(key)), "{key}: {error}");
        }
        assert!(with("linger.ms", "20").check().is_ok());
    }

    #[test]
    fn a_time_that_is_none_is_refused_by_its_name() {
        for (key, value) in [("delivery.timeout.ms", "0"), ("message.timeout.ms", "soon"), ("session.timeout.ms", "-1")] {
            assert!(with(key, value).check().unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", with("sasl.password", "secret"));
        assert!(shown.contains("sasl.password") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn our_settings_stand_whatever_the_operator_says_about_the_rest() {
        let producer = with("linger.ms", "50").producer();
        assert_eq!(producer.get("linger.ms"), Some("50"));
        assert_eq!(producer.get("acks"), Some("all"));
        let limited = with("delivery.timeout.ms", "5000");
        assert_eq!(limited.producer().get("message.timeout.ms"), Some("0"));
        assert_eq!(limited.delivery_timeout().unwrap(), Duration::from_secs(5));
        assert_eq!(with("linger.ms", "50").consumer("g").get("linger.ms"), None);
    }
}
