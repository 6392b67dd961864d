//! The load: three agencies that send as real connectors do (again until it is answered, with the same ids), a worker who screens
//! some of the tasks, and the stream that shows them. What was answered is written down as the truth.

use anyhow::{Context, Result, bail, ensure};
use events::time::{self, DAY_MS, HOUR_MS};
use events::{Millis, SourceKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use testkit::oracle::{Accepted, Truth};
use testkit::site::client::Client;
use testkit::site::register::{Register, Resident};
use testkit::site::{PATIENCE, numbers, until};
use tokio::task::JoinHandle;

/// Households that appear between two kills.
const COHORT: u32 = 60;
/// People of a household, each a traveller of their own.
const PEOPLE: u64 = 3;
/// A midnight in China.
const DAY_0: i64 = 1_767_542_400_000;
/// Days over which the signals of a round spread: less than the grace for late ones.
const ROUND_SPREAD_DAYS: i64 = 2;
/// Longest batch of records in one request.
const BATCH_MAX: usize = 20;
/// How long a request may stay without an answer over restarts.
const ANSWER_SECONDS_MAX: u64 = 120;
/// One task of so many is screened.
const SCREENED_OF: u64 = 3;

/// One of the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// From 0.
    pub number: u32,
    /// When its signals begin, in days of the events' clock.
    pub first_day: i64,
}

/// The load and what it knows.
pub struct Load {
    client: Client,
    seed: u64,
    cohorts: u32,
    rate: u32,
    cohort: AtomicU32,
    over: AtomicBool,
    /// When the round's signals begin; older tasks are no longer screened.
    round_start: AtomicI64,
    sent: AtomicU64,
    truth: Mutex<Truth>,
    /// Every task that the stream showed, by household.
    shown: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// Tasks that the worker may screen, with their household.
    to_screen: Mutex<Vec<(String, String)>>,
}

impl Load {
    /// A load for so many cohorts of households.
    pub fn new(client: Client, seed: u64, cohorts: u32, rate: u32) -> Arc<Load> {
        Arc::new(Load {
            client,
            seed,
            cohorts: cohorts.max(1) + 1,
            rate,
            cohort: AtomicU32::new(0),
            over: AtomicBool::new(false),
            round_start: AtomicI64::new(DAY_0),
            sent: AtomicU64::new(0),
            truth: Mutex::default(),
            shown: Mutex::default(),
            to_screen: Mutex::default(),
        })
    }

    /// Everybody who lives here.
    pub fn register(&self) -> Register {
        let mut register = Register::of_two_grids();
        for household in 0..self.cohorts * COHORT {
            let name = household_name(household);
            register.household(&name, if household % 2 == 0 { "g1" } else { "g2" });
            for person in 0..PEOPLE {
                let number = u64::from(household) * PEOPLE + person;
                let first = person == 0;
                register.residents.insert(Resident {
                    resident: format!("{name}-{person}"),
                    household: name.clone(),
                    resident_id: numbers::resident_id(number),
                    phones: vec![numbers::phone(number)],
                    plates: first.then(|| numbers::plate(u64::from(household))).into_iter().collect(),
                });
            }
        }
        register
    }

    /// Starts agencies and worker for a round; they stop after [`Load::end`].
    pub fn begin(self: &Arc<Self>, round: Round) -> Vec<JoinHandle<Result<()>>> {
        self.over.store(false, Ordering::SeqCst);
        self.cohort.store(0, Ordering::SeqCst);
        self.round_start.store(DAY_0 + round.first_day * DAY_MS, Ordering::SeqCst);
        held(&self.to_screen).clear();
        let kinds = [SourceKind::Checkpoint, SourceKind::Checkpoint, SourceKind::Highway, SourceKind::Telecom];
        let mut running: Vec<_> = (0..4).map(|number| tokio::spawn(Arc::clone(self).send(number, kinds[number as usize], round))).collect();
        running.push(tokio::spawn(Arc::clone(self).screen(round)));
        running
    }

    /// Other households appear.
    pub fn next_cohort(&self) {
        self.cohort.fetch_add(1, Ordering::SeqCst);
    }

    /// Agencies and worker stop as soon as all that they sent is answered.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// What is known to be true by now.
    pub fn truth(&self) -> Truth {
        held(&self.truth).clone()
    }

    /// What the stream has shown by now.
    pub fn shown(&self) -> BTreeMap<String, BTreeSet<String>> {
        held(&self.shown).clone()
    }

    /// Records sent, with repeats.
    pub fn records_sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// One line of progress.
    pub fn figures(&self) -> String {
        let tasks: usize = held(&self.shown).values().map(BTreeSet::len).sum();
        let truth = held(&self.truth);
        format!("{} events, {tasks} tasks shown, {} screened", truth.accepted.len(), truth.screened.len())
    }

    /// Waits until the stream has shown these. What is still missing at the deadline is for the oracle to say.
    pub async fn until_shown(&self, tasks: &[(String, String)]) -> Result<()> {
        let waited = until("the stream to show every task", PATIENCE, async || {
            let shown = held(&self.shown);
            let missing = tasks.iter().filter(|(household, task)| !shown.get(household).is_some_and(|tasks| tasks.contains(task))).count();
            Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) })
        });
        if let Err(error) = waited.await {
            eprintln!("{error:#}");
        }
        Ok(())
    }

    /// One sender of an agency.
    async fn send(self: Arc<Self>, number: u64, kind: SourceKind, round: Round) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ (number + 1) << 8 ^ u64::from(round.number) << 16);
        let mut sent: Vec<(Value, u32)> = Vec::new();
        let mut ids: HashMap<String, String> = HashMap::new();
        let mut next = 0;
        while !self.over.load(Ordering::SeqCst) {
            let mut batch = Vec::new();
            for _ in 0..rng.random_range(1..=BATCH_MAX) {
                let old = (!sent.is_empty()).then(|| sent[rng.random_range(0..sent.len())].clone());
                let id = format!("{}-{number}-{next}", round.number);
                let record = match (old, rng.random_range(0..100)) {
                    // The same again, as after a lost answer; and the same passage under another id.
                    (Some(old), 0..10) => old,
                    (Some((mut old, household)), 10..13) => {
                        old["id"] = id.into();
                        (old, household)
                    }
                    _ => self.record(&mut rng, kind, id, round),
                };
                next += 1;
                sent.push(record.clone());
                batch.push(record);
            }
            self.until_answered(kind, &batch, &mut ids).await?;
            tokio::time::sleep(Duration::from_secs_f64(batch.len() as f64 * 4.0 / f64::from(self.rate))).await;
        }
        Ok(())
    }

    fn record(&self, rng: &mut StdRng, kind: SourceKind, id: String, round: Round) -> (Value, u32) {
        let cohort = self.cohort.load(Ordering::SeqCst).min(self.cohorts - 1);
        let first = if rng.random_ratio(4, 5) { cohort * COHORT } else { 0 };
        let household = rng.random_range(first..(cohort + 1) * COHORT);
        let person = u64::from(household) * PEOPLE + rng.random_range(0..PEOPLE);
        let seconds = rng.random_range(0..ROUND_SPREAD_DAYS * DAY_MS / 1000);
        let observed_at = time::format(Millis(DAY_0 + round.first_day * DAY_MS + seconds * 1000));
        let mut record = json!({"id": id, "observed_at": observed_at});
        let fields = match kind {
            SourceKind::Checkpoint => {
                let phone = rng.random_bool(0.5).then(|| numbers::phone(person));
                let plate = rng.random_bool(0.3).then(|| numbers::plate(household.into()));
                json!({"checkpoint": "G60-118", "direction": "in", "resident_id": numbers::resident_id(person), "phone": phone, "plate": plate})
            }
            SourceKind::Highway => json!({"station": "G60-K12", "direction": "in", "plate": numbers::plate(household.into())}),
            SourceKind::Telecom => {
                json!({"phone": numbers::phone(person), "from_division": "3301", "to_division": "330106", "dwell_minutes": 240})
            }
        };
        if let (Some(record), Value::Object(fields)) = (record.as_object_mut(), fields) {
            record.extend(fields);
        }
        (record, household)
    }

    /// Sends until it is answered, as ids make safe, and writes the answer down.
    async fn until_answered(&self, kind: SourceKind, batch: &[(Value, u32)], ids: &mut HashMap<String, String>) -> Result<()> {
        let name = kind.as_str().to_ascii_lowercase();
        let records: Vec<Value> = batch.iter().map(|(record, _)| record.clone()).collect();
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
        let posted = loop {
            self.sent.fetch_add(records.len() as u64, Ordering::SeqCst);
            match self.client.post(&name, &records).await {
                Ok(posted) if posted.status == StatusCode::ACCEPTED => break posted,
                Ok(posted) if posted.status == StatusCode::TOO_MANY_REQUESTS || posted.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(posted) => bail!("the gateway answered {}", posted.status),
                Err(error) if Instant::now() > deadline => return Err(error.context("the gateway does not answer")),
                Err(_) => {}
            }
            ensure!(Instant::now() < deadline, "the gateway takes nothing for {ANSWER_SECONDS_MAX} s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for ((record, household), result) in batch.iter().zip(&posted.results) {
            let event_id = match result["status"].as_str() {
                Some("accepted" | "duplicate") => result["event_id"].as_str().context("an answer without event_id")?,
                _ => bail!("{record} is answered by {result}"),
            };
            let id = record["id"].as_str().unwrap_or_default();
            let before = ids.insert(id.to_owned(), event_id.to_owned());
            ensure!(before.is_none_or(|before| before == event_id), "{id} is another event when it is sent again");
            let observed_at = record["observed_at"].as_str().and_then(time::parse).context("a time")?;
            let accepted = Accepted { household: household_name(*household), kind, observed_at };
            held(&self.truth).accepted.insert(event_id.to_owned(), accepted);
        }
        Ok(())
    }

    /// The stream of tasks, opened again where it stopped, for ever.
    pub async fn watch(self: Arc<Self>) -> Result<()> {
        let mut last = None;
        loop {
            if let Ok(mut stream) = self.client.stream(last.as_deref()).await {
                while let Ok(message) = stream.next().await {
                    last = message.id.clone().or(last);
                    self.note(&message.data);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn note(&self, task: &Value) {
        let (Some(id), household) = (task["task_id"].as_str(), task["household"].as_str().unwrap_or("~")) else { return };
        let first = held(&self.shown).entry(household.to_owned()).or_default().insert(id.to_owned());
        let opened = task["opened_at"].as_str().and_then(time::parse).is_some_and(|at| at.0 >= self.round_start.load(Ordering::SeqCst));
        if first && opened && numbers::of_name(id).is_multiple_of(SCREENED_OF) && task["state"].as_str() == Some("OPEN") {
            held(&self.to_screen).push((household.to_owned(), id.to_owned()));
        }
    }

    /// The worker: screens, and asks again with the same action id until it is answered.
    async fn screen(self: Arc<Self>, round: Round) -> Result<()> {
        let at = time::format(Millis(DAY_0 + (round.first_day + ROUND_SPREAD_DAYS) * DAY_MS + HOUR_MS));
        loop {
            let next = held(&self.to_screen).pop();
            let Some((household, task)) = next else {
                if self.over.load(Ordering::SeqCst) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let action_id = format!("{}-{}-{}-{}-{}", &task[..8], &task[8..12], &task[12..16], &task[16..20], &task[20..]);
            let action = json!({"action_id": action_id, "action": "outcome", "outcome": "screened", "at": at});
            let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
            loop {
                match self.client.act(&task, &action).await {
                    Ok(acted) if acted.status == StatusCode::OK => break,
                    Ok(acted) if acted.status == StatusCode::SERVICE_UNAVAILABLE => {}
                    Ok(acted) => bail!("a screening of {household} is answered by {}: {}", acted.status, acted.body),
                    Err(_) => {}
                }
                ensure!(Instant::now() < deadline, "a screening of {household} is not answered in {ANSWER_SECONDS_MAX} s");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            held(&self.truth).screened.insert((household, task));
        }
    }
}

fn household_name(number: u32) -> String {
    format!("h{number:05}")
}

/// A poisoned lock means that another task panicked: its error is the one to show.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
