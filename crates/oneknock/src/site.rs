//! A site opened by one process: its log, wherever it lives, and its schemas. Every command is written once, whichever log it is.

use crate::config::{Config, LogKind};
use crate::failure::Failure;
use anyhow::Context;
use connectors::Connect;
use domain::mandate::{Book, Signers};
use eventlog::embedded::Embedded;
use eventlog::kafka::Kafka;
use eventlog::remote::Remote;
use eventlog::schemas::Schemas;
use eventlog::table::Small;
use eventlog::{Log, LogError, site_topics};
use events::{Mandate, Millis, Policy, Record, topics};
use futures::FutureExt;
use keys::{Keyring, TokensFile};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a command waits for another one that holds the log and has no listener.
const HELD_BRIEFLY: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A site's log and schemas.
#[derive(Clone)]
pub struct Site {
    /// The log.
    pub log: Arc<dyn Log>,
    /// What values mean.
    pub schemas: Arc<Schemas>,
    /// Whose signatures mandates need.
    pub signers: Signers,
    /// The embedded log, and held by this process.
    held_here: bool,
}

/// The site's sign-in.
pub fn tokens(config: &Config) -> Result<TokensFile, Failure> {
    TokensFile::read(&config.tokens).map_err(|error| Failure::Usage(format!("auth.tokens: {error}")))
}

/// Who acts when a command of this site does: its administrator's name.
pub fn administrator(config: &Config) -> Result<String, Failure> {
    let first = tokens(config)?.admins.first().map(|entry| entry.name.clone());
    first.ok_or_else(|| Failure::file(&config.tokens, "admins: expected one: who acts on a mandate stands in its record"))
}

/// Milliseconds since 1970: the one place of this program that asks what time it is, beside `init`.
pub fn now() -> Millis {
    Millis(jiff::Timestamp::now().as_millisecond())
}

/// For a command: its own client on Kafka; on the embedded log by itself, or through the process that holds it.
pub async fn for_command(config: &Config) -> Result<Site, Failure> {
    let log = match &config.log.kind {
        LogKind::Kafka(settings) => kafka(config).await.map_err(|error| not_connected(config, &settings.bootstrap, error))?,
        LogKind::Embedded(dir) => return embedded_or_remote(config, dir).await,
    };
    with_schemas(config, log, false).await
}

/// For `run`: the embedded log must be free.
pub async fn for_run(config: &Config) -> Result<Site, Failure> {
    let log = match &config.log.kind {
        LogKind::Kafka(settings) => kafka(config).await.map_err(|error| not_connected(config, &settings.bootstrap, error))?,
        LogKind::Embedded(dir) => embedded(dir).await?,
    };
    with_schemas(config, log, matches!(config.log.kind, LogKind::Embedded(_))).await
}

async fn with_schemas(config: &Config, log: Arc<dyn Log>, held_here: bool) -> Result<Site, Failure> {
    let url = &config.log.schema_registry;
    let schemas = Schemas::open(url).await.with_context(|| format!("the schema registry at {url}"))?;
    Ok(Site { log, schemas, signers: signers(config)?, held_here })
}

/// Whose signatures this site's mandates need.
pub fn signers(config: &Config) -> Result<Signers, Failure> {
    let path = &config.signers;
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = "expected the three signers of mandates, as `oneknock init` writes them";
        Failure::file(&config.file, format!("mandates.signers: {}: {error}; {what}", path.display()))
    })?;
    Signers::from_toml(&text).map_err(|error| Failure::file(path, format!("mandates.signers: {error}")))
}

impl Site {
    /// No other process of this site can be at work: this one holds its log.
    pub fn is_alone(&self) -> bool {
        self.held_here
    }

    /// The mandates of the log that are believed.
    pub async fn mandates(&self) -> Result<Arc<Small<Mandate>>, LogError> {
        let rule = Book::new(self.signers.clone()).rule();
        Small::open_where(Arc::clone(&self.log), Arc::clone(&self.schemas), topics::MANDATES, rule).await
    }
}

/// What is refused before anybody was asked stands wrong in the file.
fn not_connected(config: &Config, bootstrap: &str, error: LogError) -> Failure {
    match error {
        LogError::Refused(what) => Failure::file(&config.file, format!("log.kafka: {what}")),
        error => Failure::Failed(anyhow::Error::new(error).context(format!("Kafka at {bootstrap}"))),
    }
}

/// A connection of its own to Kafka.
pub async fn kafka(config: &Config) -> Result<Arc<dyn Log>, LogError> {
    let LogKind::Kafka(settings) = config.log.kind.clone() else {
        return Err(LogError::Refused("log.kind is not kafka".to_owned()));
    };
    let connected = tokio::task::spawn_blocking(move || Kafka::connect(&settings)).await;
    connected.map_err(|error| LogError::Refused(error.to_string()))?.map(|log| log as Arc<dyn Log>)
}

async fn embedded(dir: &Path) -> Result<Arc<dyn Log>, LogError> {
    let dir = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&dir)).await;
    opened.map_err(|error| LogError::Refused(error.to_string()))?.map(|log| log as Arc<dyn Log>)
}

/// Another command holds the log for a moment, a `run` for good: then its ops listener serves it.
async fn embedded_or_remote(config: &Config, dir: &Path) -> Result<Site, Failure> {
    let deadline = tokio::time::Instant::now() + HELD_BRIEFLY;
    loop {
        let held = match embedded(dir).await {
            Ok(log) => return with_schemas(config, log, true).await,
            Err(held @ LogError::Held { .. }) => held,
            Err(error) => return Err(error.into()),
        };
        match remote(config).await? {
            Ok(log) => return with_schemas(config, log, false).await,
            Err(LogError::Away(_)) if tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                let address = &config.ops_listen;
                return Err(anyhow::anyhow!("{held}, and its ops listener at {address} does not let us in: {error}").into());
            }
        }
    }
}

/// Through the ops listener of the process that holds the embedded log, as the administrator of tokens.json.
async fn remote(config: &Config) -> Result<Result<Arc<dyn Log>, LogError>, Failure> {
    let file = tokens(config)?;
    let Some(entry) = file.admins.first().or(file.ops.first()) else {
        return Err(Failure::file(&config.tokens, "admins: expected one, to work beside the process that holds the log"));
    };
    let url = format!("http://{}", config.ops_listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"));
    Ok(Remote::connect(&url, entry.token.expose()).await.map(|log| log as Arc<dyn Log>))
}

/// Another handle to append by, after one has failed: a new connection, wherever there is one to make. What this process holds itself
/// stays as it is.
pub fn connect(config: Arc<Config>, site: &Site) -> Connect {
    let (held, log) = (site.held_here, Arc::clone(&site.log));
    Arc::new(move || {
        let (config, log) = (Arc::clone(&config), Arc::clone(&log));
        async move {
            match config.log.kind {
                LogKind::Kafka(_) => kafka(&config).await,
                LogKind::Embedded(_) if held => Ok(log),
                LogKind::Embedded(_) => remote(&config).await.map_err(|failure| LogError::Refused(failure.to_string()))?,
            }
        }
        .boxed()
    })
}

/// Creates the topics that are missing.
pub async fn create_topics(log: &Arc<dyn Log>, partitions: i32) -> Result<(), LogError> {
    let there = log.topics().await?;
    let missing: Vec<_> = site_topics(partitions).into_iter().filter(|new| there.iter().all(|info| info.name != new.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!(topics = missing.len(), partitions, "creating topics");
    log.create_topics(&missing).await
}

/// How many partitions a topic has.
pub async fn partitions(log: &Arc<dyn Log>, topic: &str) -> Result<i32, LogError> {
    let found = log.topics().await?.iter().find(|info| info.name == topic).map(|info| info.partitions);
    found.ok_or_else(|| LogError::NoTopic(topic.to_owned()))
}

/// Publishes a record of a small topic under its key; durable when it returns.
pub async fn publish<R: Record>(site: &Site, topic: &str, key: &str, record: &R) -> Result<(), LogError> {
    let partitions = partitions(&site.log, topic).await?;
    site.log.append(vec![site.schemas.append(topic, key, record, partitions)]).await.map(|_| ())
}

/// Mandate and policy where the log holds none. The same from every process that starts: whoever is first changes nothing for the others.
pub async fn publish_first(
    site: &Site,
    config: &Config,
    keyring: &Keyring,
    mandate: Option<&Mandate>,
    policy: Option<&Policy>,
) -> Result<(), Failure> {
    if let Some(mandate) = mandate
        && site.mandates().await?.is_empty()
    {
        let id = &mandate.id;
        if keyring.mandate(id).is_none() && keyring.shut().iter().all(|(shut, _)| shut != id) {
            let what =
                format!("keys.file: expected the keys of mandate {id}: put its file back from a copy; nothing else opens what they sealed");
            return Err(Failure::file(&config.keys_dir, what));
        }
        publish(site, topics::MANDATES, &mandate.id, mandate).await?;
        tracing::info!(mandate = %mandate.id, version = mandate.version, demonstration = mandate.demonstration, "mandate published");
    }
    if let Some(policy) = policy {
        let held = Small::<Policy>::open(Arc::clone(&site.log), Arc::clone(&site.schemas), topics::POLICIES).await?;
        if held.get(topics::POLICY_KEY).is_none() {
            publish(site, topics::POLICIES, topics::POLICY_KEY, policy).await?;
            tracing::info!(version = policy.version, "policy published");
        }
    }
    Ok(())
}
