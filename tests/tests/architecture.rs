//! Holds the workspace to its drawing: arrows between crates point down, heavy libraries live in one place each, every file says what
//! it is for and stays short, and the map names every crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crates that a program is made of, and what each may stand on. Roles never know one another: they meet in topics.
const MAY: &[(&str, &[&str])] = &[
    ("oneknock-events", &[]),
    ("oneknock-domain", &["oneknock-events"]),
    ("oneknock-keys", &["oneknock-events"]),
    ("oneknock-log", &["oneknock-events"]),
    ("oneknock-audit", &["oneknock-events", "oneknock-keys"]),
    ("oneknock-connectors", BELOW_ROLES),
    // Who judges has no keys: it can neither open a value nor make a token.
    ("oneknock-router", &["oneknock-log", "oneknock-domain", "oneknock-events"]),
    ("oneknock-inbox", BELOW_ROLES),
    ("oneknock-ops", BELOW_ROLES),
    (
        "oneknock",
        &[
            "oneknock-connectors",
            "oneknock-router",
            "oneknock-inbox",
            "oneknock-ops",
            "oneknock-log",
            "oneknock-keys",
            "oneknock-audit",
            "oneknock-domain",
            "oneknock-events",
        ],
    ),
    (TESTKIT, BELOW_ROLES),
    ("xtask", &[]),
];
const BELOW_ROLES: &[&str] = &["oneknock-log", "oneknock-keys", "oneknock-audit", "oneknock-domain", "oneknock-events"];
/// For tests alone.
const TESTKIT: &str = "oneknock-testkit";
/// The package of tests that use everything.
const TESTS: &str = "oneknock-tests";

/// Libraries that live in these crates alone.
const LIVES_IN: &[(&str, &[&str])] = &[
    ("rdkafka", &["oneknock-log"]),
    ("redb", &["oneknock-log"]),
    ("sled", &["oneknock-log"]),
    ("axum", &["oneknock-connectors", "oneknock-inbox", "oneknock-ops", "oneknock-log"]),
    ("aes-gcm", &["oneknock-keys"]),
    ("argon2", &["oneknock-keys"]),
    ("hmac", &["oneknock-keys"]),
    ("sm3", &["oneknock-keys"]),
    ("sm4", &["oneknock-keys"]),
];

/// What the pure crates must not even have at hand.
const IMPURE: &[&str] = &["tokio", "reqwest", "futures", "rand", "getrandom", "tracing", "metrics", "parking_lot"];
const PURE: &[&str] = &["oneknock-events", "oneknock-domain"];

const LINES_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every arrow out of a package of the workspace.
fn arrows() -> BTreeSet<Arrow> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().other_options(vec!["--offline".into()]).exec();
    let mut arrows = BTreeSet::new();
    for package in metadata.unwrap().workspace_packages() {
        for dependency in &package.dependencies {
            let for_tests = dependency.kind == DependencyKind::Development;
            arrows.insert(Arrow { from: package.name.to_string(), to: dependency.name.clone(), for_tests });
        }
    }
    arrows
}

fn forbidden(arrows: &BTreeSet<Arrow>) -> Vec<&Arrow> {
    let may: BTreeMap<&str, &[&str]> = MAY.iter().copied().collect();
    let is_ours = |name: &str| may.contains_key(name) || name == TESTS;
    let is_forbidden = |arrow: &&Arrow| {
        let (from, to) = (arrow.from.as_str(), arrow.to.as_str());
        if from == TESTS {
            return false;
        }
        if is_ours(to) {
            let as_program = may.get(from).is_some_and(|may| may.contains(&to));
            return !(as_program || arrow.for_tests && to == TESTKIT && from != "xtask");
        }
        let lives_elsewhere = LIVES_IN.iter().any(|(library, homes)| *library == to && !homes.contains(&from));
        let impure = !arrow.for_tests && PURE.contains(&from) && IMPURE.contains(&to);
        lives_elsewhere || impure
    };
    arrows.iter().filter(is_forbidden).collect()
}

#[test]
fn arrows_point_down() {
    let arrows = arrows();
    assert_eq!(forbidden(&arrows), Vec::<&Arrow>::new());
    // Nothing passes empty: every package of ours was seen, and the drawing has no crate that is gone.
    let folders = std::fs::read_dir(root().join("crates")).unwrap().count();
    assert_eq!(folders + 1, MAY.len(), "crates and xtask");
    let known: BTreeSet<&str> = arrows.iter().map(|arrow| arrow.from.as_str()).collect();
    for (name, _) in MAY {
        assert!(known.contains(name), "{name} has no dependency at all, or is not there");
    }
}

#[test]
fn a_planted_arrow_is_found() {
    let planted = [
        ("oneknock-router", "oneknock-inbox", false),
        ("oneknock-router", "oneknock-inbox", true),
        ("oneknock-domain", "oneknock-log", false),
        ("oneknock-domain", "oneknock-keys", false),
        ("oneknock-router", "oneknock-keys", false),
        ("oneknock-events", "oneknock-domain", false),
        ("oneknock-inbox", TESTKIT, false),
        ("oneknock", TESTKIT, false),
        ("oneknock-ops", TESTS, true),
        ("xtask", "oneknock-events", false),
        ("oneknock-router", "rdkafka", false),
        ("oneknock-inbox", "sled", true),
        ("oneknock-router", "axum", false),
        ("oneknock-domain", "tokio", false),
    ];
    for (from, to, for_tests) in planted {
        let arrow = Arrow { from: from.into(), to: to.into(), for_tests };
        let mut all = arrows();
        all.insert(arrow.clone());
        assert_eq!(forbidden(&all), vec![&arrow]);
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// What is wrong with a file's form.
fn wrong_form(text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").unwrap_or_default();
    let lines = text.lines().count();
    if says.split_whitespace().count() < 2 {
        return Some("does not open with `//!` and what it is for".into());
    }
    (lines > LINES_MAX).then(|| format!("has {lines} lines: more than {LINES_MAX}"))
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let mut files = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "{} files: the walk has missed some", files.len());
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|path| Some(format!("{} {}", path.display(), wrong_form(&std::fs::read_to_string(path).unwrap())?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_of_wrong_form_is_found() {
    assert_eq!(wrong_form("//! Says what for.\nfn main() {}\n"), None);
    for text in ["", "fn main() {}\n", "// A comment.\n", "//!\n", "//! testkit\n"] {
        assert!(wrong_form(text).is_some(), "{text:?}");
    }
    assert!(wrong_form(&format!("//! Too long.\n{}", "\n".repeat(LINES_MAX))).is_some());
}

/// What only the connectors and who asks for a person by name may have in hand: the normal form of an identifier is the identifier in
/// clear. The crates that judge see tokens.
fn names_clear_values(text: &str) -> bool {
    ["normal::", "normal}", "normal,", "events::normal", "keys::"].iter().any(|word| text.contains(word))
}

#[test]
fn who_judges_cannot_see_a_number_a_plate_or_a_name() {
    let mut files = Vec::new();
    for folder in ["crates/domain/src", "crates/router/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 30, "{} files: the walk has missed some", files.len());
    let seeing: Vec<_> = files.iter().filter(|path| names_clear_values(&std::fs::read_to_string(path).unwrap())).collect();
    assert!(seeing.is_empty(), "{seeing:?}");
    for planted in [
        "use events::normal;",
        "use events::{Millis, normal, time};",
        "let form = events::normal::plate(raw);",
        "fn open(keys: &keys::MandateKeys)",
    ] {
        assert!(names_clear_values(planted), "{planted}");
    }
    // A person's number has one type there, and its kind: sixteen bytes that a keyed hash made.
    let identifier = std::fs::read_to_string(root().join("schemas/CheckpointPassage.avsc")).unwrap();
    for word in ["\"name\": \"phone\"", "\"name\": \"plate\"", "\"name\": \"resident_id\"", "\"name\": \"name\""] {
        assert!(!identifier.contains(word), "{word}");
    }
    assert!(identifier.contains("\"token\""));
}

#[test]
fn the_map_names_every_crate_and_none_that_is_gone() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let folders: BTreeSet<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| format!("crates/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    let unnamed: Vec<&String> = folders.iter().filter(|folder| !map.contains(folder.as_str())).collect();
    assert!(unnamed.is_empty(), "ARCHITECTURE.md does not name {unnamed:?}");
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    for (at, _) in map.match_indices("crates/") {
        let rest = &map[at + "crates/".len()..];
        let name = rest.split(|letter| !is_name(letter)).next().unwrap_or_default();
        assert!(name.is_empty() || folders.contains(&format!("crates/{name}")), "ARCHITECTURE.md names crates/{name}, which is not there");
    }
    for readme in ["README.md", "README.zh-CN.md"] {
        let text = std::fs::read_to_string(root().join(readme)).expect(readme);
        assert!(text.contains("ARCHITECTURE.md"), "{readme} does not lead to ARCHITECTURE.md");
    }
}
