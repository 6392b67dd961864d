//! Deliberate bugs of the pure player: what a site does wrong that has one. The core is called as it is; only what it is told, or what
//! becomes of its answers, is another.

use domain::household::Input;
use events::*;
use rand::Rng;
use rand::rngs::SmallRng;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Some messages of keepers never arrive.
    HereLost,
    /// Some decisions are never sent.
    DecisionLost,
    /// Some actions are passed over.
    ActionLost,
    /// A changed entry, grid, policy or mandate is not asked again.
    TablesNotAsked,
    /// A traveller is moved before its old place has let go.
    MovedAtOnce,
    /// Nobody is let go.
    ReleaseIgnored,
    /// What is let go comes without its signals.
    LeftEmpty,
    /// What comes in while a traveller is leaving is not kept.
    CarriedLost,
    /// A late screening is not passed on to those who have gone.
    CoveredNotPassedOn,
    /// Covers are forgotten.
    CoversForgotten,
    /// A household forgets which events it knows.
    DigestsForgotten,
    /// An owner that was superseded writes what it remembers.
    StaleWritten,
    /// A claim is taken from whoever has it.
    ClaimTaken,
    /// Events are late after half a day.
    GraceTooShort,
    /// Events are never late.
    NeverLate,
    /// A screening answers for three days.
    WindowTooShort,
    /// Nothing is weak.
    NothingWeak,
    /// Risk that rises makes no new visit.
    RiskIgnored,
    /// Zones are not looked up.
    ZonesIgnored,
    /// Whoever leaves is taken for an arrival.
    DirectionIgnored,
    /// The mandate's dates are not asked.
    MandateNotAsked,
    /// The mandate's divisions are not asked.
    DivisionsIgnored,
    /// A household stays in the grid that it had at first.
    FirstGridKept,
    /// A declared destination does not choose among several households.
    DestinationIgnored,
    /// A reader misses a record.
    ReaderBehind,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::HereLost,
        Bug::DecisionLost,
        Bug::ActionLost,
        Bug::TablesNotAsked,
        Bug::MovedAtOnce,
        Bug::ReleaseIgnored,
        Bug::LeftEmpty,
        Bug::CarriedLost,
        Bug::CoveredNotPassedOn,
        Bug::CoversForgotten,
        Bug::DigestsForgotten,
        Bug::StaleWritten,
        Bug::ClaimTaken,
        Bug::GraceTooShort,
        Bug::NeverLate,
        Bug::WindowTooShort,
        Bug::NothingWeak,
        Bug::RiskIgnored,
        Bug::ZonesIgnored,
        Bug::DirectionIgnored,
        Bug::MandateNotAsked,
        Bug::DivisionsIgnored,
        Bug::FirstGridKept,
        Bug::DestinationIgnored,
        Bug::ReaderBehind,
    ];
}

/// Where a bug puts its hand in; without one everything passes as it is.
pub(super) struct Hand {
    pub bug: Option<Bug>,
    remembered: HashMap<String, Task>,
    first_entries: HashMap<String, HouseholdEntry>,
}

impl Hand {
    pub fn new(bug: Option<Bug>) -> Hand {
        Hand { bug, remembered: HashMap::new(), first_entries: HashMap::new() }
    }

    /// Whether this one goes astray.
    pub fn loses(&self, bug: Bug, random: &mut SmallRng) -> bool {
        self.bug == Some(bug) && (bug == Bug::TablesNotAsked || random.random_bool(0.1))
    }

    pub fn signal(&self, mut signal: Signal) -> Signal {
        match self.bug {
            Some(Bug::DirectionIgnored) => signal.direction = Direction::In,
            Some(Bug::NeverLate) => signal.appended_at = signal.observed_at,
            _ => {}
        }
        signal
    }

    pub fn left(&self, mut left: Left) -> Left {
        if self.bug == Some(Bug::LeftEmpty) {
            left.signals.clear();
        }
        left
    }

    pub fn policy<'a>(&self, policy: &'a Policy) -> Cow<'a, Policy> {
        let mut policy = Cow::Borrowed(policy);
        match self.bug {
            Some(Bug::GraceTooShort) => policy.to_mut().grace_hours = 12,
            Some(Bug::WindowTooShort) => policy.to_mut().window_days = 3,
            Some(Bug::NothingWeak) => policy.to_mut().weak_sources.clear(),
            Some(Bug::RiskIgnored) => policy.to_mut().rescreen_when_risk_rises = false,
            Some(Bug::ZonesIgnored) => policy.to_mut().zones.clear(),
            _ => {}
        }
        policy
    }

    pub fn mandate<'a>(&self, mandate: Option<&'a Mandate>) -> Option<Cow<'a, Mandate>> {
        let mut mandate = Cow::Borrowed(mandate?);
        match self.bug {
            Some(Bug::DivisionsIgnored) => mandate.to_mut().divisions = vec!["*".into()],
            Some(Bug::MandateNotAsked) => {
                let open = mandate.to_mut();
                (open.state, open.valid_until) = (MandateState::Open, Millis(i64::MAX));
            }
            _ => {}
        }
        Some(mandate)
    }

    pub fn entry(&mut self, household: &str, entry: Option<&HouseholdEntry>) -> Option<HouseholdEntry> {
        let entry = entry?.clone();
        match self.bug {
            Some(Bug::FirstGridKept) => Some(self.first_entries.entry(household.to_owned()).or_insert(entry).clone()),
            _ => Some(entry),
        }
    }

    pub fn ignores(&self, input: &Input<'_>) -> bool {
        let release = |arrival: &Arrival| matches!(arrival.message, ArrivalMessage::Release(_));
        self.bug == Some(Bug::ReleaseIgnored) && matches!(input, Input::Arrival(arrival) if release(arrival))
    }

    pub fn before(&self, task: &mut Task, input: &Input<'_>) {
        match (self.bug, input) {
            (Some(Bug::DigestsForgotten), Input::Arrival(Arrival { message: ArrivalMessage::Here(here), .. })) => {
                let again = |event: &Fixed16| here.signals.iter().any(|signal| signal.event_id == *event);
                for signal in task.stays.iter_mut().flat_map(|stay| &mut stay.signals).filter(|signal| again(&signal.event_id)) {
                    (signal.event_id, signal.digest) = (Fixed16([0; 16]), 0);
                }
            }
            (Some(Bug::ClaimTaken), Input::Action(action)) if action.action == ActionKind::Claim && task.state == TaskState::Claimed => {
                (task.state, task.assignee) = (TaskState::Open, None);
            }
            _ => {}
        }
    }

    pub fn after(&mut self, task: &mut Task, random: &mut SmallRng) {
        match self.bug {
            Some(Bug::CoversForgotten) => {
                task.covers.clear();
                task.stays.iter_mut().for_each(|stay| stay.covers.clear());
            }
            Some(Bug::StaleWritten) if random.random_bool(0.05) => {
                if let Some(stale) = self.remembered.get(&*task.household) {
                    *task = stale.clone();
                }
            }
            Some(Bug::StaleWritten) if random.random_bool(0.5) => drop(self.remembered.insert(task.household.to_string(), task.clone())),
            _ => {}
        }
    }

    pub fn view(&self, mut view: BTreeMap<String, Task>) -> BTreeMap<String, Task> {
        if self.bug == Some(Bug::ReaderBehind) {
            view.pop_last();
        }
        view
    }
}
