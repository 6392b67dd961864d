//! `oneknock audit subject`: who opened one household's or one person's address, contact and note, when and how: for the person who asks.

use crate::cli::Subject;
use crate::commands::page::{escaped, framed};
use crate::config;
use crate::failure::Failure;
use crate::{keyring, site};
use ::audit::{READS, each_entry};
use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use eventlog::table::{MemoryStore, Table};
use events::{Codec, IdentifierKind, IdentifierLink, normal, topics};
use keys::MandateKeys;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::Path;
use std::sync::Arc;

/// No household has so many visits within a mandate.
const EPISODES_MAX: i64 = 1000;

/// One answer in which something of the subject was opened.
#[derive(Debug, Serialize)]
struct Read {
    at: String,
    actor: String,
    role: String,
    what: String,
    fields: Vec<String>,
    /// Why a contact was opened; in the reader's own words only where they were asked for.
    reason: Option<String>,
    task_id: String,
    household: String,
}

/// Prints all of them, oldest first.
pub async fn run(config: &Path, options: &Subject, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let keyring = keyring::open(&config)?;
    let mandate = match (&options.mandate, &keyring.ids()[..]) {
        (Some(mandate), _) => mandate.clone(),
        (None, [only]) => only.clone(),
        (None, held) => return Err(Failure::Usage(format!("--mandate: expected one of {}", held.join(", ")))),
    };
    let households = match &options.household {
        Some(household) => BTreeSet::from([household.clone()]),
        None => {
            let keys = keyring.mandate(&mandate).ok_or_else(|| Failure::Usage(format!("--mandate: no keys of {mandate} are here")))?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("the identifier, in one line of standard input")?;
            let site = site::for_command(&config).await?;
            let table = Table::open(Arc::clone(&site.log), topics::IDENTIFIERS, Box::new(MemoryStore::default())).await?;
            of_person(line.trim(), &keys, &table, &site.schemas.codec())?
        }
    };
    let mut ids: BTreeMap<String, &str> = BTreeMap::new();
    for household in &households {
        ids.extend((1..=EPISODES_MAX).map(|episode| (events::task_id(&mandate, household, episode).to_string(), household.as_str())));
    }
    let mut reads = Vec::new();
    let keys = keyring.mandate(&mandate).filter(|_| options.reasons);
    each_entry(&config.audit_dir, READS, |entry| reads.extend(of_subject(entry, &ids, keys.as_deref())))
        .with_context(|| format!("the log of reads in {}", config.audit_dir.display()))?;
    if let Some(file) = &options.html {
        std::fs::write(file, page(&reads)).map_err(|error| Failure::file(file, format!("cannot be written: {error}")))?;
    }
    if as_json {
        println!("{}", json!({ "mandate": mandate, "households": households, "reads": reads }));
        return Ok(());
    }
    println!("{} households, opened {} times", households.len(), reads.len());
    for Read { at, actor, role, what, fields, reason, task_id, household } in &reads {
        let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        println!("{at}  {actor} ({role})  {what}: {}{why}  household {household}, task {task_id}", fields.join(", "));
    }
    Ok(())
}

/// Where a person's data may stand: the households that the identifier belongs to, and its own pseudo-household. Whatever kind it is of.
fn of_person(raw: &str, keys: &MandateKeys, table: &Table, codec: &Codec) -> Result<BTreeSet<String>, Failure> {
    let mut households = BTreeSet::new();
    for &kind in IdentifierKind::ALL.iter().filter(|kind| **kind != IdentifierKind::Address) {
        let Ok(normal_form) = normal::identifier(kind, raw) else { continue };
        let token = keys.token(kind, &normal_form)?;
        households.insert(topics::pseudo_household(token));
        let links = table.get(&token.to_string()).and_then(|value| codec.decode::<IdentifierLink>(&value).ok());
        households.extend(links.into_iter().flat_map(|link| link.links).map(|link| link.household.to_string()));
    }
    if households.is_empty() {
        return Err(Failure::Usage("standard input: expected an ID number, passport, permit, phone or plate in one line".to_owned()));
    }
    Ok(households)
}

fn reason(entry: &Value, task_id: &str, keys: Option<&MandateKeys>) -> Option<String> {
    let Some(sealed) = entry["reason_sealed"].as_str() else { return entry["reason"].as_str().map(str::to_owned) };
    let opened = keys?.open("reason", task_id, &BASE64_STANDARD.decode(sealed).ok()?).ok()?;
    opened.into_text().map(|words| words.expose().clone())
}

fn of_subject(entry: &Value, ids: &BTreeMap<String, &str>, keys: Option<&MandateKeys>) -> Vec<Read> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let texts = |name: &str| entry[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let tasks: Vec<String> = texts("tasks");
    let read = |task_id: String| {
        let household = (*ids.get(&task_id)?).to_owned();
        let (at, actor, role, what) = (text("at"), text("actor"), text("role"), text("what"));
        let reason = reason(entry, &task_id, keys);
        Some(Read { at, actor, role, what, fields: texts("fields"), reason, task_id, household })
    };
    tasks.into_iter().filter_map(read).collect()
}

/// The same for people, in Chinese and English.
fn page(reads: &[Read]) -> String {
    let how = |what: &str| match what {
        "list" => "任务列表 · list",
        "detail" => "打开任务 · opened the task",
        "stream" => "实时列表 · live list",
        "action" => "处理任务 · acted on the task",
        _ => "其他 · other",
    };
    let field = |name: &String| match name.as_str() {
        "address" => "地址 address",
        "contact" => "联系人 contact",
        "note" => "备注 note",
        _ => "其他 other",
    };
    let mut rows = String::new();
    for Read { at, actor, role, what, fields, .. } in reads {
        let fields = fields.iter().map(field).collect::<Vec<_>>().join("、");
        let role = if role == "supervisor" { "主管 supervisor" } else { "网格员 worker" };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{role}</td><td>{}</td><td>{fields}</td></tr>",
            escaped(at),
            escaped(actor),
            how(what)
        );
    }
    let body = format!(
        "<p>共 {} 次，每次查看之前都已记录。 · {} times, each recorded before it was shown.</p>\n\
         <table><tr><th>时间 Time</th><th>人员 By</th><th>角色 Role</th><th>方式 How</th><th>内容 What</th></tr>\n{rows}</table>",
        reads.len(),
        reads.len()
    );
    framed("谁查看过您的信息", "Who opened your data", &body)
}
