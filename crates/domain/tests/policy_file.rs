//! A policy file that cannot be taken says all that is wrong with it, by line, with what was found and what was expected; and what is
//! right is taken as it stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::policy::{Wrong, default_policy, from_toml};
use events::Level;

/// Lines and texts of what is wrong.
fn wrong(text: &str) -> Vec<(usize, String)> {
    let faults = from_toml(text, 0).expect_err(text).0;
    assert!(!faults.is_empty(), "{text}");
    faults.iter().map(|fault| (fault.line, fault.to_string())).collect()
}

/// What is wrong: the line, and what the words must hold.
const ABSURD: &[(&str, usize, &[&str])] = &[
    ("colour = 1", 1, &["colour", "unknown key", "window_days"]),
    ("\n[due_hours]\nurgent = 1", 3, &["due_hours.urgent", "unknown key", "high"]),
    ("window_days = 0", 1, &["window_days", "1 to 28", "found 0"]),
    ("window_days = 29", 1, &["window_days", "1 to 28", "found 29"]),
    ("window_days = 99999999999999999999", 1, &["window_days", "1 to 28", "found 99999999999999999999"]),
    ("window_days = \"14\"", 1, &["window_days", "expected an integer", "found a string"]),
    ("window_days = 1.5", 1, &["window_days", "expected an integer", "found a number with a fraction"]),
    ("grace_hours = -1", 1, &["grace_hours", "0 to 672", "found -1"]),
    ("window_days = 27\n\ngrace_hours = 25", 3, &["window_days, grace_hours", "672", "found 673"]),
    ("window_days = 26", 1, &["window_days, grace_hours", "found 696"]),
    ("weak_sources = \"telecom\"", 1, &["weak_sources", "expected a list", "found a string"]),
    ("weak_sources = [\n \"telecom\",\n \"radio\"]", 3, &["weak_sources", "\"checkpoint\"", "found \"radio\""]),
    ("weak_sources = [\n \"telecom\",\n \"telecom\"]", 3, &["weak_sources", "line 2"]),
    ("rescreen_when_risk_rises = 1", 1, &["rescreen_when_risk_rises", "true or false", "found an integer"]),
    ("retry_hours = 0", 1, &["retry_hours", "1 to 672", "found 0"]),
    ("attempts_max = 0", 1, &["attempts_max", "1 to 100", "found 0"]),
    ("attempts_max = 101", 1, &["attempts_max", "1 to 100", "found 101"]),
    ("match = \"some\"", 1, &["match", "\"all\"", "found \"some\""]),
    ("match = []", 1, &["match", "a string", "found a list"]),
    ("due_hours = 4", 1, &["due_hours", "a table", "found an integer"]),
    ("[due_hours]\nhigh = 0", 2, &["due_hours.high", "1 to 672", "found 0"]),
    ("[due_hours]\nhigh = 30", 2, &["due_hours", "high <= medium <= low", "found 30, 12, 24"]),
    ("[due_hours]\nlow = 8\nmedium = 9", 3, &["due_hours", "found 4, 9, 8"]),
    ("[zones]\nab = \"high\"", 2, &["zones.ab", "1 to 12 digits", "found \"ab\""]),
    ("[zones]\n\"\" = \"high\"", 2, &["zones.", "1 to 12 digits"]),
    ("[zones]\n1234567890123 = \"high\"", 2, &["zones.1234567890123", "1 to 12 digits"]),
    ("[zones]\n3301 = \"extreme\"", 2, &["zones.3301", "\"high\" or \"medium\" or \"low\"", "found \"extreme\""]),
    ("[zones]\n3301 = 1", 2, &["zones.3301", "a string", "found an integer"]),
    ("[zones]\n3301 = \"high\"\n\"３３０１\" = \"low\"", 3, &["zones.３３０１", "line 2"]),
    ("[zones]\n\"33 01\" = \"high\"\n3301 = \"high\"", 3, &["zones.3301", "line 2"]),
    ("window_days = 14\nwindow_days = 13", 2, &["duplicate key"]),
    ("window_days = 14\nmatch = ", 2, &["no TOML"]),
];

#[test]
fn what_is_absurd_is_named_by_line_with_what_was_found_and_expected() {
    for (text, line, named) in ABSURD {
        let found = wrong(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].0, *line, "{text}: {found:?}");
        for name in *named {
            assert!(found[0].1.contains(name), "{text}: {found:?} should name {name}");
        }
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let text = "window_days = 40\ncolour = 1\nmatch = \"some\"\nattempts_max = 0\n\n[zones]\nab = \"high\"\n3301 = \"up\"\n\n[due_hours]\nlow = 1\n";
    let lines: Vec<usize> = wrong(text).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 7, 8, 11]);
}

/// The null control: what stands at the very edge is taken, so that none of the above is refused for something else.
#[test]
fn what_is_just_right_is_taken() {
    for text in [
        "",
        "window_days = 28\ngrace_hours = 0",
        "window_days = 1\ngrace_hours = 648",
        "weak_sources = []",
        "weak_sources = [\"telecom\", \"highway\", \"checkpoint\"]",
        "attempts_max = 100\nretry_hours = 672",
        "[due_hours]\nhigh = 24\nmedium = 24\nlow = 24",
        "[due_hours]\nhigh = 1\nmedium = 1\nlow = 672",
        "[zones]\n1 = \"low\"\n123456789012 = \"high\"",
        "[zones]\n3301 = \"high\"\n330106 = \"high\"",
    ] {
        from_toml(text, 7).unwrap_or_else(|faults| panic!("{text}: {faults}"));
    }
    let policy = from_toml("window_days = 0x0e\nmatch = \"medium\"\n[zones]\n\" ３３０１ \" = \"high\"\n33 = \"low\"", 7).unwrap();
    assert_eq!((policy.version, policy.window_days, policy.least_level), (7, 14, Some(Level::Medium)));
    let zones: Vec<(&str, Level)> = policy.zones.iter().map(|zone| (zone.division.as_str(), zone.level)).collect();
    assert_eq!(zones, [("33", Level::Low), ("3301", Level::High)]);
    assert_eq!(from_toml("match = \"all\"", 0).unwrap(), default_policy());
}

#[test]
fn a_broken_line_hides_what_follows_and_is_said_alone() {
    let faults = from_toml("window_days = \nattempts_max = 0", 0).unwrap_err().0;
    assert!(faults.iter().all(|fault| matches!(fault.wrong, Wrong::Syntax(_))), "{faults:?}");
}
