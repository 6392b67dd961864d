//! `oneknock registry correct`, `erase` and `restore`: what one resident asked for is written down, done, and answered with a receipt.

use super::receipt::Receipt;
use crate::changes;
use crate::cli::OfWhom;
use crate::commands::run;
use crate::failure::Failure;
use crate::language::Language;
use crate::site;
use anyhow::Context;
use connectors::registry::{self, Act, Given, Order};
use serde_json::json;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Does it. `values` are those that the act has beside whose they are.
pub async fn run(
    config: &Path,
    act: Act,
    values: impl IntoIterator<Item = (&'static str, Option<String>)>,
    whose: OfWhom,
    as_json: bool,
) -> Result<(), Failure> {
    let language = Language::of(whose.lang);
    let given = given(values, &whose)?;
    let parsed = run::parse(config)?;
    let by = site::administrator(&parsed.config)?;
    let site = site::for_command(&parsed.config).await?;
    parsed.prepare(&site).await?;
    let state_dir = parsed.config.dir();
    let order = Order { act, given: &given, mandate: whose.mandate.as_deref(), state_dir: &state_dir, clock: parsed.config.clock };
    let (log, schemas, now) = (Arc::clone(&site.log), Arc::clone(&site.schemas), site::now());
    let planned = registry::plan(log, schemas, &site.signers, &parsed.keyring, &order, now).await.map_err(of_usage)?;
    let receipt = Receipt::of(act, &planned.done, by, now);
    let change = json!({
        "id": receipt.mandate, "act": receipt.act, "receipt": receipt.id, "by": receipt.by, "households": receipt.households,
        "fields": receipt.fields, "identifiers": receipt.identifiers,
    });
    changes::record(&parsed.config, &site, "registry", change).await?;
    planned.publish().await?;
    let file = receipt.write(&parsed.config)?;
    if as_json {
        print!("{}", std::fs::read_to_string(&file)?);
        return Ok(());
    }
    receipt.say(language);
    let (file, page) = (file.display().to_string(), file.with_extension("html").display().to_string());
    match language {
        Language::Chinese => println!("已签名的回执：{file}，网页版：{page}"),
        Language::English => println!("signed receipt: {file}, as a page: {page}"),
    }
    Ok(())
}

/// The values, from the command line and from where they are to be read.
fn given(values: impl IntoIterator<Item = (&'static str, Option<String>)>, whose: &OfWhom) -> Result<Given, Failure> {
    let mut given = Given::default();
    if let Some(file) = &whose.from {
        let mut bytes = Vec::new();
        if file == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        } else {
            bytes = std::fs::read(file).map_err(|error| Failure::file(file, format!("cannot be read: {error}")))?;
        }
        given.read(&bytes).map_err(|refusal| Failure::file(file, refusal.message))?;
    }
    for (column, value) in values.into_iter().chain([("household", whose.household.clone())]) {
        value.into_iter().for_each(|value| given.add(column, value));
    }
    let lists = [
        ("resident_id", &whose.resident_id),
        ("passport", &whose.passport),
        ("permit", &whose.permit),
        ("phone", &whose.phone),
        ("plate", &whose.plate),
    ];
    for (column, values) in lists {
        values.iter().for_each(|value| given.add(column, value.as_str()));
    }
    Ok(given)
}

/// What was given and cannot be is bad usage.
fn of_usage(error: registry::ImportError) -> Failure {
    match error {
        registry::ImportError::Given { .. } => Failure::Usage(error.to_string()),
        error => error.into(),
    }
}
