//! A logic without an owner, on a copy in memory: what it writes stands at once, what it sends is handed to whoever moves it, and all of
//! it counts as acknowledged. For asking what would be, and never for what is: nothing of it reaches a log.

use super::desk::{Desk, InFlight, Logic, States, Work};
use crate::Append;
use std::collections::HashSet;
use std::sync::Arc;

/// A logic and its states.
pub struct Alone<L> {
    logic: L,
    states: States,
    nothing: InFlight,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Did {
    /// Keys whose state it wrote, each once.
    pub written: Vec<Arc<str>>,
    /// What it sent, in order.
    pub messages: Vec<Append>,
    /// It asks for tables that are read to their end, and for its input again.
    pub wants_tables: bool,
}

impl<L: Logic> Alone<L> {
    /// Over these states.
    pub fn new(logic: L, states: States) -> Alone<L> {
        Alone { logic, states, nothing: InFlight::default() }
    }

    /// Its keys and states.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// One step at this time of the log, in milliseconds, and all that follows from its being acknowledged.
    pub fn step(&mut self, now: i64, work: impl FnOnce(&mut L, &mut Desk<'_>)) -> Did {
        let mut did = Did::default();
        let mut awaited = self.work(now, work, &mut did);
        while !awaited.is_empty() {
            awaited = self.work(now, |logic, desk| logic.delivered(awaited, desk), &mut did);
        }
        let mut once = HashSet::new();
        did.written.retain(|key| once.insert(key.clone()));
        did
    }

    fn work(&mut self, now: i64, work: impl FnOnce(&mut L, &mut Desk<'_>), did: &mut Did) -> Vec<(Arc<str>, i64)> {
        let mut desk = Desk::new(now, 0, &mut self.states, &self.nothing);
        work(&mut self.logic, &mut desk);
        // Here all is acknowledged at once: what is spoken of is never on its way.
        let Work { written, messages, awaited, wants_tables, spoken: _ } = desk.done();
        did.written.extend(written);
        did.messages.extend(messages);
        did.wants_tables |= wants_tables;
        awaited
    }
}
