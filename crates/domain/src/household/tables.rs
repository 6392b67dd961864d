//! What the registry, the policy and the mandate say of a household, and what their changes do.

use super::{Context, Household, Shown};
use events::{GridEntry, JudgedBy, Text};

/// The versions that a judgement rests on now.
pub(super) fn judged_by(context: &Context<'_>, grid: Option<&GridEntry>) -> JudgedBy {
    JudgedBy {
        entry: context.entry.map_or(0, |entry| entry.version),
        policy: context.policy.version,
        mandate: context.mandate.map_or(0, |mandate| mandate.version),
        grid: grid.map_or(0, |grid| grid.published_at.0),
    }
}

impl Household<'_> {
    pub(super) fn judged_by(&self) -> JudgedBy {
        judged_by(self.context, self.grid)
    }

    /// Something changed: lift what the registry answers, choose the grid, judge again. What is said then rests on no input that
    /// could come again, so the record remembers that it may be unsent.
    pub(super) fn tables(&mut self) {
        if let (Some(entry), Some(standing)) = (self.context.entry, &self.task.standing)
            && entry.version > standing.entry_version
        {
            self.lift();
        }
        self.choose_grid();
        self.links_follow_the_entry();
        if self.is_out_of_area() {
            self.judge_open_task_again();
        }
        self.judge_covered_again();
        self.judge_waiting_again();
        // Zones change the priority of what is open and what it is shown to stand on, and withdraw nothing.
        if self.is_open() && !self.shows_all() {
            self.shown = Shown::Anew;
        }
        let judged_by = self.judged_by();
        if judged_by != self.task.judged_by {
            self.task.judged_by = judged_by;
            self.out.changed = true;
        }
        if !self.out.decisions.is_empty() {
            self.task.unsent_decisions = true;
        }
    }

    /// `moved_away` and `wrong_household` stand no longer, for the whole household.
    pub(super) fn lift(&mut self) {
        if self.task.standing.take().is_some() {
            self.shown = Shown::Anew;
        }
    }

    /// A traveller of a pseudo-household declares a grid that was not declared before.
    pub(super) fn declared_anew(&mut self, stay_at: usize) {
        let Some(declared) = self.task.stays[stay_at].declared.clone() else { return };
        if declared.address.is_some() && self.task.address != declared.address {
            self.task.address = declared.address.clone();
            if self.is_open() {
                self.shown = Shown::Anew;
            }
        }
        let known = self
            .task
            .stays
            .iter()
            .enumerate()
            .any(|(at, stay)| at != stay_at && stay.declared.as_ref().is_some_and(|other| other.grid == declared.grid));
        if self.is_pseudo() && !known {
            self.lift();
        }
    }

    /// The responsible grid: chosen by hand, else the entry's, else, where nobody is known, what the newest live signal declares. An
    /// entry that is gone leaves the grid as it is.
    pub(super) fn choose_grid(&mut self) {
        if let Some(entry) = self.context.entry.filter(|entry| self.task.entry_grid.as_deref() != Some(entry.grid)) {
            self.task.entry_grid = Some(entry.grid.into());
        }
        if let Some(handed_back) = &self.task.handed_back {
            if handed_back.entry_grid == self.task.entry_grid {
                if let Some(grid) = handed_back.to_grid.clone() {
                    self.set_grid(grid);
                }
                return;
            }
            self.task.handed_back = None;
        }
        let known = |grid: &&Text| self.context.grids.grid(grid).is_some();
        if self.is_pseudo() {
            let declares = |at: &(usize, usize)| {
                let grid = self.task.stays[at.0].declared.as_ref().map(|declared| &declared.grid).filter(known)?;
                Some((self.signal(*at).observed_at, grid.clone()))
            };
            let here = self.here();
            let live = here.iter().filter(|at| self.is_live(**at)).filter_map(declares);
            if let Some((_, grid)) = live.max_by_key(|(observed_at, _)| *observed_at) {
                self.set_grid(grid);
            }
        } else if self.task.entry_grid != self.task.grid
            // A grid that is not there yet, or no longer, leaves the task where it is.
            && let Some(grid) = self.task.entry_grid.as_ref().filter(known).cloned()
        {
            self.set_grid(grid);
        }
    }

    /// Travellers who had a signal here at that moment, wherever they are now: the first of this stay was taken by then.
    pub(super) fn present_at(&self, at: events::Millis) -> Vec<usize> {
        let present = |stay: &events::Stay| stay.first_taken_at.is_some_and(|first| first <= at);
        (0..self.task.stays.len()).filter(|&stay| present(&self.task.stays[stay])).collect()
    }
}
