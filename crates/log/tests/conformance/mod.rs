//! One suite for every log: what `eventlog::Log` promises, and nothing that only one of them does. A log enters by a factory:
//! `conformance::suite(|| async { Under { .. } }).await`, in a test of its own beside this folder.
//!
//! Every case takes topics and groups of its own names, so that a factory may hand out the same broker again and again.

// Each entry uses the helpers that it needs.
#![allow(dead_code, missing_docs)]

mod appending;
mod compaction;
mod groups;
mod reading;
mod records;
mod topics;

use eventlog::{Append, Appended, From, Log, NewTopic, Reader, Record};
use futures::future::BoxFuture;
use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A log under test.
pub struct Under {
    pub log: Arc<dyn Log>,
    /// Compacts a topic now, where a test may force that.
    pub compact: Option<Compact>,
    /// What must live as long as the log: folders, servers.
    pub keep: Box<dyn Any + Send + Sync>,
}

pub type Compact = Box<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// Nothing here takes that long on any log; a case that hangs fails by its name.
const CASE_MAX: Duration = Duration::from_secs(180);
const WAIT_MAX: Duration = Duration::from_secs(60);

type Case = (&'static str, fn(&Under) -> BoxFuture<'_, ()>);

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => {
        const CASES: &[Case] = &[$((stringify!($case), |under| Box::pin($module::$case(under))),)*];
    };
}

cases! {
    appending::each_partition_is_in_the_order_of_its_offsets_under_concurrent_appends,
    appending::what_one_handle_appends_in_order_is_read_in_order,
    appending::an_append_is_readable_once_it_is_acknowledged,
    appending::what_does_not_exist_is_said,
    appending::nothing_appended_is_acknowledged_with_nothing,
    reading::from_the_middle,
    reading::at_the_end_it_waits_for_what_comes,
    reading::a_slow_reader_loses_nothing,
    reading::a_call_that_is_dropped_loses_nothing,
    reading::partitions_are_added_and_removed,
    reading::two_readers_each_read_everything,
    records::tombstones_and_empty_values_are_two_things,
    records::headers_keep_their_order_and_bytes,
    records::keys_may_be_any_bytes,
    records::a_record_may_be_a_mebibyte,
    records::time_is_the_time_of_append_and_never_goes_back,
    topics::creating_again_changes_nothing,
    topics::settings_are_told,
    groups::one_has_all_two_share_and_leaving_gives_back,
    groups::noted_positions_are_kept_per_group,
    compaction::the_newest_of_every_key_stays_and_no_older_one_comes_back,
    compaction::reading_from_an_offset_that_is_gone_goes_on_behind_it,
    compaction::a_tombstone_stays_for_its_time,
}

/// Runs every case, each on what `make` hands out.
pub async fn suite<F: Future<Output = Under>>(make: impl Fn() -> F) {
    for (name, case) in CASES {
        let under = make().await;
        eprintln!("conformance: {name}");
        if tokio::time::timeout(CASE_MAX, case(&under)).await.is_err() {
            panic!("{name} has not ended after {CASE_MAX:?}");
        }
    }
}

impl Under {
    /// A topic of this case alone.
    pub async fn topic(&self, partitions: i32) -> String {
        self.topic_with(partitions, &[]).await
    }

    pub async fn topic_with(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = unique("topic");
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.log.create_topics(&[NewTopic { name: name.clone(), partitions, settings }]).await.unwrap();
        name
    }

    /// Appends and waits.
    pub async fn append(&self, records: Vec<Append>) -> Vec<Appended> {
        self.log.append(records).await.unwrap()
    }

    /// A reader of one partition.
    pub async fn read(&self, topic: &str, partition: i32, offset: i64) -> Box<dyn Reader> {
        self.log.read(vec![From { topic: topic.to_owned(), partition, offset }]).await.unwrap()
    }

    /// Everything from this offset to the end that the partition has now.
    pub async fn all(&self, topic: &str, partition: i32, offset: i64) -> Vec<Record> {
        let (_, end) = self.log.offsets(topic, partition).await.unwrap();
        let mut records = Vec::new();
        if offset >= end {
            return records;
        }
        let mut reader = self.read(topic, partition, offset).await;
        loop {
            let batch = next(&mut *reader).await;
            records.extend(batch.records);
            if batch.next_offset >= end {
                return records;
            }
        }
    }
}

/// The next batch; fails instead of waiting for ever.
pub async fn next(reader: &mut dyn Reader) -> eventlog::Batch {
    tokio::time::timeout(WAIT_MAX, reader.next()).await.expect("no batch in time").unwrap()
}

/// So many records.
pub async fn next_records(reader: &mut dyn Reader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(next(reader).await.records);
    }
    records
}

pub fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4())
}

pub fn record(topic: &str, partition: i32, key: &str, value: impl ToString) -> Append {
    let value = Some(value.to_string().into());
    Append { topic: topic.to_owned().into(), partition, key: key.as_bytes().to_vec().into(), value, headers: Default::default() }
}

pub fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().expect("a value").to_vec()).unwrap()
}

/// Offsets without gaps from this one on.
pub fn assert_dense(records: &[Record], from: i64) {
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    let expected: Vec<i64> = (from..from + offsets.len() as i64).collect();
    assert_eq!(offsets, expected);
}
