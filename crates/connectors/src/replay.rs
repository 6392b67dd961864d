//! Reading topics from their beginning to the end that they had at the call.

use eventlog::{Batch, From, Log, LogError, Reader};
use std::collections::HashMap;

/// A reading under way.
pub struct Replay {
    reader: Option<Box<dyn Reader>>,
    /// Partitions that are not at their end yet.
    open: HashMap<(String, i32), i64>,
}

impl Replay {
    /// Begins at the first record of all partitions of these topics.
    pub async fn begin(log: &dyn Log, topics: &[&str], partitions: i32) -> Result<Replay, LogError> {
        let mut from = Vec::new();
        let mut open = HashMap::new();
        for &topic in topics {
            for partition in 0..partitions {
                let (first, end) = log.offsets(topic, partition).await?;
                if first < end {
                    from.push(From { topic: topic.to_owned(), partition, offset: first });
                    open.insert((topic.to_owned(), partition), end);
                }
            }
        }
        let reader = if from.is_empty() { None } else { Some(log.read(from).await?) };
        Ok(Replay { reader, open })
    }

    /// The next records, in the order of their partition; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Batch>, LogError> {
        while let (Some(reader), false) = (self.reader.as_mut(), self.open.is_empty()) {
            let mut batch = reader.next().await?;
            let place = (batch.topic.to_string(), batch.partition);
            let Some(&end) = self.open.get(&place) else { continue };
            batch.records.retain(|record| record.offset < end);
            if batch.next_offset >= end {
                self.open.remove(&place);
            }
            return Ok(Some(batch));
        }
        Ok(None)
    }
}
