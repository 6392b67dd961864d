//! A policy, from its file to the visits that it makes, through the real binary on the embedded log and on Kafka: what it would have made,
//! whether it is asked back, what changes when it is in force. And that asking changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use eventlog::embedded::Embedded;
use eventlog::{From, Log};
use events::{Millis, TaskState, time};
use oneknock_tests::log_choice::LogKind;
use oneknock_tests::topics;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, PATIENCE, Site, numbers, until};

/// Households of g1 and of g2.
const HOUSEHOLDS: u64 = 12;

fn today() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A site and its policies.
struct World {
    site: Site,
    sent: u64,
}

impl World {
    async fn start(choice: LogChoice) -> World {
        let site = Site::start(Options::of_today(choice)).await.unwrap();
        let mut register = Register::of_two_grids();
        for number in 0..HOUSEHOLDS {
            let household = format!("h{number}");
            register.household(&household, if number % 2 == 0 { "g1" } else { "g2" });
            let resident_id = numbers::resident_id(number);
            register.residents.insert(Resident { resident: household.clone(), household, resident_id, ..Resident::default() });
        }
        site.import(&register).await.unwrap();
        World { site, sent: 0 }
    }

    /// Somebody of a household comes from a division; and this becomes of it.
    async fn seen(&mut self, household: u64, origin: &str, code: &str) -> String {
        self.sent += 1;
        let id = format!("cp-{}", self.sent);
        let record = json!({"id": id, "observed_at": time::format(Millis(today())), "checkpoint": "G60-118", "direction": "in",
            "resident_id": numbers::resident_id(household), "origin_division": origin});
        let posted = self.site.client.post("checkpoint", &[record]).await.unwrap();
        assert_eq!(posted.results[0]["status"], "accepted", "{posted:?}");
        self.becomes(&id, code).await;
        id
    }

    async fn becomes(&self, id: &str, wanted: &str) {
        until(&format!("{wanted} for {id}"), PATIENCE, async || {
            let code = self.site.client.code("checkpoint", id).await?;
            Ok(if code.as_deref() == Some(wanted) { Ok(()) } else { Err(format!("{code:?}")) })
        })
        .await
        .unwrap();
    }

    fn file(&self, name: &str, policy: &str) -> String {
        let path = self.site.dir().join(name);
        std::fs::write(&path, policy).unwrap();
        path.display().to_string()
    }

    async fn what_if(&self, policy: &str) -> Value {
        let file = self.file("what-if.toml", policy);
        let day = |days: i64| time::format(Millis(today() + days * time::DAY_MS));
        let words = ["policy", "what-if", "--policy", &file, "--from", &day(-1), "--to", &day(1), "--json"];
        self.site.command(&words).await.unwrap().json("policy what-if").unwrap()
    }

    /// Puts a policy into force; answers exit code and what was said.
    async fn apply(&self, policy: &str, more: &[&str]) -> (Option<i32>, String) {
        let file = self.file("applied.toml", policy);
        let words: Vec<&str> = ["policy", "apply", &file].into_iter().chain(more.iter().copied()).collect();
        let said = self.site.command(&words).await.unwrap();
        (said.code, said.out + &said.err)
    }

    async fn open(&self) -> usize {
        let log = self.site.log().await.unwrap();
        topics::tasks(&log).await.unwrap().iter().filter(|task| task.state == TaskState::Open).count()
    }

    async fn policy_version(&self) -> i64 {
        let log = self.site.log().await.unwrap();
        let schemas = eventlog::schemas::Schemas::open("").await.unwrap();
        let records = topics::records(&log, events::topics::POLICIES).await.unwrap();
        schemas.decode::<events::Policy>(records.last().unwrap()).await.unwrap().version
    }
}

fn visits(report: &Value) -> (u64, u64, i64) {
    let of = |name: &str| report["visits"][name].as_i64().unwrap();
    (of("in_force").unsigned_abs(), of("new").unsigned_abs(), of("difference"))
}

/// In force and new of a level, or of a grid.
fn row(report: &Value, rows: &str, name: &str) -> (u64, u64) {
    let row = report[rows].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or(&Value::Null);
    (row["in_force"].as_u64().unwrap_or(0), row["new"].as_u64().unwrap_or(0))
}

/// Where every partition of every topic ends, and what the router has noted down.
async fn ends(log: &dyn Log) -> (BTreeMap<(String, i32), i64>, Vec<From>) {
    let mut ends = BTreeMap::new();
    for info in log.topics().await.unwrap() {
        for partition in 0..info.partitions {
            ends.insert((info.name.clone(), partition), log.offsets(&info.name, partition).await.unwrap().1);
        }
    }
    let mut noted = log.noted_positions("router").await.unwrap();
    noted.sort_by_key(|from| (from.topic.clone(), from.partition));
    (ends, noted)
}

/// The same of a site that does not run.
async fn ends_at_rest(world: &World, kind: LogKind) -> (BTreeMap<(String, i32), i64>, Vec<From>) {
    match kind {
        LogKind::Kafka => ends(&*world.site.log().await.unwrap()).await,
        LogKind::Embedded => ends(&*Embedded::open(&world.site.dir().join("log")).unwrap()).await,
    }
}

const DEFAULT: &str = "";
const RISEN: &str = "[zones]\n33 = \"low\"\n3301 = \"high\"\n";

async fn from_file_to_visits(kind: LogKind) {
    let (choice, _kafka) = kind.start().await.unwrap();
    let mut world = World::start(choice).await;
    let first = world.seen(0, "330106", "opened").await;
    for (household, origin) in [(1, "330106"), (2, "330106"), (3, "310000"), (4, "330206")] {
        world.seen(household, origin, "opened").await;
    }
    world.seen(0, "310000", "joined").await;
    // One is screened, and comes again: the log's own actions count.
    let tasks = world.site.client.tasks().await.unwrap();
    let task = tasks.iter().find(|task| task["household"] == "h0").unwrap()["task_id"].as_str().unwrap().to_owned();
    let action = json!({"action_id": uuid::Uuid::new_v4().to_string(), "action": "outcome", "outcome": "screened"});
    assert_eq!(world.site.client.act(&task, &action).await.unwrap().status, 200);
    let covered = world.seen(0, "330106", "covered").await;

    // The null control: the policy in force against itself.
    let report = world.what_if(DEFAULT).await;
    assert_eq!((visits(&report), &report["events"], &report["actions"]), ((5, 5, 0), &7.into(), &1.into()), "{report}");
    assert_eq!(report["at_once"]["visits"], 0);

    // Only those of the zone; the one who was screened is not asked twice, as if the zone had always been there.
    let report = world.what_if(&format!("match = \"high\"\n{RISEN}")).await;
    assert_eq!(visits(&report), (5, 3, -2), "{report}");
    assert_eq!((row(&report, "levels", "high"), row(&report, "levels", "low")), ((0, 3), (5, 0)), "{report}");
    assert_eq!((row(&report, "grids", "g1"), row(&report, "grids", "g2")), ((3, 2), (2, 1)), "{report}");
    // Applied now, the one who was covered would be asked again.
    assert_eq!((&report["at_once"]["visits"], &report["at_once"]["grids"]), (&1.into(), &json!({"g1": 1})), "{report}");

    // Of six more the zone is none: they wait.
    let (code, said) = world.apply("match = \"medium\"", &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let version = world.policy_version().await;
    let mut waiting = Vec::new();
    for household in 6..HOUSEHOLDS {
        waiting.push(world.seen(household, "330206", "not_matching").await);
    }
    let open = world.open().await;
    let report = world.what_if("match = \"medium\"\n[zones]\n3302 = \"medium\"").await;
    assert_eq!((visits(&report), &report["at_once"]["visits"]), ((0, 7, 7), &6.into()), "{report}");

    // A cap that is too low for it: it says how many, asks, and leaves everything as it was.
    let config = std::fs::read_to_string(world.site.config()).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    config.insert("policy".into(), toml::Table::from_iter([("visits_max".to_owned(), 6.into())]).into());
    std::fs::write(world.site.config(), config.to_string()).unwrap();
    let medium = "match = \"medium\"\n[zones]\n3302 = \"medium\"\n";
    let (code, said) = world.apply(medium, &[]).await;
    assert!(code == Some(1) && said.contains("6 visits at once") && said.contains("+7") && said.contains("--yes"), "{code:?} {said}");
    let (code, said) = world.apply(medium, &["--lang", "zh-CN"]).await;
    assert!(code == Some(1) && said.contains("立即新增 6 次上门") && said.contains("--yes"), "{code:?} {said}");
    assert_eq!((world.policy_version().await, world.open().await), (version, open));

    let (code, said) = world.apply(medium, &["--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    for id in &waiting {
        world.becomes(id, "opened").await;
    }
    assert_eq!(world.open().await, open + waiting.len());
    // Each Decision names the version that it was judged by.
    let newest = world.policy_version().await;
    assert!(newest > version);
    let log = world.site.log().await.unwrap();
    let named: Vec<i64> = topics::decisions(&log).await.unwrap().iter().map(|decision| decision.policy).collect();
    let of = |version: i64| named.iter().filter(|named| **named == version).count();
    assert_eq!((of(1), of(version), of(newest)), (7, 6, 6), "{named:?}");

    // And whom a screening had answered is asked again when the risk rises, once.
    let (code, said) = world.apply(&format!("match = \"low\"\n{RISEN}"), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    world.becomes(&covered, "opened").await;
    world.becomes(&first, "opened").await;
    let of_h0 = |task: &&events::Task| task.household == "h0";
    let tasks = topics::tasks(&log).await.unwrap();
    let h0 = tasks.iter().find(of_h0).unwrap();
    assert_eq!((h0.episode, h0.priority, h0.state), (2, events::Level::High, TaskState::Open));
    // Open visits of the zone are due sooner; none has gone.
    let h2 = until("a higher priority of h2", PATIENCE, async || {
        let tasks = topics::tasks(&log).await?;
        let h2 = tasks.into_iter().find(|task| task.household == "h2").unwrap();
        Ok(if h2.priority == events::Level::High { Ok(h2) } else { Err(format!("{h2:?}")) })
    });
    let h2 = h2.await.unwrap();
    assert!(h2.state == TaskState::Open && h2.due_at.unwrap().0 - h2.opened_at.unwrap().0 < 5 * time::HOUR_MS, "{h2:?}");
    assert_eq!(world.open().await, open + waiting.len() + 1);

    nothing_is_touched(world, kind).await;
}

/// Beside a running site nothing but the router's own heartbeat is written; and while nothing runs, nothing at all.
async fn nothing_is_touched(mut world: World, kind: LogKind) {
    let log = world.site.log().await.unwrap();
    let (before, _) = ends(&*log).await;
    world.what_if(DEFAULT).await;
    for ((topic, partition), end) in ends(&*log).await.0 {
        let from = before[&(topic.clone(), partition)];
        let new: Vec<_> = topics::records(&log, &topic).await.unwrap();
        let new = new.iter().filter(|record| record.partition == partition && (from..end).contains(&record.offset));
        for record in new {
            assert!(record.key.starts_with(b"~position/"), "{topic} {partition}: {record:?}");
        }
    }
    drop(log);
    world.site.stop().await.unwrap();
    let before = ends_at_rest(&world, kind).await;
    assert!(before.0.values().sum::<i64>() > 50 && !before.1.is_empty(), "{before:?}");
    let report = world.what_if(DEFAULT).await;
    assert!(report["events"].as_u64() > Some(10), "{report}");
    assert_eq!(ends_at_rest(&world, kind).await, before);
    // The null control: an append is seen.
    let (code, said) = world.apply(DEFAULT, &["--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(ends_at_rest(&world, kind).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_file_to_visits_on_the_embedded_log() {
    from_file_to_visits(LogKind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_file_to_visits_on_kafka() {
    from_file_to_visits(LogKind::Kafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_picture_is_the_same_in_both_languages() {
    let mut world = World::start(LogChoice::Embedded).await;
    for household in 0..4 {
        world.seen(household, "330106", "opened").await;
    }
    let file = world.file("p.toml", "match = \"high\"");
    let mut said = Vec::new();
    for lang in ["en", "zh-CN"] {
        let words = ["policy", "what-if", "--policy", &file, "--from", "2020-01-01", "--to", "2100-01-01", "--lang", lang];
        let answer = world.site.command(&words).await.unwrap();
        assert_eq!(answer.code, Some(0), "{}", answer.err);
        said.push(answer.out);
    }
    let bars = |text: &String| text.chars().filter(|letter| "█▓░".contains(*letter)).count();
    assert!(bars(&said[0]) > 20 && bars(&said[0]) == bars(&said[1]), "{said:#?}");
    assert!(said[0].contains("nothing was changed") && said[1].contains("未作任何更改"), "{said:#?}");
    for (from, to) in [("2026-01-02", "2026-01-01"), ("yesterday", "2026-01-01")] {
        let answer = world.site.command(&["policy", "what-if", "--policy", &file, "--from", from, "--to", to]).await.unwrap();
        assert_eq!(answer.code, Some(2), "{}", answer.err);
    }
}
