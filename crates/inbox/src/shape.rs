//! A task as JSON: whole for those whose it is, bare for those whose it was.
//!
//! It must not know keys: an address comes in clear and goes out; whoever calls has written the read down.

use events::ids::digest64;
use events::{Before, Evidence, GridStay, Millis, Stay, Task};
use serde_json::{Value, json};

/// The task's own fields, the version of its household's entry, and its address.
pub fn whole(task: &Task, entry: Option<i64>, address: Option<&str>) -> Value {
    json!({
        "task_id": task.task_id,
        "mandate": task.mandate,
        "household": household(task),
        "grid": task.grid,
        "episode": task.episode,
        "version": task.version,
        "state": task.state,
        "priority": task.priority,
        "opened_at": moment(task.opened_at),
        "due_at": moment(task.due_at),
        "evidence": task.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "joined": task.joined,
        "assignee": task.assignee,
        "outcome": task.outcome,
        "screened_at": moment(task.screened_at),
        "covered_until": moment(task.covered_until),
        "triage": task.triage,
        "supervisor": task.supervisor,
        "attempts": task.attempts,
        "address": address,
        "entry": entry,
        "before": task.before.as_ref().map(before),
        "grids": grids(&task.grids),
    })
}

/// Who is met at a task: names that mean nothing elsewhere, and since when.
pub fn people(task: &Task) -> Value {
    let person = |stay: &Stay| json!({"person": person(&task.task_id, &stay.traveller), "since": moment(stay.first_taken_at)});
    task.stays.iter().map(person).collect()
}

/// What a phone calls a traveller of a task: no token leaves this place.
pub fn person(task_id: &str, traveller: &str) -> String {
    format!("{:016x}", digest64(&[task_id.as_bytes(), traveller.as_bytes()]))
}

/// The episode before, as a task of its own: what is left of it.
pub fn ended(task: &Task, episode: &Before) -> Value {
    let mut value = before(episode);
    if let Some(members) = value.as_object_mut() {
        members.insert("mandate".into(), json!(task.mandate));
        members.insert("household".into(), json!(household(task)));
        members.insert("version".into(), json!(task.version));
        members.insert("grids".into(), grids(&episode.grids));
    }
    value
}

/// For somebody whose it is no longer.
pub fn bare(task_id: &str, state: &str, version: i64) -> Value {
    json!({"task_id": task_id, "state": state, "version": version})
}

fn before(before: &Before) -> Value {
    json!({
        "task_id": before.task_id,
        "episode": before.episode,
        "grid": before.grid,
        "state": before.state,
        "outcome": before.outcome,
        "priority": before.priority,
        "opened_at": moment(Some(before.opened_at)),
        "ended_at": moment(Some(before.ended_at)),
        "start": moment(Some(before.start)),
        "end": moment(Some(before.end)),
    })
}

/// Null where nobody in the registry is known.
fn household(task: &Task) -> Option<&str> {
    (!task.household.starts_with('~')).then_some(task.household.as_str())
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "event_id": evidence.event_id,
        "kind": evidence.kind.as_str().to_ascii_lowercase(),
        "observed_at": moment(Some(evidence.observed_at)),
        "origin_division": evidence.origin_division,
    })
}

fn grids(stays: &[GridStay]) -> Value {
    stays.iter().map(|stay| json!({"grid": stay.grid, "from": moment(Some(stay.from)), "version": stay.version})).collect()
}

fn moment(at: Option<Millis>) -> Option<String> {
    at.map(events::time::format)
}
