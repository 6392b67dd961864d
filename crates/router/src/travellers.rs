//! The loop that resolves: events become arrivals at a household, and travellers move from place to place. The rules are
//! `domain::traveller`'s; here they meet records, the identifier table and the owner's desk.

use crate::outgoing;
use crate::site::Site;
use domain::{Clock, mandate, resolve, traveller};
use eventlog::Record;
use eventlog::owner::{Desk, Logic};
use events::records::{Arrival, ArrivalMessage, CheckpointPassage, HighwayEntrance, Return, ReturnMessage, TelecomMovement, Traveller};
use events::topics::{CHECKPOINT, HIGHWAY, IDENTIFIERS, RETURNS, TELECOM, split_key, traveller_key};
use events::{Code, CodecError, Decision, Event, EventHead, Fixed16, Identifier, Millis, Signal, Token, ids, traveller_id};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The topics that it reads.
pub const INPUTS: &[&str] = &[CHECKPOINT, HIGHWAY, TELECOM, RETURNS];

/// The keeper of the travellers of one partition.
pub struct Travellers {
    site: Arc<Site>,
    /// Whose links changed: token to travellers.
    by_token: HashMap<Token, Vec<Arc<str>>>,
    /// Mandates that no table held, even after it was read to its end.
    absent_mandates: HashSet<String>,
    asked_schemas: HashSet<u32>,
}

/// An input that cannot be dealt with yet.
struct ComeAgain;

impl Travellers {
    /// Of a partition that is about to be claimed.
    pub fn new(site: Arc<Site>) -> Travellers {
        Travellers { site, by_token: HashMap::new(), absent_mandates: HashSet::new(), asked_schemas: HashSet::new() }
    }

    fn place(&self, identifiers: &[Identifier], declared_grid: Option<&str>) -> String {
        resolve::resolve(identifiers, declared_grid, |identifier| self.site.links(identifier).map(Cow::Owned))
    }

    fn place_of(&self, record: &Traveller) -> String {
        self.place(&record.identifiers, record.declared.as_ref().map(|declared| declared.grid.as_str()))
    }

    fn remember(&mut self, key: &str, identifiers: &[Identifier]) {
        let key: Arc<str> = Arc::from(key);
        for identifier in identifiers {
            self.by_token.entry(identifier.token).or_default().push(key.clone());
        }
    }

    fn load(&self, key: &str, desk: &Desk<'_>) -> Option<Traveller> {
        let value = desk.get(key)?;
        let record = self.site.codec().decode::<Traveller>(value);
        record.inspect_err(|error| tracing::error!(%error, "a traveller's record cannot be read")).ok()
    }

    fn store(&self, key: &str, record: &Traveller, desk: &mut Desk<'_>) {
        desk.put(key, self.site.codec().encode(record));
    }

    /// What rests on a record goes to a place: the record's own, or the one that it is leaving.
    fn send(&self, key: &str, record: &Traveller, message: ArrivalMessage, desk: &mut Desk<'_>) {
        let Some((mandate, id)) = split_key(key) else { return };
        let arrival = Arrival { traveller: id.to_owned(), version: record.version, message };
        desk.send(outgoing::arrival(&self.site.codec(), self.site.partitions, mandate, &record.place, &arrival));
    }

    fn event(&mut self, topic: &str, record: &Record, desk: &mut Desk<'_>) -> Result<(), ComeAgain> {
        let event = match self.decode_event(topic, record) {
            Ok(event) => event,
            Err(error) => return self.unreadable(topic, record, &error, desk),
        };
        let head = event.head();
        let declared = head.destination.cloned();
        let declared_grid = declared.as_ref().map(|declared| declared.grid.as_str());
        let Some(id) = traveller_id(head.identifiers, declared_grid) else {
            desk.send(outgoing::dead_letter(topic, record, "an event without identifiers"));
            return Ok(());
        };
        if !self.mandate_allows(&head, desk)? {
            desk.send(outgoing::decision(&self.site.codec(), self.site.partitions, &mandate_ended(&head, desk.now)));
            return Ok(());
        }
        let key = traveller_key(head.mandate, &id);
        let mut traveller = match self.load(&key, desk) {
            Some(traveller) => traveller,
            None => {
                let place = self.place(head.identifiers, declared_grid);
                let first = traveller::first_record(head.identifiers.to_vec(), declared, place);
                self.store(&key, &first, desk);
                self.remember(&key, head.identifiers);
                first
            }
        };
        match traveller::event(&mut traveller, signal(&event, record.timestamp)) {
            Some(message) => self.send(&key, &traveller, message, desk),
            None => self.store(&key, &traveller, desk),
        }
        Ok(())
    }

    /// In force when it was received, and not over by now. A mandate that no table holds is looked for once in its newest state.
    fn mandate_allows(&mut self, head: &EventHead<'_>, desk: &mut Desk<'_>) -> Result<bool, ComeAgain> {
        let Some(found) = self.site.mandate(head.mandate) else {
            if self.absent_mandates.insert(head.mandate.to_owned()) {
                desk.wait_for_tables();
                return Err(ComeAgain);
            }
            return Ok(false);
        };
        Ok(match self.site.clock {
            Clock::Wall => mandate::within_dates(&found, head.received_at) && mandate::within_dates(&found, Millis(desk.now)),
            Clock::Events => mandate::within_dates(&found, head.observed_at),
        })
    }

    fn decode_event(&self, topic: &str, record: &Record) -> Result<Event, CodecError> {
        let (codec, value) = (self.site.codec(), record.value.as_deref().unwrap_or_default());
        let id = eventlog::schemas::header_id(record)?;
        Ok(match topic {
            CHECKPOINT => Event::Checkpoint(codec.decode_with::<CheckpointPassage>(value, id)?),
            HIGHWAY => Event::Highway(codec.decode_with::<HighwayEntrance>(value, id)?),
            _ => Event::Telecom(codec.decode_with::<TelecomMovement>(value, id)?),
        })
    }

    /// A schema id that nobody has asked for yet may be known to the registry; what stays unreadable is a dead letter.
    fn unreadable(&mut self, topic: &str, record: &Record, error: &CodecError, desk: &mut Desk<'_>) -> Result<(), ComeAgain> {
        if self.site.ask_for_schema(error, &mut self.asked_schemas) {
            desk.wait_for_tables();
            return Err(ComeAgain);
        }
        tracing::warn!(topic, partition = record.partition, offset = record.offset, %error, "a dead letter");
        metrics::counter!("oneknock_dead_letters_total", "topic" => topic.to_owned()).increment(1);
        desk.send(outgoing::dead_letter(topic, record, &error.to_string()));
        Ok(())
    }

    fn returned(&mut self, record: &Record, desk: &mut Desk<'_>) -> Result<(), ComeAgain> {
        let message = match self.site.codec().decode::<Return>(record.value.as_deref().unwrap_or_default()) {
            Ok(Return { message }) => message,
            Err(error) => return self.unreadable(RETURNS, record, &error, desk),
        };
        let Ok(key) = std::str::from_utf8(&record.key) else { return Ok(()) };
        let Some(mut traveller) = self.load(key, desk) else { return Ok(()) };
        let sends = match &message {
            ReturnMessage::Left(left) => {
                let place = if traveller.leaving { self.place_of(&traveller) } else { String::new() };
                traveller::left(&mut traveller, left, || place)
            }
            ReturnMessage::Covered(covered) => {
                let message = traveller::covered(&mut traveller, &covered.cover);
                self.store(key, &traveller, desk);
                message
            }
        };
        if let Some(message) = sends {
            self.store(key, &traveller, desk);
            self.send(key, &traveller, message, desk);
            if !(traveller.carried.is_empty() && traveller.carried_out.is_empty()) {
                desk.await_delivery(key, traveller.version);
            }
        }
        Ok(())
    }

    /// The table may say another place than the record.
    fn look_again(&mut self, key: &str, desk: &mut Desk<'_>) {
        let Some(mut traveller) = self.load(key, desk) else { return };
        if traveller.leaving {
            return;
        }
        let place = self.place_of(&traveller);
        if let Some(message) = traveller::table_says(&mut traveller, &place, Millis(desk.now)) {
            self.store(key, &traveller, desk);
            self.send(key, &traveller, message, desk);
        }
    }
}

impl Logic for Travellers {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        let keys: Vec<Arc<str>> = desk.keys().cloned().collect();
        for key in keys {
            let Some(traveller) = self.load(&key, desk) else { continue };
            self.remember(&key, &traveller.identifiers);
            self.look_again(&key, desk);
            // What stood in the record before is sent again; what was written just now is sent already.
            if let Some(message) = traveller::again(&traveller, Millis(desk.now)) {
                self.send(&key, &traveller, message, desk);
                if !traveller.leaving {
                    desk.await_delivery(&key, traveller.version);
                }
            }
        }
    }

    fn apply(&mut self, topic: &str, records: &[Record], desk: &mut Desk<'_>) -> usize {
        for (at, record) in records.iter().enumerate() {
            let done = if topic == RETURNS { self.returned(record, desk) } else { self.event(topic, record, desk) };
            if let Err(ComeAgain) = done {
                return at;
            }
        }
        metrics::counter!("oneknock_router_inputs_total", "topic" => topic.to_owned()).increment(records.len() as u64);
        records.len()
    }

    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        if topic != IDENTIFIERS {
            return;
        }
        for key in keys {
            let Some(token) = key.get(..32).and_then(|token| token.parse::<Token>().ok()) else { continue };
            for traveller in self.by_token.get(&token).cloned().unwrap_or_default() {
                self.look_again(&traveller, desk);
            }
        }
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        for (key, version) in keys {
            if let Some(mut traveller) = self.load(&key, desk)
                && traveller::delivered(&mut traveller, version)
            {
                self.store(&key, &traveller, desk);
            }
        }
    }
}

/// An event as the router keeps it. `appended_at`: when the log took it, in milliseconds.
fn signal(event: &Event, appended_at: i64) -> Signal {
    let head = event.head();
    let mut tokens = Vec::with_capacity(head.identifiers.len() * 16);
    head.identifiers.iter().for_each(|identifier| tokens.extend_from_slice(&identifier.token.0));
    let digest = ids::digest64(&[head.source.as_bytes(), head.seen_at.as_bytes(), &head.observed_at.0.to_be_bytes(), &tokens]);
    Signal {
        event_id: Fixed16(head.event_id.0),
        kind: event.kind(),
        observed_at: head.observed_at,
        received_at: head.received_at,
        appended_at: Millis(appended_at),
        digest,
        direction: head.direction,
        origin_division: head.origin_division.map(str::to_owned),
        late: None,
        taken_at: Millis(0),
        code: None,
        episode: 0,
        count: -1,
        screened: false,
        came_along: false,
    }
}

/// The keeper asks first, and writes no record.
fn mandate_ended(head: &EventHead<'_>, now: i64) -> Decision {
    Decision {
        event_id: head.event_id,
        mandate: head.mandate.to_owned(),
        code: Code::MandateEnded,
        revision: 0,
        reason: "no mandate was in force".to_owned(),
        grid: None,
        task_id: None,
        policy: 0,
        at: Millis(now),
    }
}
