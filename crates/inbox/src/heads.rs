//! Where the signed heads of the log of reads are published: a topic, so that others hold them.

use crate::app::App;
use eventlog::{Append, Headers};
use events::AuditCheckpoint;
use events::topics::{AUDIT, partition_of};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Publishes until it is told to stop.
pub async fn publish(app: Arc<App>, stop: CancellationToken) {
    let append = |key: String, note: String| {
        let partition = partition_of(key.as_bytes(), app.partitions);
        let value = app.schemas.codec().encode(&AuditCheckpoint { note });
        let record = Append { topic: AUDIT.into(), partition, key: key.into(), value: Some(value.into()), headers: Headers::new() };
        let appended = app.log.append(vec![record]);
        async { appended.await.is_ok() }
    };
    audit::publish(&app.reads, stop.cancelled(), append).await;
}
