//! `cargo xtask bench --sealing`: which share of the gateway's CPU for one event goes into tokens, ids and the sealed address, in both
//! suites.
//!
//! The same records are taken in (from the bytes of a record to those of its event, without HTTP and log), and then only hashed and sealed,
//! in short turns one after the other, by the thread's own CPU time: what else the machine does touches neither. The whole is what the
//! real process takes for an event of a large request, with Kafka behind it: HTTP, the memory of what came before, producing.

use crate::log_choice::LogKind;
use crate::process::cpu_seconds;
use anyhow::{Context as _, ensure};
use connectors::intake::{self, Context, NotTaken, Rules};
use events::{Codec, IdentifierKind, Mandate, Millis, SourceKind, normal};
use keys::{Cost, KeptBy, Keyring, MandateKeys, Pii, Settings, Suite};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use testkit::given;
use testkit::site::{Options, Site};

/// The largest share that may go there.
const SHARE_MAX: f64 = 0.25;
const MANDATE: &str = "demo-mandate";
const SOURCE: &str = "checkpoint-bureau";
/// When all of them come in.
const RECEIVED_AT: Millis = Millis(1_767_400_000_000);
/// Records of one turn.
const TURN: usize = 2_000;
/// Records of one request to the real gateway, and of all of them.
const REQUEST: usize = 1_000;
const POSTED: usize = 90_000;

/// One suite's figures.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The suite.
    pub suite: String,
    /// CPU of one event, in µs.
    pub event_us: f64,
    /// Of that, tokens, ids and sealing.
    pub sealing_us: f64,
    /// Their share of the intake alone.
    pub share_of_intake: f64,
    /// CPU of the whole gateway for one event, in µs; none: it was not asked.
    pub gateway_us: Option<f64>,
}

impl Measured {
    /// The share of all that was measured.
    pub fn share(&self) -> f64 {
        self.sealing_us / self.gateway_us.unwrap_or(self.event_us)
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Events of each suite.
    pub events: u64,
    /// By suite.
    pub suites: Vec<Measured>,
    /// The largest share that may go into sealing.
    pub share_max: f64,
}

impl Report {
    /// Whether both suites stay below the mark.
    pub fn passes(&self) -> bool {
        self.suites.iter().all(|measured| measured.share() <= self.share_max)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for measured in &self.suites {
            let Measured { suite, event_us, sealing_us, share_of_intake, gateway_us } = measured;
            let whole = gateway_us.map_or_else(|| "not asked".to_owned(), |us| format!("{us:.2} µs"));
            writeln!(
                f,
                "suite {suite}: tokens, ids and sealing {sealing_us:.2} µs of CPU an event; intake {event_us:.2} µs ({:.1} %); the whole gateway {whole}",
                share_of_intake * 100.0
            )?;
        }
        let shares: Vec<String> = self.suites.iter().map(|one| format!("{} {:.1} %", one.suite, one.share() * 100.0)).collect();
        let most = self.share_max * 100.0;
        write!(
            f,
            "sealing: {} of an event's CPU (mark {most:.0} %); {} events of each suite, a third of each kind",
            shares.join(", "),
            self.events
        )
    }
}

/// A record as an agency sends it, and what of it is hashed and sealed.
struct Record {
    kind: SourceKind,
    id: String,
    bytes: Vec<u8>,
    forms: Vec<(IdentifierKind, String)>,
    address: Option<String>,
}

/// Measures both suites with so many events each. `times` more tokens and seals than there are in the intake: 1 is none; for the check of
/// this check.
///
/// # Errors
/// A record is refused, or the keys cannot be made.
pub fn run(events: u64, times: u32) -> anyhow::Result<Report> {
    let records: Vec<Record> = (0..TURN).map(record).collect::<anyhow::Result<_>>()?;
    let suites = Suite::ALL.iter().map(|suite| measure(*suite, &records, events, times)).collect::<anyhow::Result<_>>()?;
    Ok(Report { events, suites, share_max: SHARE_MAX })
}

/// The same, held against the whole process: a gateway on one node of Kafka, asked with large requests, which cost it least.
///
/// # Errors
/// As [`run`]; Kafka or the site does not start, or takes not all.
pub async fn run_with_gateway(events: u64, times: u32) -> anyhow::Result<Report> {
    let mut report = run(events, times)?;
    for (suite, measured) in Suite::ALL.iter().zip(&mut report.suites) {
        let (log, _kafka) = LogKind::Kafka.start().await?;
        let mut options = Options { roles: "gateway,inbox,ops", ..Options::of_events(log) };
        options.init.extend(["--suite".to_owned(), suite.to_string()]);
        measured.gateway_us = Some(gateway_us(options).await?);
    }
    Ok(report)
}

async fn gateway_us(options: Options) -> anyhow::Result<f64> {
    let mut site = Site::start(options).await?;
    let pid = site.pid().context("a running site")?;
    let mut bodies: Vec<(&str, Vec<Value>)> = Vec::new();
    for first in (0..POSTED).step_by(REQUEST * 3) {
        for (at, kind) in ["checkpoint", "highway", "telecom"].into_iter().enumerate() {
            let numbers = (0..REQUEST).map(|number| first + 3 * number + at);
            let records = numbers.map(|number| Ok(serde_json::from_slice(&record(number)?.bytes)?)).collect::<anyhow::Result<_>>()?;
            bodies.push((kind, records));
        }
    }
    let before = cpu_seconds(pid)?;
    for (kind, records) in &bodies {
        let posted = site.client.post(kind, records).await?;
        let taken = posted.results.iter().filter(|result| result["status"] == "accepted").count();
        ensure!(taken == records.len(), "{taken} of {} records were taken", records.len());
    }
    let used = cpu_seconds(pid)? - before;
    site.stop().await?;
    Ok(used * 1e6 / POSTED as f64)
}

fn measure(suite: Suite, records: &[Record], events: u64, times: u32) -> anyhow::Result<Measured> {
    let dir = tempfile::tempdir()?;
    let kept_by = KeptBy::Password { password: Pii::new("only for this benchmark".to_owned()), cost: Cost::LEAST };
    let keyring = Keyring::init(&Settings { dir: dir.path().join("keys"), suite, kept_by })?;
    let keys = keyring.create_mandate(MANDATE)?;
    let mandates = [Arc::new(Mandate { id: MANDATE.into(), ..given::mandate() })];
    let codec = Codec::built_in();
    let (mut whole, mut sealing, mut done) = (0, 0, 0);
    while done < events {
        let began = cpu_ns()?;
        for record in records {
            black_box(take_in(record, &mandates, &keyring, &codec)?);
            for _ in 1..times {
                hash_and_seal(record, &keys)?;
            }
        }
        let between = cpu_ns()?;
        for record in records {
            for _ in 0..times {
                hash_and_seal(record, &keys)?;
            }
        }
        let ended = cpu_ns()?;
        whole += between - began;
        sealing += ended - between;
        done += records.len() as u64;
    }
    let of_one = |nanos: u64| nanos as f64 / done as f64 / 1e3;
    let share_of_intake = sealing as f64 / whole as f64;
    Ok(Measured { suite: suite.to_string(), event_us: of_one(whole), sealing_us: of_one(sealing), share_of_intake, gateway_us: None })
}

/// As the gateway does it.
fn take_in(record: &Record, mandates: &[Arc<Mandate>], keyring: &Keyring, codec: &Codec) -> anyhow::Result<usize> {
    let context = Context {
        mandates,
        keyring,
        codec,
        rules: Rules::default(),
        partitions: 12,
        source: SOURCE,
        kind: record.kind,
        received_at: RECEIVED_AT,
        judged_at: RECEIVED_AT,
        traceparent: None,
        default_mandate: None,
    };
    let refused = |not_taken: NotTaken| anyhow::anyhow!("a record was not taken: {not_taken:?}");
    let fields = intake::parse_object(&record.bytes).map_err(|refusal| refused(refusal.into()))?;
    let prepared = intake::prepare(&context, &fields).map_err(refused)?;
    Ok(prepared.append.value.map_or(0, |value| value.len()))
}

fn hash_and_seal(record: &Record, keys: &MandateKeys) -> anyhow::Result<()> {
    for (kind, form) in &record.forms {
        black_box(keys.token(*kind, form)?);
    }
    black_box(keys.source_ref(SOURCE, &record.id)?);
    black_box(keys.event_id(SOURCE, &record.id, &[7; 32])?);
    if let Some(address) = &record.address {
        black_box(keys.seal("address", "0123456789abcdef0123456789abcdef", address.as_bytes())?);
    }
    Ok(())
}

/// A third of each kind; of the checkpoint's all that there can be.
fn record(number: usize) -> anyhow::Result<Record> {
    let (id, at) = (format!("r-{number:09}"), "2026-01-03T08:14:00+08:00");
    let (phone, plate) = (format!("138{number:08}"), format!("浙A{number:05}"));
    let grid = "330106001001-03";
    let (kind, text, identifiers, address) = match number % 3 {
        0 => {
            let address = format!("文三路{number}号3幢2单元201室");
            let text = format!(
                r#"{{"id":"{id}","observed_at":"{at}","checkpoint":"G60-118","direction":"in","resident_id":"11010519491231002X","phone":"{phone}","plate":"{plate}","name":"某某","origin_division":"3301","destination":{{"division":"330106","grid":"{grid}","address":"{address}"}},"party_size":2}}"#
            );
            let resident_id = (IdentifierKind::ResidentId, "11010519491231002X".to_owned());
            (SourceKind::Checkpoint, text, vec![resident_id, (IdentifierKind::Phone, phone), (IdentifierKind::Plate, plate)], Some(address))
        }
        1 => {
            let text = format!(
                r#"{{"id":"{id}","observed_at":"{at}","station":"G60-K12","direction":"in","plate":"{plate}","vehicle_class":"car"}}"#
            );
            (SourceKind::Highway, text, vec![(IdentifierKind::Plate, plate)], None)
        }
        _ => {
            let text = format!(
                r#"{{"id":"{id}","observed_at":"{at}","phone":"+86{phone}","from_division":"3301","to_division":"330106","dwell_minutes":240}}"#
            );
            (SourceKind::Telecom, text, vec![(IdentifierKind::Phone, phone)], None)
        }
    };
    let mut forms = Vec::new();
    for (kind, raw) in identifiers {
        forms.push((kind, normal::identifier(kind, &raw)?.to_string()));
    }
    if let Some(address) = &address {
        forms.push((IdentifierKind::Address, normal::address(grid, address)?));
    }
    Ok(Record { kind, id, bytes: text.into_bytes(), forms, address })
}

/// Nanoseconds that this thread has computed so far.
fn cpu_ns() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    /// What is counted as sealing is really all of it: with a hundred times as many tokens and seals it is nearly everything.
    #[test]
    fn a_gateway_that_sealed_a_hundred_times_would_not_pass() {
        let report = super::run(super::TURN as u64, 100).unwrap();
        assert!(!report.passes(), "{report}");
        assert!(report.suites.iter().all(|measured| measured.event_us > 0.0 && measured.sealing_us > 0.0), "{report}");
    }
}
