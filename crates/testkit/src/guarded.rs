//! A child process that cannot outlive the test: not when the test is done, not when it panics, not when the test
//! process itself is killed. Knows nothing of what the child does.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Waits for a word that never comes. When its standard input ends without one, the test process is gone: it ends
/// the child's process group and removes what the child wrote.
const WATCH: &str = r#"read -r word && exit 0; kill -s KILL -- "-$1"; rm -rf "$2" || { sleep 1; rm -rf "$2"; }"#;

/// A running child in a process group of its own, whose output goes to a file.
pub struct Guarded {
    child: Child,
    watch: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts `command`. Both outputs are appended to `log`; `folder` is removed if this process is killed.
    ///
    /// # Errors
    /// The log cannot be opened, or the program cannot be started.
    pub fn spawn(command: &mut Command, log: &Path, folder: &Path) -> Result<Guarded> {
        let out = File::options().create(true).append(true).open(log).with_context(|| format!("cannot open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "watch", &child.id().to_string()]).arg(folder);
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let watch = watch.spawn().context("cannot start sh")?;
        Ok(Guarded { child, watch, log: log.to_path_buf() })
    }

    /// The child's process id; its process group has the same number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// How it has ended; none while it runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // Either call fails only when it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last 30 lines that it said, under the log's name.
    pub fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        format!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
        // The word that sends the watch home; without it the watch would end a process group that is no longer ours.
        if let Some(mut stdin) = self.watch.stdin.take() {
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.watch.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn is_there(pid: u32) -> bool {
        // A zombie is there too, so the state is asked.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['R', 'S', 'D', 'T']))
    }

    fn gone_within_10_s(pid: u32) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_there(pid) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        !is_there(pid)
    }

    #[test]
    fn dropping_ends_the_child() {
        let folder = tempfile::tempdir().unwrap();
        let guarded = Guarded::spawn(Command::new("sleep").arg("600"), &folder.path().join("log"), folder.path()).unwrap();
        let pid = guarded.pid();
        assert!(is_there(pid));
        drop(guarded);
        assert!(gone_within_10_s(pid));
        assert!(folder.path().exists(), "the folder belongs to the caller");
    }

    #[test]
    fn a_watch_that_hears_nothing_ends_the_child_and_removes_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut guarded = Guarded::spawn(Command::new("sleep").arg("600"), &inner.join("log"), &inner).unwrap();
        // As when this process is killed: the pipe closes without a word.
        drop(guarded.watch.stdin.take());
        guarded.watch.wait().unwrap();
        assert!(gone_within_10_s(guarded.pid()));
        assert!(!inner.exists());
    }
}
