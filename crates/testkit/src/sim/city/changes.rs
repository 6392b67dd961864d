//! What changes in the city while people travel, and what the registry hears of it: moves, splits, merges, grids, new names.

use super::super::people::{Household, grid_name, household_name};
use super::super::registry::grid_entry;
use super::super::script::What;
use super::super::troubles::{INSIDE, OUTSIDE};
use super::{City, Pending};
use events::Millis;
use rand::Rng;
use rand::seq::IteratorRandom;
use std::cmp::Reverse;

impl City {
    /// Something changes in the city; the registry hears of it within three days.
    pub(super) fn change(&mut self, midnight: Millis) {
        let travelled = self.travelled.iter().copied().filter(|home| !self.people.households[*home].gone).choose(&mut self.random);
        // What changes under a signal that has just come matters most.
        let home = travelled.filter(|_| self.random.random_bool(0.7)).or_else(|| self.people.somebody(&mut self.random));
        let Some(home) = home else { return };
        let other = self.people.somebody(&mut self.random).filter(|other| *other != home);
        let mut people: Vec<usize> = self.people.households[home].people.clone();
        let mut households = vec![home];
        let kind = match (self.random.random_range(0..9), other) {
            (0, Some(to)) if !people.is_empty() => {
                people.truncate(1);
                self.people.move_person(people[0], to);
                self.people.register(people[0], Some(to));
                households.push(to);
                "move"
            }
            (1, _) => {
                for person in &people {
                    self.people.register(*person, Some(home));
                }
                self.people.households[home].has_entry = true;
                "late registration"
            }
            (2, _) => {
                self.people.households[home].grid = self.random.random_range(0..self.plan.grids);
                "household changes its grid"
            }
            (3, _) if people.len() > 1 => {
                people.truncate(people.len() / 2);
                households.push(self.found_household(home, &people));
                "split"
            }
            (4, Some(into)) => {
                self.absorb(home, into);
                households.push(into);
                "merge"
            }
            (5, _) => {
                let anew = self.found_household(home, &[]);
                self.absorb(home, anew);
                households.push(anew);
                "rename"
            }
            (6, _) if !people.is_empty() => {
                people.truncate(1);
                self.people.register(people[0], None);
                "unlinked"
            }
            (7, _) => {
                let grid = self.people.households[home].grid;
                let at = self.later(midnight, 1, 23);
                let division = [INSIDE[0], INSIDE[1], OUTSIDE][self.random.random_range(0..3)];
                self.push(at, Pending::Ready(What::Grid(grid_name(grid), Some(grid_entry(grid, division, at)))));
                "grid changes its division"
            }
            _ => {
                people = vec![self.people.add_person(&mut self.random, home)];
                "somebody moves in"
            }
        };
        self.note(kind);
        let at = self.import_time(midnight, &households);
        self.push(at, Pending::Import(households, people));
    }

    /// Within three days; in a small world often while an event is under way, and often of somebody whom it concerns.
    fn import_time(&mut self, midnight: Millis, households: &[usize]) -> Millis {
        let near = self.random.random_bool(0.5) && self.plan.troubled;
        let names: Vec<String> = households.iter().map(|household| household_name(*household)).collect();
        let concerns = |number: &u64| matches!(self.pending.get(number), Some(Pending::Report(_, truth)) if names.contains(&truth.home));
        let events = || self.order.iter().map(|Reverse((at, number))| (*at, number)).filter(|(at, _)| *at > midnight);
        // The last of several: whoever is seen again is known already, and is on the move then.
        let mine = near && self.random.random_bool(0.7);
        let concerned = events().filter(|(_, number)| mine && concerns(number)).max();
        let any = events().filter(|_| near).choose(&mut self.random);
        match concerned.or(any).map(|(at, _)| at).filter(|at| *at > midnight) {
            Some(at) => Millis((at.0 - self.random.random_range(0..2000)).max(midnight.0 + 1)),
            None => self.later(midnight, 1, 72),
        }
    }

    fn found_household(&mut self, from: usize, people: &[usize]) -> usize {
        let grid =
            if self.random.random_bool(0.5) { self.people.households[from].grid } else { self.random.random_range(0..self.plan.grids) };
        self.people.households.push(Household { grid, has_entry: true, ..Household::default() });
        let anew = self.people.households.len() - 1;
        for &person in people {
            self.people.move_person(person, anew);
            self.people.register(person, Some(anew));
        }
        anew
    }

    /// All of a household belongs to another from now on.
    fn absorb(&mut self, home: usize, into: usize) {
        for person in self.people.households[home].people.clone() {
            self.people.move_person(person, into);
        }
        for person in self.people.households[home].registered.clone() {
            self.people.register(person, Some(into));
        }
        for car in std::mem::take(&mut self.people.households[home].cars) {
            self.people.cars[car].retain(|other| *other != home && *other != into);
            self.people.cars[car].push(into);
            self.people.households[into].cars.retain(|other| *other != car);
            self.people.households[into].cars.push(car);
        }
        self.people.households[home].gone = true;
    }
}
