//! `oneknock mandate suspend` and `resume`: an administrator's act, on record.

use super::{known, publish, state_word};
use crate::config;
use crate::failure::Failure;
use crate::site;
use anyhow::anyhow;
use events::{Mandate, MandateState};
use std::path::Path;

/// Suspends or resumes a mandate: durable, and known to running roles within a second, when this returns.
pub async fn act(config: &Path, id: &str, state: MandateState) -> Result<(), Failure> {
    let config = config::load(config)?;
    let actor = site::administrator(&config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let before = known(&site, id).await?;
    if before.state == MandateState::Ended {
        return Err(Failure::Failed(anyhow!("mandate {id} has ended, for good: open another one under a new id")));
    }
    if before.state == state {
        println!("mandate {id} is {} already; nothing has changed", state_word(state));
        return Ok(());
    }
    let mandate = publish(&config, &site, &actor, Some(&before), Mandate { state, ..before.clone() }).await?;
    match state {
        MandateState::Suspended => {
            println!("mandate {id} is suspended by {actor}: gateways take nothing for it, and no task of it is shown");
            println!("  what was accepted before waits; resume it with: oneknock mandate resume {id}");
        }
        _ => println!("mandate {id} is resumed by {actor}, version {}: what waited is judged again", mandate.version),
    }
    Ok(())
}
