//! `oneknock mandate end ID`: nothing is taken and nothing shown any more, what was queued is decided, and the keys are destroyed; samples of
//! what they had sealed must not open afterwards, and a signed certificate says all of it. Interrupted anywhere, the same command goes on.

use super::certificate::{Certificate, Destroyed, LIMITS, Sampled};
use super::drain::drain;
use super::samples::Samples;
use super::{known, publish};
use crate::changes;
use crate::config::{self, Config, KeysKind};
use crate::failure::Failure;
use crate::keyring;
use crate::site;
use anyhow::anyhow;
use events::{Mandate, MandateState, Millis, time};
use std::path::Path;
use std::time::Duration;

/// Ends it, for good.
pub async fn end(config: &Path, id: &str, drain_seconds: u64) -> Result<(), Failure> {
    let config = config::load(config)?;
    let actor = site::administrator(&config)?;
    let keyring = keyring::open(&config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let mut mandate = known(&site, id).await?;
    // A file that does not count must not keep a mandate from its end.
    let before = Certificate::read(&config, id).unwrap_or_else(|failure| {
        println!("  the certificate that is here does not count and is replaced: {failure}");
        None
    });
    let before = before.map(|(certificate, _)| certificate);
    // By the files: keys that do not open now are here all the same.
    let described = keyring.describe()?.into_iter().find(|one| one.mandate == id);
    if mandate.state == MandateState::Ended && mandate.keys_destroyed_at.is_some() && described.is_none() && before.is_some() {
        println!("mandate {id} has ended already; nothing has changed");
        return Ok(());
    }
    if mandate.state != MandateState::Ended {
        // First of all: from here on no role takes or shows anything of it, whatever becomes of this command.
        mandate = publish(&config, &site, &actor, Some(&mandate), Mandate { state: MandateState::Ended, ..mandate.clone() }).await?;
        println!(
            "mandate {id} is ended by {actor}: nothing is taken for it and nothing of it is shown; what is queued is decided as mandate_ended"
        );
    }
    // Of an act of before, as far as its record still says.
    let (ended_at, ended_by) = match &before {
        Some(before) => (before.ended_at.clone(), before.ended_by.clone()),
        None => (time::format(mandate.acted_at.unwrap_or(Millis(0))), mandate.acted_by.clone().unwrap_or_default()),
    };
    let (drained, books) = drain(&site, id, Duration::from_secs(drain_seconds)).await?;
    let households = ops::doctor::households(&site.log).await?.get(id).copied().unwrap_or(0);
    let samples = Samples::take(&site, id).await?;
    let opened_before = keyring.mandate(id).map(|keys| samples.opened(Some(&keys)));
    if described.is_some() {
        let of = samples.counts;
        let opened = opened_before.unwrap_or(0);
        println!(
            "  {} sealed values sampled from the registry, {} from tasks, {} from events, {opened} of them open with the keys",
            of.registry, of.tasks, of.events
        );
        changes::keys(&config, &site, id, "destroy").await?;
        keyring.destroy(id)?;
    }
    // As any process that starts from now on: by the folder of keys, not by what this one remembers.
    let opened_after = samples.opened(keyring::open(&config)?.mandate(id).as_deref());
    if opened_after > 0 {
        let (count, place) = (samples.count(), config.keys_dir.display());
        return Err(anyhow!("{opened_after} of {count} sampled values still open: keys of {id} are still in {place}").into());
    }
    let at = match mandate.keys_destroyed_at {
        Some(at) if described.is_none() => at,
        _ => {
            let at = site::now();
            let destroyed = Mandate { keys_destroyed_at: Some(at), ..mandate.clone() };
            mandate = publish(&config, &site, &actor, Some(&mandate), destroyed).await?;
            at
        }
    };
    let place = place(&config);
    println!("  its keys in {place} were destroyed at {}; of the sampled values 0 open", time::format(at));
    println!("  copies of them that were made elsewhere must be destroyed there: this command cannot reach them");
    let certificate = Certificate {
        mandate: id.to_owned(),
        version: mandate.version,
        title: mandate.title,
        legal_basis: mandate.legal_basis,
        valid_from: time::format(mandate.valid_from),
        valid_until: time::format(mandate.valid_until),
        ended_at,
        ended_by,
        drained,
        events_accepted: books.accepted,
        households,
        sampled: Sampled { count: samples.count(), of: samples.counts, opened_before, opened_after },
        keys_destroyed: Destroyed {
            at: time::format(at),
            by: mandate.acted_by.unwrap_or_default(),
            place,
            suite: described.as_ref().map(|one| one.suite.to_string()),
            versions: described.map(|one| one.versions.into_iter().map(|(id, _)| id).collect()),
        },
        limits: LIMITS.iter().map(|(english, _)| (*english).to_owned()).collect(),
        before: before.map(Box::new),
    };
    let file = certificate.write(&config)?;
    println!("  signed certificate: {}, as a page: {}", file.display(), file.with_extension("html").display());
    Ok(())
}

/// Where the keys were.
fn place(config: &Config) -> String {
    match &config.keys_kind {
        KeysKind::Password(_) => config.keys_dir.display().to_string(),
        KeysKind::Transit(service) => format!("{} and {} ({})", config.keys_dir.display(), service.address, service.mount),
    }
}
