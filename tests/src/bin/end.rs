//! `end`: see `oneknock_tests::end`. Run it through `cargo xtask end`, which builds what it needs.

use clap::Parser;
use oneknock_tests::end;
use oneknock_tests::figures;
use std::process::ExitCode;

/// Ends a mandate and tries to open every sealed value in every file that is left; exits 1 when one opens, or when it took too long.
#[derive(Parser)]
#[command(name = "cargo xtask end")]
struct Cli {
    /// How many sealed values, at least.
    #[arg(long, default_value_t = 1_000_000)]
    values: u64,
    /// With the file of keys put back after the end: all must open, and the exit code be 1.
    #[arg(long)]
    null_control: bool,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { values, null_control, json } = Cli::parse();
    let report = end::run(values, null_control).await?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
