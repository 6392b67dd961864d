//! `cargo xtask latency`: builds the binary and the check that times it, and runs the check with the words given.

use crate::kill::{Args, check};
use anyhow::Result;

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    args.build_null_control("no-portions")?;
    check("latency", args)
}
