//! `matrix`: see `oneknock_tests::matrix`. Run it through `cargo xtask matrix`, which builds what it needs.

use clap::Parser;
use oneknock_tests::figures;
use oneknock_tests::matrix::{Matrix, Rule};
use std::process::ExitCode;

/// Asks everything as everybody; exits 1 where an answer is not what the table says.
#[derive(Parser)]
#[command(name = "cargo xtask matrix")]
struct Cli {
    /// How many requests.
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Which requests.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The null control: the table forgets this rule, and the exit code must be 1.
    #[arg(long, value_enum)]
    leave_out: Option<Rule>,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { requests, seed, leave_out, json } = Cli::parse();
    let report = Matrix::start().await?.run(requests, seed, leave_out).await?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
