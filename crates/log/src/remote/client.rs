//! The side that has no log of its own.

use super::wire::{Failure, Frame, Join, Noted, Outcome, Place, Topic, put_append};
use crate::{Acknowledgement, Append, Appended, Assignment, Batch, From, Log, LogError, Member, NewTopic, Reader, TopicInfo};
use async_trait::async_trait;
use bytes::BytesMut;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams say every two seconds that they are there; an append waits for one commit.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What waits goes in one request, up to about so many bytes.
const REQUEST_BYTES: usize = 8 << 20;

/// Another process's log.
pub struct Remote {
    connection: Connection,
    appends: mpsc::UnboundedSender<Waiting>,
}

struct Waiting {
    records: Vec<Append>,
    acknowledge: oneshot::Sender<Result<Vec<Appended>, LogError>>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    base: Arc<str>,
    token: Arc<str>,
}

impl Remote {
    /// The log that is served at this address (`http://127.0.0.1:8082`), by this token.
    ///
    /// # Errors
    /// `Away` where nobody answers, `Refused` where the token is not taken.
    pub async fn connect(base_url: &str, token: &str) -> Result<Arc<Remote>, LogError> {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENCE_MAX).build();
        let client = client.map_err(|error| LogError::Refused(error.to_string()))?;
        let connection = Connection { client, base: base_url.trim_end_matches('/').into(), token: token.into() };
        let (appends, waiting) = mpsc::unbounded_channel();
        let remote = Remote { connection: connection.clone(), appends };
        remote.topics().await?;
        tokio::spawn(send(connection, waiting));
        Ok(Arc::new(remote))
    }
}

impl Connection {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/log/{path}", self.base)).bearer_auth(&self.token)
    }

    fn post(&self, path: &str, body: &impl serde::Serialize) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }
}

async fn answer(request: RequestBuilder) -> Result<Response, LogError> {
    let response = request.send().await.map_err(away)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    match response.json::<Failure>().await {
        Ok(failure) => Err(failure.into()),
        Err(_) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(LogError::Away(status.to_string())),
        Err(_) => Err(LogError::Refused(status.to_string())),
    }
}

async fn answer_json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, LogError> {
    answer(request).await?.json().await.map_err(away)
}

fn away(error: reqwest::Error) -> LogError {
    // The outermost text says little more than that a request failed; what it rests on says why.
    let mut source: &dyn std::error::Error = &error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    LogError::Away(source.to_string())
}

/// One request at a time, each with all that waits: so the order is kept. What waits behind a failure fails with it: it must not land
/// where that which stood before it did not.
async fn send(connection: Connection, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let mut body = Vec::new();
        let mut group = vec![first];
        put_append(&mut body, &group[0].records);
        while body.len() < REQUEST_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            put_append(&mut body, &next.records);
            group.push(next);
        }
        let request = connection.request(Method::POST, "append").header("content-type", "application/octet-stream").body(body);
        let outcomes: Result<Vec<Outcome>, LogError> = answer_json(request).await;
        let outcomes = outcomes.and_then(|outcomes| match outcomes.len() == group.len() {
            true => Ok(outcomes),
            false => Err(LogError::Away("another number of answers than of appends".into())),
        });
        match outcomes {
            Ok(outcomes) => {
                for (waiting, outcome) in group.into_iter().zip(outcomes) {
                    let appended = |offsets: Vec<i64>| offsets.into_iter().map(|offset| Appended { offset }).collect();
                    // Whoever does not wait for it any more needs no answer.
                    let _ = waiting.acknowledge.send(outcome.map(appended).map_err(LogError::from));
                }
            }
            Err(error) => {
                while let Ok(next) = waiting.try_recv() {
                    group.push(next);
                }
                group.into_iter().for_each(|waiting| drop(waiting.acknowledge.send(Err(error.clone()))));
            }
        }
    }
}

#[async_trait]
impl Log for Remote {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        let topics: Vec<Topic> = topics.iter().map(Topic::from).collect();
        answer_json(self.connection.post("topics", &topics)).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let topics: Vec<Topic> = answer_json(self.connection.request(Method::GET, "topics")).await?;
        Ok(topics.into_iter().map(TopicInfo::from).collect())
    }

    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        let (acknowledge, acknowledged) = oneshot::channel();
        let ended = || LogError::Away("the connection to the log has ended".into());
        if self.appends.send(Waiting { records, acknowledge }).is_err() {
            return Box::pin(async move { Err(ended()) });
        }
        Box::pin(async move { acknowledged.await.unwrap_or_else(|_| Err(ended())) })
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        let place = Place::from(&From { topic: topic.to_owned(), partition, offset: 0 });
        answer_json(self.connection.post("offsets", &place)).await
    }

    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        let mut reader = RemoteReader { connection: self.connection.clone(), places: BTreeMap::new(), stream: None };
        reader.add(from).await?;
        Ok(Box::new(reader))
    }

    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        let join = Join { group: group.to_owned(), member: member.to_owned(), topics };
        let response = answer(self.connection.post("join", &join)).await?;
        Ok(Box::new(RemoteMember { frames: Frames::new(response) }))
    }

    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        let noted = Noted { group: group.to_owned(), positions: positions.iter().map(Place::from).collect() };
        answer_json(self.connection.post("noted", &noted)).await
    }

    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        let noted: Noted = answer_json(self.connection.post("positions", &group)).await?;
        Ok(noted.positions.into_iter().map(From::from).collect())
    }
}

/// A streamed answer.
struct Frames {
    response: Response,
    buffer: BytesMut,
}

impl Frames {
    fn new(response: Response) -> Frames {
        Frames { response, buffer: BytesMut::new() }
    }

    /// The next one that says something. Cancel-safe: what has arrived stays in the buffer.
    async fn next(&mut self) -> Result<Frame, LogError> {
        loop {
            match Frame::take(&mut self.buffer).map_err(|error| LogError::Refused(error.to_string()))? {
                Some(Frame::Alive) => {}
                Some(Frame::Failed(failure)) => return Err(failure.into()),
                Some(frame) => return Ok(frame),
                None => {
                    let arrived = self.response.chunk().await.map_err(away)?;
                    let arrived = arrived.ok_or_else(|| LogError::Away("the log's process ended the stream".into()))?;
                    self.buffer.extend_from_slice(&arrived);
                }
            }
        }
    }
}

/// Knows how far it has come, so that it can ask again for more or fewer partitions, and behind a failure.
struct RemoteReader {
    connection: Connection,
    places: BTreeMap<(String, i32), i64>,
    stream: Option<Frames>,
}

impl RemoteReader {
    async fn open(&mut self) -> Result<&mut Frames, LogError> {
        if self.stream.is_none() {
            let place = |(at, offset): (&(String, i32), &i64)| From { topic: at.0.clone(), partition: at.1, offset: *offset };
            let places: Vec<Place> = self.places.iter().map(|entry| Place::from(&place(entry))).collect();
            self.stream = Some(Frames::new(answer(self.connection.post("read", &places)).await?));
        }
        self.stream.as_mut().ok_or_else(|| LogError::Away("no stream".into()))
    }
}

#[async_trait]
impl Reader for RemoteReader {
    async fn next(&mut self) -> Result<Batch, LogError> {
        let frame = self.open().await?.next().await;
        match frame {
            Ok(Frame::Batch(batch)) => {
                if let Some(offset) = self.places.get_mut(&(batch.topic.to_string(), batch.partition)) {
                    *offset = batch.next_offset;
                }
                Ok(batch)
            }
            Ok(_) => {
                self.stream = None;
                Err(LogError::Refused("another frame than records".into()))
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }

    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError> {
        let before = self.places.clone();
        self.places.extend(from.into_iter().map(|from| ((from.topic, from.partition), from.offset)));
        self.stream = None;
        match self.open().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.places = before;
                Err(error)
            }
        }
    }

    async fn remove(&mut self, partitions: &[(String, i32)]) -> Result<(), LogError> {
        self.places.retain(|place, _| !partitions.contains(place));
        self.stream = None;
        Ok(())
    }
}

struct RemoteMember {
    frames: Frames,
}

#[async_trait]
impl Member for RemoteMember {
    async fn next(&mut self) -> Result<Assignment, LogError> {
        match self.frames.next().await? {
            Frame::Assignment(assignment) => Ok(assignment),
            _ => Err(LogError::Refused("another frame than an assignment".into())),
        }
    }
}
