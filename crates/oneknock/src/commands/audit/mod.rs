//! `oneknock audit …`: whether the log of reads is whole, and who opened one household's or one person's data.
//!
//! Verifying trusts the files, the public key and published checkpoints alone: with `--dir` and `--key` it needs neither site nor log.

mod subject;

use crate::cli::{Audit, Verify};
use crate::config;
use crate::failure::Failure;
use crate::site;
use ::audit::{Report, Verifier, names, verify};
use anyhow::Context;
use eventlog::table::Small;
use events::{AuditCheckpoint, topics};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// What a signed note of ours begins with.
const NOTE_BEGINS: &str = "oneknock/";

/// Does one of them.
pub async fn run(config: &Path, command: Audit, as_json: bool) -> Result<(), Failure> {
    match command {
        Audit::Verify(options) => whole(config, &options, as_json).await,
        Audit::Checkpoints => {
            published(config).await?.iter().for_each(|note| print!("{note}"));
            Ok(())
        }
        Audit::Subject(options) => subject::run(config, &options, as_json).await,
    }
}

async fn whole(config: &Path, options: &Verify, as_json: bool) -> Result<(), Failure> {
    let mut notes = match &options.checkpoints {
        Some(path) => split(&std::fs::read_to_string(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?),
        None => Vec::new(),
    };
    let (dir, verifier) = match (&options.dir, &options.key) {
        (Some(dir), Some(key)) => (dir.clone(), Verifier::new(key, "--key").map_err(|error| Failure::Usage(error.to_string()))?),
        (dir, key) => {
            let site = config::load(config)?;
            notes.extend(published(config).await?);
            let verifier = match key {
                Some(key) => Verifier::new(key, "--key"),
                None => Verifier::of_site(&site.keys_dir),
            };
            (dir.clone().unwrap_or(site.audit_dir), verifier.map_err(|error| Failure::Usage(error.to_string()))?)
        }
    };
    let unreadable = || format!("the log of reads in {}", dir.display());
    let mut reports = Vec::new();
    for name in names(&dir).with_context(unreadable)? {
        reports.push(verify(&dir, &name, &verifier, &notes).with_context(unreadable)?);
    }
    let is_whole = !reports.is_empty() && reports.iter().all(Report::is_whole);
    if as_json {
        println!("{}", json!({ "whole": is_whole, "logs": reports }));
    } else {
        reports.iter().for_each(say);
        if reports.is_empty() {
            println!("no log of reads in {}: nothing was opened yet, or this is not its folder", dir.display());
        }
    }
    if is_whole { Ok(()) } else { Err(Failure::Negative) }
}

fn say(report: &Report) {
    let Report { name, entries, covered, covered_by_published, published, cut_off, findings } = report;
    let state = if report.is_whole() { "whole" } else { "NOT WHOLE" };
    println!(
        "{name}: {state}; {entries} entries, {covered} signed, {covered_by_published} of them under {published} published checkpoints"
    );
    if *cut_off {
        println!("  the last line was cut off by a crash; it was never answered");
    }
    findings.iter().for_each(|finding| println!("  {finding}"));
}

/// Every checkpoint that was published.
async fn published(config: &Path) -> Result<Vec<String>, Failure> {
    let config = config::load(config)?;
    let site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let held = Small::<AuditCheckpoint>::open(Arc::clone(&site.log), Arc::clone(&site.schemas), topics::AUDIT).await?;
    let mut notes: Vec<(String, String)> = held.all().into_iter().map(|(key, checkpoint)| (key, checkpoint.note.clone())).collect();
    notes.sort_by_key(|(key, _)| key.rsplit_once('/').and_then(|(_, size)| size.parse::<u64>().ok()));
    Ok(notes.into_iter().map(|(_, note)| note).collect())
}

/// Notes that stand one after another in a file.
fn split(text: &str) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for line in text.lines() {
        match notes.last_mut() {
            Some(note) if !line.starts_with(NOTE_BEGINS) => note.push_str(&format!("{line}\n")),
            _ => notes.push(format!("{line}\n")),
        }
    }
    notes
}
