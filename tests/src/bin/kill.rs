//! `kill`: see `oneknock_tests::kill`. Run it through `cargo xtask kill`, which builds what it needs.

use clap::Parser;
use oneknock_tests::kill::{self, Options};
use oneknock_tests::log_choice::LogKind;
use std::process::ExitCode;
use testkit::site::{PROGRAM, PROGRAM_WITHOUT_DEDUPE};

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
    /// Runs the program without dedupe: succeeds only when the check finds that something is wrong.
    #[arg(long)]
    null_control: bool,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { log, count, seed, rate, null_control, json } = Cli::parse();
    let program = if null_control { PROGRAM_WITHOUT_DEDUPE } else { PROGRAM };
    let report = match kill::run(&Options { log, count, seed, rate, program }, |line| eprintln!("{line}")).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", if json { serde_json::json!(report).to_string() } else { report.to_string() });
    if null_control {
        eprintln!("null control: {}", if report.passes() { "NOT CAUGHT, the check is worth nothing" } else { "caught" });
    }
    if report.passes() != null_control { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
