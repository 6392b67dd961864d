//! What workers and supervisors do. Whether they may see the household at all, the inbox has asked; whether it still can be done, is
//! asked here: the log's order decides between two.

use super::signals::is_here;
use super::{Household, Shown};
use crate::limits::{ANSWERS_MAX, OUTCOME_AGE_MAX_MS};
use crate::traveller::add_cover;
use crate::{Clock, mandate};
use events::time::HOUR_MS;
use events::{Action, ActionKind, Answer, Cover, Covered, HandedBack, Lifted, Millis, Outcome, TaskState};

/// Status and, for 400, the field.
pub(super) type Answered = Result<(), (i32, Option<&'static str>)>;

const CONFLICT: (i32, Option<&'static str>) = (409, None);
const ABSENT: (i32, Option<&'static str>) = (404, None);

impl Household<'_> {
    pub(super) fn action(&mut self, action: &Action) {
        if self.task.answers.iter().any(|answer| answer.action_id == action.action_id) {
            if is_screening(action.outcome) {
                // Whoever took it before may not have told those who had gone.
                self.task.covers.clone().iter().for_each(|cover| self.cover_the_gone(cover));
            }
            return self.say_all_again();
        }
        let answered = self.act(action);
        let (status, field) = answered.err().unwrap_or((200, None));
        if status == 200 {
            self.shown = Shown::Anew;
        }
        self.task.answers.push(Answer {
            action_id: action.action_id.clone(),
            status,
            field: field.map(Into::into),
            actor: action.actor.clone(),
            at: self.now(),
            version: self.task.version + i64::from(self.shown != Shown::AsItWas),
        });
        if self.task.answers.len() > ANSWERS_MAX {
            self.task.answers.remove(0);
        }
        self.out.changed = true;
    }

    fn act(&mut self, action: &Action) -> Answered {
        if action.action == ActionKind::Register {
            return self.register(action);
        }
        let current = *action.task_id == *self.task.task_id && self.task.episode > 0;
        let before = self.task.before.as_ref().is_some_and(|before| *before.task_id == *action.task_id);
        if !current && !before {
            return Err(ABSENT);
        }
        let at = self.time_of(action, current)?;
        if action.action == ActionKind::Note {
            self.task.note = action.note.clone().or(self.task.note.take());
            // Somebody who decides has seen to what a visit left behind.
            self.task.supervisor &= !action.supervisor || self.is_open();
            return Ok(());
        }
        if let (ActionKind::Outcome, Some(outcome @ (Outcome::Screened | Outcome::NeedsHelp))) = (action.action, action.outcome) {
            self.screened(outcome, at, current);
            self.task.supervisor |= outcome == Outcome::NeedsHelp;
            self.keep_note(action);
            return Ok(());
        }
        let mine = self.task.assignee.as_deref() == Some(action.actor.as_str());
        // What is to be assigned is for supervisors alone, also where a worker had not yet heard of it.
        let open = self.task.state == TaskState::Open && (action.supervisor || !self.task.triage);
        let may_decide = current && (open || self.task.state == TaskState::Claimed && mine);
        match action.action {
            ActionKind::Claim if current && open => {
                self.task.state = TaskState::Claimed;
                self.task.assignee = Some(action.actor.clone());
            }
            ActionKind::Release if current && self.task.state == TaskState::Claimed && (mine || action.supervisor) => {
                self.reopen();
            }
            ActionKind::HandBack if may_decide => self.hand_back(action)?,
            ActionKind::Outcome if may_decide => self.outcome(action.outcome.ok_or((400, Some("outcome")))?, at),
            ActionKind::Outcome if action.outcome.is_none() => return Err((400, Some("outcome"))),
            _ => return Err(CONFLICT),
        }
        self.keep_note(action);
        self.end_if_let_be();
        Ok(())
    }

    /// A visit that somebody was on did not end while they were: it ends as soon as nobody is, and what joined it after its end is not
    /// over with it.
    fn end_if_let_be(&mut self) {
        let was_open = self.task.state == TaskState::Open;
        self.expire_if_over();
        let now = self.now();
        if was_open && !self.is_open() && self.context.mandate.is_some_and(|mandate| mandate::in_force(mandate, now)) {
            self.judge_waiting_again();
        }
    }

    fn keep_note(&mut self, action: &Action) {
        if action.note.is_some() {
            self.task.note = action.note.clone();
        }
    }

    /// Clamped to the time from the task's opening to now; with `clock = "events"` there is no upper limit, and it does not move the
    /// clock.
    fn time_of(&self, action: &Action, current: bool) -> Result<Millis, (i32, Option<&'static str>)> {
        let now = self.now();
        let Some(at) = action.at else { return Ok(now) };
        if now.0 - at.0 > OUTCOME_AGE_MAX_MS {
            return Err((400, Some("at")));
        }
        let before = self.task.before.as_ref().map(|before| before.opened_at);
        let opened_at = if current { self.task.opened_at } else { before };
        let at = at.max(opened_at.unwrap_or(at));
        Ok(if self.context.clock == Clock::Wall { at.min(now) } else { at })
    }

    pub(super) fn reopen(&mut self) {
        self.task.state = TaskState::Open;
        self.task.assignee = None;
    }

    fn hand_back(&mut self, action: &Action) -> Answered {
        if let Some(grid) = &action.to_grid {
            let known = self.context.grids.grid(grid);
            let inside = known.is_some_and(|grid| self.context.mandate.is_some_and(|mandate| mandate::covers_grid(mandate, grid)));
            if !inside {
                return Err((400, Some("to_grid")));
            }
        }
        self.reopen();
        self.task.triage = action.to_grid.is_none();
        self.task.handed_back = Some(HandedBack { to_grid: action.to_grid.clone(), entry_grid: self.task.entry_grid.clone() });
        self.choose_grid();
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome, at: Millis) {
        let policy = self.context.policy;
        let entry_version = self.context.entry.map_or(0, |entry| entry.version);
        self.task.outcome = Some(outcome);
        match outcome {
            Outcome::NotHome => {
                self.reopen();
                self.task.attempts += 1;
                self.task.supervisor |= self.task.attempts >= policy.attempts_max;
                let due_at = Millis(at.0 + i64::from(policy.retry_hours) * HOUR_MS);
                self.task.due_at = Some(due_at);
                self.task.end = self.task.end.map(|end| end.max(due_at));
            }
            Outcome::Refused => {
                self.reopen();
                self.task.supervisor = true;
            }
            Outcome::MovedAway => {
                let until = self.task.end.unwrap_or(at);
                self.task.standing = Some(Lifted { outcome, entry_version, until });
                self.end(TaskState::Done);
            }
            Outcome::WrongHousehold => {
                self.task.standing = Some(Lifted { outcome, entry_version, until: Millis(i64::MAX) });
                let stood_on = self.evidence();
                self.end(TaskState::Withdrawn);
                for at in stood_on {
                    let (code, reason) = self.judge(at);
                    self.say(at, code, reason);
                }
            }
            Outcome::Screened | Outcome::NeedsHelp => {}
        }
    }

    /// The household is covered, and every traveller who had a signal here then, wherever it is by now. It counts in every state of the
    /// task, also of the last one.
    fn screened(&mut self, outcome: Outcome, at: Millis, current: bool) {
        let task = &self.task;
        let stands =
            if current { task.screened_at.is_some() } else { task.before.as_ref().is_some_and(|before| is_screening(before.outcome)) };
        if stands {
            return;
        }
        let until = Millis(at.0 + self.window_ms());
        let level =
            if current { self.task.priority } else { self.task.before.as_ref().map_or(self.task.priority, |before| before.priority) };
        let cover = Cover { at, until, level };
        let ended = self.evidence();
        add_cover(&mut self.task.covers, &cover);
        for stay_at in self.present_at(at) {
            // Of one who was let go the record holds it until the keeper has it.
            add_cover(&mut self.task.stays[stay_at].covers, &cover);
        }
        self.cover_the_gone(&cover);
        if current {
            for (stay_at, signal_at) in ended {
                let stay = &mut self.task.stays[stay_at];
                // Its traveller is covered too: the answer goes along, and the code stays.
                stay.signals[signal_at].screened |= stay.covers.contains(&cover);
            }
            self.task.outcome = Some(outcome);
            self.task.screened_at = Some(at);
            self.task.covered_until = Some(until);
            self.task.standing = None;
            self.end(TaskState::Done);
            self.judge_waiting_again();
        } else {
            if let Some(before) = &mut self.task.before {
                (before.outcome, before.state) = (Some(outcome), TaskState::Done);
            }
            self.judge_open_task_again();
            self.judge_waiting_again();
        }
    }

    /// Who was here then and has gone since is covered where it is now.
    fn cover_the_gone(&mut self, cover: &Cover) {
        for stay_at in self.present_at(cover.at) {
            let stay = &self.task.stays[stay_at];
            if !is_here(stay) {
                self.out.covered.push((stay.traveller, Covered { cover: cover.clone() }));
            }
        }
    }
}

/// Somebody was at the door and was let in.
pub(super) fn is_screening(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Screened | Outcome::NeedsHelp))
}
