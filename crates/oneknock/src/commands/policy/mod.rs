//! `oneknock policy check`, `apply` and `what-if`: what makes a visit.

mod report;
mod visits;
mod what_if;
mod words;

use crate::changes;
use crate::cli;
use crate::commands::init;
use crate::config;
use crate::failure::Failure;
use crate::language::Language;
use crate::site::{self, Site};
use domain::Clock;
use eventlog::table::Small;
use events::time::DAY_MS;
use events::{Millis, Policy, topics};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use what_if::Span;

/// Version of the policy that `run` publishes where the log holds none; one that was applied has the milliseconds of its application.
pub const FIRST_VERSION: i64 = 1;

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))
}

/// A policy file's text; all that is wrong with it, with file and line.
pub fn parse(path: &Path, text: &str, version: i64, language: Language) -> Result<Policy, Failure> {
    domain::policy::from_toml(text, version).map_err(|faults| {
        let lines: Vec<String> = faults.0.iter().map(|fault| words::fault_line(path, fault, language)).collect();
        Failure::Usage(lines.join("\n"))
    })
}

/// Says whether it could be applied; as JSON also where not.
pub fn check(path: &Path, lang: Option<Language>, json: bool) -> Result<(), Failure> {
    let language = Language::of(lang);
    let text = text_of(path)?;
    if json {
        let read = domain::policy::from_toml(&text, FIRST_VERSION);
        print(&words::check_json(path, &read, language).to_string())?;
        return if read.is_ok() { Ok(()) } else { Err(Failure::Refused) };
    }
    let policy = parse(path, &text, FIRST_VERSION, language)?;
    print(&words::can_be_applied(path, &policy, language))
}

/// Puts it into force: durable, and at running routers within a second, when this returns. What would make more visits than the site's
/// cap is refused, unless told otherwise.
pub async fn apply(config: &Path, path: &Path, yes: bool, lang: Option<Language>) -> Result<(), Failure> {
    let language = Language::of(lang);
    let config = config::load(config)?;
    let mut policy = parse(path, &text_of(path)?, site::now().0, language)?;
    let site: Site = site::for_command(&config).await?;
    site::create_topics(&site.log, config.log.partitions).await?;
    let held = Small::<Policy>::open(Arc::clone(&site.log), Arc::clone(&site.schemas), topics::POLICIES).await?;
    // Versions grow, also where this machine's clock is behind.
    let newest = held.get(topics::POLICY_KEY).map_or(0, |policy| policy.version);
    policy.version = policy.version.max(newest + 1);
    if !yes && config.visits_max > 0 {
        let now = site::now();
        let span = match config.clock {
            Clock::Wall => Span { from: Millis(now.0 - i64::from(policy.window_days) * DAY_MS), to: now },
            // Its time is that of the events.
            Clock::Events => Span { from: Millis(i64::MIN), to: Millis(i64::MAX) },
        };
        let report = what_if::run(&site, config.clock, &policy, span, language).await?;
        if report.more() > config.visits_max {
            return Err(Failure::Failed(anyhow::anyhow!(words::too_many(&report, config.visits_max, language))));
        }
    }
    let change = json!({"id": topics::POLICY_KEY, "version": policy.version, "before": newest});
    changes::record(&config, &site, "policy", change).await?;
    site::publish(&site, topics::POLICIES, topics::POLICY_KEY, &policy).await?;
    print(&words::in_force(&policy, language))
}

/// How many visits more or fewer it would have made.
pub async fn what_if(config: &Path, options: &cli::WhatIf, json: bool) -> Result<(), Failure> {
    let language = Language::of(options.lang);
    let moment = |option: &str, text: &str| init::moment(option, text).map(|moment| Millis(moment.as_millisecond()));
    let span = Span { from: moment("--from", &options.from)?, to: moment("--to", &options.to)? };
    if span.from >= span.to {
        return Err(Failure::Usage("--to: expected a moment after --from".to_owned()));
    }
    let config = config::load(config)?;
    let policy = parse(&options.policy, &text_of(&options.policy)?, site::now().0, language)?;
    let site = site::for_command(&config).await?;
    let report = what_if::run(&site, config.clock, &policy, span, language).await?;
    print(&if json { json!(report).to_string() } else { words::report(&report, language) })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough, such as `head`, is no failure.
    match writeln!(out, "{}", text.trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
