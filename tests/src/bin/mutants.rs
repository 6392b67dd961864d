//! `mutants`: see `oneknock_tests::sim::mutant`. Run it through `cargo xtask mutants`, which builds what it needs.

use clap::Parser;
use oneknock_tests::sim::Player;
use oneknock_tests::sim::mutant::{Found, Mutant, Rule};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plays every deliberate bug until the judge finds it, and says how many seeds that took; exits 1 when one is missed.
#[derive(Parser)]
#[command(name = "cargo xtask mutants")]
struct Cli {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only those whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Also tells the smallest history that was found of each bug: what its rule is there for.
    #[arg(long)]
    tell: bool,
    /// The table as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { seed, only, tell, json } = Cli::parse();
    let player = Player::new()?;
    let owners = Mutant::ALL.iter().map(|mutant| Rule::Owners(*mutant));
    let pure = testkit::sim::pure::Bug::ALL.iter().map(|bug| Rule::Pure(*bug));
    let wanted = owners.chain(pure).filter(|rule| rule.name().to_lowercase().contains(&only.to_lowercase()));
    let mut table: Vec<Found> = Vec::new();
    for rule in wanted {
        let found = player.find(rule, seed);
        if !json {
            println!("{found}");
        }
        if let Some(seeds) = found.seeds.filter(|_| tell) {
            let history = match rule {
                Rule::Owners(mutant) => player.explain(seed + seeds - 1, Some(mutant)),
                Rule::Pure(bug) => testkit::sim::pure::explain(seed + seeds - 1, Some(bug)),
            };
            eprintln!("{}", history.unwrap_or_default());
        }
        table.push(found);
    }
    if json {
        println!("{}", serde_json::to_string(&table)?);
    }
    let missed = table.iter().filter(|found| found.seeds.is_none()).count();
    eprintln!("{} of {} found", table.len() - missed, table.len());
    Ok(if missed == 0 && !table.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
