//! What a record holds comes back as it went.

use super::Under;
use eventlog::{Append, Record};
use std::time::{SystemTime, UNIX_EPOCH};

async fn back(under: &Under, appends: Vec<Append>) -> Vec<Record> {
    let topic = appends[0].topic.clone();
    under.append(appends.clone()).await;
    let records = under.all(&topic, 0, 0).await;
    assert_eq!(records.len(), appends.len());
    for (record, append) in records.iter().zip(&appends) {
        assert_eq!(record.key, append.key);
        assert_eq!(record.value.as_deref(), append.value.as_deref());
        assert_eq!(record.headers, append.headers);
    }
    records
}

fn append(topic: &str) -> Append {
    Append {
        topic: topic.to_owned().into(),
        partition: 0,
        key: b"key".to_vec().into(),
        value: Some(b"value".to_vec().into()),
        headers: Default::default(),
    }
}

pub async fn tombstones_and_empty_values_are_two_things(under: &Under) {
    let topic = under.topic(1).await;
    let records =
        back(under, vec![Append { value: None, ..append(&topic) }, Append { value: Some(vec![].into()), ..append(&topic) }]).await;
    assert_eq!(records[0].value, None);
    assert_eq!(records[1].value.as_deref(), Some(&b""[..]));
}

pub async fn headers_keep_their_order_and_bytes(under: &Under) {
    let topic = under.topic(1).await;
    let headers = [("z", &b"1"[..]), ("a", &[0, 255, 128]), ("z", b"2"), ("空", b"")].into_iter().collect();
    let records = back(under, vec![Append { headers, ..append(&topic) }]).await;
    assert_eq!(records[0].header("z"), Some(&b"1"[..]));
}

pub async fn keys_may_be_any_bytes(under: &Under) {
    let topic = under.topic(1).await;
    let keys = [vec![0], (0..=255).collect(), vec![0xff; 300], "网格".as_bytes().to_vec()];
    back(under, keys.into_iter().map(|key| Append { key: key.into(), ..append(&topic) }).collect()).await;
}

pub async fn a_record_may_be_a_mebibyte(under: &Under) {
    let topic = under.topic_with(1, &[("max.message.bytes", "4194304")]).await;
    let value: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    back(under, vec![append(&topic), Append { value: Some(value.clone().into()), ..append(&topic) }, append(&topic)]).await;
    under.append(vec![Append { value: Some(value.into()), ..append(&topic) }]).await;
    assert_eq!(under.all(&topic, 0, 3).await.len(), 1);
}

pub async fn time_is_the_time_of_append_and_never_goes_back(under: &Under) {
    let topic = under.topic_with(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for _ in 0..20 {
        under.append(vec![append(&topic), append(&topic)]).await;
    }
    let records = under.all(&topic, 0, 0).await;
    assert!(records.is_sorted_by_key(|record| record.timestamp));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!(records.iter().all(|record| (now - record.timestamp).abs() < 3_600_000), "not the time of append, in milliseconds");
}
