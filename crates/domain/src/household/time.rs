//! What time alone does to a household: a visit that nobody made ends, a claim that nobody acts on lapses, what is long over is forgotten.
//!
//! All of it by the owner's now, none with `clock = "events"`. The rest of what has a time needs no moment of its own: what waits grows too
//! old (asked whenever it is judged), covers end (answered by the signals' own times), a retry comes due (`due_at` is shown, and asked by [`is_overdue`]).

use super::signals::is_here;
use super::{Household, Shown};
use crate::limits::{CLAIM_LAPSES_MS, FORGET_AFTER_MS};
use crate::{Clock, mandate};
use events::time::HOUR_MS;
use events::{Millis, Policy, Stay, Task, TaskState};

/// The next moment at which time alone changes this household: `apply` with `Input::Time` from then on does so. None: never.
pub fn due(task: &Task, policy: &Policy, clock: Clock) -> Option<Millis> {
    if clock == Clock::Events {
        return None;
    }
    let visit = match task.state {
        TaskState::Open => task.end,
        TaskState::Claimed => Some(lapses_at(task)),
        _ => shrinks_at(task, policy),
    };
    let stays = task.stays.iter().filter_map(forgotten_at).min();
    visit.into_iter().chain(stays).min()
}

/// Whether a visit should have been made by now and is still to be.
pub fn is_overdue(task: &Task, now: Millis) -> bool {
    matches!(task.state, TaskState::Open | TaskState::Claimed) && task.due_at.is_some_and(|due_at| due_at < now)
}

/// When a claim lapses: so long after its assignee last did anything here. What is no longer remembered was before all that is.
fn lapses_at(task: &Task) -> Millis {
    let by_assignee = |answer: &&events::Answer| answer.status == 200 && Some(&answer.actor) == task.assignee.as_ref();
    let last = task.answers.iter().rfind(by_assignee).or(task.answers.first()).map(|answer| answer.at);
    Millis(last.or(task.opened_at).unwrap_or_default().0 + CLAIM_LAPSES_MS)
}

/// When what is left of a traveller that was let go is forgotten, but for its version.
fn forgotten_at(stay: &Stay) -> Option<Millis> {
    let left_at = stay.left_at.filter(|_| stay.unsent.is_none() && (stay.first_taken_at.is_some() || stay.declared.is_some()))?;
    Some(Millis(left_at.0 + FORGET_AFTER_MS))
}

/// When a household without a visit shrinks: it has heard nothing for long, and what could still come would be late, so that no window
/// and no cover can answer it any more. None: it has nothing to lose, or something to say first.
fn shrinks_at(task: &Task, policy: &Policy) -> Option<Millis> {
    let holds = |stay: &Stay| is_here(stay) && (stay.first_taken_at.is_some() || !stay.pushed_out.is_empty() || !stay.covers.is_empty());
    let empty = task.covers.is_empty() && task.answers.is_empty() && task.before.is_none() && !task.stays.iter().any(holds);
    if super::has_unsent(task) || empty {
        return None;
    }
    let taken = task.stays.iter().flat_map(|stay| stay.signals.iter().map(|signal| signal.taken_at).chain(stay.left_at));
    let heard = taken.chain(task.stays.iter().filter_map(|stay| stay.first_taken_at)).chain(task.answers.iter().map(|answer| answer.at));
    let heard = heard.chain(task.opened_at).chain(task.before.iter().map(|before| before.ended_at)).max()?;
    let covers = task.covers.iter().chain(task.stays.iter().flat_map(|stay| &stay.covers)).map(|cover| cover.until);
    let over = task.end.into_iter().chain(covers).max().map(|end| end.0 + i64::from(policy.grace_hours) * HOUR_MS);
    Some(Millis(over.unwrap_or_default().max(heard.0 + FORGET_AFTER_MS)))
}

impl Household<'_> {
    /// Does what is due. What is said then rests on no input that could come again, so the record remembers that it may be unsent.
    pub(super) fn time(&mut self) {
        if self.context.clock == Clock::Events {
            return;
        }
        let now = self.context.now;
        if self.task.state == TaskState::Claimed && now >= lapses_at(self.task) {
            self.reopen();
            self.shown = Shown::Anew;
            self.expire_if_over();
        }
        if !self.is_open() && self.shown != Shown::AsItWas && self.context.mandate.is_some_and(|mandate| mandate::in_force(mandate, now)) {
            // What joined a claimed visit after its end is not over with it.
            self.judge_waiting_again();
        }
        if !self.is_open() && shrinks_at(self.task, self.context.policy).is_some_and(|at| now >= at) {
            self.shrink();
        }
        for stay in &mut self.task.stays {
            if forgotten_at(stay).is_some_and(|at| now >= at) {
                (stay.first_taken_at, stay.declared) = (None, None);
                self.out.changed = true;
            }
        }
        if !self.out.decisions.is_empty() {
            self.task.unsent_decisions = true;
        }
    }

    /// To the number of its last episode and its travellers' versions; what only the registry or a hand can lift stays. Nobody need be
    /// shown that, so the task's version stays too.
    fn shrink(&mut self) {
        let stands = self.task.standing.is_some();
        let task = &mut *self.task;
        (task.covers, task.answers, task.evidence, task.before) = (vec![], vec![], vec![], None);
        (task.note, task.address) = (None, None);
        for stay in &mut task.stays {
            (stay.signals, stay.pushed_out, stay.covers, stay.first_taken_at) = (vec![], vec![], vec![], None);
            if !stands {
                // The next `Here` brings it again.
                stay.declared = None;
            }
        }
        self.out.changed = true;
    }
}
