//! `oneknock mandate …`: what may be shared, why and until when; signed by two of three signers, opened, suspended and ended by an
//! administrator, whose name stands in the record.

mod act;
mod certificate;
mod drain;
mod end;
mod list;
mod open;
mod samples;
pub mod sign;

use crate::changes;
use crate::cli;
use crate::config::Config;
use crate::failure::Failure;
use crate::site::{self, Site};
use anyhow::anyhow;
use events::{Mandate, MandateState, Millis, time, topics};
use serde_json::json;
use std::path::Path;

/// Does one of them.
pub async fn run(config: &Path, command: cli::Mandate, as_json: bool) -> Result<(), Failure> {
    match command {
        cli::Mandate::List => list::list(config, as_json).await,
        cli::Mandate::Signer { name, key } => sign::signer(&name, &key),
        cli::Mandate::Sign { file, key } => sign::sign(&file, &key),
        cli::Mandate::Open { file } => open::open(config, &file).await,
        cli::Mandate::Suspend { id } => act::act(config, &id, MandateState::Suspended).await,
        cli::Mandate::Resume { id } => act::act(config, &id, MandateState::Open).await,
        cli::Mandate::End { id, drain_seconds } => end::end(config, &id, drain_seconds).await,
        cli::Mandate::Certificate { id } => certificate::print(config, &id, as_json),
    }
}

/// Publishes a mandate as an act of the site's administrator, later than every act before. It stands in the log of changes before.
async fn publish(config: &Config, site: &Site, actor: &str, before: Option<&Mandate>, mandate: Mandate) -> Result<Mandate, Failure> {
    let after = before.and_then(|before| before.acted_at).map_or(i64::MIN, |at| at.0 + 1);
    let acted_at = Some(Millis(site::now().0.max(after)));
    let mandate = Mandate { acted_by: Some(actor.to_owned()), acted_at, ..mandate };
    let change = json!({
        "id": mandate.id, "version": mandate.version, "state": mandate.state, "by": actor,
        "before": before.map(|before| json!({"version": before.version, "state": before.state})),
        "keys_destroyed_at": mandate.keys_destroyed_at.map(time::format),
    });
    changes::record(config, site, "mandate", change).await?;
    site::publish(site, topics::MANDATES, &mandate.id, &mandate).await?;
    Ok(mandate)
}

/// The mandate of an id among those that the log holds.
async fn known(site: &Site, id: &str) -> Result<Mandate, Failure> {
    let found = site.mandates().await?.get(id).map(|mandate| Mandate::clone(&mandate));
    found.ok_or_else(|| Failure::Failed(anyhow!("there is no such mandate here; `oneknock mandate list` shows those that there are")))
}

fn state_word(state: MandateState) -> &'static str {
    match state {
        MandateState::Open => "open",
        MandateState::Suspended => "suspended",
        MandateState::Ended => "ended",
    }
}
