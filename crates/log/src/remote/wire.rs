//! What goes over the connection. Requests that append and answers that stream are frames: a 4-byte length (little-endian), a byte that
//! says what it is, and so many bytes less one.

use crate::chunk::{self, Writer};
use crate::{Append, Assignment, Batch, From, Headers, LogError, NewTopic, TopicInfo};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Largest frame that is taken.
pub(super) const FRAME_BYTES_MAX: usize = 256 << 20;

/// A frame of a streamed answer.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// Nothing new, but still there.
    Alive,
    /// Records.
    Batch(Batch),
    /// A change in the group.
    Assignment(Assignment),
    /// The end, and why.
    Failed(Failure),
}

/// A `LogError`, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub(super) enum Failure {
    Away { message: String },
    Refused { message: String },
    Held { dir: String, holder: String },
    NoTopic { topic: String },
}

impl std::convert::From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        match error {
            LogError::Away(message) => Failure::Away { message },
            LogError::Refused(message) => Failure::Refused { message },
            LogError::Held { dir, holder } => Failure::Held { dir, holder },
            LogError::NoTopic(topic) => Failure::NoTopic { topic },
        }
    }
}

impl std::convert::From<Failure> for LogError {
    fn from(failure: Failure) -> LogError {
        match failure {
            Failure::Away { message } => LogError::Away(message),
            Failure::Refused { message } => LogError::Refused(message),
            Failure::Held { dir, holder } => LogError::Held { dir, holder },
            Failure::NoTopic { topic } => LogError::NoTopic(topic),
        }
    }
}

/// `TopicInfo` and `NewTopic`.
#[derive(Serialize, Deserialize)]
pub(super) struct Topic {
    name: String,
    partitions: i32,
    settings: Vec<(String, String)>,
}

impl std::convert::From<Topic> for NewTopic {
    fn from(topic: Topic) -> NewTopic {
        NewTopic { name: topic.name, partitions: topic.partitions, settings: topic.settings }
    }
}

impl std::convert::From<Topic> for TopicInfo {
    fn from(topic: Topic) -> TopicInfo {
        TopicInfo { name: topic.name, partitions: topic.partitions, settings: topic.settings }
    }
}

impl std::convert::From<TopicInfo> for Topic {
    fn from(topic: TopicInfo) -> Topic {
        Topic { name: topic.name, partitions: topic.partitions, settings: topic.settings }
    }
}

impl std::convert::From<&NewTopic> for Topic {
    fn from(topic: &NewTopic) -> Topic {
        Topic { name: topic.name.clone(), partitions: topic.partitions, settings: topic.settings.clone() }
    }
}

/// `From`.
#[derive(Serialize, Deserialize)]
pub(super) struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

impl std::convert::From<Place> for From {
    fn from(place: Place) -> From {
        From { topic: place.topic, partition: place.partition, offset: place.offset }
    }
}

impl std::convert::From<&From> for Place {
    fn from(from: &From) -> Place {
        Place { topic: from.topic.clone(), partition: from.partition, offset: from.offset }
    }
}

/// Joining a group.
#[derive(Serialize, Deserialize)]
pub(super) struct Join {
    pub group: String,
    pub member: String,
    pub topics: Vec<String>,
}

/// Noted positions of a group.
#[derive(Serialize, Deserialize)]
pub(super) struct Noted {
    pub group: String,
    pub positions: Vec<Place>,
}

/// The answer to one `append`: offsets, or why not.
pub(super) type Outcome = Result<Vec<i64>, Failure>;

/// The other side speaks another language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unreadable frame")]
pub(super) struct Unreadable;

const ALIVE: u8 = 0;
const BATCH: u8 = 1;
const ASSIGNMENT: u8 = 2;
const FAILED: u8 = 3;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers: cannot fail; an empty frame would be unreadable, not wrong.
    serde_json::to_vec(value).unwrap_or_default()
}

impl Frame {
    /// With its length in front.
    pub fn to_bytes(&self) -> Bytes {
        let (kind, body) = match self {
            Frame::Alive => (ALIVE, Vec::new()),
            Frame::Batch(batch) => (BATCH, batch_bytes(batch)),
            Frame::Assignment(Assignment::Assigned(partitions)) => (ASSIGNMENT, json(&Change::Assigned(partitions.clone()))),
            Frame::Assignment(Assignment::Revoked(partitions)) => (ASSIGNMENT, json(&Change::Revoked(partitions.clone()))),
            Frame::Failed(failure) => (FAILED, json(failure)),
        };
        let mut out = BytesMut::with_capacity(body.len() + 5);
        out.put_u32_le(body.len() as u32 + 1);
        out.put_u8(kind);
        out.put_slice(&body);
        out.freeze()
    }

    /// Takes the first frame off the buffer, where it is whole.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, Unreadable> {
        let Some(length) = buffer.get(..4) else { return Ok(None) };
        let length = u32::from_le_bytes(length.try_into().map_err(|_| Unreadable)?) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(Unreadable);
        }
        if buffer.len() < 4 + length {
            buffer.reserve(4 + length - buffer.len());
            return Ok(None);
        }
        let mut body = buffer.split_to(4 + length).freeze();
        body.advance(4);
        let frame = match body.get_u8() {
            ALIVE => Frame::Alive,
            BATCH => Frame::Batch(batch(body)?),
            ASSIGNMENT => Frame::Assignment(match serde_json::from_slice(&body).map_err(|_| Unreadable)? {
                Change::Assigned(partitions) => Assignment::Assigned(partitions),
                Change::Revoked(partitions) => Assignment::Revoked(partitions),
            }),
            FAILED => Frame::Failed(serde_json::from_slice(&body).map_err(|_| Unreadable)?),
            _ => return Err(Unreadable),
        };
        Ok(Some(frame))
    }
}

fn batch_bytes(batch: &Batch) -> Vec<u8> {
    let (offset, timestamp) = batch.records.first().map_or((batch.next_offset, 0), |first| (first.offset, first.timestamp));
    let mut records = Writer::new(offset, timestamp);
    for record in &batch.records {
        records.push((record.offset, record.timestamp), &record.key, record.value.as_deref(), &record.headers, 0);
    }
    let mut out = Vec::with_capacity(records.bytes() + batch.topic.len() + 8);
    put_slice(&mut out, batch.topic.as_bytes());
    out.put_i32_le(batch.partition);
    out.extend(records.finish(batch.next_offset));
    out
}

fn batch(mut body: Bytes) -> Result<Batch, Unreadable> {
    let topic = take_text(&mut body)?;
    let partition = body.try_get_i32_le().map_err(|_| Unreadable)?;
    let mut records = Vec::new();
    let head = chunk::read_from(body, partition, i64::MIN, &mut records).map_err(|_| Unreadable)?;
    Ok(Batch { topic: topic.into(), partition, records, next_offset: head.next })
}

/// The body of a request that appends: appends one after another, each a count and its records.
pub(super) fn put_append(out: &mut Vec<u8>, records: &[Append]) {
    out.put_u32_le(records.len() as u32);
    for record in records {
        put_slice(out, record.topic.as_bytes());
        out.put_i32_le(record.partition);
        put_slice(out, &record.key);
        out.put_u8(u8::from(record.value.is_some()));
        put_slice(out, record.value.as_deref().unwrap_or_default());
        put_slice(out, record.headers.bytes());
    }
}

/// Reads such a body.
pub(super) fn take_appends(mut body: Bytes) -> Result<Vec<Vec<Append>>, Unreadable> {
    let mut appends = Vec::new();
    while body.has_remaining() {
        let count = body.try_get_u32_le().map_err(|_| Unreadable)?;
        appends.push((0..count).map(|_| take_record(&mut body)).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(appends)
}

fn take_record(body: &mut Bytes) -> Result<Append, Unreadable> {
    let topic = take_text(body)?;
    let partition = body.try_get_i32_le().map_err(|_| Unreadable)?;
    let key = take_slice(body)?;
    let there = body.try_get_u8().map_err(|_| Unreadable)? != 0;
    let value = take_slice(body)?;
    let headers = Headers::from_bytes(take_slice(body)?).ok_or(Unreadable)?;
    Ok(Append { topic: topic.into(), partition, key, value: there.then_some(value), headers })
}

fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.extend_from_slice(bytes);
}

fn take_slice(body: &mut Bytes) -> Result<Bytes, Unreadable> {
    let length = body.try_get_u32_le().map_err(|_| Unreadable)? as usize;
    if length > body.len() { Err(Unreadable) } else { Ok(body.split_to(length)) }
}

fn take_text(body: &mut Bytes) -> Result<String, Unreadable> {
    String::from_utf8(take_slice(body)?.to_vec()).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> Append {
        let headers = [("h", &[1][..]), ("h", &[])].into_iter().collect();
        Append { topic: "t".into(), partition: 3, key: vec![0, 255].into(), value: Some(vec![].into()), headers }
    }

    #[test]
    fn appends_cut_anywhere_are_unreadable_and_no_panic() {
        let tombstone = Append { value: None, ..append() };
        let mut body = Vec::new();
        put_append(&mut body, &[append(), tombstone.clone()]);
        assert_eq!(take_appends(Bytes::from(body.clone())).unwrap(), vec![vec![append(), tombstone]]);
        for end in 1..body.len() {
            assert_eq!(take_appends(Bytes::copy_from_slice(&body[..end])), Err(Unreadable), "cut at {end}");
        }
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        let frame = Frame::Assignment(Assignment::Revoked(vec![0, 4]));
        let bytes = frame.to_bytes();
        let mut buffer = BytesMut::new();
        for &byte in &bytes[..bytes.len() - 1] {
            buffer.put_u8(byte);
            assert_eq!(Frame::take(&mut buffer), Ok(None));
        }
        buffer.put_u8(bytes[bytes.len() - 1]);
        buffer.put_slice(&Frame::Alive.to_bytes());
        assert_eq!(Frame::take(&mut buffer), Ok(Some(frame)));
        assert_eq!(Frame::take(&mut buffer), Ok(Some(Frame::Alive)));
        assert_eq!(Frame::take(&mut buffer), Ok(None));
    }
}
