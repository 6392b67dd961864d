//! Where the signed heads of the log of reads are published: a topic, so that others hold them.

use crate::app::App;
use events::AuditCheckpoint;
use events::topics::AUDIT;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Publishes until it is told to stop.
pub async fn publish(app: Arc<App>, stop: CancellationToken) {
    let append = |key: String, note: String| {
        let appended = app.log.append(vec![app.schemas.append(AUDIT, &key, &AuditCheckpoint { note }, app.partitions)]);
        async { appended.await.is_ok() }
    };
    audit::publish(&app.reads, stop.cancelled(), append).await;
}
