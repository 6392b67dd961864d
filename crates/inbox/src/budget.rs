//! How many contacts somebody opens within an hour; what comes of more: a lock for an hour, and a notice that supervisors see and can end.
//!
//! Kept in memory, and folded from the log of reads at start, where each lock and its end is written down. It must not know HTTP.

use domain::hourly::Hourly;
use events::time::{self, HOUR_MS};
use events::{Millis, ids};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// Notices that are shown; older ones stand in the log of reads.
const NOTICES_MAX: usize = 1_000;

/// That somebody opened more than an hour's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// What they are.
    pub role: String,
    /// Where the one lay that was too many.
    pub grid: Option<String>,
    /// The budget that was passed.
    pub budget: u32,
    /// Until when nothing more is opened for them.
    pub until: Millis,
    /// Who ended the lock before.
    pub unlocked_by: Option<String>,
}

impl Notice {
    fn locks(&self, actor: &str, now: Millis) -> bool {
        self.actor == actor && self.unlocked_by.is_none() && now < self.until
    }

    /// As its beginning stands in the log of reads.
    pub fn entry(&self) -> Value {
        let mut entry = self.json(self.at);
        entry["what"] = json!("lock");
        entry
    }

    /// As it is shown.
    pub fn json(&self, now: Millis) -> Value {
        let state = match &self.unlocked_by {
            Some(_) => "unlocked",
            None if now < self.until => "locked",
            None => "over",
        };
        json!({
            "id": self.id, "at": time::format(self.at), "actor": self.actor, "role": self.role, "grid": self.grid,
            "budget": self.budget, "until": time::format(self.until), "state": state, "unlocked_by": self.unlocked_by,
        })
    }
}

/// What somebody who opens a contact is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Spent {
    /// Go on.
    Within,
    /// This one is too many: there is a lock from now on, to be written down.
    Passed(Notice),
    /// There is a lock, for so many milliseconds more.
    Locked(i64),
}

/// Everybody's budgets and locks.
pub struct Budgets {
    per_hour: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: HashMap<String, Hourly>,
    /// The newest last.
    notices: VecDeque<Notice>,
}

impl State {
    fn keep(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        if self.notices.len() > NOTICES_MAX {
            self.notices.pop_front();
        }
    }

    fn unlock(&mut self, id: &str, by: &str) -> Option<Notice> {
        let notice = self.notices.iter_mut().find(|notice| notice.id == id)?;
        notice.unlocked_by.get_or_insert_with(|| by.to_owned());
        self.opened.remove(&notice.actor);
        Some(notice.clone())
    }
}

impl Budgets {
    /// So many contacts an hour for each.
    pub fn new(per_hour: u32) -> Budgets {
        Budgets { per_hour, state: Mutex::default() }
    }

    /// Takes in a line of the log of reads; to be given all of them in order, at start.
    pub fn fold(&self, entry: &Value, now: Millis) {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let at = |name: &str| entry[name].as_str().and_then(time::parse);
        let mut state = self.state.lock();
        match entry["what"].as_str() {
            Some("detail") => {
                if let Some(at) = at("at").filter(|at| at.0 > now.0 - HOUR_MS) {
                    let _as_it_was = state.opened.entry(text("actor")).or_default().take(at, self.per_hour);
                }
            }
            Some("lock") => {
                let (Some(at), Some(until)) = (at("at"), at("until")) else { return };
                let budget = entry["budget"].as_u64().and_then(|budget| budget.try_into().ok()).unwrap_or_default();
                let grid = entry["grid"].as_str().map(str::to_owned);
                let (id, actor, role) = (text("id"), text("actor"), text("role"));
                state.keep(Notice { id, at, actor, role, grid, budget, until, unlocked_by: None });
            }
            Some("unlock") => drop(state.unlock(&text("id"), &text("actor"))),
            _ => {}
        }
    }

    /// Counts a contact that somebody is about to open.
    pub fn spend(&self, actor: &str, role: &str, grid: Option<&str>, now: Millis) -> Spent {
        let mut state = self.state.lock();
        if let Some(lock) = state.notices.iter().rev().find(|notice| notice.locks(actor, now)) {
            return Spent::Locked(lock.until.0 - now.0);
        }
        if state.opened.entry(actor.to_owned()).or_default().take(now, self.per_hour).is_ok() {
            return Spent::Within;
        }
        let notice = Notice {
            id: format!("{:016x}", ids::digest64(&[actor.as_bytes(), &now.0.to_be_bytes()])),
            at: now,
            actor: actor.to_owned(),
            role: role.to_owned(),
            grid: grid.map(str::to_owned),
            budget: self.per_hour,
            until: Millis(now.0 + HOUR_MS),
            unlocked_by: None,
        };
        state.keep(notice.clone());
        Spent::Passed(notice)
    }

    /// All notices, the newest first.
    pub fn notices(&self) -> Vec<Notice> {
        self.state.lock().notices.iter().rev().cloned().collect()
    }

    /// Ends a lock: whoever it was on begins the hour anew. Once ended, nothing changes.
    pub fn unlock(&self, id: &str, by: &str) -> Option<Notice> {
        self.state.lock().unlock(id, by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_too_many_locks_and_what_was_written_down_says_so_after_a_restart() {
        let budgets = Budgets::new(2);
        let spend = |budgets: &Budgets, actor: &str, at: i64| budgets.spend(actor, "worker", Some("g1"), Millis(at));
        assert_eq!([spend(&budgets, "w", 0), spend(&budgets, "w", 1)], [Spent::Within, Spent::Within]);
        let Spent::Passed(notice) = spend(&budgets, "w", 2) else { panic!("no lock") };
        assert_eq!(spend(&budgets, "w", 3), Spent::Locked(HOUR_MS - 1));
        assert_eq!(spend(&budgets, "other", 3), Spent::Within);

        let again = Budgets::new(2);
        again.fold(&notice.entry(), Millis(4));
        assert_eq!(spend(&again, "w", 4), Spent::Locked(HOUR_MS - 2));
        again.fold(&json!({"what": "unlock", "id": notice.id, "actor": "s"}), Millis(5));
        assert_eq!(spend(&again, "w", 5), Spent::Within);
        assert_eq!(again.notices()[0].unlocked_by.as_deref(), Some("s"));
        // What was opened before counts too.
        again.fold(&json!({"what": "detail", "actor": "v", "at": time::format(Millis(HOUR_MS))}), Millis(HOUR_MS));
        again.fold(&json!({"what": "detail", "actor": "v", "at": time::format(Millis(HOUR_MS))}), Millis(HOUR_MS));
        assert!(matches!(spend(&again, "v", HOUR_MS + 1), Spent::Passed(_)));
    }

    #[test]
    fn a_lock_ends_by_itself_after_an_hour() {
        let budgets = Budgets::new(0);
        let at = |at| budgets.spend("w", "worker", None, Millis(at));
        assert!(matches!(at(0), Spent::Passed(_)));
        assert!(matches!(at(HOUR_MS - 1), Spent::Locked(1)));
        assert!(matches!(at(HOUR_MS), Spent::Passed(_)));
    }
}
