//! Packages of the operating system: installed by apt where this user may, else named with the command.

use crate::command::{capture, command, find};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Installs packages, or says how. Package lists are brought up to date once in a run.
pub fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    if find("apt-get").is_none() || !is_root() {
        bail!("missing; install it with `{by_hand}` (or your system's own packages)");
    }
    update();
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    if capture(&mut apt).is_err() {
        bail!("apt could not install it; try `{by_hand}`");
    }
    Ok(())
}

/// Brings apt's package lists up to date, once in a run. That it failed shows at the install that needed it.
pub fn update() {
    static LISTS: OnceLock<bool> = OnceLock::new();
    LISTS.get_or_init(|| capture(command("apt-get").args(["update", "-q"])).is_ok());
}

/// A program by name, installed from a package of Debian's if need be.
pub fn program(name: &str, packages: &[&str]) -> Result<PathBuf> {
    if let Some(path) = find(name) {
        return Ok(path);
    }
    install(packages)?;
    find(name).ok_or_else(|| anyhow::anyhow!("{name} is not on PATH after its package was installed"))
}

/// Headers of OpenSSL, for the feature `tls`, and the tool that finds them.
pub fn openssl() -> Result<Option<(&'static str, PathBuf)>> {
    program("pkg-config", &["pkg-config"])?;
    let there = || capture(command("pkg-config").args(["--exists", "openssl"])).is_ok();
    if !there() {
        install(&["libssl-dev"])?;
        if !there() {
            bail!("pkg-config does not find openssl after libssl-dev was installed");
        }
    }
    Ok(None)
}

fn is_root() -> bool {
    capture(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
