//! `ops trace EVENT_ID`: one event's way through the topics: where it stands, what was said of it and why, where its traveller is, and
//! how the visit of that household stands. Kinds of identifiers, never their tokens; no address, no contact, no note.

use crate::OpsError;
use crate::scan::{self, Scan, Span};
use eventlog::fencing::{Fold, Verdict};
use eventlog::schemas::Schemas;
use eventlog::{Log, Record};
use events::topics::{self, DECISIONS, TASKS, TRAVELLERS};
use events::{CheckpointPassage, Decision, Event, EventId, HighwayEntrance, Millis, SourceKind, Task, TelecomMovement, Traveller, time};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The way of one event.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// The event.
    pub event_id: String,
    /// Its records in `events.*`: more than one where it was sent again.
    pub records: Vec<EventRecord>,
    /// Everything that was said of it, oldest first.
    pub decisions: Vec<DecisionRecord>,
    /// The newest decision's code: the one of the highest revision.
    pub code: Option<&'static str>,
    /// Its traveller.
    pub traveller: Option<TravellerState>,
    /// The household where the traveller is.
    pub household: Option<HouseholdState>,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The topic.
    pub topic: &'static str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// When the log took it; RFC 3339.
    pub appended_at: String,
}

/// The event as an agency sent it, without what is personal.
#[derive(Debug, Serialize)]
pub struct EventRecord {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The mandate.
    pub mandate: String,
    /// The source.
    pub source: String,
    /// What kind of source.
    pub kind: &'static str,
    /// When it was seen; RFC 3339.
    pub observed_at: String,
    /// When the gateway took it; RFC 3339.
    pub received_at: String,
    /// Kinds of identifiers, strongest first.
    pub identifiers: Vec<&'static str>,
    /// The declared grid.
    pub declared_grid: Option<String>,
    /// The caller's trace, where it sent one.
    pub traceparent: Option<String>,
}

/// One decision.
#[derive(Debug, Serialize)]
pub struct DecisionRecord {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The code.
    pub code: &'static str,
    /// Traveller's version.
    pub traveller_version: i64,
    /// Count within that version.
    pub count: i64,
    /// Why.
    pub reason: String,
    /// The grid.
    pub grid: Option<String>,
    /// The visit.
    pub task_id: Option<String>,
    /// The policy's version.
    pub policy: i64,
    /// The router's now; RFC 3339.
    pub at: String,
}

/// Where the traveller is.
#[derive(Debug, Serialize)]
pub struct TravellerState {
    /// Where its newest valid record stands.
    #[serde(flatten)]
    pub place: Place,
    /// The household, or `~token`.
    pub household: String,
    /// How often it was moved, from 1.
    pub version: i64,
    /// Whether it is on its way to another household.
    pub leaving: bool,
    /// Signals that wait between two places.
    pub carried: usize,
    /// Screenings that go along.
    pub covers: usize,
}

/// How the visit stands.
#[derive(Debug, Serialize)]
pub struct HouseholdState {
    /// Where its newest valid record stands.
    #[serde(flatten)]
    pub place: Place,
    /// The household, or `~token`.
    pub household: String,
    /// The grid.
    pub grid: Option<String>,
    /// The visit; null: no episode yet.
    pub task_id: Option<String>,
    /// Its state.
    pub state: &'static str,
    /// Its version.
    pub version: i64,
    /// Which visit of this household it is.
    pub episode: i64,
    /// When it opened; RFC 3339.
    pub opened_at: Option<String>,
    /// When it is due; RFC 3339.
    pub due_at: Option<String>,
    /// How it ended.
    pub outcome: Option<&'static str>,
    /// Until when a screening answers; RFC 3339.
    pub covered_until: Option<String>,
    /// Signals that needed no visit of their own.
    pub joined: i64,
    /// Travellers that are here.
    pub travellers: usize,
    /// Whether this event's signal is kept whole here; with the code that was last said of it.
    pub signal: Option<Option<&'static str>>,
}

/// Follows an event.
///
/// # Errors
/// [`OpsError::NoEvent`], or the log is away.
pub async fn trace(log: &Arc<dyn Log>, schemas: &Schemas, id: EventId) -> Result<Trace, OpsError> {
    let mut found = Vec::new();
    for kind in SourceKind::ALL {
        event_records(log, schemas, *kind, id, &mut found).await?;
    }
    found.sort_by(|a, b| a.0.place.appended_at.cmp(&b.0.place.appended_at));
    let decisions = decisions(log, schemas, id).await?;
    if found.is_empty() && decisions.is_empty() {
        return Err(OpsError::NoEvent(id));
    }
    let newest = decisions.iter().max_by_key(|decision| (decision.traveller_version, decision.count));
    let code = newest.map(|decision| decision.code);
    let (mut traveller, mut household) = (None, None);
    if let Some((key, mandate)) = found.last().and_then(|(_, event)| traveller_key(event)) {
        traveller = traveller_state(log, schemas, &key).await?;
        if let Some(state) = &traveller {
            household = household_state(log, schemas, &mandate, &state.household, id).await?;
        }
    }
    let records = found.into_iter().map(|(record, _)| record).collect();
    Ok(Trace { event_id: id.to_string(), records, decisions, code, traveller, household })
}

/// The traveller's key and its mandate.
fn traveller_key(event: &Event) -> Option<(String, String)> {
    let head = event.head();
    let traveller = events::traveller_id(head.identifiers, head.destination.map(|destination| destination.grid.as_str()))?;
    Some((topics::traveller_key(head.mandate, &traveller), head.mandate.to_owned()))
}

fn place(topic: &'static str, record: &Record) -> Place {
    Place { topic, partition: record.partition, offset: record.offset, appended_at: time::format(Millis(record.timestamp)) }
}

async fn event_records(
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
                declared_grid: head.destination.map(|destination| destination.grid.to_string()),
                traceparent: record.header("traceparent").map(|trace| String::from_utf8_lossy(trace).into_owned()),
            };
            found.push((line, event));
        }
    }
    Ok(())
}

async fn decisions(log: &Arc<dyn Log>, schemas: &Schemas, id: EventId) -> Result<Vec<DecisionRecord>, OpsError> {
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
                code: decision.code.as_str(),
                traveller_version: decision.revision / domain::limits::REVISION_STEP,
                count: decision.revision % domain::limits::REVISION_STEP,
                reason: decision.reason.into_owned(),
                grid: decision.grid.map(Into::into),
                task_id: decision.task_id.map(Into::into),
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

async fn traveller_state(log: &Arc<dyn Log>, schemas: &Schemas, key: &str) -> Result<Option<TravellerState>, OpsError> {
    let traveller = topics::split_key(key).map_or(key, |(_, traveller)| traveller);
    let span = span_of(log, TRAVELLERS, |partitions| topics::traveller_partition(traveller, partitions)).await?;
    let Some(span) = span else { return Ok(None) };
    let Some(record) = folded(log, TRAVELLERS, span, key).await? else { return Ok(None) };
    Ok(schemas.decode::<Traveller>(&record).await.ok().map(|state| TravellerState {
        place: place(TRAVELLERS, &record),
        household: state.place.into(),
        version: state.version,
        leaving: state.leaving,
        carried: state.carried.len() + state.carried_out.len(),
        covers: state.covers.len(),
    }))
}

async fn household_state(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    mandate: &str,
    household: &str,
    id: EventId,
) -> Result<Option<HouseholdState>, OpsError> {
    let key = topics::household_key(mandate, household);
    let span = span_of(log, TASKS, |partitions| topics::partition_of(key.as_bytes(), partitions)).await?;
    let Some(span) = span else { return Ok(None) };
    let Some(record) = folded(log, TASKS, span, &key).await? else { return Ok(None) };
    let Ok(task) = schemas.decode::<Task>(&record).await else { return Ok(None) };
    let signal = task.stays.iter().flat_map(|stay| &stay.signals).find(|signal| signal.event_id == id.fixed());
    Ok(Some(HouseholdState {
        place: place(TASKS, &record),
        household: household.to_owned(),
        grid: task.grid.map(Into::into),
        task_id: Some(task.task_id.into()).filter(|id: &String| !id.is_empty()),
        state: task.state.as_str(),
        version: task.version,
        episode: task.episode,
        opened_at: task.opened_at.map(time::format),
        due_at: task.due_at.map(time::format),
        outcome: task.outcome.map(events::Outcome::as_str),
        covered_until: task.covered_until.map(time::format),
        joined: task.joined,
        travellers: task.stays.iter().filter(|stay| stay.left_at.is_none()).count(),
        signal: signal.map(|signal| signal.code.map(events::Code::as_str)),
    }))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}:{}", self.appended_at, self.topic, self.partition, self.offset)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "event {}", self.event_id)?;
        for record in &self.records {
            let kinds = record.identifiers.join(", ");
            writeln!(f, "{}  {} under {}, seen {}, by {kinds}", record.place, record.source, record.mandate, record.observed_at)?;
        }
        for decision in &self.decisions {
            let (version, count) = (decision.traveller_version, decision.count);
            write!(f, "{}  {} (revision {version}.{count}): {}", decision.place, decision.code, decision.reason)?;
            let grid = decision.grid.as_deref().unwrap_or("-");
            writeln!(f, "; grid {grid}, task {}, policy {}", decision.task_id.as_deref().unwrap_or("-"), decision.policy)?;
        }
        if self.decisions.is_empty() {
            writeln!(f, "no decision yet")?;
        }
        if let Some(traveller) = &self.traveller {
            let leaving = if traveller.leaving { ", leaving" } else { "" };
            write!(f, "{}  traveller at {}, version {}{leaving}", traveller.place, traveller.household, traveller.version)?;
            writeln!(f, ", {} signals carried", traveller.carried)?;
        }
        if let Some(household) = &self.household {
            let (task, grid) = (household.task_id.as_deref().unwrap_or("-"), household.grid.as_deref().unwrap_or("-"));
            write!(f, "{}  household {}, grid {grid}, task {task} {}", household.place, household.household, household.state)?;
            writeln!(f, " (version {}), {} joined, {} travellers here", household.version, household.joined, household.travellers)?;
        }
        Ok(())
    }
}
