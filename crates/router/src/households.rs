//! The loop that routes: arrivals and workers' actions become one task per household. The rules are `domain::household`'s; here they
//! meet records, tables and the owner's desk.

use crate::outgoing::{self, Outgoing};
use crate::outstanding::Outstanding;
use crate::site::{Site, Snapshot};
use domain::household::{self, Context, Effects, Entry, Input};
use domain::limits::{BATCH_SIGNALS_MAX, SIGNALS_MAX};
use eventlog::Record;
use eventlog::owner::{Desk, Logic};
use events::topics::{ACTIONS, ARRIVALS, HOUSEHOLDS, split_key};
use events::{Action, Arrival, ArrivalMessage, Codec, CodecError, Here, Mandate, Millis, Policy, Return, ReturnMessage, Task, Text};
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The topics that it reads.
pub const INPUTS: &[&str] = &[ARRIVALS, ACTIONS];
/// So many households are looked at in one step where time changes them.
const TIME_MAX: usize = 1024;
/// Of all that a changed table concerns, so many are judged in a portion: fresh arrivals wait for no more. As many as change their
/// record, and as many as are looked at, where few do. A portion at once, so that a small site is done, and then one at a tick: were it
/// one behind another, whoever arrives would meet one at each of its appends.
const PORTION_CHANGED: usize = if IN_PORTIONS { 64 } else { usize::MAX };
pub(crate) const PORTION_SEEN: usize = if IN_PORTIONS { 1024 } else { usize::MAX };
/// Off only in a null control.
const IN_PORTIONS: bool = !cfg!(feature = "no-portions");
/// What `delivered` is told of when a portion is done with: no household has this key.
const PORTION_KEY: &str = "";

/// The households of one partition.
pub struct Households {
    site: Arc<Site>,
    codec: Arc<Codec>,
    out: Outgoing,
    asked_schemas: HashSet<u32>,
    asked_grids: HashSet<Text>,
    /// Registrations at a household that no table held.
    asked_entries: HashSet<Text>,
    /// Where records are put together, and what a household says.
    buffer: Vec<u8>,
    effects: Effects,
    due: Due,
    outstanding: Outstanding,
}

/// When time alone changes which household: of each at most one moment, never later than the true one.
#[derive(Default)]
struct Due {
    by_time: BTreeSet<(i64, Arc<str>)>,
    by_key: HashMap<Arc<str>, i64, RandomState>,
}

impl Due {
    /// A later moment than the one that is known changes nothing: then it is asked anew.
    fn at(&mut self, key: &Arc<str>, at: i64) {
        match self.by_key.get_mut(key) {
            Some(known) if *known <= at => {}
            Some(known) => {
                self.by_time.remove(&(std::mem::replace(known, at), key.clone()));
                self.by_time.insert((at, key.clone()));
            }
            None => {
                self.by_key.insert(key.clone(), at);
                self.by_time.insert((at, key.clone()));
            }
        }
    }

    /// The next household whose moment has come.
    fn next(&mut self, now: i64) -> Option<Arc<str>> {
        self.by_time.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

/// What a step works with: the tables, looked up once.
struct Now {
    policy: Arc<Policy>,
    grids: Snapshot,
    mandates: HashMap<Text, Option<Arc<Mandate>>>,
}

/// The household at hand. A step has one at a time, since what concerns one comes in one piece: it is decoded before the first input and
/// encoded behind the last one.
struct Opening {
    key: Arc<str>,
    task: Task,
    /// What the registry says of it: version and grid.
    entry: Option<(i64, Arc<str>)>,
    mandate: Option<Arc<Mandate>>,
    in_flight: bool,
    /// What was said of its signals is not acknowledged yet.
    spoken_of: bool,
    changed: bool,
    touched: bool,
    says: bool,
}

impl Opening {
    /// Nothing that it has said is still on its way.
    fn settled(&self) -> bool {
        !self.touched && !self.in_flight && !self.spoken_of
    }
}

/// The household's signals over the bound.
fn over(task: &Task) -> usize {
    task.stays.iter().map(|stay| stay.signals.len().saturating_sub(SIGNALS_MAX)).sum()
}

impl Households {
    /// Of a partition that is about to be claimed.
    pub fn new(site: Arc<Site>) -> Households {
        let codec = site.codec();
        let out = Outgoing::new(codec.clone(), site.partitions);
        let (asked_schemas, asked_grids, asked_entries) = (HashSet::new(), HashSet::new(), HashSet::new());
        let (buffer, effects, due, outstanding) = (Vec::new(), Effects::default(), Due::default(), Outstanding::new(site.turns.clone()));
        Households { site, codec, out, asked_schemas, asked_grids, asked_entries, buffer, effects, due, outstanding }
    }

    /// The tables and the codec of now, for a whole step.
    fn begin(&mut self) -> Now {
        self.codec = self.site.codec();
        self.out.write_with(self.codec.clone());
        let (policy, grids) = (self.site.policy(), Snapshot(self.site.grids()));
        Now { policy, grids, mandates: HashMap::new() }
    }

    fn load(&self, key: &str, desk: &Desk<'_>) -> Option<Task> {
        let task = self.codec.decode::<Task>(desk.get(key)?);
        task.inspect_err(|error| tracing::error!(%error, "a task's record cannot be read")).ok()
    }

    /// Decodes a household. None: the key is no household's.
    fn open(&mut self, key: &str, now: &mut Now, desk: &Desk<'_>) -> Option<Opening> {
        let (mandate_id, household) = split_key(key)?;
        let task = self.load(key, desk).unwrap_or_else(|| household::new_task(mandate_id, household));
        if !now.mandates.contains_key(mandate_id) {
            now.mandates.insert(mandate_id.into(), self.site.mandate(mandate_id));
        }
        let mandate = now.mandates.get(mandate_id).cloned().flatten();
        let (entry, in_flight, spoken_of) = (self.site.entry(key), desk.is_in_flight(key), desk.is_spoken_of(key));
        let key = desk.key(key);
        Some(Opening { key, task, entry, mandate, in_flight, spoken_of, changed: false, touched: false, says: false })
    }

    /// Applies one input to a household and sends what it says. What changed while nobody looked is judged first, so that no order of
    /// tables and inputs matters. Answers whether it was applied: a household takes so many signals at once and no more, until what it
    /// said of them is acknowledged; and lets nobody go before that, since of whoever has gone it says nothing any more.
    fn apply_to(&mut self, opening: &mut Opening, input: &Input<'_>, now: &Now, desk: &mut Desk<'_>) -> bool {
        let waits = match input {
            Input::Arrival(arrival) if household::lets_go(&opening.task, arrival) => opening.says || opening.spoken_of,
            Input::Arrival(_) => !opening.settled() && over(&opening.task) >= BATCH_SIGNALS_MAX,
            _ => false,
        };
        if waits {
            return false;
        }
        let is_new = opening.task.stays.is_empty() && opening.task.episode == 0;
        if !opening.touched && !is_new {
            let outstanding = self.outstanding.comes_in(&opening.key);
            self.apply_one(opening, &Input::Tables, !outstanding, now, desk);
        }
        self.apply_one(opening, input, false, now, desk);
        opening.touched = true;
        true
    }

    /// `if_outdated`: only if something that the household was judged by is newer.
    fn apply_one(&mut self, opening: &mut Opening, input: &Input<'_>, if_outdated: bool, now: &Now, desk: &mut Desk<'_>) {
        let context = Context {
            now: Millis(desk.now),
            clock: self.site.clock,
            policy: &now.policy,
            mandate: opening.mandate.as_deref(),
            entry: opening.entry.as_ref().map(|(version, grid)| Entry { version: *version, grid }),
            grids: &now.grids,
            settled: opening.settled(),
        };
        if !if_outdated || household::is_outdated(&opening.task, &context) {
            household::apply_into(&mut opening.task, input, &context, &mut self.effects);
            opening.changed |= self.effects.changed;
            opening.says |= !self.effects.decisions.is_empty();
            say(&mut self.out, &opening.key, &mut self.effects, desk);
        }
    }

    /// Encodes it if it has changed; a record with something unsent is written again when that is acknowledged.
    fn close(&mut self, opening: Opening, now: &Now, desk: &mut Desk<'_>) {
        let Opening { key, task, changed, says, .. } = opening;
        if let Some(at) = household::due(&task, &now.policy, self.site.clock) {
            // What could not be done is not asked for again at once.
            self.due.at(&key, at.0.max(desk.now + 1));
        }
        if says {
            desk.speak_of(&key);
        }
        if !changed {
            return;
        }
        self.buffer.clear();
        self.codec.encode_into(&task, &mut self.buffer);
        desk.put(&key, bytes::Bytes::copy_from_slice(&self.buffer));
        if household::has_unsent(&task) {
            desk.await_delivery(&key, 0);
        }
    }

    /// After a take-over: what stands in the records as unsent is sent again, and all are judged again.
    fn judge_all(&mut self, keys: Vec<Arc<str>>, desk: &mut Desk<'_>) {
        let mut now = self.begin();
        for key in keys {
            let Some(mut opening) = self.open(&key, &mut now, desk) else { continue };
            self.say_unsent(&mut opening, &now, desk);
            self.apply_one(&mut opening, &Input::Tables, false, &now, desk);
            self.close(opening, &now, desk);
        }
    }

    /// Judges a portion of what is outstanding.
    fn judge_portion(&mut self, desk: &mut Desk<'_>) {
        let (mut now, mut seen, mut changed) = (self.begin(), 0, 0);
        while seen < PORTION_SEEN && changed < PORTION_CHANGED {
            let Some(key) = self.outstanding.next() else { break };
            seen += 1;
            if let Some(mut opening) = self.open(&key, &mut now, desk) {
                self.apply_one(&mut opening, &Input::Tables, false, &now, desk);
                changed += usize::from(opening.changed);
                self.close(opening, &now, desk);
            }
        }
        if changed > 0 {
            // No other before this one is done with: what comes in meanwhile goes first.
            self.outstanding.on_the_way = true;
            desk.await_delivery(PORTION_KEY, 0);
        }
    }

    fn say_unsent(&mut self, opening: &mut Opening, now: &Now, desk: &mut Desk<'_>) {
        let mut unsent = household::unsent(&mut opening.task, &now.policy, Millis(desk.now), self.site.clock);
        if household::has_unsent(&opening.task) {
            opening.says |= !unsent.decisions.is_empty();
            say(&mut self.out, &opening.key, &mut unsent, desk);
            desk.await_delivery(&opening.key, 0);
        }
    }

    /// Answers whether the record was dealt with; else it comes again when the tables are caught up.
    fn unreadable(&mut self, topic: &str, record: &Record, error: &CodecError, desk: &mut Desk<'_>) -> bool {
        if self.site.ask_for_schema(error, &mut self.asked_schemas) {
            desk.wait_for_tables();
            return false;
        }
        tracing::warn!(topic, partition = record.partition, offset = record.offset, %error, "a dead letter");
        metrics::counter!("oneknock_dead_letters_total", "topic" => topic.to_owned()).increment(1);
        desk.send(outgoing::dead_letter(topic, record, &error.to_string()));
        true
    }

    /// A declared grid that no table holds is looked for once in its newest state.
    fn knows_grid(&mut self, arrival: &Arrival, now: &Now, desk: &mut Desk<'_>) -> bool {
        let events::ArrivalMessage::Here(here) = &arrival.message else { return true };
        let Some(declared) = &here.declared else { return true };
        let known = now.grids.0.contains_key(declared.grid.as_str()) || !self.asked_grids.insert(declared.grid.clone());
        if !known {
            desk.wait_for_tables();
        }
        known
    }

    /// A registration at a household that no table holds yet, looked for once in its newest state.
    fn knows_entry(&mut self, key: &str, action: &Action, desk: &mut Desk<'_>) -> bool {
        let household = split_key(key).map(|(_, household)| household);
        let here = action.register.as_ref().is_some_and(|register| household == Some(&*register.household));
        let known = !here || self.site.entry(key).is_some() || !self.asked_entries.insert(action.action_id.clone());
        if !known {
            desk.wait_for_tables();
        }
        known
    }

    /// One record, for the household at hand or for another one. Answers whether it was dealt with.
    fn input(&mut self, topic: &str, record: &Record, at_hand: &mut Option<Opening>, now: &mut Now, desk: &mut Desk<'_>) -> bool {
        let Ok(key) = std::str::from_utf8(&record.key) else {
            desk.send(outgoing::dead_letter(topic, record, "the key is no text"));
            return true;
        };
        if let Some(done) = at_hand.take_if(|opening| *opening.key != *key) {
            self.close(done, now, desk);
        }
        let value = record.value.as_deref().unwrap_or_default();
        if topic == ACTIONS {
            match self.codec.decode::<Action>(value) {
                Ok(action) if !self.knows_entry(key, &action, desk) => return false,
                Ok(action) => return self.apply_at(key, &Input::Action(&action), at_hand, now, desk),
                Err(error) => return self.unreadable(topic, record, &error, desk),
            }
        }
        match self.codec.decode::<Arrival>(value) {
            Ok(arrival) if !self.knows_grid(&arrival, now, desk) => false,
            Ok(arrival) => self.apply_at(key, &Input::Arrival(&arrival), at_hand, now, desk),
            Err(error) => self.unreadable(topic, record, &error, desk),
        }
    }

    fn apply_at(&mut self, key: &str, input: &Input<'_>, at_hand: &mut Option<Opening>, now: &mut Now, desk: &mut Desk<'_>) -> bool {
        if at_hand.is_none() {
            *at_hand = self.open(key, now, desk);
        }
        at_hand.as_mut().is_none_or(|opening| self.apply_to(opening, input, now, desk))
    }
}

fn say(out: &mut Outgoing, key: &str, effects: &mut Effects, desk: &mut Desk<'_>) {
    let Some((mandate, household)) = split_key(key) else { return };
    for (token, link) in &effects.links {
        desk.send(out.link(*token, household, link.as_ref()));
    }
    for decision in &effects.decisions {
        desk.send(out.decision(decision));
    }
    let left = effects.left.drain(..).map(|(traveller, left)| (traveller, ReturnMessage::Left(left)));
    let covered = effects.covered.drain(..).map(|(traveller, covered)| (traveller, ReturnMessage::Covered(covered)));
    for (traveller, message) in left.chain(covered) {
        desk.send(out.returned(mandate, &traveller, &Return { message }));
    }
}

impl Logic for Households {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        let keys = desk.keys().cloned().collect();
        self.judge_all(keys, desk);
    }

    /// An arrival is as old as the event that it comes from.
    fn since(&self, topic: &str, record: &Record) -> i64 {
        if topic != ARRIVALS {
            return i64::MAX;
        }
        match self.codec.decode::<Arrival>(record.value.as_deref().unwrap_or_default()).map(|arrival| arrival.message) {
            Ok(ArrivalMessage::Here(Here { signals, .. })) => signals.first().map_or(record.timestamp, |first| first.appended_at.0),
            _ => record.timestamp,
        }
    }

    fn apply(&mut self, topic: &str, records: &mut dyn Iterator<Item = &Record>, desk: &mut Desk<'_>) -> usize {
        let (mut now, mut at_hand) = (self.begin(), None);
        let dealt_with = |record: &&Record| self.input(topic, record, &mut at_hand, &mut now, desk);
        let taken = records.take_while(dealt_with).count();
        if let Some(done) = at_hand {
            self.close(done, &now, desk);
        }
        metrics::counter!("oneknock_router_inputs_total", "topic" => topic.to_owned()).increment(taken as u64);
        taken
    }

    /// An entry concerns its household; policy, mandates and grids concern all that were judged by an older one, also those that an
    /// earlier change concerned and that were not looked at yet.
    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        if topic == HOUSEHOLDS {
            let concerned = keys.iter().filter(|key| desk.get(key).is_some()).map(|key| Arc::from(key.as_str()));
            self.outstanding.concern_also(concerned);
        } else {
            self.outstanding.concern(desk.keys().cloned());
        }
        self.judge_portion(desk);
    }

    fn tick(&mut self, desk: &mut Desk<'_>) {
        if self.outstanding.may_begin() {
            self.judge_portion(desk);
        }
    }

    fn time(&mut self, desk: &mut Desk<'_>) {
        let due: Vec<Arc<str>> = std::iter::from_fn(|| self.due.next(desk.now)).take(TIME_MAX).collect();
        if due.is_empty() {
            return;
        }
        let mut now = self.begin();
        for key in due {
            if let Some(mut opening) = self.open(&key, &mut now, desk) {
                self.apply_to(&mut opening, &Input::Time, &now, desk);
                self.close(opening, &now, desk);
            }
        }
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        self.codec = self.site.codec();
        for (key, _) in keys {
            if &*key == PORTION_KEY {
                self.outstanding.on_the_way = false;
                continue;
            }
            // Something later of this household is on its way: that one's delivery empties the record.
            if desk.is_in_flight(&key) {
                continue;
            }
            if let Some(mut task) = self.load(&key, desk)
                && household::acknowledged(&mut task)
            {
                // What was unsent is not forgotten before.
                if let Some(at) = household::due(&task, &self.site.policy(), self.site.clock) {
                    self.due.at(&key, at.0.max(desk.now + 1));
                }
                desk.put(&key, self.codec.encode(&task));
            }
        }
    }
}
