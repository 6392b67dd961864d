//! What the loops send: records of other topics, in wire format, to the partition of their key. Key, value and headers of many records
//! share one buffer: a record costs no allocation of its own.

use bytes::{Bytes, BytesMut};
use eventlog::{Append, Headers, Record};
use events::topics::{ARRIVALS, DECISIONS, IDENTIFIERS, RETURNS, dead_letters, partition_of, traveller_partition};
use events::{Arrival, Codec, Decision, IdentifierLink, Millis, Return, Token, cloudevents, time};
use std::sync::Arc;

/// The router's consumer group, as displays and dead letters name it.
pub const GROUP: &str = "router";
/// Records share a buffer of this size.
const BUFFER_BYTES: usize = 64 * 1024;
/// Room for one record, as a rule.
const RECORD_BYTES: usize = 1024;

/// Writes records for one loop.
pub struct Outgoing {
    codec: Arc<Codec>,
    partitions: i32,
    buffer: BytesMut,
    value: Vec<u8>,
    /// A time and its text: as a rule the next decision has the same.
    at: (Millis, String),
}

impl Outgoing {
    /// With the codec of now.
    pub fn new(codec: Arc<Codec>, partitions: i32) -> Outgoing {
        Outgoing { codec, partitions, buffer: BytesMut::new(), value: Vec::new(), at: (Millis(0), time::format(Millis(0))) }
    }

    /// Another codec from now on.
    pub fn write_with(&mut self, codec: Arc<Codec>) {
        self.codec = codec;
    }

    /// A key of parts.
    fn key(&mut self, parts: &[&[u8]]) -> Bytes {
        if self.buffer.capacity() < RECORD_BYTES {
            self.buffer.reserve(BUFFER_BYTES);
        }
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
        self.buffer.split().freeze()
    }

    fn value<R: events::codec::Record>(&mut self, record: &R) -> Option<Bytes> {
        self.value.clear();
        self.codec.encode_into(record, &mut self.value);
        self.buffer.extend_from_slice(&self.value);
        Some(self.buffer.split().freeze())
    }

    /// To the place of a traveller.
    pub fn arrival(&mut self, mandate: &str, place: &str, arrival: &Arrival) -> Append {
        let key = self.key(&[mandate.as_bytes(), b"/", place.as_bytes()]);
        let partition = partition_of(&key, self.partitions);
        Append { topic: ARRIVALS.into(), partition, key, value: self.value(arrival), headers: Headers::new() }
    }

    /// Back to a traveller's keeper.
    pub fn returned(&mut self, mandate: &str, traveller: &str, message: &Return) -> Append {
        let partition = traveller_partition(traveller, self.partitions);
        let key = self.key(&[mandate.as_bytes(), b"/", traveller.as_bytes()]);
        Append { topic: RETURNS.into(), partition, key, value: self.value(message), headers: Headers::new() }
    }

    /// What a household's door says of an identifier.
    pub fn link(&mut self, token: Token, household: &str, link: Option<&IdentifierLink>) -> Append {
        let key = token.with_hex(|token| self.key(&[token.as_bytes(), b"/", household.as_bytes()]));
        let partition = partition_of(&key, self.partitions);
        let value = link.and_then(|link| self.value(link));
        Append { topic: IDENTIFIERS.into(), partition, key, value, headers: Headers::new() }
    }

    /// What became of an event.
    pub fn decision(&mut self, decision: &Decision) -> Append {
        let key = self.key(&[&decision.event_id.text()]);
        let partition = partition_of(&key, self.partitions);
        let value = self.value(decision);
        if self.at.0 != decision.at {
            self.at = (decision.at, time::format(decision.at));
        }
        cloudevents::put_headers(&mut self.buffer, decision.event_id, GROUP, "Decision", &self.at.1, None);
        Append { topic: DECISIONS.into(), partition, key, value, headers: Headers::split_from(&mut self.buffer) }
    }
}

/// What cannot be read: the bytes as they came, and why, for people to look at.
pub fn dead_letter(topic: &str, record: &Record, reason: &str) -> Append {
    let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
    let mut headers = record.headers.clone();
    for (name, value) in [
        ("__dlq.errors.topic", topic),
        ("__dlq.errors.partition", &partition),
        ("__dlq.errors.offset", &offset),
        ("__dlq.errors.group", GROUP),
        ("__dlq.errors.delivery.count", "1"),
        ("__dlq.errors.message", reason),
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", &partition),
        ("__connect.errors.offset", &offset),
        ("__connect.errors.exception.message", reason),
    ] {
        headers.push(name, value.as_bytes());
    }
    let (key, value) = (record.key.clone(), record.value.clone());
    Append { topic: dead_letters(GROUP, topic).into(), partition: record.partition, key, value, headers }
}
