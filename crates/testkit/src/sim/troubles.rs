//! What rules the city, and how that changes: policies with zones of several levels, the mandate's dates, grids inside and outside.

use super::script::{MANDATE, What};
use crate::given;
use events::time::{DAY_MS, HOUR_MS};
use events::{DueHours, Level, Mandate, MandateState, Millis, Policy, SourceKind, Zone};
use rand::Rng;
use rand::rngs::SmallRng;

/// Divisions of recent stay: the first three are in a zone, the longer one of another level than its prefix; the last two in none.
pub(super) const ORIGINS: &[&str] = &["4201", "420106", "5101", "3101", "3501"];
/// Divisions of grids: the mandate names the prefix of the first two.
pub(super) const INSIDE: &[&str] = &["330106", "330107"];
/// A division that the mandate does not name.
pub(super) const OUTSIDE: &str = "330206";

/// A policy: the default one with zones, or one that somebody has turned.
pub(super) fn policy(random: &mut SmallRng, at: Millis, turned: bool) -> Policy {
    let mut high = Level::High;
    let mut policy = domain::policy::default_policy();
    policy.version = at.0;
    if turned {
        match random.random_range(0..6) {
            0 => policy.window_days = [7, 10, 21][random.random_range(0..3)],
            1 => policy.grace_hours = [24, 48, 120][random.random_range(0..3)],
            2 => policy.rescreen_when_risk_rises = false,
            3 => policy.weak_sources = [vec![], vec![SourceKind::Telecom, SourceKind::Highway]][random.random_range(0..2)].clone(),
            4 => policy.least_level = Some([Level::Low, Level::Medium][random.random_range(0..2)]),
            _ => high = Level::Medium,
        }
    }
    let zone = |division: &str, level| Zone { division: division.into(), level };
    policy.zones = vec![zone("42", Level::Medium), zone("420106", high), zone("51", Level::Low)];
    policy.due_hours = DueHours { high: 4, medium: 12, low: 24 };
    policy
}

/// The mandate, in force between these moments.
pub(super) fn mandate(version: i64, from: Millis, until: Millis, state: MandateState) -> Mandate {
    given::signed(Mandate {
        id: MANDATE.into(),
        version,
        title: String::new(),
        legal_basis: String::new(),
        issued_by: String::new(),
        purposes: vec!["p".into()],
        sources: vec!["*".into()],
        fields: vec!["*".into()],
        divisions: vec!["3301".into()],
        max_households: 1_000_000,
        valid_from: from,
        valid_until: until,
        state,
        ..given::mandate()
    })
}

/// What governs from the beginning, and what of it changes in these days. Says what is particular.
pub(super) fn plan(
    random: &mut SmallRng,
    from: Millis,
    days: i64,
    troubled: bool,
    mut note: impl FnMut(&'static str),
) -> Vec<(Millis, What)> {
    let (opens, closes) = (Millis(from.0 - 30 * DAY_MS), Millis(from.0 + (days + 60) * DAY_MS));
    let mut moment = || Millis(from.0 + random.random_range(DAY_MS..days.max(2) * DAY_MS));
    let (mut changes, end) = (Vec::new(), moment());
    let mut moments = [moment(), moment(), moment()];
    moments.sort_unstable();
    let turned = troubled && random.random_bool(0.3);
    changes.push((from, What::Policy(policy(random, from, turned))));
    let first = mandate(1, opens, closes, MandateState::Open);
    if !troubled {
        changes.push((from, What::Mandate(first)));
        return changes;
    }
    for moment in moments.iter().take(random.random_range(0..=3) / 2) {
        note("policy changes");
        changes.push((*moment, What::Policy(policy(random, *moment, true))));
    }
    let open = |version, until| What::Mandate(mandate(version, opens, until, MandateState::Open));
    match random.random_range(0..12) {
        0 => {
            note("mandate suspended and resumed");
            let pause = random.random_range(HOUR_MS..4 * DAY_MS);
            changes.push((from, open(1, closes)));
            changes.push((end, What::Mandate(mandate(2, opens, closes, MandateState::Suspended))));
            changes.push((Millis(end.0 + pause), open(3, closes)));
        }
        1 => {
            note("mandate ended");
            changes.push((from, open(1, closes)));
            changes.push((end, What::Mandate(mandate(2, opens, closes, MandateState::Ended))));
        }
        2 => {
            note("mandate runs out");
            changes.push((from, open(1, end)));
        }
        3 => {
            note("mandate renewed");
            changes.push((from, open(1, end)));
            changes.push((Millis(end.0 - 6 * HOUR_MS), open(2, closes)));
        }
        _ => changes.push((from, What::Mandate(first))),
    }
    changes
}
