//! The histories through both loops of a running router, on the embedded log: events, registry and actions are appended as connectors
//! and inbox append them, decisions and tasks are read back from the log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use domain::Clock;
use eventlog::embedded::Embedded;
use eventlog::fencing::{Fold, Verdict};
use eventlog::schemas::Schemas;
use eventlog::{Append, From, Log};
use events::time::DAY_MS;
use events::topics::*;
use events::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::given;
use testkit::histories::{self, Act, Sighting, Step};
use tokio_util::sync::CancellationToken;

const DAY_0: i64 = 1_767_542_400_000;
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn moment(day: f64) -> Millis {
    Millis(DAY_0 + (day * DAY_MS as f64).round() as i64)
}

fn token(name: &str) -> Token {
    let (first, second) = (ids::digest64(&[name.as_bytes()]), ids::digest64(&[name.as_bytes(), b"2"]));
    Token([first.to_be_bytes(), second.to_be_bytes()].concat().try_into().unwrap())
}

fn identifier(name: &str) -> Identifier {
    let kind = match name.split(':').next() {
        Some("id") => IdentifierKind::ResidentId,
        Some("phone") => IdentifierKind::Phone,
        Some("plate") => IdentifierKind::Plate,
        _ => IdentifierKind::Address,
    };
    Identifier { kind, token: token(name) }
}

/// One site: a log, a router, and what can be seen of them.
struct World {
    log: Arc<dyn Log>,
    codec: Codec,
    decisions: BTreeMap<EventId, Vec<Decision>>,
    tasks: BTreeMap<String, Task>,
    positions: BTreeMap<(String, i32), i64>,
    folds: HashMap<(String, i32), Fold>,
    reader: Box<dyn eventlog::Reader>,
    sightings: BTreeMap<&'static str, Sighting>,
    first_tasks: BTreeMap<&'static str, (String, TaskId)>,
    links: BTreeMap<Token, IdentifierLink>,
    entries: BTreeSet<String>,
    actions: usize,
    visits: BTreeMap<TaskId, ()>,
}

impl World {
    async fn new(log: Arc<dyn Log>) -> World {
        let read = |topic: &'static str| (0..PARTITIONS).map(move |partition| From { topic: topic.into(), partition, offset: 0 });
        let reader = log.read(read(DECISIONS).chain(read(TASKS)).chain(read(TRAVELLERS)).collect()).await.unwrap();
        let world = World {
            log,
            codec: Codec::built_in(),
            decisions: BTreeMap::new(),
            tasks: BTreeMap::new(),
            positions: BTreeMap::new(),
            folds: HashMap::new(),
            reader,
            sightings: BTreeMap::new(),
            first_tasks: BTreeMap::new(),
            links: BTreeMap::new(),
            entries: ["A", "B"].map(str::to_owned).into(),
            actions: 0,
            visits: BTreeMap::new(),
        };
        for (code, division) in [("g1", "330106"), ("g2", "330107")] {
            let grid = GridEntry {
                name: code.into(),
                community: format!("{division}001001"),
                community_name: code.into(),
                subdistrict: format!("{division}001"),
                division: division.into(),
                workers: 1,
                published_at: Millis(1),
            };
            world.publish(GRIDS, code, &grid).await;
        }
        world.mandate(None).await;
        for (household, grid) in [("A", "g1"), ("B", "g2")] {
            let entry = HouseholdEntry { version: 1, grid: grid.into(), address: None, contact: None };
            world.publish(HOUSEHOLDS, &household_key("m", household), &entry).await;
        }
        world
    }

    async fn append(&self, append: Append) {
        self.log.append(vec![append]).await.unwrap();
    }

    async fn publish<R: Record>(&self, topic: &'static str, key: &str, record: &R) {
        self.put(topic, key, Some(self.codec.encode(record))).await;
    }

    async fn put(&self, topic: &'static str, key: &str, value: Option<Vec<u8>>) {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        self.append(Append {
            topic: topic.into(),
            partition,
            key: key.to_owned().into(),
            value: value.map(Into::into),
            headers: Default::default(),
        })
        .await;
    }

    async fn mandate(&self, until: Option<f64>) {
        let text = "id='m'\nversion=1\ntitle='t'\nlegal_basis='l'\nissued_by='i'\npurposes=['p']\nsources=['*']\nfields=['*']\ndivisions=['*']\n\
                    max_households=9\ndemonstration=true\nvalid_from='2025-01-01T00:00:00Z'\nvalid_until='2027-01-01T00:00:00Z'";
        let mut mandate = domain::mandate::from_toml(text).unwrap();
        if let Some(day) = until {
            (mandate.valid_until, mandate.version) = (moment(day), 2);
        }
        self.publish(MANDATES, "m", &given::signed(mandate)).await;
    }

    /// Until the router has read it: then a household is judged by it, and what comes later meets no other.
    async fn judged_by_mandate(&mut self, version: i64) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !self.tasks.values().any(|task| task.judged_by.mandate == version) {
            self.look().await;
            if Instant::now() > end {
                return Err("no household is judged by the new mandate".into());
            }
        }
        Ok(())
    }

    /// Reads what there is, until something comes or a moment has passed.
    async fn look(&mut self) {
        let Ok(batch) = tokio::time::timeout(Duration::from_millis(50), self.reader.next()).await else { return };
        let batch = batch.unwrap();
        for record in &batch.records {
            if &*batch.topic == DECISIONS {
                let decision: Decision = self.codec.decode(record.value.as_deref().unwrap()).unwrap();
                self.decisions.entry(decision.event_id).or_default().push(decision);
                continue;
            }
            let fold = self.folds.entry((batch.topic.to_string(), batch.partition)).or_default();
            match fold.judge(record) {
                Verdict::Position(input) => {
                    let value = std::str::from_utf8(record.value.as_deref().unwrap()).unwrap().parse().unwrap();
                    self.positions.insert((input.to_owned(), batch.partition), value);
                }
                Verdict::State if &*batch.topic == TASKS => {
                    let key = String::from_utf8(record.key.to_vec()).unwrap();
                    // The repair of a stale record where its owner holds none.
                    let Some(value) = record.value.as_deref() else {
                        self.tasks.remove(&key);
                        continue;
                    };
                    let task: Task = self.codec.decode(value).unwrap();
                    domain::invariants::check(&task).unwrap();
                    if !task.task_id.is_empty() {
                        self.visits.insert(task.task_id, ());
                    }
                    self.tasks.insert(key, task);
                }
                Verdict::State | Verdict::Claim | Verdict::Stale => {}
            }
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&World) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            if Instant::now() > end {
                return Err(format!("never: {what}"));
            }
            self.look().await;
        }
        Ok(())
    }

    /// Every input has been passed by its position, and nothing is on its way: asked twice, since an arrival may cause a return.
    async fn quiet(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 2 {
            self.look().await;
            let mut all = true;
            for topic in [CHECKPOINT, HIGHWAY, TELECOM, RETURNS, ARRIVALS, ACTIONS] {
                for partition in 0..PARTITIONS {
                    let (_, last) = self.log.offsets(topic, partition).await.unwrap();
                    all &= self.positions.get(&(topic.to_owned(), partition)).copied().unwrap_or(0) == last;
                }
            }
            quiet = if all { quiet + 1 } else { 0 };
            if Instant::now() > end {
                return Err("never quiet".into());
            }
        }
        Ok(())
    }

    fn newest(&self, event: &str) -> Option<&Decision> {
        self.decisions.get(&EventId(token(event).0))?.iter().max_by_key(|decision| decision.revision)
    }

    async fn see(&self, mandate: &str, sighting: &Sighting) {
        let mut identifiers: Vec<Identifier> = sighting.identifiers.iter().map(|name| identifier(name)).collect();
        let destination = sighting.to.map(|(grid, address)| {
            identifiers.extend(address.map(identifier));
            Destination { division: "330106".into(), grid: grid.into(), address: None }
        });
        let (event_id, observed_at) = (EventId(token(sighting.event).0), moment(sighting.day));
        let key = identifiers[0].token.to_string();
        let (mandate, source, source_ref, received_at) = (mandate.into(), sighting.kind.to_string().into(), "r".into(), observed_at);
        let direction = if sighting.out { Direction::Out } else { Direction::In };
        let origin_division = None;
        match sighting.kind {
            SourceKind::Checkpoint => {
                let (checkpoint, party_size) = ("c".into(), None);
                let event = CheckpointPassage {
                    event_id,
                    mandate,
                    source,
                    source_ref,
                    observed_at,
                    received_at,
                    identifiers,
                    origin_division,
                    checkpoint,
                    direction,
                    party_size,
                    destination,
                };
                self.publish(CHECKPOINT, &key, &event).await;
            }
            SourceKind::Highway => {
                let (station, vehicle_class) = ("s".into(), None);
                let event = HighwayEntrance {
                    event_id,
                    mandate,
                    source,
                    source_ref,
                    observed_at,
                    received_at,
                    identifiers,
                    origin_division,
                    station,
                    direction,
                    vehicle_class,
                };
                self.publish(HIGHWAY, &key, &event).await;
            }
            SourceKind::Telecom => {
                let (from_division, to_division, dwell_minutes) = (None, "330106".into(), 300);
                let event = TelecomMovement {
                    event_id,
                    mandate,
                    source,
                    source_ref,
                    observed_at,
                    received_at,
                    identifiers,
                    origin_division,
                    from_division,
                    to_division,
                    dwell_minutes,
                };
                self.publish(TELECOM, &key, &event).await;
            }
        }
    }

    /// As an import publishes it: households, then identifiers, and what is gone in the reverse order.
    async fn registry(&mut self, people: &[(&str, &str)]) {
        let mut links: BTreeMap<Token, IdentifierLink> = BTreeMap::new();
        let mut entries = std::mem::take(&mut self.entries);
        for (name, household) in people {
            let grid = histories::grid_of(household);
            if entries.insert((*household).to_owned()) {
                let entry = HouseholdEntry { version: 1, grid: grid.into(), address: None, contact: None };
                self.publish(HOUSEHOLDS, &household_key("m", household), &entry).await;
            }
            let empty = IdentifierLink { mandate: "m".into(), links: vec![], common: false };
            let link = Link { household: (*household).into(), grid: grid.into() };
            links.entry(token(name)).or_insert(empty).links.push(link);
        }
        for (token, link) in &links {
            self.publish(IDENTIFIERS, &token.to_string(), link).await;
        }
        for gone in self.links.keys().filter(|token| !links.contains_key(token)) {
            self.put(IDENTIFIERS, &gone.to_string(), None).await;
        }
        for gone in entries.iter().filter(|known| people.iter().all(|(_, household)| known != household)) {
            self.put(HOUSEHOLDS, &household_key("m", gone), None).await;
        }
        self.entries = people.iter().map(|(_, household)| (*household).to_owned()).collect();
        self.links = links;
    }

    async fn act(&mut self, act: &Act) -> Result<(), String> {
        let (household, task_id) = self.first_tasks[act.event].clone();
        self.actions += 1;
        let action_id = Text::new(format!("action-{}", self.actions));
        let given = given::action(&action_id, &task_id, act.action, Millis(0));
        let action = Action { outcome: act.outcome, to_grid: act.to_grid.map(Text::new), at: Some(moment(act.day)), ..given };
        self.publish(ACTIONS, &household, &action).await;
        let answer = |world: &World| world.tasks.get(&household)?.answers.iter().find(|answer| answer.action_id == action_id).cloned();
        self.until("an answer", |world| answer(world).is_some()).await?;
        match answer(self).unwrap().status {
            200 => Ok(()),
            status => Err(format!("{act:?} is answered {status}")),
        }
    }

    /// Sent as the inbox sends it: to the household where they are met, if it is one, and to the one that they are of.
    async fn register(&mut self, event: &str, household: &str) -> Result<(), String> {
        self.quiet().await?;
        let id = Fixed16(token(event).0);
        let holds = |task: &&Task| task.stays.iter().any(|stay| stay.signals.iter().any(|signal| signal.event_id == id));
        let task = self.tasks.values().find(holds).ok_or("nobody holds the event")?;
        let travellers = task.stays.iter().filter(|stay| stay.left_at.is_none()).map(|stay| stay.traveller).collect();
        let (place, task_id) = (task.household.clone(), task.task_id);
        self.actions += 1;
        let action_id = Text::new(format!("action-{}", self.actions));
        let register = Some(Registration { household: household.into(), travellers });
        let action = Action { register, ..given::action(&action_id, &task_id, ActionKind::Register, Millis(0)) };
        if !place.starts_with('~') && place != household {
            self.publish(ACTIONS, &household_key("m", &place), &action).await;
        }
        let key = household_key("m", household);
        for _ in 0..2 {
            self.publish(ACTIONS, &key, &action).await;
        }
        let answer = |world: &World| world.tasks.get(&key)?.answers.iter().find(|answer| answer.action_id == action_id).cloned();
        self.until("an answer to the registration", |world| answer(world).is_some()).await?;
        match answer(self).unwrap().status {
            // What two doors say of an identifier are two records, and whoever comes between them meets half of it.
            200 => {
                self.quiet().await?;
                self.tables_are_read().await
            }
            status => Err(format!("a registration of {event} at {household} is answered {status}")),
        }
    }

    /// Until the router has read its tables to their end: it does so for an event of a mandate that it does not know.
    async fn tables_are_read(&mut self) -> Result<(), String> {
        self.actions += 1;
        let event: &str = format!("stranger-{}", self.actions).leak();
        let identifiers = &["id:stranger"];
        self.see("unknown", &Sighting { event, kind: SourceKind::Checkpoint, identifiers, day: 0.0, to: None, out: false }).await;
        let event_id = EventId(token(event).0);
        self.until("tables are read", |world| world.decisions.contains_key(&event_id)).await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::See(sighting, code) => {
                self.see("m", sighting).await;
                self.sightings.insert(sighting.event, sighting.clone());
                let wanted = format!("{} {code}", sighting.event);
                self.until(&wanted, |world| world.newest(sighting.event).is_some()).await?;
                let newest = self.newest(sighting.event).unwrap();
                if newest.code != *code {
                    return Err(format!("{} is {}, not {code}", sighting.event, newest.code));
                }
                if let Some(task_id) = newest.task_id {
                    self.until("its task", |world| world.tasks.values().any(|task| task.task_id == task_id)).await?;
                    let (household, _) = self.tasks.iter().find(|(_, task)| task.task_id == task_id).unwrap();
                    self.first_tasks.insert(sighting.event, (household.clone(), task_id));
                }
            }
            Step::Again(event) => {
                self.quiet().await?;
                let id = EventId(token(event).0);
                let (tasks, said) = (self.tasks.clone(), self.decisions[&id].len());
                self.see("m", &self.sightings[event].clone()).await;
                self.until("said again", |world| world.decisions[&id].len() > said).await?;
                self.quiet().await?;
                let (first, last) = (&self.decisions[&id][said - 1], self.decisions[&id].last().unwrap());
                if (first.code, first.revision) != (last.code, last.revision) || self.tasks != tasks {
                    return Err(format!("{event} again changes something"));
                }
            }
            Step::Registry(people) => {
                self.registry(people).await;
                self.tables_are_read().await?;
            }
            Step::Act(act) => self.act(act).await?,
            Step::Register(event, household) => self.register(event, household).await?,
            Step::Now(event, code) => {
                self.until(&format!("{event} {code}"), |world| world.newest(event).is_some_and(|newest| newest.code == *code)).await?;
            }
            Step::Visits(count) => {
                self.quiet().await?;
                if self.visits.len() != *count {
                    return Err(format!("{} visits, not {count}", self.visits.len()));
                }
            }
            Step::Open(grids) => {
                let open = |world: &World| {
                    let open = |task: &&Task| matches!(task.state, TaskState::Open | TaskState::Claimed);
                    let mut open: Vec<Text> = world.tasks.values().filter(open).filter_map(|task| task.grid.clone()).collect();
                    open.sort_unstable();
                    open
                };
                self.until(&format!("open {grids:?}, now {:?}", open(self)), |world| open(world) == *grids).await?;
            }
            Step::MandateEnds(day) => {
                self.mandate(Some(*day)).await;
                self.judged_by_mandate(2).await?;
            }
        }
        Ok(())
    }
}

/// What is done to the router between two steps.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    Nothing,
    /// It is thrown away without draining, and started again: it folds its topics anew.
    Crash,
    /// The same, with caches on disk.
    CrashWithCaches,
}

async fn run(history: &histories::History, log: Arc<dyn Log>, between: Between, caches: &std::path::Path) -> Result<(), String> {
    log.create_topics(&eventlog::site_topics(PARTITIONS)).await.unwrap();
    let schemas = Schemas::open("").await.unwrap();
    let has_caches = between == Between::CrashWithCaches;
    let config = router::Config {
        clock: Clock::Events,
        signers: given::signers(),
        data_dir: has_caches.then(|| caches.to_owned()),
        member: "m1".into(),
    };
    let mut world = World::new(log.clone()).await;
    let start = || {
        let stop = CancellationToken::new();
        (tokio::spawn(router::run(config.clone(), log.clone(), schemas.clone(), stop.clone())), stop)
    };
    let (mut router, mut stop) = start();
    for (at, step) in history.steps.iter().enumerate() {
        if between != Between::Nothing && at > 0 {
            // As a crash: nothing is drained.
            router.abort();
            let _ = (&mut router).await;
            (router, stop) = start();
        }
        world.step(step).await.map_err(|error| format!("history {} ({}), step {at} {step:?}: {error}", history.number, history.title))?;
    }
    world.quiet().await?;
    stop.cancel();
    router.await.unwrap().map_err(|error| error.to_string())
}

async fn all(between: Between) {
    let mut broken = Vec::new();
    for history in histories::all().into_iter().chain(histories::at_the_door()).chain(histories::moving()) {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
        if let Err(error) = run(&history, log, between, &dir.path().join("caches")).await {
            broken.push(error);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories() {
    all(Between::Nothing).await;
}

/// Nobody sees a difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_a_crash_before_every_step() {
    all(Between::Crash).await;
}

/// The caches say no more than the topics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_a_crash_before_every_step_and_caches() {
    all(Between::CrashWithCaches).await;
}
