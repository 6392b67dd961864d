//! `cargo xtask tamper`: changes a log of reads in every way that its holder could, and asks the verifier each time. It knows the lines
//! and the files, never how the verifier works; some of its attackers even hold the site's key.

use anyhow::{Context, Result, ensure};
use audit::{AuditLog, Signer, Verifier, verify};
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

const LOG: &str = "reads";
const ENTRIES: usize = 240;
const FILES: usize = 4;
/// A checkpoint was published after so many entries.
const PUBLISHED_EVERY: usize = 40;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Tampering {
    DeleteLines,
    DeleteAndRenumber,
    AlterByte,
    AlterAndRenumber,
    Reorder,
    ReorderAndRenumber,
    Duplicate,
    Insert,
    CutBytes,
    RemoveFile,
    SwapFiles,
    /// The end goes, and an older checkpoint of this site is put back.
    TruncateToCheckpoint,
    /// The end goes, and the site's own key signs what is left.
    TruncateAndSign,
    /// From somewhere on it is told otherwise, and the site's own key signs that.
    ForkAndSign,
    /// Told otherwise, and signed by somebody else.
    ForeignKey,
    RemoveCheckpoint,
}

use Tampering::*;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Tamperings made.
    pub tamperings: u64,
    /// Of these unnoticed.
    pub missed: u64,
    /// How many of each kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Kinds that went unnoticed, with the seed of the first.
    pub missed_kinds: BTreeMap<String, u64>,
    /// How often the untouched log was called whole, as it must be.
    pub untouched_whole: u64,
}

impl Report {
    /// Every one was found.
    pub fn passes(&self) -> bool {
        self.missed == 0 && self.tamperings > 0 && self.untouched_whole > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(f, "{} tamperings with the log of reads: {} missed; {}", self.tamperings, self.missed, kinds.join(", "))?;
        for (kind, seed) in &self.missed_kinds {
            write!(f, "\n  missed: {kind}, first with --seed {seed}")?;
        }
        Ok(())
    }
}

/// A log as it was written, and what others keep of it.
struct Original {
    home: tempfile::TempDir,
    lines: Vec<String>,
    published: Vec<String>,
    newest: String,
    verifier: Verifier,
}

impl Original {
    async fn write() -> Result<Original> {
        let home = tempfile::tempdir()?;
        let log = AuditLog::open(home.path(), audit::READS, Signer::open(home.path())?)?;
        let mut published = Vec::new();
        for at in 0..ENTRIES {
            let actor = format!("w-{:04}", at % 7);
            log.record(&json!({"at": "2026-01-03T08:14:00Z", "actor": actor, "what": "detail", "tasks": [format!("{at:032x}")]})).await?;
            if (at + 1) % PUBLISHED_EVERY == 0 {
                published.push(log.checkpoints().borrow().clone());
            }
        }
        let newest = log.checkpoints().borrow().clone();
        let lines = std::fs::read_to_string(home.path().join("reads-00000001.jsonl"))?.lines().map(str::to_owned).collect();
        let verifier = Verifier::of_site(home.path())?;
        Ok(Original { home, lines, published, newest, verifier })
    }
}

/// A copy that is worked on.
struct Copy {
    files: Vec<Vec<u8>>,
    checkpoint: Option<String>,
    /// Whose key signs anew what there is now.
    sign_with: Option<Box<Path>>,
}

fn files(lines: &[String]) -> Vec<Vec<u8>> {
    let chunk = lines.len().div_ceil(FILES).max(1);
    lines.chunks(chunk).map(|lines| lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()).collect()
}

/// The lines with the numbers that belong there.
fn renumbered(lines: &[String]) -> Vec<String> {
    let rest = |line: &str| line.split_once(',').map_or_else(String::new, |(_, rest)| rest.to_owned());
    lines.iter().enumerate().map(|(at, line)| format!("{{\"n\":{at},{}", rest(line))).collect()
}

fn tamper(original: &Original, stranger: &Path, kind: Tampering, random: &mut SmallRng) -> Copy {
    let mut lines = original.lines.clone();
    let at = random.random_range(0..lines.len());
    let mut copy = Copy { files: files(&lines), checkpoint: Some(original.newest.clone()), sign_with: None };
    let told_otherwise = |line: &str| line.replace("w-0", "w-9");
    match kind {
        DeleteLines | DeleteAndRenumber => {
            let until = (at + random.random_range(1..20)).min(lines.len());
            lines.drain(at..until);
            copy.files = files(&if kind == DeleteLines { lines } else { renumbered(&lines) });
        }
        AlterByte => {
            let file = random.random_range(0..copy.files.len());
            let byte = random.random_range(0..copy.files[file].len());
            copy.files[file][byte] ^= 1 << random.random_range(0..8);
        }
        AlterAndRenumber => {
            lines[at] = told_otherwise(&lines[at]);
            copy.files = files(&renumbered(&lines));
        }
        Reorder | ReorderAndRenumber => {
            let other = (at + random.random_range(1..lines.len())) % lines.len();
            lines.swap(at, other);
            copy.files = files(&if kind == Reorder { lines } else { renumbered(&lines) });
        }
        Duplicate => {
            lines.insert(at, lines[at].clone());
            copy.files = files(&renumbered(&lines));
        }
        Insert => {
            lines.insert(at, told_otherwise(&lines[at]));
            copy.files = files(&renumbered(&lines));
        }
        CutBytes => {
            let file = random.random_range(0..copy.files.len());
            let length = copy.files[file].len();
            copy.files[file].truncate(random.random_range(0..length));
        }
        RemoveFile => {
            let file = random.random_range(0..copy.files.len());
            copy.files[file].clear();
        }
        SwapFiles => {
            let file = random.random_range(0..copy.files.len());
            let other = (file + random.random_range(1..copy.files.len())) % copy.files.len();
            copy.files.swap(file, other);
        }
        TruncateToCheckpoint => {
            // Not the newest: to put that back changes nothing.
            let kept = random.random_range(0..original.published.len() - 1);
            copy.files = files(&lines[..(kept + 1) * PUBLISHED_EVERY]);
            copy.checkpoint = Some(original.published[kept].clone());
        }
        TruncateAndSign => {
            copy.files = files(&lines[..at]);
            (copy.checkpoint, copy.sign_with) = (None, Some(original.home.path().into()));
        }
        ForkAndSign | ForeignKey => {
            lines[at..].iter_mut().for_each(|line| *line = told_otherwise(line));
            lines[at..].shuffle(random);
            copy.files = files(&renumbered(&lines));
            let signer = if kind == ForkAndSign { original.home.path() } else { stranger };
            (copy.checkpoint, copy.sign_with) = (None, Some(signer.into()));
        }
        RemoveCheckpoint => copy.checkpoint = None,
    }
    copy
}

fn lay_out(copy: &Copy, dir: &Path) -> Result<()> {
    for (number, file) in (1..).zip(&copy.files) {
        std::fs::write(dir.join(format!("reads-{number:08}.jsonl")), file)?;
    }
    if let Some(note) = &copy.checkpoint {
        std::fs::write(dir.join("reads.checkpoint"), note)?;
    }
    if let Some(signer) = &copy.sign_with {
        // As the program itself would: it finds lines and no checkpoint, and signs what there is.
        drop(AuditLog::open(dir, audit::READS, Signer::open(signer)?)?);
    }
    Ok(())
}

/// Makes so many tamperings. `null_control`: the verifier gets no published checkpoint, so that whoever holds the key goes unnoticed.
///
/// # Errors
/// A folder cannot be written or read, or the untouched log is not whole: then nothing that is found means anything.
pub async fn run(count: u64, seed: u64, null_control: bool) -> Result<Report> {
    let original = Original::write().await?;
    let stranger = tempfile::tempdir()?;
    let kept: &[String] = if null_control { &[] } else { &original.published };
    let mut report = Report { tamperings: 0, missed: 0, by_kind: BTreeMap::new(), missed_kinds: BTreeMap::new(), untouched_whole: 0 };
    for seed in seed..seed + count {
        let mut random = SmallRng::seed_from_u64(seed);
        let kinds = Tampering::value_variants();
        let kind = kinds[random.random_range(0..kinds.len())];
        let untouched = Copy { files: files(&original.lines), checkpoint: Some(original.newest.clone()), sign_with: None };
        let copy = tamper(&original, stranger.path(), kind, &mut random);
        let dir = tempfile::tempdir()?;
        if seed % 100 == 0 {
            let beside = tempfile::tempdir()?;
            lay_out(&untouched, beside.path())?;
            let found = verify(beside.path(), LOG, &original.verifier, kept)?;
            ensure!(found.is_whole() && found.entries == ENTRIES as u64, "the untouched log is not whole: {found:?}");
            report.untouched_whole += 1;
        }
        lay_out(&copy, dir.path()).with_context(|| format!("{kind:?} of seed {seed}"))?;
        let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        report.tamperings += 1;
        *report.by_kind.entry(name.clone()).or_default() += 1;
        if verify(dir.path(), LOG, &original.verifier, kept)?.is_whole() {
            report.missed += 1;
            report.missed_kinds.entry(name).or_insert(seed);
        }
    }
    Ok(report)
}
