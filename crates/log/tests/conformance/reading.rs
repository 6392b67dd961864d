//! Where reading begins, that it waits, and that nothing is lost or read twice.

use super::{Under, assert_dense, next, next_records, record, text};
use eventlog::From;
use std::time::Duration;

pub async fn from_the_middle(under: &Under) {
    let topic = under.topic(1).await;
    for part in 0..4 {
        under.append((0..5).map(|number| record(&topic, 0, "key", part * 5 + number)).collect()).await;
    }
    for from in [0, 7, 19] {
        let records = under.all(&topic, 0, from).await;
        assert_dense(&records, from);
        assert_eq!(records.len() as i64, 20 - from);
        assert_eq!(text(&records[0]), from.to_string());
    }
}

pub async fn at_the_end_it_waits_for_what_comes(under: &Under) {
    let topic = under.topic(2).await;
    under.append(vec![record(&topic, 0, "key", "old"), record(&topic, 1, "key", "old")]).await;
    let from = |partition| From { topic: topic.clone(), partition, offset: 1 };
    let mut reader = under.log.read(vec![from(0), from(1)]).await.unwrap();
    let (log, appended_to) = (under.log.clone(), topic.clone());
    let writer = tokio::spawn(async move {
        for number in 0..10 {
            log.append(vec![record(&appended_to, number % 2, "key", number)]).await.unwrap();
        }
    });
    let records = next_records(&mut *reader, 10).await;
    writer.await.unwrap();
    for partition in 0..2 {
        let of_partition: Vec<_> = records.iter().filter(|record| record.partition == partition).cloned().collect();
        assert_dense(&of_partition, 1);
        let expected: Vec<String> = (0..5).map(|number| (number * 2 + partition).to_string()).collect();
        assert_eq!(of_partition.iter().map(text).collect::<Vec<_>>(), expected);
    }
}

pub async fn a_slow_reader_loses_nothing(under: &Under) {
    let topic = under.topic(1).await;
    let filler = "x".repeat(1_000);
    let append = |from: usize, count: usize| {
        let records = (from..from + count).map(|number| record(&topic, 0, "key", format!("{number} {filler}"))).collect();
        under.append(records)
    };
    append(0, 10).await;
    let mut reader = under.read(&topic, 0, 0).await;
    let mut records = next(&mut *reader).await.records;
    // Far more than any buffer between the log and its reader should hold, before it is asked again.
    for part in 0..30 {
        append(10 + part * 200, 200).await;
    }
    let left = 6_010 - records.len();
    records.extend(next_records(&mut *reader, left).await);
    assert_eq!(records.len(), 6_010);
    assert_dense(&records, 0);
    for (number, record) in records.iter().enumerate() {
        assert!(text(record).starts_with(&format!("{number} ")));
    }
}

pub async fn a_call_that_is_dropped_loses_nothing(under: &Under) {
    let topic = under.topic(1).await;
    let (log, appended_to) = (under.log.clone(), topic.clone());
    let writer = tokio::spawn(async move {
        for number in 0..300 {
            log.append(vec![record(&appended_to, 0, "key", number)]).await.unwrap();
        }
    });
    let mut reader = under.read(&topic, 0, 0).await;
    let mut records = Vec::new();
    // Dropped after ever other moments, mostly in the midst of waiting.
    let mut patience = 0;
    while records.len() < 300 {
        if let Ok(batch) = tokio::time::timeout(Duration::from_micros(patience), reader.next()).await {
            records.extend(batch.unwrap().records);
        }
        patience = (patience + 70) % 3_000;
    }
    writer.await.unwrap();
    assert_eq!(records.len(), 300);
    assert_dense(&records, 0);
}

pub async fn partitions_are_added_and_removed(under: &Under) {
    let topic = under.topic(2).await;
    under.append((0..6).map(|number| record(&topic, number % 2, "key", number)).collect()).await;
    let mut reader = under.read(&topic, 0, 0).await;
    assert_dense(&next_records(&mut *reader, 3).await, 0);
    reader.add(vec![From { topic: topic.clone(), partition: 1, offset: 1 }]).await.unwrap();
    let records = next_records(&mut *reader, 2).await;
    assert!(records.iter().all(|record| record.partition == 1));
    assert_dense(&records, 1);
    // Again from an earlier offset.
    reader.add(vec![From { topic: topic.clone(), partition: 0, offset: 2 }]).await.unwrap();
    let records = next_records(&mut *reader, 1).await;
    assert_eq!((records[0].partition, records[0].offset), (0, 2));
    reader.remove(&[(topic.clone(), 0)]).await.unwrap();
    under.append(vec![record(&topic, 0, "key", "removed")]).await;
    under.append(vec![record(&topic, 1, "key", "read")]).await;
    let records = next_records(&mut *reader, 1).await;
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["read"]);
}

pub async fn two_readers_each_read_everything(under: &Under) {
    let topic = under.topic(1).await;
    let mut readers = [under.read(&topic, 0, 0).await, under.read(&topic, 0, 0).await];
    for number in 0..5 {
        under.append(vec![record(&topic, 0, "key", number)]).await;
        for reader in &mut readers {
            let records = next_records(&mut **reader, 1).await;
            assert_eq!(records.iter().map(text).collect::<Vec<_>>(), [number.to_string()]);
        }
    }
}
