//! The table of codes: each is the first that applies. Rows 1 to 3 are in `arrivals.rs`, for what comes from an event alone; what each
//! row says stands in `rows.rs`.

use super::rows::Row;
use super::signals::At;
use super::{Household, Shown};
use crate::{mandate, policy};
use events::time::HOUR_MS;
use events::{Code, Decision, Direction, Millis, Outcome, Signal, Stay, TaskState};

/// Why, in one line for ops.
pub(super) type Reason = &'static str;

impl Household<'_> {
    /// Rows 4 to 12: the first that applies.
    pub(super) fn judge(&self, at: At) -> (Code, Reason) {
        let row = Row::table().find(|row| self.applies(*row, at)).unwrap_or(Row::Opens);
        (row.code(), row.reason())
    }

    /// The table of codes.
    pub(super) fn applies(&self, row: Row, at: At) -> bool {
        let signal = self.signal(at);
        match row {
            Row::LeftArea => signal.direction == Direction::Out,
            Row::OutOfArea => self.is_out_of_area(),
            Row::Late => signal.late == Some(true),
            Row::Covered => self.is_answered(at),
            Row::Over => self.is_over(signal.observed_at),
            Row::JoinsOpen => self.joins_open_task(signal),
            Row::NoGrid => !self.knows_grid(at),
            Row::WrongHousehold => self.task.standing.as_ref().is_some_and(|standing| standing.outcome == Outcome::WrongHousehold),
            Row::BelowMatch => !policy::matches(self.context.policy, policy::signal_level(self.context.policy, signal)),
            Row::Alone => self.is_alone(at),
            Row::Opens => true,
            // Said of an event, or of what waited, and never asked of a signal.
            Row::MandateEnded | Row::Duplicate | Row::Waited => false,
        }
    }

    fn joins_open_task(&self, signal: &Signal) -> bool {
        match self.task.state {
            TaskState::Claimed => true,
            TaskState::Open => self.task.end.is_none_or(|end| signal.observed_at < end),
            _ => false,
        }
    }

    pub(super) fn is_out_of_area(&self) -> bool {
        match (self.grid, self.context.mandate) {
            (Some(grid), Some(mandate)) => !mandate::covers_grid(mandate, grid),
            _ => false,
        }
    }

    /// At a pseudo-household a signal opens something only if its own traveller declares a known grid.
    fn knows_grid(&self, at: At) -> bool {
        let declares = || {
            let declared = self.task.stays[at.0].declared.as_ref();
            declared.is_some_and(|declared| self.context.grids.grid(&declared.grid).is_some())
        };
        self.task.grid.is_some() && (!self.is_pseudo() || declares())
    }

    pub(super) fn is_pseudo(&self) -> bool {
        self.task.household.starts_with('~')
    }

    /// Judged once, where the signal first arrives; it travels with the signal.
    pub(super) fn is_late(&self, signal: &Signal) -> bool {
        let grace = i64::from(self.context.policy.grace_hours) * HOUR_MS;
        let arrived = match self.context.clock {
            crate::Clock::Wall => signal.appended_at,
            crate::Clock::Events => self.task.observed_until,
        };
        arrived.0 - signal.observed_at.0 > grace
    }

    /// Row 2, for an event: the mandate in force when it was received, and not over by now.
    pub(super) fn mandate_allows(&self, signal: &Signal) -> bool {
        let asked = match self.context.clock {
            crate::Clock::Wall => signal.received_at,
            crate::Clock::Events => signal.observed_at,
        };
        let in_force = |at: Millis| self.context.mandate.is_some_and(|mandate| mandate::within_dates(mandate, at));
        in_force(asked) && (self.context.clock == crate::Clock::Events || in_force(self.now()))
    }

    /// Judges a signal and says so if that is news. Opens a visit where the table says so.
    pub(super) fn judge_and_say(&mut self, at: At) {
        let (code, reason) = self.judge(at);
        if code == Code::Opened {
            self.open(at);
        }
        if code == Code::Joined && self.is_open() && !self.is_over(self.signal(at).observed_at) {
            self.task.joined += 1;
            self.shown = if self.shown == Shown::AsItWas { Shown::OneMore(at) } else { Shown::Anew };
        }
        self.say(at, code, reason);
        if self.is_open() && matches!(code, Code::Opened | Code::Joined) {
            self.move_start_to(at);
        }
    }

    /// A code becomes the signal's last, and a Decision of a higher revision.
    pub(super) fn say(&mut self, (stay_at, at): At, code: Code, reason: Reason) {
        let of_visit = matches!(code, Code::Opened | Code::Joined | Code::Covered);
        let of_before = code == Code::Joined && self.is_open() && self.is_over(self.signal((stay_at, at)).observed_at);
        let before = self.task.before.as_ref().filter(|_| of_before).map(|before| before.episode);
        let episode = if of_visit { before.unwrap_or(self.task.episode) } else { 0 };
        let signal = &mut self.task.stays[stay_at].signals[at];
        signal.count = (signal.count.max(-1) + 1).min(i32::from(u16::MAX));
        (signal.code, signal.episode) = (Some(code), episode);
        let (event_id, count) = (signal.event_id.into(), signal.count);
        self.out.changed = true;
        let decision = self.decision(&self.task.stays[stay_at], event_id, (code, episode, count), reason);
        self.out.decisions.push(decision);
    }

    /// What was last said of a signal, again: the same code of the same visit, at the same revision. What was said of it elsewhere alone
    /// stands as it is.
    pub(super) fn say_again(&mut self, (stay_at, at): At) {
        let stay = &self.task.stays[stay_at];
        let signal = &stay.signals[at];
        if let (Some(code), 0..) = (signal.code, signal.count) {
            let said = (code, signal.episode, signal.count);
            let decision = self.decision(stay, signal.event_id.into(), said, usual_reason(code));
            self.out.decisions.push(decision);
        }
    }

    /// What was last said of every signal here: the input that changed them may come again after a crash.
    pub(super) fn say_all_again(&mut self) {
        for at in self.here() {
            self.say_again(at);
        }
    }

    /// `said`: the code, the episode that it is about (0: none), the count at this version of the traveller.
    pub(super) fn decision(&self, stay: &Stay, event_id: events::EventId, said: (Code, i64, i32), reason: Reason) -> Decision {
        let (code, episode, count) = said;
        let task = &self.task;
        let task_id = match episode {
            0 => None,
            _ if episode == task.episode => Some(task.task_id),
            _ => Some(events::task_id(&task.mandate, &task.household, episode)),
        };
        Decision {
            event_id,
            mandate: task.mandate.clone(),
            code,
            revision: stay.version * crate::limits::REVISION_STEP + i64::from(count),
            reason: reason.into(),
            grid: task.grid.clone(),
            task_id,
            policy: self.context.policy.version,
            at: self.now(),
        }
    }
}

/// Why, where nobody remembers which of several reasons it was.
pub(super) fn usual_reason(code: Code) -> Reason {
    match code {
        Code::Opened => "nothing answered it, and no visit was open",
        Code::Joined => "a visit was open, or had ended without anybody being met",
        Code::Covered => Row::Covered.reason(),
        Code::Held => Row::Alone.reason(),
        Code::NotMatching => "it left the area, or its level is below the least that makes a visit",
        Code::Unresolved => "no grid is known that could visit, or a worker found the wrong household",
        Code::OutOfArea => Row::OutOfArea.reason(),
        Code::Late => Row::Late.reason(),
        Code::MandateEnded => Row::MandateEnded.reason(),
        Code::Duplicate => Row::Duplicate.reason(),
    }
}
