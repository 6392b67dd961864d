//! `ops trace EVENT_ID`: why an event did or did not lead to a visit. Where it stands, what was said of it and by which row of the table
//! of codes, where its traveller is, how the visit of that household stands and came to stand, what answers the event, and what would
//! have to change. Kinds of identifiers, never their tokens; no address, no contact, no note, nobody's name.

mod find;
mod words;

use crate::OpsError;
use domain::household::{self, Context, Row};
use domain::mandate::{Book, Signers};
use domain::{Clock, policy};
use eventlog::Log;
use eventlog::schemas::Schemas;
use events::topics::{GRIDS, MANDATES, POLICIES, POLICY_KEY};
use events::{Code, EventId, GridEntry, Level, Mandate, Policy, SourceKind, Task, time};
use serde::Serialize;
use std::sync::Arc;

/// A key of a pseudo-household is cut to so many characters: it is a token.
const SHORTENED: usize = 9;

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
    /// The table of codes, asked of its signal as its household stands; null where that is not kept whole.
    pub asked: Option<AskedState>,
    /// Whether it led to a visit.
    pub led_to: LedTo,
    /// Row of the table of codes that the newest decision came from.
    pub row: Option<u8>,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedTo {
    /// It opened a visit.
    OwnVisit,
    /// It joined one.
    OtherVisit,
    /// None.
    NoVisit,
    /// Nothing was said yet.
    Undecided,
}

/// The table of codes, asked of one signal now.
#[derive(Debug, Serialize)]
pub struct AskedState {
    /// The level of its recent stay under the policy in force; null: in no zone.
    pub level: Option<&'static str>,
    /// Version of that policy.
    pub policy: i64,
    /// Until when it may count, exclusive; RFC 3339.
    pub counts_until: String,
    /// The open visit stands on it.
    pub is_evidence: bool,
    /// The screenings that might answer it.
    pub covers: Vec<CoverState>,
    /// Rows 4 to 12, in order. The first that applies is what it would be told now.
    pub table: Vec<RowState>,
}

/// A screening, and whether it answers the event.
#[derive(Debug, Serialize)]
pub struct CoverState {
    /// When the door was opened; RFC 3339.
    pub at: String,
    /// Until when it answers, exclusive; RFC 3339.
    pub until: String,
    /// The priority of the visit.
    pub level: &'static str,
    /// `household`, or `traveller` alone.
    pub of: &'static str,
    /// It answers the event.
    pub answers: bool,
    /// It would, had the risk not risen since.
    pub risk_has_risen: bool,
}

/// A row of the table of codes.
#[derive(Debug, Serialize)]
pub struct RowState {
    /// Its number.
    pub row: u8,
    /// What it says.
    pub code: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether it applies.
    pub applies: bool,
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
    /// Division of recent stay.
    pub origin_division: Option<String>,
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
    /// Row of the table of codes; null where its words do not tell.
    pub row: Option<u8>,
    /// The code.
    pub code: &'static str,
    /// Traveller's version times 65 536, plus the count.
    pub revision: i64,
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
    /// HIGH, MEDIUM or LOW.
    pub priority: &'static str,
    /// When it opened; RFC 3339.
    pub opened_at: Option<String>,
    /// When it is due; RFC 3339.
    pub due_at: Option<String>,
    /// Until when signals join it, exclusive; RFC 3339.
    pub ends_at: Option<String>,
    /// How it ended.
    pub outcome: Option<&'static str>,
    /// When the door was opened; RFC 3339.
    pub screened_at: Option<String>,
    /// Until when a screening answers; RFC 3339.
    pub covered_until: Option<String>,
    /// Signals that needed no visit of their own.
    pub joined: i64,
    /// How often nobody was at home.
    pub attempts: i32,
    /// On the supervisor's list.
    pub supervisor: bool,
    /// For supervisors alone.
    pub triage: bool,
    /// Travellers that are here.
    pub travellers: usize,
    /// Where it was, oldest first.
    pub grids: Vec<GridState>,
    /// Workers' actions that were answered, oldest first.
    pub answers: Vec<AnswerRecord>,
    /// The visit before.
    pub before: Option<BeforeState>,
    /// Whether this event's signal is kept whole here; with the code that was last said of it.
    pub signal: Option<Option<&'static str>>,
}

/// A grid that had the visit.
#[derive(Debug, Serialize)]
pub struct GridState {
    /// The grid.
    pub grid: String,
    /// Since when; RFC 3339.
    pub from: String,
}

/// The answer to a worker's action; whose it was is nobody's business here.
#[derive(Debug, Serialize)]
pub struct AnswerRecord {
    /// When; RFC 3339.
    pub at: String,
    /// HTTP status: 200, or why not.
    pub status: i32,
}

/// The visit before.
#[derive(Debug, Serialize)]
pub struct BeforeState {
    /// Its task.
    pub task_id: String,
    /// How it ended.
    pub state: &'static str,
    /// With what outcome.
    pub outcome: Option<&'static str>,
    /// Its last grid.
    pub grid: Option<String>,
    /// When it opened; RFC 3339.
    pub opened_at: String,
    /// When it ended; RFC 3339.
    pub ended_at: String,
}

/// Follows an event.
///
/// # Errors
/// [`OpsError::NoEvent`], or the log is away.
pub async fn trace(log: &Arc<dyn Log>, schemas: &Schemas, signers: &Signers, id: EventId) -> Result<Trace, OpsError> {
    let mut found = Vec::new();
    for kind in SourceKind::ALL {
        find::event_records(log, schemas, *kind, id, &mut found).await?;
    }
    found.sort_by(|a, b| a.0.place.appended_at.cmp(&b.0.place.appended_at));
    let decisions = find::decisions(log, schemas, id).await?;
    if found.is_empty() && decisions.is_empty() {
        return Err(OpsError::NoEvent(id));
    }
    let newest = decisions.iter().max_by_key(|decision| decision.revision);
    let code = newest.map(|decision| decision.code);
    // One that was said again may have lost its own words.
    let same = |decision: &&DecisionRecord| newest.is_some_and(|newest| newest.revision == decision.revision);
    let row = decisions.iter().filter(same).find_map(|decision| decision.row);
    let (mut traveller, mut household, mut asked) = (None, None, None);
    if let Some((key, mandate)) = found.last().and_then(|(_, event)| find::traveller_key(event))
        && let Some((state, place)) = find::traveller_state(log, schemas, &key).await?
    {
        traveller = Some(state);
        if let Some((stands, task)) = find::household(log, schemas, &mandate, &place).await? {
            asked = asked_state(log, schemas, signers, &mandate, &task, id).await?;
            household = Some(find::household_state(stands, &task, id));
        }
    }
    let led_to = match code.and_then(Code::parse) {
        None => LedTo::Undecided,
        Some(Code::Opened) => LedTo::OwnVisit,
        Some(Code::Joined) => LedTo::OtherVisit,
        Some(_) => LedTo::NoVisit,
    };
    let records = found.into_iter().map(|(record, _)| record).collect();
    Ok(Trace { event_id: id.to_string(), records, decisions, code, traveller, household, asked, led_to, row })
}

/// Asks as the household stands, by the tables of now.
async fn asked_state(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    signers: &Signers,
    mandate: &str,
    task: &Task,
    id: EventId,
) -> Result<Option<AskedState>, OpsError> {
    let policies = find::table::<Policy>(log, schemas, POLICIES, |_, _| true).await?;
    let mut book = Book::new(signers.clone());
    let mandates = find::table::<Mandate>(log, schemas, MANDATES, |key, mandate| book.judge(key, mandate).is_ok()).await?;
    let grids = find::table::<GridEntry>(log, schemas, GRIDS, |_, _| true).await?;
    let default = policy::default_policy();
    let policy = policies.get(POLICY_KEY).unwrap_or(&default);
    let (now, clock, mandate) = (crate::now(), Clock::Wall, mandates.get(mandate));
    let context = Context { now, clock, policy, mandate, entry: None, grids: &grids, settled: false };
    Ok(household::asked(task, id, &context).map(|asked| AskedState {
        level: asked.level.map(Level::as_str),
        policy: policy.version,
        counts_until: time::format(asked.counts_until),
        is_evidence: asked.is_evidence,
        covers: asked
            .covers
            .iter()
            .map(|one| CoverState {
                at: time::format(one.cover.at),
                until: time::format(one.cover.until),
                level: one.cover.level.as_str(),
                of: if one.of_household { "household" } else { "traveller" },
                answers: one.answers,
                risk_has_risen: one.risk_has_risen,
            })
            .collect(),
        table: asked.rows.iter().map(|(row, applies)| row_state(*row, *applies)).collect(),
    }))
}

fn row_state(row: Row, applies: bool) -> RowState {
    RowState { row: row.number(), code: row.code().as_str(), reason: row.reason(), applies }
}

/// A household as it is shown: of a pseudo-household not the whole token.
fn shortened(household: &str) -> String {
    match household.strip_prefix('~') {
        Some(_) => household.chars().take(SHORTENED).chain(['…']).collect(),
        None => household.to_owned(),
    }
}
