//! Registry records on their way into the log, in batches; each batch is durable before the next is sent.

use super::import::Progress;
use eventlog::{Append, Log, LogError};
use events::topics::partition_of;

const BATCH_RECORDS: usize = 2_000;

/// Appends these keys of a topic; no value takes a key away. Ends at the first failure: what was published before it stays, and the next
/// import goes on from there.
pub async fn publish(
    log: &dyn Log,
    topic: &str,
    partitions: i32,
    records: impl Iterator<Item = (String, Option<Vec<u8>>)>,
    what: &'static str,
    progress: &mut Progress<'_>,
) -> Result<u64, LogError> {
    let mut batch = Vec::with_capacity(BATCH_RECORDS);
    let mut count = 0;
    for (key, value) in records {
        let key = key.into_bytes();
        let partition = partition_of(&key, partitions);
        batch.push(Append {
            topic: topic.to_owned().into(),
            partition,
            key: key.into(),
            value: value.map(Into::into),
            headers: Default::default(),
        });
        if batch.len() == BATCH_RECORDS {
            count += batch.len() as u64;
            log.append(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_RECORDS))).await?;
            progress(what, count);
        }
    }
    if !batch.is_empty() {
        count += batch.len() as u64;
        log.append(batch).await?;
    }
    Ok(count)
}
