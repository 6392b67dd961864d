//! `tamper`: see `oneknock_tests::tamper`. Run it through `cargo xtask tamper`, which builds what it needs.

use clap::Parser;
use oneknock_tests::figures;
use oneknock_tests::tamper;
use std::process::ExitCode;

/// Changes a log of reads in every way its holder could; exits 1 when one goes unnoticed.
#[derive(Parser)]
#[command(name = "cargo xtask tamper")]
struct Cli {
    /// How many tamperings.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// The first seed; each makes one.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Without published checkpoints: whoever holds the key must go unnoticed, and the exit code be 1.
    #[arg(long)]
    null_control: bool,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { count, seed, null_control, json } = Cli::parse();
    let report = tamper::run(count, seed, null_control).await?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
