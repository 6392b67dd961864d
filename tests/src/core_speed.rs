//! `cargo xtask bench --core`: how many inputs the pure core decides in a second on one core, and how large a household's record gets.
//! No log, no codec on the way: states stay decoded, as within one step of the router.

use crate::process::on_the_core;
use anyhow::Result;
use domain::Clock;
use domain::household::{self, Context, Effects, Entry, Input};
use domain::policy::default_policy;
use events::time::DAY_MS;
use events::{Arrival, Codec, Fixed16, Mandate, Millis, Signal, SourceKind, Task, ids};
use serde::Serialize;
use std::fmt;
use testkit::given;

/// Inputs a second on one core that are the mark.
const MARK: f64 = 2e6;
/// Bytes of a household's record with 200 signals of 5 travellers that are the mark.
const BYTES_MARK: usize = 6 * 1024;
const MANDATE: &str = "demo-mandate";
const GRID: &str = "g1";
const HOUSEHOLDS: usize = 2_000;
const TRAVELLERS: usize = 3;
/// Inputs of these households, ten each, as in the drained backlog; then come others. All is made before the clock runs: what is
/// measured is the deciding.
const PORTION: u64 = 10 * HOUSEHOLDS as u64;

/// What it did.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Inputs decided.
    pub inputs: u64,
    /// Per second of one core.
    pub inputs_per_second: f64,
    /// Bytes of a household's record with 200 signals of 5 travellers.
    pub bytes_after_200: usize,
    /// The largest that it was on the way to 100 000 signals.
    pub bytes_at_most: usize,
    /// Inputs a second that are the mark.
    pub mark: f64,
    /// Bytes that are the mark, at 200 signals.
    pub bytes_mark: usize,
}

impl Report {
    /// Whether both marks are met.
    pub fn passes(&self) -> bool {
        self.inputs_per_second >= self.mark && self.bytes_after_200 <= self.bytes_mark && self.bytes_at_most <= 2 * self.bytes_mark
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inputs: {:.2} million/s on one core (mark {:.0}); a household's record has {} bytes after 200 signals of 5 travellers (mark {}), at most {} on the way to 100 000",
            self.inputs,
            self.inputs_per_second / 1e6,
            self.mark / 1e6,
            self.bytes_after_200,
            self.bytes_mark,
            self.bytes_at_most,
        )
    }
}

/// Runs it: `inputs` are spread over households and travellers, as they come in a city: one by one, ten to a household.
///
/// # Errors
/// The system does not say how long this thread has run.
pub fn run(inputs: u64) -> Result<Report> {
    let (mandate, grids, policy) = (Mandate { id: MANDATE.into(), ..given::mandate() }, grids(), default_policy());
    let context = |now: i64| Context {
        now: Millis(now),
        clock: Clock::Wall,
        policy: &policy,
        mandate: Some(&mandate),
        entry: Some(Entry { version: 1, grid: GRID }),
        grids: &grids,
        settled: true,
    };
    let codec = Codec::built_in();
    let (mut number, mut seconds) = (0, 0.0);
    while number < inputs {
        let mut tasks: Vec<Task> = (0..HOUSEHOLDS).map(|household| household::new_task(MANDATE, &format!("h{household:06}"))).collect();
        let portion: Vec<(usize, Arrival)> = (number..inputs.min(number + PORTION)).map(input).collect();
        number += portion.len() as u64;
        let context = context(DAY_MS + number as i64);
        let (mut effects, began) = (Effects::default(), on_the_core()?);
        for (household, arrival) in &portion {
            household::apply_into(&mut tasks[*household], &Input::Arrival(arrival), &context, &mut effects);
            std::hint::black_box(&effects);
        }
        seconds += (on_the_core()? - began).as_secs_f64();
    }
    let mut task = household::new_task(MANDATE, "h");
    let (mut bytes_after_200, mut bytes_at_most) = (0, 0);
    for number in 0..100_000 {
        let at = DAY_MS + number as i64 * 1_000;
        household::apply(&mut task, &Input::Arrival(&arrival(number as usize % 5, number, at)), &context(at));
        let bytes = codec.encode(&task).len();
        bytes_at_most = bytes_at_most.max(bytes);
        if number == 199 {
            bytes_after_200 = bytes;
        }
    }
    Ok(Report { inputs, inputs_per_second: inputs as f64 / seconds, bytes_after_200, bytes_at_most, mark: MARK, bytes_mark: BYTES_MARK })
}

/// The household of an input, and the input.
fn input(number: u64) -> (usize, Arrival) {
    let drawn = ids::digest64(&[&number.to_be_bytes()]).unsigned_abs() as usize;
    let (household, traveller) = (drawn % HOUSEHOLDS, drawn / HOUSEHOLDS % TRAVELLERS);
    (household, arrival(household * TRAVELLERS + traveller, number, DAY_MS + number as i64))
}

fn arrival(traveller: usize, number: u64, observed_at: i64) -> Arrival {
    let mut event_id = [0; 16];
    event_id[..8].copy_from_slice(&ids::digest64(&[b"event", &number.to_be_bytes()]).to_be_bytes());
    let signal = Signal {
        event_id: Fixed16(event_id),
        digest: ids::digest64(&[b"passage", &number.to_be_bytes()]),
        origin_division: Some("3301".into()),
        ..given::signal(SourceKind::Checkpoint, number, Millis(observed_at))
    };
    given::here(&format!("{traveller:032x}-{traveller:016x}"), vec![signal])
}

fn grids() -> router::GridMap {
    [(GRID.to_owned(), given::grid("330106"))].into_iter().collect()
}
