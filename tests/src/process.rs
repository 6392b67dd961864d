//! What a running process has used so far, as the kernel counts it.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU seconds of all its threads, user and system together.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let Cpu { user, system } = cpu(pid)?;
    Ok(user + system)
}

/// CPU seconds of all threads of a process.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// In its own code.
    pub user: f64,
    /// In the system's, for it.
    pub system: f64,
}

/// What it has used so far.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> Result<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // A tick is a hundredth of a second on every Linux that this runs on.
    let seconds = |at: usize| -> Result<f64> { Ok(fields.get(at).context("/proc/PID/stat is short")?.parse::<f64>()? / 100.0) };
    // Fields 14 and 15 of proc(5).
    Ok(Cpu { user: seconds(11)?, system: seconds(12)? })
}

/// How long the calling thread has had a core: others on the machine do not count.
///
/// # Errors
/// The system does not say.
pub fn on_the_core() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The most memory that it ever had resident, in MiB.
///
/// # Errors
/// There is no such process.
pub fn peak_mib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmHWM:").map(|kib| kib / 1024)
}

/// The memory that it has resident now, in MiB.
///
/// # Errors
/// There is no such process.
pub fn resident_mib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS:").map(|kib| kib / 1024)
}

fn status_kib(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("/proc/PID/status has no {name}"))?;
    line.trim().trim_end_matches(" kB").trim().parse().context("/proc/PID/status holds no number")
}
