//! Everything, asked as everybody: each endpoint of the three listeners of the real binary, by each role, area and mandate's state, about each
//! kind of object; compared with a table of its own. What is absent and what is somebody else's must be told in the same bytes, and are timed.

mod table;
mod world;

pub use table::Rule;

use anyhow::{Context, Result, ensure};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};
use table::{Endpoint, Told, expected, sees};
use world::{Asker, World};

const TOGETHER: usize = 16;
const REPORTS: [&str; 5] = ["topics", "lag", "ledger", "trace/00000000000000000000000000000000", "dlq"];
const TOPICS: [&str; 5] = ["audit.checkpoints.v1", "control.mandates.v1", "control.policies.v1", "inbox.tasks.v1", "registry.grids.v1"];
const TOLD_MAX: usize = 20;

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Requests made.
    pub requests: u64,
    /// Answered where the table says no.
    pub wrong_allows: u64,
    /// Refused where the table says yes.
    pub wrong_denials: u64,
    /// Refused, but not as the table says; or an answer that shows more or less than it should.
    pub otherwise: u64,
    /// Refusals that do not look like that of something absent.
    pub unlike_absent: u64,
    /// How often each endpoint was asked and allowed, and refused.
    pub by_endpoint: BTreeMap<String, [u64; 2]>,
    /// Median time of what is absent, in microseconds.
    pub absent_us: u64,
    /// Median time of what is somebody else's, in microseconds.
    pub forbidden_us: u64,
    /// The first that were wrong.
    pub wrong: Vec<String>,
}

impl Report {
    /// No wrong answer, and every endpoint was both allowed and refused.
    pub fn passes(&self) -> bool {
        let wrong = self.wrong_allows + self.wrong_denials + self.otherwise + self.unlike_absent;
        wrong == 0 && self.by_endpoint.len() >= 12 && self.by_endpoint.values().all(|[allowed, refused]| *allowed > 0 && *refused > 0)
    }

    fn note(&mut self, what: String) {
        if self.wrong.len() < TOLD_MAX {
            self.wrong.push(what);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { requests, wrong_allows, wrong_denials, otherwise, unlike_absent, absent_us, forbidden_us, .. } = self;
        for wrong in &self.wrong {
            writeln!(f, "{wrong}")?;
        }
        write!(
            f,
            "{requests} requests, {} endpoints: {wrong_allows} wrong allows, {wrong_denials} wrong denials, {otherwise} told otherwise, \
             {unlike_absent} unlike absent; absent {absent_us} µs, somebody else's {forbidden_us} µs (ratio {:.3})",
            self.by_endpoint.len(),
            *forbidden_us as f64 / (*absent_us).max(1) as f64
        )
    }
}

/// An answer as far as anybody can tell it from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    status: u16,
    headers: Vec<String>,
    body: String,
}

/// A site to ask, and a client.
pub struct Matrix {
    world: World,
    http: reqwest::Client,
}

impl Matrix {
    /// Starts the site.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Matrix> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Matrix { world: World::start().await?, http })
    }

    /// Makes so many requests. `without`: the table forgets a rule.
    ///
    /// # Errors
    /// No answer, or one of the program's own failures.
    pub async fn run(&self, requests: u64, seed: u64, without: Option<Rule>) -> Result<Report> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut report = Report::default();
        let absent = self.absent().await?;
        while report.requests < requests {
            let count = TOGETHER.min(usize::try_from(requests - report.requests)?);
            let chosen: Vec<(&Asker, Endpoint)> = (0..count).map(|_| self.choose(&mut random)).collect::<Result<_>>()?;
            let asked = chosen.iter().map(|(asker, endpoint)| self.ask(asker, endpoint));
            for ((asker, endpoint), look) in chosen.iter().zip(futures::future::try_join_all(asked).await?) {
                report.requests += 1;
                self.judge(asker, endpoint, &look, without, &absent, &mut report);
            }
        }
        (report.absent_us, report.forbidden_us) = self.time((requests / 50).clamp(50, 2_000), &mut random).await?;
        Ok(report)
    }

    fn choose(&self, random: &mut SmallRng) -> Result<(&Asker, Endpoint)> {
        let World { askers, tasks, .. } = &self.world;
        let asker = askers.choose(random).context("askers")?;
        let task = |random: &mut SmallRng| random.random_bool(0.9).then(|| random.random_range(0..tasks.len()));
        fn one(of: &[&'static str], random: &mut SmallRng) -> &'static str {
            of.choose(random).copied().unwrap_or_default()
        }
        let endpoint = match random.random_range(0..21) {
            0 => Endpoint::Events(one(&["checkpoint", "highway", "telecom"], random)),
            1 => Endpoint::SentStatus,
            2 => Endpoint::AbsentStatus,
            3 => Endpoint::Lookup,
            4 => Endpoint::Me,
            5 => Endpoint::List(None),
            6 => Endpoint::List(Some(one(&["g1", "g2", "g3", "g9"], random))),
            7 => Endpoint::Stream,
            8..=11 => Endpoint::Detail(task(random)),
            12..=15 => Endpoint::Act(task(random).filter(|at| !tasks[*at].waiting)),
            16 => Endpoint::Report(one(&REPORTS, random)),
            17 => Endpoint::Tail(one(&TOPICS, random)),
            20 => Endpoint::Notices,
            18 => Endpoint::LogRead(one(&["topics", "offsets"], random)),
            _ => Endpoint::LogAppend,
        };
        Ok((asker, endpoint))
    }

    async fn ask(&self, asker: &Asker, endpoint: &Endpoint) -> Result<Look> {
        let client = &self.world.site.client;
        let (gateway, inbox, ops) = (&client.gateway, &client.inbox, &client.ops);
        let id = |at: &Option<usize>| at.map_or_else(|| "0".repeat(32), |at| self.world.tasks[at].id.clone());
        let get = |url: String| (Method::GET, url, None);
        let post = |url: String, body: Value| (Method::POST, url, Some(body.to_string()));
        let (method, url, body) = match endpoint {
            Endpoint::Events(kind) => post(format!("{gateway}/v1/events/{kind}"), json!({"id": ""})),
            Endpoint::SentStatus => get(format!("{gateway}/v1/events/sent-1")),
            Endpoint::AbsentStatus => get(format!("{gateway}/v1/events/sent-2")),
            Endpoint::Lookup => post(format!("{gateway}/v1/screenings/lookup"), json!({"phone": "13800138000"})),
            Endpoint::Me => get(format!("{inbox}/v1/me")),
            Endpoint::List(None) => get(format!("{inbox}/v1/tasks?limit=500")),
            Endpoint::List(Some(grid)) => get(format!("{inbox}/v1/tasks?limit=500&grid={grid}")),
            // A cursor that means nothing: whoever may use the stream is told so.
            Endpoint::Stream => get(format!("{inbox}/v1/tasks/stream?after=x")),
            Endpoint::Notices => get(format!("{inbox}/v1/notices")),
            Endpoint::Detail(at) => get(format!("{inbox}/v1/tasks/{}", id(at))),
            Endpoint::Act(at) => {
                // A grid that is not there: whoever may act is told so, and nothing is done.
                let action_id = "6f1c1f0e-8d3a-4a39-9a53-4d4a5c2b7e11";
                let body = json!({"action_id": action_id, "action": "hand_back", "to_grid": "nowhere"});
                post(format!("{inbox}/v1/tasks/{}/actions", id(at)), body)
            }
            Endpoint::Report(name) => get(format!("{ops}/v1/{name}")),
            Endpoint::Tail(topic) => get(format!("{ops}/v1/tail/{topic}?count=1")),
            Endpoint::LogRead("topics") => get(format!("{ops}/log/topics")),
            Endpoint::LogRead(_) => post(format!("{ops}/log/offsets"), json!({"topic": "registry.grids.v1", "partition": 0, "offset": 0})),
            Endpoint::LogAppend => post(format!("{ops}/log/append"), json!("no frame")),
        };
        let mut request = self.http.request(method, &url);
        if let Some(token) = &asker.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.with_context(|| url.clone())?;
        let status = answer.status();
        ensure!(!status.is_server_error(), "{url}: {status}");
        let told = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name != "date").then(|| format!("{name}: {}", value.to_str().unwrap_or("?")))
        };
        let headers = answer.headers().iter().filter_map(told).collect();
        Ok(Look { status: status.as_u16(), headers, body: answer.text().await? })
    }

    /// How something absent looks, by what is asked.
    async fn absent(&self) -> Result<BTreeMap<&'static str, Look>> {
        let one = |name: &str| self.world.askers.iter().find(|asker| asker.name == name).context("an asker");
        let mut looks = BTreeMap::new();
        for (key, asker, endpoint) in [
            ("SentStatus", "checkpoint-bureau", Endpoint::AbsentStatus),
            ("Detail", "w-0001", Endpoint::Detail(None)),
            ("Act", "w-0001", Endpoint::Act(None)),
        ] {
            let look = self.ask(one(asker)?, &endpoint).await?;
            ensure!(look.status == StatusCode::NOT_FOUND, "{endpoint:?}: {look:?}");
            looks.insert(key, look);
        }
        Ok(looks)
    }

    fn judge(
        &self,
        asker: &Asker,
        endpoint: &Endpoint,
        look: &Look,
        without: Option<Rule>,
        absent: &BTreeMap<&'static str, Look>,
        report: &mut Report,
    ) {
        let must = expected(asker, endpoint, &self.world.tasks, without);
        let name = name_of(endpoint);
        let hides = matches!(endpoint, Endpoint::SentStatus | Endpoint::AbsentStatus | Endpoint::Detail(_) | Endpoint::Act(_));
        let told = match look.status {
            401 => Told::Unknown401,
            403 => Told::Forbidden403,
            404 if hides => Told::Absent404,
            _ => Told::Allowed,
        };
        let key = if matches!(endpoint, Endpoint::AbsentStatus) { "SentStatus" } else { name };
        let [allowed, refused] = report.by_endpoint.entry(key.to_owned()).or_default();
        *(if told == Told::Allowed { allowed } else { refused }) += 1;
        let what = || format!("{} ({}) {endpoint:?}: must be {must:?}, was {}: {}", asker.name, asker.role, look.status, look.body);
        match (must == Told::Allowed, told == Told::Allowed) {
            (false, true) => report.wrong_allows += 1,
            (true, false) => report.wrong_denials += 1,
            _ if must != told => report.otherwise += 1,
            (true, true) if !self.shows(asker, endpoint, look, without) => report.otherwise += 1,
            _ if told == Told::Absent404 && absent.get(key) != Some(look) => report.unlike_absent += 1,
            _ => return,
        }
        report.note(what());
    }

    /// Whether a list holds exactly what the table says, and names nobody.
    fn shows(&self, asker: &Asker, endpoint: &Endpoint, look: &Look, without: Option<Rule>) -> bool {
        let Endpoint::List(grid) = endpoint else { return true };
        let body: Value = serde_json::from_str(&look.body).unwrap_or_default();
        let found: BTreeSet<&str> = body["tasks"].as_array().into_iter().flatten().filter_map(|task| task["task_id"].as_str()).collect();
        let listed = self.world.tasks.iter().filter(|task| !task.is_over && grid.is_none_or(|grid| task.grid == Some(grid)));
        let must: BTreeSet<&str> = listed.filter(|task| sees(asker, task, without)).map(|task| task.id.as_str()).collect();
        found == must && !look.body.contains("contact")
    }

    /// Medians of what is absent and of what is somebody else's, one after the other on a quiet connection.
    async fn time(&self, pairs: u64, random: &mut SmallRng) -> Result<(u64, u64)> {
        let World { askers, tasks, .. } = &self.world;
        let asker = askers.iter().find(|asker| asker.name == "w-two").context("a worker")?;
        let others: Vec<usize> = (0..tasks.len()).filter(|at| !sees(asker, &tasks[*at], None)).collect();
        let mut times = [vec![], vec![]];
        for _ in 0..pairs {
            let other = others.choose(random).copied();
            for (endpoint, times) in [Endpoint::Detail(None), Endpoint::Detail(other)].iter().zip(&mut times) {
                let began = Instant::now();
                self.ask(asker, endpoint).await?;
                times.push(u64::try_from(began.elapsed().as_micros())?);
            }
        }
        let [absent, forbidden] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        Ok((absent, forbidden))
    }
}

fn name_of(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Events(_) => "Events",
        Endpoint::SentStatus => "SentStatus",
        Endpoint::AbsentStatus => "AbsentStatus",
        Endpoint::Lookup => "Lookup",
        Endpoint::Me => "Me",
        Endpoint::List(_) => "List",
        Endpoint::Stream => "Stream",
        Endpoint::Notices => "Notices",
        Endpoint::Detail(_) => "Detail",
        Endpoint::Act(_) => "Act",
        Endpoint::Report(_) => "Report",
        Endpoint::Tail(_) => "Tail",
        Endpoint::LogRead(_) => "LogRead",
        Endpoint::LogAppend => "LogAppend",
    }
}
