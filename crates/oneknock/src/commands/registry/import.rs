//! `oneknock registry import`: the whole register of one mandate, from three CSV files.

use crate::cli::Import;
use crate::commands::run;
use crate::demo::TableFiles;
use crate::failure::Failure;
use crate::site::{self, Site};
use connectors::registry::{self, ImportReport, ImportRequest, Outcome, Paths};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two redraws of the progress line.
const REDRAW: Duration = Duration::from_millis(120);

/// Prints one JSON object of counts.
pub async fn import(path: &Path, options: &Import) -> Result<(), Failure> {
    let parsed = run::parse(path)?;
    let paths = Paths { grids: options.grids.clone(), households: options.households.clone(), residents: options.residents.clone() };
    let request = ImportRequest {
        paths,
        mandate: options.mandate.clone(),
        dry_run: options.dry_run,
        yes: options.yes,
        state_dir: parsed.config.dir(),
        clock: parsed.config.clock,
    };
    let site = site::for_command(&parsed.config).await?;
    parsed.prepare(&site).await?;
    let report = imported(&parsed, &site, &request).await?;
    println!("{}", serde_json::to_string(&report)?);
    for rejects in &report.rejects {
        eprintln!("oneknock: {} of {} rows rejected, see {}", report.rejected, report.rows, rejects.display());
    }
    match report.outcome() {
        Outcome::Done => Ok(()),
        Outcome::DoneWithRejects => Err(Failure::Rejected),
    }
}

/// For the demonstration, into a site that runs in this process.
pub async fn import_tables(parsed: &run::Parsed, site: &Site, tables: TableFiles) -> Result<ImportReport, Failure> {
    let paths = Paths { grids: tables.grids, households: tables.households, residents: tables.residents };
    let (state_dir, clock) = (parsed.config.dir(), parsed.config.clock);
    let request = ImportRequest { paths, mandate: None, dry_run: false, yes: true, state_dir, clock };
    imported(parsed, site, &request).await
}

async fn imported(parsed: &run::Parsed, site: &Site, request: &ImportRequest) -> Result<ImportReport, Failure> {
    // It hides itself where stderr is no terminal.
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {human_pos}")?);
    bar.enable_steady_tick(REDRAW);
    let mut progress = |what: &'static str, done: u64| {
        bar.set_message(what);
        bar.set_position(done);
    };
    let (log, schemas) = (Arc::clone(&site.log), Arc::clone(&site.schemas));
    let done = registry::import(log, schemas, &site.signers, &parsed.keyring, request, site::now(), &mut progress).await;
    bar.finish_and_clear();
    Ok(done?)
}
