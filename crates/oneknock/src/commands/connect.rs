//! `oneknock connect`: one configured source, read until it is stopped, or once.

use crate::cli::Connect;
use crate::commands::run;
use crate::failure::Failure;
use crate::{keyring, roles, site};
use connectors::sources::{self, Config, Mode, SourceError, Summary};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Prints one JSON object of counts at its end.
pub async fn run(path: &Path, options: &Connect) -> Result<(), Failure> {
    let parsed = run::parse(path)?;
    let name = &options.source;
    let Some(source) = parsed.config.sources.get(name).cloned() else {
        let there: Vec<&str> = parsed.config.sources.keys().map(String::as_str).collect();
        let there = if there.is_empty() { "there is none".to_owned() } else { format!("there are {}", there.join(", ")) };
        return Err(Failure::file(path, format!("sources.{name}: expected a table of this name; {there}")));
    };
    sources::check(name, &source, &site::tokens(&parsed.config)?).map_err(|error| failure(path, error))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let site = site::for_command(&parsed.config).await?;
    parsed.prepare(&site).await?;
    let state_dir = parsed.config.dir();
    let site = roles::gateway_site(&Arc::new(parsed.config), &site, parsed.keyring).await?;
    let mode = if options.once { Mode::Once } else { Mode::Follow };
    let stop = CancellationToken::new();
    tokio::spawn(keyring::keep(Arc::clone(&site.keyring), Arc::clone(&site.mandates), stop.clone()));
    let Config::Files(files) = &source;
    let reading = sources::files::run(name, files, site, &state_dir, mode, stop.clone());
    tokio::pin!(reading);
    tracing::info!(source = %name, "reading");
    let summary: Summary = loop {
        tokio::select! {
            done = &mut reading => break done.map_err(|error| failure(path, error))?,
            _ = terminate.recv() => stop.cancel(),
            _ = interrupt.recv() => stop.cancel(),
        }
    };
    println!("{}", serde_json::to_string(&summary)?);
    match mode {
        Mode::Once if summary.rejected > 0 => Err(Failure::Rejected),
        _ => Ok(()),
    }
}

fn failure(path: &Path, error: SourceError) -> Failure {
    match error {
        SourceError::Config { .. } => Failure::file(path, error),
        SourceError::File { .. } | SourceError::KeysAway | SourceError::Log(_) => Failure::Failed(error.into()),
    }
}
