//! `oneknock keys`: which keys the site's mandates are sealed under, and another one from now on. Never shows a key.

use crate::changes;
use crate::cli::Keys;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::keyring;
use crate::site;
use serde_json::{Value, json};
use std::path::Path;

/// Runs it.
pub async fn run(config: &Path, command: &Keys, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let keyring = keyring::open(&config)?;
    match command {
        Keys::List => list(&keyring, as_json),
        Keys::Rotate { mandate } => rotate(&config, &keyring, mandate, as_json).await,
    }
}

fn list(keyring: &keys::Keyring, as_json: bool) -> Result<(), Failure> {
    let described = keyring.describe()?;
    if as_json {
        let version = |(id, since): &(String, String)| json!({"key_id": id, "since": since});
        let mandate = |one: &keys::Described| {
            let versions: Vec<Value> = one.versions.iter().map(version).collect();
            json!({"mandate": one.mandate, "suite": one.suite.to_string(), "versions": versions, "shut": one.shut})
        };
        println!("{}", json!({ "mandates": described.iter().map(mandate).collect::<Vec<_>>() }));
        return Ok(());
    }
    if described.is_empty() {
        println!("no keys: no mandate of this site can be used");
    }
    for one in &described {
        println!("{}  suite {}  {}", one.mandate, one.suite, one.shut.as_deref().unwrap_or("open"));
        for (at, (id, since)) in one.versions.iter().enumerate() {
            let use_of = if at + 1 == one.versions.len() { "seals and opens" } else { "opens" };
            println!("  {id}  since {since}  {use_of}");
        }
    }
    Ok(())
}

async fn rotate(config: &Config, keyring: &keys::Keyring, mandate: &str, as_json: bool) -> Result<(), Failure> {
    if keyring.describe()?.iter().all(|one| one.mandate != mandate) {
        return Err(Failure::Usage("--mandate: no keys of such a mandate are here".to_owned()));
    }
    // Written down before: for that the log must be there.
    let site = site::for_command(config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    changes::keys(config, &site, mandate, "rotate").await?;
    let key_id = keyring.rotate(mandate)?;
    match as_json {
        true => println!("{}", json!({"mandate": mandate, "key_id": key_id})),
        false => println!("{mandate}: new values are sealed under {key_id}; processes that run follow within a quarter of a minute"),
    }
    Ok(())
}
