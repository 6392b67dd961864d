//! Plots: what random trouble alone makes too seldom. Something of an owner is on its way when it is paused, cut off or killed; another
//! takes over from what lies on its disk; what was on its way arrives behind that; and some third owner has to make do with all of it.

use super::life::Kind;
use super::world::World;
use eventlog::owner::Event;
use eventlog::simulated::Faults;
use events::topics::ARRIVALS;
use rand::Rng;

impl World<'_> {
    /// One plot, around one partition of one loop.
    pub fn plot(&mut self) {
        if !self.may_trouble() {
            return;
        }
        let kind = Kind::ALL[self.random.random_range(0..2)];
        let partition = self.random.random_range(0..self.assigned.len());
        let Some((first, life)) = self.next_owner(kind, partition) else { return };
        self.note("plots");
        let handle = self.processes[first].lives[life].handle;
        self.slow_down(first, life);
        let (before, breaks) = (self.core.faults, self.random.random_bool(0.25));
        if breaks {
            self.note("broken roads");
            self.core.faults = Faults { lose: 0.2, lose_answer: 0.2, ..before };
        }
        self.work(first, life, 4);
        self.core.faults = before;
        if self.random.random_bool(if breaks { 0.6 } else { 0.2 }) {
            // Nothing more happens to it than that.
            self.work(first, life, 4);
            return self.arrives(handle);
        }
        // It knows nothing of what comes now, or it is no more.
        match self.random.random_range(0..4) {
            0 => self.kill_in_plot(first),
            1 => self.cut_off(first, partition),
            _ => self.pause(first, true),
        }
        let Some((second, life)) = self.next_owner(kind, partition) else { return };
        if self.random.random_bool(0.5) {
            self.slow_down(second, life);
        }
        self.work(second, life, 3);
        let late = self.random.random_bool(0.6);
        if late {
            self.arrives(handle);
            // The worst moment: nothing is mended yet.
            if self.random.random_bool(0.3) {
                let gone = self.core.compact(kind.topic(), partition as i32).unwrap_or(0);
                self.say(|| format!("compaction takes {gone} records of {}/{partition}", kind.topic()));
            }
        }
        // Before it learns of that, or just when it has.
        if self.random.random_bool(0.4) {
            self.work(second, life, 2);
        }
        match self.random.random_range(0..6) {
            0 | 1 => self.kill_in_plot(second),
            2 => self.pause(second, true),
            4 => self.lose_repair(second, life),
            3 if second != first => {
                // The first goes on, and has not looked up yet.
                let at = self.processes[first].lives.iter().position(|one| one.handle == handle && !one.gone);
                self.processes[first].paused = false;
                if let Some(life) = at.filter(|_| self.processes[first].alive) {
                    self.note("woken past fencing");
                    self.say(|| format!("process {first} goes on, blindly"));
                    self.work_blindly(first, life);
                }
            }
            _ => {}
        }
        if !late && self.random.random_bool(0.7) {
            self.arrives(handle);
        }
        if let Some((third, life)) = self.next_owner(kind, partition) {
            self.work(third, life, 2);
        }
    }

    /// The registry has just said something new, and a keeper learns of it while what it said before is still on its way.
    pub fn move_under_way(&mut self, partition: usize) {
        if !self.may_trouble() {
            return;
        }
        let Some((at, life)) = self.next_owner(Kind::Keeper, partition) else { return };
        self.note("moves under way");
        let handle = self.processes[at].lives[life].handle;
        self.core.hold(handle, ARRIVALS);
        self.say(|| format!("what process {at} sends to {ARRIVALS} is long on its way"));
        for tables in [false, true] {
            self.read_and_write(at, life);
            let (process, mutant) = (&mut self.processes[at], self.mutant);
            if tables {
                process.read_tables(&self.core, self.partitions, usize::MAX, mutant);
            }
            while process.tell_change(life, &mut self.core, mutant) {}
            self.read_and_write(at, life);
        }
        if self.random.random_bool(0.7) {
            self.arrives(handle);
        }
    }

    /// An owner reads its inputs, and reads back what it makes of them.
    fn read_and_write(&mut self, at: usize, life: usize) {
        let inputs = self.processes[at].lives[life].kind.inputs().len();
        let mutant = self.mutant;
        for input in 0..inputs {
            self.processes[at].read_input(life, input, usize::MAX, &mut self.core, mutant);
        }
        self.quiet_core();
        while self.processes[at].answer(life, 0, &mut self.core, mutant).is_some() {}
        if !self.processes[at].lives[life].gone {
            self.processes[at].read_own(life, usize::MAX, &mut self.core, mutant);
        }
    }

    /// Whoever has the partition owns it from now on: process and life. A process that is no more begins anew.
    fn next_owner(&mut self, kind: Kind, partition: usize) -> Option<(usize, usize)> {
        let at = self.assigned[partition];
        if !self.processes[at].alive {
            self.revive(at);
        }
        self.claim(at);
        let is_it = |life: &super::life::Life| life.kind == kind && life.partition as usize == partition && !life.gone;
        let life = self.processes[at].lives.iter().position(is_it)?;
        self.take_over(at, life);
        self.processes[at].lives[life].owner.is_active().then_some((at, life))
    }

    /// It has seen what is stale, and nothing that it writes about that arrives any more.
    fn lose_repair(&mut self, at: usize, life: usize) {
        let (handle, topic) = (self.processes[at].lives[life].handle, self.processes[at].lives[life].kind.topic());
        self.core.hold(handle, topic);
        self.processes[at].read_own(life, usize::MAX, &mut self.core, self.mutant);
        if !self.processes[at].lives[life].gone {
            self.processes[at].save(life, &mut self.core, self.mutant);
        }
        self.kill_in_plot(at);
    }

    /// It comes again itself as a rule, from what it has on its disk.
    fn kill_in_plot(&mut self, at: usize) {
        let moves = self.random.random_bool(0.4);
        self.kill(at, moves);
    }

    /// The group has given it to somebody else, and it has not heard of that.
    fn cut_off(&mut self, first: usize, partition: usize) {
        let others: Vec<usize> = (0..self.processes.len()).filter(|at| *at != first && self.processes[*at].runs()).collect();
        if !others.is_empty() {
            let to = others[self.random.random_range(0..others.len())];
            self.note("assignments moved");
            self.say(|| format!("partition {partition} goes from process {first}, which is not told, to {to}"));
            self.assigned[partition] = to;
        }
    }

    /// What was long on its way is there.
    fn arrives(&mut self, handle: eventlog::simulated::Handle) {
        self.core.let_through(Some(handle));
        self.quiet_core();
    }

    /// An owner reads and writes for a while.
    fn work(&mut self, at: usize, life: usize, rounds: usize) {
        for _ in 0..self.random.random_range(1..=rounds) {
            if !self.processes[at].runs() || self.processes[at].lives.get(life).is_none_or(|life| life.gone) {
                return;
            }
            self.work_blindly(at, life);
            (0..self.random.random_range(0..12)).for_each(|_| {
                self.step_core();
            });
            while self.processes[at].answer(life, 0, &mut self.core, self.mutant).is_some() {}
            if self.random.random_bool(0.7) && !self.processes[at].lives[life].gone {
                self.processes[at].read_own(life, usize::MAX, &mut self.core, self.mutant);
            }
            if self.random.random_bool(0.3) && !self.processes[at].lives[life].gone {
                self.processes[at].save(life, &mut self.core, self.mutant);
            }
        }
    }

    /// It reads its inputs, looks at the clock, and saves its cache, but does not read what it and others have written.
    fn work_blindly(&mut self, at: usize, life: usize) {
        let inputs = self.processes[at].lives[life].kind.inputs().len();
        let (process, core, mutant) = (&mut self.processes[at], &mut self.core, self.mutant);
        for input in 0..inputs {
            process.read_input(life, input, usize::MAX, core, mutant);
        }
        if self.random.random_bool(0.3) {
            process.read_tables(core, self.partitions, usize::MAX, mutant);
            while process.tell_change(life, core, mutant) {}
        }
        if self.random.random_bool(0.6) {
            let now = core.now_ms();
            process.tell(life, Event::Tick(now), core, mutant);
        }
        if self.random.random_bool(0.6) && !process.lives[life].gone {
            process.save(life, core, mutant);
        }
    }
}
