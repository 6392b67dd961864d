//! `bench`: see `oneknock_tests::drain`, with `--core` `oneknock_tests::core_speed`, with `--loops` `oneknock_tests::loops_speed`, with `--sealing` `oneknock_tests::sealing`. Run it through `cargo xtask bench`, which builds what it needs.

use clap::Parser;
use oneknock_tests::backlog::Options;
use oneknock_tests::{core_speed, drain, figures, loops_speed};
use std::process::ExitCode;

/// As in the binary that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drains a backlog from one local Kafka node through both loops of the router; exits 1 when it takes more CPU than the mark, or the
/// ledger does not close.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    /// Events in the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Travellers; half of them are seen before.
    #[arg(long, default_value_t = 300_000)]
    travellers: u64,
    /// Households.
    #[arg(long, default_value_t = 100_000)]
    households: u64,
    /// Measures the pure core alone instead, on one core: so many inputs a second, and how large a household's record gets.
    #[arg(long)]
    core: bool,
    /// Measures the router's two loops alone instead, on one core: owners and logics as they are, with lists in memory in place of Kafka.
    #[arg(long, conflicts_with = "core")]
    loops: bool,
    /// Loses so many of what the loops have to tell one another: the check must fail then.
    #[arg(long, default_value_t = 0, requires = "loops")]
    lost: usize,
    /// Measures intake alone instead, on one core: which share of an event's CPU tokens and sealing take, in both suites.
    #[arg(long, conflicts_with_all = ["core", "loops"])]
    sealing: bool,
    /// Hashes and seals so many times as often: the share must be too large then.
    #[arg(long, default_value_t = 1, requires = "sealing")]
    times: u32,
    /// Copies the events of the log at this address, and nothing else: the benchmark starts itself so.
    #[arg(long, hide = true)]
    pass_through: Option<String>,
    /// Of the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Cli { events, travellers, households, core, loops, lost, sealing, times, pass_through, seed, json } = Cli::parse();
    if core {
        let report = core_speed::run(events)?;
        return Ok(figures::tell(&report, report.passes(), json)?);
    }
    if loops {
        let report = loops_speed::run(Options { events, travellers, households, seed }, lost).await?;
        return Ok(figures::tell(&report, report.all_decided, json)?);
    }
    if sealing {
        let report = oneknock_tests::sealing::run_with_gateway(events, times).await?;
        return Ok(figures::tell(&report, report.passes(), json)?);
    }
    if let Some(bootstrap) = pass_through {
        println!("{}", oneknock_tests::pass_through::copy(&bootstrap).await?);
        return Ok(ExitCode::SUCCESS);
    }
    let report = drain::run(Options { events, travellers, households, seed }, |line| eprintln!("{line}")).await?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
