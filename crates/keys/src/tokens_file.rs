//! tokens.json: the local sign-in of one site, in clear, mode 0600.
//!
//! Commands sign in with it; servers make a [`crate::SignIn`] of it and drop it. It may be edited by hand, so everything
//! that could let in the wrong one (a short token, two names on one token, an empty area) is refused by name.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use events::{Actor, Role, Scope, SourceKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use crate::pii::Pii;
use crate::seal::random;

/// Fewest characters of a token.
pub const TOKEN_CHARS_MIN: usize = 24;

/// Everybody who may sign in, with the token in clear. Lists that are missing are empty.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TokensFile {
    /// Agencies' systems.
    pub sources: Vec<SourceEntry>,
    /// Grid workers.
    pub workers: Vec<WorkerEntry>,
    /// Supervisors.
    pub supervisors: Vec<SupervisorEntry>,
    /// The ops team.
    pub ops: Vec<Entry>,
    /// Administrators.
    pub admins: Vec<Entry>,
    /// Those who look whether the rules were kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auditors: Vec<Entry>,
    /// Those who sign mandates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Entry>,
}

/// A source: `{"name":"checkpoint-bureau","kinds":["checkpoint"],"token":"…"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// Its name, which every event of it carries.
    pub name: String,
    /// checkpoint, highway, telecom.
    pub kinds: Vec<String>,
    /// Its token.
    #[serde(with = "in_clear")]
    pub token: Pii<String>,
}

/// A worker: `{"name":"w-0001","grids":["*"],"token":"…"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerEntry {
    /// The worker's name or number.
    pub name: String,
    /// Grid codes, or `*` for all.
    pub grids: Vec<String>,
    /// The worker's token.
    #[serde(with = "in_clear")]
    pub token: Pii<String>,
}

/// A supervisor: `{"name":"s-0001","areas":["*"],"token":"…"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorEntry {
    /// The supervisor's name or number.
    pub name: String,
    /// Beginnings of division, subdistrict or community codes, or `*` for all.
    pub areas: Vec<String>,
    /// The supervisor's token.
    #[serde(with = "in_clear")]
    pub token: Pii<String>,
}

/// Ops, administrators, auditors and signers: `{"name":"ops","token":"…"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The token.
    #[serde(with = "in_clear")]
    pub token: Pii<String>,
}

/// Why a tokens file can't be used. Holds names, never tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file can't be used as it is.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no JSON of the expected shape.
    #[error("{}: line {line}, column {column}: expected the lists sources, workers, supervisors, ops, admins, auditors, signers with their fields", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An entry that would let in the wrong one, or nobody.
    #[error("{}: {list}, entry {entry} ({name}): {expected}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which list.
        list: &'static str,
        /// Which entry, from 1.
        entry: usize,
        /// Its name.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl TokensFile {
    /// What `init` writes: one source of each kind, one worker and one supervisor of all grids, one ops, one admin,
    /// each with a token drawn at random.
    #[must_use]
    pub fn draw() -> Self {
        let sources = [("checkpoint-bureau", "checkpoint"), ("highway-authority", "highway"), ("telecom-operator", "telecom")];
        let all = || vec!["*".to_owned()];
        Self {
            sources: sources.map(|(name, kind)| SourceEntry { name: name.into(), kinds: vec![kind.into()], token: draw_token() }).into(),
            workers: vec![WorkerEntry { name: "w-0001".into(), grids: all(), token: draw_token() }],
            supervisors: vec![SupervisorEntry { name: "s-0001".into(), areas: all(), token: draw_token() }],
            ops: vec![Entry { name: "ops".into(), token: draw_token() }],
            admins: vec![Entry { name: "admin".into(), token: draw_token() }],
            ..Self::default()
        }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`TokensError`]; the message names file, place and what was expected.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let text = files::read(path)?;
        // A byte order mark is what some editors leave.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let file: Self = serde_json::from_str(text).map_err(|error| {
            // serde_json's own message may quote a token.
            TokensError::Shape { path: path.to_owned(), line: error.line(), column: error.column() }
        })?;
        match file.check() {
            Ok(()) => Ok(file),
            Err(wrong) => Err(wrong.at(path)),
        }
    }

    /// Writes it with mode 0600, whole or not at all, in place of what was there.
    ///
    /// # Errors
    /// If an entry is wrong, or the file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), TokensError> {
        self.check().map_err(|wrong| wrong.at(path))?;
        #[expect(clippy::expect_used, reason = "lists of texts always have a JSON form")]
        let text = Zeroizing::new(serde_json::to_string_pretty(self).expect("texts are JSON"));
        Ok(files::replace(path, text.as_bytes())?)
    }

    /// Everybody in one line each: role, name, where, and a short digest that changes with the token and tells nothing of it.
    #[must_use]
    pub fn people(&self) -> BTreeSet<String> {
        let line = |(token, actor): (&Pii<String>, Actor)| {
            let place = match &actor.role {
                Role::Source { kinds } => kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(","),
                Role::Worker { grids: scope } | Role::Supervisor { areas: scope } => scope.to_list().join(","),
                _ => "-".to_owned(),
            };
            let digest = hex::encode(&Sha256::digest(Sha256::digest(token.expose()))[..4]);
            format!("{} {} {place} {digest}", actor.role.name(), actor.name)
        };
        self.actors().map(line).collect()
    }

    /// Everybody with their token.
    pub(crate) fn actors(&self) -> impl Iterator<Item = (&Pii<String>, Actor)> {
        self.rows().map(|row| {
            let role = match row.what {
                What::Kinds(kinds) => Role::Source { kinds: kinds.iter().filter_map(|kind| source_kind(kind)).collect() },
                What::Grids(grids) => Role::Worker { grids: Scope::from_list(grids) },
                What::Areas(areas) => Role::Supervisor { areas: Scope::from_list(areas) },
                What::Plain(plain) => plain.role(),
            };
            (row.token, Actor { name: row.name.to_owned(), role })
        })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let sources = self.sources.iter().map(|one| (&one.name, &one.token, What::Kinds(&one.kinds)));
        let workers = self.workers.iter().map(|one| (&one.name, &one.token, What::Grids(&one.grids)));
        let supervisors = self.supervisors.iter().map(|one| (&one.name, &one.token, What::Areas(&one.areas)));
        let rows = numbered(sources).chain(numbered(workers)).chain(numbered(supervisors));
        let plain =
            [(&self.ops, Plain::Ops), (&self.admins, Plain::Admin), (&self.auditors, Plain::Auditor), (&self.signers, Plain::Signer)];
        let plain = plain.map(|(list, plain)| numbered(list.iter().map(move |one| (&one.name, &one.token, What::Plain(plain)))));
        rows.chain(plain.into_iter().flatten())
    }

    fn check(&self) -> Result<(), Wrong> {
        let mut tokens = HashMap::new();
        let mut names = BTreeSet::new();
        for row in self.rows() {
            let list = row.what.list();
            let wrong = |expected| Err(Wrong { list, entry: row.entry, name: row.name.to_owned(), expected });
            if row.name.is_empty() || row.name.contains(|c: char| c.is_control()) {
                return wrong("expected a name without control characters");
            }
            if !names.insert((list, row.name)) {
                return wrong("expected a name that no other entry of the list has");
            }
            let token = row.token.expose();
            let printable = token.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if token.len() < TOKEN_CHARS_MIN || !printable || token.trim() != token {
                return wrong("expected a token of 24 printable ASCII characters or more, no space at either end");
            }
            if tokens.insert(token.as_str(), ()).is_some() {
                return wrong("expected a token that nobody else has");
            }
            match row.what {
                What::Kinds(kinds) if kinds.is_empty() || kinds.iter().any(|kind| source_kind(kind).is_none()) => {
                    return wrong("expected kinds out of checkpoint, highway, telecom");
                }
                What::Grids(codes) | What::Areas(codes) if codes.iter().any(String::is_empty) => {
                    return wrong("expected codes that are not empty, or \"*\" for all");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Entries of one list with their numbers, from 1.
fn numbered<'a>(list: impl Iterator<Item = (&'a String, &'a Pii<String>, What<'a>)>) -> impl Iterator<Item = Row<'a>> {
    list.enumerate().map(|(at, (name, token, what))| Row { entry: at + 1, name, token, what })
}

struct Row<'a> {
    entry: usize,
    name: &'a str,
    token: &'a Pii<String>,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Kinds(&'a [String]),
    Grids(&'a [String]),
    Areas(&'a [String]),
    Plain(Plain),
}

/// Roles without a scope.
#[derive(Clone, Copy)]
enum Plain {
    Ops,
    Admin,
    Auditor,
    Signer,
}

impl Plain {
    const fn role(self) -> Role {
        match self {
            Self::Ops => Role::Ops,
            Self::Admin => Role::Admin,
            Self::Auditor => Role::Auditor,
            Self::Signer => Role::Signer,
        }
    }
}

impl What<'_> {
    const fn list(self) -> &'static str {
        match self {
            Self::Kinds(_) => "sources",
            Self::Grids(_) => "workers",
            Self::Areas(_) => "supervisors",
            Self::Plain(Plain::Ops) => "ops",
            Self::Plain(Plain::Admin) => "admins",
            Self::Plain(Plain::Auditor) => "auditors",
            Self::Plain(Plain::Signer) => "signers",
        }
    }
}

/// A wrong entry, before it is known in which file.
struct Wrong {
    list: &'static str,
    entry: usize,
    name: String,
    expected: &'static str,
}

impl Wrong {
    fn at(self, path: &Path) -> TokensError {
        TokensError::Entry { path: path.to_owned(), list: self.list, entry: self.entry, name: self.name, expected: self.expected }
    }
}

fn source_kind(text: &str) -> Option<SourceKind> {
    SourceKind::parse(text)
}

/// 192 random bits as 48 hexadecimal digits: safe in a header, an address and a shell.
fn draw_token() -> Pii<String> {
    Pii::new(hex::encode(*Zeroizing::new(random::<24>())))
}

/// The one place where a token is written and read in clear.
mod in_clear {
    use super::Pii;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(token: &Pii<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(token.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pii<String>, D::Error> {
        String::deserialize(deserializer).map(Pii::new)
    }
}
