//! What agencies report: a person or a car was seen.

use crate::avro::{Blob, Millis, Text, record, symbols};
use crate::identifier::Identifier;
use crate::ids::EventId;

symbols! {
    /// The kind of agency that saw it.
    SourceKind {
        /// A checkpoint on the road.
        Checkpoint = "CHECKPOINT",
        /// A highway's entrance.
        Highway = "HIGHWAY",
        /// A telecom operator: weak by default.
        Telecom = "TELECOM",
    }
}

symbols! {
    /// Into the area, or out of it.
    Direction {
        /// Arriving.
        In = "IN",
        /// Leaving: never a reason for a visit.
        Out = "OUT",
    }
}

record! {
    /// An encrypted value with what its associated data binds it to, so that it can be copied unopened.
    Sealed {
        /// The event id, or `mandate/household`.
        owner: Text,
        /// Suite, key id, wrapped data key, nonce and ciphertext.
        value: Blob,
    }
}

record! {
    /// Where somebody says they are going.
    Destination {
        /// 12-digit-or-shorter division code.
        division: Text,
        /// The grid, an opaque code.
        grid: Text,
        /// The address, sealed as field `address`.
        address: Option<Sealed>,
    }
}

record! {
    /// Somebody passed a checkpoint.
    CheckpointPassage {
        /// Computed from source, the agency's id and the content.
        event_id: EventId,
        /// The mandate under which it is shared.
        mandate: Text,
        /// The source's name.
        source: Text,
        /// Stands for the agency's own id.
        source_ref: Text,
        /// When it was seen.
        observed_at: Millis,
        /// When the gateway took it.
        received_at: Millis,
        /// Strongest first.
        identifiers: Vec<Identifier>,
        /// Division of recent stay.
        origin_division: Option<Text>,
        /// The checkpoint's code.
        checkpoint: Text,
        /// In or out.
        direction: Direction,
        /// People in the party.
        party_size: Option<i32>,
        /// The declared destination.
        destination: Option<Destination>,
    }
}

record! {
    /// A car entered a highway.
    HighwayEntrance {
        /// Computed from source, the agency's id and the content.
        event_id: EventId,
        /// The mandate under which it is shared.
        mandate: Text,
        /// The source's name.
        source: Text,
        /// Stands for the agency's own id.
        source_ref: Text,
        /// When it was seen.
        observed_at: Millis,
        /// When the gateway took it.
        received_at: Millis,
        /// Strongest first.
        identifiers: Vec<Identifier>,
        /// Division of recent stay.
        origin_division: Option<Text>,
        /// The station's code.
        station: Text,
        /// In or out.
        direction: Direction,
        /// The agency's class of vehicle.
        vehicle_class: Option<Text>,
    }
}

record! {
    /// A phone moved to another division.
    TelecomMovement {
        /// Computed from source, the agency's id and the content.
        event_id: EventId,
        /// The mandate under which it is shared.
        mandate: Text,
        /// The source's name.
        source: Text,
        /// Stands for the agency's own id.
        source_ref: Text,
        /// When it was seen.
        observed_at: Millis,
        /// When the gateway took it.
        received_at: Millis,
        /// Strongest first.
        identifiers: Vec<Identifier>,
        /// Division of recent stay.
        origin_division: Option<Text>,
        /// The same, by the operator's own name for it.
        from_division: Option<Text>,
        /// Where the phone is now.
        to_division: Text,
        /// How long it has stayed there.
        dwell_minutes: i32,
    }
}

/// One event of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// From a checkpoint.
    Checkpoint(CheckpointPassage),
    /// From a highway.
    Highway(HighwayEntrance),
    /// From a telecom operator.
    Telecom(TelecomMovement),
}

/// What all kinds have, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct EventHead<'a> {
    /// Computed from source, the agency's id and the content.
    pub event_id: EventId,
    /// The mandate under which it is shared.
    pub mandate: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// Stands for the agency's own id.
    pub source_ref: &'a str,
    /// When it was seen.
    pub observed_at: Millis,
    /// When the gateway took it.
    pub received_at: Millis,
    /// Strongest first.
    pub identifiers: &'a [Identifier],
    /// Division of recent stay.
    pub origin_division: Option<&'a str>,
    /// Checkpoint, station or to_division: where it was seen.
    pub seen_at: &'a str,
    /// In or out; a telecom movement is always in.
    pub direction: Direction,
    /// The declared destination.
    pub destination: Option<&'a Destination>,
}

impl Event {
    /// The kind of source.
    pub fn kind(&self) -> SourceKind {
        match self {
            Event::Checkpoint(_) => SourceKind::Checkpoint,
            Event::Highway(_) => SourceKind::Highway,
            Event::Telecom(_) => SourceKind::Telecom,
        }
    }

    /// What all kinds have.
    pub fn head(&self) -> EventHead<'_> {
        macro_rules! head {
            ($event:expr, $seen_at:expr, $direction:expr, $destination:expr) => {
                EventHead {
                    event_id: $event.event_id,
                    mandate: &$event.mandate,
                    source: &$event.source,
                    source_ref: &$event.source_ref,
                    observed_at: $event.observed_at,
                    received_at: $event.received_at,
                    identifiers: &$event.identifiers,
                    origin_division: $event.origin_division.as_deref(),
                    seen_at: $seen_at,
                    direction: $direction,
                    destination: $destination,
                }
            };
        }
        match self {
            Event::Checkpoint(event) => head!(event, &event.checkpoint, event.direction, event.destination.as_ref()),
            Event::Highway(event) => head!(event, &event.station, event.direction, None),
            Event::Telecom(event) => head!(event, &event.to_division, Direction::In, None),
        }
    }
}
