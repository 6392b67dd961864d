//! The files of a log: `NAME-00000001.jsonl` and on, each a number of whole lines. Reading them in order, and no more.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// File `number` of a log, from 1.
pub(crate) fn path(dir: &Path, name: &str, number: u64) -> PathBuf {
    dir.join(format!("{name}-{number:08}.jsonl"))
}

/// Where a log's newest checkpoint stands.
pub(crate) fn checkpoint_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.checkpoint"))
}

fn number(file: &str, name: &str) -> Option<u64> {
    file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".jsonl")?.parse().ok()
}

/// The numbers of a log's files, ascending.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn numbers(dir: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        numbers.extend(entry?.file_name().to_str().and_then(|file| number(file, name)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names of the logs that a folder holds: each has a file of lines, or a checkpoint.
///
/// # Errors
/// The folder cannot be read.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.file_name();
        let Some(file) = file.to_str() else { continue };
        let of_lines =
            file.strip_suffix(".jsonl").and_then(|file| file.rsplit_once('-')).filter(|(_, number)| number.parse::<u64>().is_ok());
        names.extend(of_lines.map(|(name, _)| name).or(file.strip_suffix(".checkpoint")).map(str::to_owned));
    }
    Ok(names.into_iter().collect())
}

/// A line and where it stands.
pub(crate) struct Line<'a> {
    /// The file's number.
    pub file: u64,
    /// Its line, from 1.
    pub line: u64,
    /// Without its end.
    pub bytes: &'a [u8],
    /// It ends: a line that a crash cut off does not.
    pub whole: bool,
}

/// Every line of these files, in order, until `each` answers false.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn each_line(dir: &Path, name: &str, numbers: &[u64], mut each: impl FnMut(Line<'_>) -> bool) -> io::Result<()> {
    let mut buffer = Vec::new();
    for &number in numbers {
        let file = File::open(path(dir, name, number))?;
        // As long as it is now: it may be written on meanwhile.
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 16, file.take(length));
        for line in 1.. {
            buffer.clear();
            if file.read_until(b'\n', &mut buffer)? == 0 {
                break;
            }
            let whole = buffer.last() == Some(&b'\n');
            let bytes = if whole { &buffer[..buffer.len() - 1] } else { &buffer[..] };
            if !each(Line { file: number, line, bytes, whole }) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Every entry of a log, in order; what is no JSON is passed over, `verify` tells of it.
///
/// # Errors
/// A file cannot be read.
pub fn each_entry(dir: &Path, name: &str, mut each: impl FnMut(&serde_json::Value)) -> io::Result<()> {
    each_line(dir, name, &numbers(dir, name)?, |line| {
        if let Ok(entry) = serde_json::from_slice(line.bytes) {
            each(&entry);
        }
        true
    })
}

/// The length of all lines that end.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
