//! What the loops send: records of other topics, in wire format, to the partition of their key.

use bytes::Bytes;
use eventlog::{Append, Record};
use events::topics::{ARRIVALS, DECISIONS, RETURNS, dead_letters, household_key, partition_of, traveller_key, traveller_partition};
use events::{Arrival, Codec, Decision, Return, cloudevents};

/// The router's consumer group, as displays and dead letters name it.
pub const GROUP: &str = "router";

/// To the place of a traveller.
pub fn arrival(codec: &Codec, partitions: i32, mandate: &str, place: &str, arrival: &Arrival) -> Append {
    let key = household_key(mandate, place).into_bytes();
    let partition = partition_of(&key, partitions);
    Append { topic: ARRIVALS.to_owned(), partition, key, value: Some(codec.encode(arrival)), headers: vec![] }
}

/// Back to a traveller's keeper.
pub fn returned(codec: &Codec, partitions: i32, mandate: &str, traveller: &str, message: &Return) -> Append {
    let partition = traveller_partition(traveller, partitions);
    let key = traveller_key(mandate, traveller).into_bytes();
    Append { topic: RETURNS.to_owned(), partition, key, value: Some(codec.encode(message)), headers: vec![] }
}

/// What became of an event.
pub fn decision(codec: &Codec, partitions: i32, decision: &Decision) -> Append {
    let key = decision.event_id.to_string().into_bytes();
    let partition = partition_of(&key, partitions);
    let headers = cloudevents::headers(decision.event_id, GROUP, "Decision", decision.at, None);
    Append { topic: DECISIONS.to_owned(), partition, key, value: Some(codec.encode(decision)), headers }
}

/// What cannot be read: the bytes as they came, and why, for people to look at.
pub fn dead_letter(topic: &str, record: &Record, reason: &str) -> Append {
    let text = |value: String| Bytes::from(value);
    let mut headers = record.headers.clone();
    for (name, value) in [
        ("topic", text(topic.to_owned())),
        ("partition", text(record.partition.to_string())),
        ("offset", text(record.offset.to_string())),
        ("group", text(GROUP.to_owned())),
        ("delivery.count", text("1".to_owned())),
        ("message", text(reason.to_owned())),
    ] {
        headers.push((format!("__dlq.errors.{name}").into(), value));
    }
    headers.push(("__connect.errors.topic".into(), text(topic.to_owned())));
    headers.push(("__connect.errors.partition".into(), text(record.partition.to_string())));
    headers.push(("__connect.errors.offset".into(), text(record.offset.to_string())));
    headers.push(("__connect.errors.exception.message".into(), text(reason.to_owned())));
    Append {
        topic: dead_letters(GROUP, topic),
        partition: record.partition,
        key: record.key.to_vec(),
        value: record.value.as_deref().map(<[u8]>::to_vec),
        headers,
    }
}
