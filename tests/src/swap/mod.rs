//! `cargo xtask swap`: where somebody comes from is not a risk. One history of a small city is told twice, the second time of the same
//! people with another ID region, date of birth and sex, another province on their plates, other phones, passports and names; both go the
//! real way (normal forms, tokens, events, the keeper's and the household's rules) and everything but the tokens must come out the same.
//!
//! What is compared: every decision (code, revision, reason, grid, task, time), and every change of every household's record (state,
//! priority, grid, times, evidence, counts). Whose turn it is and what workers do depends on no token (`testkit::sim::pure`).

mod people;

use anyhow::{Context as _, Result, bail};
use connectors::intake::{self, Context, NotTaken, Rules};
use domain::Clock;
use events::{
    CheckpointPassage, Codec, Decision, Event, EventId, HighwayEntrance, Identifier, IdentifierKind, Mandate, Millis, SourceKind, Task,
    TelecomMovement, Token, normal,
};
use keys::{Cost, KeptBy, Keyring, MandateKeys, Pii, Settings, Suite};
use people::{Clear, names};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::given;
use testkit::sim::city::City;
use testkit::sim::pure::{self, Play};
use testkit::sim::script::{MANDATE, Seen, Step, What, token};
use testkit::sim::workers::Crew;

const TOLD_MAX: usize = 5;

/// A rule that looks at what no rule may: planted in this check's own copy of the connector, which fills in a missing origin by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// The ID number's first six digits.
    IdRegion,
    /// The plate's province.
    PlateProvince,
    /// The phone's first three digits.
    PhoneSegment,
    /// The name's first letter.
    Name,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Pairs of histories.
    pub pairs: u64,
    /// Of them, such that differ.
    pub differences: u64,
    /// Events of one side of all pairs.
    pub events: u64,
    /// Decisions compared.
    pub decisions: u64,
    /// Changes of households' records compared.
    pub changes: u64,
    /// Tokens that are others on the other side: all but those of addresses, or nothing was swapped.
    pub tokens_swapped: u64,
    /// The first that differ.
    pub told: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// Nothing differs, and there was something to compare.
    pub fn passes(&self) -> bool {
        self.differences == 0 && self.decisions > self.pairs && self.changes > self.pairs && self.tokens_swapped > self.pairs
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.told {
            writeln!(f, "{told}")?;
        }
        let Report { pairs, differences, events, decisions, changes, tokens_swapped, seconds, .. } = self;
        write!(
            f,
            "swap: {pairs} pairs, {differences} differences; {events} events, {decisions} decisions and {changes} changes of households compared, \
             {tokens_swapped} identifiers swapped; {seconds:.0} s"
        )
    }
}

/// One side: its people in clear, and what became of the city's own tokens.
struct Side<'a> {
    keys: &'a MandateKeys,
    clear: Clear,
    tokens: HashMap<Token, Token>,
}

/// Who tells pairs.
pub struct Swapper {
    _dir: tempfile::TempDir,
    keyring: Keyring,
    keys: Arc<MandateKeys>,
    mandates: [Arc<Mandate>; 1],
    codec: Arc<Codec>,
    /// The city's own tokens, and the names that it made them of.
    names: HashMap<Token, String>,
}

/// One side's outcome: all that anybody may learn of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    decisions: Vec<String>,
    changes: Vec<String>,
}

impl Swapper {
    /// With keys of its own.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn new() -> Result<Swapper> {
        let dir = tempfile::tempdir()?;
        let kept_by = KeptBy::Password { password: Pii::new("only for this check".to_owned()), cost: Cost::LEAST };
        let keyring = Keyring::init(&Settings { dir: dir.path().join("keys"), suite: Suite::default(), kept_by })?;
        let keys = keyring.create_mandate(MANDATE)?;
        let mandates = [Arc::new(Mandate { id: MANDATE.into(), ..given::mandate() })];
        let names = names().map(|name| (token(&name), name)).collect();
        Ok(Swapper { _dir: dir, keyring, keys, mandates, codec: Codec::built_in().into(), names })
    }

    /// Tells so many pairs, one from each seed. `progress` hears of them about every ten seconds.
    ///
    /// # Errors
    /// A record is refused that must be taken.
    pub fn run(&self, first: u64, pairs: u64, planted: Option<Planted>, mut progress: impl FnMut(u64)) -> Result<Report> {
        let (began, mut told) = (Instant::now(), Instant::now());
        let mut report = Report::default();
        for seed in first..first.saturating_add(pairs) {
            self.pair(seed, planted, &mut report).with_context(|| format!("seed {seed}"))?;
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                progress(report.pairs);
            }
        }
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn pair(&self, seed: u64, planted: Option<Planted>, report: &mut Report) -> Result<()> {
        let city = City::small(seed);
        let grids = city.grids();
        let steps: Vec<Step> = city.collect();
        let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
        let mut outcomes = Vec::new();
        let mut tokens = Vec::new();
        for clear in [Clear::local(), Clear::drawn(&mut random)] {
            let mut side = Side { keys: &self.keys, clear, tokens: HashMap::new() };
            let told: Vec<Step> = steps.iter().map(|step| self.tell(step, &mut side, planted)).collect::<Result<_>>()?;
            outcomes.push(self.outcome(seed, &told, &steps, &grids, &side));
            tokens.push(side.tokens);
        }
        let (Some(theirs), Some(ours)) = (outcomes.pop(), outcomes.pop()) else { bail!("two sides") };
        report.pairs += 1;
        report.events += steps.iter().filter(|step| matches!(step.what, What::Event(..))).count() as u64;
        report.decisions += ours.decisions.len() as u64;
        report.changes += ours.changes.len() as u64;
        report.tokens_swapped +=
            tokens[0].iter().filter(|(name, token)| tokens[1].get(name).is_some_and(|other| other != *token)).count() as u64;
        if ours != theirs {
            report.differences += 1;
            if report.told.len() < TOLD_MAX {
                report.told.push(format!("seed {seed}: {}", difference(&ours, &theirs)));
            }
        }
        Ok(())
    }

    /// A step of the city as this side has it.
    fn tell(&self, step: &Step, side: &mut Side<'_>, planted: Option<Planted>) -> Result<Step> {
        let what = match &step.what {
            What::Link(token, link) => What::Link(self.token(*token, side)?, link.clone()),
            What::Event(event, truth) => What::Event(Box::new(self.event(event, &truth.name, step.at, side, planted)?), truth.clone()),
            other => other.clone(),
        };
        Ok(Step { at: step.at, what })
    }

    /// The token that the site makes of what the city calls by one of its own.
    fn token(&self, named: Token, side: &mut Side<'_>) -> Result<Token> {
        if let Some(token) = side.tokens.get(&named) {
            return Ok(*token);
        }
        let name = self.names.get(&named).context("a name of the city")?;
        let (kind, raw) = side.clear.value(name);
        let form = match kind {
            IdentifierKind::Address => normal::address("g", &raw)?,
            kind => normal::identifier(kind, &raw)?,
        };
        let token = side.keys.token(kind, &form)?;
        side.tokens.insert(named, token);
        Ok(token)
    }

    /// The agency's record, taken in as the gateway does it. An address is told beside it: the city names addresses without their grid.
    fn event(&self, event: &Event, id: &str, received_at: Millis, side: &mut Side<'_>, planted: Option<Planted>) -> Result<Event> {
        let head = event.head();
        let mut record = json!({"id": id, "observed_at": events::time::format(head.observed_at), "name": side.clear.name(id)});
        let mut clear = BTreeMap::new();
        let mut addresses = Vec::new();
        for identifier in head.identifiers {
            // Made now, so that what the intake makes can be held against it.
            let token = self.token(identifier.token, side)?;
            let name = self.names.get(&identifier.token).context("a name of the city")?;
            let (kind, raw) = side.clear.value(name);
            if kind == IdentifierKind::Address {
                addresses.push(Identifier { kind, token });
                continue;
            }
            record[intake::field_of(kind)] = raw.clone().into();
            clear.insert(kind, raw);
        }
        if clear.is_empty() {
            // Nobody is named in it but by an address alone: no intake takes that, and the city's own event does.
            let mut whole = event.clone();
            set(&mut whole, addresses, None);
            return Ok(whole);
        }
        tell_kind(event, &mut record);
        let context = Context {
            mandates: &self.mandates,
            keyring: &self.keyring,
            codec: &self.codec,
            rules: Rules { clock: Clock::Wall, ..Rules::default() },
            partitions: 12,
            source: head.source,
            kind: event.kind(),
            received_at,
            judged_at: received_at,
            traceparent: None,
            default_mandate: None,
        };
        let refused = |not_taken: NotTaken| anyhow::anyhow!("a record was not taken: {not_taken:?}");
        let fields = intake::parse_object(record.to_string().as_bytes()).map_err(|refusal| refused(refusal.into()))?;
        let value = intake::prepare(&context, &fields).map_err(refused)?.append.value.context("a value")?;
        let mut taken = match event.kind() {
            SourceKind::Checkpoint => Event::Checkpoint(self.codec.decode::<CheckpointPassage>(&value)?),
            SourceKind::Highway => Event::Highway(self.codec.decode::<HighwayEntrance>(&value)?),
            SourceKind::Telecom => Event::Telecom(self.codec.decode::<TelecomMovement>(&value)?),
        };
        let mut identifiers = taken.head().identifiers.to_vec();
        identifiers.extend(addresses);
        let origin = planted.and_then(|planted| side.clear.seen_by(planted, &clear));
        set(&mut taken, identifiers, origin);
        Ok(taken)
    }

    /// Plays one side, and names everything as the city does.
    fn outcome(&self, seed: u64, told: &[Step], steps: &[Step], grids: &[String], side: &Side<'_>) -> Outcome {
        let ids: HashMap<EventId, &str> = told
            .iter()
            .filter_map(|step| match &step.what {
                What::Event(event, truth) => Some((event.head().event_id, truth.name.as_str())),
                _ => None,
            })
            .collect();
        debug_assert_eq!(told.len(), steps.len());
        let pseudo: HashMap<String, &str> = side
            .tokens
            .iter()
            .filter_map(|(named, token)| Some((events::topics::pseudo_household(*token), self.names.get(named)?.as_str())))
            .collect();
        let household = |household: &str| pseudo.get(household).map_or_else(|| household.to_owned(), |name| format!("~{name}"));
        let mut outcome = Outcome { decisions: Vec::new(), changes: Vec::new() };
        let how = Play { seed, bug: None, calm: None };
        let mut task_ids: HashMap<String, String> = HashMap::new();
        pure::play(told.iter().cloned(), Crew::new(seed, grids.to_vec()), how, &mut |seen| match seen {
            Seen::Task(at, _, Some(task)) => {
                task_ids.insert(task.task_id.to_string(), format!("{}/{}", household(&task.household), task.episode));
                outcome.changes.push(change(*at, &household(&task.household), task, &ids));
            }
            Seen::Decision(decision) => outcome.decisions.push(said(decision, &ids, &task_ids)),
            _ => {}
        });
        // In which order one step's decisions are told, nobody may rely on.
        outcome.decisions.sort();
        outcome
    }
}

fn said(decision: &Decision, ids: &HashMap<EventId, &str>, task_ids: &HashMap<String, String>) -> String {
    let Decision { event_id, code, revision, reason, grid, task_id, policy, at, .. } = decision;
    let task = task_id.as_ref().map(|id| task_ids.get(id.as_str()));
    format!("{at:?} {:?} {code:?} {revision} {reason} {grid:?} {task:?} {policy}", ids.get(event_id))
}

fn change(at: Millis, household: &str, task: &Task, ids: &HashMap<EventId, &str>) -> String {
    let mut evidence: Vec<_> =
        task.evidence.iter().map(|one| (ids.get(&one.event_id), one.kind, one.observed_at, &one.origin_division)).collect();
    evidence.sort();
    let Task { episode, version, state, priority, opened_at, due_at, start, end, joined, grid, attempts, triage, outcome, .. } = task;
    let (screened, covered, assignee) = (task.screened_at, task.covered_until, &task.assignee);
    format!(
        "{at:?} {household} {episode} {version} {state:?} {priority:?} {grid:?} {opened_at:?} {due_at:?} {start:?} {end:?} {joined} {attempts} \
         {triage} {outcome:?} {screened:?} {covered:?} {assignee:?} {evidence:?}"
    )
}

/// The first line that differs.
fn difference(ours: &Outcome, theirs: &Outcome) -> String {
    let first = |ours: &[String], theirs: &[String]| {
        let at = ours.iter().zip(theirs).position(|(one, other)| one != other).unwrap_or(ours.len().min(theirs.len()));
        format!("{:?} instead of {:?}", theirs.get(at), ours.get(at))
    };
    match ours.changes == theirs.changes {
        false => first(&ours.changes, &theirs.changes),
        true => first(&ours.decisions, &theirs.decisions),
    }
}

fn tell_kind(event: &Event, record: &mut Value) {
    let head = event.head();
    let direction = head.direction.as_str();
    match event {
        Event::Checkpoint(passage) => {
            record["checkpoint"] = passage.checkpoint.as_str().into();
            record["direction"] = direction.into();
            record["origin_division"] = head.origin_division.into();
            record["destination"] =
                head.destination.map_or(Value::Null, |to| json!({"division": to.division.as_str(), "grid": to.grid.as_str()}));
        }
        Event::Highway(entrance) => {
            record["station"] = entrance.station.as_str().into();
            record["direction"] = direction.into();
            record["origin_division"] = head.origin_division.into();
        }
        Event::Telecom(movement) => {
            record["from_division"] = head.origin_division.into();
            record["to_division"] = movement.to_division.as_str().into();
            record["dwell_minutes"] = movement.dwell_minutes.into();
        }
    }
}

/// Other identifiers, and an origin where none is known.
fn set(event: &mut Event, identifiers: Vec<Identifier>, origin: Option<String>) {
    let (has, known) = match event {
        Event::Checkpoint(CheckpointPassage { identifiers, origin_division, .. })
        | Event::Highway(HighwayEntrance { identifiers, origin_division, .. })
        | Event::Telecom(TelecomMovement { identifiers, origin_division, .. }) => (identifiers, origin_division),
    };
    *has = identifiers;
    if known.is_none() {
        *known = origin.map(Into::into);
    }
}

/// A number of this range that a name always gives.
fn of_name(name: &str, salt: &str, below: u64) -> u64 {
    events::ids::digest64(&[name.as_bytes(), salt.as_bytes()]).unsigned_abs() % below
}

/// One of these.
fn choose<'a>(random: &mut SmallRng, of: &[&'a str]) -> &'a str {
    of[random.random_range(0..of.len())]
}
