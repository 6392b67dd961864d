//! A log on Kafka that connects again. A plain handle ends at the first append that fails, which is what an owner needs; the inbox, whose
//! phones send again and whose ids make that safe, must only say that the log is away, and take up again when it is back.

use crate::config::Config;
use crate::site;
use async_trait::async_trait;
use eventlog::{Acknowledgement, Append, From, Log, LogError, Member, NewTopic, Reader, TopicInfo};
use futures::FutureExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Kafka, for roles to which the order of appends over a broken connection means nothing.
pub struct Reconnecting {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<Config>,
    current: RwLock<Arc<dyn Log>>,
    connecting: AtomicBool,
}

impl Reconnecting {
    /// Connects for the first time.
    pub async fn begin(config: Arc<Config>) -> Result<Reconnecting, LogError> {
        let current = RwLock::new(site::kafka(&config).await?);
        Ok(Reconnecting { shared: Arc::new(Shared { config, current, connecting: AtomicBool::new(false) }) })
    }

    fn current(&self) -> Arc<dyn Log> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One task connects again, however many appends have failed.
fn connect_again(shared: &Arc<Shared>) {
    if shared.connecting.swap(true, Ordering::AcqRel) {
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            match site::kafka(&shared.config).await {
                Ok(log) => {
                    *shared.current.write().unwrap_or_else(PoisonError::into_inner) = log;
                    shared.connecting.store(false, Ordering::Release);
                    tracing::info!("the log is back");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the log is still away"),
            }
        }
    });
}

#[async_trait]
impl Log for Reconnecting {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.current().create_topics(topics).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.current().topics().await
    }

    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        let appended = self.current().append(records);
        let shared = Arc::clone(&self.shared);
        async move {
            let done = appended.await;
            if matches!(done, Err(LogError::Away(_))) {
                connect_again(&shared);
            }
            done
        }
        .boxed()
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.current().offsets(topic, partition).await
    }

    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        self.current().read(from).await
    }

    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        self.current().join(group, member, topics).await
    }

    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        self.current().note_position(group, positions).await
    }

    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        self.current().noted_positions(group).await
    }
}
