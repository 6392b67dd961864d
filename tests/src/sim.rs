//! The simulation of a whole site: a made-up city on a simulated log with faults, the router's real owners in several processes that are
//! killed, paused and revived, workers and inboxes, all from one seed on one thread; and a judge who knows the truth (`testkit::sim`).
//! Here one seed is played and judged, many are counted, and what goes wrong is told as a small history.

mod life;
pub mod mutant;
mod plots;
mod readers;
mod rest;
mod topics;
mod troubles;
mod world;

use eventlog::schemas::Schemas;
use events::time::HOUR_MS;
use mutant::Mutant;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::sim::city::City;
use testkit::sim::oracle::Judge;
use testkit::sim::script::{Finding, Seen, Step};
use testkit::sim::shrink;
use testkit::sim::workers::Crew;
use world::{Cast, World};

/// How often a script is played at most to make it smaller.
const TRIES_MAX: usize = 1500;

/// How often each kind of thing happened.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is played, and how.
#[derive(Clone, Copy)]
struct Take<'a> {
    steps: &'a [Step],
    grids: &'a [String],
    seed: u64,
    mutant: Option<Mutant>,
    /// Trouble is made at these moments alone.
    troubled: Option<&'a BTreeSet<i64>>,
    /// People want to know what becomes of processes.
    told: bool,
}

/// What came of it.
struct Played {
    findings: Vec<Finding>,
    counts: Counts,
    /// When trouble was made.
    moments: BTreeSet<i64>,
}

/// Plays seeds: what they share is made once.
pub struct Player {
    schemas: Arc<Schemas>,
}

impl Player {
    /// With the built-in schemas: nothing is asked of anybody.
    ///
    /// # Errors
    /// There is no runtime to be had.
    pub fn new() -> anyhow::Result<Player> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Player { schemas: runtime.block_on(Schemas::open(""))? })
    }

    fn play(&self, take: &Take<'_>, seen: &mut dyn FnMut(&Seen)) -> Played {
        let mut judge = Judge::new(HOUR_MS);
        judge.expires_by_the_clock = true;
        let mut tell = |one: &Seen| {
            judge.see(one);
            seen(one);
        };
        let Take { seed, mutant, troubled, told, .. } = *take;
        let (crew, schemas) = (Crew::new(seed, take.grids.to_vec()), self.schemas.clone());
        let mut world = World::new(Cast { seed, mutant, crew, schemas, troubled, told }, &mut tell);
        world.play(take.steps);
        let World { broken, counts, moments, .. } = world;
        // What the judge says tells more than that something does not come to rest.
        Played { findings: judge.findings.into_iter().chain(broken).collect(), counts, moments }
    }

    /// What is wrong in the world of this seed, and how often each kind of trouble was made in it.
    pub fn judge(&self, seed: u64, mutant: Option<Mutant>) -> (Vec<Finding>, Counts) {
        let city = City::small(seed);
        let grids = city.grids();
        let steps: Vec<Step> = city.collect();
        let played = self.play(&Take { steps: &steps, grids: &grids, seed, mutant, troubled: None, told: false }, &mut |_| {});
        (played.findings, played.counts)
    }

    /// The smallest history that was found in which the world of this seed goes wrong in the same way: with as few steps, and trouble at
    /// as few moments, as may be. None: it is clean.
    pub fn explain(&self, seed: u64, mutant: Option<Mutant>) -> Option<String> {
        let city = City::small(seed);
        let grids = city.grids();
        let all: Vec<Step> = city.collect();
        let take = Take { steps: &all, grids: &grids, seed, mutant, troubled: None, told: false };
        let first = self.play(&take, &mut |_| {});
        let kind = first.findings.first()?.kind();
        let fails = |take: Take<'_>| self.play(&take, &mut |_| {}).findings.iter().any(|finding| finding.kind() == kind);
        let (mut steps, mut troubled) = (all.clone(), first.moments);
        // With less trouble fewer steps matter, and the other way round.
        for _ in 0..2 {
            let moments: Vec<i64> = troubled.iter().copied().collect();
            let fewer = |moments: &[i64]| {
                let troubled = moments.iter().copied().collect();
                fails(Take { steps: &steps, troubled: Some(&troubled), ..take })
            };
            troubled = shrink::shrink(&moments, TRIES_MAX, fewer).into_iter().collect();
            steps = shrink::shrink(&steps, TRIES_MAX, |steps| fails(Take { steps, troubled: Some(&troubled), ..take }));
        }
        let mut history = Vec::new();
        let small = Take { steps: &steps, troubled: Some(&troubled), told: true, ..take };
        let played = self.play(&small, &mut |seen| history.push(seen.clone()));
        let wrong: Vec<String> = played.findings.iter().take(8).map(ToString::to_string).collect();
        let (few, of, told, moments) = (steps.len(), all.len(), shrink::tell(&history), troubled.len());
        Some(format!("seed {seed}, {few} of {of} steps, trouble at {moments} moments: {:?}\n{told}{}\n", played.counts, wrong.join("\n")))
    }

    /// Plays so many seeds from `first` on, until one goes wrong. `progress` is told of the next seed about every ten seconds.
    pub fn run(&self, first: u64, seeds: u64, mut progress: impl FnMut(u64)) -> Report {
        let (began, mut told) = (Instant::now(), Instant::now());
        let mut report = Report { first, ..Report::default() };
        for seed in first..first.saturating_add(seeds) {
            let (findings, counts) = self.judge(seed, None);
            report.seeds += 1;
            counts.into_iter().for_each(|(kind, count)| *report.faults.entry(kind).or_default() += count);
            if !findings.is_empty() {
                report.failed = Some(seed);
                report.findings = findings.iter().map(ToString::to_string).collect();
                break;
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                progress(seed + 1);
            }
        }
        report.seconds = began.elapsed().as_secs_f64();
        report.seeds_per_second = report.seeds as f64 / report.seconds.max(0.001);
        report
    }
}

/// What came of many seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The first seed.
    pub first: u64,
    /// How many were played.
    pub seeds: u64,
    /// How long it took.
    pub seconds: f64,
    /// Seeds per second.
    pub seeds_per_second: f64,
    /// Faults and troubles by kind.
    pub faults: Counts,
    /// The seed that went wrong.
    pub failed: Option<u64>,
    /// What was wrong in it.
    pub findings: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let verdict = self.failed.map_or_else(|| "clean".to_owned(), |seed| format!("seed {seed} FAILS"));
        let (first, seeds, seconds) = (self.first, self.seeds, self.seconds);
        write!(f, "{seeds} seeds from {first}: {verdict}; {:.0} seeds/s in {seconds:.1} s; {}", self.seeds_per_second, faults.join(", "))
    }
}
