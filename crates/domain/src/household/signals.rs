//! Which signals are live, from when they count, how many are kept. Nothing here is a status: it follows from covers, episodes and times.

use super::actions::is_screening;
use super::{Household, Shown};
use crate::limits::{EVIDENCE_MAX, PUSHED_OUT_MAX, SIGNALS_MAX};
use crate::policy;
use events::time::{DAY_MS, china_day};
use events::{Code, Direction, Evidence, Level, Millis, Outcome, PushedOut, Signal, SourceKind, Stay, TaskState};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// Where a signal stands in the record: stay and place in it.
pub(super) type At = (usize, usize);

/// First 8 bytes of an event's id: what is left of one that was pushed out.
pub(super) fn event_digest(signal: &Signal) -> i64 {
    let id = signal.event_id.0;
    i64::from_be_bytes([id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]])
}

fn evidence_of(signal: &Signal) -> Evidence {
    Evidence {
        event_id: signal.event_id.into(),
        kind: signal.kind,
        observed_at: signal.observed_at,
        origin_division: signal.origin_division.clone(),
    }
}

pub(super) fn is_here(stay: &Stay) -> bool {
    stay.left_at.is_none()
}

impl Household<'_> {
    /// Every signal of the travellers who are here, in the order in which they came.
    pub(super) fn here(&self) -> Vec<At> {
        let mut all: Vec<(Millis, At)> = Vec::new();
        for (stay_at, stay) in self.task.stays.iter().enumerate().filter(|(_, stay)| is_here(stay)) {
            all.extend(stay.signals.iter().enumerate().map(|(at, signal)| (signal.taken_at, (stay_at, at))));
        }
        all.sort_by_key(|(taken_at, _)| *taken_at);
        all.into_iter().map(|(_, at)| at).collect()
    }

    /// The same of those signals alone that a question is about, as a rule few.
    pub(super) fn here_where(&self, asked: impl Fn(&Signal) -> bool) -> Vec<At> {
        let mut found = Vec::new();
        for (stay_at, stay) in self.task.stays.iter().enumerate().filter(|(_, stay)| is_here(stay)) {
            found.extend(stay.signals.iter().enumerate().filter(|(_, signal)| asked(signal)).map(|(at, _)| (stay_at, at)));
        }
        found.sort_by_key(|at| self.signal(*at).taken_at);
        found
    }

    pub(super) fn signal(&self, (stay, at): At) -> &Signal {
        &self.task.stays[stay].signals[at]
    }

    /// A screening of the household or of the traveller answers it, by its own time of observation, also before the screening.
    pub(super) fn is_answered(&self, at: At) -> bool {
        self.answers(&self.task.stays[at.0], self.signal(at))
    }

    fn answers(&self, stay: &Stay, signal: &Signal) -> bool {
        if self.task.covers.is_empty() && stay.covers.is_empty() {
            return false;
        }
        let level = policy::signal_level(self.context.policy, signal).unwrap_or(Level::Low);
        let rises = |cover: Level| self.context.policy.rescreen_when_risk_rises && level > cover;
        let mut covers = self.task.covers.iter().chain(&stay.covers);
        covers.any(|cover| signal.observed_at < cover.until && !rises(cover.level))
    }

    /// Observed before the end of the last episode, if nobody came in time, or they had moved away and the registry says nothing new.
    pub(super) fn is_over(&self, observed_at: Millis) -> bool {
        self.over_before().is_some_and(|end| observed_at < end)
    }

    fn over_before(&self) -> Option<Millis> {
        let moved_away = self.task.standing.as_ref().is_some_and(|standing| standing.outcome == Outcome::MovedAway);
        let ended = |state: TaskState, outcome: Option<Outcome>| {
            state == TaskState::Expired || state == TaskState::Done && outcome == Some(Outcome::MovedAway) && moved_away
        };
        let task = &self.task;
        match task.state {
            TaskState::Open | TaskState::Claimed | TaskState::Waiting => {
                task.before.as_ref().filter(|before| ended(before.state, before.outcome)).map(|before| before.end)
            }
            state => task.end.filter(|_| ended(state, task.outcome)),
        }
    }

    /// It may be evidence: neither answered nor over, and it was in time.
    pub(super) fn is_live(&self, at: At) -> bool {
        self.lives(&self.task.stays[at.0], self.signal(at), self.over_before())
    }

    fn lives(&self, stay: &Stay, signal: &Signal, over_before: Option<Millis>) -> bool {
        let counts = !signal.screened && signal.direction == Direction::In && signal.late != Some(true);
        let is_over = over_before.is_some_and(|end| signal.observed_at < end);
        counts && !is_over && !self.answers(stay, signal) && !self.was_screened_for(signal)
    }

    /// The visit that stood on it ended with a screening: however high the risk rises later, nobody is asked again for it here.
    fn was_screened_for(&self, signal: &Signal) -> bool {
        let task = &self.task;
        let of_visit = signal.episode > 0 && matches!(signal.code, Some(Code::Opened | Code::Joined));
        of_visit
            && match &task.before {
                _ if signal.episode == task.episode => task.screened_at.is_some(),
                Some(before) if signal.episode == before.episode => is_screening(before.outcome),
                _ => true,
            }
    }

    /// The open task stands on it.
    pub(super) fn is_evidence(&self, at: At) -> bool {
        self.is_of_visit(self.signal(at)) && self.is_live(at)
    }

    /// It was said to be of the newest episode.
    fn is_of_visit(&self, signal: &Signal) -> bool {
        signal.episode == self.task.episode && matches!(signal.code, Some(Code::Opened | Code::Joined))
    }

    /// Younger than the window, by now.
    pub(super) fn is_young(&self, at: At) -> bool {
        self.signal(at).observed_at.0 + self.window_ms() > self.now().0
    }

    pub(super) fn window_ms(&self) -> i64 {
        i64::from(self.context.policy.window_days) * DAY_MS
    }

    /// Weak, and alone: no live signal of another kind beside it, none of its own kind on another day.
    pub(super) fn is_alone(&self, at: At) -> bool {
        let signal = self.signal(at);
        if !policy::is_weak(self.context.policy, signal.kind) {
            return false;
        }
        let window = self.window_ms();
        let supports = |other: &At| {
            let beside = self.signal(*other);
            let near = (beside.observed_at.0 - signal.observed_at.0).abs() < window;
            near && *other != at
                && (beside.kind != signal.kind || china_day(beside.observed_at) != china_day(signal.observed_at))
                && self.is_live(*other)
        };
        !self.here().iter().any(supports)
    }

    /// The earliest time at which these count: the first strong one, or the first weak one of another kind or day than a weak one
    /// before it. By the set, never by the order in which they came.
    pub(super) fn start_of<'s>(&'s self, set: impl Iterator<Item = &'s Signal>) -> Option<Millis> {
        let (mut strong, mut weak) = (None::<Millis>, Vec::new());
        for signal in set {
            if policy::is_weak(self.context.policy, signal.kind) {
                weak.push((signal.observed_at, signal.kind));
            } else if strong.is_none_or(|first| signal.observed_at < first) {
                strong = Some(signal.observed_at);
            }
        }
        weak.sort_by_key(|(observed_at, _)| *observed_at);
        let counts = |&at: &usize| {
            let differs = |before: &(Millis, SourceKind)| before.1 != weak[at].1 || china_day(before.0) != china_day(weak[at].0);
            weak[..at].iter().any(differs)
        };
        let weak = (0..weak.len()).find(counts).map(|at| weak[at].0);
        strong.into_iter().chain(weak).min()
    }

    /// What the open task stands on, in the order in which it came.
    pub(super) fn evidence(&self) -> Vec<At> {
        let mut all: Vec<(At, &Signal)> = self.all_evidence().collect();
        all.sort_by_key(|(_, signal)| signal.taken_at);
        all.into_iter().map(|(at, _)| at).collect()
    }

    /// The same, in no order.
    pub(super) fn all_evidence(&self) -> impl Iterator<Item = (At, &Signal)> {
        let over_before = self.over_before();
        let here = self.task.stays.iter().enumerate().filter(|(_, stay)| is_here(stay));
        let all = here.flat_map(|(stay_at, stay)| stay.signals.iter().enumerate().map(move |(at, signal)| ((stay_at, at), stay, signal)));
        let evidence = all.filter(move |(_, stay, signal)| self.is_of_visit(signal) && self.lives(stay, signal, over_before));
        evidence.map(|(at, _, signal)| (at, signal))
    }

    /// The newest evidence into the record, and its priority.
    pub(super) fn show_evidence(&mut self) {
        let one_more = match self.shown {
            Shown::AsItWas => return,
            Shown::OneMore(at) => self.shows_all_but_one() && self.show_one_more(at),
            Shown::Anew => false,
        };
        if !one_more {
            let (priority, evidence) = self.newest_evidence();
            let mut shown = std::mem::take(&mut self.task.evidence);
            shown.clear();
            shown.extend(evidence.iter().map(|at| evidence_of(self.signal(*at))));
            self.task.evidence = shown;
            self.set_priority(priority);
        }
        debug_assert!(self.shows_all(), "{:?} {:?}", self.shown, self.task);
    }

    /// The highest level of all evidence, and where the newest stands, newest first.
    fn newest_evidence(&self) -> (Level, SmallVec<[At; EVIDENCE_MAX]>) {
        let (mut priority, mut evidence) = (Level::Low, SmallVec::<[_; 2 * EVIDENCE_MAX]>::new());
        self.all_evidence().for_each(|(at, signal)| {
            priority = priority.max(policy::signal_level(self.context.policy, signal).unwrap_or(Level::Low));
            evidence.push(Reverse((signal.observed_at, signal.taken_at, at)));
        });
        if evidence.len() > EVIDENCE_MAX {
            evidence.select_nth_unstable(EVIDENCE_MAX);
            evidence.truncate(EVIDENCE_MAX);
        }
        evidence.sort_unstable();
        (priority, evidence.into_iter().map(|Reverse((.., at))| at).collect())
    }

    /// What is shown can be added to: it was judged by this policy, and nothing of it was pushed out.
    fn shows_all_but_one(&self) -> bool {
        self.current && self.task.stays.iter().all(|stay| stay.pushed_out.is_empty())
    }

    /// Priority and evidence are those of the signals.
    pub(super) fn shows_all(&self) -> bool {
        let (priority, evidence) = self.newest_evidence();
        self.task.priority == priority
            && self.task.evidence.iter().eq(evidence.iter().map(|at| evidence_of(self.signal(*at))).collect::<Vec<_>>().iter())
    }

    /// The same where one more has joined what is shown. False: its place among those of the same moment cannot be told from that.
    fn show_one_more(&mut self, at: At) -> bool {
        let signal = self.signal(at);
        let shown = &self.task.evidence;
        let place = shown.iter().position(|other| other.observed_at <= signal.observed_at).unwrap_or(shown.len());
        if shown.get(place).is_some_and(|other| other.observed_at == signal.observed_at) {
            return false;
        }
        let level = policy::signal_level(self.context.policy, signal).unwrap_or(Level::Low);
        if place < EVIDENCE_MAX {
            let evidence = evidence_of(signal);
            self.task.evidence.truncate(EVIDENCE_MAX - 1);
            self.task.evidence.insert(place, evidence);
        }
        self.set_priority(self.task.priority.max(level));
        true
    }

    /// The highest level of the evidence; due earlier, never later.
    fn set_priority(&mut self, priority: Level) {
        if priority != self.task.priority {
            let due_at = Millis(self.now().0 + policy::due_hours(self.context.policy, priority) * events::time::HOUR_MS);
            self.task.due_at = self.task.due_at.map(|due| due.min(due_at)).or(Some(due_at));
            self.task.priority = priority;
        }
    }

    /// Keeps of a stay the first signal and the newest 7, of the household the newest 128 digests. Only what was said and acknowledged
    /// goes: a repeat must find the code that stands.
    pub(super) fn push_out(&mut self, stay_at: usize) {
        if !self.context.settled {
            return;
        }
        let stay = &mut self.task.stays[stay_at];
        while stay.signals.len() > SIGNALS_MAX - 1 {
            let Some(at) = (1..stay.signals.len()).find(|&at| stay.signals[at].code.is_some()) else { break };
            let signal = stay.signals.remove(at);
            if let Some(code) = signal.code {
                stay.pushed_out.push(PushedOut { event: event_digest(&signal), code });
            }
        }
        let mut total: usize = self.task.stays.iter().map(|stay| stay.pushed_out.len()).sum();
        while total > PUSHED_OUT_MAX {
            let largest = self.task.stays.iter_mut().max_by_key(|stay| stay.pushed_out.len());
            if let Some(stay) = largest {
                stay.pushed_out.remove(0);
            }
            total -= 1;
        }
    }
}
