//! How fast the embedded log appends: `cargo run --profile ci -p oneknock-log --example append_load -- RECORDS BATCH WRITERS`. Each
//! writer appends batches of so many records of 200 bytes and waits for each; prints one line of figures.

use eventlog::embedded::Embedded;
use eventlog::{Append, Log, LogError, NewTopic};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 12;

fn argument(at: usize, default: usize) -> usize {
    std::env::args().nth(at).and_then(|argument| argument.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> Result<(), LogError> {
    let (records, batch, writers) = (argument(1, 100_000), argument(2, 100), argument(3, 4));
    let dir = std::env::temp_dir().join(format!("oneknock-append-load-{}", std::process::id()));
    let log = Embedded::open(&dir)?;
    log.create_topics(&[NewTopic { name: "load".into(), partitions: PARTITIONS, settings: vec![] }]).await?;
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                for round in 0..records / writers / batch {
                    let append = |number: usize| Append {
                        topic: "load".into(),
                        partition: (number % PARTITIONS as usize) as i32,
                        key: format!("{writer}-{round}-{number}").into_bytes().into(),
                        value: Some(vec![b'x'; 200].into()),
                        headers: Default::default(),
                    };
                    let began = Instant::now();
                    log.append((0..batch).map(append).collect()).await?;
                    took.push(began.elapsed());
                }
                Ok::<Vec<Duration>, LogError>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(|error| LogError::Away(error.to_string()))??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort();
    let percentile = |share: f64| took.get((took.len() as f64 * share) as usize).map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
    let per_second = (took.len() * batch) as f64 / seconds;
    println!(
        "{per_second:.0} records/s, {:.0} appends/s; an append of {batch}: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms ({writers} writers)",
        took.len() as f64 / seconds,
        percentile(0.5),
        percentile(0.99),
        percentile(0.9999),
    );
    drop(log);
    std::fs::remove_dir_all(&dir).map_err(|error| LogError::Away(error.to_string()))
}
