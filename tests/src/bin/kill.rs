//! `kill`: see `oneknock_tests::kill`. Run it through `cargo xtask kill`, which builds what it needs.

use clap::Parser;
use oneknock_tests::kill::{self, Options};
use oneknock_tests::log_choice::LogKind;
use std::process::ExitCode;

/// Kills the whole process at random moments under load; exits 1 when anything is lost, doubled or left open.
#[derive(Parser)]
#[command(name = "cargo xtask kill")]
struct Cli {
    /// On which log.
    #[arg(long, value_enum)]
    log: LogKind,
    /// How many kills.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Draws city, journeys and pauses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Events per second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { log, count, seed, rate, json } = Cli::parse();
    let report = match kill::run(&Options { log, count, seed, rate, environment: Vec::new() }, |line| eprintln!("{line}")).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", if json { serde_json::json!(report).to_string() } else { report.to_string() });
    if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
