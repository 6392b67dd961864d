//! Starts the real program, and waits for what it says: nothing here sleeps for luck.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program with these words.
pub fn oneknock(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneknock"));
    command.args(words).env_remove("RUST_LOG").env("LANG", "C");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ONEKNOCK_")) {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn output(words: &[&str]) -> Output {
    oneknock(words).output().unwrap()
}

/// Exit code, stdout, stderr.
pub fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A running program.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it; its stderr and stdout are one stream of lines.
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let tell = tell.clone();
            std::thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        }
        Running { child, lines }
    }

    /// The first line that holds this.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(wanted) {
                return line;
            }
            seen.push(line);
        }
        panic!("nobody said {wanted:?}; said was:\n{}", seen.join("\n"));
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits until it ends.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end: {}", self.rest());
    }

    /// What it said and nobody has read.
    pub fn rest(&self) -> String {
        self.lines.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A site in this directory, on ports that nobody else has.
pub struct Site {
    /// Its oneknock.toml.
    pub config: String,
    /// Inbox, gateway, ops.
    pub ports: [u16; 3],
}

/// Makes one by `oneknock init`.
pub fn site(dir: &Path) -> Site {
    let (code, _, error) = said(&output(&["init", dir.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{error}");
    let config = dir.join("oneknock.toml");
    let ports = [(); 3].map(|()| testkit::ports::free().unwrap());
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (usual, port) in [8080, 8081, 8082].into_iter().zip(ports) {
        text = text.replace(&format!("127.0.0.1:{usual}"), &format!("127.0.0.1:{port}"));
    }
    std::fs::write(&config, text).unwrap();
    Site { config: config.to_str().unwrap().to_owned(), ports }
}
