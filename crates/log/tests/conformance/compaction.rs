//! Compaction, on logs where a test may force it.

use super::{Under, record};
use eventlog::{Append, Record};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::HashMap;

const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "0"), ("delete.retention.ms", "86400000")];

/// What is left must be what was appended there, in order, with the newest of every key among it.
fn assert_compacted(records: &[Record], appended: &[Append]) {
    assert!(records.is_sorted_by(|one, next| one.offset < next.offset));
    let mut newest: HashMap<&[u8], i64> = HashMap::new();
    for (offset, append) in (0..).zip(appended) {
        newest.insert(&append.key, offset);
    }
    for record in records {
        let append = &appended[record.offset as usize];
        assert_eq!((&record.key[..], record.value.as_deref()), (&append.key[..], append.value.as_deref()), "at {}", record.offset);
        assert_eq!(record.headers, append.headers, "at {}", record.offset);
    }
    for (key, offset) in newest {
        assert!(records.iter().any(|record| record.offset == offset), "the newest of {key:?}, at {offset}, is gone");
    }
}

pub async fn the_newest_of_every_key_stays_and_no_older_one_comes_back(under: &Under) {
    let Some(compact) = &under.compact else { return };
    for seed in 0..5 {
        let topic = under.topic_with(1, COMPACTED).await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut appended: Vec<Append> = Vec::new();
        for _ in 0..6 {
            // Appends of ever other sizes between compactions, keys met again and again, some tombstones.
            for _ in 0..random.random_range(1..20) {
                let batch: Vec<Append> = (0..random.random_range(1..12))
                    .map(|_| {
                        let mut append = record(&topic, 0, &format!("key-{}", random.random_range(0..15)), random.random::<u32>());
                        append.headers = [("h", [random.random::<u8>()])].into_iter().collect();
                        if random.random_bool(0.2) {
                            append.value = None;
                        }
                        append
                    })
                    .collect();
                appended.extend(batch.iter().cloned());
                under.append(batch).await;
            }
            let before = under.all(&topic, 0, 0).await.len();
            compact(topic.clone()).await;
            let records = under.all(&topic, 0, 0).await;
            assert_compacted(&records, &appended);
            assert!(records.len() <= before, "seed {seed}: compaction brought something back");
            assert_eq!(under.log.offsets(&topic, 0).await.unwrap().1, appended.len() as i64, "seed {seed}");
        }
        let left = under.all(&topic, 0, 0).await.len();
        assert!(left < appended.len() / 2, "seed {seed}: {left} of {} are left: nothing was compacted", appended.len());
    }
}

pub async fn reading_from_an_offset_that_is_gone_goes_on_behind_it(under: &Under) {
    let Some(compact) = &under.compact else { return };
    let topic = under.topic_with(1, COMPACTED).await;
    for number in 0..20 {
        under.append(vec![record(&topic, 0, if number == 3 { "rare" } else { "often" }, number)]).await;
    }
    let mut reader = under.read(&topic, 0, 0).await;
    compact(topic.clone()).await;
    for from in 0..20 {
        let records = under.all(&topic, 0, from).await;
        let expected = (from..20).find(|&number| number == 3 || number == 19).unwrap();
        assert!(records[0].offset >= from);
        // A log may keep more than the newest, but what is left comes in order and to the end.
        assert!(records.iter().any(|record| record.offset == expected));
        assert_eq!(records.last().unwrap().offset, 19);
    }
    // A reader that was there before goes on, too, and gets what is appended then.
    under.append(vec![record(&topic, 0, "new", 20)]).await;
    let mut last = -1;
    while last < 20 {
        for record in super::next(&mut *reader).await.records {
            assert!(record.offset > last);
            last = record.offset;
        }
    }
}

pub async fn a_tombstone_stays_for_its_time(under: &Under) {
    let Some(compact) = &under.compact else { return };
    let topic = under.topic_with(1, COMPACTED).await;
    under.append(vec![record(&topic, 0, "key", 1), Append { value: None, ..record(&topic, 0, "key", "") }]).await;
    under.append(vec![record(&topic, 0, "other", 2)]).await;
    for _ in 0..2 {
        compact(topic.clone()).await;
        let records = under.all(&topic, 0, 0).await;
        assert!(records.iter().any(|record| record.offset == 1 && record.value.is_none()), "the tombstone went before its time");
    }
}
