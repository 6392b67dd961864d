//! `cargo xtask deploy`: reads what an operator deploys with the tools that will read it there.

use crate::command::{capture, command};
use crate::paths;
use crate::setup::checkers;
use anyhow::Result;

/// Runs every check of deploy/.
pub fn run() -> Result<()> {
    compose()
}

fn compose() -> Result<()> {
    let said = capture(command(checkers::compose()?).arg(paths::root().join("docker-compose.yml")))?;
    println!("compose: {} services", said.lines().count());
    Ok(())
}
