//! The keeper's rules: for every traveller one record, with one writer, says where it is, and numbers every change.
//!
//! Pure: each function takes the record and what happened, changes the record, and says what must be sent once that record is read
//! back. The keeper is the only one who moves a traveller, and it moves nothing before the old place has let go.

use crate::limits::COVERS_MAX;
use events::{ArrivalMessage, Cover, Destination, Event, Here, Identifier, Left, Millis, Release, Signal, Text, Traveller, ids};

/// The record of a traveller that was never seen before.
pub fn first_record(identifiers: Vec<Identifier>, declared: Option<Destination>, place: Text) -> Traveller {
    Traveller { identifiers, declared, place, version: 1, leaving: false, carried: vec![], carried_out: vec![], covers: vec![] }
}

/// An event as the router keeps it. `appended_at`: when the log took it.
pub fn signal(event: &Event, appended_at: Millis) -> Signal {
    let head = event.head();
    let mut tokens = Vec::with_capacity(head.identifiers.len() * 16);
    head.identifiers.iter().for_each(|identifier| tokens.extend_from_slice(&identifier.token.0));
    let digest = ids::digest64(&[head.source.as_bytes(), head.seen_at.as_bytes(), &head.observed_at.0.to_be_bytes(), &tokens]);
    Signal {
        event_id: head.event_id.fixed(),
        kind: event.kind(),
        observed_at: head.observed_at,
        received_at: head.received_at,
        appended_at,
        digest,
        direction: head.direction,
        origin_division: head.origin_division.map(Into::into),
        late: None,
        taken_at: Millis(0),
        code: None,
        episode: 0,
        count: -1,
        screened: false,
        came_along: false,
    }
}

/// Events of the traveller. Sent to its place at once; written into the record while it is leaving.
pub fn events(traveller: &mut Traveller, signals: Vec<Signal>) -> Option<ArrivalMessage> {
    if !traveller.leaving {
        return Some(here(traveller, signals));
    }
    for signal in signals {
        let known = traveller.carried.iter().any(|other| other.event_id == signal.event_id);
        if !known {
            traveller.carried.push(signal);
        }
    }
    None
}

/// The table names a place. Another one than the record's: the old place must let go first. One move at a time.
pub fn table_says(traveller: &mut Traveller, place: &str, at: Millis) -> Option<ArrivalMessage> {
    if traveller.leaving || traveller.place == place {
        return None;
    }
    traveller.leaving = true;
    Some(ArrivalMessage::Release(Release { at }))
}

/// The old place has let go. `place` is what the table says now. Of another version, or while not leaving: nothing.
pub fn left(traveller: &mut Traveller, left: &Left, place: impl FnOnce() -> Text) -> Option<ArrivalMessage> {
    if !traveller.leaving || left.version != traveller.version {
        return None;
    }
    let mut carried = left.signals.clone();
    carried.extend(traveller.carried.drain(..).filter(|signal| left.signals.iter().all(|other| other.event_id != signal.event_id)));
    traveller.carried = carried;
    traveller.carried_out = left.pushed_out.clone();
    for cover in &left.covers {
        add_cover(&mut traveller.covers, cover);
    }
    traveller.version += 1;
    traveller.leaving = false;
    traveller.place = place();
    Some(carried_here(traveller))
}

/// A screening covers the traveller, wherever it is now. Passed on also where the record knew it already.
pub fn covered(traveller: &mut Traveller, cover: &Cover) -> Option<ArrivalMessage> {
    add_cover(&mut traveller.covers, cover);
    if traveller.leaving { None } else { Some(here(traveller, vec![])) }
}

/// What the next owner sends again: nothing rests on whether the one before has sent it.
pub fn again(traveller: &Traveller, at: Millis) -> Option<ArrivalMessage> {
    if traveller.leaving {
        return Some(ArrivalMessage::Release(Release { at }));
    }
    let nothing = traveller.carried.is_empty() && traveller.carried_out.is_empty();
    if nothing { None } else { Some(carried_here(traveller)) }
}

/// Empties what was carried, once the Here that brought it is acknowledged. Never while leaving. Whether anything changed.
pub fn delivered(traveller: &mut Traveller, version: i64) -> bool {
    let due = !traveller.leaving && traveller.version == version && !(traveller.carried.is_empty() && traveller.carried_out.is_empty());
    if due {
        traveller.carried.clear();
        traveller.carried_out.clear();
    }
    due
}

fn here(traveller: &Traveller, signals: Vec<Signal>) -> ArrivalMessage {
    let (declared, covers) = (traveller.declared.clone(), traveller.covers.clone());
    ArrivalMessage::Here(Here { declared, signals, pushed_out: vec![], covers })
}

fn carried_here(traveller: &Traveller) -> ArrivalMessage {
    let pushed_out = traveller.carried_out.clone();
    match here(traveller, traveller.carried.clone()) {
        ArrivalMessage::Here(here) => ArrivalMessage::Here(Here { pushed_out, ..here }),
        other => other,
    }
}

/// Adds a screening to a set; the newest stay. Whether the set changed.
pub fn add_cover(covers: &mut Vec<Cover>, cover: &Cover) -> bool {
    if covers.contains(cover) {
        return false;
    }
    covers.push(cover.clone());
    covers.sort_by_key(|cover| (cover.until, cover.at));
    if covers.len() > COVERS_MAX {
        covers.remove(0);
    }
    true
}
