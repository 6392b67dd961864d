//! The OpenID provider that the sign-in test asks: a real one, run by node.

use super::{debian, fetched};
use crate::command::{capture, command};
use anyhow::{Result, bail};
use std::path::PathBuf;

const PACKAGES: [&str; 2] = ["oidc-provider@9.13.3", "jose@6.2.18"];

/// A `node_modules` that holds the provider.
pub fn provider() -> Result<PathBuf> {
    let folder = fetched("oidc", &PACKAGES.join(" "), |folder| {
        debian::program("node", &["nodejs"])?;
        let npm = debian::program("npm", &["npm"])?;
        let mut install = command(npm);
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", "--prefix"]);
        if capture(install.arg(folder).args(PACKAGES)).is_err() {
            bail!("npm could not install {0}; try `npm install --prefix .tools/oidc {0}`", PACKAGES.join(" "));
        }
        Ok(())
    })?;
    Ok(folder.join("node_modules"))
}
