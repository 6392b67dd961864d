//! Topics read together in the order in which the log took their records, from their first to the ends that they had at the beginning.
//! However unevenly a log hands out partitions, no more than a bounded part of each is held.

use crate::{From, Log, LogError, Reader, Record};
use std::collections::VecDeque;

/// Records of a partition that are held while others are waited for.
const HELD_MAX: usize = 8192;

/// A bounded read over whole topics, by append time.
pub struct Merged {
    reader: Box<dyn Reader>,
    parts: Vec<Part>,
    total: u64,
}

struct Part {
    topic: &'static str,
    partition: i32,
    next: i64,
    end: i64,
    held: VecDeque<Record>,
    /// The reader reads it.
    is_read: bool,
}

impl Part {
    fn is_awaited(&self) -> bool {
        self.held.is_empty() && self.next < self.end
    }
}

impl Merged {
    /// Of these topics.
    ///
    /// # Errors
    /// The log is away, or a topic is missing.
    pub async fn open(log: &dyn Log, topics: &[&'static str]) -> Result<Merged, LogError> {
        let there = log.topics().await?;
        let mut parts = Vec::new();
        for topic in topics {
            let info = there.iter().find(|info| info.name == *topic).ok_or_else(|| LogError::NoTopic((*topic).to_owned()))?;
            for partition in 0..info.partitions {
                let (next, end) = log.offsets(topic, partition).await?;
                parts.push(Part { topic, partition, next, end, held: VecDeque::new(), is_read: false });
            }
        }
        let total = parts.iter().map(|part| u64::try_from(part.end - part.next).unwrap_or(0)).sum();
        Ok(Merged { reader: log.read(vec![]).await?, parts, total })
    }

    /// How many there are, or a few less.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The next one, with its topic; none: that was the last. Of the same time first what stands first in the list of topics.
    ///
    /// # Errors
    /// The log is away.
    pub async fn next(&mut self) -> Result<Option<(&'static str, Record)>, LogError> {
        while self.parts.iter().any(Part::is_awaited) {
            self.read_on().await?;
        }
        let head = |part: &Part| part.held.front().map(|record| record.timestamp);
        let first = self.parts.iter_mut().filter(|part| !part.held.is_empty()).min_by_key(|part| head(part));
        Ok(first.and_then(|part| Some((part.topic, part.held.pop_front()?))))
    }

    async fn read_on(&mut self) -> Result<(), LogError> {
        let awaited = self.parts.iter_mut().filter(|part| part.is_awaited() && !part.is_read);
        let from: Vec<From> = awaited
            .map(|part| {
                part.is_read = true;
                From { topic: part.topic.to_owned(), partition: part.partition, offset: part.next }
            })
            .collect();
        if !from.is_empty() {
            self.reader.add(from).await?;
        }
        let batch = self.reader.next().await?;
        let found = self.parts.iter_mut().find(|part| *part.topic == *batch.topic && part.partition == batch.partition);
        let Some(part) = found.filter(|part| part.is_read) else { return Ok(()) };
        part.next = batch.next_offset;
        part.held.extend(batch.records.into_iter().filter(|record| record.offset < part.end));
        if part.next >= part.end || part.held.len() >= HELD_MAX {
            part.is_read = false;
            self.reader.remove(&[(part.topic.to_owned(), part.partition)]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;
    use crate::{Append, site_topics};
    use events::topics::{ACTIONS, CHECKPOINT, HIGHWAY};

    /// Appends so many records of a partition, a millisecond apart.
    async fn append(log: &Simulated, topic: &'static str, partition: i32, count: usize) {
        for at in 0..count {
            log.advance(1);
            let record = Append { topic: topic.into(), partition, key: at.to_string().into(), ..Append::default() };
            log.append(vec![record]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn all_come_once_in_the_order_of_the_log() {
        let log = Simulated::new(1);
        log.create_topics(&site_topics(2)).await.unwrap();
        // One partition holds far more than is ever held, and all the others are waited for meanwhile.
        append(&log, CHECKPOINT, 0, 700).await;
        append(&log, CHECKPOINT, 1, 3 * HELD_MAX).await;
        append(&log, ACTIONS, 0, 10).await;
        append(&log, HIGHWAY, 1, 5).await;
        append(&log, CHECKPOINT, 0, 5).await;
        let mut merged = Merged::open(&*log, &[CHECKPOINT, HIGHWAY, ACTIONS]).await.unwrap();
        append(&log, CHECKPOINT, 0, 3).await;
        let (mut times, mut most) = (Vec::new(), 0);
        while let Some((_, record)) = merged.next().await.unwrap() {
            times.push(record.timestamp);
            most = most.max(merged.parts.iter().map(|part| part.held.len()).max().unwrap_or_default());
        }
        assert_eq!(times.len() as u64, merged.total(), "what came later is not in it");
        assert_eq!(times.len(), 700 + 3 * HELD_MAX + 20);
        assert!(times.is_sorted());
        assert!(most < 2 * HELD_MAX, "{most} were held");
    }
}
