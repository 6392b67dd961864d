//! `registry import`: three CSV files become what the log holds of one mandate's register: what changed is published, what is gone taken away.
//!
//! Grids come before households and households before identifiers, and go in the reverse order, so that nobody ever reads of a household
//! whose grid is not there. Interrupted anywhere, the next import goes on: it compares with the log, not with what it did. One import at a
//! time is held by a lock on a file in the site's state directory; on another machine with a directory of its own nothing holds it back.

use super::present::{self, Present, contact_digest, link_digest, place_digest};
use super::publish::publish;
use super::snapshot::{self, Household, Snapshot};
use crate::intake::{self, NotTaken, Refusal};
use domain::Clock;
use domain::mandate::{Book, Signers};
use eventlog::schemas::Schemas;
use eventlog::table::Small;
use eventlog::{Log, LogError};
use events::topics::{GRIDS, HOUSEHOLDS, IDENTIFIERS, MANDATES, household_key};
use events::{Blob, Codec, GridEntry, HouseholdEntry, IdentifierLink, Mandate, Millis, Sealed, Token};
use keys::{Keyring, KeysGone, MandateKeys};
use serde::Serialize;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Told what is being done and how far it is; for long work.
pub type Progress<'a> = dyn FnMut(&'static str, u64) + Send + 'a;

/// The three files.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `grid,name,community,community_name,subdistrict,division,workers`.
    pub grids: PathBuf,
    /// `household,grid,address,contact_name,contact_phone`.
    pub households: PathBuf,
    /// `resident,household,name,resident_id,phones,plates` and optional `passports,permits`.
    pub residents: PathBuf,
}

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The three files.
    pub paths: Paths,
    /// The mandate; needed where several are in force.
    pub mandate: Option<String>,
    /// Reads, compares and answers, and publishes nothing.
    pub dry_run: bool,
    /// Also where more than 5 % of the households would go.
    pub yes: bool,
    /// Where the lock is, and rejects files that cannot stand beside their CSV.
    pub state_dir: PathBuf,
    /// The site's clock: with a clock of events a mandate's dates do not hinder an import.
    pub clock: Clock,
}

/// What became of one kind of record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Published, new or changed.
    pub published: u64,
    /// As they were.
    pub unchanged: u64,
    /// Taken away.
    pub gone: u64,
}

/// What an import did. Serialises as the one JSON object that the command prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The mandate.
    pub mandate: String,
    /// Whether nothing was published.
    pub dry_run: bool,
    /// Of grids.
    pub grids: Counts,
    /// Of households.
    pub households: Counts,
    /// Of identifiers.
    pub identifiers: Counts,
    /// Identifiers of more than 8 households, which identify nobody.
    pub common: u64,
    /// Rows read of grids, households and residents together.
    pub rows: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Rows of which something was left out, since a person had it erased: see `registry erase`.
    pub erased: u64,
    /// Where the rejected rows are written down.
    pub rejects: Vec<PathBuf>,
}

/// How an import that came to its end ended: the command's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0: all rows were good.
    Done = 0,
    /// 3: some rows were rejected, all others are in.
    DoneWithRejects = 3,
}

impl From<NotTaken> for ImportError {
    fn from(not_taken: NotTaken) -> ImportError {
        match not_taken {
            NotTaken::Refused(Refusal { field, message, .. }) => ImportError::Given { field: field.unwrap_or("input"), message },
            NotTaken::KeysAway => ImportError::Keys(KeysGone),
        }
    }
}

impl ImportReport {
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        if self.rejected > 0 { Outcome::DoneWithRejects } else { Outcome::Done }
    }
}

/// Why there was no import: exit code 1. Nothing was published, unless the log went away on the way.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Another import is under way.
    #[error("another import is under way ({} is locked); one at a time", .0.display())]
    Busy(PathBuf),
    /// A file cannot be read as a whole.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No mandate, or several.
    #[error("{0}")]
    Mandate(&'static str),
    /// What is asked for one household or person cannot be done: which field, and why.
    #[error("{field}: {message}")]
    Given {
        /// The field.
        field: &'static str,
        /// Never the value.
        message: std::borrow::Cow<'static, str>,
    },
    /// More households would go than an import may take away by itself.
    #[error("{gone} of {present} households would go, more than 5 %: if that is meant, say --yes")]
    TooManyGone {
        /// Households that would go.
        gone: usize,
        /// Households that are there.
        present: usize,
    },
    /// More households than the mandate allows.
    #[error("{households} households, but the mandate allows {most}: a register of this size needs another mandate")]
    OverCap {
        /// Households of the snapshot.
        households: usize,
        /// The mandate's cap.
        most: i64,
    },
    /// The mandate's keys are not here, or went on the way.
    #[error("{0}; see `oneknock keys list`")]
    Keys(#[from] KeysGone),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Imports a full snapshot for one mandate. Durable when it answers. `now` is what a changed household's version becomes.
///
/// # Errors
/// [`ImportError`]: refused, unreadable, or the log is away.
pub async fn import(
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    signers: &Signers,
    keyring: &Keyring,
    request: &ImportRequest,
    now: Millis,
    progress: &mut Progress<'_>,
) -> Result<ImportReport, ImportError> {
    let _held_until_the_end = lock(&request.state_dir)?;
    let mandates =
        Small::<Mandate>::open_where(Arc::clone(&log), Arc::clone(&schemas), MANDATES, Book::new(signers.clone()).rule()).await?;
    let mandate = choose(&mandates, request.mandate.as_deref(), request.clock, now)?;
    let keys = keyring.mandate(&mandate.id).ok_or(KeysGone)?;
    let partitions = partitions(log.as_ref()).await?;
    let present = present::read(log.as_ref(), &schemas, partitions, &keys).await?;
    let mut snapshot = snapshot::read(&request.paths, &request.state_dir, &keys, &present, progress)?;
    check(&snapshot, &present, &mandate, request.yes)?;
    let links = snapshot.links(&mandate.id);
    let mut report = ImportReport { mandate: mandate.id.clone(), dry_run: request.dry_run, ..ImportReport::default() };
    report.rows = snapshot.rows.iter().map(|(read, _)| read).sum();
    report.rejected = snapshot.rows.iter().map(|(_, rejected)| rejected).sum();
    report.erased = snapshot.erased;
    report.common = links.iter().filter(|(_, link)| link.common).count() as u64;
    report.rejects.clone_from(&snapshot.rejects);
    let plan = Plan::of(&snapshot, &present, links);
    plan.count(&snapshot, &present, &mut report);
    if !request.dry_run {
        let codec = schemas.codec();
        let target = Target { log: log.as_ref(), partitions, codec: &codec, keys: &keys };
        plan.publish(&target, &snapshot, &present, now, progress).await?;
    }
    Ok(report)
}

/// Until it is dropped, no other command of this site changes the register.
pub fn lock(state_dir: &Path) -> Result<File, ImportError> {
    let path = state_dir.join("registry-import.lock");
    let failed = |error: std::io::Error| ImportError::File { path: path.clone(), reason: error.to_string() };
    std::fs::create_dir_all(state_dir).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ImportError::Busy(path)),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The one that was named, or the only one in force.
pub fn choose(mandates: &Small<Mandate>, named: Option<&str>, clock: Clock, now: Millis) -> Result<Arc<Mandate>, ImportError> {
    let mut in_force = mandates.all().into_iter().map(|(_, mandate)| mandate).filter(|one| intake::in_force(one, clock, now, None));
    match named {
        Some(id) => in_force.find(|one| one.id == id).ok_or(ImportError::Mandate("no mandate of this id is in force")),
        None => match (in_force.next(), in_force.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(ImportError::Mandate("no mandate is in force")),
            (Some(_), Some(_)) => Err(ImportError::Mandate("several mandates are in force: say which by --mandate")),
        },
    }
}

/// How many partitions the register's topics have.
pub async fn partitions(log: &dyn Log) -> Result<i32, LogError> {
    let topics = log.topics().await?;
    let found = topics.iter().find(|topic| topic.name == GRIDS).map(|topic| topic.partitions);
    found.ok_or_else(|| LogError::NoTopic(GRIDS.to_owned()))
}

fn check(snapshot: &Snapshot, present: &Present, mandate: &Mandate, yes: bool) -> Result<(), ImportError> {
    let households = snapshot.households.len() + snapshot.kept_households.len();
    if i64::try_from(households).unwrap_or(i64::MAX) > mandate.max_households {
        return Err(ImportError::OverCap { households, most: mandate.max_households });
    }
    let gone = present.households.keys().filter(|id| !snapshot.has_household(id)).count();
    if gone * 20 > present.households.len() && !yes {
        return Err(ImportError::TooManyGone { gone, present: present.households.len() });
    }
    Ok(())
}

/// What differs between the files and the log.
struct Plan {
    grids: Vec<Arc<str>>,
    households: Vec<Arc<str>>,
    identifiers: Vec<(Token, IdentifierLink)>,
    links: u64,
    identifiers_gone: Vec<Token>,
    households_gone: Vec<String>,
    grids_gone: Vec<String>,
}

impl Plan {
    fn of(snapshot: &Snapshot, present: &Present, links: Vec<(Token, IdentifierLink)>) -> Plan {
        let as_published = |grid: &str, entry: &GridEntry| {
            let before = present.grids.get(grid);
            before.is_some_and(|before| GridEntry { published_at: Millis(0), ..before.clone() } == *entry)
        };
        let grids = snapshot.grids.iter().filter(|(grid, entry)| !as_published(grid, entry)).map(|(grid, _)| Arc::clone(grid)).collect();
        let changed = |(id, household): &(&Arc<str>, &Household)| !is_unchanged(household, present, id);
        let households = snapshot.households.iter().filter(changed).map(|(id, _)| Arc::clone(id)).collect();
        let households_gone = present.households.keys().filter(|id| !snapshot.has_household(id)).cloned().collect();
        let needed: HashSet<&str> = snapshot.kept_households.values().map(|grid| &**grid).collect();
        let stays = |grid: &str| {
            snapshot.grids.contains_key(grid)
                || snapshot.kept_grids.contains(grid)
                || present.others_grids.contains(grid)
                || needed.contains(grid)
        };
        let grids_gone = present.grids.keys().filter(|grid| !stays(grid)).cloned().collect();
        let named: HashSet<Token> = links.iter().map(|(token, _)| *token).collect();
        let identifiers_gone = present.identifiers.keys().filter(|token| !named.contains(token)).copied().collect();
        let count = links.len() as u64;
        let new = |(token, link): &(Token, IdentifierLink)| present.identifiers.get(token) != Some(&link_digest(link));
        let identifiers = links.into_iter().filter(new).collect();
        Plan { grids, households, identifiers, links: count, identifiers_gone, households_gone, grids_gone }
    }

    fn count(&self, snapshot: &Snapshot, present: &Present, report: &mut ImportReport) {
        let counts = |published: usize, all: u64, gone: usize| Counts {
            published: published as u64,
            unchanged: all - published as u64,
            gone: gone as u64,
        };
        // What a bad row kept counts as unchanged.
        let kept_grids = snapshot.kept_grids.iter().filter(|grid| present.grids.contains_key(&***grid)).count();
        let grids = (snapshot.grids.len() + kept_grids) as u64;
        let households = (snapshot.households.len() + snapshot.kept_households.len()) as u64;
        report.grids = counts(self.grids.len(), grids, self.grids_gone.len());
        report.households = counts(self.households.len(), households, self.households_gone.len());
        report.identifiers = counts(self.identifiers.len(), self.links, self.identifiers_gone.len());
    }

    async fn publish(
        self,
        target: &Target<'_>,
        snapshot: &Snapshot,
        present: &Present,
        now: Millis,
        progress: &mut Progress<'_>,
    ) -> Result<(), ImportError> {
        let Target { log, partitions, codec, keys } = target;
        let (log, partitions) = (*log, *partitions);
        let grids = self.grids.iter().filter_map(|grid| {
            let entry = GridEntry { published_at: now, ..snapshot.grids.get(grid)?.clone() };
            Some((grid.to_string(), Some(codec.encode(&entry))))
        });
        publish(log, GRIDS, partitions, grids, "grids published", progress).await?;
        let mut sealed = Ok(());
        let households = self.households.iter().filter_map(|id| {
            let entry = household_entry(snapshot.households.get(id)?, present, id, keys, now);
            let entry = entry.map_err(|gone| sealed = Err(gone)).ok()?;
            Some((household_key(keys.mandate(), id), Some(codec.encode(&entry))))
        });
        publish(log, HOUSEHOLDS, partitions, households, "households published", progress).await?;
        sealed?;
        let identifiers = self.identifiers.iter().map(|(token, link)| (token.to_string(), Some(codec.encode(link))));
        publish(log, IDENTIFIERS, partitions, identifiers, "identifiers published", progress).await?;
        let gone = self.identifiers_gone.iter().map(|token| (token.to_string(), None));
        publish(log, IDENTIFIERS, partitions, gone, "identifiers taken away", progress).await?;
        let gone = self.households_gone.iter().map(|id| (household_key(keys.mandate(), id), None));
        publish(log, HOUSEHOLDS, partitions, gone, "households taken away", progress).await?;
        let gone = self.grids_gone.into_iter().map(|grid| (grid, None));
        publish(log, GRIDS, partitions, gone, "grids taken away", progress).await?;
        Ok(())
    }
}

/// Where it is published, and with which keys.
struct Target<'a> {
    log: &'a dyn Log,
    partitions: i32,
    codec: &'a Codec,
    keys: &'a MandateKeys,
}

fn is_unchanged(household: &Household, present: &Present, id: &str) -> bool {
    present.households.get(id).is_some_and(|before| {
        before.place == Some(place_digest(&household.grid, household.address.as_deref()))
            && before.contact == Some(contact_digest(household.contact.as_deref()))
    })
}

/// The entry as it is published. Its version stays where only the contact changed, and always grows otherwise.
fn household_entry(
    household: &Household,
    present: &Present,
    id: &str,
    keys: &MandateKeys,
    now: Millis,
) -> Result<HouseholdEntry, KeysGone> {
    let owner = household_key(keys.mandate(), id);
    let version = match present.households.get(id) {
        Some(before) if before.place == Some(place_digest(&household.grid, household.address.as_deref())) => before.version,
        Some(before) => now.0.max(before.version + 1),
        None => now.0,
    };
    Ok(HouseholdEntry {
        version,
        grid: household.grid.to_string(),
        address: seal(keys, "address", &owner, household.address.as_deref())?,
        contact: seal(keys, "contact", &owner, household.contact.as_deref())?,
    })
}

/// A household's field as it is published.
pub fn seal(keys: &MandateKeys, field: &str, owner: &str, text: Option<&str>) -> Result<Option<Sealed>, KeysGone> {
    let sealed = |text: &str| Ok(Sealed { owner: owner.into(), value: Blob(keys.seal(field, owner, text.as_bytes())?) });
    text.map(sealed).transpose()
}
