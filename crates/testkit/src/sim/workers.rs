//! What workers and supervisors do about a task that they see. What is drawn depends on the seed and on what is seen alone, not on what
//! was drawn before: a script that is made smaller leaves the rest of them as they were.

use super::script::Deed;
use events::time::HOUR_MS;
use events::{Action, ActionKind, Millis, Outcome, Task, TaskState, ids};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// Everybody who looks at the inbox.
#[derive(Clone, Debug)]
pub struct Crew {
    /// How often each kind of thing was done, by name.
    pub counts: BTreeMap<&'static str, u64>,
    seed: u64,
    grids: Vec<String>,
    // Task, attempts, triage: answered once.
    seen: BTreeSet<(String, i32, bool)>,
}

/// One visit while it is being drawn.
struct Visit<'a> {
    key: &'a str,
    task_id: &'a str,
    random: SmallRng,
    deeds: Vec<Deed>,
}

impl Crew {
    /// Workers of these grids.
    pub fn new(seed: u64, grids: Vec<String>) -> Crew {
        Crew { counts: BTreeMap::new(), seed, grids, seen: BTreeSet::new() }
    }

    /// What is done about a task that a worker sees at this moment, in the order of time; nothing where it was seen so before. What
    /// is sent later may meet another state by then: that is what conflicts are made of. `draws_by` stands for the visit in what is drawn.
    pub fn see(&mut self, key: &str, task: &Task, now: Millis, draws_by: &str) -> Vec<Deed> {
        let occasion = (task.task_id.to_string(), task.attempts, task.triage);
        if task.state != TaskState::Open || !self.seen.insert(occasion) {
            return vec![];
        }
        let parts = [&self.seed.to_be_bytes()[..], draws_by.as_bytes(), &task.attempts.to_be_bytes(), &[u8::from(task.triage)]];
        let random = SmallRng::seed_from_u64(ids::digest64(&parts) as u64);
        let mut visit = Visit { key, task_id: &task.task_id, random, deeds: vec![] };
        let kind = visit.draw(now, task.triage, &self.grids);
        *self.counts.entry(kind).or_insert(0) += 1;
        visit.deeds.sort_by_key(|deed| deed.at);
        visit.deeds
    }
}

impl Visit<'_> {
    fn draw(&mut self, seen_at: Millis, triage: bool, grids: &[String]) -> &'static str {
        use Outcome::*;
        let door = self.after(seen_at, 1, 12);
        if triage {
            let to = grids.choose(&mut self.random).cloned();
            self.send(door, door, "s1", ActionKind::HandBack, None, to);
            return "a supervisor decides";
        }
        match self.random.random_range(0..100) {
            0..8 => "nobody comes",
            12..28 => {
                let claim = self.after(seen_at, 0, 1);
                self.send(claim, claim, "w1", ActionKind::Claim, None, None);
                self.outcome(door, door, "w1", Screened);
                "claimed and screened"
            }
            28..38 => {
                self.outcome(door, door, "w1", Screened);
                "screened without a claim"
            }
            38..60 => {
                let home = self.after(door, 12, 144);
                self.outcome(home, door, "w1", Screened);
                "screened offline and sent late"
            }
            60..66 => {
                self.outcome(door, door, "w1", NotHome);
                "not at home"
            }
            66..70 => {
                self.outcome(door, door, "w1", MovedAway);
                "moved away"
            }
            70..75 => {
                self.outcome(door, door, "w1", WrongHousehold);
                "wrong household"
            }
            75..81 => {
                let to = grids.choose(&mut self.random).cloned().filter(|_| self.random.random_bool(0.7));
                self.send(door, door, "w1", ActionKind::HandBack, None, to);
                let later = self.after(door, 2, 30);
                self.outcome(later, later, "w2", Screened);
                "handed back"
            }
            81..84 => {
                self.outcome(door, door, "w1", Refused);
                "refused"
            }
            84..87 => {
                self.outcome(door, door, "w1", NeedsHelp);
                "needs help"
            }
            8..12 | 87..94 => {
                for worker in ["w1", "w2"] {
                    let claim = self.after(seen_at, 0, 1);
                    self.send(claim, claim, worker, ActionKind::Claim, None, None);
                    self.outcome(door, door, worker, if worker == "w1" { NotHome } else { Screened });
                }
                "two workers at once"
            }
            _ => {
                let claim = self.after(seen_at, 0, 1);
                self.send(claim, claim, "w1", ActionKind::Claim, None, None);
                if self.random.random_bool(0.5) {
                    self.send(door, door, "w1", ActionKind::Note, None, None);
                    self.send(door, door, "w1", ActionKind::Release, None, None);
                }
                "claimed and let be"
            }
        }
    }

    fn after(&mut self, at: Millis, hours_min: i64, hours_max: i64) -> Millis {
        Millis(at.0 + self.random.random_range(hours_min * HOUR_MS + 60_000..hours_max * HOUR_MS))
    }

    fn outcome(&mut self, at: Millis, door: Millis, actor: &str, outcome: Outcome) {
        self.send(at, door, actor, ActionKind::Outcome, Some(outcome), None);
    }

    /// Sent at one moment, done at the door at another.
    fn send(&mut self, at: Millis, door: Millis, actor: &str, action: ActionKind, outcome: Option<Outcome>, to_grid: Option<String>) {
        let action_id = format!("{}-{actor}-{}", &self.task_id[..self.task_id.len().min(8)], self.random.random::<u32>());
        let action = Action {
            action_id: action_id.into(),
            task_id: self.task_id.into(),
            action,
            outcome,
            to_grid: to_grid.map(Into::into),
            note: None,
            at: Some(door),
            actor: actor.into(),
            supervisor: actor.starts_with('s'),
            received_at: at,
            register: None,
        };
        self.deeds.push(Deed { at, key: self.key.to_owned(), action });
    }
}
