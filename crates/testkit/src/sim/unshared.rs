//! What the same city costs without sharing: each agency passes its own list down every night, and somebody knocks for each name on it.

use super::script::Truth;
use events::time::china_day;
use events::{Direction, Event, Millis, SourceKind};
use std::collections::BTreeSet;

/// Counts the visits that lists from door to door would have made.
#[derive(Clone, Debug, Default)]
pub struct Unshared {
    visits: BTreeSet<(i64, SourceKind, String)>,
    days_counted: u64,
}

impl Unshared {
    /// An arrival reaches its agency: its household stands on that agency's list of that day, once.
    pub fn see(&mut self, at: Millis, event: &Event, truth: &Truth) {
        if event.head().direction == Direction::Out {
            return;
        }
        let today = china_day(at);
        self.visits.insert((today, event.kind(), truth.home.clone()));
        // Lists of days that are over are only counted.
        while self.visits.first().is_some_and(|(day, ..)| *day < today - 1) {
            self.visits.pop_first();
            self.days_counted += 1;
        }
    }

    /// Visits so far: one for each household on each agency's list of each day.
    pub fn visits(&self) -> u64 {
        self.days_counted + self.visits.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::city::City;
    use super::super::script::What;
    use super::*;

    #[test]
    fn a_list_names_a_household_once_a_day_and_agencies_do_not_know_one_another() {
        let event = City::small(1).find_map(|step| match step.what {
            What::Event(event, truth) if event.head().direction == Direction::In => Some((event, truth)),
            _ => None,
        });
        let (event, truth) = event.unwrap();
        let mut unshared = Unshared::default();
        let at = |day: i64| Millis(day * events::time::DAY_MS);
        unshared.see(at(0), &event, &truth);
        unshared.see(at(0), &event, &truth);
        assert_eq!(unshared.visits(), 1);
        unshared.see(at(0), &event, &Truth { home: "another".into(), ..truth.clone() });
        assert_eq!(unshared.visits(), 2);
        unshared.see(at(5), &event, &truth);
        assert_eq!(unshared.visits(), 3, "another day, another list");
    }
}
