//! A city made of two sets of data: a register of households with the noisy records of people who turn up, and the passages of toll
//! gates. Both have to be brought along; nothing of them is in this repository.
//!
//! What the program reads comes out of here as files: the register's three CSV files, one NDJSON file a day of checkpoint events, one CSV
//! file of a day at the highway's gates. Everything that the data does not say (times, plates) is drawn by a seed.

pub mod census;
pub mod expected;
pub mod passages;
pub mod toll;
mod tsv;

use anyhow::{Context, Result};
use census::Census;
use passages::Passage;
use std::path::{Path, PathBuf};
use toll::Toll;

/// The sources as `oneknock init` names them.
pub const CHECKPOINT_SOURCE: &str = "checkpoint-bureau";
/// See [`CHECKPOINT_SOURCE`].
pub const HIGHWAY_SOURCE: &str = "highway-authority";
/// First day of the week in which everything happens; the gates' day is the same.
pub const FIRST_DAY: i64 = 18;
/// Its month.
pub const MONTH: &str = "2016-10";
/// Days over which the register's events are spread.
pub const DAYS: u64 = 7;

/// What was made, with what it was made of.
pub struct Made {
    /// Who lives where.
    pub census: Census,
    /// Checkpoint events, by time.
    pub passages: Vec<Passage>,
    /// Passages of the gates, in the order of the file.
    pub tolls: Vec<Toll>,
}

/// Where the files are.
pub struct Files {
    /// Grids, households, residents.
    pub register: [PathBuf; 3],
    /// The folder with a file of checkpoint events for each day.
    pub checkpoints: PathBuf,
    /// Those files, by day.
    pub days: Vec<PathBuf>,
    /// The gates' day.
    pub toll: PathBuf,
    /// The sources' tables for oneknock.toml.
    pub sources: PathBuf,
}

/// Reads `SHARED/data` and draws what it does not say.
///
/// # Errors
/// A file is missing or has another header.
pub fn read(shared: &Path, seed: u64) -> Result<Made> {
    let register = shared.join("data/household_register_pseudopeople");
    let census = Census::read(&register.join("register_2020.tsv"), seed)?;
    let passages = passages::read(&register.join("person_events_noisy.tsv"), &census, seed)?;
    let plates = census.plates();
    let day = format!("{MONTH}-{FIRST_DAY}");
    let tolls = toll::read(&shared.join("data/events_tollgate_kddcup2017/toll_passages.tsv"), &day, &plates, seed)?;
    Ok(Made { census, passages, tolls })
}

impl Made {
    /// Writes all files into a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Files> {
        let checkpoints = folder.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).with_context(|| folder.display().to_string())?;
        let folder = folder.canonicalize()?;
        let checkpoints = folder.join("checkpoints");
        let write = |path: PathBuf, text: String| -> Result<PathBuf> {
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok(path)
        };
        let [grids, households, residents] = self.census.tables();
        let register = [
            write(folder.join("grids.csv"), grids)?,
            write(folder.join("households.csv"), households)?,
            write(folder.join("residents.csv"), residents)?,
        ];
        let mut days = Vec::new();
        for day in FIRST_DAY..FIRST_DAY + DAYS.cast_signed() {
            let day = format!("{MONTH}-{day}");
            let of_day: String = self.passages.iter().filter(|passage| passage.at.starts_with(&day)).map(Passage::line).collect();
            days.push(write(checkpoints.join(format!("{day}.ndjson")), of_day)?);
        }
        let toll = write(folder.join("toll.csv"), toll::table(&self.tolls))?;
        let sources = write(folder.join("sources.toml"), sources(&toll, &checkpoints))?;
        Ok(Files { register, checkpoints, days, toll, sources })
    }
}

/// The two tables `[sources.*]`: CSV for the gates, NDJSON for the checkpoints.
pub fn sources(toll: &Path, checkpoints: &Path) -> String {
    let table = |name: &str, path: &Path, format: &str, event: &str, source: &str| {
        let path = path.display();
        format!(
            "\n[sources.{name}]\nkind = \"files\"\npath = \"{path}\"\nformat = \"{format}\"\nevent = \"{event}\"\nsource = \"{source}\"\n"
        )
    };
    table("toll", toll, "csv", "highway", HIGHWAY_SOURCE) + &table("checkpoints", checkpoints, "ndjson", "checkpoint", CHECKPOINT_SOURCE)
}

/// A number drawn for these words; the same seed and words, the same number.
fn draw(seed: u64, words: &[&str]) -> u64 {
    let seed = seed.to_be_bytes();
    let parts: Vec<&[u8]> = std::iter::once(seed.as_slice()).chain(words.iter().map(|word| word.as_bytes())).collect();
    events::ids::digest64(&parts).unsigned_abs()
}

/// Adds a row of CSV.
fn row(text: &mut String, cells: &[&str]) {
    let quoted = |cell: &&str| match cell.contains([',', '"', '\n', '\r', ';']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => (*cell).to_owned(),
    };
    text.push_str(&cells.iter().map(quoted).collect::<Vec<_>>().join(","));
    text.push('\n');
}
