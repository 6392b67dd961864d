//! One household on the pure core, for tests that read like the law they hold: somebody is seen, somebody does something, time passes.
//!
//! It knows the core's inputs and nothing of logs. What it makes up (a mandate, two grids inside it and one outside, a default policy)
//! stands here once.

use crate::given;
use domain::Clock;
use domain::household::{self, Context, Effects, Entry, Input};
use domain::policy::default_policy;
use events::time::DAY_MS;
use events::*;
use std::collections::HashMap;

const DAY_0: i64 = 20_000 * DAY_MS;

/// A moment by its day.
pub fn day(day: f64) -> Millis {
    Millis(DAY_0 + (day * DAY_MS as f64).round() as i64)
}

/// A signal as the keeper sends it: of this number, seen and received at this moment.
pub fn signal(kind: SourceKind, number: u8, at: Millis) -> Signal {
    Signal { event_id: Fixed16([number; 16]), ..given::signal(kind, number.into(), at) }
}

/// A household, and what surrounds it.
pub struct House {
    /// Its record.
    pub task: Task,
    /// The owner's now.
    pub now: Millis,
    /// What now is.
    pub clock: Clock,
    /// The policy in force.
    pub policy: Policy,
    /// Its mandate.
    pub mandate: Mandate,
    /// g1 and g2 inside the mandate, g9 outside.
    pub grids: HashMap<String, GridEntry>,
    /// Version and grid of its entry in the registry.
    pub entry: Option<(i64, &'static str)>,
    /// What it says is acknowledged at once.
    pub is_heard: bool,
    actions: usize,
}

impl House {
    /// A household that the registry has in grid g1, at day 0 by the wall's clock; `~…` is in no registry.
    pub fn new(name: &str) -> House {
        let grids = [("g1", "330106"), ("g2", "330107"), ("g9", "330999")];
        House {
            task: household::new_task("m", name),
            now: day(0.0),
            clock: Clock::Wall,
            policy: default_policy(),
            mandate: Mandate { divisions: vec!["3301".into()], ..given::mandate() },
            grids: grids.map(|(code, division)| (code.to_owned(), given::grid(division))).into(),
            entry: (!name.starts_with('~')).then_some((1, "g1")),
            is_heard: true,
            actions: 0,
        }
    }

    /// Applies an input; what it says is acknowledged, as a rule.
    ///
    /// # Panics
    /// If the record is none that may be.
    #[expect(clippy::expect_used, reason = "a test fails that way")]
    pub fn apply(&mut self, input: &Input<'_>) -> Effects {
        let context = Context {
            now: self.now,
            clock: self.clock,
            policy: &self.policy,
            mandate: Some(&self.mandate),
            entry: self.entry.map(|(version, grid)| Entry { version, grid }),
            grids: &self.grids,
            settled: true,
        };
        let effects = household::apply(&mut self.task, input, &context);
        domain::invariants::check(&self.task).expect("a record that may be");
        if self.is_heard {
            household::acknowledged(&mut self.task);
        }
        effects
    }

    /// A keeper says that a traveller is here.
    pub fn here(&mut self, traveller: &str, version: i64, here: Here) -> Effects {
        let arrival = Arrival { traveller: given::traveller_id(traveller), version, message: ArrivalMessage::Here(here) };
        self.apply(&Input::Arrival(&arrival))
    }

    /// This signal of a traveller arrives now.
    pub fn arrives(&mut self, traveller: &str, signal: Signal) -> Option<Code> {
        let id = EventId(signal.event_id.0);
        let effects = self.apply(&Input::Arrival(&given::here(traveller, vec![signal])));
        effects.decisions.iter().rfind(|said| said.event_id == id).map(|said| said.code)
    }

    /// A traveller passes a checkpoint at this day, and it arrives at once: what becomes of it.
    pub fn passes(&mut self, traveller: &str, number: u8, at: f64) -> Option<Code> {
        self.now = self.now.max(day(at));
        let mut signal = signal(SourceKind::Checkpoint, number, day(at));
        signal.appended_at = self.now;
        self.arrives(traveller, signal)
    }

    /// A traveller of no known household, on the way to this grid, passes a checkpoint at this day.
    pub fn passes_towards(&mut self, grid: &str, traveller: &str, number: u8, at: f64) -> Option<Code> {
        self.now = self.now.max(day(at));
        let declared = Destination { division: "330106".into(), grid: grid.into(), address: None };
        let signals = vec![signal(SourceKind::Checkpoint, number, day(at))];
        let here = Here { declared: Some(declared), signals, pushed_out: vec![], covers: vec![] };
        let effects = self.here(traveller, 1, here);
        effects.decisions.last().map(|said| said.code)
    }

    /// A keeper says that a traveller must be let go.
    pub fn lets_go(&mut self, traveller: &str) -> Effects {
        self.apply(&Input::Arrival(&given::release(traveller, self.now)))
    }

    /// What was last said of a signal of this number that is here.
    pub fn code(&self, number: u8) -> Option<Code> {
        let mut signals = self.task.stays.iter().flat_map(|stay| &stay.signals);
        signals.find(|signal| signal.event_id.0 == [number; 16])?.code
    }

    /// An action on the present task, by a worker, or by a supervisor where the name begins with s; `change` makes it another.
    pub fn action(&mut self, actor: &str, action: ActionKind, change: impl FnOnce(&mut Action)) -> Action {
        self.actions += 1;
        let given = given::action(&format!("action-{}", self.actions), &self.task.task_id, action, self.now);
        let mut action = Action { actor: actor.into(), supervisor: actor.starts_with('s'), ..given };
        change(&mut action);
        action
    }

    /// Somebody does something: the status that is answered.
    ///
    /// # Panics
    /// If nothing is answered.
    #[expect(clippy::expect_used, reason = "a test fails that way")]
    pub fn acts(&mut self, actor: &str, action: ActionKind, change: impl FnOnce(&mut Action)) -> i32 {
        let action = self.action(actor, action, change);
        self.apply(&Input::Action(&action));
        self.task.answers.iter().rfind(|answer| answer.action_id == action.action_id).expect("an answer").status
    }

    /// Somebody takes the task.
    pub fn claim(&mut self, actor: &str) -> i32 {
        self.acts(actor, ActionKind::Claim, |_| {})
    }

    /// Somebody gives it back to the list.
    pub fn release(&mut self, actor: &str) -> i32 {
        self.acts(actor, ActionKind::Release, |_| {})
    }

    /// Somebody says how the visit ended, now.
    pub fn outcome(&mut self, actor: &str, outcome: Outcome) -> i32 {
        self.acts(actor, ActionKind::Outcome, |action| action.outcome = Some(outcome))
    }

    /// Somebody says that it is somebody else's.
    pub fn hand_back(&mut self, actor: &str, to_grid: Option<&str>) -> i32 {
        self.acts(actor, ActionKind::HandBack, |action| action.to_grid = to_grid.map(Text::new))
    }

    /// The registry, the policy or the mandate has changed.
    pub fn tables(&mut self) -> Effects {
        self.apply(&Input::Tables)
    }

    /// Time passes until this day, and what is due is done.
    pub fn time(&mut self, at: f64) -> Effects {
        self.now = day(at);
        self.apply(&Input::Time)
    }
}
