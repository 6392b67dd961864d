//! The file's own shape, its defaults, and the checks that serde does not make.

use super::{Config, KeysKind, LogConfig, LogKind, OidcConfig};
use crate::failure::Failure;
use connectors::sources;
use connectors::sources::files::{self, Format};
use domain::Clock;
use eventlog::kafka::KafkaConfig;
use events::SourceKind;
use figment::value::{Dict, Value};
use keys::TransitSettings;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    log: LogSection,
    gateway: GatewaySection,
    router: RouterSection,
    inbox: InboxSection,
    ops: OpsSection,
    site: SiteSection,
    mandates: MandatesSection,
    policy: PolicySection,
    sources: BTreeMap<String, SourceSection>,
    keys: KeysSection,
    audit: AuditSection,
    auth: AuthSection,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Embedded,
    Kafka,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    kind: Kind,
    dir: String,
    bootstrap: String,
    kafka: Dict,
    partitions: i64,
    schema_registry: String,
}

impl Default for LogSection {
    fn default() -> Self {
        let (dir, bootstrap) = ("./log".into(), "127.0.0.1:9092".into());
        Self { kind: Kind::Embedded, dir, bootstrap, kafka: Dict::new(), partitions: 12, schema_registry: String::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GatewaySection {
    listen: String,
    max_age_days: i64,
    max_future_minutes: i64,
    lookups_per_hour: i64,
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8081".into(), max_age_days: 30, max_future_minutes: 10, lookups_per_hour: 3_600 }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum ClockName {
    #[default]
    Wall,
    Events,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RouterSection {
    clock: ClockName,
    cache: String,
}

impl Default for RouterSection {
    fn default() -> Self {
        Self { clock: ClockName::Wall, cache: "./cache".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InboxSection {
    listen: String,
    contact_reads_per_hour: i64,
}

impl Default for InboxSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into(), contact_reads_per_hour: 120 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OpsSection {
    listen: String,
}

impl Default for OpsSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8082".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SiteSection {
    mandate: String,
    policy: String,
}

impl Default for SiteSection {
    fn default() -> Self {
        Self { mandate: "./mandate.toml".into(), policy: "./policy.toml".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MandatesSection {
    signers: String,
}

impl Default for MandatesSection {
    fn default() -> Self {
        Self { signers: "./signers.toml".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicySection {
    visits_max: i64,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self { visits_max: 1000 }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKindName {
    Files,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Ndjson,
    Csv,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventName {
    Checkpoint,
    Highway,
    Telecom,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSection {
    kind: SourceKindName,
    path: String,
    format: FormatName,
    event: EventName,
    source: String,
    mandate: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum KeysKindName {
    #[default]
    File,
    Transit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeysSection {
    kind: KeysKindName,
    file: String,
    suite: String,
    password_file: String,
    address: String,
    mount: String,
    token_file: String,
}

impl Default for KeysSection {
    fn default() -> Self {
        Self {
            kind: KeysKindName::File,
            file: "./keys".into(),
            suite: "aes".into(),
            password_file: "./keys.password".into(),
            address: String::new(),
            mount: "transit".into(),
            token_file: "./keys.token".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditSection {
    dir: String,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self { dir: "./audit".into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuthSection {
    tokens: String,
    oidc: Option<OidcSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OidcSection {
    issuer: String,
    audience: String,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self { tokens: "./tokens.json".into(), oidc: None }
    }
}

impl File {
    /// Checks what the types allow and the program does not.
    pub fn checked(self, path: &Path) -> Result<Config, Failure> {
        let check = Check { path };
        let kind = match self.log.kind {
            Kind::Embedded => LogKind::Embedded(check.path("log.dir", &self.log.dir)?),
            Kind::Kafka => {
                let addresses = self.log.bootstrap.split(',').map(str::trim);
                check.that("log.bootstrap", "host:port, or several separated by commas", addresses.clone().all(is_address))?;
                LogKind::Kafka(KafkaConfig { bootstrap: self.log.bootstrap.clone(), properties: check.properties(&self.log.kafka)? })
            }
        };
        let registry = self.log.schema_registry.trim().trim_end_matches('/').to_owned();
        let is_url = registry.is_empty() || registry.starts_with("http://") || registry.starts_with("https://");
        check.that("log.schema_registry", "an http:// or https:// URL, or nothing for the built-in ids", is_url)?;
        let log = LogConfig { kind, partitions: check.number("log.partitions", self.log.partitions, 1, 1000)?, schema_registry: registry };

        let mut sources = BTreeMap::new();
        for (name, section) in self.sources {
            sources.insert(name.clone(), check.source(&name, section)?);
        }
        Ok(Config {
            file: path.to_owned(),
            log,
            gateway_listen: check.address("gateway.listen", &self.gateway.listen, "127.0.0.1:8081")?,
            max_age_days: check.number("gateway.max_age_days", self.gateway.max_age_days, 0, 36_500)?,
            max_future_minutes: check.number("gateway.max_future_minutes", self.gateway.max_future_minutes, 0, 52_560_000)?,
            lookups_per_hour: check.number("gateway.lookups_per_hour", self.gateway.lookups_per_hour, 0, 1_000_000)?,
            clock: match self.router.clock {
                ClockName::Wall => Clock::Wall,
                ClockName::Events => Clock::Events,
            },
            cache_dir: check.path("router.cache", &self.router.cache)?,
            inbox_listen: check.address("inbox.listen", &self.inbox.listen, "127.0.0.1:8080")?,
            contact_reads_per_hour: check.number("inbox.contact_reads_per_hour", self.inbox.contact_reads_per_hour, 0, 1_000_000)?,
            ops_listen: check.address("ops.listen", &self.ops.listen, "127.0.0.1:8082")?,
            mandate: check.optional_path(&self.site.mandate),
            signers: check.path("mandates.signers", &self.mandates.signers)?,
            policy: check.optional_path(&self.site.policy),
            visits_max: check.number("policy.visits_max", self.policy.visits_max, 0, 1_000_000_000)?,
            sources,
            keys_dir: check.path("keys.file", &self.keys.file)?,
            keys_suite: self.keys.suite.parse().map_err(|error| Failure::file(path, format!("keys.suite: {error}")))?,
            keys_kind: check.keys(&self.keys)?,
            audit_dir: check.path("audit.dir", &self.audit.dir)?,
            tokens: check.path("auth.tokens", &self.auth.tokens)?,
            oidc: self.auth.oidc.map(|section| check.oidc(section)).transpose()?,
        })
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && !host.contains(' ') && port.parse::<u16>().is_ok())
}

/// Keys pass over it: in clear only inside this machine.
pub fn is_guarded(url: &str) -> bool {
    let is_here = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        matches!(host, "127.0.0.1" | "localhost" | "[::1]")
    };
    let fits = |rest: &str| !rest.is_empty() && !rest.contains([' ', '@', '?', '#']);
    url.strip_prefix("https://").is_some_and(fits) || url.strip_prefix("http://").is_some_and(|rest| fits(rest) && is_here(rest))
}

struct Check<'a> {
    path: &'a Path,
}

impl Check<'_> {
    fn that(&self, key: &str, expected: &str, holds: bool) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure::file(self.path, format!("{key}: expected {expected}"))) }
    }

    fn number<N: TryFrom<i64>>(&self, key: &str, value: i64, least: i64, most: i64) -> Result<N, Failure> {
        let expected = format!("an integer from {least} to {most}");
        let fits = if (least..=most).contains(&value) { N::try_from(value).ok() } else { None };
        fits.ok_or_else(|| Failure::file(self.path, format!("{key}: expected {expected}")))
    }

    fn address(&self, key: &str, value: &str, example: &str) -> Result<String, Failure> {
        self.that(key, &format!("an address and a port, such as {example}"), is_address(value))?;
        Ok(value.to_owned())
    }

    fn oidc(&self, OidcSection { issuer, audience }: OidcSection) -> Result<OidcConfig, Failure> {
        // In clear only on this machine: whoever stands between could hand in keys of their own.
        let on_this_machine = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .any(|start| issuer.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
        self.that(
            "auth.oidc.issuer",
            "an https:// URL, as the provider writes it in its tokens",
            on_this_machine || issuer.starts_with("https://"),
        )?;
        let built = !issuer.starts_with("https://") || cfg!(feature = "tls");
        self.that("auth.oidc.issuer", "a program built with --features tls, to ask it", built)?;
        self.that("auth.oidc.audience", "the audience of this site's access tokens", !audience.is_empty())?;
        Ok(OidcConfig { issuer, audience })
    }

    fn path(&self, key: &str, value: &str) -> Result<PathBuf, Failure> {
        self.that(key, "a path", !value.is_empty())?;
        Ok(self.beside(value))
    }

    fn optional_path(&self, value: &str) -> Option<PathBuf> {
        (!value.is_empty()).then(|| self.beside(value))
    }

    /// Relative to the file's directory.
    fn beside(&self, value: &str) -> PathBuf {
        let value = Path::new(value).strip_prefix(".").unwrap_or(Path::new(value));
        self.path.parent().unwrap_or(Path::new("")).join(value)
    }

    fn keys(&self, keys: &KeysSection) -> Result<KeysKind, Failure> {
        if let KeysKindName::File = keys.kind {
            return Ok(KeysKind::Password(self.path("keys.password_file", &keys.password_file)?));
        }
        self.that("keys.address", "an https:// URL of the key service, or an http:// one of this machine", is_guarded(&keys.address))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let mount = keys.mount.trim_matches('/');
        self.that("keys.mount", "the path of a transit engine, such as transit", !mount.is_empty() && mount.chars().all(is_name))?;
        let token_file = self.path("keys.token_file", &keys.token_file)?;
        Ok(KeysKind::Transit(TransitSettings { address: keys.address.clone(), mount: mount.to_owned(), token_file }))
    }

    fn source(&self, name: &str, section: SourceSection) -> Result<sources::Config, Failure> {
        let key = |key: &str| format!("sources.{name}.{key}");
        self.that(&key("source"), "the source's name in tokens.json", !section.source.is_empty())?;
        let path = self.path(&key("path"), &section.path)?;
        let SourceKindName::Files = section.kind;
        let format = match section.format {
            FormatName::Ndjson => Format::Ndjson,
            FormatName::Csv => Format::Csv,
        };
        let event = match section.event {
            EventName::Checkpoint => SourceKind::Checkpoint,
            EventName::Highway => SourceKind::Highway,
            EventName::Telecom => SourceKind::Telecom,
        };
        Ok(sources::Config::Files(files::Config { path, format, event, source: section.source, mandate: section.mandate }))
    }

    /// librdkafka's properties have dots in their names: `ssl.ca.location` in TOML is a table in a table. The message never holds a value.
    fn properties(&self, tables: &Dict) -> Result<BTreeMap<String, String>, Failure> {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<(String, &Value)> = tables.iter().map(|(key, value)| (key.clone(), value)).collect();
        while let Some((key, value)) = waiting.pop() {
            let text = match value {
                Value::String(_, text) => text.clone(),
                Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
                    (Some(whole), _) => whole.to_string(),
                    (None, Some(real)) => real.to_string(),
                    (None, None) => return Err(Failure::file(self.path, format!("log.kafka.{key}: expected a string"))),
                },
                Value::Bool(_, flag) => flag.to_string(),
                Value::Dict(_, inner) => {
                    waiting.extend(inner.iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
                    continue;
                }
                _ => return Err(Failure::file(self.path, format!("log.kafka.{key}: expected a string, a number, true or false"))),
            };
            found.insert(key, text);
        }
        Ok(found)
    }
}
