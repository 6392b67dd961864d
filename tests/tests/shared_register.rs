//! Real records from files to tasks: a register of households with the noisy records of people who turn up, and a day at a highway's
//! gates, through the import and the file drop into a running site, held against an expectation that shares no code with the program.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

use eventlog::Log;
use eventlog::schemas::Schemas;
use events::records::TaskState;
use events::topics::{ALL, CHECKPOINT, HIGHWAY};
use events::{CheckpointPassage, Decision, HighwayEntrance, Task};
use oneknock_tests::register::expected::{self, Expectation, Expected, Place};
use oneknock_tests::register::{self, CHECKPOINT_SOURCE, Files, HIGHWAY_SOURCE, Made};
use oneknock_tests::topics;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use testkit::site::{LogChoice, MANDATE, Options, Site};

const SEED: u64 = 1;

fn shared() -> PathBuf {
    let shared = std::env::var_os("ONEKNOCK_SHARED");
    PathBuf::from(shared.expect("ONEKNOCK_SHARED names the folder with the shared data; cargo xtask test-shared DIR sets it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn real_records_become_one_visit_a_household() {
    let began = Instant::now();
    let made = register::read(&shared(), SEED).unwrap();
    let expectation = expected::of(&made);
    is_worth_the_name(&made, &expectation);
    let folder = tempfile::tempdir().unwrap();
    let files = made.write(&folder.path().join("made")).unwrap();
    let site = Site::start(Options::of_events_between(LogChoice::Embedded, "2016-10-01", "2016-11-15")).await.unwrap();

    import(&site, &made, &files).await;
    let drop = folder.path().join("drop");
    std::fs::create_dir(&drop).unwrap();
    let mut config = std::fs::read_to_string(site.config()).unwrap();
    config += &register::sources(&files.toll, &drop);
    std::fs::write(site.config(), config).unwrap();
    let rejected = deliver(&site, &expectation, &files, &drop).await;
    let seconds = began.elapsed().as_secs();

    let ledger = site.closed_ledger().await.unwrap();
    assert!(ledger.closed && ledger.undecided == 0, "{ledger:?}");
    let rows = (made.tolls.len() + made.passages.len()) as u64;
    let duplicates = ledger.decisions["duplicate"];
    assert_eq!(ledger.accepted + rejected, rows, "accepted, duplicates among them, and rejected are all rows");
    let codes: BTreeMap<&str, u64> =
        ledger.decisions.iter().filter(|(_, count)| **count > 0).map(|(code, n)| (code.as_str(), *n)).collect();
    let expected: BTreeMap<&str, u64> = expectation.codes().into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(codes, expected);

    let log = site.log().await.unwrap();
    let seen = Seen::of(&site, &log, &made).await;
    let visited = expectation.visited();
    let households = one_task_each(&seen, &visited);
    every_record_went_where_it_had_to(&seen, &expectation, &visited);
    the_inbox_shows_them(&site, visited.len()).await;
    agencies_are_told_the_same(&site, &seen, &expectation).await;
    nothing_in_clear(&log, &made, &site).await;

    println!("register: {rows} rows, accepted {}, of those duplicate {duplicates}, rejected {rejected} (missing_field)", ledger.accepted);
    println!("register: {codes:?}, ledger closed, {} households and {} others visited once", households, visited.len() - households);
    share_resolved(&seen, &made);
    println!("register: {seconds} s from the first file to the last decision");
}

/// The data has what the test is for.
fn is_worth_the_name(made: &Made, expectation: &Expectation) {
    assert!(made.census.households.len() > 4_000 && made.passages.len() > 7_000 && made.tolls.len() > 15_000);
    let repeated = expectation.tolls.iter().filter(|record| record.repeated).count();
    assert!(repeated > 100, "{repeated} repeated rows");
    let back = made.tolls.windows(2).filter(|pair| pair[0].at > pair[1].at).count();
    assert!(back * 5 > made.tolls.len(), "the gates' rows are in the order of the data: {back} go back in time");
    assert!(expectation.without_identifier() > 50);
}

async fn import(site: &Site, made: &Made, files: &Files) {
    let [grids, households, residents] = files.register.each_ref().map(|path| path.to_str().unwrap());
    let words = ["registry", "import", "--grids", grids, "--households", households, "--residents", residents];
    let report = site.command(&words).await.unwrap().json("registry import").unwrap();
    assert_eq!(report["rejected"], 0);
    assert_eq!(report["households"]["published"], made.census.households.len());
    assert_eq!(report["common"], 0);
    let again = site.command(&words).await.unwrap().json("registry import").unwrap();
    assert_eq!((&again["households"]["published"], &again["identifiers"]["published"]), (&Value::from(0), &Value::from(0)));
}

/// The gates' day, then a file of checkpoint events for each day, as they would come. Gives the rejected rows, all without an identifier.
///
/// Day by day, so that none can be late: two partitions may be read at another pace, and with everything at once the first record of one
/// could come after the last of another.
async fn deliver(site: &Site, expectation: &Expectation, files: &Files, drop: &Path) -> u64 {
    let (accepted, rejected) = connect(site, "toll").await;
    assert_eq!((accepted, rejected), (expectation.tolls.len() as u64, 0));
    let after_tolls = site.closed_ledger().await.unwrap();
    assert_eq!(after_tolls.accepted, accepted);
    // What has been read is not read again; and where the position is lost, the ids make the repeat harmless.
    assert_eq!(connect(site, "toll").await, (0, 0));
    std::fs::remove_file(site.dir().join("source-toll.json")).unwrap();
    assert_eq!(connect(site, "toll").await, (accepted, 0));
    assert_eq!(site.closed_ledger().await.unwrap(), after_tolls);

    let mut sums = (0, 0);
    for day in &files.days {
        std::fs::copy(day, drop.join(day.file_name().unwrap())).unwrap();
        let (accepted, rejected) = connect(site, "checkpoints").await;
        assert!(accepted > 500, "{} has {accepted} records", day.display());
        sums = (sums.0 + accepted, sums.1 + rejected);
        site.closed_ledger().await.unwrap();
    }
    let without = expectation.without_identifier() as u64;
    assert_eq!(sums, (expectation.passages.len() as u64 - without, without));
    let mut missing = 0;
    for entry in std::fs::read_dir(drop).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".rejects.csv") {
            let text = std::fs::read_to_string(path).unwrap();
            missing += text.lines().skip(1).filter(|line| line.split(',').nth(2) == Some("missing_field")).count() as u64;
        }
    }
    assert_eq!(missing, without, "rows of the rejects files");
    without
}

async fn connect(site: &Site, source: &str) -> (u64, u64) {
    let said = site.command(&["connect", "--source", source, "--once"]).await.unwrap();
    let summary: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    let counts = (summary["accepted"].as_u64().unwrap(), summary["rejected"].as_u64().unwrap());
    assert_eq!(said.code, Some(if counts.1 > 0 { 3 } else { 0 }), "{said:?}");
    counts
}

/// What stands in the log after all.
struct Seen {
    tasks: Vec<Task>,
    /// Newest decision by the source's kind and the agency's id.
    decisions: HashMap<(&'static str, String), Decision>,
}

impl Seen {
    async fn of(site: &Site, log: &Arc<dyn Log>, made: &Made) -> Seen {
        let tasks = topics::tasks(log).await.unwrap();
        let mut newest: HashMap<_, Decision> = HashMap::new();
        for decision in topics::decisions(log).await.unwrap() {
            let standing = newest.entry(decision.event_id).or_insert_with(|| decision.clone());
            if standing.revision <= decision.revision {
                *standing = decision;
            }
        }
        let keys = site.keyring().unwrap().mandate(MANDATE).unwrap();
        let of_ref = |source: &str, id: &str| hex(&keys.source_ref(source, id).unwrap());
        let mut ids: HashMap<String, (&'static str, String)> = HashMap::new();
        ids.extend(made.tolls.iter().map(|toll| (of_ref(HIGHWAY_SOURCE, &toll.id), ("highway", toll.id.clone()))));
        ids.extend(made.passages.iter().map(|one| (of_ref(CHECKPOINT_SOURCE, &one.id), ("checkpoint", one.id.clone()))));
        let schemas = Schemas::open("").await.unwrap();
        let mut decisions = HashMap::new();
        for record in topics::records(log, HIGHWAY).await.unwrap() {
            let event: HighwayEntrance = schemas.decode(&record).await.unwrap();
            decisions.insert(ids[event.source_ref.as_str()].clone(), newest[&event.event_id].clone());
        }
        for record in topics::records(log, CHECKPOINT).await.unwrap() {
            let event: CheckpointPassage = schemas.decode(&record).await.unwrap();
            decisions.insert(ids[event.source_ref.as_str()].clone(), newest[&event.event_id].clone());
        }
        Seen { tasks, decisions }
    }

    /// The household of each visit; none where nobody is known.
    fn households(&self) -> HashMap<&str, Option<&str>> {
        let known = |task: &Task| !task.household.starts_with('~');
        let visits = self.tasks.iter().filter(|task| !task.task_id.is_empty());
        visits.map(|task| (task.task_id.as_str(), known(task).then_some(task.household.as_str()))).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly the arrived households have a task, each one in its first episode, opened once. Gives how many.
fn one_task_each(seen: &Seen, visited: &BTreeSet<&Place>) -> usize {
    let mut households = BTreeMap::new();
    let mut others = 0;
    for task in seen.tasks.iter().filter(|task| !task.task_id.is_empty()) {
        assert_eq!((task.state, task.episode, task.before.is_none()), (TaskState::Open, 1, true), "{}", task.task_id);
        match task.household.starts_with('~') {
            true => others += 1,
            false => *households.entry(task.household.as_str()).or_insert(0) += 1,
        }
    }
    let doubled: Vec<_> = households.iter().filter(|(_, tasks)| **tasks != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let arrived: BTreeSet<&str> =
        visited.iter().filter_map(|place| if let Place::Household(id) = place { Some(id.as_str()) } else { None }).collect();
    assert_eq!(households.keys().copied().collect::<BTreeSet<_>>(), arrived);
    assert_eq!(others, visited.len() - arrived.len(), "unknown people who said where they go");
    let mut opened: HashMap<&str, u32> = HashMap::new();
    for decision in seen.decisions.values().filter(|decision| decision.code.as_str() == "opened") {
        *opened.entry(decision.task_id.as_deref().unwrap()).or_default() += 1;
    }
    assert!(opened.len() == visited.len() && opened.values().all(|times| *times == 1), "every visit was opened once");
    arrived.len()
}

fn every_record_went_where_it_had_to(seen: &Seen, expectation: &Expectation, visited: &BTreeSet<&Place>) {
    let households = seen.households();
    let mut strangers_without_destination = 0;
    let kinds = [("highway", &expectation.tolls), ("checkpoint", &expectation.passages)];
    let records = kinds.iter().flat_map(|(kind, records)| records.iter().map(move |record| (*kind, record)));
    for (kind, record) in records {
        let decision = seen.decisions.get(&(kind, record.id.clone()));
        let Some(place) = &record.place else {
            assert!(decision.is_none(), "{} was refused", record.id);
            continue;
        };
        let decision = decision.unwrap_or_else(|| panic!("{} is lost", record.id));
        let code = decision.code.as_str();
        let may: &[&str] = match record {
            Expected { repeated: true, .. } => &["duplicate"],
            Expected { arrives: false, .. } => &["not_matching"],
            _ if visited.contains(place) => &["opened", "joined"],
            _ => &["unresolved"],
        };
        assert!(may.contains(&code), "{} became {code}, expected {may:?}", record.id);
        strangers_without_destination += u32::from(code == "unresolved");
        if matches!(code, "opened" | "joined") {
            let household = households[decision.task_id.as_deref().unwrap()];
            let expected = if let Place::Household(id) = place { Some(id.as_str()) } else { None };
            assert_eq!(household, expected, "{}", record.id);
        }
    }
    assert!(strangers_without_destination > 1_000, "unknown people without destination: {strangers_without_destination}");
}

async fn the_inbox_shows_them(site: &Site, visits: usize) {
    let tasks = site.client.tasks().await.unwrap();
    let ids: BTreeSet<&str> = tasks.iter().filter_map(|task| task["task_id"].as_str()).collect();
    assert_eq!((tasks.len(), ids.len()), (visits, visits));
}

async fn agencies_are_told_the_same(site: &Site, seen: &Seen, expectation: &Expectation) {
    for (kind, records) in [("highway", &expectation.tolls), ("checkpoint", &expectation.passages)] {
        for record in records.iter().step_by(records.len() / 25) {
            let told = site.client.code(kind, &record.id).await.unwrap();
            let decided = seen.decisions.get(&(kind, record.id.clone())).map(|decision| decision.code.as_str());
            assert_eq!(told.as_deref(), decided, "{}", record.id);
        }
    }
}

/// No number, plate or name of the data in any record, nor in what the process said.
async fn nothing_in_clear(log: &Arc<dyn Log>, made: &Made, site: &Site) {
    let numbers: BTreeSet<&[u8]> =
        made.passages.iter().map(|passage| passage.number.as_bytes()).filter(|number| number.len() == 11).collect();
    let is_clear = |bytes: &[u8]| {
        let plate = "浙A".as_bytes();
        bytes.windows(plate.len()).any(|window| window == plate)
            || bytes.windows(11).any(|window| window[3] == b'-' && window[6] == b'-' && numbers.contains(window))
    };
    assert!(is_clear(made.passages[0].line().as_bytes()) || is_clear(made.passages[1].line().as_bytes()), "the check finds what is there");
    let mut records = 0;
    for topic in ALL {
        for record in topics::records(log, topic.name).await.unwrap() {
            let parts = record.headers.iter().map(|(_, value)| value).chain(record.value.as_deref()).chain([&*record.key]);
            assert!(!parts.into_iter().any(is_clear), "{} holds something in clear", topic.name);
            records += 1;
        }
    }
    assert!(records > 50_000, "{records} records");
    assert!(!is_clear(site.said().as_bytes()), "the log lines hold something in clear");
}

/// Against the data's own truth. Two columns say whose door is meant: the household under which the register has the person, which is all
/// that a program can find that was given this register, and the household in which the person lives by then, which differs for those who
/// have moved since and for those who are not registered.
fn share_resolved(seen: &Seen, made: &Made) {
    let households = seen.households();
    let (mut registered, mut right, mut elsewhere, mut nobody) = (0, 0, 0, 0);
    let (mut unregistered, mut at_home, mut at_others, mut accepted) = (0, 0, 0, 0);
    let mut lives_there = 0;
    for passage in &made.passages {
        let Some(decision) = seen.decisions.get(&("checkpoint", passage.id.clone())) else { continue };
        accepted += 1;
        let found = decision.task_id.as_deref().and_then(|task| households[task]);
        lives_there += u32::from(found == Some(passage.lives_in.as_str()));
        match (&passage.registered_in, found) {
            (Some(household), Some(found)) if household == found => right += 1,
            (Some(_), Some(_)) => elsewhere += 1,
            (Some(_), None) => nobody += 1,
            (None, Some(found)) if passage.lives_in == found => at_home += 1,
            (None, Some(_)) => at_others += 1,
            (None, None) => unregistered += 1,
        }
        registered += u32::from(passage.registered_in.is_some());
    }
    let share = |part: u32, of: u32| f64::from(part) / f64::from(of) * 100.0;
    println!(
        "register: of {registered} records of registered people {right} ({:.2} %) went to the household under which the register has them, \
         {elsewhere} to another, {nobody} to nobody who is known",
        share(right, registered)
    );
    println!(
        "register: of {} records of people who are not registered {at_home} went to the household where they live by their address, \
         {at_others} to another, {unregistered} to nobody who is known",
        accepted - registered
    );
    println!(
        "register: of all {accepted} records {lives_there} ({:.2} %) went to the household where the person lives",
        share(lives_there, accepted)
    );
    assert!(share(right, registered) > 99.0, "{right} of {registered}");
    assert!(elsewhere * 200 < registered, "{elsewhere} of {registered} went to another household");
}
