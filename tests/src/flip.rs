//! `cargo xtask latency --flip-zones N`: how long fresh arrivals take while a zone rises under N households that all become visits at
//! once, beside how long they take before it, in one run. The fresh ones live in another grid, whose worker watches.

use crate::latency::{Answered, ms, name, quantile, send_one};
use crate::log_choice::LogKind;
use anyhow::{Context, Result, bail, ensure};
use eventlog::Log;
use events::topics::DECISIONS;
use events::{Millis, time};
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::site::client::Client;
use testkit::site::register::{Register, Resident};
use testkit::site::{Options as SiteOptions, PATIENCE, Site, numbers, until};
use tokio::sync::mpsc;

/// How many times as long fresh arrivals may take at p99.
pub const RATIO_MAX: f64 = 2.0;
/// Seconds at the beginning that are not counted.
const WARM_UP: Duration = Duration::from_secs(3);
/// A flip that takes longer is given up.
const FLIP: Duration = Duration::from_secs(300);
/// Events in one request.
const POSTED: usize = 500;
/// The waiting households' numbers begin here.
const WAITING: u64 = 10_000_000;
/// Where the waiting ones come from, and where the fresh ones.
const RISING: &str = "330206";
const LOW: &str = "310106";

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which log.
    pub log: LogKind,
    /// Households that wait.
    pub households: u32,
    /// Fresh arrivals per second.
    pub rate: u32,
    /// For how long before the flip, after the warm-up.
    pub seconds: u32,
    /// The program, beside this one: [`testkit::site::PROGRAM`], or the null control's.
    pub program: &'static str,
}

/// What came of it. All times but the flip's in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On which log.
    pub log: &'static str,
    /// Households whose zone rose.
    pub households: u32,
    /// Fresh arrivals per second.
    pub rate: u32,
    /// From the policy's being in force until each of them had its visit, in seconds.
    pub flip_seconds: f64,
    /// Fresh arrivals before, and during it.
    pub events: [usize; 2],
    /// Of those, never shown.
    pub missing: usize,
    /// From the 202 to the stream: the median before, and during it.
    pub p50_ms: [f64; 2],
    /// From the 202 to the stream: 99 of 100 are quicker.
    pub p99_ms: [f64; 2],
    /// From the 202 to the stream: the slowest.
    pub max_ms: [f64; 2],
    /// p99 during it, as so many times p99 before.
    pub ratio: f64,
}

impl Report {
    /// Whether fresh arrivals are quick enough meanwhile.
    pub fn passes(&self) -> bool {
        self.missing == 0 && self.events.iter().all(|count| *count >= 100) && self.ratio <= RATIO_MAX
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([p50_before, p50], [p99_before, p99], [max_before, max], [before, during]) =
            (self.p50_ms, self.p99_ms, self.max_ms, self.events);
        write!(
            f,
            "flip: log {}, {} households in {:.1} s, {} events/s; before: {before} events, p50 {p50_before:.1} ms, p99 {p99_before:.1} ms, max {max_before:.1} ms; \
             during: {during} events, p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms; {} missing; p99 ratio {:.2} (bar: {RATIO_MAX})",
            self.log, self.households, self.flip_seconds, self.rate, self.missing, self.ratio
        )
    }
}

/// Runs it. `progress` hears a line now and then.
///
/// # Errors
/// The site does not start, does not take an event, or does not finish the flip in time.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    let (log, _kafka) = options.log.start().await?;
    let mut site = Site::start(SiteOptions { program: options.program, ..SiteOptions::of_today(log) }).await?;
    site.stop().await?;
    watch_g1_alone(&site)?;
    site.restart().await?;
    let seconds = u64::from(options.seconds) + WARM_UP.as_secs() + FLIP.as_secs();
    let count = options.rate * u32::try_from(seconds)?;
    site.import(&register(count, options.households)).await?;
    apply(&site, "").await?;
    let reader = site.log().await?;
    wait_in_vain(&site.client, options.households, &progress).await?;
    let waiting = u64::from(options.households);
    until("everybody to wait", 5 * PATIENCE, async || {
        let decided = decisions(&reader).await?;
        Ok(if decided >= waiting { Ok(()) } else { Err(format!("{decided} of {waiting} are decided")) })
    })
    .await?;

    progress(&format!("{waiting} households wait; {} fresh arrivals/s", options.rate));
    let stream = site.client.stream(None).await?;
    let (shown, watching) = watch(stream);
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(send(site.client.clone(), count, options.rate, stop.clone()));
    tokio::time::sleep(WARM_UP).await;
    let counted = Instant::now();
    tokio::time::sleep(Duration::from_secs(options.seconds.into())).await;
    let begins = Instant::now();
    apply(&site, &format!("{RISING} = \"high\"\n")).await?;
    let in_force = Instant::now();
    progress("the zone has risen");
    let flipped = visits(&site, &reader, waiting).await?;
    let ends = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let answered = sending.await??;
    let shown = all_shown(shown, &answered).await;
    watching.abort();
    site.stop().await?;
    ensure!(flipped == waiting, "{flipped} of {waiting} became visits");

    let taken = |from: Instant, to: Instant| {
        let within = answered.iter().filter(move |(_, began, _)| (from..to).contains(began));
        let mut times: Vec<f64> =
            within.clone().filter_map(|(number, _, accepted)| Some(ms(shown.get(number)?.saturating_duration_since(*accepted)))).collect();
        times.sort_by(f64::total_cmp);
        (within.count(), times)
    };
    let ((before, quiet), (during, busy)) = (taken(counted, begins), taken(in_force, ends));
    let both = |part: f64| [quantile(&quiet, part), quantile(&busy, part)];
    let [p99_before, p99_during] = both(0.99);
    Ok(Report {
        log: options.log.as_str(),
        households: options.households,
        rate: options.rate,
        flip_seconds: (ends - in_force).as_secs_f64(),
        events: [before, during],
        missing: before + during - quiet.len() - busy.len(),
        p50_ms: both(0.5),
        p99_ms: [p99_before, p99_during],
        max_ms: both(1.0),
        ratio: p99_during / p99_before,
    })
}

/// The worker of tokens.json is one of g1 alone: the others' visits are not for this phone.
fn watch_g1_alone(site: &Site) -> Result<()> {
    let path = site.dir().join("tokens.json");
    let mut tokens: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    tokens["workers"][0]["grids"] = json!(["g1"]);
    Ok(std::fs::write(&path, tokens.to_string())?)
}

fn register(fresh: u32, waiting: u32) -> Register {
    let mut register = Register::of_two_grids();
    let mut lives = |household: String, grid: &str, number: u64| {
        register.household(&household, grid);
        let resident_id = numbers::resident_id(number);
        register.residents.insert(Resident { resident: format!("{household}-0"), household, resident_id, ..Resident::default() });
    };
    (0..fresh).for_each(|number| lives(name(number), "g1", number.into()));
    (0..waiting).for_each(|number| lives(format!("w{number}"), "g2", WAITING + u64::from(number)));
    register
}

/// Puts a policy into force under which only zones are visited.
async fn apply(site: &Site, zones: &str) -> Result<()> {
    let path = site.dir().join("flip.toml");
    std::fs::write(&path, format!("match = \"low\"\n[zones]\n{LOW} = \"low\"\n{zones}"))?;
    let path = path.display().to_string();
    let said = site.command(&["policy", "apply", "--yes", &path]).await?;
    ensure!(said.code == Some(0), "`policy apply` ended with {:?}: {}", said.code, said.err);
    Ok(())
}

async fn wait_in_vain(client: &Client, households: u32, progress: &impl Fn(&str)) -> Result<()> {
    let observed_at = time::format(Millis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?));
    let record = |number: u32| {
        json!({"id": format!("w-{number}"), "observed_at": observed_at, "checkpoint": "G60-118", "direction": "in",
            "resident_id": numbers::resident_id(WAITING + u64::from(number)), "origin_division": RISING})
    };
    let all: Vec<u32> = (0..households).collect();
    for (at, some) in all.chunks(POSTED).enumerate() {
        let records: Vec<Value> = some.iter().map(|number| record(*number)).collect();
        let posted = client.post("checkpoint", &records).await?;
        if posted.status != StatusCode::ACCEPTED || posted.results.iter().any(|result| result["status"] != "accepted") {
            bail!("events are answered by {}", posted.status);
        }
        if at % 40 == 39 {
            progress(&format!("{} of {households} are sent", (at + 1) * POSTED));
        }
    }
    Ok(())
}

/// How many decisions the log holds.
async fn decisions(log: &Arc<dyn Log>) -> Result<u64> {
    let partitions = log.topics().await?.into_iter().find(|info| info.name == DECISIONS).map_or(0, |info| info.partitions);
    let mut count = 0;
    for partition in 0..partitions {
        let (first, end) = log.offsets(DECISIONS, partition).await?;
        count += u64::try_from(end - first)?;
    }
    Ok(count)
}

/// Waits until the waiting ones have their visits; answers how many have. Reading all decisions costs much: it is done when there may be
/// enough of them.
async fn visits(site: &Site, log: &Arc<dyn Log>, waiting: u64) -> Result<u64> {
    let deadline = Instant::now() + FLIP;
    let mut wanted = 2 * waiting;
    loop {
        ensure!(Instant::now() < deadline, "the flip takes longer than {} s; {}", FLIP.as_secs(), site.said());
        tokio::time::sleep(Duration::from_millis(250)).await;
        let decided = decisions(log).await?;
        if decided >= wanted {
            let opened = opened(log).await?;
            if opened >= waiting {
                return Ok(opened);
            }
            wanted = decided + (waiting - opened);
        }
    }
}

/// Visits in g2.
async fn opened(log: &Arc<dyn Log>) -> Result<u64> {
    let decisions = crate::topics::decisions(log).await?;
    let of_g2 = decisions.iter().filter(|said| said.code == events::Code::Opened && said.grid.as_deref() == Some("g2"));
    Ok(of_g2.map(|said| said.event_id).collect::<std::collections::HashSet<_>>().len() as u64)
}

type Shown = mpsc::UnboundedReceiver<(u32, Instant)>;

fn watch(mut stream: testkit::site::stream::Stream) -> (Shown, tokio::task::JoinHandle<Result<()>>) {
    let (tell, shown) = mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        loop {
            let message = stream.next().await?;
            let at = Instant::now();
            let household = message.data["household"].as_str().and_then(|name| name.strip_prefix('h')?.parse().ok());
            tell.send((household.context("a task of another household")?, at))?;
        }
    });
    (shown, watching)
}

/// What was shown of what was sent, as soon as it is all; what is not shown in time is missing.
async fn all_shown(mut shown: Shown, answered: &[Answered]) -> HashMap<u32, Instant> {
    let mut all = HashMap::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while all.len() < answered.len() {
        match tokio::time::timeout_at(deadline, shown.recv()).await {
            Ok(Some((number, at))) => drop(all.entry(number).or_insert(at)),
            _ => break,
        }
    }
    all
}

/// Sends each at its time until told to stop, and waits for all answers.
async fn send(client: Client, count: u32, rate: u32, stop: Arc<AtomicBool>) -> Result<Vec<Answered>> {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let began = Instant::now();
    for number in (0..count).take_while(|_| !stop.load(Ordering::Relaxed)) {
        tokio::time::sleep_until((began + Duration::from_secs_f64(f64::from(number) / f64::from(rate))).into()).await;
        let (client, answers) = (client.clone(), answers.clone());
        // A closed channel: the check has ended already.
        tokio::spawn(async move { _ = answers.send(send_one(&client, number, Some(LOW)).await) });
    }
    drop(answers);
    let mut all = Vec::new();
    while let Some(answer) = answered.recv().await {
        all.push(answer?);
    }
    Ok(all)
}
