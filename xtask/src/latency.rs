//! `cargo xtask latency`: builds the binary and the check that times it, and runs the check with the words given.

use crate::kill::{Args, check_with_null_control};
use anyhow::Result;

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    check_with_null_control("latency", args, "no-portions")
}
