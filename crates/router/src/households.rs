//! The loop that routes: arrivals and workers' actions become one task per household. The rules are `domain::household`'s; here they
//! meet records, tables and the owner's desk.

use crate::outgoing;
use crate::site::{Site, Snapshot};
use domain::household::{self, Context, Effects, Entry, Input};
use domain::limits::{BATCH_SIGNALS_MAX, SIGNALS_MAX};
use eventlog::Record;
use eventlog::owner::{Desk, Logic};
use events::topics::{ACTIONS, ARRIVALS, HOUSEHOLDS, split_key};
use events::{Action, Arrival, CodecError, Mandate, Millis, Policy, Return, ReturnMessage, Task};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The topics that it reads.
pub const INPUTS: &[&str] = &[ARRIVALS, ACTIONS];

/// The households of one partition.
pub struct Households {
    site: Arc<Site>,
    asked_schemas: HashSet<u32>,
    asked_grids: HashSet<String>,
}

/// Tasks that a step has decoded and changed: encoded once, at its end.
#[derive(Default)]
struct Opened {
    tasks: HashMap<Arc<str>, Opening>,
    order: Vec<Arc<str>>,
}

struct Opening {
    task: Task,
    changed: bool,
    touched: bool,
}

/// The tables of one step: looked up once.
struct Now {
    policy: Arc<Policy>,
    grids: Snapshot,
    mandates: HashMap<String, Option<Arc<Mandate>>>,
}

impl Households {
    /// Of a partition that is about to be claimed.
    pub fn new(site: Arc<Site>) -> Households {
        Households { site, asked_schemas: HashSet::new(), asked_grids: HashSet::new() }
    }

    fn now(&self) -> Now {
        Now { policy: self.site.policy(), grids: Snapshot(self.site.grids()), mandates: HashMap::new() }
    }

    fn load(&self, key: &str, desk: &Desk<'_>) -> Option<Task> {
        let value = desk.get(key)?;
        let task = self.site.codec().decode::<Task>(value);
        task.inspect_err(|error| tracing::error!(%error, "a task's record cannot be read")).ok()
    }

    /// Applies one input to a household and sends what it says.
    fn apply_one(&self, key: &str, input: &Input<'_>, now: &mut Now, opened: &mut Opened, desk: &mut Desk<'_>) {
        let Some((mandate_id, household)) = split_key(key) else { return };
        if !opened.tasks.contains_key(key) {
            let task = self.load(key, desk).unwrap_or_else(|| household::new_task(mandate_id, household));
            let key: Arc<str> = Arc::from(key);
            opened.order.push(key.clone());
            opened.tasks.insert(key, Opening { task, changed: false, touched: false });
        }
        let Some(opening) = opened.tasks.get_mut(key) else { return };
        let entry = self.site.entry(key);
        if !now.mandates.contains_key(mandate_id) {
            now.mandates.insert(mandate_id.to_owned(), self.site.mandate(mandate_id));
        }
        let context = Context {
            now: Millis(desk.now),
            clock: self.site.clock,
            policy: &now.policy,
            mandate: now.mandates.get(mandate_id).and_then(Option::as_deref),
            entry: entry.as_ref().map(|(version, grid)| Entry { version: *version, grid }),
            grids: &now.grids,
            settled: !opening.touched && !desk.is_in_flight(key),
        };
        // What changed while nobody looked is judged first, so that no order of tables and inputs matters.
        let outdated = !matches!(input, Input::Tables) && opening.task.version > 0 && household::is_outdated(&opening.task, &context);
        if outdated {
            let effects = household::apply(&mut opening.task, &Input::Tables, &context);
            opening.changed |= effects.changed;
            self.say(key, effects, desk);
        }
        let effects = household::apply(&mut opening.task, input, &context);
        (opening.changed, opening.touched) = (opening.changed | effects.changed, true);
        self.say(key, effects, desk);
    }

    fn say(&self, key: &str, effects: Effects, desk: &mut Desk<'_>) {
        let Some((mandate, _)) = split_key(key) else { return };
        let (codec, partitions) = (self.site.codec(), self.site.partitions);
        for decision in &effects.decisions {
            desk.send(outgoing::decision(&codec, partitions, decision));
        }
        let left = effects.left.into_iter().map(|(traveller, left)| (traveller, ReturnMessage::Left(left)));
        let covered = effects.covered.into_iter().map(|(traveller, covered)| (traveller, ReturnMessage::Covered(covered)));
        for (traveller, message) in left.chain(covered) {
            desk.send(outgoing::returned(&codec, partitions, mandate, &traveller, &Return { message }));
        }
    }

    /// Encodes what changed; a record with something unsent is written again when that is acknowledged.
    fn close(&self, opened: Opened, desk: &mut Desk<'_>) {
        let codec = self.site.codec();
        for key in &opened.order {
            let Some(Opening { task, changed: true, .. }) = opened.tasks.get(key) else { continue };
            desk.put(key, codec.encode(task));
            if task.unsent_decisions || task.stays.iter().any(|stay| stay.unsent.is_some()) {
                desk.await_delivery(key, 0);
            }
        }
    }

    /// A household takes so many signals at once and no more, until what it said of them is acknowledged.
    fn is_full(&self, key: &str, opened: &Opened, desk: &Desk<'_>) -> bool {
        let over = |task: &Task| task.stays.iter().map(|stay| stay.signals.len().saturating_sub(SIGNALS_MAX)).sum::<usize>();
        let opening = opened.tasks.get(key);
        let in_flight = desk.is_in_flight(key) || opening.is_some_and(|opening| opening.touched);
        in_flight
            && opening.map_or_else(
                || self.load(key, desk).is_some_and(|task| over(&task) >= BATCH_SIGNALS_MAX),
                |opening| over(&opening.task) >= BATCH_SIGNALS_MAX,
            )
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
        let known = now.grids.0.contains_key(&declared.grid) || !self.asked_grids.insert(declared.grid.clone());
        if !known {
            desk.wait_for_tables();
        }
        known
    }

    /// One record. Answers whether it was dealt with.
    fn input(&mut self, topic: &str, record: &Record, now: &mut Now, opened: &mut Opened, desk: &mut Desk<'_>) -> bool {
        let Ok(key) = std::str::from_utf8(&record.key) else {
            desk.send(outgoing::dead_letter(topic, record, "the key is no text"));
            return true;
        };
        let value = record.value.as_deref().unwrap_or_default();
        let codec = self.site.codec();
        if topic == ACTIONS {
            match codec.decode::<Action>(value) {
                Ok(action) => self.apply_one(key, &Input::Action(&action), now, opened, desk),
                Err(error) => return self.unreadable(topic, record, &error, desk),
            }
            return true;
        }
        match codec.decode::<Arrival>(value) {
            Ok(arrival) => {
                if self.is_full(key, opened, desk) || !self.knows_grid(&arrival, now, desk) {
                    return false;
                }
                self.apply_one(key, &Input::Arrival(&arrival), now, opened, desk);
                true
            }
            Err(error) => self.unreadable(topic, record, &error, desk),
        }
    }
}

impl Logic for Households {
    fn take_over(&mut self, desk: &mut Desk<'_>) {
        let keys: Vec<Arc<str>> = desk.keys().cloned().collect();
        let (mut now, mut opened) = (self.now(), Opened::default());
        for key in keys {
            let Some(mut task) = self.load(&key, desk) else { continue };
            let unsent = {
                let context = Context {
                    now: Millis(desk.now),
                    clock: self.site.clock,
                    policy: &now.policy,
                    mandate: None,
                    entry: None,
                    grids: &now.grids,
                    settled: false,
                };
                household::unsent(&mut task, &context)
            };
            if !unsent.left.is_empty() || !unsent.decisions.is_empty() {
                self.say(&key, unsent, desk);
                desk.await_delivery(&key, 0);
            }
            self.apply_one(&key, &Input::Tables, &mut now, &mut opened, desk);
            // A city's households are not all decoded at once.
            if opened.order.len() >= 1024 {
                self.close(std::mem::take(&mut opened), desk);
            }
        }
        self.close(opened, desk);
    }

    fn apply(&mut self, topic: &str, records: &[Record], desk: &mut Desk<'_>) -> usize {
        let (mut now, mut opened) = (self.now(), Opened::default());
        let dealt_with = |record: &Record| self.input(topic, record, &mut now, &mut opened, desk);
        let taken = records.iter().map(dealt_with).take_while(|done| *done).count();
        self.close(opened, desk);
        metrics::counter!("oneknock_router_inputs_total", "topic" => topic.to_owned()).increment(taken as u64);
        taken
    }

    /// An entry concerns its household; policy, mandates and grids concern all that were judged by an older one.
    fn changed(&mut self, topic: &str, keys: &[String], desk: &mut Desk<'_>) {
        let concerned: Vec<Arc<str>> = if topic == HOUSEHOLDS {
            keys.iter().filter(|key| desk.get(key).is_some()).map(|key| Arc::from(key.as_str())).collect()
        } else {
            desk.keys().cloned().collect()
        };
        let (mut now, mut opened) = (self.now(), Opened::default());
        for key in concerned {
            self.apply_one(&key, &Input::Tables, &mut now, &mut opened, desk);
            if opened.order.len() >= 1024 {
                self.close(std::mem::take(&mut opened), desk);
            }
        }
        self.close(opened, desk);
    }

    fn delivered(&mut self, keys: Vec<(Arc<str>, i64)>, desk: &mut Desk<'_>) {
        for (key, _) in keys {
            // Something later of this household is on its way: that one's delivery empties the record.
            if desk.is_in_flight(&key) {
                continue;
            }
            if let Some(mut task) = self.load(&key, desk)
                && household::acknowledged(&mut task)
            {
                desk.put(&key, self.site.codec().encode(&task));
            }
        }
    }
}
