//! Verifying a log: its lines against every checkpoint that was signed. It trusts the files, the public key and published checkpoints
//! alone, and shares no state with the program that wrote them.

use crate::checkpoint::{Checkpoint, Verifier};
use crate::files::{self, Line, each_line};
use crate::tree::Tree;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use tlog_tiles::Hash;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A file is missing between others.
    FileMissing {
        /// Its number.
        file: u64,
    },
    /// A line is not the entry that belongs there: something was taken out, put in, moved or altered.
    NotTheEntry {
        /// The file's number.
        file: u64,
        /// Its line, from 1.
        line: u64,
        /// The entry that belongs there, from 0.
        expected: u64,
    },
    /// Entries are not those that were signed: something among them was altered.
    Altered {
        /// Up to this entry all is as it was signed.
        from: u64,
        /// Before this one something is not.
        until: u64,
    },
    /// More entries were signed than there are.
    Missing {
        /// Entries that are here.
        entries: u64,
        /// Entries that were signed.
        signed: u64,
    },
    /// Two heads were signed for the same number of entries: the log was told in two ways.
    Fork {
        /// So many entries.
        size: u64,
    },
    /// Entries at the end that nobody signed.
    Unsigned {
        /// How many.
        entries: u64,
    },
    /// There are entries, and no checkpoint beside them.
    NoCheckpoint,
    /// A checkpoint that is not this site's.
    NotSigned {
        /// Which one, and why.
        what: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::FileMissing { file } => write!(f, "file {file} is missing"),
            Finding::NotTheEntry { file, line, expected } => {
                write!(f, "line {line} of file {file} is not entry {expected}: something was taken out, put in or moved")
            }
            Finding::Altered { from, until } => write!(f, "among entries {from} to {} something was altered", until - 1),
            Finding::Missing { entries, signed } => write!(f, "{signed} entries were signed, {entries} are here: the end is missing"),
            Finding::Fork { size } => write!(f, "two different heads were signed for {size} entries: the log was told in two ways"),
            Finding::Unsigned { entries } => {
                write!(
                    f,
                    "nobody signed the last {entries} entries: a crash left them (then the next start signs them), or somebody added them"
                )
            }
            Finding::NoCheckpoint => f.write_str("there are entries and no checkpoint beside them"),
            Finding::NotSigned { what } => f.write_str(what),
        }
    }
}

/// What was found in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log's name.
    pub name: String,
    /// Entries that are here.
    pub entries: u64,
    /// Entries that a good checkpoint covers, the one beside the files included.
    pub covered: u64,
    /// Entries that a good published checkpoint covers: nobody who holds the files and the key can change these unseen.
    pub covered_by_published: u64,
    /// Published checkpoints that were looked at.
    pub published: usize,
    /// The last line was cut off by a crash; it was never answered.
    pub cut_off: bool,
    /// What should not be; empty: the log is whole.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing was found that should not be.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What is signed for a number of entries.
struct Signed {
    head: Hash,
    published: bool,
}

/// Verifies one log of a folder, also while it is written. `published`: notes as others kept them; those of other logs are passed over.
///
/// # Errors
/// A file cannot be read.
pub fn verify(dir: &Path, name: &str, verifier: &Verifier, published: &[String]) -> io::Result<Report> {
    let (report, _) = once(dir, name, verifier, published)?;
    // What was written between two looks is signed at the second.
    let may_be_new = matches!(report.findings[..], [Finding::Unsigned { .. }]);
    if may_be_new { Ok(once(dir, name, verifier, published)?.0) } else { Ok(report) }
}

/// One look, and the tree over the entries that are in their places.
pub(crate) fn once(dir: &Path, name: &str, verifier: &Verifier, published: &[String]) -> io::Result<(Report, Tree)> {
    let mut findings = Vec::new();
    let mut signed: BTreeMap<u64, Signed> = BTreeMap::new();
    let mut looked_at = 0;
    let mut take = |Checkpoint { size, head, .. }: Checkpoint, published: bool, findings: &mut Vec<Finding>| {
        let known = signed.entry(size).or_insert(Signed { head, published });
        known.published |= published;
        if known.head != head {
            findings.push(Finding::Fork { size });
        }
    };
    let beside = match std::fs::read_to_string(files::checkpoint_path(dir, name)) {
        Ok(note) => Some(note),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(String::new()),
        Err(error) => return Err(error),
    };
    if let Some(note) = &beside {
        match verifier.checkpoint(note) {
            Ok(checkpoint) if checkpoint.name == name => take(checkpoint, false, &mut findings),
            Ok(checkpoint) => {
                findings.push(Finding::NotSigned { what: format!("the checkpoint beside the files is of the log {}", checkpoint.name) });
            }
            Err(error) => findings.push(Finding::NotSigned { what: format!("beside the files: {error}") }),
        }
    }
    for note in published {
        match verifier.checkpoint(note) {
            Ok(checkpoint) if checkpoint.name == name => {
                looked_at += 1;
                take(checkpoint, true, &mut findings);
            }
            Ok(_) => {}
            Err(error) => findings.push(Finding::NotSigned { what: format!("published: {error}") }),
        }
    }
    let numbers = files::numbers(dir, name)?;
    let missing = (1..).zip(&numbers).find(|(expected, found)| expected != *found);
    findings.extend(missing.map(|(file, _)| Finding::FileMissing { file }));
    let (mut tree, mut good, mut good_published, mut cut_off) = (Tree::default(), 0, 0, false);
    let mut broken = false;
    let mut check = |tree: &Tree, findings: &mut Vec<Finding>| {
        let Some(found) = signed.get(&tree.len()) else { return true };
        if found.head != tree.head() {
            findings.push(Finding::Altered { from: good, until: tree.len() });
            return false;
        }
        good = tree.len();
        good_published = if found.published { good } else { good_published };
        true
    };
    let mut go_on = check(&tree, &mut findings);
    let last = numbers.last().copied();
    each_line(dir, name, &numbers, |Line { file, line, bytes, whole }| {
        if !whole && Some(file) == last {
            cut_off = true;
            return false;
        }
        if !whole || number_of(bytes) != Some(tree.len()) {
            findings.push(Finding::NotTheEntry { file, line, expected: tree.len() });
            broken = true;
            return false;
        }
        tree.push(bytes);
        // What comes behind is counted, not judged: after one thing that is wrong no head fits.
        go_on = go_on && check(&tree, &mut findings);
        true
    })?;
    let entries = tree.len();
    if let Some((&most, _)) = signed.last_key_value()
        && most > entries
        && !broken
    {
        findings.push(Finding::Missing { entries, signed: most });
    }
    if beside.is_none() && entries > 0 {
        findings.push(Finding::NoCheckpoint);
    }
    if findings.is_empty() && good < entries {
        findings.push(Finding::Unsigned { entries: entries - good });
    }
    let name = name.to_owned();
    let (covered, covered_by_published, published) = (good, good_published, looked_at);
    Ok((Report { name, entries, covered, covered_by_published, published, cut_off, findings }, tree))
}

/// The number that a line begins with.
fn number_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"n\":")?;
    let digits = &rest[..rest.iter().position(|byte| *byte == b',')?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}
