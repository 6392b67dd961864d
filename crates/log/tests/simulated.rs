//! What the simulated log promises beyond the interface: one seed is one history, and faults never break order within a handle and
//! partition, nor leave a hole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod conformance;

use conformance::Under;
use eventlog::simulated::{Faults, Simulated, SimulatedCore, Ticket};
use eventlog::{Append, LogError, NewTopic};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

const PARTITIONS: i32 = 3;

async fn make() -> Under {
    let log = Simulated::new(1);
    // The suite wants today.
    log.advance(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap());
    let compacted = log.clone();
    let compact: conformance::Compact = Box::new(move |topic| {
        let log = compacted.clone();
        Box::pin(async move {
            log.advance(1);
            log.compact(&topic, 0).unwrap();
        })
    });
    Under { log, compact: Some(compact), keep: Box::new(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_log_conforms() {
    conformance::suite(make).await;
}

struct History {
    /// By partition: handle and number of each record, in the log's order.
    stored: Vec<Vec<(usize, usize)>>,
    /// By handle: the number of its first append.
    began: Vec<usize>,
    /// Handle and number of each append that was taken, with whether it was acknowledged.
    answered: Vec<(usize, usize, bool)>,
}

/// Two writers append at random moments between steps, and open again when theirs has failed; then everything comes to rest.
fn history(seed: u64, faults: Faults) -> History {
    let mut core = SimulatedCore::new(seed, faults);
    core.create_topic(&NewTopic { name: "t".into(), partitions: PARTITIONS, settings: Vec::new() }).unwrap();
    let mut handles = vec![core.open(), core.open()];
    let mut began = vec![0, 0];
    let mut writers = [0, 1];
    let mut tickets: Vec<(usize, usize, Ticket)> = Vec::new();
    for number in 0..200 {
        for writer in &mut writers {
            let record = |partition| Append {
                topic: "t".into(),
                partition,
                key: format!("{writer}/{number}").into_bytes().into(),
                value: Some(b"v".to_vec().into()),
                headers: Default::default(),
            };
            match core.append(handles[*writer], (0..PARTITIONS).map(record).collect()) {
                Ok(ticket) => tickets.push((*writer, number, ticket)),
                Err(LogError::Away(_)) => {
                    handles.push(core.open());
                    began.push(number + 1);
                    *writer = handles.len() - 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        core.advance(1);
        for _ in 0..number % 9 {
            core.step();
        }
    }
    while core.step() {}
    let parsed = |key: &[u8]| {
        let (handle, number) = std::str::from_utf8(key).unwrap().split_once('/').unwrap();
        (handle.parse().unwrap(), number.parse().unwrap())
    };
    let all = |partition| core.read("t", partition, 0, usize::MAX).unwrap().records;
    let stored = (0..PARTITIONS).map(|partition| all(partition).iter().map(|record| parsed(&record.key)).collect()).collect();
    let answered = tickets.into_iter().map(|(handle, number, ticket)| (handle, number, core.answer(ticket).unwrap().is_ok())).collect();
    History { stored, began, answered }
}

#[test]
fn one_seed_is_one_history_and_another_is_another() {
    let faults = Faults { lose: 0.01, lose_answer: 0.01, clean: 0.01 };
    assert_eq!(history(7, faults).stored, history(7, faults).stored);
    assert_ne!(history(7, faults).stored, history(8, faults).stored);
}

#[test]
fn without_faults_everything_is_stored_and_partitions_run_apart() {
    let History { stored, answered, .. } = history(1, Faults::default());
    assert!(answered.iter().all(|(.., acknowledged)| *acknowledged));
    assert!(stored.iter().all(|partition| partition.len() == answered.len()));
    assert_ne!(stored[0], stored[1]);
}

#[test]
fn what_a_handle_wrote_is_a_beginning_of_what_it_appended_in_every_partition() {
    let (mut unanswered_yet_stored, mut lost) = (0, 0);
    for seed in 0..50 {
        let History { stored, began, answered } = history(seed, Faults { lose: 0.005, lose_answer: 0.005, clean: 0.0 });
        for (partition, records) in stored.iter().enumerate() {
            let mut next: BTreeMap<usize, usize> = BTreeMap::new();
            for (handle, number) in records {
                let expected = next.entry(*handle).or_insert(began[*handle]);
                assert_eq!(number, expected, "seed {seed} partition {partition} handle {handle}");
                *expected += 1;
            }
            for (handle, number, acknowledged) in &answered {
                let is_stored = next.get(handle).is_some_and(|next| number < next);
                assert!(is_stored || !acknowledged, "seed {seed} partition {partition}: {handle}/{number} was acknowledged");
                unanswered_yet_stored += usize::from(is_stored && !acknowledged);
                lost += usize::from(!is_stored);
            }
        }
    }
    // Both kinds of "unknown" have been seen.
    assert!(unanswered_yet_stored > 0 && lost > 0, "{unanswered_yet_stored} {lost}");
}
