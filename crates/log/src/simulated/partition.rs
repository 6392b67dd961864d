//! A partition in memory: offsets with gaps, compaction and retention as Kafka's cleaner does them.

use crate::{Append, Record};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

#[derive(Default)]
pub(super) struct Partition {
    pub first: i64,
    pub next: i64,
    pub records: BTreeMap<i64, Record>,
}

/// What a topic's settings say about keeping; absent ones as Kafka's own defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keeping {
    compact: bool,
    delete: bool,
    retention_ms: i64,
    lag_ms: i64,
    tombstones_ms: i64,
}

impl Keeping {
    pub fn of(settings: &[(String, String)]) -> Keeping {
        let setting = |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let number = |name: &str, otherwise: i64| setting(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise);
        let policy = setting("cleanup.policy").unwrap_or("delete");
        Keeping {
            compact: policy.contains("compact"),
            delete: policy.contains("delete"),
            retention_ms: number("retention.ms", 604_800_000),
            lag_ms: number("min.compaction.lag.ms", 0),
            tombstones_ms: number("delete.retention.ms", 86_400_000),
        }
    }
}

impl Partition {
    pub fn append(&mut self, partition: i32, append: Append, timestamp: i64) -> i64 {
        let Append { key, value, headers, .. } = append;
        let offset = self.next;
        self.records.insert(offset, Record { partition, offset, timestamp, key, value, headers });
        self.next += 1;
        offset
    }

    /// Takes away what may go at this time; the last record never does. Returns how many went.
    pub fn clean(&mut self, keeping: Keeping, now: i64) -> usize {
        let before = self.records.len();
        let last = self.next - 1;
        if keeping.delete && keeping.retention_ms >= 0 {
            let old = |record: &&Record| record.timestamp < now - keeping.retention_ms && record.offset != last;
            if let Some(gone) = self.records.values().take_while(old).last().map(|record| record.offset) {
                self.first = gone + 1;
                self.records.retain(|offset, _| *offset > gone);
            }
        }
        if keeping.compact {
            // From the first record that is too young, nothing is looked at: neither kept for, nor pushed out by.
            let young = self.records.values().find(|record| record.timestamp > now - keeping.lag_ms);
            let until = young.map_or(last, |record| record.offset.min(last));
            let newest: HashMap<Bytes, i64> = self.records.range(..until).map(|(offset, record)| (record.key.clone(), *offset)).collect();
            self.records.retain(|offset, record| {
                let outdated = newest.get(&record.key).is_some_and(|newest| offset < newest);
                let over = record.value.is_none() && record.timestamp < now - keeping.tombstones_ms;
                *offset >= until || !(outdated || over)
            });
        }
        before - self.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn partition(records: &[(&str, Option<&str>, i64)]) -> Partition {
        let mut partition = Partition::default();
        for (key, value, timestamp) in records {
            let append =
                Append { key: key.as_bytes().to_vec().into(), value: value.map(|value| value.to_owned().into()), ..Append::default() };
            partition.append(0, append, *timestamp);
        }
        partition
    }

    fn keeping(settings: &[(&str, &str)]) -> Keeping {
        Keeping::of(&settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    fn left(partition: &Partition) -> Vec<i64> {
        partition.records.keys().copied().collect()
    }

    #[test]
    fn compaction_keeps_the_newest_of_each_key_among_what_is_old_enough() {
        let keeping = keeping(&[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")]);
        let mut partition =
            partition(&[("a", Some("1"), 0), ("b", Some("1"), 0), ("a", Some("2"), 10), ("a", Some("3"), DAY), ("c", Some("1"), DAY)]);
        assert_eq!(partition.clean(keeping, DAY - 1), 0);
        // The one of the next day is too young to push out what stands before it.
        partition.clean(keeping, DAY + 10);
        assert_eq!(left(&partition), [1, 2, 3, 4]);
        partition.clean(keeping, 3 * DAY);
        assert_eq!(left(&partition), [1, 3, 4]);
        assert_eq!(partition.next, 5);
    }

    #[test]
    fn a_tombstone_goes_after_its_time_and_the_last_record_never() {
        let keeping = keeping(&[("cleanup.policy", "compact"), ("delete.retention.ms", "1000")]);
        let mut partition = partition(&[("a", Some("1"), 0), ("a", None, 0), ("b", None, 0)]);
        partition.clean(keeping, 500);
        assert_eq!(left(&partition), [1, 2]);
        partition.clean(keeping, 2000);
        assert_eq!(left(&partition), [2]);
    }

    #[test]
    fn retention_moves_the_first_offset() {
        let keeping = keeping(&[("cleanup.policy", "delete"), ("retention.ms", "1000")]);
        let mut partition = partition(&[("a", Some("1"), 0), ("a", Some("2"), 500), ("a", Some("3"), 2000)]);
        partition.clean(keeping, 1200);
        assert_eq!((left(&partition), partition.first), (vec![1, 2], 1));
    }
}
