//! Publishing signed heads, so that others hold them: what they cover nobody can change unseen, not even whoever holds the files and the
//! key. Where to is handed in.

use crate::AuditLog;
use std::time::Duration;

/// How old a head may get before it is published, if there is a newer one.
const EVERY: Duration = Duration::from_secs(60);
/// How long the last one may take when the process stops.
const LAST_MAX: Duration = Duration::from_secs(3);

/// Publishes the newest head every minute, and a last time when `stop` comes. `append` is given a key (the log's name and how much of it
/// the head covers, so that compaction keeps every one) and the note, and says whether it is durable.
pub async fn publish<F>(log: &AuditLog, stop: impl Future<Output = ()>, append: impl Fn(String, String) -> F)
where
    F: Future<Output = bool>,
{
    let mut heads = log.checkpoints();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stopped = tokio::select! {
            () = &mut stop => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        // A log without an entry has nothing that could be changed.
        let note = heads.has_changed().unwrap_or(false).then(|| heads.borrow_and_update().clone());
        if let Some(note) = note {
            let key = format!("{}/{}", log.name(), note.lines().nth(1).unwrap_or_default());
            let done = tokio::time::timeout(if stopped { LAST_MAX } else { EVERY }, append(key, note)).await;
            if !matches!(done, Ok(true)) {
                heads.mark_changed();
                tracing::warn!(log = log.name(), "the head of the log of reads could not be published; it is tried again");
            }
        }
        if stopped {
            return;
        }
    }
}
