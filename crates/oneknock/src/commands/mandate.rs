//! `oneknock mandate list`: what may be shared, why and until when.

use crate::config;
use crate::failure::Failure;
use crate::site;
use eventlog::table::Small;
use events::{Mandate, MandateState, Millis, time, topics};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Prints all mandates that the log holds, with whether each is in force now.
pub async fn list(config: &Path, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let held = Small::<Mandate>::open(Arc::clone(&site.log), Arc::clone(&site.schemas), topics::MANDATES).await?;
    let mut mandates = held.all();
    mandates.sort_by(|a, b| a.0.cmp(&b.0));
    let now = site::now();
    if as_json {
        let list: Vec<Value> = mandates.iter().map(|(_, mandate)| object(mandate, now)).collect();
        println!("{}", json!({ "mandates": list }));
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
        "demonstration": mandate.demonstration,
    })
}
