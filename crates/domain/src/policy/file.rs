//! A policy file: read whole, so that everything that is wrong with it is said at once, each with its line, what stands there and what
//! was expected. What a key means is said in `policy.rs`.

use super::default_policy;
use events::{DueHours, Level, Policy, SourceKind, Zone};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Hours that window and grace may last together: an outcome is taken for so long.
const TOGETHER_HOURS_MAX: i64 = 28 * 24;
/// Digits of a division's code.
const DIVISION_DIGITS_MAX: usize = 12;

const KEYS: &[&str] = &[
    "window_days",
    "grace_hours",
    "weak_sources",
    "rescreen_when_risk_rises",
    "retry_hours",
    "attempts_max",
    "match",
    "due_hours",
    "zones",
];
const LEVELS: &[&str] = &["high", "medium", "low"];
const MATCHES: &[&str] = &["all", "low", "medium", "high"];
const SOURCES: &[&str] = &["checkpoint", "highway", "telecom"];

/// One thing that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The key, with its table: `due_hours.high`; empty where the text is no TOML.
    pub key: String,
    /// What.
    pub wrong: Wrong,
}

/// What is wrong. In words by `Display`, or in others by whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The text is no TOML; what its reader says.
    Syntax(String),
    /// Nobody knows this key.
    UnknownKey {
        /// The ones that may stand here.
        expected: &'static [&'static str],
    },
    /// A value of another kind.
    OfKind {
        /// Which.
        expected: Kind,
        /// What stands there.
        found: Kind,
    },
    /// A number outside its range.
    Number {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
        /// What stands there.
        found: String,
    },
    /// A word that means nothing here.
    Word {
        /// The ones that do.
        expected: &'static [&'static str],
        /// What stands there.
        found: String,
    },
    /// It stands there already.
    Twice {
        /// In this line.
        first_line: usize,
    },
    /// No division's code, nor the beginning of one: 1 to 12 digits.
    Division {
        /// What stands there.
        found: String,
    },
    /// Window and grace together are longer than an outcome is waited for.
    TooLong {
        /// Their sum in hours.
        found: i64,
        /// The most.
        most: i64,
    },
    /// A higher level must be due no later than a lower one.
    DueLater {
        /// Hours for high, medium and low as they would be.
        found: [i64; 3],
    },
}

/// Kinds of values in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Float,
    /// True or false.
    Boolean,
    /// A date or a time.
    Moment,
    /// A list.
    List,
    /// A table.
    Table,
}

impl Kind {
    fn of(value: &DeValue<'_>) -> Kind {
        match value {
            DeValue::String(_) => Kind::Text,
            DeValue::Integer(_) => Kind::Integer,
            DeValue::Float(_) => Kind::Float,
            DeValue::Boolean(_) => Kind::Boolean,
            DeValue::Datetime(_) => Kind::Moment,
            DeValue::Array(_) => Kind::List,
            DeValue::Table(_) => Kind::Table,
        }
    }
}

/// Everything that is wrong with a policy file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

/// Reads a policy file. `version` is the moment of its application, in milliseconds.
///
/// # Errors
/// All that is wrong with it.
pub fn from_toml(text: &str, version: i64) -> Result<Policy, Faults> {
    let (table, unreadable) = DeTable::parse_recoverable(text);
    let mut reading = Reading { text, faults: Vec::new() };
    for error in &unreadable {
        let at = error.span().map_or(0, |span| span.start);
        reading.fault(at, String::new(), Wrong::Syntax(error.message().to_owned()));
    }
    // What follows a broken line may be read as something else than was meant: nothing is said of it.
    let policy = if unreadable.is_empty() { reading.policy(table.get_ref(), version) } else { default_policy() };
    if reading.faults.is_empty() {
        return Ok(policy);
    }
    reading.faults.sort_by_key(|fault| fault.line);
    Err(Faults(reading.faults))
}

type Value<'a, 'i> = Option<&'a Spanned<DeValue<'i>>>;

/// A file while it is read.
struct Reading<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn fault(&mut self, at: usize, key: impl Into<String>, wrong: Wrong) {
        let line = self.line(at);
        self.faults.push(Fault { line, key: key.into(), wrong });
    }

    fn of_kind(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: Kind) {
        let found = Kind::of(value.get_ref());
        self.fault(value.span().start, key, Wrong::OfKind { expected, found });
    }

    fn policy(&mut self, table: &DeTable<'_>, version: i64) -> Policy {
        let defaults = default_policy();
        self.known_keys(table, "", KEYS);
        let faults_before = self.faults.len();
        let window_days = self.number(table.get("window_days"), "window_days", 1, 28, defaults.window_days);
        let grace_hours = self.number(table.get("grace_hours"), "grace_hours", 0, TOGETHER_HOURS_MAX, defaults.grace_hours);
        let together = i64::from(window_days) * 24 + i64::from(grace_hours);
        if self.faults.len() == faults_before && together > TOGETHER_HOURS_MAX {
            let at = self.last_of(&[table.get("window_days"), table.get("grace_hours")]);
            self.fault(at, "window_days, grace_hours", Wrong::TooLong { found: together, most: TOGETHER_HOURS_MAX });
        }
        let match_ = table.get("match").and_then(|value| self.word(value, "match", MATCHES));
        Policy {
            version,
            window_days,
            grace_hours,
            weak_sources: self.weak_sources(table.get("weak_sources")).unwrap_or(defaults.weak_sources),
            rescreen_when_risk_rises: self.flag(table.get("rescreen_when_risk_rises")).unwrap_or(defaults.rescreen_when_risk_rises),
            retry_hours: self.number(table.get("retry_hours"), "retry_hours", 1, 672, defaults.retry_hours),
            attempts_max: self.number(table.get("attempts_max"), "attempts_max", 1, 100, defaults.attempts_max),
            zones: self.zones(table.get("zones")),
            // "all" is no level.
            least_level: match_.and_then(|word| Level::parse(&word)),
            due_hours: self.due_hours(table.get("due_hours"), defaults.due_hours),
        }
    }

    fn known_keys(&mut self, table: &DeTable<'_>, of: &str, expected: &'static [&'static str]) {
        for (key, _) in table.iter().filter(|(key, _)| !expected.contains(&key.get_ref().as_ref())) {
            self.fault(key.span().start, format!("{of}{}", key.get_ref()), Wrong::UnknownKey { expected });
        }
    }

    fn number(&mut self, value: Value<'_, '_>, key: &str, least: i32, most: impl Into<i64>, default: i32) -> i32 {
        let Some(value) = value else { return default };
        let DeValue::Integer(number) = value.get_ref() else {
            self.of_kind(key, value, Kind::Integer);
            return default;
        };
        let (least, most) = (i64::from(least), most.into());
        let found = i64::from_str_radix(number.as_str(), number.radix());
        if let Ok(found) = found.as_ref().map_err(|_| ()).and_then(|found| i32::try_from(*found).map_err(|_| ()))
            && (least..=most).contains(&i64::from(found))
        {
            return found;
        }
        let found = self.text.get(value.span()).unwrap_or_default().to_owned();
        self.fault(value.span().start, key, Wrong::Number { least, most, found });
        default
    }

    fn flag(&mut self, value: Value<'_, '_>) -> Option<bool> {
        let value = value?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.of_kind("rescreen_when_risk_rises", value, Kind::Boolean);
        }
        flag
    }

    fn word(&mut self, value: &Spanned<DeValue<'_>>, key: &str, expected: &'static [&'static str]) -> Option<String> {
        let Some(word) = value.get_ref().as_str() else {
            self.of_kind(key, value, Kind::Text);
            return None;
        };
        if expected.contains(&word) {
            return Some(word.to_owned());
        }
        self.fault(value.span().start, key, Wrong::Word { expected, found: word.to_owned() });
        None
    }

    fn weak_sources(&mut self, value: Value<'_, '_>) -> Option<Vec<SourceKind>> {
        let value = value?;
        let Some(list) = value.get_ref().as_array() else {
            self.of_kind("weak_sources", value, Kind::List);
            return None;
        };
        let mut kinds: Vec<(SourceKind, usize)> = Vec::new();
        for item in list.iter() {
            let Some(kind) = self.word(item, "weak_sources", SOURCES).and_then(|word| SourceKind::parse(&word)) else { continue };
            let line = self.line(item.span().start);
            match kinds.iter().find(|(known, _)| *known == kind) {
                Some((_, first_line)) => self.fault(item.span().start, "weak_sources", Wrong::Twice { first_line: *first_line }),
                None => kinds.push((kind, line)),
            }
        }
        Some(kinds.into_iter().map(|(kind, _)| kind).collect())
    }

    fn table<'a, 'i>(&mut self, value: Value<'a, 'i>, key: &str) -> Option<&'a DeTable<'i>> {
        let value = value?;
        if value.get_ref().as_table().is_none() {
            self.of_kind(key, value, Kind::Table);
        }
        value.get_ref().as_table()
    }

    fn zones(&mut self, value: Value<'_, '_>) -> Vec<Zone> {
        let mut zones: Vec<(Zone, usize)> = Vec::new();
        let mut rows: Vec<_> = self.table(value, "zones").into_iter().flat_map(|table| table.iter()).collect();
        // In the file's order: the second of two is the one too many.
        rows.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in rows {
            let (at, written) = (key.span().start, key.get_ref());
            let level = self.word(value, &format!("zones.{written}"), LEVELS).and_then(|word| Level::parse(&word));
            let division = normal_division(written);
            let is_code = (1..=DIVISION_DIGITS_MAX).contains(&division.len()) && division.bytes().all(|byte| byte.is_ascii_digit());
            if !is_code {
                self.fault(at, format!("zones.{written}"), Wrong::Division { found: written.to_string() });
            } else if let Some((_, first_line)) = zones.iter().find(|(zone, _)| *zone.division == *division) {
                self.fault(at, format!("zones.{written}"), Wrong::Twice { first_line: *first_line });
            } else if let Some(level) = level {
                let line = self.line(at);
                zones.push((Zone { division: division.as_str().into(), level }, line));
            }
        }
        let mut zones: Vec<Zone> = zones.into_iter().map(|(zone, _)| zone).collect();
        zones.sort_by(|one, other| one.division.cmp(&other.division));
        zones
    }

    fn due_hours(&mut self, value: Value<'_, '_>, defaults: DueHours) -> DueHours {
        let Some(table) = self.table(value, "due_hours") else { return defaults };
        self.known_keys(table, "due_hours.", LEVELS);
        let faults_before = self.faults.len();
        let mut hours = |level: &str, default| self.number(table.get(level), &format!("due_hours.{level}"), 1, TOGETHER_HOURS_MAX, default);
        let due =
            DueHours { high: hours("high", defaults.high), medium: hours("medium", defaults.medium), low: hours("low", defaults.low) };
        if self.faults.len() == faults_before && !(due.high <= due.medium && due.medium <= due.low) {
            let at = self.last_of(&LEVELS.iter().map(|level| table.get(*level)).collect::<Vec<_>>());
            self.fault(at, "due_hours", Wrong::DueLater { found: [due.high, due.medium, due.low].map(i64::from) });
        }
        due
    }

    /// Where the last of these stands: the reader has seen the others.
    fn last_of(&self, values: &[Value<'_, '_>]) -> usize {
        let start = |value: &&Spanned<DeValue<'_>>| -> usize {
            let Range { start, .. } = value.span();
            start
        };
        values.iter().flatten().map(start).max().unwrap_or_default()
    }
}

/// A division as it is compared: without white space, in ASCII digits.
fn normal_division(written: &str) -> String {
    let ascii = |letter: char| match letter {
        '０'..='９' => char::from_digit(u32::from(letter) - u32::from('０'), 10).unwrap_or(letter),
        other => other,
    };
    written.chars().filter(|letter| !letter.is_whitespace()).map(ascii).collect()
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}line {}: {fault}", fault.line)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}", self.wrong),
            key => write!(f, "{key}: {}", self.wrong),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Syntax(what) => write!(f, "no TOML: {what}"),
            Wrong::UnknownKey { expected } => write!(f, "unknown key; expected one of {}", expected.join(", ")),
            Wrong::OfKind { expected, found } => write!(f, "expected {expected}, found {found}"),
            Wrong::Number { least, most, found } => write!(f, "expected an integer from {least} to {most}, found {found}"),
            Wrong::Word { expected, found } => write!(f, "expected {}, found \"{found}\"", alternatives(expected, " or ")),
            Wrong::Twice { first_line } => write!(f, "stands there already, in line {first_line}; expected once"),
            Wrong::Division { found } => write!(f, "expected a division's code or its beginning, 1 to 12 digits, found \"{found}\""),
            Wrong::TooLong { found, most } => write!(f, "expected together at most {most} hours (28 days), found {found}"),
            Wrong::DueLater { found: [high, medium, low] } => {
                write!(f, "expected high <= medium <= low, found {high}, {medium}, {low}")
            }
        }
    }
}

/// Words in quotes.
fn alternatives(words: &[&str], between: &str) -> Cow<'static, str> {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(between).into()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Text => "a string",
            Kind::Integer => "an integer",
            Kind::Float => "a number with a fraction",
            Kind::Boolean => "true or false",
            Kind::Moment => "a date or time",
            Kind::List => "a list",
            Kind::Table => "a table",
        })
    }
}
