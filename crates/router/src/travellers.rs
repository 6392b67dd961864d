//! The loop that resolves: events become arrivals at a household, and travellers move from place to place. The rules are
//! `domain::traveller`'s; here they meet records, the identifier table and the owner's desk.

use crate::outgoing::{self, Outgoing};
use crate::site::Site;
use bytes::Bytes;
use domain::household::Row;
use domain::limits::SIGNALS_MAX;
use domain::{Clock, mandate, resolve, traveller};
use eventlog::Record;
use eventlog::owner::{Desk, Logic};
use events::records::{Arrival, ArrivalMessage, CheckpointPassage, HighwayEntrance, Return, ReturnMessage, TelecomMovement, Traveller};
use events::topics::{CHECKPOINT, HIGHWAY, IDENTIFIERS, RETURNS, TELECOM, split_key};
use events::{Code, Codec, CodecError, Decision, Event, EventHead, Identifier, Mandate, Millis, Signal, Text, Token, TravellerId, ids};
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The topics that it reads.
pub const INPUTS: &[&str] = &[CHECKPOINT, HIGHWAY, TELECOM, RETURNS];

/// The keeper of the travellers of one partition.
pub struct Travellers {
    site: Arc<Site>,
    codec: Arc<Codec>,
    out: Outgoing,
    /// Whose links changed: token to travellers.
    by_token: HashMap<Token, Vec<Arc<str>>, RandomState>,
    /// Mandates that no table held, even after it was read to its end.
    absent_mandates: HashSet<Text>,
    asked_schemas: HashSet<u32>,
    /// The one that was asked for last in this step.
    mandate: Option<Arc<Mandate>>,
    /// Where keys are put together.
    key: String,
}

/// The travellers at hand, those of one key, in the order in which they came: each is looked up once, and its events go in one message.
#[derive(Default)]
struct AtHand {
    key: Bytes,
    /// By the traveller's key. As a rule one; but whoever sends may name others beside the same strongest identifier every time.
    journeys: IndexMap<Arc<str>, Journey, RandomState>,
    /// The event before, and whose it was: as a rule the next one's identifiers are the same, and so is the traveller.
    before: Option<(Event, usize)>,
}

struct Journey {
    traveller: Traveller,
    is_new: bool,
    signals: Vec<Signal>,
}

impl AtHand {
    /// The journey of the event before, if this one is of the same traveller.
    fn same(&self, head: &EventHead<'_>) -> Option<usize> {
        let (before, at) = self.before.as_ref()?;
        let before = before.head();
        let same =
            before.mandate == head.mandate && before.identifiers == head.identifiers && declared_grid(&before) == declared_grid(head);
        same.then_some(*at)
    }
}

fn declared_grid<'a>(head: &EventHead<'a>) -> Option<&'a str> {
    head.destination.map(|declared| declared.grid.as_str())
}

/// An input that cannot be dealt with yet.
struct ComeAgain;

impl Travellers {
    /// Of a partition that is about to be claimed.
    pub fn new(site: Arc<Site>) -> Travellers {
        let codec = site.codec();
        let (out, by_token) = (Outgoing::new(codec.clone(), site.partitions), HashMap::default());
        Travellers {
            site,
            codec,
            out,
            by_token,
            absent_mandates: HashSet::new(),
            asked_schemas: HashSet::new(),
            mandate: None,
            key: String::new(),
        }
    }

    /// The codec of now, for a whole step.
    fn begin(&mut self) {
        self.codec = self.site.codec();
        self.mandate = None;
        self.out.write_with(self.codec.clone());
    }

    fn place(&self, identifiers: &[Identifier], declared_grid: Option<&str>) -> Text {
        resolve::resolve(identifiers, declared_grid, |identifier| self.site.links(identifier).map(Cow::Owned))
    }

    fn place_of(&self, record: &Traveller) -> Text {
        self.place(&record.identifiers, record.declared.as_ref().map(|declared| declared.grid.as_str()))
    }

    fn remember(&mut self, key: &Arc<str>, identifiers: &[Identifier]) {
        for identifier in identifiers {
            self.by_token.entry(identifier.token).or_default().push(key.clone());
        }
    }

    fn load(&self, key: &str, desk: &Desk<'_>) -> Option<Traveller> {
        let value = desk.get(key)?;
        let record = self.codec.decode::<Traveller>(value);
        record.inspect_err(|error| tracing::error!(%error, "a traveller's record cannot be read")).ok()
    }

    fn store(&self, key: &str, record: &Traveller, desk: &mut Desk<'_>) {
        desk.put(key, self.codec.encode(record));
    }

    /// What rests on a record goes to a place: the record's own, or the one that it is leaving.
    fn send(&mut self, key: &str, record: &Traveller, message: ArrivalMessage, desk: &mut Desk<'_>) {
        let Some((mandate, traveller)) = split_key(key).and_then(|(mandate, id)| Some((mandate, TravellerId::from(id).ok()?))) else {
            return;
        };
        let arrival = Arrival { traveller, version: record.version, message };
        desk.send(self.out.arrival(mandate, &record.place, &arrival));
    }

    fn event(&mut self, topic: &str, record: &Record, at_hand: &mut AtHand, desk: &mut Desk<'_>) -> Result<(), ComeAgain> {
        if at_hand.key != record.key {
            self.send_on(at_hand, desk);
            at_hand.key.clone_from(&record.key);
        }
        let event = match self.decode_event(topic, record) {
            Ok(event) => event,
            Err(error) => return self.unreadable(topic, record, &error, desk),
        };
        let head = event.head();
        if !self.mandate_allows(&head, desk)? {
            desk.send(self.out.decision(&mandate_ended(&head, self.site.policy().version, desk.now)));
            return Ok(());
        }
        let Some(at) = at_hand.same(&head).or_else(|| self.journey(&head, &mut at_hand.journeys, desk)) else {
            desk.send(outgoing::dead_letter(topic, record, "an event without identifiers"));
            return Ok(());
        };
        at_hand.journeys[at].signals.push(traveller::signal(&event, Millis(record.timestamp)));
        at_hand.before = Some((event, at));
        Ok(())
    }

    /// The journey of an event's traveller among those at hand. None: it names nobody.
    fn journey(&mut self, head: &EventHead<'_>, journeys: &mut IndexMap<Arc<str>, Journey, RandomState>, desk: &Desk<'_>) -> Option<usize> {
        let declared_grid = declared_grid(head);
        self.key.clear();
        self.key.push_str(head.mandate);
        self.key.push('/');
        if !ids::write_traveller_id(head.identifiers, declared_grid, &mut self.key) {
            return None;
        }
        if let Some(at) = journeys.get_index_of(self.key.as_str()) {
            return Some(at);
        }
        let known = self.load(&self.key, desk);
        let is_new = known.is_none();
        let traveller = known.unwrap_or_else(|| {
            let place = self.place(head.identifiers, declared_grid);
            traveller::first_record(head.identifiers.to_vec(), head.destination.cloned(), place)
        });
        Some(journeys.insert_full(desk.key(&self.key), Journey { traveller, is_new, signals: Vec::new() }).0)
    }

    /// Sends the events at hand, and writes the records that are new or on the way.
    fn send_on(&mut self, at_hand: &mut AtHand, desk: &mut Desk<'_>) {
        at_hand.before = None;
        for (key, Journey { mut traveller, is_new, mut signals }) in at_hand.journeys.drain(..) {
            if is_new {
                self.remember(&key, &traveller.identifiers);
            }
            if traveller.leaving {
                traveller::events(&mut traveller, std::mem::take(&mut signals));
            }
            if is_new || traveller.leaving {
                self.store(&key, &traveller, desk);
            }
            // No household takes a long message for more than a few travellers at once.
            while !signals.is_empty() {
                let rest = signals.split_off(signals.len().min(SIGNALS_MAX));
                if let Some(message) = traveller::events(&mut traveller, std::mem::replace(&mut signals, rest)) {
                    self.send(&key, &traveller, message, desk);
                }
            }
        }
    }

    /// In force when it was received, and not over by now. A mandate that no table holds is looked for once in its newest state.
    fn mandate_allows(&mut self, head: &EventHead<'_>, desk: &mut Desk<'_>) -> Result<bool, ComeAgain> {
        let known = self.mandate.take().filter(|known| known.id == head.mandate);
        let Some(found) = known.or_else(|| self.site.mandate(head.mandate)) else {
            if self.absent_mandates.insert(head.mandate.into()) {
                desk.wait_for_tables();
                return Err(ComeAgain);
            }
            return Ok(false);
        };
        let within = match self.site.clock {
            Clock::Wall => mandate::within_dates(&found, head.received_at) && mandate::within_dates(&found, Millis(desk.now)),
            Clock::Events => mandate::within_dates(&found, head.observed_at),
        };
        self.mandate = Some(found);
        Ok(within)
    }

    fn decode_event(&self, topic: &str, record: &Record) -> Result<Event, CodecError> {
        let (codec, value) = (&self.codec, record.value.as_deref().unwrap_or_default());
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
        let message = match self.codec.decode::<Return>(record.value.as_deref().unwrap_or_default()) {
            Ok(Return { message }) => message,
            Err(error) => return self.unreadable(RETURNS, record, &error, desk),
        };
        let Ok(key) = std::str::from_utf8(&record.key) else { return Ok(()) };
        let Some(mut traveller) = self.load(key, desk) else { return Ok(()) };
        let sends = match &message {
            ReturnMessage::Left(left) => {
                let place = if traveller.leaving { self.place_of(&traveller) } else { Text::default() };
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
    fn look_again(&mut self, key: &str, traveller: &mut Traveller, desk: &mut Desk<'_>) {
        if traveller.leaving {
            return;
        }
        let place = self.place_of(traveller);
        if let Some(message) = traveller::table_says(traveller, &place, Millis(desk.now)) {
            self.store(key, traveller, desk);
            self.send(key, traveller, message, desk);
        }
    }
}

impl Logic for Travellers {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        self.begin();
        let keys: Vec<Arc<str>> = desk.keys().cloned().collect();
        for key in keys {
            let Some(mut traveller) = self.load(&key, desk) else { continue };
            self.remember(&key, &traveller.identifiers);
            // What stood in the record before is sent again; what is written now is sent already.
            let (was_leaving, again) = (traveller.leaving, traveller::again(&traveller, Millis(desk.now)));
            self.look_again(&key, &mut traveller, desk);
            if let Some(message) = again {
                self.send(&key, &traveller, message, desk);
                if !was_leaving {
                    desk.await_delivery(&key, traveller.version);
                }
            }
        }
    }

    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &Record>, desk: &mut Desk<'_>) -> usize {
        self.begin();
        let mut at_hand = AtHand::default();
        let mut deal = |record: &Record| {
            if topic == RETURNS { self.returned(record, desk) } else { self.event(topic, record, &mut at_hand, desk) }
        };
        let taken = records.take_while(|record| deal(record).is_ok()).count();
        self.send_on(&mut at_hand, desk);
        metrics::counter!("oneknock_router_inputs_total", "topic" => topic.to_owned()).increment(taken as u64);
        taken
    }

    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        if topic != IDENTIFIERS {
            return;
        }
        self.begin();
        for key in keys {
            let Some(token) = key.get(..32).and_then(|token| token.parse::<Token>().ok()) else { continue };
            for key in self.by_token.get(&token).cloned().unwrap_or_default() {
                if let Some(mut traveller) = self.load(&key, desk) {
                    self.look_again(&key, &mut traveller, desk);
                }
            }
        }
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        self.begin();
        for (key, version) in keys {
            if let Some(mut traveller) = self.load(&key, desk)
                && traveller::delivered(&mut traveller, version)
            {
                self.store(&key, &traveller, desk);
            }
        }
    }
}

/// Whether a value of an event's topic can be read as it is, by its own schema id.
pub fn is_sound(codec: &Codec, topic: &str, value: &[u8]) -> bool {
    match topic {
        CHECKPOINT => codec.is_sound::<CheckpointPassage>(value),
        HIGHWAY => codec.is_sound::<HighwayEntrance>(value),
        TELECOM => codec.is_sound::<TelecomMovement>(value),
        _ => false,
    }
}

/// The keeper asks first, and writes no record.
fn mandate_ended(head: &EventHead<'_>, policy: i64, now: i64) -> Decision {
    Decision {
        event_id: head.event_id,
        mandate: head.mandate.into(),
        code: Code::MandateEnded,
        revision: 0,
        reason: Row::MandateEnded.reason().into(),
        grid: None,
        task_id: None,
        policy,
        at: Millis(now),
    }
}
