//! `table`: see `oneknock_tests::table_load`. Run it through `cargo xtask table`, which builds what it needs.

use clap::{Parser, Subcommand};
use oneknock_tests::figures;
use oneknock_tests::table_load::{self, Kept};
use std::path::PathBuf;
use std::process::ExitCode;

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures loading the identifier table: time, CPU, memory, disk, cold and from the cache; exits 1 when an entry is missing or wrong.
#[derive(Parser)]
#[command(name = "cargo xtask table")]
struct Cli {
    /// Identifiers.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Null control: so many of the identifiers are left out or published with another's links, and the check must see each of them.
    #[arg(long, default_value_t = 0)]
    flawed: u64,
    /// What the cache is kept in.
    #[arg(long, value_enum, default_value = "file")]
    kept: Kept,
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
    Load { how: Kept, bootstrap: String, entries: u64, cache: PathBuf },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { entries, flawed, kept, json, part } = Cli::parse();
    if let Some(Part::Load { how, bootstrap, entries, cache }) = part {
        println!("{}", serde_json::to_string(&table_load::load(how, &bootstrap, entries, &cache).await?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let report = table_load::run(kept, entries, flawed, |line| eprintln!("{line}")).await?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
