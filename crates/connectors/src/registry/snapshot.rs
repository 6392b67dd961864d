//! The register as three CSV files say it: validated row by row, clear values turned into tokens as they are read.
//!
//! A bad row is rejected and costs no other row. Where the log already holds what a bad row speaks of (its grid or household), that stays as it
//! is: a typing error must not take a household away.

use super::csv_file::{CsvFile, Row};
use super::import::{ImportError, Paths, Progress};
use super::present::Present;
use crate::intake::{self, ADDRESS_CHARS_MAX, CODE_CHARS_MAX, NotTaken, Refusal, RefusalCode};
use crate::rejects::Rejects;
use domain::limits::LINKS_MAX;
use events::{GridEntry, Identifier, IdentifierKind, IdentifierLink, Link, Millis, Token};
use keys::{KeysGone, MandateKeys};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// Longest name or phone as it was written, in characters.
pub const NAME_CHARS_MAX: usize = 128;
const GRID_COLUMNS: &[&str] = &["grid", "name", "community", "community_name", "subdistrict", "division", "workers"];
const HOUSEHOLD_COLUMNS: &[&str] = &["household", "grid", "address", "contact_name", "contact_phone"];
const RESIDENT_COLUMNS: &[&str] = &["resident", "household", "name", "resident_id", "phones", "plates"];
const RESIDENT_OPTIONAL: &[&str] = &["passports", "permits"];

/// One household, still in clear: no `Debug`.
pub struct Household {
    /// Its grid.
    pub grid: Arc<str>,
    /// Its address.
    pub address: Option<String>,
    /// `{"name","phone"}`.
    pub contact: Option<String>,
}

/// The whole register.
#[derive(Default)]
pub struct Snapshot {
    /// Good grids.
    pub grids: HashMap<Arc<str>, GridEntry>,
    /// Good households.
    pub households: HashMap<Arc<str>, Household>,
    /// Grids and households that stand in the log and whose row here was bad: they stay.
    pub kept_grids: HashSet<Arc<str>>,
    /// See `kept_grids`; with their grid.
    pub kept_households: HashMap<Arc<str>, Arc<str>>,
    /// Token and household, one for each time that they were seen together.
    pairs: Vec<(Token, Arc<str>)>,
    /// Rows read and rejected, of grids, households and residents.
    pub rows: [(u64, u64); 3],
    /// Rows of which something was left out, since a person had it erased.
    pub erased: u64,
    /// Files of rejected rows.
    pub rejects: Vec<std::path::PathBuf>,
}

/// What one file is read into.
struct Reading<'a> {
    keys: &'a MandateKeys,
    present: &'a Present,
    snapshot: Snapshot,
    /// Codes that occur again and again, once.
    known: HashMap<String, Arc<str>>,
}

/// Reads the three files.
pub fn read(
    paths: &Paths,
    state_dir: &Path,
    keys: &MandateKeys,
    present: &Present,
    progress: &mut Progress<'_>,
) -> Result<Snapshot, ImportError> {
    let mut reading = Reading { keys, present, snapshot: Snapshot::default(), known: HashMap::new() };
    let files: [(&Path, &[&'static str], &[&'static str], Take<'_>); 3] = [
        (&paths.grids, GRID_COLUMNS, &[], Reading::grid),
        (&paths.households, HOUSEHOLD_COLUMNS, &[], Reading::household),
        (&paths.residents, RESIDENT_COLUMNS, RESIDENT_OPTIONAL, Reading::resident),
    ];
    for (at, (path, required, optional, take)) in files.into_iter().enumerate() {
        let failed = |reason: String| ImportError::File { path: path.to_owned(), reason };
        let file = CsvFile::open(path, required, optional).map_err(|error| failed(error.to_string()))?;
        let mut rejects =
            Rejects::fresh(crate::rejects::beside(path, state_dir)).map_err(|error| failed(format!("its rejects: {error}")))?;
        let mut count = 0;
        for row in file {
            let Row { number, cells } = row.map_err(|error| failed(error.to_string()))?;
            match cells.map_err(NotTaken::from).and_then(|cells| take(&mut reading, &cells)) {
                Ok(()) => {}
                Err(NotTaken::Refused(refusal)) => {
                    rejects.push(number, &refusal).map_err(|error| failed(format!("its rejects: {error}")))?;
                }
                Err(NotTaken::KeysAway) => return Err(ImportError::Keys(KeysGone)),
            }
            count += 1;
            if count % 10_000 == 0 {
                progress(["grids read", "households read", "residents read"][at], count);
            }
        }
        rejects.sync().map_err(|error| failed(format!("its rejects: {error}")))?;
        reading.snapshot.rows[at] = (count, rejects.rows());
        reading.snapshot.rejects.extend(rejects.path().map(Path::to_owned));
    }
    Ok(reading.snapshot)
}

type Take<'a> = fn(&mut Reading<'a>, &[String]) -> Result<(), NotTaken>;

fn text(cells: &[String], at: usize, name: &'static str, chars_max: usize) -> Result<Option<String>, Refusal> {
    intake::free_text(cells.get(at).map_or("", String::as_str), name, chars_max)
}

fn required(cells: &[String], at: usize, name: &'static str) -> Result<String, Refusal> {
    let code = intake::bounded_text(cells.get(at).map_or("", String::as_str), name, CODE_CHARS_MAX)?;
    code.ok_or_else(|| Refusal::missing(name))
}

/// A household's code is a key of topics: never what the same row says of its people. As with other codes, a name that stands nowhere else in the
/// row cannot be told from one.
fn says_who_lives_there(code: &str, cells: &[String]) -> bool {
    let letters = |text: &str| text.nfkc().filter(|c| c.is_alphanumeric()).collect::<String>();
    let code = letters(code);
    // A code may be the number of a door: what is written in another script is none.
    let mut said = cells.iter().skip(2).map(|cell| letters(cell)).filter(|value| !value.is_ascii() && value.chars().count() > 1);
    said.any(|value| code.contains(&value))
}

/// A code that travels in clear.
fn code(cells: &[String], at: usize, name: &'static str) -> Result<String, Refusal> {
    intake::impersonal(required(cells, at, name)?, name)
}

impl Reading<'_> {
    fn code(&mut self, code: &str) -> Arc<str> {
        match self.known.get(code) {
            Some(known) => Arc::clone(known),
            None => {
                let fresh: Arc<str> = code.into();
                self.known.insert(code.to_owned(), Arc::clone(&fresh));
                fresh
            }
        }
    }

    fn grid(&mut self, cells: &[String]) -> Result<(), NotTaken> {
        let grid = code(cells, 0, "grid")?;
        let entry = grid_entry(cells);
        let grid = self.code(&grid);
        match entry {
            Ok(_) if self.snapshot.grids.contains_key(&grid) => {
                Err(Refusal::at(RefusalCode::Duplicate, "grid", "a row before this one has it").into())
            }
            Ok(entry) => {
                self.snapshot.kept_grids.remove(&grid);
                self.snapshot.grids.insert(grid, entry);
                Ok(())
            }
            Err(refusal) => {
                if !self.snapshot.grids.contains_key(&grid) && self.present.grids.contains_key(&*grid) {
                    self.snapshot.kept_grids.insert(grid);
                }
                Err(refusal.into())
            }
        }
    }

    fn household(&mut self, cells: &[String]) -> Result<(), NotTaken> {
        let id = code(cells, 0, "household")?;
        if id.starts_with('~') {
            return Err(Refusal::bad_value("household", "must not begin with ~").into());
        }
        if says_who_lives_there(&id, cells) {
            return Err(Refusal::bad_value("household", "holds the row's own address or contact: expected a code").into());
        }
        let read = self.read_household(&id, cells);
        let id = self.code(&id);
        if self.snapshot.households.contains_key(&id) {
            return read.and(Err(Refusal::at(RefusalCode::Duplicate, "household", "a row before this one has it").into()));
        }
        match read {
            Ok((household, address)) => {
                self.snapshot.kept_households.remove(&id);
                self.snapshot.pairs.extend(address.map(|token| (token, Arc::clone(&id))));
                self.snapshot.households.insert(id, household);
                Ok(())
            }
            Err(refusal) => {
                if let Some(present) = self.present.households.get(&*id) {
                    let grid = self.code(&present.grid);
                    self.snapshot.kept_households.insert(id, grid);
                }
                Err(refusal)
            }
        }
    }

    fn read_household(&mut self, id: &str, cells: &[String]) -> Result<(Household, Option<Token>), NotTaken> {
        let grid = required(cells, 1, "grid")?;
        let mut address = text(cells, 2, "address", ADDRESS_CHARS_MAX)?;
        let name = text(cells, 3, "contact_name", NAME_CHARS_MAX)?;
        let phone = text(cells, 4, "contact_phone", NAME_CHARS_MAX)?;
        let mut contact = contact_text(name.as_deref(), phone.as_deref());
        let grid = self.code(&grid);
        if !self.snapshot.grids.contains_key(&grid) && !self.snapshot.kept_grids.contains(&grid) {
            return Err(Refusal::at(RefusalCode::UnknownGrid, "grid", "no good row of the grids has it").into());
        }
        let erased = &self.present.erased;
        let left_out = (
            address.is_some() && erased.has_field("address", id, self.keys)?,
            contact.is_some() && (erased.has_field("contact", id, self.keys)? || erased.has_phone(phone.as_deref(), self.keys)?),
        );
        self.snapshot.erased += u64::from(left_out.0 || left_out.1);
        address = address.filter(|_| !left_out.0);
        contact = contact.filter(|_| !left_out.1);
        let token = match &address {
            Some(address) => intake::address(&grid, address, "address", self.keys)?,
            None => None,
        };
        Ok((Household { grid, address, contact }, token.map(|identifier| identifier.token)))
    }

    fn resident(&mut self, cells: &[String]) -> Result<(), NotTaken> {
        required(cells, 0, "resident")?;
        let household = required(cells, 1, "household")?;
        let mut identifiers = Vec::new();
        let lists = [
            (3, "resident_id", IdentifierKind::ResidentId),
            (4, "phones", IdentifierKind::Phone),
            (5, "plates", IdentifierKind::Plate),
            (6, "passports", IdentifierKind::Passport),
            (7, "permits", IdentifierKind::Permit),
        ];
        for (at, column, kind) in lists {
            let list = cells.get(at).map_or("", String::as_str);
            let parts = list.split([';', '；']).map(str::trim).filter(|part| !part.is_empty());
            if kind == IdentifierKind::ResidentId && parts.clone().count() > 1 {
                return Err(Refusal::bad_value(column, "expected one").into());
            }
            for part in parts {
                identifiers.push(intake::token(kind, part, column, self.keys)?);
            }
        }
        let known = self.snapshot.households.get_key_value(household.as_str()).map(|(id, _)| id);
        let known = known.or_else(|| self.snapshot.kept_households.get_key_value(household.as_str()).map(|(id, _)| id));
        let Some(id) = known.cloned() else {
            return Err(Refusal::at(RefusalCode::UnknownHousehold, "household", "no good row of the households has it").into());
        };
        let is_erased = |identifier: &&Identifier| self.present.erased.has(identifier.token);
        if let Some(strongest) = identifiers.iter().filter(is_erased).map(|identifier| identifier.kind).min() {
            self.snapshot.erased += 1;
            // A paper is one person's: with it the whole row is. A phone or a car may be others' too.
            let whole = strongest <= IdentifierKind::Permit;
            identifiers.retain(|identifier| !whole && !is_erased(&identifier));
        }
        self.snapshot.pairs.extend(identifiers.into_iter().map(|identifier| (identifier.token, Arc::clone(&id))));
        Ok(())
    }
}

/// What is sealed as a household's contact; none where nothing is known.
pub fn contact_text(name: Option<&str>, phone: Option<&str>) -> Option<String> {
    let known = name.is_some() || phone.is_some();
    known.then(|| serde_json::json!({"name": name, "phone": phone}).to_string())
}

fn grid_entry(cells: &[String]) -> Result<GridEntry, Refusal> {
    let named = |at, name| text(cells, at, name, NAME_CHARS_MAX).map(Option::unwrap_or_default);
    let workers = match text(cells, 6, "workers", CODE_CHARS_MAX)? {
        None => 0,
        Some(count) => {
            let count = count.parse().ok().filter(|count| (0..=1_000_000).contains(count));
            count.ok_or_else(|| Refusal::bad_value("workers", "expected a whole number"))?
        }
    };
    Ok(GridEntry {
        name: named(1, "name")?,
        community: named(2, "community")?,
        community_name: named(3, "community_name")?,
        subdistrict: named(4, "subdistrict")?,
        division: code(cells, 5, "division")?,
        workers,
        published_at: Millis(0),
    })
}

impl Snapshot {
    /// The households of every identifier, by token. Takes the pairs out.
    pub fn links(&mut self, mandate: &str) -> Vec<(Token, IdentifierLink)> {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_unstable();
        pairs.dedup();
        let link = |group: &[(Token, Arc<str>)]| {
            let common = group.len() > LINKS_MAX;
            let of = |id: &Arc<str>| Link { household: id.to_string(), grid: self.grid_of(id) };
            let links = if common { Vec::new() } else { group.iter().map(|(_, id)| of(id)).collect() };
            (group[0].0, IdentifierLink { mandate: mandate.to_owned(), links, common })
        };
        pairs.chunk_by(|(one, _), (other, _)| one == other).map(link).collect()
    }

    /// Whether a household is there, or stays.
    pub fn has_household(&self, id: &str) -> bool {
        self.households.contains_key(id) || self.kept_households.contains_key(id)
    }

    fn grid_of(&self, household: &Arc<str>) -> String {
        let good = self.households.get(household).map(|household| &household.grid);
        good.or_else(|| self.kept_households.get(household)).map(|grid| grid.to_string()).unwrap_or_default()
    }
}
