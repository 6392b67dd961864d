//! Set-up: brings every part that the tests need to this machine, and says by name what it cannot bring.
//! Each part is a function that returns at once when it is there; a stamp file names the version fetched.

mod browser;
pub mod checkers;
mod classes;
mod debian;
mod java;
mod jvm;
mod oidc;
mod openbao;

use crate::parts::{self, Parts};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// `cargo xtask setup`.
pub fn run() -> Result<()> {
    all().map(|_| ())
}

/// Sets up everything. All parts are tried before it fails, so that one run names all that is missing.
pub fn all() -> Result<Parts> {
    fs::create_dir_all(paths::tools()).context("cannot make .tools")?;
    let mut found = Parts::default();
    let mut missing = Vec::new();
    let mut step = |name: &str, done: Result<Option<(&'static str, PathBuf)>>, began: Instant| match done {
        Ok(part) => {
            if let Some((name, path)) = part {
                found.put(name, &path);
            }
            println!("setup {name:<12} ok      {:>6.1} s", began.elapsed().as_secs_f64());
        }
        Err(error) => {
            println!("setup {name:<12} MISSING {:>6.1} s", began.elapsed().as_secs_f64());
            missing.push(format!("{name}: {error:#}"));
        }
    };
    type Part = fn() -> Result<Option<(&'static str, PathBuf)>>;
    let steps: [(&str, Part); 10] = [
        ("openssl", debian::openssl),
        ("java", || java::newest(21).map(|path| Some((parts::JAVA, path)))),
        ("kafka", || jvm::kafka().map(|path| Some((parts::KAFKA_LIBS, path)))),
        ("classes", || classes::archive(&java::newest(21)?, &jvm::kafka()?).map(|path| Some((parts::KAFKA_CLASSES, path)))),
        ("apicurio", || jvm::apicurio().map(|path| Some((parts::APICURIO, path)))),
        ("chromium", || browser::chromium().map(|path| Some((parts::CHROMIUM, path)))),
        ("playwright", || browser::playwright().map(|path| Some((parts::PLAYWRIGHT, path)))),
        ("oidc", || oidc::provider().map(|path| Some((parts::OIDC, path)))),
        ("checkers", checkers::all),
        ("openbao", || openbao::server().map(|path| Some((parts::OPENBAO, path)))),
    ];
    for (name, part) in steps {
        let began = Instant::now();
        step(name, part(), began);
    }
    found.save()?;
    if !missing.is_empty() {
        bail!("not everything could be set up:\n  {}", missing.join("\n  "));
    }
    Ok(found)
}

/// Fills `.tools/<name>` by `fetch` unless its stamp says that this version is there. The folder handed to `fetch`
/// is empty and takes its name only when `fetch` is done, so that an interrupted set-up leaves nothing half.
fn fetched(name: &str, version: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = paths::tools().join(name);
    let stamp = folder.join(".version");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == version) {
        return Ok(folder);
    }
    let partial = paths::tools().join(format!("{name}.partial"));
    for old in [&partial, &folder] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&partial)?;
    fetch(&partial)?;
    fs::write(partial.join(".version"), version)?;
    fs::rename(&partial, &folder)?;
    Ok(folder)
}
