//! Logs go to stderr, as text for people or JSON for machines; RUST_LOG chooses what. They carry fields, never personal data.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `default` is how much where RUST_LOG says nothing, or nothing that can be read: a level, or a list of
/// `module=level`, such as `warn,eventlog=debug`.
pub fn start(format: LogFormat, default: LevelFilter) {
    let said = std::env::var("RUST_LOG").ok().map(|words| words.parse::<Targets>());
    let unreadable = matches!(said, Some(Err(_)));
    let chosen = said.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(default));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // It fails only where logging has been started already, and then that stands.
    let _ = registry().with(chosen).with(lines).try_init();
    if unreadable {
        tracing::warn!("RUST_LOG cannot be read and is passed over: it takes a level or a list such as warn,eventlog=debug");
    }
}
