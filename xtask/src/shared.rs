//! `cargo xtask test-shared DIR`: the suite over real and hostile data that is not part of the repository.
//! Nothing passes empty: a missing folder fails by its name, and a run without a test fails too.

use crate::command::{cargo, tee};
use crate::setup;
use crate::test::BUILD;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// What the suite reads below DIR.
const FOLDERS: [&str; 5] =
    ["data/validators_cn", "data/hostile_input", "data/vectors", "data/household_register_pseudopeople", "data/events_tollgate_kddcup2017"];

/// Options of `cargo xtask test-shared`.
#[derive(clap::Args)]
pub struct Args {
    /// The folder; relative paths start at the workspace's root.
    dir: PathBuf,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    let dir = crate::paths::root().join(&args.dir);
    let dir = dir.canonicalize().with_context(|| format!("the folder {} is missing", dir.display()))?;
    let missing: Vec<String> = FOLDERS.iter().map(|name| dir.join(name)).filter(|path| !path.is_dir()).map(shown).collect();
    if !missing.is_empty() {
        bail!("missing below {}: {}", dir.display(), missing.join(", "));
    }
    let parts = setup::all()?;
    let mut tests = cargo();
    // The workspace's build, of which only the suite's own test files are run.
    parts.export(&mut tests).env("ONEKNOCK_SHARED", &dir).arg("test").args(BUILD);
    tests.args(["--test", "shared_*", "--", "--ignored", "--nocapture"]);
    let passed = passed(&tee(&mut tests)?);
    if passed == 0 {
        bail!("no test of the suite ran");
    }
    println!("xtask test-shared: {passed} tests passed over {}", dir.display());
    Ok(())
}

/// Sum over `test result: ok. 3 passed; 0 failed; …`.
fn passed(said: &str) -> usize {
    let counts = said.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok());
    counts.sum()
}

fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn passed_tests_are_added_up_over_binaries() {
        let said = "test result: ok. 3 passed; 0 failed; 0 ignored\nnoise\ntest result: ok. 4 passed; 0 failed; 1 ignored\n";
        assert_eq!(super::passed(said), 7);
        assert_eq!(super::passed("running 0 tests\n\ntest result: ok. 0 passed; 0 failed;"), 0);
    }
}
