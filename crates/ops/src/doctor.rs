//! `ops doctor`: what stands in the way of a site's work, and what to do about it.

use crate::OpsError;
use crate::scan::{self, Scan};
use eventlog::Log;
use events::topics::HOUSEHOLDS;
use std::sync::Arc;

/// Whether any household is published for a mandate.
///
/// # Errors
/// The log is away.
pub async fn has_registry(log: &Arc<dyn Log>, mandate: &str) -> Result<bool, OpsError> {
    let prefix = format!("{mandate}/");
    let mut scan = Scan::new(log, HOUSEHOLDS, &scan::spans(log, HOUSEHOLDS).await?).await?;
    while let Some(batch) = scan.next().await? {
        if batch.records.iter().any(|record| record.value.is_some() && record.key.starts_with(prefix.as_bytes())) {
            return Ok(true);
        }
    }
    Ok(false)
}
