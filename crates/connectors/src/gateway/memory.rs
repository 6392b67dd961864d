//! What the gateway remembers of 28 days: which events there are, and what became of them. A fold of the log, and what is under way.
//!
//! It helps senders (`duplicate`, `id_reused`, the state of an event); what guarantees is the event id. Lost with the process, and folded
//! again from the log. No personal data: ids here are keyed digests.

use domain::limits::OUTCOME_AGE_MAX_MS;
use events::{Code, Decision, EventId, Millis};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::sync::watch;

/// How long it remembers, in milliseconds.
pub const MEMORY_MS: i64 = OUTCOME_AGE_MAX_MS;

/// Stands for a source's own id under one mandate.
pub type SourceRef = [u8; 16];

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The highest counts.
    pub revision: i64,
    /// What became of it.
    pub code: Code,
    /// The router's now.
    pub at: Millis,
}

/// What is known of one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// When the log took it; `None` where only its decision was seen so far.
    pub appended_at: Option<i64>,
    /// The newest decision.
    pub decided: Option<Decided>,
    /// The newest time of append of anything that speaks of it.
    touched_at: i64,
}

/// Appends under way together. Whoever relied on them waits for how they end.
pub struct Flight {
    landed: watch::Sender<Option<bool>>,
}

impl Flight {
    fn new() -> Arc<Flight> {
        Arc::new(Flight { landed: watch::Sender::new(None) })
    }

    /// Whether everything in it became durable; waits until that is known.
    pub async fn is_durable(&self) -> bool {
        let mut landed = self.landed.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        landed.wait_for(Option::is_some).await.is_ok_and(|landed| *landed == Some(true))
    }
}

/// How a record stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To be appended.
    New,
    /// The same event is there, or on its way.
    Duplicate,
    /// The same id with other content is.
    IdReused,
}

/// A judged request: what to append is on its way from now on, until [`Memory::land`].
pub struct Judged {
    /// One for each record, in order.
    pub verdicts: Vec<Verdict>,
    /// Its own flight.
    pub flight: Arc<Flight>,
    /// Flights of others that the verdicts rest on.
    pub rests_on: Vec<Arc<Flight>>,
}

#[derive(Default)]
struct State {
    fates: HashMap<EventId, Fate>,
    /// The newest event of each reference.
    newest: HashMap<SourceRef, EventId>,
    under_way: HashMap<SourceRef, (EventId, Arc<Flight>)>,
}

/// The memory, shared by requests and the loop that follows the log.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

impl Memory {
    /// Judges all records of a request at once; those that are new count as under way.
    pub fn judge(&self, records: &[(SourceRef, EventId)]) -> Judged {
        let flight = Flight::new();
        let mut rests_on: Vec<Arc<Flight>> = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut judge = |&(source_ref, event_id): &(SourceRef, EventId)| {
            if state.fates.get(&event_id).is_some_and(|fate| fate.appended_at.is_some()) {
                return Verdict::Duplicate;
            }
            if let Some(newest) = state.newest.get(&source_ref).filter(|&&newest| newest != event_id) {
                tracing::debug!(event = %newest, "an id came again with other content");
                return Verdict::IdReused;
            }
            match state.under_way.entry(source_ref) {
                Entry::Vacant(free) => {
                    free.insert((event_id, Arc::clone(&flight)));
                    Verdict::New
                }
                Entry::Occupied(taken) => {
                    let (under_way, other) = taken.get();
                    if !Arc::ptr_eq(other, &flight) && !rests_on.iter().any(|known| Arc::ptr_eq(known, other)) {
                        rests_on.push(Arc::clone(other));
                    }
                    if *under_way == event_id { Verdict::Duplicate } else { Verdict::IdReused }
                }
            }
        };
        let verdicts = records.iter().map(&mut judge).collect();
        Judged { verdicts, flight, rests_on }
    }

    /// Ends a flight. `at` is when its records became durable; `None` where that is unknown or not so.
    pub fn land(&self, flight: &Arc<Flight>, records: &[(SourceRef, EventId)], at: Option<i64>) {
        let mut state = self.state.lock();
        for (source_ref, event_id) in records {
            if state.under_way.get(source_ref).is_some_and(|(_, other)| Arc::ptr_eq(other, flight)) {
                state.under_way.remove(source_ref);
            }
            if let Some(at) = at {
                state.took(*source_ref, *event_id, at);
            }
        }
        drop(state);
        flight.landed.send_replace(Some(at.is_some()));
    }

    /// An event was read from the log.
    pub fn event(&self, source_ref: SourceRef, event_id: EventId, appended_at: i64) {
        self.state.lock().took(source_ref, event_id, appended_at);
    }

    /// A decision was read from the log.
    pub fn decision(&self, decision: &Decision, appended_at: i64) {
        let decided = Decided { revision: decision.revision, code: decision.code, at: decision.at };
        let mut state = self.state.lock();
        let fate = state.fates.entry(decision.event_id).or_default();
        fate.touched_at = fate.touched_at.max(appended_at);
        if fate.decided.is_none_or(|before| before.revision <= decided.revision) {
            fate.decided = Some(decided);
        }
    }

    /// The newest event among these references, and what is known of it; `None` where all are unknown or too old.
    pub fn newest(&self, references: &[SourceRef], now: Millis) -> Option<(EventId, Fate)> {
        let state = self.state.lock();
        let known = references.iter().filter_map(|reference| state.newest.get(reference)).filter_map(|event_id| {
            let fate = state.fates.get(event_id)?;
            fate.appended_at.filter(|at| *at > now.0 - MEMORY_MS).map(|at| (at, *event_id, *fate))
        });
        known.max_by_key(|(at, ..)| *at).map(|(_, event_id, fate)| (event_id, fate))
    }

    /// Forgets what is older than it remembers.
    pub fn forget(&self, now: Millis) {
        let mut state = self.state.lock();
        let State { fates, newest, .. } = &mut *state;
        fates.retain(|_, fate| fate.touched_at > now.0 - MEMORY_MS);
        newest.retain(|_, event_id| fates.contains_key(event_id));
    }
}

impl State {
    fn took(&mut self, source_ref: SourceRef, event_id: EventId, appended_at: i64) {
        let before = self.newest.get(&source_ref).and_then(|newest| self.fates.get(newest)).and_then(|fate| fate.appended_at);
        if before.is_none_or(|before| before <= appended_at) {
            self.newest.insert(source_ref, event_id);
        }
        let fate = self.fates.entry(event_id).or_default();
        // Of a repeated event the first append counts.
        fate.appended_at = Some(fate.appended_at.map_or(appended_at, |before| before.min(appended_at)));
        fate.touched_at = fate.touched_at.max(appended_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: (SourceRef, EventId) = ([1; 16], EventId([11; 16]));
    const A_CHANGED: (SourceRef, EventId) = ([1; 16], EventId([12; 16]));
    const B: (SourceRef, EventId) = ([2; 16], EventId([21; 16]));
    const NOW: Millis = Millis(100 * events::time::DAY_MS);

    fn decision(event: EventId, revision: i64, code: Code) -> Decision {
        let (grid, task_id, at) = (None, None, Millis(5));
        Decision { event_id: event, mandate: "m".into(), code, revision, reason: "".into(), grid, task_id, policy: 0, at }
    }

    #[test]
    fn within_one_request_the_first_counts() {
        let judged = Memory::default().judge(&[A, A, A_CHANGED, B]);
        assert_eq!(judged.verdicts, [Verdict::New, Verdict::Duplicate, Verdict::IdReused, Verdict::New]);
        assert!(judged.rests_on.is_empty());
    }

    #[tokio::test]
    async fn a_repeat_of_what_is_under_way_rests_on_how_that_ends() {
        let memory = Memory::default();
        let first = memory.judge(&[A]);
        let second = memory.judge(&[A, A_CHANGED, B]);
        assert_eq!(second.verdicts, [Verdict::Duplicate, Verdict::IdReused, Verdict::New]);
        assert_eq!(second.rests_on.len(), 1);
        memory.land(&first.flight, &[A], None);
        assert!(!second.rests_on[0].is_durable().await);
        let third = memory.judge(&[A]);
        assert_eq!((third.verdicts, third.rests_on.len()), (vec![Verdict::New], 0));
        memory.land(&third.flight, &[A], Some(NOW.0));
        assert!(third.flight.is_durable().await);
        let fourth = memory.judge(&[A, A_CHANGED]);
        assert_eq!((fourth.verdicts, fourth.rests_on.len()), (vec![Verdict::Duplicate, Verdict::IdReused], 0));
    }

    #[test]
    fn the_highest_revision_counts_whatever_the_order_and_a_decision_may_come_first() {
        let memory = Memory::default();
        memory.decision(&decision(A.1, 2, Code::Joined), NOW.0);
        memory.decision(&decision(A.1, 1, Code::Held), NOW.0);
        assert!(memory.newest(&[A.0], NOW).is_none());
        memory.event(A.0, A.1, NOW.0);
        let (event, fate) = memory.newest(&[B.0, A.0], NOW).unwrap();
        assert_eq!((event, fate.decided.map(|decided| decided.code)), (A.1, Some(Code::Joined)));
    }

    #[test]
    fn of_a_reused_id_the_newest_event_is_known() {
        let memory = Memory::default();
        memory.event(A.0, A_CHANGED.1, NOW.0);
        memory.event(A.0, A.1, NOW.0 - 5);
        assert_eq!(memory.newest(&[A.0], NOW).map(|(event, _)| event), Some(A_CHANGED.1));
    }

    #[test]
    fn after_28_days_it_is_forgotten() {
        let memory = Memory::default();
        memory.event(A.0, A.1, NOW.0 - MEMORY_MS);
        memory.event(B.0, B.1, NOW.0 - MEMORY_MS + 1);
        assert!(memory.newest(&[A.0], NOW).is_none() && memory.newest(&[B.0], NOW).is_some());
        memory.forget(NOW);
        assert_eq!(memory.judge(&[A, B]).verdicts, [Verdict::New, Verdict::Duplicate]);
    }
}
