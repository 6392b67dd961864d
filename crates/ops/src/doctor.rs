//! `ops doctor`: what stands in the way of a site's work, and what to do about it: topics that are kept otherwise than they must be,
//! mandates without keys or registry, partitions without an owner, dead letters.
//!
//! It reads the log as the other reports do. Of keys it is told for which mandates there are any; it opens none.

use crate::scan::{self, Scan, Span};
use crate::{OpsError, dlq, now};
use domain::Clock;
use domain::mandate::in_force;
use eventlog::{Log, TopicInfo, site_topics};
use events::time::HOUR_MS;
use events::topics::{HOUSEHOLDS, TASKS, TRAVELLERS, split_key};
use events::{Mandate, MandateState};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// A running owner writes its position at least once a minute: after so long it has none.
const OWNERLESS_AFTER_MS: i64 = HOUR_MS;

/// What was found. Nothing: all that this command can see is as it must be.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// In the order in which they should be dealt with.
    pub findings: Vec<Finding>,
    /// There are none.
    pub healthy: bool,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What kind of thing: `topic`, `mandate`, `keys`, `owner`, `dead_letters`.
    pub kind: &'static str,
    /// Which one.
    pub about: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// What the caller knows beside the log.
pub struct Known {
    /// The mandates that are believed, also those that are over.
    pub mandates: Vec<Arc<Mandate>>,
    /// Those whose keys open here; or why none do.
    pub keys: Result<BTreeSet<String>, String>,
    /// Partitions of every keyed topic, as the site's configuration has them.
    pub partitions: i32,
    /// With the clock of events the dates of mandates say nothing about now.
    pub clock: Clock,
}

/// Looks at everything.
///
/// # Errors
/// The log is away.
pub async fn doctor(log: &Arc<dyn Log>, known: &Known) -> Result<Diagnosis, OpsError> {
    let mut findings = Vec::new();
    let found = log.topics().await?;
    topics(&found, known.partitions, &mut findings);
    mandates(log, known, &mut findings).await?;
    owners(log, &found, &mut findings).await?;
    for topic in dlq::list(log).await?.topics.into_iter().filter(|topic| topic.letters > 0) {
        let what = format!("{} letters that nobody has dealt with", topic.letters);
        findings.push(finding("dead_letters", topic.name, what, "look at their reasons: oneknock ops dlq list"));
    }
    Ok(Diagnosis { healthy: findings.is_empty(), findings })
}

fn finding(kind: &'static str, about: impl Into<String>, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { kind, about: about.into(), what: what.into(), next: next.into() }
}

/// Whether each of the site's topics is there, in as many partitions as the others, and kept as it must be.
fn topics(found: &[TopicInfo], partitions: i32, findings: &mut Vec<Finding>) {
    for expected in site_topics(partitions) {
        let Some(info) = found.iter().find(|info| info.name == expected.name) else {
            findings.push(finding("topic", expected.name, "is not there", "oneknock run creates it"));
            continue;
        };
        if info.partitions != partitions {
            let what = format!("has {} partitions; expected {partitions}: equal keys must meet in one process", info.partitions);
            let next = "set log.partitions to what the topics have, the same for all; a topic cannot have fewer later";
            findings.push(finding("topic", &info.name, what, next));
        }
        // What the log does not tell of is not known to be wrong.
        for (name, value) in &expected.settings {
            if let Some((_, found)) = info.settings.iter().find(|(key, found)| key == name && found != value) {
                let next = format!("set it back: {name}={value}");
                findings.push(finding("topic", &info.name, format!("{name} is {found}; expected {value}"), next));
            }
        }
    }
}

/// Whether there is one in force, and each of those has keys and a registry.
async fn mandates(log: &Arc<dyn Log>, known: &Known, findings: &mut Vec<Finding>) -> Result<(), OpsError> {
    let now = now();
    let dates_count = known.clock == Clock::Wall;
    let is_over = |one: &Mandate| one.state != MandateState::Open || dates_count && one.valid_until <= now;
    let open: Vec<&Arc<Mandate>> = known.mandates.iter().filter(|one| !is_over(one)).collect();
    if open.iter().all(|one| dates_count && !in_force(one, now)) {
        let what = "none is in force: nothing is taken and nothing is shown";
        findings.push(finding("mandate", "site", what, "have one signed by two signers, then: oneknock mandate open FILE"));
    }
    if let Err(why) = &known.keys {
        findings.push(finding("keys", "site", why, "put the keys and their password back; what needs them waits"));
    }
    let registered = households(log).await?;
    for mandate in open {
        let id = &mandate.id;
        if known.keys.as_ref().is_ok_and(|keys| !keys.contains(id)) {
            let next = "put their file back from a copy, or see oneknock keys list; events for it wait";
            findings.push(finding("keys", id, "the keys of this mandate do not open here", next));
        }
        if !registered.contains_key(id) {
            let next = format!("oneknock registry import --mandate {id} --grids G.csv --households H.csv --residents R.csv");
            findings.push(finding("mandate", id, "no registry is published for it: its events wait as unresolved", next));
        }
    }
    Ok(())
}

/// Whether somebody writes each partition that needs an owner.
async fn owners(log: &Arc<dyn Log>, found: &[TopicInfo], findings: &mut Vec<Finding>) -> Result<(), OpsError> {
    let now = now();
    for topic in [TRAVELLERS, TASKS] {
        if found.iter().all(|info| info.name != topic) {
            continue;
        }
        for span in scan::spans(log, topic).await? {
            let last = Span { first: span.first.max(span.end - 1), ..span };
            let mut scan = Scan::new(log, topic, &[last]).await?;
            let mut newest = None;
            while let Some(batch) = scan.next().await? {
                newest = newest.max(batch.records.iter().map(|record| record.timestamp).max());
            }
            let about = format!("{topic}/{}", span.partition);
            let next = "start a router, and see its log: oneknock run --role router";
            match newest {
                None => findings.push(finding("owner", about, "never had an owner: nothing that falls into it is decided", next)),
                Some(at) if now.0 - at > OWNERLESS_AFTER_MS => {
                    let what = format!("has had no owner for {} hours: nothing that falls into it is decided", (now.0 - at) / HOUR_MS);
                    findings.push(finding("owner", about, what, next));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.healthy {
            return writeln!(f, "nothing is wrong that can be seen from here: topics, mandates, keys, registries, owners, dead letters");
        }
        for finding in &self.findings {
            writeln!(f, "{} {}: {}", finding.kind, finding.about, finding.what)?;
            writeln!(f, "  next: {}", finding.next)?;
        }
        Ok(())
    }
}

/// How many households are published, by mandate; a mandate without any is not there.
///
/// # Errors
/// The log is away.
pub async fn households(log: &Arc<dyn Log>) -> Result<HashMap<String, usize>, OpsError> {
    let mut there = HashSet::new();
    let mut scan = Scan::new(log, HOUSEHOLDS, &scan::spans(log, HOUSEHOLDS).await?).await?;
    while let Some(batch) = scan.next().await? {
        for record in batch.records {
            if record.value.is_some() {
                there.insert(record.key)
            } else {
                there.remove(&record.key)
            };
        }
    }
    let mut counts = HashMap::new();
    for (mandate, _) in there.iter().filter_map(|key| split_key(std::str::from_utf8(key).ok()?)) {
        *counts.entry(mandate.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
