//! Who may see what: a worker the tasks of own grids, a supervisor those of own areas, nobody anything of a mandate that is not in force.
//!
//! Pure. It must not know HTTP; grids and mandates are handed in.

use domain::Clock;
use domain::mandate::{area_has_grid, in_force};
use events::{Before, GridEntry, GridStay, Mandate, Millis, Task};
use keys::{Actor, Role, Scope};
use std::sync::Arc;

/// Somebody who may use the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The name in the sign-in.
    pub name: String,
    /// A supervisor, whose scope is areas; else a worker, whose scope is grids.
    pub supervisor: bool,
    /// Of what.
    pub scope: Scope,
}

impl Viewer {
    /// `None` for the other roles.
    pub fn of(actor: &Actor) -> Option<Viewer> {
        let (supervisor, scope) = match &actor.role {
            Role::Worker { grids } => (false, grids),
            Role::Supervisor { areas } => (true, areas),
            Role::Source { .. } | Role::Ops | Role::Admin => return None,
        };
        Some(Viewer { name: actor.name.clone(), supervisor, scope: scope.clone() })
    }

    /// The role's name.
    pub fn role(&self) -> &'static str {
        if self.supervisor { "supervisor" } else { "worker" }
    }
}

/// Looks a grid up.
pub type Grids<'a> = &'a dyn Fn(&str) -> Option<Arc<GridEntry>>;

/// Whether a grid is one of the viewer's.
pub fn has_grid(viewer: &Viewer, grid: &str, grids: Grids<'_>) -> bool {
    match (&viewer.scope, viewer.supervisor) {
        (Scope::All, _) => true,
        (Scope::Only(own), false) => own.contains(grid),
        (Scope::Only(areas), true) => grids(grid).is_some_and(|entry| areas.iter().any(|area| area_has_grid(area, &entry))),
    }
}

/// Whether a task in this grid is the viewer's to see. Triage is for supervisors alone, and so is a task without a grid.
pub fn sees(viewer: &Viewer, grid: Option<&str>, triage: bool, grids: Grids<'_>) -> bool {
    match grid {
        Some(grid) => (viewer.supervisor || !triage) && has_grid(viewer, grid, grids),
        None => viewer.supervisor && viewer.scope == Scope::All,
    }
}

/// Whether a mandate's tasks are shown: dates are judged by the site's clock, and with `events` by what the household has seen.
pub fn mandate_shows(mandate: Option<&Mandate>, clock: Clock, now: Millis, observed_until: Millis) -> bool {
    let at = match clock {
        Clock::Wall => now,
        Clock::Events => observed_until,
    };
    mandate.is_some_and(|mandate| in_force(mandate, at))
}

/// One episode of a household: the open or newest one, or the one before.
#[derive(Clone, Copy, Debug)]
pub enum Episode<'a> {
    /// The newest.
    Newest(&'a Task),
    /// The one before.
    Before(&'a Before),
}

impl<'a> Episode<'a> {
    /// The episode of a task id.
    pub fn of(task: &'a Task, task_id: &str) -> Option<Episode<'a>> {
        if task.task_id == task_id {
            return Some(Episode::Newest(task));
        }
        task.before.as_ref().filter(|before| before.task_id == task_id).map(Episode::Before)
    }

    /// When it opened.
    pub fn opened_at(self) -> Option<Millis> {
        match self {
            Episode::Newest(task) => task.opened_at,
            Episode::Before(before) => Some(before.opened_at),
        }
    }

    /// Where it was at a moment: its last grid that began by then, or the oldest that is known.
    pub fn grid_at(self, at: Millis) -> Option<&'a str> {
        let (stays, last): (&[GridStay], _) = match self {
            Episode::Newest(task) => (&task.grids, task.grid.as_deref()),
            Episode::Before(before) => (&before.grids, before.grid.as_deref()),
        };
        let stay = stays.iter().rev().find(|stay| stay.from <= at).or_else(|| stays.first());
        stay.map(|stay| stay.grid.as_str()).or(last)
    }
}

/// Whether an action that happened at `at` is the viewer's to take. `screening` says that it reports an open door: a worker's counts also
/// where the task has since gone to triage; anything else there is for supervisors.
pub fn may_act(viewer: &Viewer, episode: Episode<'_>, at: Millis, screening: bool, grids: Grids<'_>) -> bool {
    let triage = matches!(episode, Episode::Newest(task) if task.triage);
    sees(viewer, episode.grid_at(at), triage && !screening, grids)
}
