//! `register`: makes a register and three agencies' files out of data that is brought along; see docs/walk-through.md.

use clap::Parser;
use oneknock_tests::register;
use std::path::PathBuf;

/// Makes what `oneknock registry import` and `oneknock connect` read.
#[derive(Parser)]
#[command(name = "register")]
struct Cli {
    /// The folder that has `data/household_register_pseudopeople` and `data/events_tollgate_kddcup2017`.
    data: PathBuf,
    /// Where the files go.
    out: PathBuf,
    /// Draws times and plates.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let Cli { data, out, seed } = Cli::parse();
    let made = register::read(&data, seed)?;
    let files = made.write(&out)?;
    let plates = made.census.plates().len();
    let people: usize = made.census.households.values().map(|household| household.people.len()).sum();
    println!("{} households, {people} people, {plates} plates", made.census.households.len());
    println!("{} checkpoint events in {} files, {} toll passages", made.passages.len(), files.days.len(), made.tolls.len());
    println!("in {}; its sources.toml goes to the end of oneknock.toml", out.display());
    Ok(())
}
