//! What would be: both loops as they are, over a copy in memory, under any policy. Inputs are those of the log, in the order in which it
//! took them; the tables are as they stand now. Nothing is appended, and no position moves.

use crate::households::Households;
use crate::site::Site;
use crate::travellers::Travellers;
use eventlog::owner::{Alone, Did, Logic, States};
use eventlog::{Append, Record};
use events::topics::{ACTIONS, ARRIVALS, CHECKPOINT, HIGHWAY, POLICIES, POLICY_KEY, RETURNS, TELECOM};
use events::{Action, Codec, Task, Text};
use std::collections::VecDeque;
use std::sync::Arc;

/// The topics whose records are inputs from outside: agencies' and workers'.
pub const REPLAYED: [&str; 4] = [CHECKPOINT, HIGHWAY, TELECOM, ACTIONS];
/// Nobody asks for tables more often about one record.
const ASKED_MAX: usize = 4;

/// Both loops of a site, as if one process had all partitions.
pub struct Replay {
    site: Arc<Site>,
    travellers: Alone<Travellers>,
    households: Alone<Households>,
    now: i64,
}

/// Who is told of every state of a household: its key, and its task.
pub type Told<'a> = &'a mut dyn FnMut(&str, &Task);

impl Replay {
    /// From nothing, or from these states of households. `site` says which policy is in force.
    pub fn new(site: Arc<Site>, households: States) -> Replay {
        let travellers = Alone::new(Travellers::new(site.clone()), States::default());
        let households = Alone::new(Households::new(site.clone()), households);
        Replay { site, travellers, households, now: 0 }
    }

    /// A record of one of [`REPLAYED`], and all that comes of it.
    pub fn input(&mut self, topic: &'static str, record: &Record, told: Told<'_>) {
        self.until(record.timestamp, told);
        if topic != ACTIONS {
            return self.pass_on(topic, record.clone(), told);
        }
        if let Some(value) = self.action(record) {
            self.pass_on(topic, Record { value: Some(value.into()), ..record.clone() }, told);
        }
    }

    /// Time passes, to this moment of the log's time.
    pub fn until(&mut self, now: i64, told: Told<'_>) {
        self.now = self.now.max(now);
        loop {
            let did = self.households.step(self.now, |households, desk| {
                households.time(desk);
                households.tick(desk);
            });
            let done = did.written.is_empty() && did.messages.is_empty();
            self.follow(did, told);
            if done {
                return;
            }
        }
    }

    /// Its policy is another than the one that these households were judged by: all of them are judged again.
    pub fn policy_applied(&mut self, now: i64, told: Told<'_>) {
        self.now = self.now.max(now);
        let did = self.households.step(self.now, |households, desk| households.changed(POLICIES, &[POLICY_KEY.to_owned()], desk));
        self.follow(did, told);
        // A portion that changed nothing looks like the end: as many as there can be.
        for _ in 0..=self.households.states().len() / crate::households::PORTION_SEEN {
            self.until(now, told);
        }
    }

    fn codec(&self) -> Arc<Codec> {
        self.site.codec()
    }

    fn task(&self, key: &str) -> Option<Task> {
        self.codec().decode(self.households.states().get(key)?).ok()
    }

    /// An action is about the visit that there was; here it is about the one that was there in its place when it happened. None: nobody
    /// would have been asked, so nobody would have answered.
    fn action(&self, record: &Record) -> Option<Vec<u8>> {
        let mut action = self.codec().decode::<Action>(record.value.as_deref()?).ok()?;
        let task = self.task(std::str::from_utf8(&record.key).ok()?).filter(|task| task.episode > 0)?;
        let earlier = |happened| task.opened_at.is_some_and(|opened| happened < opened);
        let before = task.before.filter(|_| action.at.is_some_and(earlier));
        action.task_id = Text::new(before.map_or(task.task_id, |before| before.task_id));
        Some(self.codec().encode(&action))
    }

    fn record(&self, Append { partition, key, value, headers, .. }: Append) -> Record {
        Record { partition, offset: 0, timestamp: self.now, key, value, headers }
    }

    /// Records to their loops, and what these send, until nobody has anything to say.
    fn pass_on(&mut self, topic: &'static str, record: Record, told: Told<'_>) {
        let mut waiting = VecDeque::from([(topic, record)]);
        while let Some((topic, record)) = waiting.pop_front() {
            let did = match topic {
                ARRIVALS | ACTIONS => apply(&mut self.households, topic, &record, self.now),
                _ => apply(&mut self.travellers, topic, &record, self.now),
            };
            if matches!(topic, ARRIVALS | ACTIONS) {
                self.tell(&did.written, told);
            }
            waiting.extend(did.messages.into_iter().filter_map(|message| Some((topic_of(&message)?, self.record(message)))));
        }
    }

    fn tell(&self, households: &[Arc<str>], told: Told<'_>) {
        for key in households {
            if let Some(task) = self.task(key) {
                told(key, &task);
            }
        }
    }

    /// What households did by themselves, and what comes of it.
    fn follow(&mut self, did: Did, told: Told<'_>) {
        self.tell(&did.written, told);
        for message in did.messages {
            if let Some(topic) = topic_of(&message) {
                let record = self.record(message);
                self.pass_on(topic, record, told);
            }
        }
    }
}

/// A loop's own input; the rest is said to others.
fn topic_of(message: &Append) -> Option<&'static str> {
    [ARRIVALS, RETURNS].into_iter().find(|topic| *topic == message.topic)
}

fn apply<L: Logic>(alone: &mut Alone<L>, topic: &str, record: &Record, now: i64) -> Did {
    let mut all = Did::default();
    for _ in 0..ASKED_MAX {
        let mut taken = 0;
        let did = alone.step(now, |logic, desk| taken = logic.apply(topic, &mut std::iter::once(record), desk));
        all.written.extend(did.written);
        all.messages.extend(did.messages);
        // Otherwise it has asked for tables, and they are all at their ends.
        if taken > 0 {
            break;
        }
    }
    all
}
