//! For people who ask why: the whole table of codes, asked of one signal as its household stands, and the screenings that might answer
//! it. It changes nothing, and says nothing to anybody.

use super::rows::Row;
use super::signals::is_here;
use super::{Context, Effects, Household};
use crate::policy;
use events::{Cover, EventId, Level, Millis, Task};

/// What the table says of a signal that is kept whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The level of its recent stay; `None`: in no zone.
    pub level: Option<Level>,
    /// Each row of [`Row::table`], and whether it applies.
    pub rows: Vec<(Row, bool)>,
    /// The screenings of the household, then those of its traveller.
    pub covers: Vec<CoverAsked>,
    /// The open visit stands on it.
    pub is_evidence: bool,
    /// Until when it may count, exclusive.
    pub counts_until: Millis,
}

/// A screening, and whether it answers the signal.
#[derive(Clone, Debug, PartialEq)]
pub struct CoverAsked {
    /// The screening.
    pub cover: Cover,
    /// Of the household; else of the traveller alone.
    pub of_household: bool,
    /// It answers it.
    pub answers: bool,
    /// It would, had the risk not risen since.
    pub risk_has_risen: bool,
}

/// Asks of an event's signal; `None` where it is not kept whole here.
pub fn asked(task: &Task, event: EventId, context: &Context<'_>) -> Option<Asked> {
    let stay_at = task.stays.iter().position(|stay| is_here(stay) && stay.signals.iter().any(|signal| signal.event_id == event.fixed()))?;
    let signal_at = task.stays[stay_at].signals.iter().position(|signal| signal.event_id == event.fixed())?;
    let (mut copy, at) = (task.clone(), (stay_at, signal_at));
    let mut effects = Effects::default();
    let household = Household::new(&mut copy, context, &mut effects);
    let signal = household.signal(at);
    let level = policy::signal_level(context.policy, signal);
    let of = |cover: &Cover, of_household: bool| {
        let in_time = signal.observed_at < cover.until;
        let rises = context.policy.rescreen_when_risk_rises && level.unwrap_or(Level::Low) > cover.level;
        CoverAsked { cover: cover.clone(), of_household, answers: in_time && !rises, risk_has_risen: in_time && rises }
    };
    let covers = task.covers.iter().map(|cover| of(cover, true));
    let own = task.stays[stay_at].covers.iter().filter(|cover| !task.covers.contains(cover)).map(|cover| of(cover, false));
    Some(Asked {
        level,
        rows: Row::table().map(|row| (row, household.applies(row, at))).collect(),
        covers: covers.chain(own).collect(),
        is_evidence: matches!(task.state, events::TaskState::Open | events::TaskState::Claimed) && household.is_evidence(at),
        counts_until: Millis(signal.observed_at.0 + household.window_ms()),
    })
}
