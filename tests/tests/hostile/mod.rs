//! The suites of hostile input, read whole; and what a text is by the rules of the files, said once more without the program's code.

use serde_json::Value;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Stands in values that may be in no topic, answer or log line.
pub const PRIVATE: &str = "PRIVATE7Q";
/// Stands in values that may be in no answer or log line.
pub const OPEN: &str = "OPEN7Q";

/// What `hostile_input` holds.
pub struct Suites {
    /// Name, bytes, and the rows that a reader has to find, their cells in the order of the columns.
    pub csv: Vec<(String, Vec<u8>, Vec<Vec<String>>)>,
    /// One sign a line, in GB18030.
    pub gb18030: Vec<u8>,
    /// The same in UTF-8.
    pub gb18030_as_utf8: String,
    /// Name (`y_…` valid, `n_…` invalid, others either) and bytes.
    pub json: Vec<(String, Vec<u8>)>,
    /// Strings that broke something somewhere.
    pub naughty: Vec<String>,
    /// Their file.
    pub naughty_file: Vec<u8>,
}

impl Suites {
    /// Reads them; a missing one fails by its name.
    pub fn read() -> Suites {
        let shared = std::env::var_os("ONEKNOCK_SHARED");
        let shared = shared.expect("ONEKNOCK_SHARED names the folder with the shared data; cargo xtask test-shared DIR sets it");
        let folder = PathBuf::from(shared).join("data/hostile_input");
        let file = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json = |path: &Path| serde_json::from_slice::<Value>(&file(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let csv = files(&folder.join("csv_spectrum"), "csv").into_iter().map(|path| {
            let bytes = file(&path);
            let header = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()).trim().to_owned();
            let rows = json(&path.with_extension("json"));
            let text = |row: &Value, title: &str| row[title].as_str().unwrap_or_else(|| panic!("{}: {title}", path.display())).to_owned();
            let rows = rows.as_array().expect("rows").iter().map(|row| header.split(',').map(|title| text(row, title)).collect()).collect();
            (stem(&path), bytes, rows)
        });
        let csv = csv.collect();
        let suite = folder.join("json_test_suite");
        let cases = files(&suite.join("test_parsing"), "json").into_iter().chain(files(&suite.join("test_transform"), "json"));
        let naughty = folder.join("naughty/blns.json");
        let strings = json(&naughty);
        Suites {
            csv,
            gb18030: file(&folder.join("gb18030/gb18030_in.txt")),
            gb18030_as_utf8: String::from_utf8(file(&folder.join("gb18030/gb18030_in_ref.txt"))).expect("UTF-8"),
            json: cases.map(|path| (stem(&path), file(&path))).collect(),
            naughty: strings.as_array().expect("a list").iter().map(|text| text.as_str().expect("a string").to_owned()).collect(),
            naughty_file: file(&naughty),
        }
    }
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == end));
    assert!(!paths.is_empty(), "{} holds no .{end} file", folder.display());
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// A cell of CSV, always quoted.
pub fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// As it is kept: composed, without white space around it.
pub fn plain(text: &str) -> String {
    text.trim().nfc().collect()
}

/// Whether it can be kept.
pub fn is_text(text: &str, chars_max: usize) -> bool {
    let kept = plain(text);
    kept.chars().count() <= chars_max && !kept.chars().any(char::is_control)
}
