//! What happens between two moments: somebody reads on, an answer comes, a clock ticks; and everything that can go wrong with processes.

use super::life::Life;
use super::world::World;
use eventlog::owner::Event;
use events::topics::{CLAIM_PREFIX, TASKS, TRAVELLERS};
use rand::Rng;

impl World<'_> {
    /// Somebody does something.
    pub fn make_move(&mut self) {
        for process in &mut self.processes {
            process.lives.retain(|life| !life.gone);
        }
        let which = self.random.random_range(0..self.processes.len());
        match self.random.random_range(0..100) {
            0..30 => {
                for _ in 0..self.random.random_range(1..6) {
                    self.step_core();
                }
            }
            30..36 => self.claim(which),
            36..41 if self.processes[which].runs() => {
                let most = self.random.random_range(1..6);
                self.processes[which].read_tables(&self.core, self.partitions, most, self.mutant);
            }
            41..48 => {
                let (inbox, partition) =
                    (self.random.random_range(0..self.inboxes.len()), self.random.random_range(0..self.assigned.len()));
                let most = self.random.random_range(1..8);
                self.read_inbox(inbox, partition, most);
            }
            48..54 => {
                if self.random.random_bool(self.lively) && self.may_trouble() {
                    self.make_trouble(which);
                }
            }
            _ => self.move_owner(which),
        }
    }

    fn move_owner(&mut self, first: usize) {
        let count = self.processes.len();
        let runs = |at: &usize| self.processes[*at].runs() && !self.processes[*at].lives.is_empty();
        let Some(at) = (0..count).map(|step| (first + step) % count).find(runs) else { return };
        let life = self.random.random_range(0..self.processes[at].lives.len());
        let (mutant, most) = (self.mutant, if self.random.random_bool(0.5) { self.random.random_range(1..6) } else { usize::MAX });
        for _ in 0..self.random.random_range(1..5) {
            if self.processes[at].lives[life].gone {
                return;
            }
            let which = self.random.random_range(0..4);
            let (process, core) = (&mut self.processes[at], &mut self.core);
            match self.random.random_range(0..12) {
                0..4 => {
                    if process.answer(life, which, core, mutant) == Some(true) {
                        self.note("appends failed");
                    }
                }
                4..7 => drop(process.read_own(life, most, core, mutant)),
                7..9 => drop(process.read_input(life, which, most, core, mutant)),
                9 => process.tables_ready(life, core, self.partitions, mutant),
                10 => drop(process.tell_change(life, core, mutant)),
                _ => {
                    core.advance(self.random.random_range(0..8000));
                    let now = core.now_ms();
                    process.tell(life, Event::Tick(now), core, mutant);
                    if !process.lives[life].gone && self.random.random_bool(0.4) {
                        process.save(life, core, mutant);
                    }
                }
            }
        }
    }

    fn make_trouble(&mut self, at: usize) {
        match self.random.random_range(0..17) {
            0..2 if self.processes[at].alive => {
                let moves = self.random.random_bool(0.7);
                self.kill(at, moves);
            }
            2..4 if !self.processes[at].alive => self.revive(at),
            4..6 if self.processes[at].runs() => {
                let moves = self.random.random_bool(0.8);
                self.pause(at, moves);
            }
            6..9 if self.processes[at].paused => self.wake(at),
            9..11 => {
                let partition = self.random.random_range(0..self.assigned.len());
                let from = self.assigned[partition];
                if from == at || !self.processes[at].runs() {
                    return;
                }
                self.note("assignments moved");
                self.assigned[partition] = at;
                self.say(|| format!("partition {partition} goes from process {from} to {at}"));
                // The one before may be told, or not know it for a while.
                if self.random.random_bool(0.5) {
                    self.processes[from].lives.retain(|life| life.partition as usize != partition);
                }
            }
            11 => {
                let (topic, partition) =
                    (if self.random.random_bool(0.5) { TASKS } else { TRAVELLERS }, self.random.random_range(0..self.partitions));
                if self.core.compact(topic, partition).is_ok_and(|gone| gone > 0) {
                    self.note("compactions");
                }
            }
            12 if !self.processes[at].caches.is_empty() => {
                self.note("caches lost");
                self.processes[at].caches.clear();
            }
            13 if self.processes[at].lives.is_empty() => {
                self.note("tables behind");
                self.processes[at].stalled = true;
            }
            14 if self.processes[at].runs() => {
                let lives = self.processes[at].lives.len();
                if lives > 0 {
                    let life = self.random.random_range(0..lives);
                    self.slow_down(at, life);
                }
            }
            15 => self.core.let_through(None),
            _ => {}
        }
    }

    /// A process stands still, and knows nothing of it.
    pub fn pause(&mut self, at: usize, moves: bool) {
        self.note("pauses");
        self.say(|| format!("process {at} is paused"));
        self.processes[at].paused = true;
        if moves {
            self.hand_over(at);
        }
    }

    /// What an owner writes, or what it says, is long on its way.
    pub fn slow_down(&mut self, at: usize, life: usize) {
        self.note("slow roads");
        let own = self.random.random_bool(0.6);
        let (handle, kind) = (self.processes[at].lives[life].handle, self.processes[at].lives[life].kind);
        let topics = if own { &[kind.topic()][..] } else { kind.outputs() };
        topics.iter().for_each(|topic| self.core.hold(handle, topic));
        self.say(|| format!("what process {at} sends to {} is long on its way", topics.join(" and ")));
    }

    pub fn kill(&mut self, at: usize, moves: bool) {
        self.note("kills");
        self.say(|| format!("process {at} is killed"));
        for life in std::mem::take(&mut self.processes[at].lives) {
            self.core.crash(life.handle);
        }
        (self.processes[at].alive, self.processes[at].paused) = (false, false);
        if moves {
            self.hand_over(at);
        }
    }

    /// Its disk is as it was.
    pub fn revive(&mut self, at: usize) {
        self.note("revivals");
        self.say(|| format!("process {at} begins anew"));
        let caches = std::mem::take(&mut self.processes[at].caches);
        self.processes[at] = self.new_process();
        self.processes[at].caches = caches;
        // Its tables are read some time, but for sure before it is an owner.
        self.processes[at].stalled = self.random.random_bool(0.6);
    }

    /// The group gives what it has to others.
    pub fn hand_over(&mut self, from: usize) {
        let others: Vec<usize> = (0..self.processes.len()).filter(|at| *at != from && self.processes[*at].runs()).collect();
        for partition in 0..self.assigned.len() {
            if self.assigned[partition] == from && !others.is_empty() {
                let to = others[self.random.random_range(0..others.len())];
                self.assigned[partition] = to;
                self.say(|| format!("partition {partition} goes from process {from} to {to}"));
                self.note("assignments moved");
            }
        }
    }

    /// It goes on where it was. Where nobody has claimed behind it, it learns first what time it is; else it is a zombie, which may do
    /// what it likes before it reads that.
    pub fn wake(&mut self, at: usize) {
        if !std::mem::take(&mut self.processes[at].paused) {
            return;
        }
        self.say(|| format!("process {at} goes on"));
        self.processes[at].read_tables(&self.core, self.partitions, usize::MAX, self.mutant);
        let now = self.now().0;
        for life in 0..self.processes[at].lives.len() {
            if is_zombie(self, &self.processes[at].lives[life]) {
                self.note("woken past fencing");
                continue;
            }
            self.note("woken as owner");
            self.processes[at].tell(life, Event::Tick(now), &mut self.core, self.mutant);
            while self.step_core() {}
            self.processes[at].read_own(life, usize::MAX, &mut self.core, self.mutant);
        }
    }
}

fn is_zombie(world: &World<'_>, life: &Life) -> bool {
    let news = world.core.read(life.kind.topic(), life.partition, life.tail, usize::MAX);
    news.is_ok_and(|news| news.records.iter().any(|record| record.key.starts_with(CLAIM_PREFIX.as_bytes())))
}
