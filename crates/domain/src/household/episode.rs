//! Episodes: a visit opens, ends, expires, is withdrawn. At most one is open.

use super::rows::Row;
use super::signals::At;
use super::{Household, Shown};
use crate::limits::GRIDS_MAX;
use crate::policy;
use events::time::{DAY_MS, HOUR_MS};
use events::{Before, Code, GridStay, Level, Millis, Signal, TaskState, Text};

impl Household<'_> {
    /// At its end an open task becomes EXPIRED. One that somebody is on does not end until it is released or decided.
    pub(super) fn expire_if_over(&mut self) {
        if self.task.state == TaskState::Open && self.task.end.is_some_and(|end| self.now() >= end) {
            self.end(TaskState::Expired);
        }
    }

    /// The task is over: nothing of it is to be done, nor decided.
    pub(super) fn end(&mut self, state: TaskState) {
        self.task.state = state;
        (self.task.triage, self.task.supervisor) = (false, false);
        self.shown = Shown::Anew;
    }

    /// The next episode, on the signal and on all that waits here and is live.
    pub(super) fn open(&mut self, at: At) {
        if self.is_open() {
            self.end(TaskState::Expired);
        }
        self.remember_before();
        let window = self.window_ms();
        let trigger = self.signal(at).observed_at;
        let beside = |other: &At| {
            (self.signal(*other).observed_at.0 - trigger.0).abs() < window && (self.signal(*other).code.is_none() || self.is_young(*other))
        };
        let live: Vec<At> = self.here().into_iter().filter(|other| *other == at || beside(other) && self.is_live(*other)).collect();
        let levels = live.iter().filter_map(|at| policy::signal_level(self.context.policy, self.signal(*at)));
        let priority = levels.max().unwrap_or(Level::Low);
        let start = self.start_of(live.iter().map(|at| self.signal(*at))).unwrap_or(trigger);
        let now = self.now();
        let task = &mut *self.task;
        task.episode += 1;
        task.task_id = events::task_id(&task.mandate, &task.household, task.episode);
        task.state = TaskState::Open;
        task.priority = priority;
        task.opened_at = Some(now);
        let due_at = Millis(now.0 + policy::due_hours(self.context.policy, priority) * HOUR_MS);
        task.due_at = Some(due_at);
        task.window_days = self.context.policy.window_days;
        task.start = Some(start);
        task.end = Some(Millis(start.0 + window).max(due_at));
        (task.joined, task.attempts) = (0, 0);
        (task.assignee, task.outcome, task.screened_at, task.covered_until) = (None, None, None, None);
        (task.triage, task.supervisor) = (false, false);
        task.grids = task.grid.iter().map(|grid| GridStay { grid: grid.clone(), from: now, version: task.version + 1 }).collect();
        self.shown = Shown::Anew;
        for other in live {
            if other != at && self.signal(other).code.is_some() {
                self.task.joined += 1;
                self.say(other, Row::Waited.code(), Row::Waited.reason());
            }
        }
    }

    fn remember_before(&mut self) {
        let task = &mut *self.task;
        if task.episode == 0 {
            return;
        }
        let start = task.start.unwrap_or(Millis(0));
        task.before = Some(Before {
            task_id: task.task_id,
            episode: task.episode,
            grid: task.grids.last().map(|stay| stay.grid.clone()),
            state: task.state,
            outcome: task.outcome,
            start,
            end: task.end.unwrap_or(start),
            opened_at: task.opened_at.unwrap_or(start),
            ended_at: self.context.now,
            priority: task.priority,
            grids: std::mem::take(&mut task.grids),
        });
    }

    /// One more of the set: what was observed behind the start does not move it, and weak ones count by what stands before them.
    pub(super) fn move_start_to(&mut self, at: At) {
        let signal = self.signal(at);
        if !signal.came_along && self.task.start.is_none_or(|start| signal.observed_at < start) {
            self.move_start();
        }
    }

    /// The start is computed from the set; what came with a traveller into the open task does not enter.
    pub(super) fn move_start(&mut self) {
        let Some(start) = self.start_of(self.all_evidence().map(|(_, signal)| signal).filter(|signal| !signal.came_along)) else { return };
        if self.task.start != Some(start) {
            let window = i64::from(self.task.window_days) * DAY_MS;
            self.task.start = Some(start);
            self.task.end = Some(Millis(start.0 + window).max(self.task.due_at.unwrap_or(start)));
            self.shown = Shown::Anew;
        }
    }

    /// Evidence has gone, or been answered: the rest is judged as if it had arrived alone. If it would open nothing, the task is
    /// withdrawn and the rest waits.
    pub(super) fn judge_open_task_again(&mut self) {
        if !self.is_open() {
            return;
        }
        let episode = self.task.episode;
        let of_it = |signal: &Signal| signal.episode == episode && matches!(signal.code, Some(Code::Opened | Code::Joined));
        let stood_on = self.here_where(of_it);
        let state = self.task.state;
        let evidence = self.evidence();
        // As if nothing were open here, and the evidence had just arrived.
        self.task.state = TaskState::Withdrawn;
        let opens = |at: &At| !self.signal(*at).screened && self.judge(*at).0 == Code::Opened;
        let stands = evidence.iter().any(opens);
        self.task.state = state;
        self.shown = Shown::Anew;
        if stands {
            // As if it had arrived alone: where all that is left came along, the episode is now its own.
            if evidence.iter().all(|at| self.signal(*at).came_along) {
                evidence.iter().for_each(|&(stay, at)| self.task.stays[stay].signals[at].came_along = false);
            }
            return self.move_start();
        }
        self.end(TaskState::Withdrawn);
        // What was over before that episode may be live again, and declares another grid.
        self.choose_grid();
        for at in stood_on {
            let signal = self.signal(at);
            if !signal.screened && signal.late != Some(true) && !self.is_over(signal.observed_at) {
                let (code, reason) = self.judge(at);
                self.say(at, code, reason);
            }
        }
    }

    /// What waits is judged again; what is not live, or too old by now, keeps its last code.
    pub(super) fn judge_waiting_again(&mut self) {
        let waits = |code: Option<Code>, is_open: bool| match code {
            Some(Code::Held | Code::Unresolved | Code::OutOfArea | Code::NotMatching) => true,
            // Of an episode that ended without an answer, and that has been lifted since.
            Some(Code::Opened | Code::Joined) => !is_open,
            _ => false,
        };
        let is_open = self.is_open();
        for at in self.here_where(|signal| waits(signal.code, is_open)) {
            let last = self.signal(at).code;
            let signal = self.signal(at);
            let over = matches!(last, Some(Code::Opened | Code::Joined)) && !self.is_live(at);
            if !waits(last, self.is_open()) || over || signal.screened || signal.late == Some(true) || !self.is_young(at) {
                continue;
            }
            // What opened a visit that is lifted since opens another one.
            let code = self.judge(at).0;
            if code == Code::Opened || Some(code) != last {
                self.judge_and_say(at);
            }
        }
    }

    /// What a screening answered, and no visit stood on: with a risk that rises it may be answered no longer.
    pub(super) fn judge_covered_again(&mut self) {
        for at in self.here_where(|signal| signal.code == Some(Code::Covered) && !signal.screened) {
            // One of them may have opened a visit that another joined.
            let covered = self.signal(at).code == Some(Code::Covered) && self.is_young(at);
            if covered && self.judge(at).0 != Code::Covered {
                self.judge_and_say(at);
            }
        }
    }

    /// The task's grid is another from now on.
    pub(super) fn set_grid(&mut self, grid: Text) {
        if self.task.grid.as_ref() == Some(&grid) {
            return;
        }
        self.task.grid = Some(grid.clone());
        self.grid = self.context.grid_of(self.task);
        (self.moved, self.out.changed) = (true, true);
        if !self.is_open() {
            return;
        }
        self.shown = Shown::Anew;
        self.task.grids.push(GridStay { grid, from: self.now(), version: self.task.version + 1 });
        if self.task.grids.len() > GRIDS_MAX {
            self.task.grids.remove(0);
        }
    }
}
