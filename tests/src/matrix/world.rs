//! A site without a router, so that nothing in it moves: everybody that there can be, and tasks of every kind, laid into the log.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::mandate::SignerKey;
use eventlog::{Append, Log};
use events::topics::{self, household_key, partition_of};
use events::{Avro, Before, Codec, GridStay, Level, Mandate, MandateState, Millis, Record, Task, TaskState, task_id};
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::given;
use testkit::site::register::Register;
use testkit::site::{LogChoice, MANDATE, Options, PATIENCE, Site, until};

const GRIDS: [&str; 3] = ["g1", "g2", "g3"];
const OPENED: Millis = Millis(1_760_000_000_000);

/// Somebody who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub name: &'static str,
    /// Empty: nobody whom the site knows.
    pub role: &'static str,
    /// What a source sends.
    pub kind: &'static str,
    /// None: no token at all.
    pub token: Option<String>,
}

/// The mandate of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    Open,
    Suspended,
    Ended,
    Over,
    Early,
}

const UNDER: [Under; 5] = [Under::Open, Under::Suspended, Under::Ended, Under::Over, Under::Early];

impl Under {
    fn id(self) -> &'static str {
        match self {
            Under::Open => MANDATE,
            Under::Suspended => "m-suspended",
            Under::Ended => "m-ended",
            Under::Over => "m-over",
            Under::Early => "m-early",
        }
    }
}

/// What the table must know of a task.
#[derive(Clone, Debug)]
pub struct TaskFacts {
    pub id: String,
    pub grid: Option<&'static str>,
    pub under: Under,
    pub triage: bool,
    pub waiting: bool,
    /// The household's visit before: in no list.
    pub is_over: bool,
}

/// The site, and who and what is in it.
pub struct World {
    pub site: Site,
    pub askers: Vec<Asker>,
    pub tasks: Vec<TaskFacts>,
}

impl World {
    pub async fn start() -> Result<World> {
        let options = Options { roles: "gateway,inbox,ops", ..Options::of_today(LogChoice::Embedded) };
        let mut site = Site::start(options).await?;
        let mut register = Register::of_two_grids();
        register.grids.insert("g3".into(), "440101".into());
        for grid in GRIDS {
            register.household(&format!("{grid}-open"), grid);
        }
        site.import(&register).await?;
        site.stop().await?;
        let askers = everybody(&site)?;
        unbounded(&site)?;
        site.restart().await?;
        let log = site.log().await?;
        let signers = [signer(&site, 1)?, signer(&site, 2)?];
        for under in UNDER.into_iter().filter(|under| *under != Under::Open) {
            put(&log, topics::MANDATES, under.id(), &mandate(under, &signers)).await?;
        }
        let tasks = tasks(&log).await?;
        // Sent by its own source, so that there is something to ask about.
        let sent = json!({"id": "sent-1", "observed_at": events::time::format(now()?), "checkpoint": "c", "direction": "in", "phone": "13800138000"});
        until("an event to be taken", PATIENCE, async || {
            let posted = site.client.post("checkpoint", std::slice::from_ref(&sent)).await?;
            let taken = ["accepted", "duplicate"].contains(&posted.results[0]["status"].as_str().unwrap_or_default());
            Ok(if taken { Ok(()) } else { Err(format!("{posted:?}")) })
        })
        .await?;
        let shown = tasks.iter().filter(|task| task.under == Under::Open && !task.waiting && !task.is_over).count();
        until("the tasks", PATIENCE, async || {
            let listed = site.client.list(site.client.token("supervisors")?, &[("limit", "500")]).await?;
            let found = listed["tasks"].as_array().map_or(0, Vec::len);
            Ok(if found == shown { Ok(()) } else { Err(format!("{found} of {shown} tasks")) })
        })
        .await?;
        Ok(World { site, askers, tasks })
    }
}

fn now() -> Result<Millis> {
    Ok(Millis(i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?))
}

/// Nobody is stopped for asking often.
fn unbounded(site: &Site) -> Result<()> {
    let mut config: toml::Table = std::fs::read_to_string(site.config())?.parse()?;
    for (section, key) in [("inbox", "contact_reads_per_hour"), ("gateway", "lookups_per_hour")] {
        let section = config.get_mut(section).and_then(toml::Value::as_table_mut).context("a section")?;
        section.insert(key.to_owned(), 1_000_000.into());
    }
    Ok(std::fs::write(site.config(), config.to_string())?)
}

/// Writes everybody beside those whom `init` made.
fn everybody(site: &Site) -> Result<Vec<Asker>> {
    let path = site.dir().join("tokens.json");
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    let token = |name: &str| format!("{name}-token-of-the-matrix-{:08}", name.len());
    let mut add = |list: &str, name: &str, scope: Option<(&str, Value)>| {
        let mut entry = json!({"name": name, "token": token(name)});
        if let Some((key, codes)) = scope {
            entry[key] = codes;
        }
        match file[list].as_array_mut() {
            Some(entries) => entries.push(entry),
            None => file[list] = json!([entry]),
        }
    };
    for (name, grids) in [("w-one", json!(["g1"])), ("w-two", json!(["g2"])), ("w-both", json!(["g1", "g3"])), ("w-none", json!([]))] {
        add("workers", name, Some(("grids", grids)));
    }
    for (name, areas) in [("s-city", json!(["3301"])), ("s-part", json!(["330107001"])), ("s-none", json!(["330108"]))] {
        add("supervisors", name, Some(("areas", areas)));
    }
    add("auditors", "auditor", None);
    add("signers", "signer", None);
    std::fs::write(&path, file.to_string())?;

    let roles = [
        ("sources", "source"),
        ("workers", "worker"),
        ("supervisors", "supervisor"),
        ("ops", "ops"),
        ("admins", "admin"),
        ("auditors", "auditor"),
        ("signers", "signer"),
    ];
    let mut askers = vec![
        Asker { name: "nobody", role: "", kind: "", token: None },
        Asker { name: "stranger", role: "", kind: "", token: Some(token("stranger")) },
    ];
    for (list, role) in roles {
        for entry in file[list].as_array().into_iter().flatten() {
            // A handful of names for the life of the check.
            let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
            let name = leak(entry["name"].as_str().context("a name")?);
            let kind = leak(entry["kinds"][0].as_str().unwrap_or_default());
            askers.push(Asker { name, role, kind, token: entry["token"].as_str().map(str::to_owned) });
        }
    }
    Ok(askers)
}

async fn put<R: Record>(log: &Arc<dyn Log>, topic: &'static str, key: &str, record: &R) -> Result<()> {
    let partitions = log.topics().await?.iter().find(|info| info.name == topic).map(|info| info.partitions).context("the topic")?;
    let append = Append {
        topic: topic.into(),
        partition: partition_of(key.as_bytes(), partitions),
        key: key.to_owned().into(),
        value: Some(Codec::built_in().encode(record).into()),
        headers: Default::default(),
    };
    log.append(vec![append]).await?;
    Ok(())
}

/// One of the signers whom `init` drew.
fn signer(site: &Site, number: u8) -> Result<SignerKey> {
    let text = std::fs::read_to_string(site.dir().join(format!("signers/demo-signer-{number}.key")))?;
    let mut parts = text.trim().splitn(3, ':').skip(1);
    let (name, seed) = (parts.next().context("a name")?, BASE64_STANDARD.decode(parts.next().context("a seed")?)?);
    Ok(SignerKey::new(name, seed.as_slice().try_into()?))
}

fn mandate(under: Under, signers: &[SignerKey]) -> Mandate {
    let mandate = Mandate { id: under.id().into(), ..given::mandate() };
    let mandate = match under {
        Under::Open => mandate,
        Under::Suspended => Mandate { state: MandateState::Suspended, ..mandate },
        Under::Ended => Mandate { state: MandateState::Ended, ..mandate },
        Under::Over => Mandate { valid_until: OPENED, ..mandate },
        Under::Early => Mandate { valid_from: Millis(i64::MAX - 1), ..mandate },
    };
    Mandate { signatures: signers.iter().map(|signer| signer.sign(&mandate)).collect(), ..mandate }
}

/// One of each: grid, mandate, how it stands.
async fn tasks(log: &Arc<dyn Log>) -> Result<Vec<TaskFacts>> {
    let mut facts = Vec::new();
    for under in UNDER {
        for grid in [Some("g1"), Some("g2"), Some("g3"), None] {
            for (how, state) in [
                ("open", TaskState::Open),
                ("claimed", TaskState::Claimed),
                ("done", TaskState::Done),
                ("triage", TaskState::Open),
                ("waiting", TaskState::Waiting),
                ("again", TaskState::Open),
            ] {
                let household = format!("{}-{how}", grid.unwrap_or("~none"));
                let task = task(under.id(), &household, grid, state, how);
                let fact = |id: &str, is_over| TaskFacts {
                    id: id.to_owned(),
                    grid,
                    under,
                    triage: how == "triage",
                    waiting: how == "waiting",
                    is_over,
                };
                facts.push(fact(&task.task_id, false));
                facts.extend(task.before.as_ref().map(|before| fact(&before.task_id, true)));
                put(log, topics::TASKS, &household_key(under.id(), &household), &task).await?;
            }
        }
    }
    Ok(facts)
}

fn task(mandate: &str, household: &str, grid: Option<&str>, state: TaskState, how: &str) -> Task {
    // Zero bytes are an empty record: empty texts, nulls, first symbols.
    #[expect(clippy::expect_used, reason = "the shortest record there is: 256 zero bytes hold it")]
    let empty = Task::read(&mut [0; 256].as_slice()).expect("an empty task");
    let stay = |grid: &str| GridStay { grid: grid.into(), from: OPENED, version: 1 };
    let before = (how == "again").then(|| {
        #[expect(clippy::expect_used, reason = "the shortest record there is: 64 zero bytes hold it")]
        let empty = Before::read(&mut [0; 64].as_slice()).expect("an empty episode");
        let grids = grid.map(stay).into_iter().collect();
        Before {
            task_id: task_id(mandate, household, 1),
            episode: 1,
            grid: grid.map(Into::into),
            state: TaskState::Expired,
            grids,
            ..empty
        }
    });
    let episode = if before.is_some() { 2 } else { 1 };
    Task {
        mandate: mandate.into(),
        household: household.into(),
        grid: grid.map(Into::into),
        task_id: task_id(mandate, household, episode),
        episode,
        version: 1,
        state,
        priority: Level::Low,
        opened_at: Some(OPENED),
        due_at: Some(OPENED),
        triage: how == "triage",
        grids: grid.map(stay).into_iter().collect(),
        before,
        ..empty
    }
}
