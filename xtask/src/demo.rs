//! The demo as a newcomer meets it: the page is there within ten seconds, the city lives, and at the end the ledger closes.
//! Runs the binary that the build left; knows nothing but its command line, its page and its last words.

use crate::command::command;
use crate::paths;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PAGE_SECONDS_MAX: u64 = 10;
/// `run` and demo drain within ten seconds; the rest is for a busy machine.
const END_SECONDS_MAX: u64 = 20;
/// Lines of progress, one a second, before it is told to stop.
const PROGRESS_LINES: usize = 5;

/// Runs the check on the binary of profile ci.
pub fn run() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::root().join("target"), Into::into);
    check(&target.join("ci/oneknock"))
}

fn check(binary: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let said = folder.path().join("said");
    let port = free_ports()?;
    let mut demo = command(binary);
    // Its words are looked for, so they have to be English.
    demo.current_dir(folder.path()).env("LC_ALL", "C").args([
        "demo",
        "--households",
        "300",
        "--rate",
        "50",
        "--seed",
        "7",
        "--port",
        &port.to_string(),
    ]);
    let out = File::create(&said)?;
    demo.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let began = Instant::now();
    let mut child = demo.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let done = live(&mut child, port, &said, began);
    // Fails only when it is gone already.
    let _ = child.kill();
    let _ = child.wait();
    let text = std::fs::read_to_string(&said).unwrap_or_default();
    match done {
        Ok(seconds) => {
            let last: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(6).collect();
            println!("demo: page after {seconds:.1} s; its last words:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
            Ok(())
        }
        Err(error) => Err(error.context(format!("the demo said:\n{text}"))),
    }
}

/// The first of three ports in a row that are free now: inbox, gateway, ops. A demo that finds one taken all the same
/// fails by itself and says so.
fn free_ports() -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        let next = |step| port.checked_add(step).and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        if let (Some(_), Some(_)) = (next(1), next(2)) {
            return Ok(port);
        }
    }
    bail!("no three free ports in a row")
}

/// Seconds until the page was there.
fn live(child: &mut Child, port: u16, said: &Path, began: Instant) -> Result<f64> {
    let page = || page(port).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
    until(child, PAGE_SECONDS_MAX, "the inbox page", page)?;
    let seconds = began.elapsed().as_secs_f64();
    let lines = || std::fs::read_to_string(said).unwrap_or_default().matches("avoided").count();
    until(child, 60, "lines of progress that say how many visits were avoided", || lines() >= PROGRESS_LINES)?;
    crate::command::capture(command("kill").args(["-s", "TERM", &child.id().to_string()]))?;
    let deadline = Instant::now() + Duration::from_secs(END_SECONDS_MAX);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            bail!("it has not ended {END_SECONDS_MAX} s after SIGTERM");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        bail!("it ended with {status}");
    }
    let words = std::fs::read_to_string(said)?.to_lowercase();
    if !words.split_whitespace().collect::<Vec<_>>().join(" ").contains("ledger closed") {
        bail!("its summary does not say that the ledger closed");
    }
    Ok(seconds)
}

fn until(child: &mut Child, seconds: u64, what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status} before {what}");
        }
        if Instant::now() > deadline {
            bail!("no {what} within {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn page(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A demo in a few lines of shell and Python, whose summary is `summary`.
    fn fake(folder: &Path, summary: &str) -> std::path::PathBuf {
        let path = folder.join("fake");
        let text = format!(
            r#"#!/usr/bin/env python3
import http.server, signal, sys, threading, time
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
def stop(*_):
    print("{summary}", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    print("1 events, 0 repeat visits avoided", flush=True); time.sleep(0.02)
"#
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_demo_passes_only_if_its_ledger_closed() {
        let folder = tempfile::tempdir().unwrap();
        check(&fake(folder.path(), "Ledger   closed")).unwrap();
        let error = check(&fake(folder.path(), "ledger open")).unwrap_err();
        assert!(format!("{error:#}").contains("does not say that the ledger closed"), "{error:#}");
    }

    #[test]
    fn a_demo_that_ends_at_once_fails() {
        let error = check(Path::new("/bin/true")).unwrap_err();
        assert!(format!("{error:#}").contains("before the inbox page"), "{error:#}");
    }
}
