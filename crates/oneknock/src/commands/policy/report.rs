//! What `policy what-if` has found: figures for machines. How people read them stands in `words.rs`.

use super::visits::Counts;
use super::what_if::Span;
use events::{Level, Millis, time};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many visits more or fewer.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The time that is compared, inclusive; null: from the log's beginning. RFC 3339.
    pub from: Option<String>,
    /// Its end, exclusive; null: to the log's end. RFC 3339.
    pub to: Option<String>,
    /// When the log took the first input that it still holds; RFC 3339.
    pub since: Option<String>,
    /// Events that were replayed, from the log's beginning on.
    pub events: u64,
    /// Workers' actions.
    pub actions: u64,
    /// Version of the policy in force.
    pub policy_in_force: i64,
    /// Visits that opened in that time, in all.
    pub visits: Pair,
    /// By level, the highest first.
    pub levels: Vec<Named>,
    /// By grid.
    pub grids: Vec<Named>,
    /// By both; where there are any.
    pub cells: Vec<Cell>,
    /// What would open at once if it were applied now: more than now, by the same two.
    pub at_once: AtOnce,
}

/// Under the policy in force, and under the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Under the policy in force.
    pub in_force: u64,
    /// Under the new one.
    pub new: u64,
    /// More, or fewer.
    pub difference: i64,
}

impl Pair {
    fn new([in_force, new]: [u64; 2]) -> Pair {
        Pair { in_force, new, difference: new.cast_signed() - in_force.cast_signed() }
    }
}

/// Of one level, or of one grid.
#[derive(Debug, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Visits.
    #[serde(flatten)]
    pub visits: Pair,
}

/// Of one level in one grid.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// The grid.
    pub grid: String,
    /// The level.
    pub level: String,
    /// Visits.
    #[serde(flatten)]
    pub visits: Pair,
}

/// Visits that would open the moment it is applied.
#[derive(Debug, Serialize)]
pub struct AtOnce {
    /// In all.
    pub visits: u64,
    /// By grid, where there are any.
    pub grids: BTreeMap<String, u64>,
}

impl Report {
    /// Of these figures; `at_once` too is of the policy in force and of the new one.
    pub fn new(
        span: Span,
        since: Option<Millis>,
        [events, actions]: [u64; 2],
        versions: [i64; 2],
        counts: [Counts; 2],
        at_once: [Counts; 2],
    ) -> Report {
        let (mut all, mut levels, mut grids, mut cells) = ([0; 2], BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (which, counts) in counts.iter().enumerate() {
            for ((grid, level), count) in counts {
                let of_level = levels.entry(*level).or_insert([0; 2]);
                let of_grid = grids.entry(grid).or_insert([0; 2]);
                let of_cell = cells.entry((grid, Reverse(*level))).or_insert([0; 2]);
                for of in [&mut all, of_level, of_grid, of_cell] {
                    of[which] += count;
                }
            }
        }
        let name = |level: Level| level.as_str().to_lowercase();
        let of_level = |level: Level| Named { name: name(level), visits: Pair::new(levels.get(&level).copied().unwrap_or_default()) };
        let cell = |((grid, Reverse(level)), visits): (&(&String, Reverse<Level>), &[u64; 2])| Cell {
            grid: (*grid).clone(),
            level: name(*level),
            visits: Pair::new(*visits),
        };
        Report {
            from: (span.from.0 > i64::MIN).then(|| time::format(span.from)),
            to: (span.to.0 < i64::MAX).then(|| time::format(span.to)),
            since: since.map(time::format),
            events,
            actions,
            policy_in_force: versions[0],
            visits: Pair::new(all),
            levels: [Level::High, Level::Medium, Level::Low].map(of_level).into(),
            grids: grids.iter().map(|(grid, visits)| Named { name: (*grid).clone(), visits: Pair::new(*visits) }).collect(),
            cells: cells.iter().map(cell).collect(),
            at_once: AtOnce::new(&at_once),
        }
    }

    /// How many more visits it would make, at once or over the time that was compared.
    pub fn more(&self) -> u64 {
        self.at_once.visits.max(u64::try_from(self.visits.difference).unwrap_or(0))
    }
}

impl AtOnce {
    fn new([in_force, new]: &[Counts; 2]) -> AtOnce {
        let mut grids = BTreeMap::<String, i64>::new();
        for (counts, sign) in [(in_force, -1), (new, 1)] {
            for ((grid, _), count) in counts {
                *grids.entry(grid.clone()).or_default() += sign * count.cast_signed();
            }
        }
        let grids: BTreeMap<String, u64> =
            grids.into_iter().filter_map(|(grid, count)| Some((grid, u64::try_from(count).ok().filter(|count| *count > 0)?))).collect();
        AtOnce { visits: grids.values().sum(), grids }
    }
}
