//! `city`: a large city on the pure core, judged as it goes by. Run it through `cargo xtask city`, which builds what it needs.

use clap::Parser;
use events::time::{DAY_MS, HOUR_MS};
use events::{EventId, TaskState};
use serde::Serialize;
use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Instant;
use testkit::sim::city::{City, Plan};
use testkit::sim::oracle::Judge;
use testkit::sim::pure::{self, Play};
use testkit::sim::script::{Seen, Step, What};
use testkit::sim::unshared::Unshared;
use testkit::sim::workers::Crew;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the judge looks whether anything is lost or needless: it goes through all that is known then.
const REST_MS: i64 = 5 * DAY_MS;
/// Findings that are told.
const TOLD_MAX: usize = 20;

/// Simulates a large city: every arrival that can be resolved is visited exactly once, or the judge says which is not and the exit is 1.
#[derive(Parser)]
#[command(name = "cargo xtask city")]
struct Cli {
    /// How many households.
    #[arg(long, default_value_t = 100_000, value_parser = households)]
    households: usize,
    /// For how many days people travel.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..))]
    days: i64,
    /// Draws the city.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also tells all that is seen of this household: h1, h2 and so on.
    #[arg(long)]
    tell: Option<String>,
    /// The figures as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn households(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count >= 2).ok_or_else(|| "a number from 2 on".to_owned())
}

/// What came of it.
#[derive(Default, Serialize)]
struct Report {
    households: usize,
    days: i64,
    seed: u64,
    events: u64,
    /// Tasks that stood open in some grid's inbox, each once.
    visits: usize,
    /// What lists from door to door would have made.
    visits_without_sharing: u64,
    findings: usize,
    seconds: f64,
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { households, days, seed, tell, json } = Cli::parse();
    let began = Instant::now();
    let city = City::new(seed, Plan::large(households, days));
    let crew = Crew::new(seed, city.grids());
    let (mut judge, mut unshared, mut visits) = (Judge::new(HOUR_MS), Unshared::default(), HashSet::new());
    let mut history = History { household: tell.unwrap_or_default(), ..History::default() };
    let mut report = Report { households, days, seed, ..Report::default() };
    pure::play(city, crew, Play { seed, bug: None, calm: Some(REST_MS) }, &mut |seen| {
        judge.see(seen);
        history.see(seen);
        match seen {
            Seen::Step(Step { at, what: What::Event(event, truth) }) => {
                report.events += 1;
                unshared.see(*at, event, truth);
            }
            Seen::Task(_, _, Some(task)) if task.state == TaskState::Open => drop(visits.insert(task.task_id)),
            Seen::Rest(at) => eprintln!("{}: {} events, {} visits", testkit::sim::shrink::moment(*at), report.events, visits.len()),
            _ => {}
        }
    });
    report.visits = visits.len();
    report.visits_without_sharing = unshared.visits();
    report.findings = judge.findings.len();
    report.seconds = began.elapsed().as_secs_f64();
    eprint!("{}", testkit::sim::shrink::tell(&history.seen));
    judge.findings.iter().take(TOLD_MAX).for_each(|finding| eprintln!("{finding}"));
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        let Report { households, days, events, visits, visits_without_sharing, findings, seconds, .. } = &report;
        println!(
            "{households} households, {days} days, {events} events: {visits} visits, {findings} findings; lists without sharing would have made {visits_without_sharing} visits; {seconds:.1} s"
        );
    }
    Ok(if report.findings == 0 && report.visits > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that is seen of one household, for people.
#[derive(Default)]
struct History {
    household: String,
    grids: HashSet<String>,
    events: HashSet<EventId>,
    seen: Vec<Seen>,
}

impl History {
    fn see(&mut self, seen: &Seen) {
        let is_key = |key: &String| key.rsplit('/').next() == Some(&self.household);
        let concerns = match seen {
            _ if self.household.is_empty() => false,
            Seen::Step(Step { what: What::Entry(household, entry), .. }) => {
                let here = *household == self.household;
                self.grids.extend(entry.iter().filter(|_| here).map(|entry| entry.grid.to_string()));
                here
            }
            Seen::Step(Step { what: What::Grid(code, _), .. }) => self.grids.contains(code),
            Seen::Step(Step { what: What::Link(_, link), .. }) => {
                link.iter().flat_map(|link| &link.links).any(|link| *link.household == *self.household)
            }
            Seen::Step(Step { what: What::Event(event, truth), .. }) => {
                let here = truth.home == self.household;
                self.events.extend(here.then(|| event.head().event_id));
                here
            }
            Seen::Step(_) => true,
            Seen::Deed(deed) => is_key(&deed.key),
            Seen::Task(_, key, _) => is_key(key),
            Seen::Decision(decision) => self.events.contains(&decision.event_id),
            Seen::Rest(_) | Seen::View(..) | Seen::Said(..) => false,
        };
        if concerns {
            self.seen.push(seen.clone());
        }
    }
}
