//! `oneknock mandate end ID`: nothing is taken and nothing shown any more, and the keys are destroyed; samples of what they had sealed must
//! not open afterwards. Interrupted anywhere, the same command goes on.

use super::{known, publish};
use crate::changes;
use crate::config;
use crate::failure::Failure;
use crate::keyring;
use crate::site::{self, Site};
use anyhow::{anyhow, ensure};
use eventlog::From;
use events::topics::HOUSEHOLDS;
use events::{HouseholdEntry, Mandate, MandateState, Sealed, time};
use keys::MandateKeys;
use std::path::Path;

/// So many sealed values are tried before and after.
const SAMPLES_MAX: usize = 1000;

/// A sealed value of the registry: its field, and the value with its owner.
type Sample = (&'static str, Sealed);

/// Ends it, for good.
pub async fn end(config: &Path, id: &str) -> Result<(), Failure> {
    let config = config::load(config)?;
    let actor = site::administrator(&config)?;
    let keyring = keyring::open(&config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let mut mandate = known(&site, id).await?;
    let keys = keyring.mandate(id);
    if mandate.state == MandateState::Ended && mandate.keys_destroyed_at.is_some() && keys.is_none() {
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
    let samples = samples(&site, id).await?;
    if let Some(keys) = keys {
        let before = opened(Some(&keys), &samples);
        println!("  {} sealed values sampled from the registry, {before} of them open with the keys", samples.len());
        drop(keys);
        changes::keys(&config, &site, id, "destroy").await?;
        keyring.destroy(id).map_err(|error| anyhow!(error))?;
    }
    // As any process that starts from now on: by the folder of keys, not by what this one remembers.
    let after = opened(keyring::open(&config)?.mandate(id).as_deref(), &samples);
    let left = || -> anyhow::Result<()> {
        ensure!(
            after == 0,
            "{after} of {} sampled values still open: keys of {id} are still in {}",
            samples.len(),
            config.keys_dir.display()
        );
        Ok(())
    };
    left()?;
    let at = site::now();
    publish(&config, &site, &actor, Some(&mandate), Mandate { keys_destroyed_at: Some(at), ..mandate.clone() }).await?;
    println!("  its keys in {} were destroyed at {}; of the sampled values 0 open", config.keys_dir.display(), time::format(at));
    println!("  copies of that folder that were made elsewhere must be destroyed there: this command cannot reach them");
    Ok(())
}

/// How many of them open.
fn opened(keys: Option<&MandateKeys>, samples: &[Sample]) -> usize {
    let Some(keys) = keys else { return 0 };
    samples.iter().filter(|(field, sealed)| keys.open(field, &sealed.owner, &sealed.value.0).is_ok()).count()
}

/// Addresses and contacts of the mandate's registry, of every partition its share.
async fn samples(site: &Site, id: &str) -> Result<Vec<Sample>, Failure> {
    let (prefix, partitions) = (format!("{id}/"), site::partitions(&site.log, HOUSEHOLDS).await?);
    let share = SAMPLES_MAX.div_ceil(usize::try_from(partitions).unwrap_or(1).max(1));
    let mut samples = Vec::new();
    for partition in 0..partitions {
        let (first, end) = site.log.offsets(HOUSEHOLDS, partition).await?;
        let (mut next, until) = (first, samples.len() + share);
        let mut reader = site.log.read(vec![From { topic: HOUSEHOLDS.to_owned(), partition, offset: first }]).await?;
        while next < end && samples.len() < until {
            let batch = reader.next().await?;
            next = batch.next_offset;
            for record in batch.records.iter().filter(|record| record.value.is_some() && record.key.starts_with(prefix.as_bytes())) {
                let Ok(entry) = site.schemas.decode::<HouseholdEntry>(record).await else { continue };
                samples.extend(entry.address.map(|sealed| ("address", sealed)));
                samples.extend(entry.contact.map(|sealed| ("contact", sealed)));
            }
            samples.truncate(until);
        }
    }
    Ok(samples)
}
