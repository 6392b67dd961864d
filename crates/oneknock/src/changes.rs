//! Changes of what rules and of who may sign in: a log of their own beside the log of reads, written before they count, its head published.

use crate::config::Config;
use crate::failure::Failure;
use crate::site::{self, Site};
use anyhow::Context;
use audit::{AuditError, AuditLog, CHANGES, Signer, each_entry};
use events::{AuditCheckpoint, topics};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Another command, or another process that starts, writes for moments only.
const HELD_BRIEFLY: Duration = Duration::from_secs(10);

/// Writes a change down: what, when, by whom, and what there is to say of it. Nothing personal.
///
/// # Errors
/// It cannot be written: then it must not be made.
pub async fn record(config: &Config, site: &Site, what: &str, mut entry: Value) -> Result<(), Failure> {
    entry["at"] = json!(events::time::format(site::now()));
    entry["what"] = json!(what);
    // A command is run by somebody with an account on the site's machine.
    let account = ["SUDO_USER", "LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
    entry["actor"] = json!(account.unwrap_or_else(|| "unknown".to_owned()));
    let log = open(config).await?;
    log.record(&entry).await.context("the change cannot be written down, so it is not made")?;
    let append = |key: String, note: String| {
        let site = site.clone();
        async move { site::publish(&site, topics::AUDIT, &key, &AuditCheckpoint { note }).await.is_ok() }
    };
    audit::publish(&log, std::future::ready(()), append).await;
    Ok(())
}

/// An act on a mandate's keys: they are drawn, another one is, or they are destroyed. `act`: `draw`, `rotate` or `destroy`.
///
/// # Errors
/// As `record`.
pub async fn keys(config: &Config, site: &Site, mandate: &str, act: &str) -> Result<(), Failure> {
    record(config, site, "keys", json!({"id": mandate, "act": act})).await
}

async fn open(config: &Config) -> Result<AuditLog, Failure> {
    let deadline = Instant::now() + HELD_BRIEFLY;
    loop {
        let (dir, keys) = (config.audit_dir.clone(), config.keys_dir.clone());
        let opened = tokio::task::spawn_blocking(move || AuditLog::open(&dir, CHANGES, Signer::open(&keys)?)).await;
        match opened.context("the log of changes")? {
            Err(AuditError::Held { .. }) if Instant::now() < deadline => {}
            opened => return Ok(opened.context("the log of changes")?),
        }
    }
}

/// Compares who may sign in with who could when it was last written down, and writes down the difference.
///
/// # Errors
/// As `record`.
pub async fn sign_in(config: &Config, site: &Site, people: &BTreeSet<String>) -> Result<(), Failure> {
    let mut known = BTreeSet::new();
    if config.audit_dir.is_dir() {
        let texts = |entry: &Value, name: &str| -> Vec<String> {
            entry[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let fold = |entry: &Value| {
            if entry["what"] == "sign_in" {
                for one in texts(entry, "removed") {
                    known.remove(&one);
                }
                known.extend(texts(entry, "added"));
            }
        };
        each_entry(&config.audit_dir, CHANGES, fold).context("the log of changes")?;
    }
    let added: Vec<&String> = people.difference(&known).collect();
    let removed: Vec<&String> = known.difference(people).collect();
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    record(config, site, "sign_in", json!({"added": added, "removed": removed})).await
}
