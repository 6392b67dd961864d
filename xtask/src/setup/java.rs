//! Finds a Java that is new enough. The default `java` may be too old while a newer one lies beside it.

use super::debian;
use crate::command::{command, find, is_program};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The `java` of the highest version found, at least `least`; installed where it may be.
///
/// # Errors
/// None new enough: names the versions found and the command.
pub fn newest(least: u32) -> Result<PathBuf> {
    if let Some((_, java)) = best(least) {
        return Ok(java);
    }
    // Debian 12 has no Java above 17, Debian 13 has 21: the attempt costs a second and says what to do.
    if let Err(error) = debian::install(&["openjdk-21-jre-headless"]) {
        let found: Vec<String> = all().iter().map(|(version, _)| version.to_string()).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        bail!("Java {least} or newer is needed, found: {found}; install a JDK {least}+ under /usr/lib/jvm or set JAVA_HOME ({error})");
    }
    match best(least) {
        Some((_, java)) => Ok(java),
        None => bail!("Java {least} or newer is not found after it was installed"),
    }
}

fn best(least: u32) -> Option<(u32, PathBuf)> {
    all().into_iter().filter(|(version, _)| *version >= least).max()
}

fn all() -> Vec<(u32, PathBuf)> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    candidates.extend(std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")));
    candidates.extend(find("java"));
    for folder in ["/usr/lib/jvm", "/opt", "/Library/Java/JavaVirtualMachines"] {
        let homes = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        candidates.extend(homes.flat_map(|home| [home.join("bin/java"), home.join("Contents/Home/bin/java")]));
    }
    candidates.retain(|java| is_program(java));
    candidates.into_iter().filter_map(|java| version(&java).map(|version| (version, java))).collect()
}

/// The first number in `openjdk version "21.0.4"`, which goes to standard error.
fn version(java: &Path) -> Option<u32> {
    let output = command(java).arg("-version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let quoted = said.split('"').nth(1)?;
    quoted.split(['.', '-', '+']).next()?.parse().ok()
}
