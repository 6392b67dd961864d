//! `ops ledger`: nothing vanishes. Over the last 28 days by append time, every accepted event has exactly one newest decision, and no
//! decision speaks of an event that nobody accepted.
//!
//! Some 50 bytes for each event and no text: a site of half a million events a day is counted in 700 MB.

use crate::scan::{self, Scan, Span};
use crate::{OpsError, now};
use eventlog::schemas::Schemas;
use eventlog::{Log, Record};
use events::topics::{CHECKPOINT, DECISIONS, HIGHWAY, TELECOM};
use events::{CheckpointPassage, Code, Decision, EventId, HighwayEntrance, Millis, TelecomMovement, Text, time};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// How far back the books go, in milliseconds.
pub const WINDOW_MS: i64 = 28 * time::DAY_MS;
/// Most open minutes that are listed, newest first.
const OPEN_MINUTES_MAX: usize = 100;
const MINUTE_MS: i64 = 60_000;

/// The books.
#[derive(Debug, Serialize)]
pub struct Ledger {
    /// Distinct event ids in `events.*`.
    pub accepted: u64,
    /// Of those, without a decision.
    pub undecided: u64,
    /// Of the undecided, those that have stood there for a minute or more: what is not merely under way.
    pub overdue: u64,
    /// Newest decisions of those, by code; every code is named.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Accepted equals the sum of decisions, and nothing is undecided.
    pub closed: bool,
    /// From when on, by append time; RFC 3339.
    pub since: String,
    /// Events that have decisions, all of them in the window, and stand in no topic: 0, or something is wrong.
    pub unknown: u64,
    /// Values in `events.*` that cannot be read: no gateway wrote them, and nobody accepted them.
    pub unreadable: u64,
    /// The same by source.
    pub by_source: BTreeMap<String, SourceLine>,
    /// Where something is undecided: by source and minute, newest first, at most 100.
    pub open: Vec<OpenMinute>,
}

/// One source's part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceLine {
    /// Distinct event ids.
    pub accepted: u64,
    /// Of those, without a decision.
    pub undecided: u64,
    /// By code; those that occur.
    pub decisions: BTreeMap<&'static str, u64>,
}

/// A minute of one source that does not close.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OpenMinute {
    /// The source.
    pub source: String,
    /// The minute, by append time; RFC 3339.
    pub minute: String,
    /// Distinct event ids.
    pub accepted: u64,
    /// Of those, without a decision.
    pub undecided: u64,
}

/// One distinct event, and the newest that was said of it.
struct Line {
    id: [u8; 16],
    minute: i32,
    source: u16,
    /// Appended within the window.
    counts: bool,
    code: Option<Code>,
    revision: i64,
}

/// Makes the report. What is appended while it is made may or may not be in it, but an event is never taken for undecided whose
/// decision stood in the log when the report was begun.
///
/// # Errors
/// The log is away, or a topic is missing.
pub async fn ledger(log: &Arc<dyn Log>, schemas: &Schemas) -> Result<Ledger, OpsError> {
    ledger_at(log, schemas, None, now()).await
}

/// The same of one mandate's events. Decisions about others are none of its business, so that nothing is `unknown` here; what is
/// `unreadable` may have been of any.
///
/// # Errors
/// As `ledger`.
pub async fn ledger_of(log: &Arc<dyn Log>, schemas: &Schemas, mandate: &str) -> Result<Ledger, OpsError> {
    ledger_at(log, schemas, Some(mandate), now()).await
}

/// Of all mandates or one, as of a moment.
async fn ledger_at(log: &Arc<dyn Log>, schemas: &Schemas, of: Option<&str>, at: Millis) -> Result<Ledger, OpsError> {
    let since = at.0 - WINDOW_MS;
    let mut sources = Vec::new();
    let mut unreadable = 0;
    let mut lines = Vec::new();
    let mut read_until = Vec::new();
    for topic in [CHECKPOINT, HIGHWAY, TELECOM] {
        let spans = scan::spans(log, topic).await?;
        unreadable += events(log, schemas, topic, &spans, (of, since), &mut sources, &mut lines).await?;
        read_until.push((topic, spans));
    }
    lines.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(b.counts.cmp(&a.counts)).then(a.minute.cmp(&b.minute)));
    lines.dedup_by(|later, first| later.id == first.id);

    let decided = scan::spans(log, DECISIONS).await?;
    let mut unknown = HashSet::new();
    let mut scan = Scan::new(log, DECISIONS, &decided).await?;
    while let Some(batch) = scan.next().await? {
        for record in &batch.records {
            let Ok(decision) = schemas.decode::<Decision>(record).await else { continue };
            match lines.binary_search_by(|line| line.id.cmp(&decision.event_id.0)) {
                Ok(at) if lines[at].code.is_none() || lines[at].revision <= decision.revision => {
                    (lines[at].code, lines[at].revision) = (Some(decision.code), decision.revision);
                }
                Ok(_) => {}
                Err(_) if of.is_none() && record.timestamp >= since => _ = unknown.insert(decision.event_id.0),
                Err(_) => {}
            }
        }
    }
    explain(log, schemas, &mut unknown, &read_until, &decided, since).await?;
    Ok(summary(&lines, &sources, unreadable, unknown.len() as u64, at))
}

/// Adds the events of one topic; returns how many values are unreadable.
async fn events(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    topic: &str,
    spans: &[Span],
    (of, since): (Option<&str>, i64),
    sources: &mut Vec<String>,
    lines: &mut Vec<Line>,
) -> Result<u64, OpsError> {
    let mut unreadable = 0;
    let mut scan = Scan::new(log, topic, spans).await?;
    while let Some(batch) = scan.next().await? {
        for record in &batch.records {
            let Some((id, source, mandate)) = head(schemas, topic, record).await else {
                unreadable += 1;
                continue;
            };
            if of.is_some_and(|of| mandate != of) {
                continue;
            }
            let known = sources.iter().position(|name| *name == source);
            let source = known.unwrap_or_else(|| {
                sources.push(source.into());
                sources.len() - 1
            });
            let minute = i32::try_from(record.timestamp.div_euclid(MINUTE_MS)).unwrap_or(i32::MAX);
            let source = u16::try_from(source).unwrap_or(u16::MAX);
            lines.push(Line { id: id.0, minute, source, counts: record.timestamp >= since, code: None, revision: i64::MIN });
        }
    }
    Ok(unreadable)
}

/// Event id, source and mandate, where the value can be read.
async fn head(schemas: &Schemas, topic: &str, record: &Record) -> Option<(EventId, Text, Text)> {
    match topic {
        CHECKPOINT => schemas.decode::<CheckpointPassage>(record).await.ok().map(|event| (event.event_id, event.source, event.mandate)),
        HIGHWAY => schemas.decode::<HighwayEntrance>(record).await.ok().map(|event| (event.event_id, event.source, event.mandate)),
        _ => schemas.decode::<TelecomMovement>(record).await.ok().map(|event| (event.event_id, event.source, event.mandate)),
    }
}

/// Takes out what has a good reason: its event came after the events were read, or was forgotten long after it was first decided.
async fn explain(
    log: &Arc<dyn Log>,
    schemas: &Schemas,
    unknown: &mut HashSet<[u8; 16]>,
    read_until: &[(&str, Vec<Span>)],
    decided: &[Span],
    since: i64,
) -> Result<(), OpsError> {
    for (topic, spans) in read_until {
        if unknown.is_empty() {
            return Ok(());
        }
        let now = scan::spans(log, topic).await?;
        let newer: Vec<Span> = now.iter().zip(spans).map(|(now, then)| Span { first: then.end.max(now.first), ..*now }).collect();
        let mut scan = Scan::new(log, topic, &newer).await?;
        while let Some(batch) = scan.next().await? {
            for record in &batch.records {
                if let Some((id, ..)) = head(schemas, topic, record).await {
                    unknown.remove(&id.0);
                }
            }
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let mut scan = Scan::new(log, DECISIONS, decided).await?;
    while let Some(batch) = scan.next().await? {
        for record in batch.records.iter().filter(|record| record.timestamp < since) {
            if let Ok(decision) = schemas.decode::<Decision>(record).await {
                unknown.remove(&decision.event_id.0);
            }
        }
    }
    Ok(())
}

fn summary(lines: &[Line], sources: &[String], unreadable: u64, unknown: u64, at: Millis) -> Ledger {
    let this_minute = i32::try_from(at.0.div_euclid(MINUTE_MS)).unwrap_or(i32::MAX);
    let mut decisions: BTreeMap<&'static str, u64> = Code::ALL.iter().map(|code| (code.as_str(), 0)).collect();
    let mut by_source: BTreeMap<String, SourceLine> = BTreeMap::new();
    let mut minutes: BTreeMap<(i32, u16), (u64, u64)> = BTreeMap::new();
    let (mut accepted, mut undecided, mut overdue) = (0, 0, 0);
    let name = |source: u16| sources.get(usize::from(source)).cloned().unwrap_or_default();
    for line in lines.iter().filter(|line| line.counts) {
        accepted += 1;
        let source = by_source.entry(name(line.source)).or_default();
        source.accepted += 1;
        let minute = minutes.entry((line.minute, line.source)).or_default();
        minute.0 += 1;
        match line.code {
            Some(code) => {
                *decisions.entry(code.as_str()).or_default() += 1;
                *source.decisions.entry(code.as_str()).or_default() += 1;
            }
            None => {
                undecided += 1;
                // In the minute before this one it may be younger than a minute.
                overdue += u64::from(line.minute < this_minute - 1);
                source.undecided += 1;
                minute.1 += 1;
            }
        }
    }
    let open = |((minute, source), (accepted, undecided)): (&(i32, u16), &(u64, u64))| OpenMinute {
        source: name(*source),
        minute: time::format(Millis(i64::from(*minute) * MINUTE_MS)),
        accepted: *accepted,
        undecided: *undecided,
    };
    let decided: u64 = decisions.values().sum();
    Ledger {
        accepted,
        undecided,
        overdue,
        closed: undecided == 0 && unknown == 0 && accepted == decided,
        decisions,
        since: time::format(Millis(at.0 - WINDOW_MS)),
        unknown,
        unreadable,
        by_source,
        open: minutes.iter().rev().filter(|(_, counts)| counts.1 > 0).take(OPEN_MINUTES_MAX).map(open).collect(),
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "since {}", self.since)?;
        writeln!(f, "accepted   {:>12}", self.accepted)?;
        for (code, count) in self.decisions.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "  {code:<14} {count:>6}")?;
        }
        writeln!(f, "undecided  {:>12}", self.undecided)?;
        if self.unknown > 0 {
            writeln!(f, "decided, but never accepted {:>3}", self.unknown)?;
        }
        if self.unreadable > 0 {
            writeln!(f, "unreadable {:>12}", self.unreadable)?;
        }
        for minute in self.open.iter().take(10) {
            writeln!(f, "open: {} {} ({} of {} undecided)", minute.minute, minute.source, minute.undecided, minute.accepted)?;
        }
        writeln!(f, "{}", if self.closed { "closed" } else { "NOT CLOSED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_undecided_but_not_overdue() {
        let at = Millis(100 * MINUTE_MS + 1);
        let line = |minute: i64, code| Line { id: [0; 16], minute: minute as i32, source: 0, counts: true, code, revision: 0 };
        let books = |lines: &[Line]| summary(lines, &["s".to_owned()], 0, 0, at);
        for (minute, overdue) in [(100, 0), (99, 0), (98, 1), (1, 1)] {
            let ledger = books(&[line(minute, None), line(minute, Some(Code::Held))]);
            assert_eq!((ledger.accepted, ledger.undecided, ledger.overdue, ledger.closed), (2, 1, overdue, false), "minute {minute}");
            assert_eq!(
                ledger.open[0],
                OpenMinute { source: "s".into(), minute: time::format(Millis(minute * MINUTE_MS)), accepted: 2, undecided: 1 }
            );
        }
    }
}
