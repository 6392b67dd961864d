//! A whole site as its users have it: the real binary `oneknock`, made by `init`, started by `run`, used over HTTP and by commands.
//!
//! It knows the outside (commands, addresses, tokens) and nothing of what happens inside. A site that is dropped is killed.

pub mod client;
pub mod numbers;
pub mod register;
pub mod stream;

use crate::guarded::Guarded;
use crate::kafka::Kafka;
use crate::ports;
use anyhow::{Context, Result, bail, ensure};
use client::Client;
use eventlog::Log;
use keys::{Cost, KeptBy, Keyring, Pii, Settings, Suite};
use register::Register;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The mandate that `init` writes.
pub const MANDATE: &str = "demo-mandate";
/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long `run` may take to stop.
const STOP_SECONDS_MAX: u64 = 10;

/// Which log the site lives on.
#[derive(Clone, Debug)]
pub enum LogChoice {
    /// In the process itself.
    Embedded,
    /// On this cluster, which must serve no other site.
    Kafka {
        /// Its first addresses.
        bootstrap: String,
        /// What librdkafka must be told to come in.
        properties: BTreeMap<String, String>,
    },
}

impl LogChoice {
    /// On this cluster.
    pub fn kafka(kafka: &Kafka) -> LogChoice {
        LogChoice::Kafka { bootstrap: kafka.bootstrap.clone(), properties: kafka.client_properties() }
    }
}

/// What is particular about a site.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its log.
    pub log: LogChoice,
    /// Further words of `init`, such as `--clock events`.
    pub init: Vec<String>,
    /// Partitions of every keyed topic.
    pub partitions: i32,
    /// The roles that `run` is started with; none named: all.
    pub roles: &'static str,
    /// The program, beside the running test: `oneknock`, or what a null control runs in its place.
    pub program: &'static str,
    /// Everything is logged, as `text` or `json`; otherwise what RUST_LOG of the test says.
    pub talk: Option<&'static str>,
}

/// The program itself.
pub const PROGRAM: &str = "oneknock";
/// The same without dedupe, for the null control of the check that kills: built by `cargo xtask kill --null-control`.
pub const PROGRAM_WITHOUT_DEDUPE: &str = "oneknock-no-dedupe";
/// A null control: what a changed table concerns is judged all at once.
pub const PROGRAM_WITHOUT_PORTIONS: &str = "oneknock-no-portions";
/// The same with one identifier in its debug log, for the null control of the check that looks for them: built by
/// `cargo xtask canaries --null-control`.
pub const PROGRAM_THAT_LEAKS: &str = "oneknock-leaks";

impl Options {
    /// On this log, with six partitions, where now is what the events say and the mandate is in force for a year of 2026.
    pub fn of_events(log: LogChoice) -> Options {
        Options::of_events_between(log, "2026-01-01", "2027-01-01")
    }

    /// The same with a mandate of these dates.
    pub fn of_events_between(log: LogChoice, from: &str, until: &str) -> Options {
        let init = ["--clock", "events", "--from", from, "--until", until].map(str::to_owned).to_vec();
        Options { log, init, partitions: 6, roles: "", program: PROGRAM, talk: None }
    }

    /// On this log, with six partitions, by the wall's clock.
    pub fn of_today(log: LogChoice) -> Options {
        Options { log, init: Vec::new(), partitions: 6, roles: "", program: PROGRAM, talk: None }
    }
}

/// A running (or killed) site.
pub struct Site {
    /// What its users hold: addresses and tokens. Stays valid over restarts.
    pub client: Client,
    options: Options,
    // In this order: the process goes before the folder that it writes into.
    process: Option<Guarded>,
    folder: TempDir,
}

impl Site {
    /// Makes the site's directory and starts all roles; comes back when they are ready.
    ///
    /// # Errors
    /// The binary is missing, or `init` or `run` fails: the error carries what was said.
    pub async fn start(options: Options) -> Result<Site> {
        let folder = tempfile::Builder::new().prefix("oneknock-site-").tempdir()?;
        let mut init = Command::new(program(options.program)?);
        init.arg("init").arg(folder.path().join("site")).args(&options.init);
        let output = tokio::process::Command::from(init).output().await?;
        ensure!(output.status.success(), "`oneknock init` failed: {}", String::from_utf8_lossy(&output.stderr));
        let ports = [ports::free()?, ports::free()?, ports::free()?];
        configure(&folder.path().join("site/oneknock.toml"), &options, ports)?;
        let client = Client::new(ports, &folder.path().join("site/tokens.json"))?;
        let mut site = Site { client, options, process: None, folder };
        site.restart().await?;
        Ok(site)
    }

    /// The site's directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// The site's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir().join("oneknock.toml")
    }

    /// The site's keys, opened as its own processes do.
    ///
    /// # Errors
    /// They do not open.
    pub fn keyring(&self) -> Result<Keyring> {
        let password = Pii::new(std::fs::read_to_string(self.dir().join("keys.password"))?.trim_end().to_owned());
        let kept_by = KeptBy::Password { password, cost: Cost::default() };
        Ok(Keyring::open(&Settings { dir: self.dir().join("keys"), suite: Suite::default(), kept_by })?)
    }

    /// Starts `run` again, and waits until every role is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts `run` and does not wait.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn launch(&mut self) -> Result<()> {
        let mut run = Command::new(program(self.options.program)?);
        if let Some(format) = self.options.talk {
            run.env("RUST_LOG", "trace").args(["--log-format", format]);
        }
        run.arg("run").arg("--config").arg(self.config()).current_dir(self.dir());
        if !self.options.roles.is_empty() {
            run.args(["--role", self.options.roles]);
        }
        self.process = Some(Guarded::spawn(&mut run, &self.folder.path().join("said"), self.folder.path())?);
        Ok(())
    }

    /// Waits until every role of what was started is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn ready(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the site does not run")?;
        let deadline = Instant::now() + PATIENCE;
        while !self.client.is_ready().await {
            if process.is_over() {
                bail!("`oneknock run` ended while starting; {}", process.tail());
            }
            if Instant::now() > deadline {
                bail!("`oneknock run` is not ready after {} s; {}", PATIENCE.as_secs(), process.tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// From the next start on everything is logged, in this form.
    pub fn talk_as(&mut self, format: &'static str) {
        self.options.talk = Some(format);
    }

    /// Ends the process as its own fault would (SIGABRT), and waits until it is over.
    ///
    /// # Errors
    /// It does not run, or goes on.
    pub async fn abort(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the site does not run")?;
        ensure!(Command::new("kill").args(["-ABRT", &process.pid().to_string()]).status()?.success(), "kill failed");
        until("the process to be over", PATIENCE, async || Ok(process.is_over().then_some(()).ok_or_else(|| "it runs".to_owned()))).await
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// Asks it to stop (SIGTERM); it must end by itself, well, and in time.
    ///
    /// # Errors
    /// It does not.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the site does not run")?;
        let term = Command::new("kill").args(["-TERM", &process.pid().to_string()]).status()?;
        ensure!(term.success(), "kill failed");
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
        loop {
            match process.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("`oneknock run` ended with {status} when asked to stop; {}", process.tail()),
                None if Instant::now() > deadline => {
                    bail!("`oneknock run` still runs {STOP_SECONDS_MAX} s after SIGTERM; {}", process.tail())
                }
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Process id of `run`, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// All that `run` has said so far, over restarts.
    pub fn said(&self) -> String {
        std::fs::read(self.folder.path().join("said")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Runs a command of the binary on this site; `--config` is added.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn command(&self, words: &[&str]) -> Result<Said> {
        let mut command = tokio::process::Command::new(program(self.options.program)?);
        if let Some(format) = self.options.talk {
            command.env("RUST_LOG", "trace").args(["--log-format", format]);
        }
        command.args(words).arg("--config").arg(self.config()).current_dir(self.dir()).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// Imports a whole register through `registry import`; every row must be taken.
    ///
    /// # Errors
    /// The command says anything but 0.
    pub async fn import(&self, register: &Register) -> Result<Value> {
        let folder = self.folder.path().join("register");
        let [grids, households, residents] = register.write(&folder)?;
        let words = ["registry", "import", "--yes", "--grids", &grids, "--households", &households, "--residents", &residents];
        self.command(&words).await?.json("registry import")
    }

    /// What `ops ledger` says; also where it does not close.
    ///
    /// # Errors
    /// The command fails altogether.
    pub async fn ledger(&self) -> Result<Ledger> {
        let said = self.command(&["ops", "ledger", "--json"]).await?;
        let ledger = serde_json::from_str(&said.out);
        ledger.with_context(|| format!("`ops ledger` ended with {:?}: {}{}", said.code, said.out, said.err))
    }

    /// Waits until the ledger has nothing undecided and says that it is closed.
    ///
    /// # Errors
    /// It does not close in time.
    pub async fn closed_ledger(&self) -> Result<Ledger> {
        until("the ledger to close", PATIENCE, async || {
            let ledger = self.ledger().await?;
            Ok(if ledger.closed { Ok(ledger) } else { Err(format!("{ledger:?}")) })
        })
        .await
    }

    /// The log itself, as another process sees it: to read topics, and to append as a program of another version would.
    ///
    /// # Errors
    /// It is away.
    pub async fn log(&self) -> Result<Arc<dyn Log>> {
        Ok(match &self.options.log {
            LogChoice::Embedded => {
                let token = self.client.token("admins")?;
                eventlog::remote::Remote::connect(&self.client.ops, token).await?
            }
            LogChoice::Kafka { bootstrap, properties } => {
                let config = eventlog::kafka::KafkaConfig { bootstrap: bootstrap.clone(), properties: properties.clone() };
                eventlog::kafka::KafkaLog::connect(&config)?
            }
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(process) = &self.process
        {
            eprintln!("{}", process.tail());
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The JSON that a command printed which must have succeeded.
    ///
    /// # Errors
    /// It ended with another code than 0, or printed no JSON.
    pub fn json(&self, what: &str) -> Result<Value> {
        ensure!(self.code == Some(0), "`{what}` ended with {:?}: {}{}", self.code, self.out, self.err);
        serde_json::from_str(&self.out).with_context(|| format!("`{what}` printed no JSON: {}", self.out))
    }
}

/// What `ops ledger --json` says, as far as it is promised.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Ledger {
    /// Distinct event ids in the topics.
    pub accepted: u64,
    /// Of those, without a decision.
    pub undecided: u64,
    /// Newest decisions by code.
    pub decisions: BTreeMap<String, u64>,
    /// Whether the books close.
    pub closed: bool,
}

/// Asks again and again until the answer is `Ok`; `Err` says what is still wrong.
///
/// # Errors
/// Asking fails, or the deadline passes: the error says what was waited for, and what was wrong at last.
pub async fn until<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Result<Result<T, String>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        let wrong = match ask().await? {
            Ok(answer) => return Ok(answer),
            Err(wrong) => wrong,
        };
        ensure!(Instant::now() < deadline, "waited {} s for {what}; at last: {wrong}", patience.as_secs());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// The program itself, of the same build as the running test.
///
/// # Errors
/// It has not been built.
pub fn binary() -> Result<PathBuf> {
    program(PROGRAM)
}

/// A program of the same build as the running test.
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().context("a program lies in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let binary = folder.join(name);
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let command = match name {
        PROGRAM => format!("cargo build --profile {profile} -p oneknock"),
        PROGRAM_WITHOUT_PORTIONS => "cargo xtask latency --flip-zones 20000 --null-control".to_owned(),
        PROGRAM_THAT_LEAKS => "cargo xtask canaries --null-control".to_owned(),
        _ => "cargo xtask kill --null-control".to_owned(),
    };
    ensure!(binary.is_file(), "{} is missing: run `{command}` first", binary.display());
    Ok(binary)
}

/// Sets what a test decides; everything else stays as `init` wrote it.
fn configure(path: &Path, options: &Options, [gateway, inbox, ops]: [u16; 3]) -> Result<()> {
    let mut config: toml::Table = std::fs::read_to_string(path)?.parse()?;
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = config.entry(section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().map(|section| section.insert(key.to_owned(), value))
    };
    for (section, port) in [("gateway", gateway), ("inbox", inbox), ("ops", ops)] {
        set(section, "listen", format!("127.0.0.1:{port}").into());
    }
    set("log", "partitions", i64::from(options.partitions).into());
    match &options.log {
        LogChoice::Embedded => set("log", "kind", "embedded".into()),
        LogChoice::Kafka { bootstrap, properties } => {
            set("log", "bootstrap", bootstrap.as_str().into());
            set("log", "kafka", toml::Value::try_from(properties)?);
            set("log", "kind", "kafka".into())
        }
    };
    std::fs::write(path, config.to_string())?;
    Ok(())
}
