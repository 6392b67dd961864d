//! Following a topic: one task reads all its partitions into a sink and tells how far it has come.
//!
//! It knows nothing of what the sink keeps.

use crate::{Batch, From, Log, LogError, Reader};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// Between two tries where the log or the store fails.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a sink made of a batch.
pub(super) enum Taken {
    /// These keys may have changed (none are named where nobody wanted to know).
    Changed(Vec<String>),
    /// What it holds cannot be trusted, and why: read the topic again from its start.
    StartAgain(&'static str),
}

/// Where batches go.
#[async_trait]
pub(super) trait Sink: Send + 'static {
    /// The offsets to be read first, one per partition, where the topic ends at these. What cannot be of this topic is forgotten.
    fn start(&mut self, ends: &[i64]) -> Result<Vec<i64>, LogError>;

    /// Forgets everything.
    fn restart(&mut self) -> Result<(), LogError>;

    /// Takes a batch. `wanted`: whether anybody wants to know the keys.
    async fn take(&mut self, batch: &Batch, wanted: bool) -> Taken;
}

/// A topic that is followed.
pub(super) struct Followed {
    log: Arc<dyn Log>,
    topic: Arc<str>,
    partitions: i32,
    progress: watch::Sender<Progress>,
    subscribers: Mutex<Vec<UnboundedSender<Vec<String>>>>,
    interrupted: Notify,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    /// Per partition the offset to be read next.
    read_to: Vec<i64>,
    /// Why it does not go on just now.
    failing: Option<LogError>,
}

impl Followed {
    pub async fn new(log: Arc<dyn Log>, topic: &str) -> Result<Arc<Followed>, LogError> {
        let known = log.topics().await?.into_iter().find(|known| known.name == topic);
        let partitions = known.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?.partitions;
        let progress = watch::Sender::new(Progress { read_to: vec![0; usize::try_from(partitions).unwrap_or(0)], failing: None });
        let (subscribers, interrupted) = (Mutex::default(), Notify::new());
        Ok(Arc::new(Followed { log, topic: topic.into(), partitions, progress, subscribers, interrupted }))
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The keys that change from now on.
    pub fn subscribe(&self) -> UnboundedReceiver<Vec<String>> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.lock().push(sender);
        receiver
    }

    /// Makes the follower start again, with its sink forgotten.
    pub fn interrupt(&self) {
        self.interrupted.notify_one();
    }

    async fn ends(&self) -> Result<Vec<i64>, LogError> {
        let mut ends = Vec::new();
        for partition in 0..self.partitions {
            ends.push(self.log.offsets(&self.topic, partition).await?.1);
        }
        Ok(ends)
    }

    async fn reader(&self, offsets: &[i64]) -> Result<Box<dyn Reader>, LogError> {
        let from = |(partition, &offset)| From { topic: self.topic.to_string(), partition, offset };
        self.log.read((0..).zip(offsets).map(from).collect()).await
    }

    fn tell(&self, keys: Vec<String>) {
        if !keys.is_empty() {
            self.subscribers.lock().retain(|subscriber| subscriber.send(keys.clone()).is_ok());
        }
    }

    fn wanted(&self) -> bool {
        !self.subscribers.lock().is_empty()
    }
}

/// The task; dropping it ends it.
pub(super) struct Follower {
    followed: Arc<Followed>,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Begins to read.
    pub async fn spawn(followed: Arc<Followed>, mut sink: impl Sink) -> Result<Follower, LogError> {
        let reader = begin(&followed, &mut sink).await?;
        let task = tokio::spawn(follow(followed.clone(), sink, reader)).abort_handle();
        Ok(Follower { followed, task })
    }

    /// Waits until everything has been read that the topic holds now.
    pub async fn catch_up(&self) -> Result<(), LogError> {
        let ends = self.followed.ends().await?;
        let mut progress = self.followed.progress.subscribe();
        let there =
            |progress: &Progress| progress.failing.is_some() || progress.read_to.iter().zip(&ends).all(|(read_to, end)| read_to >= end);
        let ended = || LogError::Away("the follower has ended".into());
        let reached = progress.wait_for(there).await.map_err(|_| ended())?.clone();
        reached.failing.map_or(Ok(()), Err)
    }
}

/// Opens a reader from where the sink stands.
async fn begin(followed: &Followed, sink: &mut impl Sink) -> Result<Box<dyn Reader>, LogError> {
    let offsets = sink.start(&followed.ends().await?)?;
    let reader = followed.reader(&offsets).await?;
    followed.progress.send_replace(Progress { read_to: offsets, failing: None });
    Ok(reader)
}

async fn follow(followed: Arc<Followed>, mut sink: impl Sink, mut reader: Box<dyn Reader>) {
    loop {
        let step = tokio::select! {
            batch = reader.next() => batch.map(Some),
            () = followed.interrupted.notified() => Ok(None),
        };
        let taken = match &step {
            Ok(Some(batch)) => sink.take(batch, followed.wanted()).await,
            Ok(None) => Taken::StartAgain("a reader found its store damaged"),
            Err(error) => {
                tracing::warn!(topic = followed.topic(), %error, "cannot follow the topic");
                fail(&followed, error.clone()).await;
                let read_to = followed.progress.borrow().read_to.clone();
                if let Ok(reopened) = followed.reader(&read_to).await {
                    reader = reopened;
                    followed.progress.send_modify(|progress| progress.failing = None);
                }
                continue;
            }
        };
        match (taken, step) {
            (Taken::Changed(keys), Ok(Some(batch))) => {
                followed.tell(keys);
                followed.progress.send_modify(|progress| {
                    let place = usize::try_from(batch.partition).ok().and_then(|at| progress.read_to.get_mut(at));
                    place.into_iter().for_each(|place| *place = (*place).max(batch.next_offset));
                });
            }
            (Taken::StartAgain(why), _) => {
                tracing::warn!(topic = followed.topic(), why, "the table's store is thrown away; the topic is folded again");
                reader = start_again(&followed, &mut sink).await;
            }
            (Taken::Changed(_), _) => {}
        }
    }
}

/// Until it works: nothing else can be done.
async fn start_again(followed: &Followed, sink: &mut impl Sink) -> Box<dyn Reader> {
    followed.progress.send_modify(|progress| progress.read_to.fill(0));
    loop {
        let begun = match sink.restart() {
            Ok(()) => begin(followed, sink).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(reader) => return reader,
            Err(error) => {
                tracing::error!(topic = followed.topic(), %error, "cannot fold the topic again");
                fail(followed, error).await;
            }
        }
    }
}

async fn fail(followed: &Followed, error: LogError) {
    followed.progress.send_modify(|progress| progress.failing = Some(error));
    tokio::time::sleep(RETRY_AFTER).await;
}
