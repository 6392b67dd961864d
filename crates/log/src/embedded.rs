//! The embedded log: the same topics, partitions, offsets and compaction as Kafka's, in one process and durable on disk. For the demo,
//! small pilots, and every test that wants a log at once. An answered append survives `kill -9` and a power cut: a commit is an fsync.
//!
//! It belongs to one process. It knows bytes; what a record means is not its business.

mod cleaning;
mod committer;
pub(crate) mod groups;
mod lock;
mod partition;
#[cfg(test)]
mod power_cut;
mod reader;
mod store;

use crate::{Acknowledgement, Append, From, Log, LogError, Member, NewTopic, Reader, TopicInfo};
use async_trait::async_trait;
use cleaning::When;
use committer::{Queue, Work};
use parking_lot::{Condvar, Mutex};
use partition::Topics;
use redb::Database;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often the cleaner looks.
const CLEANING_EVERY: Duration = Duration::from_secs(180);

/// An open embedded log. Dropping it writes what waits and ends its threads; readers that are left read what is there, to no end.
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    database: Arc<Database>,
    topics: Arc<Topics>,
    /// One creates topics, or cleans, at a time.
    changing: Mutex<()>,
    queue: Queue,
    groups: Arc<groups::Groups>,
    closed: AtomicBool,
    closing: (Mutex<()>, Condvar),
    _lock: Option<lock::Lock>,
}

impl Embedded {
    /// Opens the log in this folder, creating it where there is none. Blocks: some milliseconds, longer after a crash of a large one.
    ///
    /// # Errors
    /// `Held` while another process has it; `Refused` where the folder cannot be used or holds another layout; `Away` for a broken file.
    pub fn open(dir: &Path) -> Result<Arc<Embedded>, LogError> {
        std::fs::create_dir_all(dir).map_err(|error| LogError::Refused(format!("{}: {error}", dir.display())))?;
        let lock = lock::take(dir)?;
        Embedded::start(store::open(dir)?, Some(lock))
    }

    fn start(database: Database, lock: Option<lock::Lock>) -> Result<Arc<Embedded>, LogError> {
        let topics = Arc::new(Topics::new(store::load(&database)?));
        let shared = Arc::new(Shared {
            database: Arc::new(database),
            topics,
            changing: Mutex::new(()),
            queue: Queue::default(),
            groups: Arc::default(),
            closed: AtomicBool::new(false),
            closing: (Mutex::new(()), Condvar::new()),
            _lock: lock,
        });
        let spawn = |name: &str, life: fn(&Shared)| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || life(&shared));
            thread.map_err(|error| LogError::Refused(format!("no thread for the log: {error}")))
        };
        let threads = vec![
            spawn("log-committer", |shared| committer::run(&shared.database, &shared.queue, crate::clock::now_ms))?,
            spawn("log-cleaner", Shared::clean_for_ever)?,
        ];
        Ok(Arc::new(Embedded { shared, threads }))
    }

    /// Compacts this topic, or takes away what its retention has passed over, now; by itself the log does it every few minutes where it is
    /// worth while. Returns the number of records that went.
    pub async fn compact(&self, topic: &str) -> Result<u64, LogError> {
        self.compact_as_of(topic, crate::clock::now_ms()).await
    }

    /// The same as if it were this time, in milliseconds: for tests of `min.compaction.lag.ms` and the like.
    pub async fn compact_as_of(&self, topic: &str, now_ms: i64) -> Result<u64, LogError> {
        let (shared, topic) = (self.shared.clone(), self.shared.topics.topic(topic)?);
        blocking(move || {
            let _changing = shared.changing.lock();
            cleaning::clean(&shared.database, &topic, now_ms, When::Always, &shared.closed)
        })
        .await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.queue.close();
        {
            let _closing = self.shared.closing.0.lock();
            self.shared.closing.1.notify_all();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the embedded log ended in a panic");
            }
        }
    }
}

impl Shared {
    fn clean_for_ever(&self) {
        loop {
            let mut closing = self.closing.0.lock();
            if !self.closed.load(Ordering::Relaxed) {
                self.closing.1.wait_for(&mut closing, CLEANING_EVERY);
            }
            drop(closing);
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            for topic in self.topics.all() {
                let _changing = self.changing.lock();
                match cleaning::clean(&self.database, &topic, crate::clock::now_ms(), When::WorthWhile, &self.closed) {
                    Ok(0) => {}
                    Ok(records) => tracing::info!(topic = topic.info.name, records, "cleaned"),
                    Err(error) => tracing::warn!(topic = topic.info.name, %error, "cannot clean"),
                }
            }
        }
    }

    fn put(&self, work: impl FnOnce(oneshot::Sender<Result<Vec<crate::Appended>, LogError>>) -> Work) -> Acknowledgement {
        let (acknowledge, acknowledged) = oneshot::channel();
        self.queue.put(work(acknowledge));
        Box::pin(async move { acknowledged.await.unwrap_or_else(|_| Err(LogError::Away("the log's committer has ended".into()))) })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, LogError> + Send + 'static) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LogError::Away(error.to_string()))?
}

#[async_trait]
impl Log for Embedded {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        if let Some(topic) = topics.iter().find(|topic| topic.partitions < 1 || topic.name.is_empty()) {
            return Err(LogError::Refused(format!("topic {:?} with {} partitions", topic.name, topic.partitions)));
        }
        let (shared, topics) = (self.shared.clone(), topics.to_vec());
        blocking(move || {
            let _changing = shared.changing.lock();
            let missing: Vec<NewTopic> = topics.into_iter().filter(|topic| shared.topics.topic(&topic.name).is_err()).collect();
            if missing.is_empty() {
                return Ok(());
            }
            store::create(&shared.database, &missing)?.into_iter().for_each(|topic| shared.topics.add(topic));
            Ok(())
        })
        .await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        Ok(self.shared.topics.all().iter().map(|topic| topic.info.clone()).collect())
    }

    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        let place = |append: Append| Ok((self.shared.topics.partition(&append.topic, append.partition)?, append));
        match records.into_iter().map(place).collect::<Result<Vec<_>, LogError>>() {
            Ok(records) => self.shared.put(|acknowledge| Work::Append(records, acknowledge)),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        Ok(self.shared.topics.partition(topic, partition)?.offsets())
    }

    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        let mut reader = reader::EmbeddedReader::new(self.shared.database.clone(), self.shared.topics.clone());
        reader.add(from).await?;
        Ok(Box::new(reader))
    }

    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        let mut partitions = 0;
        for topic in topics {
            partitions = partitions.max(self.shared.topics.topic(topic)?.info.partitions);
        }
        Ok(self.shared.groups.join(group, member, partitions))
    }

    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        let (group, positions) = (group.to_owned(), positions.to_vec());
        self.shared.put(|acknowledge| Work::Note(group, positions, acknowledge)).await.map(drop)
    }

    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        let (shared, group) = (self.shared.clone(), group.to_owned());
        blocking(move || store::noted(&shared.database, &group)).await
    }
}
