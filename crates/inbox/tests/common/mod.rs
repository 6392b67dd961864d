//! An inbox over an embedded log, with a little router of its own that answers actions as the real one's contract says.

#![allow(dead_code, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up fails")]

use domain::Clock;
use eventlog::embedded::Embedded;
use eventlog::fencing::epoch_headers;
use eventlog::schemas::Schemas;
use eventlog::{Append, From, Log, site_topics};
use events::topics::{self, household_key, partition_of};
use events::*;
use keys::{Keyring, Pii, SignIn, SupervisorEntry, TokensFile, WorkerEntry};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::given;
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: i32 = 3;
pub const M: &str = "m1";
/// Worker of g1, worker of g2, supervisor of 330106, everybody's supervisor, ops.
pub const W1: &str = "worker-one-token-000000001";
pub const W2: &str = "worker-two-token-000000002";
pub const S1: &str = "supervisor-token-000000003";
pub const ALL: &str = "supervisor-of-all-0000004";
/// Supervisor of 330999.
pub const S9: &str = "supervisor-token-00000006";
pub const OPS: &str = "operations-token-000000005";
pub const WAIT: Duration = Duration::from_secs(20);

pub struct Site {
    pub base: String,
    pub log: Arc<dyn Log>,
    pub schemas: Arc<Schemas>,
    pub keyring: Arc<Keyring>,
    pub http: reqwest::Client,
    pub dir: Arc<tempfile::TempDir>,
    stop: CancellationToken,
    run: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
    clock: Clock,
    /// What the inbox is started with.
    pub config: inbox::Config,
}

impl Site {
    pub async fn open() -> Site {
        Site::with(Clock::Wall, |_| {}).await
    }

    /// `prepare` may lay something into the folder of the log of reads.
    pub async fn with(clock: Clock, prepare: impl FnOnce(&Path)) -> Site {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
        log.create_topics(&site_topics(PARTITIONS)).await.unwrap();
        let schemas = Schemas::open("").await.unwrap();
        let keyring = Arc::new(Keyring::init(&testkit::keyring::settings(dir.path())).unwrap());
        keyring.create_mandate(M).unwrap();
        std::fs::create_dir_all(dir.path().join("audit")).unwrap();
        prepare(&dir.path().join("audit"));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let stop = CancellationToken::new();
        let mut site =
            Site { base: String::new(), log, schemas, keyring, http, dir, stop, run: None, clock, config: inbox::Config::default() };
        site.mandate(MandateState::Open, 1).await;
        for (grid, division) in [("g1", "330106"), ("g2", "330106"), ("g9", "330999")] {
            let entry = GridEntry {
                name: format!("{grid} 网格"),
                community: format!("{division}001001"),
                community_name: "文三社区".into(),
                subdistrict: format!("{division}001"),
                division: division.into(),
                workers: 2,
                published_at: Millis(1),
            };
            site.put(topics::GRIDS, grid, &entry).await;
        }
        site.start().await;
        site
    }

    pub async fn start(&mut self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.base = format!("http://{}", listener.local_addr().unwrap());
        self.stop = CancellationToken::new();
        self.run = Some(tokio::spawn(inbox::run(
            self.config.clone(),
            self.clock,
            Arc::clone(&self.log),
            Arc::clone(&self.schemas),
            given::signers(),
            Arc::clone(&self.keyring),
            Arc::new(SignIn::new(&tokens())),
            inbox::Audit { dir: self.dir.path().join("audit"), signer: audit::Signer::open(&self.dir.path().join("keys")).unwrap() },
            listener,
            self.stop.clone(),
        )));
        self.eventually("ready", async || {
            self.http.get(format!("{}/readyz", self.base)).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.run.take().unwrap().await.unwrap().unwrap();
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub async fn eventually(&self, what: &str, check: impl AsyncFn() -> bool) {
        let deadline = tokio::time::Instant::now() + WAIT;
        while !check().await {
            assert!(tokio::time::Instant::now() < deadline, "{what} does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn put<R: Record>(&self, topic: &'static str, key: &str, record: &R) {
        self.append(topic, key, Some(self.schemas.codec().encode(record)), Default::default()).await;
    }

    pub async fn append(&self, topic: &'static str, key: &str, value: Option<Vec<u8>>, headers: eventlog::Headers) -> i64 {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        self.append_to(topic, partition, key, value, headers).await
    }

    pub async fn append_to(
        &self,
        topic: &'static str,
        partition: i32,
        key: &str,
        value: Option<Vec<u8>>,
        headers: eventlog::Headers,
    ) -> i64 {
        let record = Append { topic: topic.into(), partition, key: key.to_owned().into(), value: value.map(Into::into), headers };
        self.log.append(vec![record]).await.unwrap()[0].offset
    }

    pub async fn mandate(&self, state: MandateState, version: i64) {
        let mandate = Mandate {
            id: M.into(),
            version,
            title: "演示".into(),
            legal_basis: "law".into(),
            issued_by: "city".into(),
            purposes: vec!["visits".into()],
            sources: vec!["*".into()],
            fields: vec!["*".into()],
            divisions: vec!["3301".into()],
            max_households: 1000,
            valid_from: Millis(0),
            valid_until: Millis(i64::MAX / 2),
            state,
            demonstration: true,
            ..given::mandate()
        };
        self.put(topics::MANDATES, M, &given::signed(mandate)).await;
    }

    pub fn sealed(&self, field: &str, owner: &str, text: &str) -> Sealed {
        let value = Blob(self.keyring.mandate(M).unwrap().seal(field, owner, text.as_bytes()).unwrap());
        Sealed { owner: owner.into(), value }
    }

    pub async fn household(&self, household: &str, grid: &str, address: &str) {
        let key = household_key(M, household);
        let entry = HouseholdEntry {
            version: 1,
            grid: grid.into(),
            address: Some(self.sealed("address", &key, address)),
            contact: Some(self.sealed("contact", &key, r#"{"name":"李四","phone":"13800138000"}"#)),
        };
        self.put(topics::HOUSEHOLDS, &key, &entry).await;
    }

    /// Writes a household's state as its owner of epoch 0 does.
    pub async fn task(&self, task: &Task) {
        self.put(topics::TASKS, &household_key(M, &task.household), task).await;
    }

    /// Writes it and waits until the inbox shows it to everybody's supervisor.
    pub async fn shown(&self, task: &Task) {
        self.task(task).await;
        let seen = async || self.get(ALL, &format!("/v1/tasks/{}", task.task_id)).await.1["version"] == task.version;
        self.eventually("the task", seen).await;
    }

    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub async fn act(&self, token: &str, task_id: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/v1/tasks/{task_id}/actions", self.base);
        let answer =
            self.http.post(url).bearer_auth(token).header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub fn reads(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("audit/reads-00000001.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub async fn actions(&self) -> i64 {
        let mut count = 0;
        for partition in 0..PARTITIONS {
            count += self.log.offsets(topics::ACTIONS, partition).await.unwrap().1;
        }
        count
    }

    /// Answers actions on these tasks: a claim of an open task and the outcome `screened` count, anything else is a conflict.
    pub async fn router(&self, tasks: Vec<Task>) {
        let mut states: HashMap<String, Task> = tasks.into_iter().map(|task| (household_key(M, &task.household), task)).collect();
        let (log, schemas) = (Arc::clone(&self.log), Arc::clone(&self.schemas));
        let from = (0..PARTITIONS).map(|partition| From { topic: topics::ACTIONS.into(), partition, offset: 0 }).collect();
        let mut reader = log.read(from).await.unwrap();
        tokio::spawn(async move {
            loop {
                let batch = reader.next().await.unwrap();
                for record in &batch.records {
                    let action: Action = schemas.decode(record).await.unwrap();
                    let key = String::from_utf8(record.key.to_vec()).unwrap();
                    let task = states.get_mut(&key).unwrap();
                    let status = decide(task, &action);
                    task.version += 1;
                    let answer = Answer {
                        action_id: action.action_id,
                        status,
                        field: None,
                        actor: action.actor,
                        at: action.received_at,
                        version: task.version,
                    };
                    task.answers.push(answer);
                    let value = Some(schemas.codec().encode(task).into());
                    let append = Append {
                        topic: topics::TASKS.into(),
                        partition: record.partition,
                        key: key.into(),
                        value,
                        headers: Default::default(),
                    };
                    log.append(vec![append]).await.unwrap();
                }
            }
        });
    }

    /// A claim's epoch on the partition of a household.
    pub async fn claim(&self, household: &str, name: &str) -> i64 {
        let partition = partition_of(household_key(M, household).as_bytes(), PARTITIONS);
        self.append_to(topics::TASKS, partition, &format!("~claim/{name}"), Some(vec![1]), Default::default()).await + 1
    }

    pub async fn task_of_epoch(&self, task: &Task, epoch: i64) {
        let value = Some(self.schemas.codec().encode(task));
        self.append(topics::TASKS, &household_key(M, &task.household), value, epoch_headers(epoch)).await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn decide(task: &mut Task, action: &Action) -> i32 {
    match (action.action, action.outcome) {
        (ActionKind::Claim, _) if task.state == TaskState::Open => {
            task.state = TaskState::Claimed;
            task.assignee = Some(action.actor.clone());
            200
        }
        (ActionKind::Outcome, Some(Outcome::Screened)) => {
            task.state = TaskState::Done;
            task.outcome = action.outcome;
            200
        }
        (ActionKind::HandBack, _) => {
            task.grid = action.to_grid.clone();
            let (grid, version) = (task.grid.clone().unwrap(), task.version + 1);
            task.grids.push(GridStay { grid, from: action.received_at, version });
            200
        }
        (ActionKind::Register, _) => 200,
        (ActionKind::Note, _) => {
            task.note = action.note.clone();
            200
        }
        _ => 409,
    }
}

fn tokens() -> TokensFile {
    let worker =
        |name: &str, grid: &str, token: &str| WorkerEntry { name: name.into(), grids: vec![grid.into()], token: Pii::new(token.into()) };
    let supervisor = |name: &str, area: &str, token: &str| SupervisorEntry {
        name: name.into(),
        areas: vec![area.into()],
        token: Pii::new(token.into()),
    };
    TokensFile {
        workers: vec![worker("w1", "g1", W1), worker("w2", "g2", W2)],
        supervisors: vec![supervisor("s1", "330106", S1), supervisor("s0", "*", ALL), supervisor("s9", "330999", S9)],
        ops: vec![keys::Entry { name: "ops".into(), token: Pii::new(OPS.into()) }],
        ..TokensFile::default()
    }
}

/// An open task of a household in a grid, of version 1.
pub fn open_task(household: &str, grid: &str) -> Task {
    let opened = Millis(1_760_000_000_000);
    Task {
        mandate: M.into(),
        household: household.into(),
        grid: Some(grid.into()),
        task_id: task_id(M, household, 1),
        episode: 1,
        version: 1,
        state: TaskState::Open,
        priority: Level::Low,
        opened_at: Some(opened),
        due_at: Some(Millis(opened.0 + 86_400_000)),
        evidence: vec![Evidence {
            event_id: EventId([7; 16]),
            kind: SourceKind::Checkpoint,
            observed_at: opened,
            origin_division: Some("3301".into()),
        }],
        joined: 2,
        assignee: None,
        outcome: None,
        screened_at: None,
        covered_until: None,
        triage: false,
        supervisor: false,
        attempts: 0,
        address: None,
        before: None,
        grids: vec![GridStay { grid: grid.into(), from: opened, version: 1 }],
        answers: vec![],
        note: None,
        start: Some(opened),
        end: Some(Millis(opened.0 + 14 * 86_400_000)),
        window_days: 14,
        covers: vec![],
        stays: vec![],
        handed_back: None,
        standing: None,
        entry_grid: Some(grid.into()),
        judged_by: JudgedBy { entry: 0, policy: 0, mandate: 0, grid: 0 },
        observed_until: opened,
        unsent_decisions: false,
        registered: vec![],
    }
}

/// A traveller who is at a task.
pub fn stay(traveller: &str) -> Stay {
    Stay {
        traveller: given::traveller_id(traveller),
        version: 1,
        left_at: None,
        first_taken_at: Some(Millis(1_760_000_000_000)),
        declared: None,
        signals: vec![],
        pushed_out: vec![],
        covers: vec![],
        unsent: None,
    }
}

/// The same task after it has moved.
pub fn moved(task: &Task, grid: &str, at: Millis) -> Task {
    let mut task = Task { grid: Some(grid.into()), version: task.version + 1, ..task.clone() };
    task.grids.push(GridStay { grid: grid.into(), from: at, version: task.version });
    task
}

/// A stream of events as a phone reads it.
pub struct Stream(reqwest::Response, String);

impl Stream {
    pub async fn open(site: &Site, token: &str, query: &str, last_id: Option<&str>) -> Stream {
        let mut request = site.http.get(format!("{}/v1/tasks/stream{query}", site.base)).bearer_auth(token);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        let mut stream = Stream(answer, String::new());
        // The first block says that the stream stands.
        stream.block().await;
        stream
    }

    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.1.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.1 = rest;
                return block;
            }
            let chunk = self.0.chunk().await.unwrap().expect("the stream goes on");
            self.1.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Name, id and data of the next event.
    pub async fn next(&mut self) -> (String, Option<String>, Value) {
        tokio::time::timeout(WAIT, self.data()).await.expect("an event comes in time")
    }

    async fn data(&mut self) -> (String, Option<String>, Value) {
        loop {
            let block = self.block().await;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim_start().to_owned())
            };
            if let Some(data) = field("data") {
                let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
                return (field("event").unwrap_or_default(), field("id"), data);
            }
        }
    }
}
