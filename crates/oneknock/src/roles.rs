//! The roles with what each needs: on the embedded log they share one handle, on Kafka each has its own, since a handle ends at the first
//! append that fails and one role's end must not be another's.

use crate::config::{Config, LogKind};
use crate::failure::Failure;
use crate::reconnect::Reconnecting;
use crate::site::{self, Site};
use eventlog::table::{FileStore, Grouped, Table};
use eventlog::{Log, LogError};
use events::topics;
use keys::{Keyring, SignIn};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Before an owner that lost its log begins again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Most processes of one site on one machine.
const SLOTS: usize = 64;

/// What the roles of this process share.
#[derive(Clone)]
pub struct Process {
    config: Arc<Config>,
    site: Site,
    /// The mandates' keys.
    pub keyring: Arc<Keyring>,
    /// Who may sign in.
    pub sign_in: Arc<SignIn>,
    /// Folder of this process's caches.
    cache: PathBuf,
    /// Its place among the site's processes on this machine.
    slot: usize,
    /// This process among those of this machine, the same after a restart.
    member: String,
    /// Held as long as the process runs.
    _slot: Arc<File>,
}

impl Process {
    /// Takes a place among the site's processes on this machine.
    pub fn begin(config: Config, site: Site, keyring: Arc<Keyring>, sign_in: Arc<SignIn>) -> Result<Process, Failure> {
        let (slot, lock) = take_slot(&config)?;
        let cache = config.cache_dir.join(slot.to_string());
        let member = format!("{}-{slot}", host_name());
        Ok(Process { config: Arc::new(config), site, keyring, sign_in, cache, slot, member, _slot: Arc::new(lock) })
    }

    /// A log for a role to which the order over a broken connection means nothing: it connects again by itself.
    async fn lasting_log(&self) -> Result<Arc<dyn Log>, LogError> {
        match self.config.log.kind {
            LogKind::Embedded(_) => Ok(Arc::clone(&self.site.log)),
            LogKind::Kafka(_) => Ok(Arc::new(Reconnecting::begin(Arc::clone(&self.config)).await?)),
        }
    }

    async fn store(&self, name: &str) -> anyhow::Result<Box<FileStore>> {
        let dir = self.cache.join(name);
        Ok(Box::new(tokio::task::spawn_blocking(move || FileStore::open(&dir)).await??))
    }
}

/// The first slot that no other process of this site holds. The lock goes with the process, however it ends.
fn take_slot(config: &Config) -> Result<(usize, File), Failure> {
    let dir = &config.cache_dir;
    let unusable = |error: std::io::Error| Failure::Failed(anyhow::anyhow!("router.cache: {}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(unusable)?;
    for slot in 0..SLOTS {
        let file = File::options().create(true).truncate(false).write(true).open(dir.join(format!("{slot}.lock"))).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => return Ok((slot, file)),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
    Err(Failure::Failed(anyhow::anyhow!("{}: {SLOTS} processes of this site run here already", dir.display())))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    name.map(|name| name.trim().to_owned()).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "oneknock".to_owned())
}

/// The gateway.
pub async fn gateway(process: Process, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    // Its table is long: whoever is told to stop meanwhile has taken nothing.
    let Some(opened) = stop.run_until_cancelled(open_gateway(&process)).await else { return Ok(()) };
    let (site, identifiers, lookups) = opened?;
    connectors::gateway::run(site, process.sign_in, identifiers, lookups, listener, stop).await
}

async fn open_gateway(process: &Process) -> anyhow::Result<(connectors::gateway::Site, Arc<Table>, connectors::gateway::Lookups)> {
    let store = process.store("gateway").await?;
    let identifiers = Table::open(Arc::clone(&process.site.log), topics::IDENTIFIERS, Grouped::over(store)).await?;
    let site = gateway_site(&process.config, &process.site, Arc::clone(&process.keyring)).await?;
    let name = match process.slot {
        0 => audit::LOOKUPS.to_owned(),
        slot => format!("{}-{slot}", audit::LOOKUPS),
    };
    let (dir, signer) = (process.config.audit_dir.clone(), audit::Signer::open(&process.config.keys_dir)?);
    let log = tokio::task::spawn_blocking(move || audit::AuditLog::open(&dir, &name, signer)).await??;
    Ok((site, identifiers, connectors::gateway::Lookups::new(log, process.config.lookups_per_hour)))
}

/// What the gateway and every source work with.
pub async fn gateway_site(config: &Arc<Config>, site: &Site, keyring: Arc<Keyring>) -> anyhow::Result<connectors::gateway::Site> {
    let mandates = site.mandates().await?;
    let limits = connectors::gateway::Config {
        max_age_days: config.max_age_days,
        max_future_minutes: config.max_future_minutes,
        ..Default::default()
    };
    let partitions = site::partitions(&site.log, topics::CHECKPOINT).await?;
    let (log, schemas, rules) = (Arc::clone(&site.log), Arc::clone(&site.schemas), limits.rules(config.clock));
    let connect = site::connect(Arc::clone(config), site);
    Ok(connectors::gateway::Site { log, connect, schemas, keyring, mandates, latest: Arc::default(), rules, partitions })
}

/// The inbox.
pub async fn inbox(process: Process, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let log = process.lasting_log().await?;
    let settings = inbox::Config {
        listen: process.config.inbox_listen.clone(),
        cache: Some(process.cache.join("inbox")),
        contact_reads_per_hour: process.config.contact_reads_per_hour,
    };
    let clock = process.config.clock;
    let audit = inbox::Audit { dir: process.config.audit_dir.clone(), signer: audit::Signer::open(&process.config.keys_dir)? };
    let schemas = Arc::clone(&process.site.schemas);
    inbox::run(settings, clock, log, schemas, process.site.signers, process.keyring, process.sign_in, audit, listener, stop).await
}

/// The router. When its log goes away its owners end; they begin again from position and record, with a connection of their own.
pub async fn router(process: Process, stop: CancellationToken) -> anyhow::Result<()> {
    let kafka = matches!(process.config.log.kind, LogKind::Kafka(_));
    let mut log = match kafka {
        true => site::kafka(&process.config).await?,
        false => Arc::clone(&process.site.log),
    };
    loop {
        let (data_dir, member) = (Some(process.cache.join("router")), process.member.clone());
        let config = router::Config { clock: process.config.clock, signers: process.site.signers.clone(), data_dir, member };
        let done = router::run(config, log, Arc::clone(&process.site.schemas), stop.clone()).await;
        let Err(error) = done else { return Ok(()) };
        if !kafka || stop.is_cancelled() || !is_away(&error) {
            return Err(error);
        }
        tracing::error!(error = %format!("{error:#}"), "the router lost its log; it begins again");
        log = loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
            match site::kafka(&process.config).await {
                Ok(log) => break log,
                Err(error) => tracing::warn!(%error, "the log is still away"),
            }
        };
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref::<LogError>(), Some(LogError::Away(_))))
}
