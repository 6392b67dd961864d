//! One site that several histories share: its register, which grows, and what is true of the site as a whole. Knows no history.

use anyhow::{Context, Result, bail, ensure};
use eventlog::Log;
use events::time::DAY_MS;
use events::topics::{ARRIVALS, CHECKPOINT, HIGHWAY, RETURNS, TELECOM, partition_of};
use events::{IdentifierKind, Millis, time};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::histories;
use testkit::site::register::{Register, Resident};
use testkit::site::{MANDATE, Options, PATIENCE, Site, numbers, until};

/// A midnight in China.
const DAY_0: i64 = 1_767_542_400_000;
/// The group under which the router notes how far it has got.
const ROUTER: &str = "router";
/// The household of those who only show that a register is in force.
const CANARY: &str = "canary";

/// A moment by the day that it belongs to, counted from midnight in China.
pub fn moment(day: f64) -> Millis {
    Millis(DAY_0 + (day * DAY_MS as f64).round() as i64)
}

/// Who lives where, in one history's own names: identifier, household.
pub type People = &'static [(&'static str, &'static str)];

/// What a history has left behind.
pub type Finished = Arc<super::run::Run>;

/// A site, and what its histories share.
pub struct World {
    /// The site.
    pub site: Site,
    /// The log, as another program sees it.
    pub log: Arc<dyn Log>,
    /// How long a history waits for what must come.
    pub patience: Duration,
    partitions: i32,
    /// The newest people of every history, by its prefix.
    people: Mutex<BTreeMap<String, People>>,
    /// Counts changes of `people`.
    changes: AtomicU64,
    /// Held while one import is under way: the register as it was imported last, and how many changes are in it.
    imported: tokio::sync::Mutex<(Register, u64)>,
    finished: Mutex<BTreeMap<u8, Finished>>,
}

impl World {
    /// Starts the site.
    pub async fn start(options: Options) -> Result<World> {
        let partitions = options.partitions;
        let site = Site::start(options).await?;
        let log = site.log().await?;
        let imported = tokio::sync::Mutex::new((Register::of_two_grids(), 0));
        let (people, finished) = (Mutex::default(), Mutex::default());
        Ok(World { site, log, patience: PATIENCE, partitions, people, changes: AtomicU64::new(0), imported, finished })
    }

    /// Stops it, as an operator does.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.log);
        self.site.stop().await
    }

    /// The registry as it is from now on for one history; comes back when it is in force at the router.
    pub async fn register(&self, prefix: &str, people: People) -> Result<()> {
        self.people.lock().unwrap().insert(prefix.to_owned(), people);
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut imported = self.imported.lock().await;
        if imported.1 >= change {
            return Ok(());
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let mut register = self.register_of_all();
        self.site.import(&register).await?;
        // Somebody new in every partition of the table, in an import of their own: who is known now was published after all the rest.
        let canaries = self.canaries(changes)?;
        let resident = |phone: &String| Resident {
            resident: format!("{CANARY}-{phone}"),
            household: CANARY.to_owned(),
            phones: vec![phone.clone()],
            ..Resident::default()
        };
        register.residents.extend(canaries.iter().map(resident));
        self.site.import(&register).await?;
        for phone in &canaries {
            self.until_known(phone).await?;
        }
        *imported = (register, changes);
        Ok(())
    }

    fn register_of_all(&self) -> Register {
        let mut register = Register::of_two_grids();
        register.household(CANARY, "g1");
        for (prefix, people) in self.people.lock().unwrap().iter() {
            for (name, household) in *people {
                register.household(&format!("{prefix}-{household}"), histories::grid_of(household));
                let mut resident =
                    Resident { resident: format!("{prefix}-{name}"), household: format!("{prefix}-{household}"), ..Resident::default() };
                match identifier(prefix, name) {
                    ("resident_id", number) => resident.resident_id = number,
                    ("phone", number) => resident.phones.push(number),
                    (_, number) => resident.plates.push(number),
                }
                register.residents.insert(resident);
            }
        }
        register
    }

    /// A phone for each partition of the identifiers' topic.
    fn canaries(&self, change: u64) -> Result<Vec<String>> {
        let keyring = self.site.keyring()?;
        let keys = keyring.mandate(MANDATE).context("the mandate has keys")?;
        let mut found = BTreeMap::new();
        for number in 0..10_000 {
            let phone = numbers::phone(change * 10_000 + number);
            let token = keys.token(IdentifierKind::Phone, &phone)?.to_string();
            found.entry(partition_of(token.as_bytes(), self.partitions)).or_insert(phone);
        }
        ensure!(found.len() == self.partitions as usize, "10 000 phones miss a partition");
        Ok(found.into_values().collect())
    }

    async fn until_known(&self, phone: &str) -> Result<()> {
        let id = format!("{CANARY}-{phone}");
        let passage = json!({"id": id, "observed_at": time::format(moment(0.0)), "checkpoint": CANARY, "direction": "in", "phone": phone});
        let posted = self.site.client.post("checkpoint", &[passage]).await?;
        ensure!(posted.results.iter().all(|result| result["status"] == "accepted"), "{posted:?}");
        until(&format!("{phone} to be known"), PATIENCE, async || {
            let code = self.site.client.code("checkpoint", &id).await?;
            Ok(if matches!(code.as_deref(), Some("opened" | "joined")) { Ok(()) } else { Err(format!("{code:?}")) })
        })
        .await
    }

    /// Waits until the router says that it has read these topics to their present ends.
    pub async fn read_to_the_end(&self, topics: &[&str]) -> Result<()> {
        let mut ends = BTreeMap::new();
        for topic in topics {
            for partition in 0..self.partitions {
                let (first, end) = self.log.offsets(topic, partition).await?;
                if first < end {
                    ends.insert(((*topic).to_owned(), partition), end);
                }
            }
        }
        until("the router to read what is there", PATIENCE, async || {
            let noted = self.log.noted_positions(ROUTER).await?;
            let noted: BTreeMap<_, _> = noted.into_iter().map(|from| ((from.topic, from.partition), from.offset)).collect();
            let behind: Vec<_> = ends.iter().filter(|(place, end)| noted.get(place).is_none_or(|at| at < end)).collect();
            Ok(if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?} of {noted:?}")) })
        })
        .await
    }

    /// Waits until nothing moves: the books close, and every message between the loops is read.
    pub async fn at_rest(&self) -> Result<()> {
        self.site.closed_ledger().await?;
        let inputs = [CHECKPOINT, HIGHWAY, TELECOM, RETURNS, ARRIVALS];
        until("messages to come to an end", PATIENCE, async || {
            let before = self.ends(&inputs).await?;
            self.read_to_the_end(&inputs).await?;
            Ok(if self.ends(&inputs).await? == before { Ok(()) } else { Err("more messages".into()) })
        })
        .await
    }

    async fn ends(&self, topics: &[&str]) -> Result<Vec<i64>> {
        let mut ends = Vec::new();
        for topic in topics {
            for partition in 0..self.partitions {
                ends.push(self.log.offsets(topic, partition).await?.1);
            }
        }
        Ok(ends)
    }

    /// Leaves a finished history here.
    pub fn finish(&self, number: u8, run: super::run::Run) {
        self.finished.lock().unwrap().insert(number, Arc::new(run));
    }

    /// What a finished history left.
    pub fn finished(&self, number: u8) -> Option<Finished> {
        self.finished.lock().unwrap().get(&number).cloned()
    }

    /// The record of an event in its topic.
    pub async fn record(&self, topic: &str, event_id: &str) -> Result<eventlog::Record> {
        for record in oneknock_tests::topics::records(&self.log, topic).await? {
            if record.header("ce_id") == Some(event_id.as_bytes()) {
                return Ok(record);
            }
        }
        bail!("event {event_id} is not in {topic}")
    }
}

/// The field and the value of an identifier such as `id:p1`, for one history.
pub fn identifier(prefix: &str, name: &str) -> (&'static str, String) {
    let number = numbers::of_name(&format!("{prefix}-{name}"));
    match name.split(':').next() {
        Some("id") => ("resident_id", numbers::resident_id(number)),
        Some("phone") => ("phone", numbers::phone(number)),
        _ => ("plate", numbers::plate(number)),
    }
}
