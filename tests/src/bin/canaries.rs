//! `canaries`: see `oneknock_tests::canaries`. Run it through `cargo xtask canaries`, which builds what it needs.

use clap::Parser;
use oneknock_tests::canaries::{self, Options, Report};
use oneknock_tests::figures;
use oneknock_tests::log_choice::LogKind;
use std::process::ExitCode;
use testkit::site::{PROGRAM, PROGRAM_THAT_LEAKS};

/// On Kafka so many times fewer: there the topics matter, and the rest is the same.
const KAFKA_SHARE: u64 = 20;

/// Fills a site with made-up people; exits 1 when a file or an output of it holds anything of them in clear.
#[derive(Parser)]
#[command(name = "cargo xtask canaries")]
struct Cli {
    /// How many people.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Of the people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// On one log alone; otherwise embedded, and with fewer people on Kafka.
    #[arg(long)]
    log: Option<LogKind>,
    /// With a program that writes one identifier into its debug log: it must be found, and the exit code be 1.
    #[arg(long)]
    null_control: bool,
    /// The figures as JSON; progress goes to standard error either way.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { count, seed, log, null_control, json } = Cli::parse();
    let program = if null_control { PROGRAM_THAT_LEAKS } else { PROGRAM };
    let on = match log {
        Some(log) => vec![(log, count)],
        None => vec![(LogKind::Kafka, (count / KAFKA_SHARE).max(100)), (LogKind::Embedded, count)],
    };
    let mut ended = ExitCode::SUCCESS;
    for (log, count) in on {
        let report: Report = canaries::run(&Options { log, count, seed, program }, |line| eprintln!("{}: {line}", log.as_str())).await?;
        if figures::tell(&report, report.passes(), json)? != ExitCode::SUCCESS {
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}
