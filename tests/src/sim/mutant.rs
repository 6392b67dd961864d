//! Deliberate bugs: a rule of fencing left out, or a driver that does at the wrong time what the log and the disk do at the right one.

use super::Player;
use super::rest::RESTLESS;
use eventlog::owner::Rules;
use serde::Serialize;
use std::fmt;
use testkit::sim::pure::{self, Bug};
use testkit::sim::script::Finding;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Rule 1: an owner claims nothing.
    NoClaim,
    /// Rule 2: an owner begins before it has read its own claim.
    NoFoldToClaim,
    /// Rule 3: an owner takes stale records for true.
    StaleTaken,
    /// Rule 4: an owner goes on when another has claimed.
    NoGivingWay,
    /// Rule 5: nothing is written again over a stale record.
    NoRepair,
    /// Rule 6: compaction does not wait.
    CompactionAtOnce,
    /// Rule 7: an owner speaks before it has read back.
    NoReadBack,
    /// Rule 8: a cache holds the memory, ahead of the fold.
    CacheAhead,
    /// Rule 8: a cache is written while a repair is due.
    CacheBeforeRepair,
    /// Rule 8: a cache forgets the highest epoch.
    CacheWithoutEpoch,
    /// The position moves before what was said is acknowledged.
    PositionEarly,
    /// An append that fails is taken for done, and others follow it.
    FailureIgnored,
    /// What is said later may overtake what was said before.
    RoadsCross,
    /// A new owner begins at the end of its inputs.
    InputsFromEnd,
    /// A new owner does not judge again what tables may have changed, nor send again what is unsent.
    TakeOverSilent,
    /// A new owner does not read the tables to their end.
    TablesNotRead,
    /// Owners are not told what changes in the tables.
    ChangesLost,
    /// What was delivered is never taken out of the record.
    NeverDelivered,
    /// A reader takes stale records for true.
    ReaderTakesStale,
    /// A reader loses a batch now and then.
    ReaderSkips,
}

impl Mutant {
    /// All of them.
    pub const ALL: &[Mutant] = &[
        Mutant::NoClaim,
        Mutant::NoFoldToClaim,
        Mutant::StaleTaken,
        Mutant::NoGivingWay,
        Mutant::NoRepair,
        Mutant::CompactionAtOnce,
        Mutant::NoReadBack,
        Mutant::CacheAhead,
        Mutant::CacheBeforeRepair,
        Mutant::CacheWithoutEpoch,
        Mutant::PositionEarly,
        Mutant::FailureIgnored,
        Mutant::RoadsCross,
        Mutant::InputsFromEnd,
        Mutant::TakeOverSilent,
        Mutant::TablesNotRead,
        Mutant::ChangesLost,
        Mutant::NeverDelivered,
        Mutant::ReaderTakesStale,
        Mutant::ReaderSkips,
    ];

    /// The rules that its owners follow.
    pub fn rules(mutant: Option<Mutant>) -> Rules {
        let all = Rules::ALL;
        match mutant {
            Some(Mutant::NoClaim) => Rules { claim: false, ..all },
            Some(Mutant::NoFoldToClaim) => Rules { fold_to_claim: false, ..all },
            Some(Mutant::StaleTaken) => Rules { ignore_stale: false, ..all },
            Some(Mutant::NoGivingWay) => Rules { give_way: false, ..all },
            Some(Mutant::NoRepair) => Rules { repair: false, ..all },
            Some(Mutant::NoReadBack) => Rules { read_back: false, ..all },
            _ => all,
        }
    }

    /// How many seeds may pass before it must be found: more where it needs compaction and a third owner.
    pub fn seeds_max(self) -> u64 {
        match self {
            Mutant::NoRepair | Mutant::CompactionAtOnce | Mutant::CacheBeforeRepair | Mutant::CacheWithoutEpoch => 5000,
            _ => 500,
        }
    }
}

/// A deliberate bug of either kind.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Of owners, log and disk: in the whole simulation.
    Owners(Mutant),
    /// Of the rules: on the pure core alone, where a thousand seeds take a second.
    Pure(Bug),
}

impl Rule {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Rule::Owners(mutant) => format!("{mutant:?}"),
            Rule::Pure(bug) => format!("{bug:?}"),
        }
    }

    /// How many seeds may pass before it must be found.
    pub fn seeds_max(self) -> u64 {
        match self {
            Rule::Owners(mutant) => mutant.seeds_max(),
            Rule::Pure(_) => 500,
        }
    }
}

/// How a deliberate bug was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// How many seeds that took; none: it was missed.
    pub seeds: Option<u64>,
    /// How many it might have taken.
    pub seeds_max: u64,
    /// What the judge said.
    pub finding: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.seeds.map_or_else(|| "MISSED".to_owned(), |seeds| seeds.to_string());
        let finding: String = self.finding.chars().take(100).collect();
        write!(f, "{:<24} {seeds:>6} of {:<5} {finding}", self.name, self.seeds_max)
    }
}

impl Player {
    /// Plays seeds from `first` on until the bug is found: where the same seed without it is clean.
    pub fn find(&self, rule: Rule, first: u64) -> Found {
        let (name, seeds_max) = (rule.name(), rule.seeds_max());
        for seed in first..first + seeds_max {
            let (findings, clean): (Vec<Finding>, &dyn Fn() -> bool) = match rule {
                Rule::Owners(mutant) => (self.judge(seed, Some(mutant)).0, &|| self.judge(seed, None).0.is_empty()),
                Rule::Pure(bug) => (pure::judge(seed, Some(bug)).0, &|| pure::judge(seed, None).0.is_empty()),
            };
            // That something does not come to rest is true, and says nothing of what is broken by that.
            let broken = findings.iter().find(|finding| !finding.what.starts_with(RESTLESS));
            if let Some(finding) = broken.filter(|_| clean()) {
                return Found { name, seeds: Some(seed - first + 1), seeds_max, finding: finding.to_string() };
            }
        }
        Found { name, seeds: None, seeds_max, finding: String::new() }
    }
}
