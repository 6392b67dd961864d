//! `oneknock mandate list`: all that are believed, with whether each is in force now.

use crate::config;
use crate::failure::Failure;
use crate::site;
use events::{Mandate, MandateState, Millis, time, topics};
use serde_json::{Value, json};
use std::path::Path;

/// Prints all mandates that the log holds, with whether each is in force now.
pub async fn list(config: &Path, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let held = site.mandates().await?;
    let mandates = held.all();
    let now = site::now();
    if as_json {
        let list: Vec<Value> = mandates.iter().map(|(_, mandate)| object(mandate, now)).collect();
        println!("{}", json!({ "mandates": list, "refused": held.refused() }));
        return Ok(());
    }
    if mandates.is_empty() {
        println!("no mandate: nothing is taken and nothing is shared; `oneknock run` publishes the one that `init` wrote");
    }
    for (_, mandate) in &mandates {
        let (from, until) = (time::format(mandate.valid_from), time::format(mandate.valid_until));
        let demonstration = if mandate.demonstration { "  DEMONSTRATION" } else { "" };
        println!("{}  version {}  {}  {from} to {until}{demonstration}", mandate.id, mandate.version, word(mandate, now));
        println!("  {}", mandate.title);
        if let (Some(actor), Some(at)) = (&mandate.acted_by, mandate.acted_at) {
            println!("  last acted on by {actor} at {}", time::format(at));
        }
    }
    if held.refused() > 0 {
        println!(
            "{} records of {} are refused, for the reasons above: they are as if they were not there",
            held.refused(),
            topics::MANDATES
        );
    }
    Ok(())
}

fn word(mandate: &Mandate, now: Millis) -> &'static str {
    match mandate.state {
        MandateState::Ended => "ended",
        MandateState::Suspended => "suspended",
        MandateState::Open if now < mandate.valid_from => "not yet in force",
        MandateState::Open if mandate.valid_until <= now => "over",
        MandateState::Open => "in force",
    }
}

fn object(mandate: &Mandate, now: Millis) -> Value {
    json!({
        "id": mandate.id, "version": mandate.version, "title": mandate.title, "legal_basis": mandate.legal_basis,
        "issued_by": mandate.issued_by, "purposes": mandate.purposes, "sources": mandate.sources, "fields": mandate.fields,
        "divisions": mandate.divisions, "max_households": mandate.max_households, "valid_from": time::format(mandate.valid_from),
        "valid_until": time::format(mandate.valid_until), "state": mandate.state, "in_force": domain::mandate::in_force(mandate, now),
        "demonstration": mandate.demonstration, "parent": mandate.parent,
        "signed_by": mandate.signatures.iter().filter_map(|one| one.split_once(':')).map(|(name, _)| name).collect::<Vec<_>>(),
        "acted_by": mandate.acted_by, "acted_at": mandate.acted_at.map(time::format),
        "keys_destroyed_at": mandate.keys_destroyed_at.map(time::format),
    })
}
