//! Where a trace finds things: an event's records, its decisions, its traveller and its household, each in the topic that holds it.

use super::{AnswerRecord, BeforeState, DecisionRecord, EventRecord, GridState, HouseholdState, Place, TravellerState, shortened};
use crate::OpsError;
use crate::scan::{self, Scan, Span};
use domain::household::Row;
use eventlog::fencing::{Fold, Verdict};
use eventlog::schemas::Schemas;
use eventlog::{Log, Record};
use events::topics::{self, DECISIONS, TASKS, TRAVELLERS};
use events::{CheckpointPassage, Decision, Event, EventId, HighwayEntrance, Millis, SourceKind, Task, TelecomMovement, Traveller, time};
use std::collections::HashMap;
use std::sync::Arc;

/// The traveller's key and its mandate.
pub(super) fn traveller_key(event: &Event) -> Option<(String, String)> {
    let head = event.head();
    let traveller = events::traveller_id(head.identifiers, head.destination.map(|destination| destination.grid.as_str()))?;
    Some((topics::traveller_key(head.mandate, &traveller), head.mandate.to_owned()))
}

fn place(topic: &'static str, record: &Record) -> Place {
    Place { topic, partition: record.partition, offset: record.offset, appended_at: time::format(Millis(record.timestamp)) }
}

pub(super) async fn event_records(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    kind: SourceKind,
    id: EventId,
    found: &mut Vec<(EventRecord, Event)>,
) -> Result<(), OpsError> {
    let topic = topics::of_kind(kind);
    let spans = scan::spans(log, topic).await?;
    let mut scan = Scan::new(log, topic, &spans).await?;
    let text = id.to_string();
    while let Some(batch) = scan.next().await? {
        for record in &batch.records {
            // The header says the same as the value; one without it is read.
            if record.header("ce_id").is_some_and(|header| header != text.as_bytes()) {
                continue;
            }
            let event = match kind {
                SourceKind::Checkpoint => schemas.decode::<CheckpointPassage>(record).await.map(Event::Checkpoint),
                SourceKind::Highway => schemas.decode::<HighwayEntrance>(record).await.map(Event::Highway),
                SourceKind::Telecom => schemas.decode::<TelecomMovement>(record).await.map(Event::Telecom),
            };
            let Ok(event) = event else { continue };
            let head = event.head();
            if head.event_id != id {
                continue;
            }
            let line = EventRecord {
                place: place(topic, record),
                mandate: head.mandate.to_owned(),
                source: head.source.to_owned(),
                kind: kind.as_str(),
                observed_at: time::format(head.observed_at),
                received_at: time::format(head.received_at),
                identifiers: head.identifiers.iter().map(|identifier| identifier.kind.as_str()).collect(),
                origin_division: head.origin_division.map(str::to_owned),
                declared_grid: head.destination.map(|destination| destination.grid.to_string()),
                traceparent: record.header("traceparent").map(|trace| String::from_utf8_lossy(trace).into_owned()),
            };
            found.push((line, event));
        }
    }
    Ok(())
}

pub(super) async fn decisions(log: &Arc<dyn Log>, schemas: &Schemas, id: EventId) -> Result<Vec<DecisionRecord>, OpsError> {
    let key = id.to_string();
    let Some(span) = span_of(log, DECISIONS, |partitions| topics::partition_of(key.as_bytes(), partitions)).await? else {
        return Ok(Vec::new());
    };
    let mut scan = Scan::new(log, DECISIONS, &[span]).await?;
    let mut found = Vec::new();
    while let Some(batch) = scan.next().await? {
        for record in batch.records.iter().filter(|record| record.key == key.as_bytes()) {
            let Ok(decision) = schemas.decode::<Decision>(record).await else { continue };
            found.push(DecisionRecord {
                place: place(DECISIONS, record),
                row: Row::of(decision.code, &decision.reason).map(Row::number),
                code: decision.code.as_str(),
                revision: decision.revision,
                traveller_version: decision.revision / domain::limits::REVISION_STEP,
                count: decision.revision % domain::limits::REVISION_STEP,
                reason: decision.reason.into_owned(),
                grid: decision.grid.map(Into::into),
                task_id: decision.task_id.map(|id| id.to_string()),
                policy: decision.policy,
                at: time::format(decision.at),
            });
        }
    }
    Ok(found)
}

async fn span_of(log: &Arc<dyn Log>, topic: &'static str, partition: impl Fn(i32) -> i32) -> Result<Option<Span>, OpsError> {
    let spans = scan::spans(log, topic).await?;
    let partition = partition(i32::try_from(spans.len()).unwrap_or(i32::MAX));
    Ok(spans.into_iter().find(|span| span.partition == partition))
}

/// The newest valid record of a key in a fenced topic.
async fn folded(log: &Arc<dyn Log>, topic: &'static str, span: Span, key: &str) -> Result<Option<Record>, OpsError> {
    let mut scan = Scan::new(log, topic, &[span]).await?;
    let mut fold = Fold::default();
    let mut newest = None;
    while let Some(batch) = scan.next().await? {
        for record in batch.records {
            if fold.judge(&record) == Verdict::State && record.key == key.as_bytes() {
                newest = record.value.is_some().then_some(record);
            }
        }
    }
    Ok(newest)
}

pub(super) async fn traveller_state(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    key: &str,
) -> Result<Option<(TravellerState, String)>, OpsError> {
    let traveller = topics::split_key(key).map_or(key, |(_, traveller)| traveller);
    let span = span_of(log, TRAVELLERS, |partitions| topics::traveller_partition(traveller, partitions)).await?;
    let Some(span) = span else { return Ok(None) };
    let Some(record) = folded(log, TRAVELLERS, span, key).await? else { return Ok(None) };
    let Ok(state) = schemas.decode::<Traveller>(&record).await else { return Ok(None) };
    let shown = TravellerState {
        place: place(TRAVELLERS, &record),
        household: shortened(&state.place),
        version: state.version,
        leaving: state.leaving,
        carried: state.carried.len() + state.carried_out.len(),
        covers: state.covers.len(),
    };
    Ok(Some((shown, state.place.into())))
}

/// The household's record, and where it stands.
pub(super) async fn household(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    mandate: &str,
    household: &str,
) -> Result<Option<(Place, Task)>, OpsError> {
    let key = topics::household_key(mandate, household);
    let span = span_of(log, TASKS, |partitions| topics::partition_of(key.as_bytes(), partitions)).await?;
    let Some(span) = span else { return Ok(None) };
    let Some(record) = folded(log, TASKS, span, &key).await? else { return Ok(None) };
    Ok(schemas.decode::<Task>(&record).await.ok().map(|task| (place(TASKS, &record), task)))
}

pub(super) fn household_state(place: Place, task: &Task, id: EventId) -> HouseholdState {
    let signal = task.stays.iter().flat_map(|stay| &stay.signals).find(|signal| signal.event_id == id.fixed());
    let text = |text: &Option<events::Text>| text.as_ref().map(|text| text.to_string());
    let before = task.before.as_ref().map(|before| BeforeState {
        task_id: before.task_id.to_string(),
        state: before.state.as_str(),
        outcome: before.outcome.map(events::Outcome::as_str),
        grid: text(&before.grid),
        opened_at: time::format(before.opened_at),
        ended_at: time::format(before.ended_at),
    });
    HouseholdState {
        place,
        household: shortened(&task.household),
        grid: text(&task.grid),
        task_id: Some(task.task_id.to_string()).filter(|id| !id.is_empty()),
        state: task.state.as_str(),
        version: task.version,
        episode: task.episode,
        priority: task.priority.as_str(),
        opened_at: task.opened_at.map(time::format),
        due_at: task.due_at.map(time::format),
        ends_at: task.end.map(time::format),
        outcome: task.outcome.map(events::Outcome::as_str),
        screened_at: task.screened_at.map(time::format),
        covered_until: task.covered_until.map(time::format),
        joined: task.joined,
        attempts: task.attempts,
        supervisor: task.supervisor,
        triage: task.triage,
        travellers: task.stays.iter().filter(|stay| stay.left_at.is_none()).count(),
        grids: task.grids.iter().map(|stay| GridState { grid: stay.grid.to_string(), from: time::format(stay.from) }).collect(),
        answers: task.answers.iter().map(|answer| AnswerRecord { at: time::format(answer.at), status: answer.status }).collect(),
        before,
        signal: signal.map(|signal| signal.code.map(events::Code::as_str)),
    }
}

/// The newest values of a small table, by key: of those that the rule believes.
pub(super) async fn table<R: events::Record>(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    topic: &str,
    mut is_believed: impl FnMut(&str, &R) -> bool,
) -> Result<HashMap<String, R>, OpsError> {
    let mut scan = Scan::new(log, topic, &scan::spans(log, topic).await?).await?;
    let mut newest = HashMap::new();
    while let Some(batch) = scan.next().await? {
        for record in &batch.records {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            match schemas.decode::<R>(record).await {
                Ok(value) if !is_believed(&key, &value) => {}
                Ok(value) => drop(newest.insert(key, value)),
                _ => drop(newest.remove(&key)),
            }
        }
    }
    Ok(newest)
}
