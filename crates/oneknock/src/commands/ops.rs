//! `oneknock ops …`: prints the reports of the ops crate as text or JSON.

use crate::cli::{Dlq, Ops};
use crate::config;
use crate::failure::Failure;
use crate::keyring;
use crate::language::Language;
use crate::site::{self, Site};
use events::topics;
use ops::OpsError;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Consumer groups and the topics that each reads.
pub const GROUPS: &[(&str, &[&str])] =
    &[("router", &[topics::CHECKPOINT, topics::HIGHWAY, topics::TELECOM, topics::RETURNS, topics::ARRIVALS, topics::ACTIONS])];

/// Makes one report.
pub async fn run(config: &Path, command: Ops, json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let site = site::for_command(&config).await?;
    match command {
        Ops::Topics => print(&ops::topics::topics(&site.log).await.map_err(failure)?, json),
        Ops::Lag => print(&ops::lag::lag(&site.log, GROUPS).await.map_err(failure)?, json),
        Ops::Dlq(Dlq::List) => print(&ops::dlq::list(&site.log).await.map_err(failure)?, json),
        Ops::Trace { event_id, lang } => {
            let id = event_id.parse().map_err(|_| Failure::Usage("EVENT_ID: expected 32 hexadecimal digits".to_owned()))?;
            let trace = ops::trace::trace(&site.log, &site.schemas, &site.signers, id).await.map_err(failure)?;
            say(&if json { serde_json::to_string(&trace)? } else { trace.text(Language::of(lang).into()) })
        }
        Ops::Ledger => {
            let ledger = ops::ledger::ledger(&site.log, &site.schemas).await.map_err(failure)?;
            print(&ledger, json)?;
            if ledger.closed { Ok(()) } else { Err(Failure::Negative) }
        }
        Ops::Doctor => {
            let mandates = site.mandates().await?.all().into_iter().map(|(_, mandate)| mandate).collect();
            let keys = keyring::open(&config).map(|keyring| keyring.ids().into_iter().collect()).map_err(|failure| failure.to_string());
            let known = ops::doctor::Known { mandates, keys, partitions: config.log.partitions, clock: config.clock };
            let diagnosis = ops::doctor::doctor(&site.log, &known).await.map_err(failure)?;
            print(&diagnosis, json)?;
            if diagnosis.healthy { Ok(()) } else { Err(Failure::Negative) }
        }
        Ops::Tail { topic, count, partition, follow } => tail(&site, &topic, count, partition, follow, json).await,
    }
}

/// One record a line. Followed, it begins where the newest ones end.
async fn tail(site: &Site, topic: &str, count: usize, partition: Option<i32>, follow: bool, json: bool) -> Result<(), Failure> {
    let following = match follow {
        true => Some(ops::tail::Follow::new(&site.log, topic, partition).await.map_err(failure)?),
        false => None,
    };
    let mut printed = HashMap::new();
    for line in ops::tail::newest(&site.log, &site.schemas, topic, partition, count).await.map_err(failure)? {
        printed.insert(line.partition, line.offset);
        print(&line, json)?;
    }
    let Some(mut following) = following else { return Ok(()) };
    loop {
        tokio::select! {
            line = following.next(&site.schemas) => {
                let line = line.map_err(failure)?;
                // What came between the two is in both.
                if printed.get(&line.partition).is_none_or(|offset| *offset < line.offset) {
                    print(&line, json)?;
                }
            }
            stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
        }
    }
}

fn print(report: &(impl Serialize + Display), json: bool) -> Result<(), Failure> {
    say(&if json { serde_json::to_string(report)? } else { report.to_string() })
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough, such as `head`, is no failure.
    match writeln!(out, "{}", text.trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

fn failure(error: OpsError) -> Failure {
    match error {
        OpsError::Argument { .. } => Failure::Usage(error.to_string()),
        OpsError::Log(_) | OpsError::NoTopic(_) | OpsError::NoEvent(_) => Failure::Failed(error.into()),
    }
}
