//! `latency`: see `oneknock_tests::latency`. Run it through `cargo xtask latency`, which builds what it needs.

use clap::Parser;
use oneknock_tests::latency::{self, Options};
use oneknock_tests::log_choice::LogKind;
use std::process::ExitCode;

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
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { log, rate, seconds, json } = Cli::parse();
    let report = match latency::run(&Options { log, rate, seconds }, |line| eprintln!("{line}")).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", if json { serde_json::json!(report).to_string() } else { report.to_string() });
    if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
