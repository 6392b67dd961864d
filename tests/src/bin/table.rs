//! `table`: see `oneknock_tests::table_load`. Run it through `cargo xtask table`, which builds what it needs.

use clap::{Parser, Subcommand};
use oneknock_tests::table_load;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures loading the identifier table: time, CPU, memory, disk, cold and from the cache; exits 1 when an entry is missing.
#[derive(Parser)]
#[command(name = "cargo xtask table")]
struct Cli {
    /// Identifiers.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// One loading, in a process of its own.
    #[command(hide = true)]
    Load { how: String, bootstrap: String, cache: PathBuf },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { entries, json, part } = Cli::parse();
    if let Some(Part::Load { how, bootstrap, cache }) = part {
        println!("{}", serde_json::to_string(&table_load::load(&how, &bootstrap, &cache).await?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let report = table_load::run(entries, |line| eprintln!("{line}")).await?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
