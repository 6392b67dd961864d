//! A real schema registry for tests: Apicurio, which speaks Confluent's interface, in memory on a loopback port.
//! Knows no schema. Starting blocks for some 4 s.

use crate::guarded::Guarded;
use crate::{parts, ports};
use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_SECONDS_MAX: u64 = 90;

/// A running registry. Dropping it ends the process; nothing of it is kept.
pub struct Apicurio {
    /// Base of Confluent's interface, without a slash at the end: `{url}/subjects` lists the subjects.
    pub url: String,
    // In this order: the process goes before the folder that it writes into.
    process: Guarded,
    _folder: TempDir,
}

impl Apicurio {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// Apicurio or Java is not set up, or it ends or does not answer in 90 s: the error carries the end of its log.
    pub fn start() -> Result<Apicurio> {
        let java = parts::path("ONEKNOCK_JAVA")?;
        let home = parts::path("ONEKNOCK_APICURIO")?;
        let folder = tempfile::Builder::new().prefix("oneknock-registry-").tempdir()?;
        let port = ports::free()?;
        let mut command = Command::new(java);
        command.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"]);
        command.arg(format!("-Dquarkus.http.port={port}")).arg("-jar").arg(home.join("quarkus-run.jar")).current_dir(folder.path());
        let mut process = Guarded::spawn(&mut command, &folder.path().join("out"), folder.path())?;
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while !subjects(port).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if process.is_over() {
                bail!("Apicurio ended while starting; {}", process.tail());
            }
            if Instant::now() > deadline {
                bail!("Apicurio does not answer after {START_SECONDS_MAX} s; {}", process.tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Apicurio { url: format!("http://127.0.0.1:{port}/apis/ccompat/v7"), process, _folder: folder })
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.tail());
        }
    }
}

/// The whole answer to a list of subjects, by hand: starting blocks, and a client would bring a runtime.
fn subjects(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /apis/ccompat/v7/subjects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_with_no_subjects_and_is_gone_after_drop() {
        let registry = Apicurio::start().unwrap();
        let port: u16 = registry.url.split([':', '/']).nth(4).unwrap().parse().unwrap();
        let answer = subjects(port).unwrap();
        assert!(answer.ends_with("[]"), "{answer}");
        drop(registry);
        assert!(subjects(port).is_err());
    }
}
