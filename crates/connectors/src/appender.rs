//! A handle on the log that is opened again after it failed: a handle appends nothing behind an append that failed.
//!
//! Only for appends whose order does not matter, such as events: their ids make a repeat harmless.

use eventlog::{Append, Log, LogError};
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Opens another handle on the same log.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Log>, LogError>> + Send + Sync>;

/// Appends through a handle of its own.
pub struct Appender {
    connect: Connect,
    current: Mutex<Option<Arc<dyn Log>>>,
}

impl Appender {
    /// Opens nothing before the first append.
    pub fn new(connect: Connect) -> Appender {
        Appender { connect, current: Mutex::new(None) }
    }

    /// Appends and waits until all is durable. After a failure the next call opens another handle.
    pub async fn append(&self, records: Vec<Append>) -> Result<(), LogError> {
        let log = {
            let mut current = self.current.lock().await;
            match current.as_ref() {
                Some(log) => Arc::clone(log),
                None => Arc::clone(current.insert((self.connect)().await?)),
            }
        };
        let appended = log.append(records).await;
        if let Err(LogError::Away(_)) = &appended {
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|other| Arc::ptr_eq(other, &log)) {
                *current = None;
            }
        }
        appended.map(drop)
    }
}
