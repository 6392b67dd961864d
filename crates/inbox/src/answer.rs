//! The one door through which personal data leaves: first the read is written down, then the fields are opened, then there is JSON.
//!
//! It must not know HTTP. Whoever hands items in has made sure that they are the viewer's.

use crate::entitled::Viewer;
use crate::shape;
use audit::{AuditError, AuditLog};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use events::topics::household_key;
use events::{HouseholdEntry, Sealed, Task};
use keys::{Keyring, Pii};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One task of an answer.
#[derive(Clone, Debug)]
pub enum Item {
    /// The viewer's own.
    Whole {
        /// The household's state.
        task: Arc<Task>,
        /// Its entry in the registry.
        entry: Option<Arc<HouseholdEntry>>,
    },
    /// The household's last episode, which was the viewer's.
    Ended(Arc<Task>),
    /// The viewer's no longer.
    Bare {
        /// The task.
        task_id: String,
        /// Where it stands.
        state: &'static str,
        /// Its version.
        version: i64,
    },
}

/// How much of a task is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth<'a> {
    /// The address.
    Address,
    /// The address, the contact and the note: for a reason, which is written down.
    Everything {
        /// Why.
        reason: Reason<'a>,
    },
}

/// Why somebody opens a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// What the reading itself tells.
    Known(&'static str),
    /// The reader's own words, which may name anybody: they are written down sealed.
    Own(&'a str),
}

/// One answer that holds personal data, as the log of reads has it. No personal data stands in it.
#[derive(Clone, Debug, Serialize)]
struct Entry<'a> {
    /// RFC 3339.
    at: String,
    /// Who reads.
    actor: &'a str,
    /// `worker` or `supervisor`.
    role: &'static str,
    /// `list`, `detail`, `stream` or `action`.
    what: &'static str,
    /// Which tasks.
    tasks: Vec<&'a str>,
    /// What of them was opened: `address`, `contact`, `note`.
    fields: Vec<&'static str>,
    /// Where they are.
    grids: Vec<&'a str>,
    /// Why, where a contact was opened and the reader said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Why in the reader's own words: sealed as field `reason` of the task, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_sealed: Option<String>,
}

/// Writes the read down, opens what is sealed, and returns the JSON of each item.
///
/// # Errors
/// [`AuditError::NotWritten`]: nothing was opened.
pub async fn answer(
    reads: &AuditLog,
    keyring: &Keyring,
    viewer: &Viewer,
    what: &'static str,
    depth: Depth<'_>,
    items: &[Item],
) -> Result<Vec<Value>, AuditError> {
    let mut fields = BTreeSet::new();
    let (mut tasks, mut grids) = (Vec::new(), BTreeSet::new());
    for item in items {
        let Item::Whole { task, entry } = item else { continue };
        let opened: Vec<_> = sealed(task, entry.as_deref(), depth).into_iter().map(|field| field.name).collect();
        if !opened.is_empty() {
            fields.extend(opened);
            tasks.push(task.task_id.as_str());
            grids.extend(task.grid.as_deref());
        }
    }
    if !tasks.is_empty() {
        let (reason, reason_sealed) = match depth {
            Depth::Everything { reason: Reason::Known(reason) } => (Some(reason), None),
            Depth::Everything { reason: Reason::Own(words) } => match seal_reason(keyring, items, words) {
                Some(sealed) => (None, Some(sealed)),
                None => (Some("in words that could not be sealed"), None),
            },
            Depth::Address => (None, None),
        };
        let entry = Entry {
            at: events::time::format(crate::time::now()),
            actor: viewer.name(),
            role: viewer.role(),
            what,
            tasks,
            fields: fields.into_iter().collect(),
            grids: grids.into_iter().collect(),
            reason,
            reason_sealed,
        };
        reads.record(&entry).await?;
    }
    Ok(items.iter().map(|item| json(keyring, depth, item)).collect())
}

/// For the task that is opened: there is one where there is a reason. None: its keys are gone, and nothing of it opens either.
fn seal_reason(keyring: &Keyring, items: &[Item], words: &str) -> Option<String> {
    let task = items.iter().find_map(|item| if let Item::Whole { task, .. } = item { Some(task) } else { None })?;
    let sealed = keyring.mandate(&task.mandate)?.seal("reason", &task.task_id, words.as_bytes()).ok()?;
    Some(BASE64_STANDARD.encode(sealed))
}

fn json(keyring: &Keyring, depth: Depth<'_>, item: &Item) -> Value {
    match item {
        Item::Bare { task_id, state, version } => shape::bare(task_id, state, *version),
        Item::Ended(task) => task.before.as_ref().map_or(Value::Null, |before| shape::ended(task, before)),
        Item::Whole { task, entry } => {
            let opened: Vec<(&str, Option<Pii<String>>)> =
                sealed(task, entry.as_deref(), depth).into_iter().map(|field| (field.name, open(keyring, &task.mandate, &field))).collect();
            let text = |name| {
                opened.iter().find(|(field, _)| *field == name).and_then(|(_, text)| text.as_ref()).map(|text| text.expose().as_str())
            };
            let mut value = shape::whole(task, entry.as_deref().map(|entry| entry.version), text("address"));
            if let (Depth::Everything { .. }, Some(members)) = (depth, value.as_object_mut()) {
                let contact = text("contact").and_then(|contact| serde_json::from_str::<Value>(contact).ok());
                let part = |name| contact.as_ref().and_then(|contact| contact.get(name)).cloned().unwrap_or(Value::Null);
                let contact = contact.is_some().then(|| serde_json::json!({"name": part("name"), "phone": part("phone")}));
                members.insert("contact".into(), contact.unwrap_or(Value::Null));
                members.insert("note".into(), text("note").map_or(Value::Null, Value::from));
                members.insert("people".into(), shape::people(task));
            }
            value
        }
    }
}

/// A sealed value with what it was sealed for.
struct Field<'a> {
    name: &'static str,
    /// Never taken from the value's own neighbour where the owner is known: an entry of another household must not open here.
    owner: std::borrow::Cow<'a, str>,
    value: &'a [u8],
}

/// What of a task would be opened. The household's own address before the declared one.
fn sealed<'a>(task: &'a Task, entry: Option<&'a HouseholdEntry>, depth: Depth<'_>) -> Vec<Field<'a>> {
    let household = household_key(&task.mandate, &task.household);
    let own = |name, sealed: &'a Sealed| Field { name, owner: household.clone().into(), value: &sealed.value.0 };
    let declared = |sealed: &'a Sealed| Field { name: "address", owner: sealed.owner.as_str().into(), value: &sealed.value.0 };
    let registered = entry.and_then(|entry| entry.address.as_ref()).map(|sealed| own("address", sealed));
    let mut fields: Vec<_> = registered.or_else(|| task.address.as_ref().map(declared)).into_iter().collect();
    if matches!(depth, Depth::Everything { .. }) {
        fields.extend(entry.and_then(|entry| entry.contact.as_ref()).map(|sealed| own("contact", sealed)));
        fields.extend(task.note.as_ref().map(|sealed| own("note", sealed)));
    }
    fields
}

/// In clear; `None` where it does not open, which is counted: its mandate's keys are gone, or it was tampered with.
fn open(keyring: &Keyring, mandate: &str, field: &Field<'_>) -> Option<Pii<String>> {
    let opened = keyring.mandate(mandate)?.open(field.name, &field.owner, field.value);
    if let Err(error) = &opened {
        metrics::counter!("oneknock_inbox_sealed_unreadable_total", "field" => field.name).increment(1);
        tracing::warn!(mandate, field = field.name, %error, "a sealed field does not open");
    }
    opened.ok()?.into_text()
}
