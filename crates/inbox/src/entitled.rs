//! Whose a task is: what the inbox knows of a task and of whoever asks, put before `domain::authorize`. It has no rule of its own.
//!
//! Pure. It must not know HTTP.

use crate::app::App;
use crate::budget::Notice;
use domain::Clock;
use domain::authorize::{Action, Field, Object, Place, Refusal, Under, authorize};
use events::{Actor, Before, GridStay, Millis, Role, Scope, Task};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Somebody who may use the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer(Arc<Actor>);

impl Viewer {
    /// `None` for whoever may not.
    pub fn of(actor: Arc<Actor>) -> Option<Viewer> {
        let may = authorize(&actor, Under::Site, &Object::Inbox, Field::State, Action::Read);
        may.ok().map(|()| Viewer(actor))
    }

    /// The name in the sign-in.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The role's name.
    pub fn role(&self) -> &'static str {
        self.0.role.name()
    }

    /// A supervisor, whose scope is areas; else a worker, whose scope is grids.
    pub fn is_supervisor(&self) -> bool {
        matches!(self.0.role, Role::Supervisor { .. })
    }

    /// Whether the list of notices is theirs to ask for.
    pub fn may_ask_for_notices(&self, action: Action) -> bool {
        authorize(&self.0, Under::Site, &Object::Notices, Field::State, action).is_ok()
    }

    /// The codes that it is responsible for, for itself to see.
    pub fn scope(&self) -> Vec<&str> {
        match &self.0.role {
            Role::Worker { grids: scope } | Role::Supervisor { areas: scope } => scope.to_list(),
            _ => vec![],
        }
    }

    /// The only grids that something of the viewer's can be in, where they are named: where to look, not what may be seen.
    pub fn grids(&self) -> Option<&BTreeSet<String>> {
        match &self.0.role {
            Role::Worker { grids: Scope::Only(grids) } => Some(grids),
            _ => None,
        }
    }
}

impl App {
    fn ask(&self, viewer: &Viewer, under: Under<'_>, object: &Object<'_>, field: Field<'_>, action: Action) -> Result<(), Refusal> {
        authorize(&viewer.0, under, object, field, action)
    }

    /// Where something is.
    fn place<T>(&self, grid: Option<&str>, then: impl FnOnce(Place<'_>) -> T) -> T {
        then(Place { grid, grids: &|grid| self.grids.get(grid) })
    }

    /// A task's mandate: dates are judged by the site's clock, and with `events` by what the household has seen.
    fn under<T>(&self, task: &Task, now: Millis, then: impl FnOnce(Under<'_>) -> T) -> T {
        let mandate = self.mandates.get(&task.mandate);
        then(Under::Mandate { mandate: mandate.as_deref(), at: Some(self.now_of(task, self.latest.at(now))) })
    }

    /// Whether the viewer may read so much of a household's visit as it is now.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn may_read(&self, viewer: &Viewer, task: &Task, now: Millis, field: Field<'_>) -> Result<(), Refusal> {
        self.place(task.grid.as_deref(), |place| {
            let object = Object::Task { place, triage: task.triage, is_over: false };
            self.under(task, now, |under| self.ask(viewer, under, &object, field, Action::Read))
        })
    }

    /// Whether how the household's last visit ended is the viewer's to know.
    pub fn may_read_before(&self, viewer: &Viewer, task: &Task, before: &Before, now: Millis) -> bool {
        self.place(before.grid.as_deref(), |place| {
            let object = Object::Task { place, triage: false, is_over: true };
            self.under(task, now, |under| self.ask(viewer, under, &object, Field::State, Action::Read)).is_ok()
        })
    }

    /// Whether a visit that stood so was the viewer's: that it has gone, and no more, may be told.
    pub fn was_shown(&self, viewer: &Viewer, grid: Option<&str>, triage: bool) -> bool {
        self.place(grid, |place| {
            let object = Object::Task { place, triage, is_over: false };
            self.ask(viewer, Under::Site, &object, Field::State, Action::Read).is_ok()
        })
    }

    /// Whether a grid is one of the viewer's: to be named, or (`Act`) to register people in.
    pub fn has_grid(&self, viewer: &Viewer, grid: &str, action: Action) -> bool {
        self.place(Some(grid), |place| self.ask(viewer, Under::Site, &Object::Grid(place), Field::State, action).is_ok())
    }

    /// Whether an action that happened at `at` is the viewer's to take. `screening` says that it reports an open door.
    pub fn may_act(&self, viewer: &Viewer, task: &Task, episode: Episode<'_>, at: Millis, screening: bool, now: Millis) -> bool {
        let (triage, is_over) = match episode {
            Episode::Newest(task) => (task.triage, false),
            Episode::Before(_) => (false, true),
        };
        self.place(episode.grid_at(at), |place| {
            let object = Object::Task { place, triage, is_over };
            self.under(task, now, |under| self.ask(viewer, under, &object, Field::State, Action::Act { screening })).is_ok()
        })
    }

    /// Whether a notice is the viewer's to see, or its lock to end.
    pub fn may_notice(&self, viewer: &Viewer, notice: &Notice, action: Action) -> bool {
        self.place(notice.grid.as_deref(), |place| {
            let object = Object::Notice { place, about: &notice.actor };
            self.ask(viewer, Under::Site, &object, Field::State, action).is_ok()
        })
    }

    /// Now, by the clock that a household's times are of.
    pub fn now_of(&self, task: &Task, now: Millis) -> Millis {
        match self.clock {
            Clock::Wall => now,
            Clock::Events => task.observed_until,
        }
    }
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
        if *task.task_id == *task_id {
            return Some(Episode::Newest(task));
        }
        task.before.as_ref().filter(|before| *before.task_id == *task_id).map(Episode::Before)
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
