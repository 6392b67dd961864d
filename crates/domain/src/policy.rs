//! What makes a visit, and how long a screening counts: the policy, its file and its defaults.

use events::{DueHours, Level, Policy, Signal, SourceKind, Zone};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The policy where none was published.
pub fn default_policy() -> Policy {
    Policy {
        version: 0,
        window_days: 14,
        grace_hours: 72,
        weak_sources: vec![SourceKind::Telecom],
        rescreen_when_risk_rises: true,
        retry_hours: 20,
        attempts_max: 3,
        zones: vec![],
        least_level: None,
        due_hours: DueHours { high: 4, medium: 12, low: 24 },
    }
}

/// The default policy as `init` writes it.
pub const DEFAULT_TOML: &str = r#"# How long an episode and a screening last, and after how many hours an event is late. Together at most 28 days.
window_days = 14
grace_hours = 72
# Kinds that need a second signal, of another kind or day.
weak_sources = ["telecom"]
# A higher level than the screening's makes a new visit.
rescreen_when_risk_rises = true
# Nobody at home: due again after so many hours; after so many attempts the supervisor decides.
retry_hours = 20
attempts_max = 3
# The least level that makes a visit: all, low, medium or high.
match = "all"

# Hours until a visit is due.
[due_hours]
high = 4
medium = 12
low = 24

# Division prefix of recent stay = high, medium or low; the longest prefix wins.
[zones]
"#;

/// The level of recent stay; `None` where it lies in no zone.
pub fn zone_level(policy: &Policy, origin: Option<&str>) -> Option<Level> {
    let origin = origin?;
    let matching = policy.zones.iter().filter(|zone| origin.starts_with(zone.division.as_str()));
    matching.max_by_key(|zone| zone.division.len()).map(|zone| zone.level)
}

/// The level that a signal counts with.
pub fn signal_level(policy: &Policy, signal: &Signal) -> Option<Level> {
    zone_level(policy, signal.origin_division.as_deref())
}

/// Whether a level makes a visit.
pub fn matches(policy: &Policy, level: Option<Level>) -> bool {
    policy.least_level.is_none_or(|least| level.is_some_and(|level| level >= least))
}

/// Whether a kind of source needs a second signal.
pub fn is_weak(policy: &Policy, kind: SourceKind) -> bool {
    policy.weak_sources.contains(&kind)
}

/// Hours until a visit of this priority is due.
pub fn due_hours(policy: &Policy, priority: Level) -> i64 {
    i64::from(match priority {
        Level::High => policy.due_hours.high,
        Level::Medium => policy.due_hours.medium,
        Level::Low => policy.due_hours.low,
    })
}

/// A policy file that cannot be taken. Names key and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("policy: {0}")]
pub struct PolicyError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "fourteen")]
    window_days: i32,
    #[serde(default = "seventy_two")]
    grace_hours: i32,
    weak_sources: Option<Vec<String>>,
    rescreen_when_risk_rises: Option<bool>,
    retry_hours: Option<i32>,
    attempts_max: Option<i32>,
    #[serde(default)]
    zones: BTreeMap<String, String>,
    r#match: Option<String>,
    due_hours: Option<DueHoursFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DueHoursFile {
    high: Option<i32>,
    medium: Option<i32>,
    low: Option<i32>,
}

fn fourteen() -> i32 {
    14
}

fn seventy_two() -> i32 {
    72
}

fn level(key: &str, text: &str) -> Result<Level, PolicyError> {
    Level::parse(text).ok_or_else(|| PolicyError(format!("{key}: expected high, medium or low")))
}

/// Reads a policy file. `version` is the moment of its application, in milliseconds.
pub fn from_toml(text: &str, version: i64) -> Result<Policy, PolicyError> {
    let file: File = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
    let defaults = default_policy();
    if file.window_days < 1 || file.grace_hours < 0 || i64::from(file.window_days) * 24 + i64::from(file.grace_hours) > 28 * 24 {
        return Err(PolicyError("window_days and grace_hours: expected at least 1 day and 0 hours, together at most 28 days".into()));
    }
    let weak_sources = match file.weak_sources {
        None => defaults.weak_sources,
        Some(names) => names
            .iter()
            .map(|name| SourceKind::parse(name).ok_or_else(|| PolicyError("weak_sources: expected checkpoint, highway or telecom".into())))
            .collect::<Result<_, _>>()?,
    };
    let mut zones = Vec::new();
    for (division, name) in &file.zones {
        if division.is_empty() || division.len() > 12 || !division.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PolicyError("zones: expected a division prefix of 1 to 12 digits".into()));
        }
        zones.push(Zone { division: division.clone(), level: level("zones", name)? });
    }
    let least_level = match file.r#match.as_deref() {
        None | Some("all") => None,
        Some(name) => Some(Level::parse(name).ok_or_else(|| PolicyError("match: expected all, low, medium or high".into()))?),
    };
    let hours = file.due_hours.unwrap_or(DueHoursFile { high: None, medium: None, low: None });
    let due_hours = DueHours {
        high: hours.high.unwrap_or(defaults.due_hours.high),
        medium: hours.medium.unwrap_or(defaults.due_hours.medium),
        low: hours.low.unwrap_or(defaults.due_hours.low),
    };
    let ordered = 0 < due_hours.high && due_hours.high <= due_hours.medium && due_hours.medium <= due_hours.low;
    if !ordered || due_hours.low > 28 * 24 {
        return Err(PolicyError("due_hours: expected 0 < high <= medium <= low <= 672".into()));
    }
    let (retry_hours, attempts_max) =
        (file.retry_hours.unwrap_or(defaults.retry_hours), file.attempts_max.unwrap_or(defaults.attempts_max));
    if !(1..=672).contains(&retry_hours) || !(1..=100).contains(&attempts_max) {
        return Err(PolicyError("retry_hours and attempts_max: expected 1 to 672 and 1 to 100".into()));
    }
    let rescreen_when_risk_rises = file.rescreen_when_risk_rises.unwrap_or(defaults.rescreen_when_risk_rises);
    Ok(Policy {
        version,
        window_days: file.window_days,
        grace_hours: file.grace_hours,
        weak_sources,
        rescreen_when_risk_rises,
        retry_hours,
        attempts_max,
        zones,
        least_level,
        due_hours,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_the_default_policy() {
        assert_eq!(from_toml(DEFAULT_TOML, 0).unwrap(), default_policy());
    }

    #[test]
    fn the_longest_zone_wins() {
        let policy = from_toml("[zones]\n33 = \"low\"\n3301 = \"high\"\n", 0).unwrap();
        assert_eq!(zone_level(&policy, Some("330106")), Some(Level::High));
        assert_eq!(zone_level(&policy, Some("330206")), Some(Level::Low));
        assert_eq!(zone_level(&policy, Some("310000")), None);
    }

    #[test]
    fn absurd_values_are_refused_by_name() {
        for (text, named) in [
            ("window_days = 27", "window_days"),
            ("colour = 1", "colour"),
            ("match = \"some\"", "match"),
            ("[due_hours]\nhigh = 30", "due_hours"),
            ("[zones]\nab = \"high\"", "zones"),
            ("weak_sources = [\"radio\"]", "weak_sources"),
        ] {
            let error = from_toml(text, 0).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
