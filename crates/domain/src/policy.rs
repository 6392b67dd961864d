//! What makes a visit, and how long a screening counts: the policy, its file and its defaults.

mod file;

pub use file::{Fault, Faults, Kind, Wrong, from_toml};

use events::{DueHours, Level, Policy, Signal, SourceKind};

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
        assert_eq!(zone_level(&policy, None), None);
    }
}
