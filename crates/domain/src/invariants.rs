//! What holds of every record, whatever came: asserted in debug builds after each input, and asked by the simulation's checkers.

use events::{Task, TaskState};

/// The first that is broken, by its name.
pub fn check(task: &Task) -> Result<(), &'static str> {
    let open = matches!(task.state, TaskState::Open | TaskState::Claimed);
    if open && (task.episode == 0 || task.task_id.is_empty()) {
        return Err("an open task has an id");
    }
    if open && task.grid.is_none() {
        return Err("an open task has a grid");
    }
    if (task.state == TaskState::Claimed) != task.assignee.is_some() && open {
        return Err("a task is claimed by somebody, and an open one by nobody");
    }
    if task.start > task.end {
        return Err("an episode ends after its start");
    }
    for (at, stay) in task.stays.iter().enumerate() {
        if task.stays[..at].iter().any(|other| other.traveller == stay.traveller) {
            return Err("a traveller stands in a record once");
        }
        if stay.left_at.is_some() && !stay.signals.is_empty() {
            return Err("who was let go has no signal here");
        }
    }
    Ok(())
}
