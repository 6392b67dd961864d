//! What a crash of the real program leaves behind: no core dump, and of a panic nothing that was put together as it ran.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]
#![cfg(target_os = "linux")]

mod common;

use common::{oneknock, output, said};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs a program with core dumps allowed, in a folder of its own, until it is ready, and aborts it.
fn aborted(program: &[&str], folder: &Path, is_ready: impl Fn(u32) -> bool) -> ExitStatus {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]).args(program).current_dir(folder);
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + common::PATIENCE;
    while !is_ready(child.id()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap()
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[test]
fn an_abort_leaves_no_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    assert!(output(&["init", site.to_str().unwrap()]).status.success());
    let config = std::fs::read_to_string(site.join("oneknock.toml")).unwrap();
    let config: String = config
        .lines()
        .map(|line| if line.starts_with("listen") { "listen = \"127.0.0.1:0\"\n".into() } else { format!("{line}\n") })
        .collect();
    std::fs::write(site.join("oneknock.toml"), config).unwrap();
    let program = oneknock(&[]).get_program().to_str().unwrap().to_owned();
    // The log is there when the roles start.
    let is_ready = |pid| name_of(pid) == "oneknock" && site.join("log").exists();
    let status = aborted(&[&program, "run", "--config", "oneknock.toml"], &site, is_ready);
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));

    // A program that does nothing about it: where this machine keeps dumps at all, it would have left one.
    let status = aborted(&["sleep", "600"], folder.path(), |pid| name_of(pid) == "sleep");
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    assert_eq!(status.signal(), Some(6));
    assert!(status.core_dumped() || pattern.starts_with('|') || pattern.trim().is_empty(), "no null control: {pattern:?}");
}

#[test]
fn a_panic_tells_its_place_and_not_what_it_says() {
    // A full disk behind standard output makes the standard library panic, with a text that was put together as it ran.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = oneknock(&["init", folder.path().join("site").to_str().unwrap()]).stdout(full).output().unwrap();
    let (_, _, err) = said(&output);
    assert!(err.contains("panicked at") && err.contains("is not shown"), "{err}");
    assert!(!err.contains("No space left"), "{err}");
}
