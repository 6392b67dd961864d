//! The visits of one copy of a site, counted by grid and level as its households' states go by.

use super::what_if::Span;
use events::{Level, Task};
use std::collections::{BTreeMap, HashMap};

/// Visits by grid and level.
pub type Counts = BTreeMap<(String, Level), u64>;

/// Counts visits that are opened in a span.
pub struct Visits {
    span: Span,
    newest: HashMap<String, Visit>,
    over: Counts,
}

/// The newest visit of a household.
struct Visit {
    episode: i64,
    counts: bool,
    grid: String,
    level: Level,
}

impl Visits {
    /// None yet.
    pub fn new(span: Span) -> Visits {
        Visits { span, newest: HashMap::new(), over: Counts::new() }
    }

    /// A household whose visits so far do not count.
    pub fn known(&mut self, key: &str, task: &Task) {
        let visit = Visit { episode: task.episode, counts: false, grid: String::new(), level: Level::Low };
        self.newest.insert(key.to_owned(), visit);
    }

    /// A household's next state. A visit's grid and level are the last that it had.
    pub fn see(&mut self, key: &str, task: &Task) {
        if task.episode == 0 {
            return;
        }
        let grid = task.grid.as_deref().unwrap_or_default().to_owned();
        let counts = task.opened_at.is_some_and(|at| self.span.holds(at));
        let visit = Visit { episode: task.episode, counts, grid, level: task.priority };
        match self.newest.get_mut(key) {
            Some(known) if known.episode == task.episode => {
                let counts = known.counts;
                *known = Visit { counts, ..visit };
            }
            Some(known) => {
                let known = std::mem::replace(known, visit);
                let skipped = task.before.as_ref().filter(|before| before.episode > known.episode && self.span.holds(before.opened_at));
                if let Some(before) = skipped {
                    let grid = before.grid.as_deref().unwrap_or_default().to_owned();
                    *self.over.entry((grid, before.priority)).or_default() += 1;
                }
                count(&mut self.over, known);
            }
            None => drop(self.newest.insert(key.to_owned(), visit)),
        }
    }

    /// All of them.
    pub fn counts(mut self) -> Counts {
        for (_, visit) in self.newest.drain() {
            count(&mut self.over, visit);
        }
        self.over
    }
}

fn count(counts: &mut Counts, visit: Visit) {
    if visit.counts {
        *counts.entry((visit.grid, visit.level)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::household::new_task;
    use events::Millis;

    #[test]
    fn a_visit_counts_once_with_its_last_grid_and_level_and_only_if_it_opened_in_the_span() {
        let mut visits = Visits::new(Span { from: Millis(10), to: Millis(20) });
        let mut task = new_task("m", "A");
        visits.see("A", &task);
        let mut state = |episode, opened_at, grid: &str, level| {
            (task.episode, task.opened_at) = (episode, Some(Millis(opened_at)));
            (task.grid, task.priority) = (Some(grid.into()), level);
            visits.see("A", &task);
        };
        state(1, 9, "g1", Level::Low);
        state(2, 10, "g1", Level::Low);
        state(2, 10, "g1", Level::High);
        state(2, 10, "g2", Level::High);
        state(3, 19, "g1", Level::Low);
        state(4, 20, "g1", Level::Low);
        let expected = [(("g1".to_owned(), Level::Low), 1), (("g2".to_owned(), Level::High), 1)];
        assert_eq!(visits.counts(), expected.into());
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let mut visits = Visits::new(Span { from: Millis(i64::MIN), to: Millis(i64::MAX) });
        let mut task = new_task("m", "A");
        (task.episode, task.opened_at, task.grid) = (3, Some(Millis(1)), Some("g1".into()));
        visits.known("A", &task);
        visits.see("A", &task);
        assert!(Visits::new(Span { from: Millis(0), to: Millis(1) }).counts().is_empty());
        task.episode = 4;
        visits.see("A", &task);
        assert_eq!(visits.counts(), [(("g1".to_owned(), Level::Low), 1)].into());
    }
}
