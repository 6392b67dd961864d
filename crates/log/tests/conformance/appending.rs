//! Order and acknowledgement.

use super::{Under, assert_dense, record, text};
use eventlog::{Append, LogError};
use futures::future::join_all;
use std::collections::HashMap;

pub async fn each_partition_is_in_the_order_of_its_offsets_under_concurrent_appends(under: &Under) {
    let topic = under.topic(2).await;
    let writers = (0..8).map(|writer| {
        let (log, topic) = (under.log.clone(), topic.clone());
        tokio::spawn(async move {
            let mut landed = Vec::new();
            for number in 0..50 {
                let value = format!("{writer}/{number}");
                let appended = log.append(vec![record(&topic, writer % 2, "key", &value)]).await.unwrap();
                landed.push((writer % 2, appended[0].offset, value));
            }
            landed
        })
    });
    let mut landed = HashMap::new();
    for writer in join_all(writers).await {
        for (partition, offset, value) in writer.unwrap() {
            assert_eq!(landed.insert((partition, offset), value), None, "an offset given twice");
        }
    }
    for partition in 0..2 {
        let records = under.all(&topic, partition, 0).await;
        assert_eq!(records.len(), 200);
        assert_dense(&records, 0);
        let mut last: HashMap<String, i32> = HashMap::new();
        for record in &records {
            assert_eq!(landed[&(partition, record.offset)], text(record), "another record than was acknowledged there");
            let value = text(record);
            let (writer, number) = value.split_once('/').unwrap();
            let number: i32 = number.parse().unwrap();
            let before = last.insert(writer.to_owned(), number).unwrap_or(-1);
            assert_eq!(before + 1, number, "writer {writer} out of order");
        }
    }
}

pub async fn what_one_handle_appends_in_order_is_read_in_order(under: &Under) {
    let topic = under.topic(3).await;
    let (mut number, mut expected) = (0, Vec::new());
    // Nothing is awaited in between: the order is that of the calls.
    let appends: Vec<_> = (0..300)
        .map(|call| {
            let records: Vec<Append> = (0..call % 5 + 1)
                .map(|_| {
                    number += 1;
                    record(&topic, number % 3, "key", number)
                })
                .collect();
            expected.push(records.clone());
            under.log.append(records)
        })
        .collect();
    let mut values: HashMap<i32, Vec<String>> = HashMap::new();
    for partition in 0..3 {
        let of_calls = expected.iter().flatten().filter(|append| append.partition == partition);
        let of_calls = of_calls.map(|append| String::from_utf8(append.value.clone().unwrap().to_vec()).unwrap()).collect();
        values.insert(partition, of_calls);
    }
    let mut next = [0; 3];
    for (acknowledged, appended) in join_all(appends).await.into_iter().zip(&expected) {
        let acknowledged = acknowledged.unwrap();
        assert_eq!(acknowledged.len(), appended.len());
        for (at, append) in acknowledged.iter().zip(appended) {
            let next = &mut next[append.partition as usize];
            assert_eq!(at.offset, *next, "acknowledged out of order");
            *next += 1;
        }
    }
    for partition in 0..3 {
        let records = under.all(&topic, partition, 0).await;
        assert_dense(&records, 0);
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), values[&partition]);
    }
}

pub async fn an_append_is_readable_once_it_is_acknowledged(under: &Under) {
    let topic = under.topic(1).await;
    for number in 0..20 {
        let appended = under.append(vec![record(&topic, 0, "key", number)]).await;
        assert_eq!(under.log.offsets(&topic, 0).await.unwrap(), (0, number + 1));
        let records = under.all(&topic, 0, appended[0].offset).await;
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), [number.to_string()]);
    }
}

pub async fn what_does_not_exist_is_said(under: &Under) {
    let topic = under.topic(2).await;
    let missing = super::unique("missing");
    assert!(matches!(under.log.offsets(&missing, 0).await, Err(LogError::NoTopic(_))));
    assert!(matches!(under.log.offsets(&topic, 2).await, Err(LogError::NoTopic(_))));
    assert!(under.log.append(vec![record(&missing, 0, "key", 1)]).await.is_err());
    assert!(under.log.append(vec![record(&topic, 2, "key", 1)]).await.is_err());
    assert_eq!(under.log.offsets(&topic, 0).await.unwrap(), (0, 0));
}

pub async fn nothing_appended_is_acknowledged_with_nothing(under: &Under) {
    assert_eq!(under.append(vec![]).await, vec![]);
}
