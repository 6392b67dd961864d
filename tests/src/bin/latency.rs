//! `latency`: see `oneknock_tests::latency`. Run it through `cargo xtask latency`, which builds what it needs.

use clap::Parser;
use oneknock_tests::flip;
use oneknock_tests::latency::{self, Options};
use oneknock_tests::log_choice::LogKind;
use std::process::ExitCode;
use testkit::site::{PROGRAM, PROGRAM_WITHOUT_PORTIONS};

/// Measures from the gateway's 202 to the worker's stream; exits 1 when p99 is 100 ms or more, or an event is never shown.
#[derive(Parser)]
#[command(name = "cargo xtask latency")]
struct Cli {
    /// On which log.
    #[arg(long, value_enum, default_value = "embedded")]
    log: LogKind,
    /// Events per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Instead: the zone of so many households rises while fresh arrivals come; exits 1 when these take more than twice as long at p99.
    #[arg(long, value_name = "HOUSEHOLDS", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    flip_zones: Option<u32>,
    /// Runs a program that judges all of them at once: succeeds only when the check finds that fresh arrivals take too long.
    #[arg(long, requires = "flip_zones")]
    null_control: bool,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { log, rate, seconds, flip_zones, null_control, json } = Cli::parse();
    let progress = |line: &str| eprintln!("{line}");
    let done = match flip_zones {
        Some(households) => {
            let program = if null_control { PROGRAM_WITHOUT_PORTIONS } else { PROGRAM };
            let report = flip::run(&flip::Options { log, households, rate, seconds, program }, progress).await;
            report.map(|report| (report.passes(), report.to_string(), serde_json::json!(report)))
        }
        None => {
            let report = latency::run(&Options { log, rate, seconds }, progress).await;
            report.map(|report| (report.passes(), report.to_string(), serde_json::json!(report)))
        }
    };
    match done {
        Ok((passes, text, figures)) => {
            println!("{}", if json { figures.to_string() } else { text });
            if null_control {
                eprintln!("null control: {}", if passes { "NOT CAUGHT, the check is worth nothing" } else { "caught" });
            }
            if passes != null_control { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
