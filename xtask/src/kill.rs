//! `cargo xtask kill`: builds the binary and the check that kills it, and runs the check with the words given.

use crate::command::{cargo, command, run as run_command};
use crate::setup;
use crate::test::BUILD;
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of `cargo xtask kill` and `cargo xtask latency`: they are the check's own, and its `--help` names them.
#[derive(clap::Args)]
pub struct Args {
    /// Words for the check, such as `--log embedded --count 100 --seed 1 --json`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    check("kill", args)
}

/// Builds everything as the tests do, so that nothing is built twice, and runs one of the checks.
pub(crate) fn check(name: &str, args: &Args) -> Result<()> {
    let found = setup::all()?;
    run_command(cargo().arg("build").args(BUILD).arg("--bins"))?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let program = crate::paths::root().join(folder).join("ci").join(name);
    run_command(found.export(command(program).args(&args.words)))
}
