//! Holds the documents to what is there: every path, command, option and test that they name exists, their records have the schemas'
//! fields, and the two READMEs say the same. What a document claims beyond names, no test knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];
/// Folders at the root that a code span may lead into.
const FOLDERS: [&str; 9] = [".cargo", ".ci", ".github", "crates", "deploy", "docs", "schemas", "tests", "xtask"];
/// Words that have no place in the project's own documents: hosts that packages come from, and how the work was done.
const FORBIDDEN: [&str; 11] = [
    concat!("crates", ".io"),
    concat!("docs", ".rs"),
    "npmjs",
    "pypi",
    concat!("maven", ".org"),
    concat!("docker", ".io"),
    concat!("ghcr", ".io"),
    concat!("proxy", ".golang"),
    "session",
    "/home/",
    "todo",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder, as paths from the root.
fn below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}

fn documents() -> Vec<String> {
    let at_root = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    at_root.chain(below("docs")).chain(below("deploy")).filter(|path| path.ends_with(".md")).collect()
}

/// A document taken apart.
#[derive(Default)]
struct Parts {
    /// Levels of the headings, in order.
    headings: Vec<usize>,
    /// Language and text of each fenced block.
    blocks: Vec<(String, String)>,
    /// Code between backticks, outside of blocks.
    spans: Vec<String>,
    /// Targets of links.
    links: Vec<String>,
}

fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut prose = String::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                parts.blocks.push((language.trim().to_owned(), String::new()));
            }
        } else if inside {
            let (_, block) = parts.blocks.last_mut().unwrap();
            *block += &format!("{line}\n");
        } else {
            if line.starts_with('#') {
                parts.headings.push(line.chars().take_while(|letter| *letter == '#').count());
            }
            prose += &format!("{line}\n");
        }
    }
    assert!(!inside, "a block is not closed");
    parts.spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    parts.links = targets.map(str::to_owned).collect();
    parts
}

/// What the program and the repository really have; helps are asked for once.
struct Facts {
    helps: RefCell<BTreeMap<Vec<String>, String>>,
    tasks: BTreeSet<String>,
    file_names: BTreeSet<String>,
    functions: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Facts {
    fn gather() -> Facts {
        let code: Vec<String> = ["crates", "tests", "xtask"].into_iter().flat_map(below).filter(|path| path.ends_with(".rs")).collect();
        let functions = code.iter().flat_map(|path| names_behind(&read(path), "fn ")).collect();
        let fields = below("schemas").iter().flat_map(|path| quoted_names(&read(path))).collect();
        let tasks = read("xtask/src/main.rs");
        let tasks = tasks.split("enum Task {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("enum Task").to_owned();
        let variants = tasks.lines().map(str::trim).filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
        let tasks: BTreeSet<String> = variants.map(|line| kebab(line.split(['(', ',', ' ']).next().unwrap_or_default())).collect();
        assert!(tasks.contains("test-shared") && tasks.len() > 5, "{tasks:?}");
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        Facts { helps: RefCell::default(), tasks, file_names: code.iter().map(name).collect(), functions, fields }
    }

    /// What `--help` says of a command; empty for one that is not there.
    fn help(&self, words: &[String]) -> String {
        let ask = || {
            let asked = Command::new(testkit::site::binary().unwrap()).args(words).arg("--help").output().unwrap();
            if asked.status.success() { String::from_utf8(asked.stdout).unwrap() } else { String::new() }
        };
        self.helps.borrow_mut().entry(words.to_vec()).or_insert_with(ask).clone()
    }

    fn subcommands(&self, words: &[String]) -> BTreeSet<String> {
        let help = self.help(words);
        let list = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default().to_owned();
        let named = list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        named.map(str::to_owned).collect()
    }

    /// What is wrong with the words after `oneknock`.
    fn wrong_command(&self, words: &[&str]) -> Option<String> {
        let mut command = Vec::new();
        let mut rest = words;
        while let Some((word, more)) = rest.split_first() {
            let known = self.subcommands(&command);
            if known.is_empty() || word.starts_with('-') || *word == "…" {
                break;
            }
            if !known.contains(*word) {
                return Some(format!("oneknock {}: there is no {word}", command.join(" ")));
            }
            command.push((*word).to_owned());
            rest = more;
        }
        let help = self.help(&command);
        let mentioned: BTreeSet<&str> = help.split(|letter: char| letter.is_whitespace() || letter == ',').collect();
        let unknown = rest.iter().find(|word| word.starts_with('-') && !mentioned.contains(*word))?;
        Some(format!("oneknock {}: there is no {unknown}", command.join(" ")))
    }

    fn wrong_task(&self, words: &[&str]) -> Option<String> {
        let task = words.first()?;
        if !self.tasks.contains(*task) {
            return Some(format!("cargo xtask: there is no {task}"));
        }
        let homes = [format!("xtask/src/{}.rs", task.replace("test-", "")), format!("tests/src/bin/{task}.rs")];
        let homes: String = homes.iter().map(|path| std::fs::read_to_string(root().join(path)).unwrap_or_default()).collect();
        let has = |option: &str| homes.contains(&format!(" {}:", option.trim_start_matches('-').replace('-', "_")));
        let unknown = words.iter().find(|word| word.starts_with("--") && !has(word))?;
        Some(format!("cargo xtask {task}: there is no {unknown}"))
    }

    /// What is wrong with code: a span, or a line of a shell's block.
    fn wrong_code(&self, code: &str) -> Option<String> {
        let words: Vec<&str> = code.split_whitespace().collect();
        let (first, rest) = words.split_first()?;
        match (*first, rest.first().copied()) {
            ("oneknock", Some(_)) => self.wrong_command(rest),
            ("cargo", Some("xtask")) => self.wrong_task(&rest[1..]),
            ("cargo", Some("demo")) => {
                assert!(read(".cargo/config.toml").contains("\ndemo = "), "the alias is gone");
                self.wrong_command(&[&["demo"], &rest[1..]].concat())
            }
            (group, Some(_)) if !self.subcommands(&[group.to_owned()]).is_empty() => self.wrong_command(&words),
            (path, None) => self.wrong_name(path),
            _ => None,
        }
    }

    fn wrong_name(&self, name: &str) -> Option<String> {
        let folder = name.split('/').next().unwrap_or_default();
        let there = if name.contains('/') && FOLDERS.contains(&folder) {
            root().join(name).exists()
        } else if name.ends_with(".rs") && !name.contains('/') {
            self.file_names.contains(name)
        } else if [".md", ".yml"].iter().any(|end| name.ends_with(end)) && !name.contains('/') {
            root().join(name).exists()
        } else if name.matches('_').count() >= 2
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            self.functions.contains(name) || self.fields.contains(name)
        } else {
            true
        };
        (!there).then(|| format!("{name} is not there"))
    }

    /// Everything that is wrong with a document.
    fn wrong(&self, path: &str, text: &str) -> Vec<String> {
        let Parts { blocks, spans, links, .. } = parts(text);
        let mut wrong: Vec<String> = spans.iter().filter_map(|span| self.wrong_code(span)).collect();
        for (language, block) in &blocks {
            match language.as_str() {
                "sh" => wrong.extend(block.lines().filter_map(|line| self.wrong_code(line))),
                "json" => wrong.extend(self.wrong_json(block)),
                _ => {}
            }
        }
        let folder = root().join(path).parent().unwrap().to_owned();
        let local = links.iter().filter(|link| !link.starts_with("https://"));
        let gone = local.filter(|link| !folder.join(link.split('#').next().unwrap_or_default()).exists());
        wrong.extend(gone.map(|link| format!("the link to {link} leads nowhere")));
        wrong.extend(forbidden(text));
        wrong.into_iter().map(|what| format!("{path}: {what}")).collect()
    }

    /// Records that are shown must be made of topics and fields that are there.
    fn wrong_json(&self, block: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for shown in serde_json::Deserializer::from_str(block).into_iter::<serde_json::Value>() {
            let Ok(shown) = shown else { return vec![format!("no JSON: {block}")] };
            let Some(value) = shown.get("value") else { continue };
            let is_topic = |name: &str| events::topics::ALL.iter().any(|topic| topic.name == name);
            if !shown.as_object().is_some_and(|fields| fields.keys().any(|name| is_topic(name))) {
                wrong.push(format!("a record of no topic: {shown}"));
            }
            let mut named = Vec::new();
            keys(value, &mut named);
            wrong.extend(named.into_iter().filter(|key| !self.fields.contains(key)).map(|key| format!("no schema has a field {key}")));
        }
        wrong
    }
}

fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(name.clone());
            keys(value, found);
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

fn forbidden(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = FORBIDDEN.iter().filter(|word| lower.contains(**word)).map(|word| format!("holds {word}"));
    // An issue is named with its repository, or not at all.
    let bare = text.match_indices('#').filter(|(at, _)| {
        let stands_alone = text[..*at].chars().next_back().is_none_or(|before| before.is_whitespace() || "([`".contains(before));
        stands_alone && text[at + 1..].starts_with(|letter: char| letter.is_ascii_digit())
    });
    words.chain(bare.map(|(at, _)| format!("holds an issue's number: {:?}", text[at..].chars().take(8).collect::<String>()))).collect()
}

/// The names that follow a word, such as those of functions.
fn names_behind(text: &str, word: &str) -> Vec<String> {
    let name = |rest: &str| rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default().to_owned();
    text.split(word).skip(1).map(name).collect()
}

/// Fields and records of a schema.
fn quoted_names(text: &str) -> Vec<String> {
    text.split("\"name\": \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// `TestShared` as it is typed.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// In what two READMEs differ that must be the same.
fn differences(one: &str, other: &str) -> Vec<&'static str> {
    let (one, other) = (parts(one), parts(other));
    let commands = |parts: &Parts| {
        let is_command = |span: &&String| ["oneknock ", "cargo ", "crates/", "deploy/"].iter().any(|start| span.starts_with(start));
        parts.spans.iter().filter(is_command).cloned().collect::<Vec<_>>()
    };
    let mut differences = Vec::new();
    for (what, same) in [
        ("headings", one.headings == other.headings),
        ("code blocks", one.blocks == other.blocks),
        ("commands and paths", commands(&one) == commands(&other)),
    ] {
        if !same {
            differences.push(what);
        }
    }
    differences
}

#[test]
fn what_documents_name_is_there() {
    let (facts, documents) = (Facts::gather(), documents());
    for must in [READMES[0], READMES[1], "ARCHITECTURE.md", "CHANGELOG.md", "docs/adr/0001-exactly-one-without-transactions.md"] {
        assert!(documents.iter().any(|path| path == must), "{must} is missing");
    }
    let wrong: Vec<String> = documents.iter().flat_map(|path| facts.wrong(path, &read(path))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_planted_is_found() {
    let facts = Facts::gather();
    let good = "`oneknock ops tail inbox.tasks.v1 -n 5 --json` and `cargo xtask kill --log kafka` in `crates/log/src/owner.rs`";
    assert_eq!(facts.wrong("README.md", good), Vec::<String>::new());
    for planted in [
        "`oneknock fly`",
        "`oneknock ops fly`",
        "`ops fly`",
        "`oneknock run --fly`",
        "`cargo demo --fly`",
        "`cargo xtask fly`",
        "`cargo xtask kill --fly 1`",
        "```sh\noneknock registry fly\n```",
        "`crates/log/src/wings.rs`",
        "`wings.rs`",
        "`docs/adr/9999`",
        "`FLYING.md`",
        "`a_test_that_nobody_wrote`",
        "[away](FLYING.md)",
        "```json\n{\"inbox.tasks.v1\": \"0:0\", \"value\": {\"wings\": 2}}\n```",
        "```json\n{\"inbox.wings.v1\": \"0:0\", \"value\": {\"version\": 2}}\n```",
        "```json\n{\n```",
        "as a session said",
        "see #9",
    ] {
        assert_eq!(facts.wrong("README.md", planted).len(), 1, "{planted}: {:?}", facts.wrong("README.md", planted));
    }
}

#[test]
fn both_readmes_say_the_same() {
    let [english, chinese] = READMES.map(read);
    assert_eq!(differences(&english, &chinese), Vec::<&str>::new());
    // Nothing passes empty.
    assert!(parts(&english).headings.len() > 5 && parts(&english).blocks.len() > 3 && parts(&english).spans.len() > 20);
    assert_eq!(differences(&english, &format!("{chinese}\n## More\n")), ["headings"]);
    assert_eq!(differences(&english, &chinese.replacen("cargo demo\n", "cargo fly\n", 1)), ["code blocks"]);
    assert_eq!(differences(&english, &chinese.replacen("`oneknock init`", "`oneknock fly`", 1)), ["commands and paths"]);
}

#[test]
fn every_decision_is_in_the_index() {
    let index = read("docs/adr/README.md");
    let pages: Vec<String> = below("docs/adr").into_iter().filter(|path| !path.ends_with("README.md")).collect();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in pages {
        let name = page.rsplit('/').next().unwrap_or_default();
        assert!(index.contains(&format!("]({name})")), "{name} is not in docs/adr/README.md");
        let text = read(&page);
        for part in ["## Context", "## Decision", "## Consequences", "## How we will know that it was wrong"] {
            assert!(text.contains(part), "{name} has no {part:?}");
        }
    }
}
