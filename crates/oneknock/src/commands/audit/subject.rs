//! `oneknock audit subject`: who opened one household's or one person's address, contact and note, when, how and why, and which agency asked
//! whether they had been screened: for the person who asks.

use crate::cli::Subject;
use crate::commands::page::{escaped, framed};
use crate::config;
use crate::failure::Failure;
use crate::{keyring, site};
use ::audit::{LOOKUPS, READS, each_entry, names};
use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use eventlog::table::{MemoryStore, Table};
use events::{Codec, IdentifierKind, IdentifierLink, Token, normal, topics};
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
/// Said of a reason in somebody's own words, where nobody asked for these.
const SEALED: &str = "sealed";

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

/// A question of an agency about one of the subject's identifiers.
#[derive(Debug, Serialize)]
struct Lookup {
    at: String,
    actor: String,
    kind: String,
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
    let site = site::for_command(&config).await?;
    let table = Table::open(Arc::clone(&site.log), topics::IDENTIFIERS, Box::new(MemoryStore::default())).await?;
    let (households, tokens) = match &options.household {
        Some(household) => (BTreeSet::from([household.clone()]), of_household(household, &mandate, &table, &site.schemas.codec())?),
        None => {
            let keys =
                keyring.mandate(&mandate).ok_or_else(|| Failure::Usage("--mandate: no keys of such a mandate are here".to_owned()))?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("the identifier, in one line of standard input")?;
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
    let mut lookups = Vec::new();
    for name in names(&config.audit_dir)?.iter().filter(|name| name.starts_with(LOOKUPS)) {
        each_entry(&config.audit_dir, name, |entry| lookups.extend(about(entry, &mandate, &tokens)))
            .with_context(|| format!("the log of questions in {}", config.audit_dir.display()))?;
    }
    lookups.sort_by(|one, other| one.at.cmp(&other.at));
    if let Some(file) = &options.html {
        std::fs::write(file, page(&reads, &lookups)).map_err(|error| Failure::file(file, format!("cannot be written: {error}")))?;
    }
    if as_json {
        println!("{}", json!({ "mandate": mandate, "households": households, "reads": reads, "lookups": lookups }));
        return Ok(());
    }
    println!("{} households, opened {} times", households.len(), reads.len());
    for Read { at, actor, role, what, fields, reason, task_id, household } in &reads {
        let why = reason.as_ref().map(|reason| format!("  because: {reason}")).unwrap_or_default();
        println!("{at}  {actor} ({role})  {what}: {}  household {household}, task {task_id}{why}", fields.join(", "));
    }
    println!("asked about {} times", lookups.len());
    for Lookup { at, actor, kind } in &lookups {
        println!("{at}  {actor}  whether a household was screened already, by {kind}");
    }
    Ok(())
}

/// The identifiers that a household is found by.
fn of_household(household: &str, mandate: &str, table: &Table, codec: &Codec) -> Result<BTreeSet<Token>, Failure> {
    let mut tokens = BTreeSet::new();
    table.each(|key, value| {
        let named = |link: IdentifierLink| link.mandate == mandate && link.links.iter().any(|link| link.household == household);
        if codec.decode::<IdentifierLink>(value).is_ok_and(named) {
            tokens.extend(key.split('/').next().and_then(|token| token.parse::<Token>().ok()));
        }
    })?;
    Ok(tokens)
}

/// Where a person's data may stand: the households that the identifier belongs to, and its own pseudo-household. Whatever kind it is of. And
/// what it is looked up by.
fn of_person(raw: &str, keys: &MandateKeys, table: &Table, codec: &Codec) -> Result<(BTreeSet<String>, BTreeSet<Token>), Failure> {
    let (mut households, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for &kind in IdentifierKind::ALL.iter().filter(|kind| **kind != IdentifierKind::Address) {
        let Ok(normal_form) = normal::identifier(kind, raw) else { continue };
        let token = keys.token(kind, &normal_form)?;
        households.insert(topics::pseudo_household(token));
        tokens.insert(token);
        let links = table.get(&token.to_string()).and_then(|value| codec.decode::<IdentifierLink>(&value).ok());
        households.extend(links.into_iter().flat_map(|link| link.links).map(|link| link.household.to_string()));
    }
    if households.is_empty() {
        return Err(Failure::Usage("standard input: expected an ID number, passport, permit, phone or plate in one line".to_owned()));
    }
    Ok((households, tokens))
}

fn about(entry: &Value, mandate: &str, tokens: &BTreeSet<Token>) -> Option<Lookup> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let is_theirs = text("mandate") == mandate && text("token").parse().is_ok_and(|token: Token| tokens.contains(&token));
    is_theirs.then(|| Lookup { at: text("at").to_owned(), actor: text("actor").to_owned(), kind: text("kind").to_owned() })
}

fn reason(entry: &Value, task_id: &str, keys: Option<&MandateKeys>) -> Option<String> {
    let Some(sealed) = entry["reason_sealed"].as_str() else { return entry["reason"].as_str().map(str::to_owned) };
    let Some(keys) = keys else { return Some(SEALED.to_owned()) };
    let opened = keys.open("reason", task_id, &BASE64_STANDARD.decode(sealed).ok()?).ok()?;
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
fn page(reads: &[Read], lookups: &[Lookup]) -> String {
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
    let why = |reason: &Option<String>| match reason.as_deref() {
        None => String::new(),
        Some("visit") => "上门 visit".to_owned(),
        Some("none given") => "未说明 none given".to_owned(),
        Some(SEALED) => "已密封 sealed".to_owned(),
        Some(reason) => escaped(reason),
    };
    for Read { at, actor, role, what, fields, reason, .. } in reads {
        let fields = fields.iter().map(field).collect::<Vec<_>>().join("、");
        let role = if role == "supervisor" { "主管 supervisor" } else { "网格员 worker" };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{role}</td><td>{}</td><td>{fields}</td><td>{}</td></tr>",
            escaped(at),
            escaped(actor),
            how(what),
            why(reason)
        );
    }
    let question = |Lookup { at, actor, kind }: &Lookup| {
        format!("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", escaped(at), escaped(actor), escaped(kind))
    };
    let questions: String = lookups.iter().map(question).collect();
    let body = format!(
        "<p>共 {} 次，每次查看之前都已记录。 · {} times, each recorded before it was shown.</p>\n\
         <table><tr><th>时间 Time</th><th>人员 By</th><th>角色 Role</th><th>方式 How</th><th>内容 What</th><th>事由 Why</th></tr>\n{rows}</table>\n\
         <h2>哪些单位查询过是否已核查 · Which agencies asked whether you had been screened</h2>\n<p>共 {} 次 · {} times</p>\n\
         <table><tr><th>时间 Time</th><th>单位 By</th><th>依据 By what</th></tr>\n{questions}</table>",
        reads.len(),
        reads.len(),
        lookups.len(),
        lookups.len()
    );
    framed("谁查看过您的信息", "Who opened your data", &body)
}
