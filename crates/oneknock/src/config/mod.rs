//! oneknock.toml: parsed whole and checked before anything opens. Every key can also come as `ONEKNOCK_<SECTION>_<KEY>`.
//!
//! What a key means is said where it is used; here is only what it must look like. Paths are relative to the file.

mod file;
mod message;

use crate::failure::Failure;
use connectors::sources;
use domain::Clock;
use eventlog::kafka::KafkaConfig;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use file::File;
pub use file::is_guarded;
use keys::{Suite, TransitSettings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A site's configuration, checked, with all paths made absolute or relative to the working directory.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// Where topics live.
    pub log: LogConfig,
    /// Address of the gateway.
    pub gateway_listen: String,
    /// Older events are refused; 0: no limit.
    pub max_age_days: u32,
    /// Events from further ahead are refused; 0: no limit.
    pub max_future_minutes: u32,
    /// Questions about screenings that one source may ask within an hour.
    pub lookups_per_hour: u32,
    /// What "now" is.
    pub clock: Clock,
    /// The router's caches, which may be deleted at any time.
    pub cache_dir: PathBuf,
    /// Address of the inbox.
    pub inbox_listen: String,
    /// Contacts that one person may open within an hour.
    pub contact_reads_per_hour: u32,
    /// Address of the ops listener.
    pub ops_listen: String,
    /// The mandate that `init` wrote.
    pub mandate: Option<PathBuf>,
    /// Whose signatures mandates need.
    pub signers: PathBuf,
    /// The policy that `init` wrote.
    pub policy: Option<PathBuf>,
    /// A policy that would make more visits than so many asks for `--yes`; 0: none does.
    pub visits_max: u64,
    /// The sources of `connect`, by name.
    pub sources: BTreeMap<String, sources::Config>,
    /// The keys' directory.
    pub keys_dir: PathBuf,
    /// The suite of new mandates' keys.
    pub keys_suite: Suite,
    /// What opens them.
    pub keys_kind: KeysKind,
    /// The log of reads.
    pub audit_dir: PathBuf,
    /// The local sign-in.
    pub tokens: PathBuf,
    /// Who vouches for others.
    pub oidc: Option<OidcConfig>,
}

impl Config {
    /// The site's directory.
    pub fn dir(&self) -> PathBuf {
        match self.file.parent() {
            Some(dir) if dir != Path::new("") => dir.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

/// An OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// As its tokens name it.
    pub issuer: String,
    /// For whom tokens of this site are.
    pub audience: String,
}

/// Where topics live.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Embedded or Kafka.
    pub kind: LogKind,
    /// Partitions of every topic that is created.
    pub partitions: i32,
    /// URL of a Confluent-compatible registry; empty: built-in ids.
    pub schema_registry: String,
}

/// What opens the files of keys.
#[derive(Clone, Debug)]
pub enum KeysKind {
    /// The password in this file, or in the environment.
    Password(PathBuf),
    /// A key service.
    Transit(TransitSettings),
}

/// Which log.
#[derive(Clone, Debug)]
pub enum LogKind {
    /// In this process, in this directory.
    Embedded(PathBuf),
    /// On a cluster.
    Kafka(KafkaConfig),
}

/// Sections of the file: only variables of these are read.
const SECTIONS: [&str; 12] = ["log", "gateway", "router", "inbox", "ops", "site", "mandates", "policy", "sources", "keys", "audit", "auth"];

/// Reads and checks it.
///
/// # Errors
/// [`Failure::Usage`]; the message names file, key and what was expected.
pub fn load(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::file(path, "not found; `oneknock init DIR` writes one"),
        _ => Failure::file(path, format!("cannot be read: {error}")),
    })?;
    let figment = Figment::from(Toml::string(&text)).merge(environment());
    let file: File = figment.extract().map_err(|error| message::of(path, &error))?;
    file.checked(path)
}

/// `ONEKNOCK_LOG_SCHEMA_REGISTRY` is `log.schema_registry`, `ONEKNOCK_SOURCES_TOLL_PATH` is `sources.toll.path`, and
/// `ONEKNOCK_LOG_KAFKA_SASL_PASSWORD` is the property `sasl.password`.
fn environment() -> Env {
    let is_no_key = |key: &str| key == crate::keyring::PASSWORD_VARIABLE.to_ascii_lowercase().trim_start_matches("oneknock_");
    let known = move |key: &str| {
        !is_no_key(key) && SECTIONS.iter().any(|section| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('_')))
    };
    Env::prefixed("ONEKNOCK_").filter(move |key| known(&key.as_str().to_ascii_lowercase())).map(|key| {
        let key = key.as_str().to_ascii_lowercase();
        if let Some(property) = key.strip_prefix("log_kafka_") {
            return format!("log.kafka.{}", property.replace('_', ".")).into();
        }
        if let Some(key) = key.strip_prefix("auth_oidc_") {
            return format!("auth.oidc.{key}").into();
        }
        match key.strip_prefix("sources_").and_then(|rest| rest.rsplit_once('_')) {
            Some((source, key)) => format!("sources.{source}.{key}").into(),
            None => key.replacen('_', ".", 1).into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("oneknock.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    /// What is wrong, and what the message must name beside the file.
    const WRONG: &[(&str, &[&str])] = &[
        ("[log]\nkind = \"redis\"", &["log.kind", "embedded", "kafka"]),
        ("[log]\nkind = 1", &["log.kind", "string"]),
        ("[log]\npartitions = \"many\"", &["log.partitions", "integer"]),
        ("[log]\npartitions = 0", &["log.partitions", "1 to 1000"]),
        ("[log]\npartitions = 99999999999", &["log.partitions"]),
        ("[log]\ncolour = 1", &["log.colour", "unknown key", "partitions"]),
        ("[log]\nschema_registry = \"registry\"", &["log.schema_registry", "http"]),
        ("[log]\nkind = \"kafka\"\nbootstrap = \"\"", &["log.bootstrap", "host:port"]),
        ("[log]\nkind = \"kafka\"\n[log.kafka]\nacks = []", &["log.kafka.acks", "string"]),
        ("log = 1", &["log", "table"]),
        ("[gatway]\nlisten = \"127.0.0.1:1\"", &["gatway", "unknown key", "gateway"]),
        ("[gateway]\nlisten = \"8081\"", &["gateway.listen", "127.0.0.1:8081"]),
        ("[gateway]\nmax_age_days = -1", &["gateway.max_age_days", "0"]),
        ("[gateway]\nmax_future_minutes = 1.5", &["gateway.max_future_minutes", "integer"]),
        ("[router]\nclock = \"sun\"", &["router.clock", "wall", "events"]),
        ("[inbox]\ncontact_reads_per_hour = -1", &["inbox.contact_reads_per_hour", "0 to 1000000"]),
        ("[inbox]\nlisten = \"here:99999\"", &["inbox.listen", "127.0.0.1:8080"]),
        ("[ops]\nlisten = 8082", &["ops.listen", "string"]),
        ("[policy]\nvisits_max = -1", &["policy.visits_max", "0 to 1000000000"]),
        ("[mandates]\nsigners = \"\"", &["mandates.signers", "path"]),
        ("[site]\nmandat = \"x\"", &["site.mandat", "unknown key", "mandate"]),
        (
            "[sources.toll]\nkind = \"files\"\npath = \"x\"\nformat = \"xml\"\nevent = \"highway\"\nsource = \"s\"",
            &["sources.toll.format", "ndjson", "csv"],
        ),
        (
            "[sources.toll]\nkind = \"files\"\npath = \"x\"\nformat = \"csv\"\nevent = \"sighting\"\nsource = \"s\"",
            &["sources.toll.event", "checkpoint"],
        ),
        ("[sources.toll]\nkind = \"ftp\"", &["sources.toll.kind", "files"]),
        ("[sources.toll]\nkind = \"files\"", &["sources.toll.path", "missing"]),
        ("[keys]\nfile = true", &["keys.file", "string"]),
        ("[keys]\nkind = \"safe\"", &["keys.kind", "file", "transit"]),
        ("[keys]\nsuite = \"des\"", &["keys.suite", "aes", "sm"]),
        ("[keys]\npassword = \"x\"", &["keys.password", "unknown key", "password_file"]),
        ("[keys]\nkind = \"transit\"", &["keys.address", "https://"]),
        ("[keys]\nkind = \"transit\"\naddress = \"http://keys.example:8200\"", &["keys.address", "https://"]),
        ("[keys]\nkind = \"transit\"\naddress = \"http://127.0.0.1@keys.example\"", &["keys.address", "https://"]),
        ("[keys]\nkind = \"transit\"\naddress = \"https://k\"\nmount = \"a b\"", &["keys.mount", "transit"]),
        ("[auth.oidc]\nissuer = \"https://id\"", &["auth.oidc.audience", "missing"]),
        ("[auth.oidc]\nissuer = \"http://id.example\"\naudience = \"a\"", &["auth.oidc.issuer", "https://"]),
        ("[auth.oidc]\nissuer = \"http://127.0.0.1.example\"\naudience = \"a\"", &["auth.oidc.issuer", "https://"]),
        ("[auth]\ntokens = \"\"", &["auth.tokens", "path"]),
        ("[log\nkind", &["line 1"]),
    ];

    #[test]
    fn what_is_wrong_is_named_by_file_and_key_with_what_was_expected() {
        for (text, named) in WRONG {
            let (_dir, path) = site(text);
            let failure = load(&path).expect_err(text);
            let message = failure.to_string();
            assert_eq!(failure.code(), 2, "{text}");
            assert!(message.contains("oneknock.toml"), "{text}: {message}");
            for name in *named {
                assert!(message.contains(name), "{text}: {message} should name {name}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_no_default() {
        let dir = tempfile::tempdir().unwrap();
        let failure = load(&dir.path().join("oneknock.toml")).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("oneknock.toml: not found"), "{failure}");
    }

    #[test]
    fn an_empty_file_is_the_contracts_defaults_and_paths_stand_beside_it() {
        let (dir, path) = site("");
        let config = load(&path).unwrap();
        assert!(matches!(&config.log.kind, LogKind::Embedded(log) if *log == dir.path().join("log")), "{config:?}");
        assert_eq!((config.log.partitions, config.max_age_days, config.max_future_minutes), (12, 30, 10));
        assert_eq!((config.gateway_listen.as_str(), config.inbox_listen.as_str()), ("127.0.0.1:8081", "127.0.0.1:8080"));
        assert_eq!(config.ops_listen, "127.0.0.1:8082");
        assert_eq!(config.clock, Clock::Wall);
        assert_eq!(config.tokens, dir.path().join("tokens.json"));
    }

    #[test]
    fn librdkafka_properties_are_taken_as_they_are_written() {
        let (_dir, path) =
            site("[log]\nkind = \"kafka\"\n[log.kafka]\n\"security.protocol\" = \"SSL\"\nssl.ca.location = \"/ca\"\n\"linger.ms\" = 5\n");
        let config = load(&path).unwrap();
        let LogKind::Kafka(KafkaConfig { properties, bootstrap }) = config.log.kind else { panic!("kafka") };
        let expected = [("linger.ms", "5"), ("security.protocol", "SSL"), ("ssl.ca.location", "/ca")];
        assert_eq!(properties, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(bootstrap, "127.0.0.1:9092");
    }
}
