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

#[cfg(test)]
mod tests {
    use super::*;
    use events::MandateState;

    fn viewer(supervisor: bool, codes: &[&str]) -> Viewer {
        Viewer { name: "v".into(), supervisor, scope: Scope::from_list(&codes.iter().map(|&code| code.to_owned()).collect::<Vec<_>>()) }
    }

    fn entry(grid: &str) -> Option<Arc<GridEntry>> {
        let (community, subdistrict) = ("330106001001", "330106001");
        (grid == "g1").then(|| {
            Arc::new(GridEntry {
                name: String::new(),
                community: community.into(),
                community_name: String::new(),
                subdistrict: subdistrict.into(),
                division: "330106".into(),
                workers: 1,
                published_at: Millis(0),
            })
        })
    }

    #[test]
    fn a_worker_has_grids_and_a_supervisor_areas() {
        for (supervisor, codes, grid, triage, expected) in [
            (false, ["g1"], Some("g1"), false, true),
            (false, ["g1"], Some("g1"), true, false),
            (false, ["g"], Some("g1"), false, false),
            (false, ["*"], Some("g7"), false, true),
            (false, ["*"], None, false, false),
            (true, ["3301"], Some("g1"), true, true),
            (true, ["330106001001"], Some("g1"), false, true),
            (true, ["330107"], Some("g1"), false, false),
            // A grid that nobody has published lies in no area.
            (true, ["3301"], Some("g7"), false, false),
            (true, ["g1"], Some("g1"), false, false),
            (true, ["*"], None, false, true),
            (true, ["3301"], None, false, false),
        ] {
            let seen = sees(&viewer(supervisor, &codes), grid, triage, &entry);
            assert_eq!(seen, expected, "supervisor {supervisor}, {codes:?}, grid {grid:?}, triage {triage}");
        }
    }

    #[test]
    fn a_mandate_shows_by_the_clock_of_the_site() {
        let mandate = |state| {
            // Zero bytes are an empty record: texts, lists and the rest.
            let mandate: Mandate = events::Avro::read(&mut [0; 64].as_slice()).unwrap();
            Mandate { state, valid_from: Millis(100), valid_until: Millis(200), ..mandate }
        };
        let open = mandate(MandateState::Open);
        for (clock, now, observed, expected) in [
            (Clock::Wall, 150, 0, true),
            (Clock::Wall, 200, 150, false),
            (Clock::Events, 9999, 150, true),
            (Clock::Events, 150, 200, false),
        ] {
            assert_eq!(mandate_shows(Some(&open), clock, Millis(now), Millis(observed)), expected, "{clock:?} {now} {observed}");
        }
        for state in [MandateState::Suspended, MandateState::Ended] {
            assert!(!mandate_shows(Some(&mandate(state)), Clock::Wall, Millis(150), Millis(150)));
        }
        assert!(!mandate_shows(None, Clock::Wall, Millis(150), Millis(150)));
    }
}
