//! `ops doctor`: what stands in the way of a site's work, and what to do about it.

use crate::OpsError;
use crate::scan::{self, Scan};
use eventlog::Log;
use events::topics::HOUSEHOLDS;
use std::collections::HashSet;
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

/// How many households are published for a mandate.
///
/// # Errors
/// The log is away.
pub async fn households(log: &Arc<dyn Log>, mandate: &str) -> Result<usize, OpsError> {
    let prefix = format!("{mandate}/");
    let mut there = HashSet::new();
    let mut scan = Scan::new(log, HOUSEHOLDS, &scan::spans(log, HOUSEHOLDS).await?).await?;
    while let Some(batch) = scan.next().await? {
        for record in batch.records.into_iter().filter(|record| record.key.starts_with(prefix.as_bytes())) {
            if record.value.is_some() {
                there.insert(record.key)
            } else {
                there.remove(&record.key)
            };
        }
    }
    Ok(there.len())
}
