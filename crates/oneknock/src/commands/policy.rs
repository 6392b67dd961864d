//! `oneknock policy check` and `apply`: what makes a visit.

use crate::config;
use crate::failure::Failure;
use crate::site::{self, Site};
use eventlog::table::Small;
use events::{Policy, topics};
use std::path::Path;
use std::sync::Arc;

/// Version of the policy that `run` publishes where the log holds none; one that was applied has the milliseconds of its application.
pub const FIRST_VERSION: i64 = 1;

/// Reads a policy file.
pub fn read(path: &Path, version: i64) -> Result<Policy, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?;
    domain::policy::from_toml(&text, version).map_err(|error| Failure::file(path, error))
}

/// Says whether it could be applied.
pub fn check(path: &Path) -> Result<(), Failure> {
    let policy = read(path, FIRST_VERSION)?;
    println!("{}: a policy: {}", path.display(), words(&policy));
    Ok(())
}

/// Puts it into force: durable, and at running routers within a second, when this returns.
pub async fn apply(config: &Path, path: &Path) -> Result<(), Failure> {
    let config = config::load(config)?;
    let mut policy = read(path, site::now().0)?;
    let site: Site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let held = Small::<Policy>::open(Arc::clone(&site.log), Arc::clone(&site.schemas), topics::POLICIES).await?;
    // Versions grow, also where this machine's clock is behind.
    let newest = held.get(topics::POLICY_KEY).map_or(0, |policy| policy.version);
    policy.version = policy.version.max(newest + 1);
    site::publish(&site, topics::POLICIES, topics::POLICY_KEY, &policy).await?;
    println!("in force: policy version {}: {}", policy.version, words(&policy));
    Ok(())
}

fn words(policy: &Policy) -> String {
    let least = policy.least_level.map_or("every level".to_owned(), |level| format!("{level} and above"));
    let (window, grace, zones) = (policy.window_days, policy.grace_hours, policy.zones.len());
    format!("{window} days' window, {grace} hours' grace, {zones} zones, {least} makes a visit")
}
