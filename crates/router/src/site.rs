//! What both loops look at: mandates, policy, grids, identifiers, households' entries. Followed by this process, shared by its owners.

use crate::outstanding::Turns;
use async_trait::async_trait;
use domain::household::Grids;
use domain::mandate::{Book, Signers};
use domain::{Clock, policy, resolve};
use eventlog::drive::Tables;
use eventlog::schemas::Schemas;
use eventlog::table::{Change, FileStore, Grouped, MemoryStore, Small, Store, StoreError, Table, each_member};
use eventlog::{Log, LogError, Record};
use events::topics::{GRIDS, HOUSEHOLDS, IDENTIFIERS, MANDATES, POLICIES, POLICY_KEY};
use events::{Codec, CodecError, GridEntry, HouseholdEntry, Identifier, IdentifierLink, Mandate, Policy};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The tables of a site, and what else both loops need.
pub struct Site {
    /// What "now" is.
    pub clock: Clock,
    /// Of every keyed topic.
    pub partitions: i32,
    pub(crate) turns: Turns,
    schemas: Arc<Schemas>,
    /// Schema ids that no record of ours has; asked for at the next catching up.
    unknown_schemas: Mutex<HashSet<u32>>,
    tables: From,
    /// Another policy than the table's: for what would be.
    instead: Option<Arc<Policy>>,
    grid_snapshot: RwLock<Arc<GridMap>>,
    entries: Arc<Entries>,
}

/// Where the tables come from.
#[derive(Clone)]
enum From {
    /// Followed by tasks of this process.
    Followed(Followed),
    /// Told record by record.
    Told(Arc<RwLock<Told>>),
}

#[derive(Clone)]
struct Followed {
    mandates: Arc<Small<Mandate>>,
    policies: Arc<Small<Policy>>,
    grids: Arc<Small<GridEntry>>,
    identifiers: Arc<Table>,
    households: Arc<Table>,
}

struct Told {
    /// Which mandates are believed.
    book: Book,
    mandates: HashMap<String, Arc<Mandate>>,
    policy: Option<Arc<Policy>>,
    grids: GridMap,
    /// By key: a token, or token and household.
    links: BTreeMap<String, IdentifierLink>,
}

/// Grids by their code.
pub type GridMap = HashMap<String, GridEntry, RandomState>;

/// Where the site's caches may lie; none: everything is folded anew.
pub type CacheDir<'a> = Option<&'a Path>;

impl Site {
    /// Opens the tables and reads each to its end.
    ///
    /// # Errors
    /// The log is away, or a topic is missing.
    pub async fn open(
        log: &Arc<dyn Log>,
        schemas: Arc<Schemas>,
        signers: Signers,
        clock: Clock,
        partitions: i32,
        caches: CacheDir<'_>,
    ) -> Result<Arc<Site>, LogError> {
        let mandates = Small::open_where(log.clone(), schemas.clone(), MANDATES, Book::new(signers).rule()).await?;
        let policies = Small::open(log.clone(), schemas.clone(), POLICIES).await?;
        let grids = Small::<GridEntry>::open(log.clone(), schemas.clone(), GRIDS).await?;
        let identifiers =
            Table::open(log.clone(), IDENTIFIERS, Grouped::over(store(caches.map(|dir| dir.join("identifiers"))).await)).await?;
        let entries = Arc::new(Entries { schemas: schemas.clone(), kept: RwLock::default() });
        let households = Table::open(log.clone(), HOUSEHOLDS, Box::new(EntryStore(entries.clone()))).await?;
        let site = Site {
            clock,
            partitions,
            turns: Turns::default(),
            schemas,
            unknown_schemas: Mutex::default(),
            tables: From::Followed(Followed { mandates, policies, grids, identifiers, households }),
            instead: None,
            grid_snapshot: RwLock::default(),
            entries,
        };
        site.refresh_grids();
        Ok(Arc::new(site))
    }

    /// A site whose tables are told record by record with [`Site::take`]: for owners that are moved by hand, without a runtime. Nothing
    /// is followed; catching up, and telling what changed, are up to whoever moves them.
    pub fn told(schemas: Arc<Schemas>, signers: Signers, clock: Clock, partitions: i32) -> Arc<Site> {
        let entries = Arc::new(Entries { schemas: schemas.clone(), kept: RwLock::default() });
        let (book, mandates, policy) = (Book::new(signers), HashMap::new(), None);
        let tables = From::Told(Arc::new(RwLock::new(Told { book, mandates, policy, grids: GridMap::default(), links: BTreeMap::new() })));
        let (unknown_schemas, grid_snapshot, turns) = (Mutex::default(), RwLock::default(), Turns::default());
        Arc::new(Site { clock, partitions, turns, schemas, unknown_schemas, tables, instead: None, grid_snapshot, entries })
    }

    /// The same tables with another policy in force, whatever theirs says.
    pub fn under(&self, policy: Policy) -> Arc<Site> {
        Arc::new(Site {
            clock: self.clock,
            partitions: self.partitions,
            turns: Turns::default(),
            schemas: self.schemas.clone(),
            unknown_schemas: Mutex::default(),
            tables: self.tables.clone(),
            instead: Some(Arc::new(policy)),
            grid_snapshot: RwLock::new(self.grids()),
            entries: self.entries.clone(),
        })
    }

    /// The next record of a table's topic, where the tables are told; a site that follows its tables passes it over.
    ///
    /// # Errors
    /// The value cannot be decoded; what stood there before stays.
    pub fn take(&self, topic: &str, record: &Record) -> Result<(), CodecError> {
        let (From::Told(told), Ok(key)) = (&self.tables, std::str::from_utf8(&record.key)) else { return Ok(()) };
        let (codec, value) = (self.codec(), record.value.as_deref());
        let mut told = told.write();
        match topic {
            MANDATES => match value.map(|value| codec.decode::<Mandate>(value)).transpose()? {
                Some(mandate) if told.book.judge(key, &mandate).is_err() => {}
                mandate => set(&mut told.mandates, key, mandate.map(Arc::new)),
            },
            POLICIES => told.policy = value.map(|value| codec.decode(value)).transpose()?.map(Arc::new),
            IDENTIFIERS => match value.map(|value| codec.decode(value)).transpose()? {
                Some(link) => drop(told.links.insert(key.to_owned(), link)),
                None => drop(told.links.remove(key)),
            },
            GRIDS => {
                set(&mut told.grids, key, value.map(|value| codec.decode(value)).transpose()?);
                *self.grid_snapshot.write() = Arc::new(told.grids.clone());
            }
            HOUSEHOLDS => self.entries.apply(&[(key, value)]),
            _ => {}
        }
        Ok(())
    }

    /// The codec of now.
    pub fn codec(&self) -> Arc<Codec> {
        self.schemas.codec()
    }

    /// A mandate by its id.
    pub fn mandate(&self, id: &str) -> Option<Arc<Mandate>> {
        match &self.tables {
            From::Followed(tables) => tables.mandates.get(id),
            From::Told(told) => told.read().mandates.get(id).cloned(),
        }
    }

    /// The policy in force, or the default.
    pub fn policy(&self) -> Arc<Policy> {
        if let Some(policy) = &self.instead {
            return policy.clone();
        }
        let policy = match &self.tables {
            From::Followed(tables) => tables.policies.get(POLICY_KEY),
            From::Told(told) => told.read().policy.clone(),
        };
        policy.unwrap_or_else(|| Arc::new(policy::default_policy()))
    }

    /// The grids of now.
    pub fn grids(&self) -> Arc<GridMap> {
        self.grid_snapshot.read().clone()
    }

    /// What the registry says of a household: version and grid.
    pub fn entry(&self, key: &str) -> Option<(i64, Arc<str>)> {
        self.entries.kept.read().values.get(key).cloned()
    }

    /// The households of an identifier: those of the import, and those that it was registered at at the door.
    pub fn links(&self, identifier: &Identifier) -> Option<IdentifierLink> {
        let codec = self.codec();
        let decode = |value: &[u8]| codec.decode::<IdentifierLink>(value);
        let sound = |link: Result<IdentifierLink, CodecError>| {
            link.inspect_err(|error| tracing::warn!(%error, "an identifier's links cannot be read")).ok()
        };
        let mut group = [b'/'; 33];
        identifier.token.with_hex(|token| {
            group[..32].copy_from_slice(token.as_bytes());
            let group = std::str::from_utf8(&group).unwrap_or_default();
            match &self.tables {
                From::Followed(tables) => {
                    let imported = tables.identifiers.with(token, decode).and_then(sound);
                    let each = |members: &[u8]| each_member(members).filter_map(|(_, link)| sound(decode(link))).collect();
                    let at_the_door: Vec<IdentifierLink> = tables.identifiers.with(group, each).unwrap_or_default();
                    resolve::merge_links(imported, at_the_door)
                }
                From::Told(told) => {
                    let told = told.read();
                    let of_group = told.links.range(group.to_owned()..).take_while(|(key, _)| key.starts_with(group));
                    resolve::merge_links(told.links.get(token).cloned(), of_group.map(|(_, link)| link.clone()))
                }
            }
        })
    }

    /// A value's schema id is unknown: it is asked for when the tables are caught up. Answers whether asking again can help.
    pub fn ask_for_schema(&self, error: &CodecError, asked: &mut HashSet<u32>) -> bool {
        match error {
            CodecError::UnknownSchema(id) if asked.insert(*id) => self.unknown_schemas.lock().insert(*id),
            _ => false,
        }
    }

    fn refresh_grids(&self) {
        let From::Followed(tables) = &self.tables else { return };
        let grids = tables.grids.all().into_iter().map(|(code, grid)| (code, (*grid).clone())).collect();
        *self.grid_snapshot.write() = Arc::new(grids);
    }

    /// Forwards the keys that change to the loops: identifiers to the first, the rest to the second.
    pub fn spawn_changes(self: &Arc<Site>) -> (mpsc::Receiver<TableChange>, mpsc::Receiver<TableChange>) {
        let ((travellers, first), (households, second)) = (mpsc::channel(64), mpsc::channel(64));
        let forward = |topic: &'static str, mut changes: mpsc::UnboundedReceiver<Vec<String>>, to: mpsc::Sender<TableChange>| {
            let site = self.clone();
            tokio::spawn(async move {
                while let Some(keys) = changes.recv().await {
                    if topic == GRIDS {
                        site.refresh_grids();
                    }
                    if to.send((topic, Arc::new(keys))).await.is_err() {
                        return;
                    }
                }
            });
        };
        if let From::Followed(tables) = &self.tables {
            forward(IDENTIFIERS, tables.identifiers.subscribe(), travellers);
            forward(HOUSEHOLDS, tables.households.subscribe(), households.clone());
            forward(GRIDS, tables.grids.subscribe(), households.clone());
            forward(MANDATES, tables.mandates.subscribe(), households.clone());
            forward(POLICIES, tables.policies.subscribe(), households);
        }
        (first, second)
    }
}

/// A table's topic and the keys that changed.
pub type TableChange = (&'static str, Arc<Vec<String>>);

async fn store(dir: Option<std::path::PathBuf>) -> Box<dyn Store> {
    let Some(dir) = dir else { return Box::new(MemoryStore::new()) };
    match tokio::task::spawn_blocking(move || FileStore::open(&dir)).await {
        Ok(Ok(store)) => Box::new(store),
        failed => {
            let error = failed.err().map_or_else(|| "it is in use or damaged".to_owned(), |error| error.to_string());
            tracing::warn!(error, "no cache on disk for the identifiers; they are kept in memory");
            Box::new(MemoryStore::new())
        }
    }
}

#[async_trait]
impl Tables for Site {
    async fn catch_up(&self) -> Result<(), LogError> {
        let unknown: Vec<u32> = self.unknown_schemas.lock().drain().collect();
        for id in unknown {
            if let Err(error) = self.schemas.learn(id).await {
                tracing::warn!(id, %error, "a schema id stays unknown");
            }
        }
        let From::Followed(tables) = &self.tables else { return Ok(()) };
        tables.mandates.catch_up().await?;
        tables.policies.catch_up().await?;
        tables.grids.catch_up().await?;
        self.refresh_grids();
        tables.identifiers.catch_up().await?;
        tables.households.catch_up().await
    }
}

/// A snapshot of the grids, for the pure core.
pub struct Snapshot(pub Arc<GridMap>);

impl Grids for Snapshot {
    fn grid(&self, code: &str) -> Option<&GridEntry> {
        self.0.get(code)
    }
}

/// Households' entries, decoded as far as the router needs them: some 100 bytes each.
struct Entries {
    schemas: Arc<Schemas>,
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<Box<str>, (i64, Arc<str>), RandomState>,
    grids: HashSet<Arc<str>>,
    notes: HashMap<Box<str>, Vec<u8>>,
}

struct EntryStore(Arc<Entries>);

impl Store for EntryStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.kept.read().notes.get(key).cloned())
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        self.0.apply(changes);
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        *self.0.kept.write() = Kept::default();
        Ok(())
    }

    fn each(&self, _: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.kept.read().values.len()
    }
}

impl Entries {
    fn apply(&self, changes: &[Change<'_>]) {
        let codec = self.schemas.codec();
        let mut kept = self.kept.write();
        for (key, value) in changes {
            match value {
                Some(note) if key.starts_with('\0') => drop(kept.notes.insert((*key).into(), note.to_vec())),
                None => drop(kept.values.remove(*key)),
                Some(value) => match codec.decode::<HouseholdEntry>(value) {
                    Ok(entry) => {
                        let grid = kept.grids.get(entry.grid.as_str()).cloned().unwrap_or_else(|| Arc::from(entry.grid.as_str()));
                        kept.grids.insert(grid.clone());
                        kept.values.insert((*key).into(), (entry.version, grid));
                    }
                    Err(error) => tracing::warn!(%error, "a household's entry cannot be read"),
                },
            }
        }
    }
}

fn set<T>(map: &mut HashMap<String, T, impl std::hash::BuildHasher>, key: &str, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value)),
        None => drop(map.remove(key)),
    }
}
