//! What keepers say: a traveller is here with its signals, or must be let go.

use super::Household;
use super::judge::usual_reason;
use super::signals::{event_digest, is_here};
use crate::traveller::add_cover;
use events::{Arrival, ArrivalMessage, Code, Here, Left, Millis, PushedOut, Signal, Stay, Task, TravellerId};

/// Off only in a null control.
const DEDUPES: bool = !cfg!(feature = "no-dedupe");

/// What a keeper says of this version is out of date: the household has a later one, or has let go of this one.
fn is_past(stay: &Stay, version: i64) -> bool {
    version < stay.version || version == stay.version && !is_here(stay)
}

/// Whether this lets go of a traveller who is here: not where it is repeated, late, or of somebody unknown.
pub fn lets_go(task: &Task, arrival: &Arrival) -> bool {
    let leaves = |stay: &Stay| stay.traveller == arrival.traveller && is_here(stay) && !is_past(stay, arrival.version);
    matches!(arrival.message, ArrivalMessage::Release(_)) && task.stays.iter().any(leaves)
}

impl Household<'_> {
    pub(super) fn arrival(&mut self, arrival: &Arrival) {
        let found = self.task.stays.iter().position(|stay| stay.traveller == arrival.traveller);
        match &arrival.message {
            ArrivalMessage::Here(here) => self.here_is(found, arrival, here),
            ArrivalMessage::Release(_) => self.release(found, arrival),
        }
    }

    /// Of a version lower than it has, or that it has let go: nothing. Else the traveller is here, signals and covers merged.
    fn here_is(&mut self, found: Option<usize>, arrival: &Arrival, here: &Here) {
        if found.is_some_and(|at| is_past(&self.task.stays[at], arrival.version)) {
            return;
        }
        let stay_at = found.unwrap_or_else(|| {
            self.task.stays.push(new_stay(arrival.traveller, arrival.version));
            self.task.stays.len() - 1
        });
        let stay = &mut self.task.stays[stay_at];
        if found.is_none() || arrival.version > stay.version {
            let unsent = stay.unsent.take();
            // A screening that was on its way to the keeper is here already.
            let covers = if is_here(stay) { vec![] } else { std::mem::take(&mut stay.covers) };
            *stay = Stay { unsent, covers, ..new_stay(arrival.traveller, arrival.version) };
            self.out.changed = true;
        }
        let declares_anew = stay.declared.is_none() && here.declared.is_some();
        if declares_anew {
            stay.declared = here.declared.clone();
            self.out.changed = true;
        }
        for pushed in &here.pushed_out {
            if !stay.pushed_out.contains(pushed) {
                stay.pushed_out.push(pushed.clone());
                self.out.changed = true;
            }
        }
        let covered = here.covers.iter().filter(|cover| add_cover(&mut stay.covers, cover)).count() > 0;
        self.out.changed |= covered;
        if declares_anew {
            self.declared_anew(stay_at);
        }
        for signal in &here.signals {
            self.take(stay_at, signal);
        }
        if covered {
            self.judge_open_task_again();
            self.judge_waiting_again();
        } else if here.signals.is_empty() {
            // A screening that is known: what it changed may not have been told.
            self.say_all_again();
        }
    }

    /// One signal. A repeat changes nothing.
    fn take(&mut self, stay_at: usize, signal: &Signal) {
        if DEDUPES && self.is_repeat(stay_at, signal) {
            return;
        }
        self.task.observed_until = self.task.observed_until.max(signal.observed_at);
        self.expire_if_over();
        self.out.changed = true;
        let fresh = signal.code.is_none();
        if fresh && !self.mandate_allows(signal) {
            return self.keep_digest(stay_at, signal, Code::MandateEnded, usual_reason(Code::MandateEnded));
        }
        let same_passage = |other: &Signal| other.digest == signal.digest && DEDUPES;
        if fresh && self.task.stays.iter().filter(|stay| is_here(stay)).flat_map(|stay| &stay.signals).any(same_passage) {
            return self.keep_digest(stay_at, signal, Code::Duplicate, usual_reason(Code::Duplicate));
        }
        let late = signal.late.unwrap_or_else(|| self.is_late(signal));
        self.push_out(stay_at);
        let (now, came_along) = (self.now(), !fresh && self.is_open());
        let stay = &mut self.task.stays[stay_at];
        stay.first_taken_at = stay.first_taken_at.or(Some(now));
        // At a new place the count begins anew: the traveller's version stands before it.
        stay.signals.push(Signal { late: Some(late), taken_at: now, came_along, episode: 0, count: -1, ..signal.clone() });
        let at = (stay_at, self.task.stays[stay_at].signals.len() - 1);
        self.choose_grid();
        if self.is_out_of_area() {
            self.judge_open_task_again();
        }
        // What a screening answered, and what is too old to be live, keeps its code wherever it goes: nothing is said of it here.
        if fresh || !signal.screened && signal.late != Some(true) && self.is_young(at) {
            self.judge_and_say(at);
        }
        self.judge_waiting_again();
    }

    /// Row 1. What was said of it is said again, also of the others that it may have changed. A signal is pushed out only when what was
    /// said of it is acknowledged; what never became one may not have been said.
    fn is_repeat(&mut self, stay_at: usize, signal: &Signal) -> bool {
        let stay = &self.task.stays[stay_at];
        if stay.signals.iter().any(|other| other.event_id == signal.event_id) {
            self.say_all_again();
            return true;
        }
        let digest = event_digest(signal);
        let Some(pushed) = stay.pushed_out.iter().find(|pushed| pushed.event == digest) else { return false };
        if matches!(pushed.code, Code::MandateEnded | Code::Duplicate) {
            let decision = self.decision(stay, signal.event_id.into(), (pushed.code, 0, 0), usual_reason(pushed.code));
            self.out.decisions.push(decision);
        }
        true
    }

    /// It will never count: what is left of it is enough to answer a repeat.
    fn keep_digest(&mut self, stay_at: usize, signal: &Signal, code: Code, reason: &'static str) {
        let decision = self.decision(&self.task.stays[stay_at], signal.event_id.into(), (code, 0, 0), reason);
        self.out.decisions.push(decision);
        self.task.stays[stay_at].pushed_out.push(PushedOut { event: event_digest(signal), code });
        self.push_out(stay_at);
    }

    /// Of a version lower than it has, or let go: nothing, but that what it changed for the others is said again. Else, also where the
    /// traveller is unknown, it is let go.
    fn release(&mut self, found: Option<usize>, arrival: &Arrival) {
        if found.is_some_and(|at| is_past(&self.task.stays[at], arrival.version)) {
            return self.say_all_again();
        }
        let now = self.now();
        let stay_at = found.unwrap_or_else(|| {
            self.task.stays.push(new_stay(arrival.traveller, arrival.version));
            self.task.stays.len() - 1
        });
        let stay = &mut self.task.stays[stay_at];
        let left = Left {
            version: arrival.version,
            signals: std::mem::take(&mut stay.signals),
            pushed_out: std::mem::take(&mut stay.pushed_out),
            covers: std::mem::take(&mut stay.covers),
        };
        stay.version = arrival.version;
        stay.left_at = Some(now);
        stay.unsent = Some(left.clone());
        self.out.changed = true;
        if !left.signals.is_empty() {
            // Whose signals made that episode has gone: the registry has said something new.
            self.lift();
        }
        self.out.left.push((arrival.traveller, left));
        self.choose_grid();
        self.judge_open_task_again();
        self.judge_waiting_again();
    }
}

fn new_stay(traveller: TravellerId, version: i64) -> Stay {
    Stay {
        traveller,
        version,
        left_at: None,
        first_taken_at: None::<Millis>,
        declared: None,
        signals: vec![],
        pushed_out: vec![],
        covers: vec![],
        unsent: None,
    }
}
