//! An acknowledged append survives `kill -9`: a child process of this very binary appends and prints what was acknowledged, is killed at
//! a random moment, and the log is opened again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod conformance;

use conformance::{record, text};
use eventlog::embedded::Embedded;
use eventlog::{Log, NewTopic};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const DIR: &str = "ONEKNOCK_TEST_LOG_DIR";
const ROUND: &str = "ONEKNOCK_TEST_ROUND";
/// The null control: the child prints without waiting for the acknowledgement.
const EARLY: &str = "ONEKNOCK_TEST_EARLY";
const PRINTED: &str = "acknowledged ";
const APPENDS_MAX: usize = 200_000;

/// Not a test but what the child does; without its variables it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (round, early) = (std::env::var(ROUND).unwrap(), std::env::var(EARLY).is_ok());
    let log = Embedded::open(Path::new(&dir)).unwrap();
    log.create_topics(&[NewTopic { name: "topic".into(), partitions: 2, settings: vec![] }]).await.unwrap();
    let writers = (0..4).map(|writer| {
        let (log, round) = (log.clone(), round.clone());
        tokio::spawn(async move {
            for number in 0..APPENDS_MAX {
                let value = format!("{round}/{writer}/{number}");
                let acknowledgement = log.append(vec![record("topic", writer % 2, "key", &value)]);
                if !early {
                    acknowledgement.await.unwrap();
                }
                let mut out = std::io::stdout().lock();
                writeln!(out, "{PRINTED}{value}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

/// Starts a child, kills it once it has printed so many lines; everything that it has printed whole.
fn run_and_kill(dir: &Path, round: usize, lines: usize, early: bool) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(DIR, dir).env(ROUND, round.to_string());
    if early {
        command.env(EARLY, "1");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut printed, mut line) = (Vec::new(), String::new());
    while out.read_line(&mut line).unwrap() > 0 {
        // The harness prints, too, and the last line may be cut off.
        if let Some(at) = line.find(PRINTED).filter(|_| line.ends_with('\n')) {
            printed.push(line[at + PRINTED.len()..].trim_end().to_owned());
            if printed.len() == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(printed.len() >= lines, "the child ended by itself");
    printed
}

/// Everything that the log holds, by partition in order.
async fn held(dir: &Path) -> Vec<Vec<String>> {
    let log = Embedded::open(dir).unwrap();
    let under = conformance::Under { log, compact: None, keep: Box::new(()) };
    let mut held = Vec::new();
    for partition in 0..2 {
        let records = under.all("topic", partition, 0).await;
        conformance::assert_dense(&records, 0);
        held.push(records.iter().map(text).collect());
    }
    held
}

async fn missing_after_kills(rounds: usize, early: bool) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let (mut random, mut printed) = (StdRng::seed_from_u64(7), Vec::new());
    for round in 0..rounds {
        printed.extend(run_and_kill(dir.path(), round, random.random_range(1..300), early));
    }
    let held: HashSet<String> = held(dir.path()).await.into_iter().flatten().collect();
    printed.iter().filter(|value| !held.contains(*value)).count()
}

#[tokio::test]
async fn what_is_acknowledged_survives_kill_9() {
    assert_eq!(missing_after_kills(12, false).await, 0);
}

#[tokio::test]
async fn acknowledging_before_the_commit_is_caught() {
    assert_ne!(missing_after_kills(3, true).await, 0, "the check sees nothing");
}

#[tokio::test]
async fn nobody_is_doubled_or_out_of_order_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        run_and_kill(dir.path(), round, 100, false);
    }
    for partition in held(dir.path()).await {
        let mut next = std::collections::HashMap::new();
        for value in &partition {
            let (writer, number) = value.rsplit_once('/').unwrap();
            let expected = next.entry(writer.to_owned()).or_insert(0);
            assert_eq!(number.parse::<usize>().unwrap(), *expected, "{value}");
            *expected += 1;
        }
    }
}
