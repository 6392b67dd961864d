//! `swap`: see `oneknock_tests::swap`. Run it through `cargo xtask swap`, which builds what it needs.

use clap::Parser;
use oneknock_tests::figures;
use oneknock_tests::swap::{Planted, Swapper};
use std::process::ExitCode;

/// As in the binary whose rules are asked.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells histories twice, the second time of people from elsewhere; exits 1 when anything but the tokens differs.
#[derive(Parser)]
#[command(name = "cargo xtask swap")]
struct Cli {
    /// How many pairs of histories.
    #[arg(long, default_value_t = 100_000)]
    pairs: u64,
    /// The first seed; each makes one pair.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// With a rule that looks at what no rule may: pairs must differ, and the exit code be 1.
    #[arg(long)]
    null_control: Option<Planted>,
    /// The figures as JSON; progress goes to standard error either way.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { pairs, seed, null_control, json } = Cli::parse();
    let report = Swapper::new()?.run(seed, pairs, null_control, |done| eprintln!("{done} of {pairs} pairs"))?;
    Ok(figures::tell(&report, report.passes(), json)?)
}
