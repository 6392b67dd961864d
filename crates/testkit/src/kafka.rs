//! A real Apache Kafka for tests: one or three combined brokers and controllers (KRaft) as child processes on
//! loopback, with data in a temporary folder. Knows no topic. Starting blocks for 2 s (one node) to 6 s (three).

mod secured;

pub use secured::Secured;

use crate::guarded::Guarded;
use crate::{parts, ports};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_SECONDS_MAX: u64 = 90;

/// How the Java virtual machine compiles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// Starts quickly; for tests.
    Quick,
    /// Runs quickly once warm; for measurements.
    Optimising,
}

/// What a cluster is made of.
#[derive(Clone)]
pub struct Options {
    /// 1 or 3.
    pub nodes: usize,
    /// Greatest heap of one node in MiB.
    pub heap_mib: u32,
    /// For tests or for measurements.
    pub compiler: Compiler,
    /// More lines of each node's server.properties; a later line overrules an earlier one.
    pub properties: Vec<(String, String)>,
    /// Clients come in by TLS and with a password, or not at all. For one node.
    pub secured: Option<Secured>,
}

impl Options {
    /// What tests use.
    pub fn new(nodes: usize) -> Options {
        Options { nodes, heap_mib: 512, compiler: Compiler::Quick, properties: Vec::new(), secured: None }
    }
}

/// A running cluster. Dropping it ends every node and removes the data.
pub struct Kafka {
    /// `127.0.0.1:PORT` of every node, joined by commas.
    pub bootstrap: String,
    nodes: Vec<Option<Guarded>>,
    options: Options,
    java: PathBuf,
    libs: PathBuf,
    // The last field: the folder goes after the processes that write into it.
    folder: TempDir,
}

impl Kafka {
    /// Starts 1 or 3 nodes and waits until each says that it has started.
    ///
    /// # Errors
    /// Kafka or Java is not set up, or a node ends or is not up in 90 s: the error carries the end of its log.
    pub fn start(nodes: usize) -> Result<Kafka> {
        Kafka::start_with(Options::new(nodes))
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(options: Options) -> Result<Kafka> {
        if options.nodes != 1 && options.nodes != 3 {
            bail!("a cluster has 1 or 3 nodes, not {}", options.nodes);
        }
        let java = parts::path("ONEKNOCK_JAVA")?;
        let libs = parts::path("ONEKNOCK_KAFKA_LIBS")?;
        let folder = tempfile::Builder::new().prefix("oneknock-kafka-").tempdir()?;
        let count = options.nodes;
        let brokers = (0..count).map(|_| ports::free()).collect::<std::io::Result<Vec<u16>>>()?;
        let controllers = (0..count).map(|_| ports::free()).collect::<std::io::Result<Vec<u16>>>()?;
        let bootstrap = brokers.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
        let mut kafka = Kafka { bootstrap, nodes: Vec::new(), options, java, libs, folder };
        kafka.format(&brokers, &controllers)?;
        for number in 1..=count {
            let node = kafka.spawn(number)?;
            kafka.nodes.push(Some(node));
        }
        for number in 1..=count {
            kafka.wait_until_started(number, 0)?;
        }
        Ok(kafka)
    }

    /// What a client must be told besides the addresses: properties of librdkafka.
    pub fn client_properties(&self) -> BTreeMap<String, String> {
        self.options.secured.as_ref().map(Secured::client_properties).unwrap_or_default()
    }

    /// Process ids of the nodes that run, in order of node.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Guarded::pid).collect()
    }

    /// Ends a node (1, 2, 3) at once, as a power cut would. Its data stays.
    pub fn kill_node(&mut self, number: usize) {
        if let Some(node) = self.nodes.get_mut(number - 1) {
            *node = None;
        }
    }

    /// Starts a node again that was killed, on its old port and data, and waits until it says so.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_node(&mut self, number: usize) -> Result<()> {
        let before = std::fs::read_to_string(self.log(number)).map(|text| started(&text)).unwrap_or(0);
        let node = self.spawn(number)?;
        *self.nodes.get_mut(number - 1).context("no such node")? = Some(node);
        self.wait_until_started(number, before)
    }

    fn format(&self, brokers: &[u16], controllers: &[u16]) -> Result<()> {
        // 16 bytes in base64url, as Kafka wants a cluster's id; another one for each cluster.
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let cluster = format!("{:021}A", nanos % 10_u128.pow(21));
        let mut running = Vec::new();
        for number in 1..=brokers.len() {
            let data = self.data(number);
            std::fs::create_dir_all(&data)?;
            let properties = self.file(number, "properties");
            std::fs::write(&properties, server_properties(&self.options, number, brokers, controllers, &data)?)?;
            let mut format = self.jvm(128, Compiler::Quick);
            format.args(["kafka.tools.StorageTool", "format", "-t", &cluster, "-c"]).arg(&properties);
            format.args(self.options.secured.iter().flat_map(Secured::format_words));
            format.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            running.push(format.spawn().with_context(|| format!("cannot start {}", self.java.display()))?);
        }
        for format in running {
            let output = format.wait_with_output()?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                bail!("Kafka could not format its data folder:\n{}", String::from_utf8_lossy(&said));
            }
        }
        Ok(())
    }

    fn spawn(&self, number: usize) -> Result<Guarded> {
        let mut node = self.jvm(self.options.heap_mib, self.options.compiler);
        node.arg(format!("-Dkafka.logs.dir={}", self.folder.path().display()));
        node.arg("kafka.Kafka").arg(self.file(number, "properties"));
        Guarded::spawn(&mut node, &self.log(number), self.folder.path())
    }

    fn jvm(&self, heap_mib: u32, compiler: Compiler) -> Command {
        let mut java = Command::new(&self.java);
        java.arg(format!("-Xmx{heap_mib}m"));
        match compiler {
            Compiler::Quick => {
                // Half the time to start. Without the archive, or with one of another Java, a node starts all the same.
                if let Ok(classes) = parts::path("ONEKNOCK_KAFKA_CLASSES") {
                    java.arg(format!("-XX:SharedArchiveFile={}", classes.display()));
                }
                java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            }
            Compiler::Optimising => java.args([&format!("-Xms{heap_mib}m"), "-XX:+UseG1GC"]),
        };
        java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        java.arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info");
        java.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
        java.arg("-cp").arg(self.libs.join("*"));
        java
    }

    /// An open port could be somebody else's: only the node's own word counts. `before`: how often it was said earlier.
    fn wait_until_started(&mut self, number: usize, before: usize) -> Result<()> {
        let node = self.nodes.get_mut(number - 1).and_then(Option::as_mut).context("no such node")?;
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while started(&node.said()) <= before {
            if node.is_over() {
                bail!("Kafka node {number} ended while starting; {}", node.tail());
            }
            if Instant::now() > deadline {
                bail!("Kafka node {number} has not started in {START_SECONDS_MAX} s; {}", node.tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn data(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("node{number}"))
    }

    fn file(&self, number: usize, end: &str) -> PathBuf {
        self.folder.path().join(format!("node{number}.{end}"))
    }

    fn log(&self, number: usize) -> PathBuf {
        self.file(number, "out")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in self.nodes.iter().flatten() {
                eprintln!("{}", node.tail());
            }
        }
    }
}

/// One node for every test of this process that may share it. Topics are the tests' own business: names must differ,
/// or else a test starts a cluster of its own.
///
/// # Errors
/// As [`Kafka::start`]; the same words for every caller.
pub fn shared() -> Result<&'static Kafka> {
    static SHARED: OnceLock<std::result::Result<Kafka, String>> = OnceLock::new();
    let kafka = SHARED.get_or_init(|| Kafka::start(1).map_err(|error| format!("{error:#}")));
    kafka.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn started(log: &str) -> usize {
    log.matches("Kafka Server started").count()
}

fn server_properties(options: &Options, number: usize, brokers: &[u16], controllers: &[u16], data: &Path) -> Result<String> {
    let nodes = brokers.len();
    let in_sync = nodes.min(2);
    let voters = controllers.iter().enumerate().map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1));
    let voters = voters.collect::<Vec<_>>().join(",");
    let (broker, controller) = (brokers[number - 1], controllers[number - 1]);
    let mut text = format!(
        "process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
default.replication.factor={nodes}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={nodes}
offsets.topic.num.partitions=5
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor={nodes}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
",
        data.display()
    );
    if let Some(secured) = &options.secured {
        text.push_str(&secured.properties(broker, ports::free()?, controller));
    }
    if nodes > 1 {
        // A killed node may register again when its old session has run out: 9 s by default.
        text.push_str("broker.session.timeout.ms=4000\nbroker.heartbeat.interval.ms=500\n");
    }
    for (name, value) in &options.properties {
        writeln!(text, "{name}={value}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn answers(address: &str) -> bool {
        TcpStream::connect(address).is_ok()
    }

    #[test]
    fn one_node_starts_answers_and_is_gone_after_drop() {
        let kafka = Kafka::start(1).unwrap();
        let address = kafka.bootstrap.clone();
        let folder = kafka.folder.path().to_path_buf();
        assert!(answers(&address));
        drop(kafka);
        assert!(!answers(&address));
        assert!(!folder.exists());
    }

    #[test]
    fn three_nodes_start_and_one_comes_back_after_a_kill() {
        let mut kafka = Kafka::start(3).unwrap();
        let addresses: Vec<String> = kafka.bootstrap.split(',').map(str::to_owned).collect();
        assert_eq!(addresses.len(), 3);
        assert!(addresses.iter().all(|address| answers(address)));
        kafka.kill_node(2);
        assert!(!answers(&addresses[1]));
        assert_eq!(kafka.pids().len(), 2);
        kafka.start_node(2).unwrap();
        assert!(answers(&addresses[1]));
    }

    #[test]
    fn a_node_that_cannot_start_shows_its_log() {
        let mut options = Options::new(1);
        options.properties.push(("log.cleaner.dedupe.buffer.size".into(), "1".into()));
        let error = Kafka::start_with(options).err().unwrap();
        assert!(format!("{error:#}").contains("log.cleaner"), "{error:#}");
    }

    #[test]
    fn two_nodes_are_refused() {
        assert!(Kafka::start(2).is_err());
    }
}
