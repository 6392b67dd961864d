//! `oneknock mandate open FILE`: a signed mandate comes into force, or renews one that is.

use super::{publish, state_word};
use crate::changes;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::keyring;
use crate::site::{self, Site};
use anyhow::anyhow;
use domain::Clock;
use domain::mandate::{digest, from_toml, renewal};
use events::{Mandate, MandateState, time};
use std::path::Path;

/// Opens it: durable, and known to running roles within a second, when this returns.
pub async fn open(config: &Path, path: &Path) -> Result<(), Failure> {
    let config = config::load(config)?;
    let actor = site::administrator(&config)?;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?;
    let mandate = from_toml(&text).map_err(|error| Failure::file(path, error))?;
    let signed_by = site::signers(&config)?.check(&mandate).map_err(|refused| Failure::file(path, refused))?;
    if config.clock == Clock::Wall && mandate.valid_until <= site::now() {
        let until = time::format(mandate.valid_until);
        return Err(Failure::file(
            path,
            format!("valid_until: it was over at {until}: have one for a later time signed, with a higher version"),
        ));
    }
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let known = site.mandates().await?;
    let before = known.get(&mandate.id);
    let parent = mandate.parent.as_ref().and_then(|id| known.get(id));
    let is_same = |before: &Mandate| before.version == mandate.version && digest(before) == digest(&mandate);
    if let Some(before) = before.as_deref().filter(|before| before.state != MandateState::Ended && is_same(before)) {
        println!("mandate {} version {} is {} already; nothing has changed", mandate.id, mandate.version, state_word(before.state));
        return remind(&site, &mandate).await;
    }
    renewal(&mandate, before.as_deref(), parent.as_deref()).map_err(|refused| Failure::file(path, refused))?;
    keys_for(&config, &site, &mandate, before.is_some()).await?;
    // A renewal of what is suspended does not resume it: that is another act.
    let state = before.as_deref().map_or(MandateState::Open, |before| before.state);
    let mandate = publish(&config, &site, &actor, before.as_deref(), Mandate { state, ..mandate }).await?;
    let (from, until) = (time::format(mandate.valid_from), time::format(mandate.valid_until));
    println!("mandate {} version {} is {}, from {from} to {until}", mandate.id, mandate.version, state_word(state));
    println!("  signed by {}; opened by {actor}", signed_by.join(" and "));
    if mandate.demonstration {
        println!("  a DEMONSTRATION: not for real data");
    }
    if state == MandateState::Suspended {
        println!("  it stays suspended until: oneknock mandate resume {}", mandate.id);
    }
    remind(&site, &mandate).await
}

/// The keys are drawn with a mandate's first version, and never again.
async fn keys_for(config: &Config, site: &Site, mandate: &Mandate, is_renewal: bool) -> Result<(), Failure> {
    let keyring = keyring::open(config)?;
    if keyring.mandate(&mandate.id).is_some() {
        return Ok(());
    }
    if is_renewal {
        let what = format!("keys.file: expected the keys of mandate {}: a renewal has those of the version before", mandate.id);
        return Err(Failure::file(&config.keys_dir, what));
    }
    changes::keys(config, site, &mandate.id, "draw").await?;
    keyring.create_mandate(&mandate.id).map_err(|error| anyhow!(error))?;
    Ok(())
}

/// Nothing is found for a mandate without a registry.
async fn remind(site: &Site, mandate: &Mandate) -> Result<(), Failure> {
    if !ops::doctor::households(&site.log).await.map_err(anyhow::Error::from)?.contains_key(&mandate.id) {
        println!("  no registry is published for it yet: until then its events wait as unresolved, and open no visit. Next:");
        println!("  oneknock registry import --mandate {} --grids G.csv --households H.csv --residents R.csv", mandate.id);
    }
    Ok(())
}
