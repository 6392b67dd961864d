//! What a record costs this process on Kafka: appends and reads N records of 200 bytes (1 million where nothing is said) on a local node,
//! and prints CPU microseconds a record for each, librdkafka's threads included.
//!
//! `cargo run --profile ci -p oneknock-log --example kafka_throughput -- [N] [PROPERTY=VALUE]…`

use eventlog::kafka::{Kafka, KafkaConfig};
use eventlog::{Append, From, Log, NewTopic};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use testkit::kafka::{Compiler, Options};

const PARTITIONS: i32 = 12;
const BATCH: usize = 1000;
const UNDER_WAY_MAX: usize = 64;

/// User and system time of this process, all threads.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64, Box<dyn std::error::Error>> { Ok(fields.next().ok_or("short")?.parse()?) };
    // 100 ticks a second on Linux, by its promise to programs.
    Ok(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

fn report(what: &str, records: usize, cpu_spent: Duration, took: Duration) {
    let each = cpu_spent.as_secs_f64() * 1e6 / records as f64;
    println!("{what}: {each:.2} CPU us a record, {:.0} records/s", records as f64 / took.as_secs_f64());
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |argument| argument.parse())?;
    let node = testkit::kafka::Kafka::start_with(Options { compiler: Compiler::Optimising, ..Options::new(1) })?;
    let properties = std::env::args().skip(2).filter_map(|argument| {
        let (key, value) = argument.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    let log = Kafka::connect(&KafkaConfig { bootstrap: node.bootstrap.clone(), properties: properties.collect() })?;
    log.create_topics(&[NewTopic { name: "t".into(), partitions: PARTITIONS, settings: Vec::new() }]).await?;

    let (began, before) = (Instant::now(), cpu()?);
    let mut under_way = VecDeque::new();
    for first in (0..records).step_by(BATCH) {
        let batch = (first..records.min(first + BATCH)).map(|number| Append {
            topic: "t".into(),
            partition: number as i32 % PARTITIONS,
            key: format!("demo-mandate/{number:012}").into_bytes().into(),
            value: Some(vec![b'x'; 175].into()),
            headers: Default::default(),
        });
        under_way.push_back(log.append(batch.collect()));
        if under_way.len() > UNDER_WAY_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
    }
    for acknowledged in under_way {
        acknowledged.await?;
    }
    report("append", records, cpu()? - before, began.elapsed());

    let (began, before) = (Instant::now(), cpu()?);
    let from = (0..PARTITIONS).map(|partition| From { topic: "t".into(), partition, offset: 0 });
    let mut reader = log.read(from.collect()).await?;
    let mut read = 0;
    while read < records {
        read += reader.next().await?.records.len();
    }
    report("read", records, cpu()? - before, began.elapsed());
    Ok(())
}
