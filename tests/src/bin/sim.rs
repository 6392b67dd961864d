//! `sim`: see `oneknock_tests::sim`. Run it through `cargo xtask sim`, which builds what it needs.

use clap::Parser;
use oneknock_tests::sim::Player;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates whole sites with faults, one from each seed; exits 1 when a law is broken, with the seed and a small history of it.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Cli {
    /// How many seeds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed: a run that was stopped goes on from the seed that it told last.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The figures as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { seeds, seed, json } = Cli::parse();
    let player = Player::new()?;
    let report = player.run(seed, seeds, |next| eprintln!("clean so far; go on with --seed {next}"));
    println!("{}", if json { serde_json::to_string(&report)? } else { report.to_string() });
    let Some(failed) = report.failed else { return Ok(ExitCode::SUCCESS) };
    report.findings.iter().for_each(|finding| eprintln!("{finding}"));
    eprintln!("making the history of seed {failed} small ...");
    eprintln!(
        "{}",
        player.explain(failed, None).unwrap_or_else(|| "the second time it was clean: something is not drawn from the seed".to_owned())
    );
    Ok(ExitCode::FAILURE)
}
