//! `oneknock run`: the roles of a site in one process, until SIGTERM. Everything is parsed before anything opens, every port is bound
//! before anything is said to be ready, and what is under way is finished before it ends.

use crate::changes;
use crate::cli::Role;
use crate::commands::{ops, policy};
use crate::config::{self, Config, LogKind};
use crate::failure::Failure;
use crate::language::Language;
use crate::oidc;
use crate::roles::{self, Process};
use crate::{keyring, site};
use ::ops::metrics::{self, Metrics};
use events::{Mandate, Policy};
use keys::{Keyring, SignIn};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long what is under way may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(8);
/// How long closing the log may take after that.
const LAST_DROP: Duration = Duration::from_secs(1);

/// A site's files, read and checked, before anything is opened.
pub struct Parsed {
    /// oneknock.toml.
    pub config: Config,
    /// Who may sign in: hashes only.
    pub sign_in: Arc<SignIn>,
    /// Who stands in tokens.json, to see what has changed there.
    people: BTreeSet<String>,
    /// The mandates' keys.
    pub keyring: Arc<Keyring>,
    mandate: Option<Mandate>,
    policy: Option<Policy>,
}

/// Reads all files of a site.
pub fn parse(path: &Path) -> Result<Parsed, Failure> {
    let config = config::load(path)?;
    let tokens = site::tokens(&config)?;
    let (sign_in, people) = (SignIn::new(&tokens), tokens.people());
    let sign_in = Arc::new(match &config.oidc {
        Some(oidc) => sign_in.with(oidc::provider(oidc)?),
        None => sign_in,
    });
    let keyring = keyring::open(&config)?;
    let read = |key: &str, path: &Path| {
        std::fs::read_to_string(path).map_err(|error| Failure::file(&config.file, format!("{key}: {}: {error}", path.display())))
    };
    let signers = site::signers(&config)?;
    let mandate = match &config.mandate {
        Some(path) => {
            let mandate = domain::mandate::from_toml(&read("site.mandate", path)?).map_err(|error| Failure::file(path, error))?;
            signers.check(&mandate).map_err(|refused| Failure::file(path, refused))?;
            Some(mandate)
        }
        None => None,
    };
    let policy = match &config.policy {
        Some(path) => {
            let text = read("site.policy", path)?;
            Some(policy::parse(path, &text, policy::FIRST_VERSION, Language::English)?)
        }
        None => None,
    };
    Ok(Parsed { config, sign_in, people, keyring, mandate, policy })
}

impl Parsed {
    /// Makes sure that the log has the site's topics, and a mandate and a policy.
    pub async fn prepare(&self, site: &site::Site) -> Result<(), Failure> {
        site::create_topics(&site.log, self.config.log.partitions).await?;
        changes::sign_in(&self.config, site, &self.people).await?;
        site::publish_first(site, &self.config, &self.keyring, self.mandate.as_ref(), self.policy.as_ref()).await
    }
}

/// Roles under way.
pub struct Running {
    roles: JoinSet<(Role, anyhow::Result<()>)>,
    /// Told to all of them.
    pub stop: CancellationToken,
    /// The site, for who runs beside them.
    pub site: site::Site,
}

/// Opens the log, binds every port and starts the roles.
pub async fn start(parsed: Parsed, wanted: &[Role], metrics: Metrics) -> Result<Running, Failure> {
    let site = site::for_run(&parsed.config).await?;
    let config = &parsed.config;
    let mut listeners = Listeners::default();
    let wants = |role: Role| wanted.contains(&role);
    if wants(Role::Inbox) {
        listeners.inbox = Some(bind("inbox", &config.inbox_listen).await?);
    }
    if wants(Role::Gateway) {
        listeners.gateway = Some(bind("gateway", &config.gateway_listen).await?);
    }
    let embedded = matches!(config.log.kind, LogKind::Embedded(_));
    listeners.ops = match bind("ops", &config.ops_listen).await {
        Ok(listener) => Some(listener),
        Err(error) if wants(Role::Ops) || embedded => return Err(error),
        // Another process of this machine may have it: nothing rests on it here.
        Err(error) => {
            tracing::warn!(%error, "without metrics and health of this process");
            None
        }
    };
    parsed.prepare(&site).await?;

    let stop = CancellationToken::new();
    let process = Process::begin(parsed.config, site.clone(), parsed.keyring, parsed.sign_in)?;
    tokio::spawn(keyring::keep(Arc::clone(&process.keyring), site.mandates().await?, stop.clone()));
    let mut tasks = JoinSet::new();
    if let Some(listener) = listeners.inbox {
        announce("inbox", &listener);
        let (process, stop) = (process.clone(), stop.clone());
        tasks.spawn(async move { (Role::Inbox, roles::inbox(process, listener, stop).await) });
    }
    if let Some(listener) = listeners.gateway {
        announce("gateway", &listener);
        let (process, stop) = (process.clone(), stop.clone());
        tasks.spawn(async move { (Role::Gateway, roles::gateway(process, listener, stop).await) });
    }
    if let Some(listener) = listeners.ops {
        announce("ops", &listener);
        let settings = ::ops::Config { groups: ops::GROUPS, serve_log: embedded, signers: site.signers.clone() };
        let (log, schemas, sign_in) = (Arc::clone(&site.log), Arc::clone(&site.schemas), Arc::clone(&process.sign_in));
        let stop = stop.clone();
        if wants(Role::Ops) {
            let (log, schemas, stop) = (Arc::clone(&log), Arc::clone(&schemas), stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(::ops::gauges::keep(ops::GROUPS, &log, &schemas)).await });
        }
        tasks.spawn(async move { (Role::Ops, ::ops::run(settings, log, schemas, sign_in, metrics, listener, stop).await) });
    }
    if wants(Role::Router) {
        let (process, stop) = (process.clone(), stop.clone());
        tasks.spawn(async move { (Role::Router, roles::router(process, stop).await) });
    }
    Ok(Running { roles: tasks, stop, site })
}

#[derive(Default)]
struct Listeners {
    inbox: Option<TcpListener>,
    gateway: Option<TcpListener>,
    ops: Option<TcpListener>,
}

async fn bind(section: &str, address: &str) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::Failed(anyhow::anyhow!("{section}.listen: cannot listen on {address}: {error}")))
}

fn announce(role: &'static str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(role, %address, "listening");
    }
}

impl Running {
    /// Waits until one role ends; they all are meant to go on.
    pub async fn ended(&mut self) -> Failure {
        match self.roles.join_next().await {
            Some(Ok((role, Err(error)))) => Failure::Failed(error.context(format!("{role:?} ended"))),
            Some(Ok((role, Ok(())))) => Failure::Failed(anyhow::anyhow!("{role:?} ended by itself")),
            Some(Err(error)) => Failure::Failed(anyhow::anyhow!("a role broke off: {error}")),
            None => Failure::Failed(anyhow::anyhow!("nothing runs")),
        }
    }

    /// Tells all to stop and waits until they have.
    pub async fn drain(self) -> Result<(), Failure> {
        let site = self.site.clone();
        let done = self.drained().await;
        // A client of Kafka may hang while it is dropped: nobody waits for it longer than this.
        let _ = tokio::time::timeout(LAST_DROP, tokio::task::spawn_blocking(move || drop(site))).await;
        done
    }

    async fn drained(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        let all = async {
            let mut failed = None;
            while let Some(ended) = self.roles.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((role, Err(error))) => failed = Some(error.context(format!("{role:?} did not end well"))),
                    Err(error) => failed = Some(error.into()),
                }
            }
            failed.map_or(Ok(()), |error| Err(Failure::Failed(error)))
        };
        match tokio::time::timeout(DRAIN, all).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Failed(anyhow::anyhow!("not drained within {} s; what was answered is durable", DRAIN.as_secs()))),
        }
    }
}

/// Runs the roles until told to stop.
pub async fn run(path: &Path, wanted: &[Role]) -> Result<(), Failure> {
    let parsed = parse(path)?;
    let addresses = [
        (Role::Inbox, "inbox  ", parsed.config.inbox_listen.clone()),
        (Role::Gateway, "gateway", parsed.config.gateway_listen.clone()),
        (Role::Ops, "ops    ", parsed.config.ops_listen.clone()),
    ];
    // From here on a signal is ours to answer.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let starting = start(parsed, wanted, metrics::install()?);
    let mut running = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    for (role, name, address) in addresses {
        if wanted.contains(&role) {
            println!("{name}  http://{address}");
        }
    }
    tracing::info!(roles = ?wanted, "ready");
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = running.ended() => Some(failure),
    };
    tracing::info!("draining");
    let drained = tokio::select! {
        drained = running.drain() => drained,
        _ = terminate.recv() => Err(Failure::Failed(anyhow::anyhow!("told to stop a second time: not drained"))),
        _ = interrupt.recv() => Err(Failure::Failed(anyhow::anyhow!("told to stop a second time: not drained"))),
    };
    match failed {
        Some(failure) => Err(failure),
        None => drained,
    }
}
