//! What the browser test drives: a Chromium of the operating system, and playwright-core, which brings none of its own.

use super::{debian, fetched};
use crate::command::{capture, command, find};
use anyhow::{Result, bail};
use std::path::PathBuf;

const PLAYWRIGHT: &str = "1.65.1";

/// The browser.
pub fn chromium() -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    if let Some(path) = names.iter().find_map(|name| find(name)) {
        return Ok(path);
    }
    debian::program("chromium", &["chromium"])
}

/// A `node_modules` that holds playwright-core.
pub fn playwright() -> Result<PathBuf> {
    let folder = fetched("playwright", PLAYWRIGHT, |folder| {
        debian::program("node", &["nodejs"])?;
        let npm = debian::program("npm", &["npm"])?;
        let mut install = command(npm);
        // An install script could fetch a browser; the package needs none to run.
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", "--prefix"]);
        install.arg(folder).arg(format!("playwright-core@{PLAYWRIGHT}"));
        if capture(&mut install).is_err() {
            bail!(
                "npm could not install playwright-core {PLAYWRIGHT}; try `npm install --prefix .tools/playwright playwright-core@{PLAYWRIGHT}`"
            );
        }
        Ok(())
    })?;
    Ok(folder.join("node_modules"))
}
