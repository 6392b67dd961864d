//! Lists for those who decide: what of a supervisor's tasks waits for a word of theirs.
//!
//! Pure. Whose a task is, is asked elsewhere.

use domain::household::is_overdue;
use events::{Millis, Outcome, Task, TaskState};

/// What somebody who decides asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// A supervisor must decide: refused, nobody met in the last attempt, help is needed.
    Supervisor,
    /// Nobody knows whose it is: handed back to no grid, or found to be of the wrong household.
    Triage,
    /// It should have been done by now.
    Overdue,
    /// Nobody came before it was over.
    Expired,
}

impl List {
    /// By its name in a query.
    pub fn parse(text: &str) -> Option<List> {
        Some(match text {
            "supervisor" => List::Supervisor,
            "triage" => List::Triage,
            "overdue" => List::Overdue,
            "expired" => List::Expired,
            _ => return None,
        })
    }

    /// Whether a task is on it, at this moment of its own clock.
    pub fn has(self, task: &Task, now: Millis) -> bool {
        match self {
            List::Supervisor => task.supervisor,
            List::Triage => {
                let wrong = task.standing.as_ref().is_some_and(|standing| standing.outcome == Outcome::WrongHousehold);
                task.triage || wrong && task.state == TaskState::Withdrawn
            }
            List::Overdue => is_overdue(task, now),
            List::Expired => task.state == TaskState::Expired,
        }
    }
}
