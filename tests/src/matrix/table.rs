//! What everybody may, as a table: written down once more from the contract, and sharing nothing with the program that it judges.

use super::world::{Asker, TaskFacts, Under};
use clap::ValueEnum;

/// What is asked for, at one of the three listeners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Send events of a kind.
    Events(&'static str),
    /// What became of an event of `checkpoint-bureau`.
    SentStatus,
    /// What became of an event that nobody sent.
    AbsentStatus,
    Lookup,
    Me,
    /// The list, also of one grid.
    List(Option<&'static str>),
    Stream,
    /// Who passed a budget.
    Notices,
    /// One task, by its place in the world; `None`: one that is not there.
    Detail(Option<usize>),
    Act(Option<usize>),
    Report(&'static str),
    Tail(&'static str),
    LogRead(&'static str),
    LogAppend,
}

/// A rule that the table may forget, to show that the comparison can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Each role has its own endpoints.
    Role,
    /// A source sends its own kinds.
    Kind,
    /// A source asks about its own events.
    Sender,
    /// A worker has grids, a supervisor areas.
    Place,
    /// What nobody has been assigned to is for supervisors.
    Triage,
    /// A mandate is in force, or nothing is shown.
    Mandate,
    /// What only waits is nobody's.
    Waiting,
    /// An auditor's and a signer's topics are named.
    Topic,
}

/// An answer, by what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Allowed,
    Unknown401,
    Forbidden403,
    Absent404,
}

/// Who has which grids; `-` is what lies in none.
const GRIDS: &[(&str, &[&str])] = &[
    ("w-0001", &["g1", "g2", "g3"]),
    ("w-one", &["g1"]),
    ("w-two", &["g2"]),
    ("w-both", &["g1", "g3"]),
    ("w-none", &[]),
    ("s-0001", &["g1", "g2", "g3", "-"]),
    ("s-city", &["g1", "g2"]),
    ("s-part", &["g2"]),
    ("s-none", &[]),
];

const ROLES: &[(&str, &[&str])] = &[
    ("source", &["gateway"]),
    ("worker", &["inbox"]),
    ("supervisor", &["inbox", "notices"]),
    ("ops", &["report", "tail", "log read"]),
    ("admin", &["report", "tail", "log read", "log append"]),
    ("auditor", &["report", "tail"]),
    ("signer", &["tail"]),
];

const TOPICS: &[(&str, &[&str])] =
    &[("auditor", &["audit.checkpoints.v1", "control.mandates.v1", "control.policies.v1"]), ("signer", &["control.mandates.v1"])];

fn of<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> &'a [&'a str] {
    table.iter().find(|(key, _)| *key == name).map_or(&[], |(_, row)| row)
}

fn part(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Events(_) | Endpoint::SentStatus | Endpoint::AbsentStatus | Endpoint::Lookup => "gateway",
        Endpoint::Me | Endpoint::List(_) | Endpoint::Stream | Endpoint::Detail(_) | Endpoint::Act(_) => "inbox",
        Endpoint::Notices => "notices",
        Endpoint::Report(_) => "report",
        Endpoint::Tail(_) => "tail",
        Endpoint::LogRead(_) => "log read",
        Endpoint::LogAppend => "log append",
    }
}

/// Whether a task is the asker's to see.
pub fn sees(asker: &Asker, task: &TaskFacts, without: Option<Rule>) -> bool {
    let keeps = |rule| without != Some(rule);
    let place = of(GRIDS, asker.name).contains(&task.grid.unwrap_or("-"));
    (place || !keeps(Rule::Place))
        && (!task.triage || asker.role == "supervisor" || !keeps(Rule::Triage))
        && (task.under == Under::Open || !keeps(Rule::Mandate))
        && (!task.waiting || !keeps(Rule::Waiting))
}

/// What the asker must be told.
pub fn expected(asker: &Asker, endpoint: &Endpoint, tasks: &[TaskFacts], without: Option<Rule>) -> Told {
    let keeps = |rule| without != Some(rule);
    let part = part(endpoint);
    if asker.role.is_empty() {
        return Told::Unknown401;
    }
    if !of(ROLES, asker.role).contains(&part) && keeps(Rule::Role) {
        // At the log a token that is good for nothing there is none.
        let none = part.starts_with("log") && !of(ROLES, asker.role).contains(&"log read");
        return if none { Told::Unknown401 } else { Told::Forbidden403 };
    }
    match endpoint {
        Endpoint::Events(kind) if asker.kind != *kind && keeps(Rule::Kind) => Told::Forbidden403,
        Endpoint::SentStatus if asker.kind != "checkpoint" && keeps(Rule::Sender) => Told::Absent404,
        Endpoint::AbsentStatus | Endpoint::Detail(None) | Endpoint::Act(None) => Told::Absent404,
        Endpoint::Detail(Some(at)) | Endpoint::Act(Some(at)) if !sees(asker, &tasks[*at], without) => Told::Absent404,
        Endpoint::Tail(topic) => {
            let named = of(TOPICS, asker.role);
            let may = named.is_empty() || named.contains(topic) || !keeps(Rule::Topic);
            if may { Told::Allowed } else { Told::Forbidden403 }
        }
        _ => Told::Allowed,
    }
}
