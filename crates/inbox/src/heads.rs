//! Publishes the signed heads of the log of reads, so that others hold them: what they cover nobody can change unseen, not even whoever
//! holds the files and the key.

use crate::app::App;
use eventlog::{Append, Headers};
use events::AuditCheckpoint;
use events::topics::{AUDIT, partition_of};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How old a head may get before it is published, if there is a newer one.
const EVERY: Duration = Duration::from_secs(60);
/// How long the last one may take when the inbox stops.
const LAST_MAX: Duration = Duration::from_secs(3);

/// Publishes the newest head every minute, and a last time when it is told to stop.
pub async fn publish(app: Arc<App>, stop: CancellationToken) {
    let mut heads = app.reads.checkpoints();
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        // A log without a read has nothing that could be changed.
        let note = heads.has_changed().unwrap_or(false).then(|| heads.borrow_and_update().clone());
        if let Some(note) = note {
            let done = tokio::time::timeout(if stopped { LAST_MAX } else { EVERY }, app.log.append(vec![record(&app, note)])).await;
            if !matches!(done, Ok(Ok(_))) {
                heads.mark_changed();
                tracing::warn!("the head of the log of reads could not be published; it is tried again");
            }
        }
        if stopped {
            return;
        }
    }
}

/// Keyed by the log and how much of it the head covers: compaction keeps every one.
fn record(app: &App, note: String) -> Append {
    let size = note.lines().nth(1).unwrap_or_default();
    let key = format!("{}/{size}", audit::READS);
    let partition = partition_of(key.as_bytes(), app.partitions);
    let value = app.schemas.codec().encode(&AuditCheckpoint { note });
    Append { topic: AUDIT.into(), partition, key: key.into(), value: Some(value.into()), headers: Headers::new() }
}
