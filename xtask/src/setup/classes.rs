//! Kafka's classes, read and verified once and kept as an archive that Java maps into memory: a node of the tests starts in
//! half the time. An archive that does not fit the Java or the jars at hand is passed over by Java itself.

use super::fetched;
use crate::command::{capture, command};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_SECONDS_MAX: u64 = 90;

/// The archive, made by one run of a node that ends in order.
pub fn archive(java: &Path, libs: &Path) -> Result<PathBuf> {
    let version = format!("{}\n{}\n", java.display(), fs::read_to_string(libs.with_file_name(".version"))?);
    let folder = fetched("kafka-classes", &version, |folder| {
        let node = Node { java, libs, folder };
        node.format()?;
        let mut child = node.start()?;
        let done = node.end(&mut child);
        // Fails only when it is gone already.
        let _ = child.kill();
        let _ = child.wait();
        done?;
        fs::remove_dir_all(folder.join("data"))?;
        if folder.join("classes.jsa").is_file() { Ok(()) } else { bail!("Java wrote no archive of classes") }
    })?;
    Ok(folder.join("classes.jsa"))
}

struct Node<'a> {
    java: &'a Path,
    libs: &'a Path,
    folder: &'a Path,
}

impl Node<'_> {
    /// The options that matter to the archive are those of the testkit's `kafka.rs`: the same collector, the same jars.
    fn jvm(&self) -> Command {
        let mut java = command(self.java);
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
        java.arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info");
        java
    }

    fn format(&self) -> Result<()> {
        let sockets = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let [broker, controller] = [sockets[0].local_addr()?.port(), sockets[1].local_addr()?.port()];
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
             log.dirs={}\n",
            self.folder.join("data").display()
        );
        fs::write(self.properties(), properties)?;
        let mut format = self.jvm();
        format.arg("-cp").arg(self.libs.join("*")).args(["kafka.tools.StorageTool", "format", "-t", "T25lS25vY2tDbGFzc2VzMQ", "-c"]);
        capture(format.arg(self.properties()))?;
        Ok(())
    }

    fn start(&self) -> Result<Child> {
        let out = File::create(self.said())?;
        let mut node = self.jvm();
        node.arg(format!("-XX:ArchiveClassesAtExit={}", self.folder.join("classes.jsa").display()));
        node.arg("-cp").arg(self.libs.join("*")).arg("kafka.Kafka").arg(self.properties());
        node.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn().context("cannot start Java")
    }

    /// Waits until it has started, tells it to end, and waits until it has: only then is the archive whole.
    fn end(&self, child: &mut Child) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let mut told = false;
        loop {
            if child.try_wait()?.is_some() {
                return if told { Ok(()) } else { bail!("Kafka ended while starting; see {}", self.said().display()) };
            }
            if !told && fs::read_to_string(self.said())?.contains("Kafka Server started") {
                capture(command("kill").args(["-s", "TERM", &child.id().to_string()]))?;
                told = true;
            }
            if Instant::now() > deadline {
                bail!("Kafka has not started and ended in {START_SECONDS_MAX} s; see {}", self.said().display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn said(&self) -> PathBuf {
        self.folder.join("said")
    }
}
