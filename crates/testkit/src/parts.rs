//! Finds what `cargo xtask setup` fetched: the environment first, then `.tools/env` at the workspace's root.
//! A part that is missing is an error that names the command, never a reason to skip a test.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Where the part `name` (such as `ONEKNOCK_KAFKA_LIBS`) lies.
///
/// # Errors
/// Not set up, or no longer there.
pub fn path(name: &str) -> Result<PathBuf> {
    let path = match std::env::var_os(name) {
        Some(value) => PathBuf::from(value),
        None => from_file(name)?,
    };
    if !path.exists() {
        bail!("{name} says {}, which is not there: run `cargo xtask setup`", path.display());
    }
    Ok(path)
}

fn from_file(name: &str) -> Result<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/env");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{name} is not set and {} cannot be read: run `cargo xtask setup`", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.map(PathBuf::from).with_context(|| format!("{name} is not set up: run `cargo xtask setup`"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_missing_part_names_the_command() {
        let error = super::path("ONEKNOCK_NO_SUCH_PART").unwrap_err();
        assert!(format!("{error:#}").contains("cargo xtask setup"), "{error:#}");
    }
}
