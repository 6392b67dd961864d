//! Sources that fetch by themselves, for `oneknock connect`: one file each. What they read passes the same judgement as at the gateway.

pub mod files;

use keys::TokensFile;
use serde::Deserialize;

/// One `[sources.NAME]` of oneknock.toml.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Config {
    /// Files that grow, or come into a folder.
    Files(files::Config),
}

/// Whether a source goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads what is there and ends.
    Once,
    /// Waits for more until it is stopped.
    Follow,
}

/// What a source did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Records that are durable in the log.
    pub accepted: u64,
    /// Rows in rejects files.
    pub rejected: u64,
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A wrong value in oneknock.toml.
    #[error("sources.{name}.{key}: {expected}")]
    Config {
        /// The source's table.
        name: String,
        /// The key.
        key: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A record's mandate is in force, but its keys cannot be had now.
    #[error("the keys of a mandate in force are not here, and its records wait; see `oneknock keys list`")]
    KeysAway,
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::LogError),
}

/// Checks a source against tokens.json: it speaks in the name of somebody who may send this kind of event.
///
/// # Errors
/// [`SourceError::Config`].
pub fn check(name: &str, config: &Config, tokens: &TokensFile) -> Result<(), SourceError> {
    let Config::Files(config) = config;
    let wrong = |key, expected| Err(SourceError::Config { name: name.to_owned(), key, expected });
    let Some(entry) = tokens.sources.iter().find(|entry| entry.name == config.source) else {
        return wrong("source", "expected the name of a source in tokens.json");
    };
    match entry.kinds.iter().any(|kind| kind.eq_ignore_ascii_case(config.event.as_str())) {
        true => Ok(()),
        false => wrong("event", "expected a kind that the source may send"),
    }
}
