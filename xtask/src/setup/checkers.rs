//! Checkers of the files under deploy/: a Python environment for Kubernetes manifests and Dockerfiles, Prometheus' own
//! `promtool`, and a few lines of Go around the library that reads compose files.

use super::{debian, fetched};
use crate::command::{capture, command};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Everything; nothing of it is exported, deploy.rs knows where it lies.
pub fn all() -> Result<Option<(&'static str, PathBuf)>> {
    python()?;
    promtool()?;
    compose()?;
    Ok(None)
}

/// Folder of the Python environment (`bin/kubernetes-validate`, `bin/hadolint`).
pub fn python() -> Result<PathBuf> {
    let lists = ["requirements.txt", "hadolint.txt"].map(|name| paths::part_files().join(name));
    let mut version = String::new();
    for list in &lists {
        version += &std::fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    }
    // An environment cannot be moved after it is made: it is made where it stays, and its stamp comes last.
    let folder = paths::tools().join("python");
    let stamp = folder.join(".version");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == version) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let python = debian::program("python3", &["python3"])?;
    if capture(command(&python).args(["-m", "venv"]).arg(&folder)).is_err() {
        debian::install(&["python3-venv"])?;
        capture(command(&python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    }
    for list in &lists {
        let mut pip = command(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"]).arg(list);
        if capture(&mut pip).is_err() {
            bail!("pip could not install it; try `.tools/python/bin/pip install -r {}`", list.display());
        }
    }
    std::fs::write(stamp, version)?;
    Ok(folder)
}

/// Prometheus' checker. Unpacked, not installed: the package would start a server.
pub fn promtool() -> Result<PathBuf> {
    if let Some(path) = crate::command::find("promtool") {
        return Ok(path);
    }
    let folder = fetched("prometheus", "debian", |folder| {
        debian::program("dpkg-deb", &["dpkg"])?;
        let mut apt = command("apt-get");
        if capture(apt.current_dir(folder).args(["download", "-q", "prometheus"])).is_err() {
            debian::update();
            let mut again = command("apt-get");
            let said = capture(again.current_dir(folder).args(["download", "-q", "prometheus"]));
            if said.is_err() {
                bail!("promtool is missing and apt could not fetch it; try `apt-get update && apt-get install prometheus`");
            }
        }
        let mut files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let package = files.find(|path| path.extension().is_some_and(|end| end == "deb")).context("apt left no package")?;
        capture(command("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
        std::fs::remove_file(package)?;
        Ok(())
    })?;
    Ok(folder.join("usr/bin/promtool"))
}

/// The checker of compose files: `xtask/parts/compose`, built.
pub fn compose() -> Result<PathBuf> {
    let source = paths::part_files().join("compose");
    let version = std::fs::read_to_string(source.join("go.mod"))? + &std::fs::read_to_string(source.join("main.go"))?;
    let folder = fetched("compose", &version, |folder| {
        let go = debian::program("go", &["golang"])?;
        let mut build = command(go);
        build.current_dir(&source).env("GOFLAGS", "-mod=readonly").args(["build", "-o"]).arg(folder.join("compose-check")).arg(".");
        if let Err(error) = capture(&mut build) {
            let log = paths::tools().join("go.txt");
            std::fs::write(&log, format!("{error:#}"))?;
            bail!("Go could not build the compose checker; its words are in {}", log.display());
        }
        Ok(())
    })?;
    Ok(folder.join("compose-check"))
}
