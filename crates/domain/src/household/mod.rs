//! One household's visit: `apply` takes what happened, changes the state and says what must be told. The heart.
//!
//! Pure, and total: any input in any order leaves a state in which at most one task is open. The state is the task record itself.
//! One file per kind of input; `judge.rs` holds the table of codes.

mod actions;
mod arrivals;
mod asked;
mod episode;
mod judge;
mod registered;
mod rows;
mod signals;
mod tables;
mod time;

pub use arrivals::lets_go;
pub use asked::{Asked, CoverAsked, asked};
pub use rows::Row;
pub use time::{due, is_overdue};

use crate::Clock;
use events::{
    Action, Arrival, Covered, Decision, GridEntry, IdentifierLink, JudgedBy, Left, Level, Mandate, Millis, Policy, Task, TaskId, TaskState,
    Token, TravellerId,
};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// What the household is judged by, besides itself.
pub struct Context<'a> {
    /// The newest append time that the owner has read in its partition.
    pub now: Millis,
    /// Whether `now` counts, or the household's newest observed_at.
    pub clock: Clock,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The household's mandate; `None`: there is none.
    pub mandate: Option<&'a Mandate>,
    /// The household's entry in the registry, if it has one.
    pub entry: Option<Entry<'a>>,
    /// The grids.
    pub grids: &'a dyn Grids,
    /// Nothing that this household has said is still on its way: signals over the bound may be pushed out.
    pub settled: bool,
}

impl Context<'_> {
    fn grid_of(&self, task: &Task) -> Option<&GridEntry> {
        task.grid.as_deref().and_then(|grid| self.grids.grid(grid))
    }
}

/// What the registry says of a household, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Grows with every change of grid or address.
    pub version: i64,
    /// The responsible grid.
    pub grid: &'a str,
}

/// The grids of the site.
pub trait Grids {
    /// A grid by its code.
    fn grid(&self, code: &str) -> Option<&GridEntry>;
}

impl<S: BuildHasher> Grids for HashMap<String, GridEntry, S> {
    fn grid(&self, code: &str) -> Option<&GridEntry> {
        self.get(code)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A keeper says that a traveller is here, or must be let go.
    Arrival(&'a Arrival),
    /// A worker or supervisor did something.
    Action(&'a Action),
    /// Registry, policy, mandate or grid changed, or an owner has taken over: judge again what may be judged again.
    Tables,
    /// Time has passed: what is due by now is done, see [`due`].
    Time,
}

/// What must be told, once the record is read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What became of events.
    pub decisions: SmallVec<[Decision; 1]>,
    /// To the keepers of these travellers.
    pub left: Vec<(TravellerId, Left)>,
    /// To the keepers of these travellers.
    pub covered: Vec<(TravellerId, Covered)>,
    /// What this household's door says of these identifiers from now on; none: nothing any more.
    pub links: Vec<(Token, Option<IdentifierLink>)>,
    /// The record is another than before: it must be written.
    pub changed: bool,
}

impl Effects {
    fn clear(&mut self) {
        let Effects { decisions, left, covered, links, changed } = self;
        decisions.clear();
        left.clear();
        covered.clear();
        links.clear();
        *changed = false;
    }
}

/// The state of a household that nothing is known of.
pub fn new_task(mandate: &str, household: &str) -> Task {
    Task {
        mandate: mandate.into(),
        household: household.into(),
        grid: None,
        task_id: TaskId::default(),
        episode: 0,
        version: 0,
        state: TaskState::Waiting,
        priority: Level::Low,
        opened_at: None,
        due_at: None,
        evidence: vec![],
        joined: 0,
        assignee: None,
        outcome: None,
        screened_at: None,
        covered_until: None,
        triage: false,
        supervisor: false,
        attempts: 0,
        address: None,
        before: None,
        grids: vec![],
        answers: vec![],
        note: None,
        start: None,
        end: None,
        window_days: 0,
        covers: vec![],
        stays: vec![],
        handed_back: None,
        standing: None,
        entry_grid: None,
        judged_by: JudgedBy { entry: 0, policy: 0, mandate: 0, grid: 0 },
        observed_until: Millis(0),
        unsent_decisions: false,
        registered: vec![],
    }
}

/// Applies one input. A repeated one changes nothing, and what it had to tell is told again.
pub fn apply(task: &mut Task, input: &Input<'_>, context: &Context<'_>) -> Effects {
    let mut effects = Effects::default();
    apply_into(task, input, context, &mut effects);
    effects
}

/// The same, into effects that are cleared first: where many inputs are applied none is moved, and lists keep their room.
pub fn apply_into(task: &mut Task, input: &Input<'_>, context: &Context<'_>, effects: &mut Effects) {
    effects.clear();
    let mut household = Household::new(task, context, effects);
    // A record that is judged by all that is newest stays so, whatever comes; a new one is.
    let is_new = household.task.stays.is_empty() && household.task.episode == 0;
    household.current = is_new || household.judged_by() == household.task.judged_by;
    household.expire_if_over();
    match *input {
        Input::Arrival(arrival) => household.arrival(arrival),
        Input::Action(action) => household.action(action),
        Input::Tables => household.tables(),
        Input::Time => household.time(),
    }
    household.finish();
    if household.current && household.out.changed && (is_new || household.moved) {
        household.task.judged_by = household.judged_by();
    }
}

/// What stands in the record and was to be told: for the next owner. Decisions only where they may not have been sent.
pub fn unsent(task: &mut Task, policy: &Policy, now: Millis, clock: Clock) -> Effects {
    let grids = HashMap::<String, GridEntry>::new();
    let context = Context { now, clock, policy, mandate: None, entry: None, grids: &grids, settled: false };
    let mut effects = Effects::default();
    let mut household = Household::new(task, &context, &mut effects);
    if household.task.unsent_decisions {
        household.say_all_again();
    }
    household.say_unsent_links();
    effects.left = task.stays.iter().filter_map(|stay| Some((stay.traveller, stay.unsent.clone()?))).collect();
    for stay in task.stays.iter().filter(|stay| !signals::is_here(stay)) {
        let covered = stay.covers.iter().map(|cover| (stay.traveller, Covered { cover: cover.clone() }));
        effects.covered.extend(covered);
    }
    effects
}

/// All that was told is acknowledged: nothing is unsent any more. Whether the record changed and must be written.
pub fn acknowledged(task: &mut Task) -> bool {
    let mut changed = std::mem::take(&mut task.unsent_decisions);
    for stay in &mut task.stays {
        changed |= stay.unsent.take().is_some();
        if !signals::is_here(stay) {
            changed |= !std::mem::take(&mut stay.covers).is_empty();
        }
    }
    for registered in &mut task.registered {
        changed |= std::mem::take(&mut registered.unsent);
    }
    task.registered.retain(|registered| registered.grid.is_some());
    changed
}

/// Whether something stands in the record that may not have been told.
pub fn has_unsent(task: &Task) -> bool {
    let unsent = task.unsent_decisions || task.registered.iter().any(|registered| registered.unsent);
    unsent || task.stays.iter().any(|stay| stay.unsent.is_some() || !signals::is_here(stay) && !stay.covers.is_empty())
}

/// Whether the record must be judged again: something that it was judged by is newer.
pub fn is_outdated(task: &Task, context: &Context<'_>) -> bool {
    tables::judged_by(context, context.grid_of(task)) != task.judged_by
}

/// The household while one input is applied.
struct Household<'a> {
    task: &'a mut Task,
    context: &'a Context<'a>,
    out: &'a mut Effects,
    shown: Shown,
    /// What the tables say of its grid, and whether that has become another.
    grid: Option<&'a GridEntry>,
    moved: bool,
    /// The record was judged by all that is newest.
    current: bool,
}

/// What a worker or ops can see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    AsItWas,
    /// This signal has joined the open task, and nothing else changed.
    OneMore(signals::At),
    Anew,
}

impl<'a> Household<'a> {
    fn new(task: &'a mut Task, context: &'a Context<'a>, out: &'a mut Effects) -> Household<'a> {
        let grid = context.grid_of(task);
        Household { task, context, out, shown: Shown::AsItWas, grid, moved: false, current: false }
    }

    fn now(&self) -> Millis {
        match self.context.clock {
            Clock::Wall => self.context.now,
            Clock::Events => self.task.observed_until,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.task.state, TaskState::Open | TaskState::Claimed)
    }

    fn finish(&mut self) {
        if self.is_open() {
            self.show_evidence();
        }
        if self.shown != Shown::AsItWas {
            self.task.version += 1;
            self.out.changed = true;
        }
        debug_assert_eq!(crate::invariants::check(self.task), Ok(()));
    }
}
