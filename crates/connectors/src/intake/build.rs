//! From fields to an event, and from an event to an append.

use super::content::Content;
use super::fields::{Field, Fields};
use super::refusal::{NotTaken, Refusal, RefusalCode};
use super::{Context, identify, read, scope};
use domain::mandate::allows_field;
use eventlog::Append;
use events::topics::{of_kind, partition_of};
use events::{
    Blob, CheckpointPassage, Codec, Destination, Direction, EventId, HighwayEntrance, Identifier, IdentifierKind, Mandate, Millis, Sealed,
    SourceKind, TelecomMovement, cloudevents,
};
use keys::{KeysGone, MandateKeys};

/// A record that may be appended.
pub struct Prepared {
    /// The agency's own id, in clear: for the answer to its sender alone.
    pub id: String,
    /// The event's id.
    pub event_id: EventId,
    /// Stands for the agency's own id.
    pub source_ref: [u8; 16],
    /// What goes to the log.
    pub append: Append,
}

/// What a kind of event has beyond the others.
enum Body {
    Checkpoint { checkpoint: String, direction: Direction, party_size: Option<i32>, destination: Option<Declared> },
    Highway { station: String, direction: Direction, vehicle_class: Option<String> },
    Telecom { to_division: String, dwell_minutes: i32 },
}

/// A declared destination with its address still in clear.
struct Declared {
    division: String,
    grid: String,
    address: Option<String>,
}

const PEOPLE_AND_CARS: &[IdentifierKind] =
    &[IdentifierKind::ResidentId, IdentifierKind::Passport, IdentifierKind::Permit, IdentifierKind::Phone, IdentifierKind::Plate];

fn kinds_of(kind: SourceKind) -> &'static [IdentifierKind] {
    match kind {
        SourceKind::Checkpoint => PEOPLE_AND_CARS,
        SourceKind::Highway => &[IdentifierKind::Plate],
        SourceKind::Telecom => &[IdentifierKind::Phone],
    }
}

/// Judges one record and prepares its append. Asked in this order: the id, the time, the mandate, then the fields that it allows.
///
/// # Errors
/// [`NotTaken`]: refused, or the keys of its mandate are not here.
pub fn prepare(context: &Context<'_>, fields: &Fields) -> Result<Prepared, NotTaken> {
    let id = read::required(fields, "id", read::ID_CHARS_MAX)?;
    let observed_at = read::observed_at(fields)?;
    check_age(context, observed_at)?;
    let named = read::text(fields.get("mandate"), "mandate", read::CODE_CHARS_MAX)?;
    let named = named.as_deref().or(context.default_mandate);
    let rules = context.rules;
    let mandate = scope::choose(context.mandates, context.source, named, |one| {
        scope::in_force(one, rules.clock, context.judged_at, Some(observed_at))
    })?;
    let keys = context.keyring.mandate(&mandate.id).ok_or(NotTaken::KeysAway)?;
    let body = read_body(context.kind, fields, mandate)?;
    let mut identifiers = identify::identifiers(fields, kinds_of(context.kind), mandate, &keys)?;
    if let Body::Checkpoint { destination: Some(Declared { grid, address: Some(address), .. }), .. } = &body {
        identifiers.extend(identify::address(grid, address, "destination.address", &keys)?);
    }
    let origin_field = if context.kind == SourceKind::Telecom { "from_division" } else { "origin_division" };
    let origin_division = match allows_field(mandate, origin_field) {
        true => read::division(fields.get(origin_field), origin_field)?,
        false => None,
    };
    let digest = content(context.kind, observed_at, &identifiers, origin_division.as_deref(), &body);
    let source_ref = keys.source_ref(context.source, &id)?;
    let event_id = EventId(keys.event_id(context.source, &id, &digest)?);
    let head = Head { context, mandate, keys: &keys, event_id, source_ref, observed_at, identifiers, origin_division };
    let append = head.append(body)?;
    Ok(Prepared { id, event_id, source_ref, append })
}

fn check_age(context: &Context<'_>, observed_at: Millis) -> Result<(), Refusal> {
    let age = context.received_at.0.saturating_sub(observed_at.0);
    if context.rules.max_age_ms.is_some_and(|most| age > most) {
        return Err(Refusal::at(RefusalCode::TooOld, "observed_at", "observed longer ago than this site takes"));
    }
    if context.rules.max_future_ms.is_some_and(|most| age < -most) {
        return Err(Refusal::at(RefusalCode::InFuture, "observed_at", "observed later than now"));
    }
    Ok(())
}

fn read_body(kind: SourceKind, fields: &Fields, mandate: &Mandate) -> Result<Body, Refusal> {
    let allowed = |name: &str| allows_field(mandate, name);
    Ok(match kind {
        SourceKind::Checkpoint => Body::Checkpoint {
            checkpoint: read::required_code(fields, "checkpoint")?,
            direction: read::direction(fields)?,
            party_size: match allowed("party_size") {
                true => read::whole(fields.get("party_size"), "party_size", 1..=10_000)?,
                false => None,
            },
            destination: read_destination(fields, mandate)?,
        },
        SourceKind::Highway => Body::Highway {
            station: read::required_code(fields, "station")?,
            direction: read::direction(fields)?,
            vehicle_class: match allowed("vehicle_class") {
                true => read::code(fields.get("vehicle_class"), "vehicle_class")?,
                false => None,
            },
        },
        SourceKind::Telecom => {
            let to_division = read::division(fields.get("to_division"), "to_division")?.ok_or_else(|| Refusal::missing("to_division"))?;
            check_division(mandate, &to_division, "to_division")?;
            let dwell_minutes = read::whole(fields.get("dwell_minutes"), "dwell_minutes", 0..=i32::MAX)?;
            Body::Telecom { to_division, dwell_minutes: dwell_minutes.ok_or_else(|| Refusal::missing("dwell_minutes"))? }
        }
    })
}

fn check_division(mandate: &Mandate, division: &str, label: &'static str) -> Result<(), Refusal> {
    match scope::touches_division(mandate, division) {
        true => Ok(()),
        false => Err(Refusal::at(RefusalCode::OutOfMandate, label, "outside the divisions of the mandate")),
    }
}

/// The declared destination. A mandate that does not allow `destination` never sees one; `address` may be left out alone.
fn read_destination(fields: &Fields, mandate: &Mandate) -> Result<Option<Declared>, Refusal> {
    if !allows_field(mandate, "destination") {
        return Ok(None);
    }
    let inner = match fields.get("destination") {
        None => return Ok(None),
        Some(Field::Object(inner)) => inner,
        Some(_) => return Err(Refusal::bad_value("destination", "expected an object with division and grid")),
    };
    let division = read::division(inner.get("division"), "destination.division")?;
    let division = division.ok_or_else(|| Refusal::missing("destination.division"))?;
    let grid = read::code(inner.get("grid"), "destination.grid")?;
    let grid = grid.ok_or_else(|| Refusal::missing("destination.grid"))?;
    check_division(mandate, &division, "destination.division")?;
    let address = match allows_field(mandate, "address") || allows_field(mandate, "destination.address") {
        true => match inner.get("address") {
            Some(Field::Text(raw)) => read::free_text(raw, "destination.address", read::ADDRESS_CHARS_MAX)?,
            other => read::text(other, "destination.address", read::ADDRESS_CHARS_MAX)?,
        },
        false => None,
    };
    Ok(Some(Declared { division, grid, address }))
}

/// The digest of what the record says: all fields but event_id and received_at, before sealing. Source, id and mandate stand in the
/// event id by themselves.
fn content(kind: SourceKind, observed_at: Millis, identifiers: &[Identifier], origin: Option<&str>, body: &Body) -> [u8; 32] {
    let mut content = Content::of(kind.as_str());
    content.number("observed_at", Some(observed_at.0));
    for identifier in identifiers {
        content.text(identifier.kind.as_str(), Some(&identifier.token.to_string()));
    }
    content.text("origin_division", origin);
    match body {
        Body::Checkpoint { checkpoint, direction, party_size, destination } => {
            content.text("checkpoint", Some(checkpoint));
            content.text("direction", Some(direction.as_str()));
            content.number("party_size", party_size.map(i64::from));
            if let Some(declared) = destination {
                content.text("destination.division", Some(&declared.division));
                content.text("destination.grid", Some(&declared.grid));
                content.text("destination.address", declared.address.as_deref());
            }
        }
        Body::Highway { station, direction, vehicle_class } => {
            content.text("station", Some(station));
            content.text("direction", Some(direction.as_str()));
            content.text("vehicle_class", vehicle_class.as_deref());
        }
        Body::Telecom { to_division, dwell_minutes } => {
            content.text("to_division", Some(to_division));
            content.number("dwell_minutes", Some(i64::from(*dwell_minutes)));
        }
    }
    content.finish()
}

/// What all kinds have, on its way into a record.
struct Head<'a> {
    context: &'a Context<'a>,
    mandate: &'a Mandate,
    keys: &'a MandateKeys,
    event_id: EventId,
    source_ref: [u8; 16],
    observed_at: Millis,
    identifiers: Vec<Identifier>,
    origin_division: Option<String>,
}

impl Head<'_> {
    fn append(self, body: Body) -> Result<Append, KeysGone> {
        let context = self.context;
        let (event_id, observed_at) = (self.event_id, self.observed_at);
        // `identify::identifiers` never answers with none.
        let key = self.identifiers.first().map(|strongest| strongest.token.to_string()).unwrap_or_default().into_bytes();
        let (name, value) = self.encode(body, context.codec)?;
        Ok(Append {
            topic: of_kind(context.kind).into(),
            partition: partition_of(&key, context.partitions),
            key: key.into(),
            value: Some(value.into()),
            headers: cloudevents::headers(event_id, context.source, name, observed_at, context.traceparent),
        })
    }

    fn encode(self, body: Body, codec: &Codec) -> Result<(&'static str, Vec<u8>), KeysGone> {
        macro_rules! record {
            ($name:ident { $($own:ident: $value:expr),* }) => {
                (stringify!($name), codec.encode(&$name {
                    event_id: self.event_id,
                    mandate: self.mandate.id.as_str().into(),
                    source: self.context.source.into(),
                    source_ref: hex::encode(self.source_ref).into(),
                    observed_at: self.observed_at,
                    received_at: self.context.received_at,
                    identifiers: self.identifiers,
                    origin_division: self.origin_division.map(Into::into),
                    $($own: $value),*
                }))
            };
        }
        Ok(match body {
            Body::Checkpoint { checkpoint, direction, party_size, destination } => {
                let destination = destination.map(|declared| seal(declared, self.event_id, self.keys)).transpose()?;
                record!(CheckpointPassage {
                    checkpoint: checkpoint.into(),
                    direction: direction,
                    party_size: party_size,
                    destination: destination
                })
            }
            Body::Highway { station, direction, vehicle_class } => {
                record!(HighwayEntrance { station: station.into(), direction: direction, vehicle_class: vehicle_class.map(Into::into) })
            }
            Body::Telecom { to_division, dwell_minutes } => {
                let from_division = self.origin_division.as_deref().map(Into::into);
                record!(TelecomMovement { from_division: from_division, to_division: to_division.into(), dwell_minutes: dwell_minutes })
            }
        })
    }
}

fn seal(declared: Declared, event_id: EventId, keys: &MandateKeys) -> Result<Destination, KeysGone> {
    let owner = event_id.to_string();
    let sealed = |address: String| {
        let value = Blob(keys.seal("address", &owner, address.as_bytes())?);
        Ok(Sealed { owner: owner.as_str().into(), value })
    };
    let address = declared.address.map(sealed).transpose()?;
    Ok(Destination { division: declared.division.into(), grid: declared.grid.into(), address })
}
