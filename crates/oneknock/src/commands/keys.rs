//! `oneknock keys`: which keys the site's mandates are sealed under, and another one from now on. Never shows a key.

use crate::cli::Keys;
use crate::config;
use crate::failure::Failure;
use crate::keyring;
use keys::{FileError, KeyringError};
use serde_json::{Value, json};
use std::path::Path;

/// Runs it. Neither needs the log.
pub fn run(config: &Path, command: &Keys, as_json: bool) -> Result<(), Failure> {
    let keyring = keyring::open(&config::load(config)?)?;
    match command {
        Keys::List => list(&keyring, as_json),
        Keys::Rotate { mandate } => rotate(&keyring, mandate, as_json),
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

fn rotate(keyring: &keys::Keyring, mandate: &str, as_json: bool) -> Result<(), Failure> {
    let key_id = keyring.rotate(mandate).map_err(|error| match error {
        KeyringError::File(FileError::Missing(_)) => Failure::Usage(format!("--mandate: no keys of {mandate} are here")),
        KeyringError::BadMandateId => Failure::Usage(format!("--mandate: {error}")),
        error => error.into(),
    })?;
    match as_json {
        true => println!("{}", json!({"mandate": mandate, "key_id": key_id})),
        false => println!("{mandate}: new values are sealed under {key_id}; processes that run follow within a quarter of a minute"),
    }
    Ok(())
}
