//! `cargo xtask kill`: builds the binary and the check that kills it, and runs the check with the words given.

use crate::command::{cargo, command, run as run_command};
use crate::setup;
use crate::test::BUILD;
use anyhow::{Context, Result};
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
    check_with_null_control("kill", args, "no-dedupe")
}

/// The same for `cargo xtask canaries`, whose null control is a program that leaks.
pub fn canaries(args: &Args) -> Result<()> {
    check_with_null_control("canaries", args, "leaks")
}

/// A check whose null control is a program of its own: built with that feature and put beside the real one, which the build after it sets
/// right again.
pub(crate) fn check_with_null_control(name: &str, args: &Args, feature: &str) -> Result<()> {
    if args.words.iter().any(|word| word == "--null-control") {
        setup::all()?;
        let mut build = cargo();
        build.arg("build").args(BUILD).args(["--features", &format!("oneknock/{feature}"), "--bin", "oneknock"]);
        run_command(&mut build)?;
        let program = format!("oneknock-{feature}");
        std::fs::copy(folder("ci").join("oneknock"), folder("ci").join(&program)).with_context(|| format!("{program} is not there"))?;
    }
    check(name, args)
}

/// Where the programs of a profile's builds are.
fn folder(profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    crate::paths::root().join(target).join(profile)
}

/// Builds everything as the tests do, so that nothing is built twice, and runs one of the checks.
pub(crate) fn check(name: &str, args: &Args) -> Result<()> {
    let build = [&BUILD[..], &["--bins"]].concat();
    build_and_run(name, args, &build, "ci")
}

/// The same for what is measured: as a release is built, and no more of it than is run, since each program is optimised as a whole.
pub(crate) fn measure(name: &str, args: &Args) -> Result<()> {
    let build = ["--release", "--package", "oneknock", "--package", "oneknock-tests", "--bin", "oneknock", "--bin", name];
    build_and_run(name, args, &build, "release")
}

fn build_and_run(name: &str, args: &Args, build: &[&str], profile: &str) -> Result<()> {
    let found = setup::all()?;
    run_command(cargo().arg("build").args(build))?;
    run_command(found.export(command(folder(profile).join(name)).args(&args.words)))
}
