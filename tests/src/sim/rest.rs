//! When everything comes to rest: nobody has anything left to do, and then judge, readers and owners must agree.

use super::life::{Kind, Life, Process};
use super::readers::{self, Inbox};
use super::topics::TRAVELLER_AND_HOUSEHOLD_INPUTS;
use super::world::World;
use eventlog::owner::Event;
use eventlog::simulated::Faults;
use events::topics::*;
use std::collections::BTreeMap;
use testkit::sim::script::{Finding, Seen};

/// What is said where it does not.
pub(super) const RESTLESS: &str = "the site does not come to rest";
/// Rounds in which everything comes to rest, or never will.
const ROUNDS_MAX: usize = 120;
/// And where it will not, how often it is tried again later: what is broken by that shows when the world goes on.
const STUCK_ROUNDS_MAX: usize = 12;

impl World<'_> {
    /// Everybody wakes up and does all there is to do. Answers whether all has come to rest.
    pub fn settle(&mut self) -> bool {
        self.core.faults = Faults { clean: 0.03, ..Faults::default() };
        self.core.let_through(None);
        for at in 0..self.processes.len() {
            self.wake(at);
        }
        for partition in 0..self.assigned.len() {
            let at = self.assigned[partition];
            if !self.processes[at].alive {
                self.revive(at);
            }
        }
        for round in 0..if self.stuck { STUCK_ROUNDS_MAX } else { ROUNDS_MAX } {
            // Ticks last: a position is written now and then for ever, and what came of it is read before anybody looks.
            for ticks in [true, false] {
                (0..self.processes.len()).for_each(|at| self.work_off(at, round, ticks));
            }
            self.catch_up(0);
            if self.at_rest() {
                return true;
            }
            self.core.advance(5000);
        }
        if std::mem::replace(&mut self.stuck, true) {
            return false;
        }
        let what = format!("{RESTLESS}: {}", self.restless());
        self.broken.push(Finding { law: 2, what });
        false
    }

    /// An inbox reads all there is; the first one's workers see what is new.
    fn catch_up(&mut self, inbox: usize) {
        let from = readers::From { core: &self.core, codec: &self.codec, witness: &self.witness };
        let new = self.inboxes[inbox].catch_up(&from);
        if inbox == 0 {
            self.show(new);
        }
    }

    fn work_off(&mut self, at: usize, round: usize, ticks: bool) {
        if !self.processes[at].alive {
            return;
        }
        // Whom the group has told by now lets go.
        let assigned = self.assigned.clone();
        let keeps = |life: &Life| !life.gone && (round < 8 || assigned[life.partition as usize] == at);
        self.processes[at].lives.retain(keeps);
        self.claim(at);
        self.quiet_core();
        let (now, mutant) = (self.now().0, self.mutant);
        self.processes[at].read_tables(&self.core, self.partitions, usize::MAX, mutant);
        for life in 0..self.processes[at].lives.len() {
            let inputs = self.processes[at].lives[life].kind.inputs().len();
            let process = &mut self.processes[at];
            while process.answer(life, 0, &mut self.core, mutant).is_some() {}
            process.read_own(life, usize::MAX, &mut self.core, mutant);
            process.tables_ready(life, &mut self.core, self.partitions, mutant);
            while process.tell_change(life, &mut self.core, mutant) {}
            for input in 0..inputs {
                process.read_input(life, input, usize::MAX, &mut self.core, mutant);
            }
            if ticks {
                process.tell(life, Event::Tick(now), &mut self.core, mutant);
            }
        }
        self.quiet_core();
    }

    fn is_done(&self, life: &Life) -> bool {
        let end = |topic: &str| self.core.offsets(topic, life.partition).map_or(0, |(_, end)| end);
        let positions = life.owner.positions();
        let passed = positions.iter().all(|at| at.offset >= end(&at.topic)) && !positions.is_empty();
        let quiet = life.owner.is_idle() && life.under_way.is_empty() && life.changes.is_empty() && !life.wants_tables && !life.gone;
        passed && quiet && life.tail == end(life.kind.topic())
    }

    fn at_rest(&self) -> bool {
        let lives = || self.processes.iter().flat_map(|process| &process.lives);
        lives().count() == 2 * self.partitions as usize && lives().all(|life| self.is_done(life))
    }

    fn restless(&self) -> String {
        let of = |(at, process): (usize, &Process)| {
            let lives = process.lives.iter().filter(|life| !self.is_done(life));
            let doing = |life: &Life| {
                let (kind, partition, positions) = (life.kind, life.partition, life.owner.positions());
                let end = |input: &&str| self.core.offsets(input, partition).map_or(0, |(_, end)| end);
                let ends: Vec<i64> = kind.inputs().iter().map(end).collect();
                let passed: Vec<i64> = positions.iter().map(|at| at.offset).collect();
                let (idle, under_way, changes) = (life.owner.is_idle(), life.under_way.len(), life.changes.len());
                let waits = format!("idle {idle}, {under_way} under way, {changes} changes, tables {}", life.wants_tables);
                format!("process {at} {kind:?} {partition}: {passed:?} of {ends:?}, read {:?}, {waits}", life.inputs)
            };
            lives.map(doing).collect::<Vec<_>>()
        };
        let lives: Vec<String> = self.processes.iter().enumerate().flat_map(of).collect();
        if lives.is_empty() { "somebody is missing".to_owned() } else { lives.join(", ") }
    }

    /// What compaction may take, it takes.
    pub fn compact_all(&mut self) {
        for partition in 0..self.partitions {
            for topic in [TASKS, TRAVELLERS] {
                let gone = self.core.compact(topic, partition).unwrap_or(0);
                self.say(|| format!("compaction takes {gone} records of {topic}/{partition}"));
            }
        }
    }

    fn newcomer(&mut self) -> BTreeMap<String, events::Task> {
        let mut newcomer = Inbox::new(self.partitions, false);
        newcomer.catch_up(&readers::From { core: &self.core, codec: &self.codec, witness: &self.witness });
        self.shows_wrong("a newcomer", &newcomer.wrong);
        newcomer.tasks
    }

    fn shows_wrong(&mut self, who: &str, wrong: &[String]) {
        let finding = |key: &String| Finding { law: 3, what: format!("{key}: {who} shows what no valid record says") };
        self.broken.extend(wrong.iter().map(finding));
    }

    /// All is quiet: the judge looks, every reader holds the same, whatever compaction has left, and nothing is kept for later.
    pub fn rest(&mut self) {
        let now = self.now();
        (self.seen)(&Seen::Rest(now));
        self.compact_all();
        for at in 0..self.inboxes.len() {
            self.catch_up(at);
            let wrong = std::mem::take(&mut self.inboxes[at].wrong);
            self.shows_wrong(&format!("inbox {at}"), &wrong);
            (self.seen)(&Seen::View(format!("inbox {at}"), self.inboxes[at].tasks.clone()));
        }
        let newcomer = self.newcomer();
        (self.seen)(&Seen::View("a newcomer".into(), newcomer));
        if self.stuck {
            return;
        }
        let mut found = Vec::new();
        for life in self.processes.iter().flat_map(|process| &process.lives) {
            let topic = life.kind.topic();
            let mut folded = readers::folded(&self.core, topic, life.partition, i64::MAX);
            folded.retain(|key, _| !key.starts_with(POSITION_PREFIX));
            if *life.owner.states() != folded {
                found.push((3, format!("the owner of {} holds something else than the topic", life.name())));
            }
            let kept = life.owner.states().iter().filter(|(_, value)| self.keeps(life.kind, value));
            found.extend(kept.map(|(key, _)| (2, format!("{key}: something is unsent, although all is at rest"))));
        }
        for input in TRAVELLER_AND_HOUSEHOLD_INPUTS {
            let letters = (0..self.partitions).map(|at| self.core.offsets(&dead_letters("router", input), at).map_or(0, |(_, end)| end));
            if letters.sum::<i64>() > 0 {
                found.push((2, format!("{input} has dead letters")));
            }
        }
        self.broken.extend(found.into_iter().map(|(law, what)| Finding { law, what }));
    }

    /// Whether a record keeps something that must be sent, or waits for somebody.
    fn keeps(&self, kind: Kind, value: &[u8]) -> bool {
        match kind {
            Kind::Household => self
                .codec
                .decode::<events::Task>(value)
                .is_ok_and(|task| task.unsent_decisions || task.stays.iter().any(|stay| stay.unsent.is_some())),
            Kind::Keeper => self
                .codec
                .decode::<events::Traveller>(value)
                .is_ok_and(|traveller| traveller.leaving || !traveller.carried.is_empty() || !traveller.carried_out.is_empty()),
        }
    }
}
