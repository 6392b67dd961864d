//! What a worker's request says, read field by field so that the answer can name the one that is wrong.
//!
//! Pure: whether the action is allowed, and to whom, is decided elsewhere.

use super::problem::Problem;
use crate::list::List;
use domain::limits::REGISTERED_MAX;
use events::{ActionKind, Millis, Outcome, TaskState};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The most characters of a note.
const NOTE_CHARS_MAX: usize = 2000;
/// The most characters of a reason.
const REASON_CHARS_MAX: usize = 200;
/// Tasks in a page where nothing is asked for, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 500;

/// `GET /v1/tasks`.
#[derive(Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// As it stood there.
    pub state: Option<String>,
    /// The grid.
    pub grid: Option<String>,
    /// What must be the case of a task, as it stood there.
    pub list: Option<String>,
    /// Tasks in a page.
    pub limit: usize,
    /// A cursor of any kind.
    pub after: Option<String>,
}

/// Reads the query of a list. Empty members are as good as missing.
pub fn list_query(mut query: HashMap<String, String>) -> Result<ListQuery, Problem> {
    let mut take = |name: &str| query.remove(name).filter(|value| !value.is_empty());
    let limit = match take("limit") {
        None => LIMIT,
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| Problem::field("limit", "expected 1 to 500"))?
        }
    };
    Ok(ListQuery { state: take("state"), grid: take("grid"), list: take("list"), limit, after: take("after") })
}

/// `reason=`: why somebody opens a contact, in a few words of their own. It goes into the log of reads, sealed, and nowhere else.
pub fn reason(mut query: HashMap<String, String>) -> Result<Option<String>, Problem> {
    let reason = query.remove("reason").map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control)) {
        return Err(Problem::field("reason", "expected at most 200 characters, in one line"));
    }
    Ok(reason)
}

/// `list=`; none is all.
pub fn list(text: Option<&str>) -> Result<Option<List>, Problem> {
    let Some(text) = text else { return Ok(None) };
    List::parse(text).map(Some).ok_or_else(|| Problem::field("list", "expected supervisor, triage, overdue or expired"))
}

/// The states of `state=`, several by comma; none named is all.
pub fn states(text: Option<&str>) -> Result<Vec<TaskState>, Problem> {
    let Some(text) = text else { return Ok(vec![]) };
    let state = |name: &str| TaskState::parse(name.trim()).filter(|state| *state != TaskState::Waiting);
    text.split(',').map(|name| state(name).ok_or_else(|| Problem::field("state", "expected open, claimed or done"))).collect()
}

/// `POST /v1/tasks/{id}/actions`.
#[derive(Debug, PartialEq, Eq)]
pub struct ActionRequest {
    /// The phone's id for it, in its usual form.
    pub action_id: String,
    /// What is done.
    pub action: ActionKind,
    /// For an outcome.
    pub outcome: Option<Outcome>,
    /// For a hand-back.
    pub to_grid: Option<String>,
    /// In clear: sealed before it goes anywhere.
    pub note: Option<String>,
    /// When it happened at the door.
    pub at: Option<Millis>,
    /// For a registration.
    pub register: Option<RegisterRequest>,
}

/// Who is of which household.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterRequest {
    /// The household's code.
    pub household: String,
    /// As the detail names them; none: all who are met at the task.
    pub people: Option<Vec<String>>,
}

impl ActionRequest {
    /// Whether it says that the door was opened.
    pub fn is_screening(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Screened | Outcome::NeedsHelp))
    }
}

/// Reads an action.
pub fn action(body: &[u8]) -> Result<ActionRequest, Problem> {
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Problem::field("body", "expected a JSON object"))?;
    let action_id = text(&body, "action_id")?.and_then(|id| uuid::Uuid::try_parse(id).ok());
    let action_id = action_id.ok_or_else(|| Problem::field("action_id", "expected a UUID"))?.hyphenated().to_string();
    // Symbols are lower case; `parse` takes either.
    let exact = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let action = text(&body, "action")?.filter(|text| exact(text)).and_then(ActionKind::parse);
    let action = action.ok_or_else(|| Problem::field("action", "expected claim, release, outcome, hand_back, note or register"))?;
    let outcome = match (action, text(&body, "outcome")?) {
        (ActionKind::Outcome, Some(text)) => Some(Outcome::parse(text).filter(|_| exact(text)).ok_or_else(expected_outcome)?),
        (ActionKind::Outcome, None) => return Err(expected_outcome()),
        (_, None) => None,
        (_, Some(_)) => return Err(Problem::field("outcome", "only an outcome has one")),
    };
    let to_grid = match (action, text(&body, "to_grid")?) {
        (_, None) => None,
        (ActionKind::HandBack, Some(grid)) => Some(grid.to_owned()),
        (_, Some(_)) => return Err(Problem::field("to_grid", "only a hand_back has one")),
    };
    let register = register(&body, action)?;
    let note = text(&body, "note")?.map(str::trim).filter(|note| !note.is_empty());
    if note.is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        return Err(Problem::field("note", "expected at most 2000 characters"));
    }
    if note.is_none() && action == ActionKind::Note {
        return Err(Problem::field("note", "a note must say something"));
    }
    let at = match text(&body, "at")? {
        None => None,
        Some(text) => {
            Some(events::time::parse(text).ok_or_else(|| Problem::field("at", "expected RFC 3339, such as 2026-01-03T08:14:00+08:00"))?)
        }
    };
    if !matches!(body.get("version"), None | Some(Value::Null | Value::Number(_))) {
        return Err(Problem::field("version", "expected a number"));
    }
    Ok(ActionRequest { action_id, action, outcome, to_grid, note: note.map(str::to_owned), at, register })
}

fn register(body: &Map<String, Value>, action: ActionKind) -> Result<Option<RegisterRequest>, Problem> {
    let household = text(body, "household")?;
    let people = match body.get("people") {
        None | Some(Value::Null) => None,
        Some(Value::Array(people)) if (1..=REGISTERED_MAX).contains(&people.len()) => {
            let people: Option<Vec<String>> = people.iter().map(|person| person.as_str().map(str::to_owned)).collect();
            Some(people.ok_or_else(|| Problem::field("people", "expected texts"))?)
        }
        Some(_) => return Err(Problem::field("people", "expected 1 to 32 of the task's people")),
    };
    match (action, household, people) {
        (ActionKind::Register, Some(household), people) => Ok(Some(RegisterRequest { household: household.to_owned(), people })),
        (ActionKind::Register, None, _) => Err(Problem::field("household", "expected the household's code")),
        (_, None, None) => Ok(None),
        (_, Some(_), _) => Err(Problem::field("household", "only a register has one")),
        (_, None, Some(_)) => Err(Problem::field("people", "only a register has them")),
    }
}

fn expected_outcome() -> Problem {
    Problem::field("outcome", "expected screened, not_home, moved_away, wrong_household, refused or needs_help")
}

fn text<'a>(body: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, Problem> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::field(field, "expected a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f1c1f0e-8d3a-4a39-9a53-4d4a5c2b7e11";

    #[test]
    fn the_wrong_field_is_named() {
        for (members, field) in [
            (r#""action_id":"7""#, "action_id"),
            (r#""action_id":7"#, "action_id"),
            (r#""action":"dance""#, "action"),
            (r#""action":"CLAIM""#, "action"),
            (r#""action":"outcome""#, "outcome"),
            (r#""action":"outcome","outcome":"gone""#, "outcome"),
            (r#""action":"claim","outcome":"screened""#, "outcome"),
            (r#""action":"claim","to_grid":"g2""#, "to_grid"),
            (r#""action":"note","note":"  ""#, "note"),
            (r#""household":"h1""#, "household"),
            (r#""people":["x"]"#, "people"),
            (r#""action":"register""#, "household"),
            (r#""action":"register","household":"h1","people":[]"#, "people"),
            (r#""action":"register","household":"h1","people":[7]"#, "people"),
            (r#""action":"register","household":"h1","people":"all""#, "people"),
            (r#""action":"claim","at":"yesterday""#, "at"),
            (r#""action":"claim","version":"7""#, "version"),
        ] {
            let body = format!(r#"{{"action_id":"{ID}","action":"claim",{members}}}"#);
            // A repeated member: the last counts.
            assert_eq!(action(body.as_bytes()).map_err(|problem| problem_field(&problem)), Err(Some(field.to_owned())), "{members}");
        }
        assert_eq!(action(b"[]").map_err(|problem| problem_field(&problem)), Err(Some("body".to_owned())));
    }

    fn problem_field(problem: &Problem) -> Option<String> {
        let text = format!("{problem:?}");
        let (_, rest) = text.split_once("field: Some(\"")?;
        rest.split_once('"').map(|(field, _)| field.to_owned())
    }

    #[test]
    fn an_action_is_read_whole() {
        let body = format!(
            r#"{{"action_id":"{}","action":"hand_back","to_grid":"g2","note":" x ","at":"2026-01-03T08:00:00+08:00","version":7}}"#,
            ID.to_uppercase()
        );
        let read = action(body.as_bytes()).unwrap();
        assert_eq!(
            (read.action_id.as_str(), read.action, read.to_grid.as_deref(), read.note.as_deref()),
            (ID, ActionKind::HandBack, Some("g2"), Some("x"))
        );
        assert_eq!(read.at, events::time::parse("2026-01-03T00:00:00Z"));
    }

    #[test]
    fn waiting_is_no_state_to_ask_for() {
        assert!(states(Some("waiting")).is_err());
        assert_eq!(states(Some("open,claimed")).unwrap(), [TaskState::Open, TaskState::Claimed]);
        assert_eq!(states(None).unwrap(), []);
    }
}
