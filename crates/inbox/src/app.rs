//! What every request shares: the view, the tables beside it, keys, sign-in and the log of reads; and the questions asked of them.
//!
//! It must not know HTTP.

use crate::answer::{self, Depth, Item};
use crate::budget::{Budgets, Notice, Spent};
use crate::cursor::{Cursor, Page, SortKey};
use crate::entitled::Viewer;
use crate::follow;
use crate::list::List;
use crate::view::{Changes, View};
use audit::{AuditError, AuditLog};
use domain::Clock;
use domain::authorize::Field;
use domain::mandate::Latest;
use eventlog::schemas::Schemas;
use eventlog::table::{Small, Table};
use eventlog::{Log, LogError};
use events::topics::household_key;
use events::{GridEntry, HouseholdEntry, Level, Mandate, MandateState, Millis, Task, TaskState};
use keys::{Keyring, SignIn};
use parking_lot::RwLock;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::{Semaphore, watch};

/// Readings of the log again for phones that were away for long, at the same time.
const REREADS_MAX: usize = 2;

/// What every request shares.
pub struct App {
    /// What now is.
    pub clock: Clock,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Its schemas.
    pub schemas: Arc<Schemas>,
    /// The fold of the tasks.
    pub view: RwLock<View>,
    /// Counts changes of the view and of the mandates.
    pub changed: watch::Sender<u64>,
    /// Mandates by id: those that are believed.
    pub mandates: Arc<Small<Mandate>>,
    /// The newest time that a mandate was judged by here.
    pub latest: Latest,
    /// Grids by code.
    pub grids: Arc<Small<GridEntry>>,
    /// Households' entries by `mandate/household`.
    pub households: Arc<Table>,
    /// Mandates' keys.
    pub keyring: Arc<Keyring>,
    /// Tokens.
    pub sign_in: Arc<SignIn>,
    /// Whom a cookie stands for.
    pub sessions: crate::http::Sessions,
    /// The log of reads.
    pub reads: AuditLog,
    /// Who opens how many contacts.
    pub budgets: Budgets,
    /// Actions appended and not yet decided.
    pub in_flight: crate::http::InFlight,
    /// Partitions of every keyed topic.
    pub partitions: i32,
    /// The view has been read to the log's end once: from then on it can be shown, at worst as it was.
    pub caught_up: AtomicBool,
    /// The view follows the log now.
    pub follows: AtomicBool,
    /// Bounds readings of the log again.
    pub rereads: Semaphore,
}

/// How many readings again an [`App`] allows.
pub fn rereads() -> Semaphore {
    Semaphore::new(REREADS_MAX)
}

/// What a list is asked for.
pub struct Asked<'a> {
    /// In one of these states; none named is all.
    pub states: &'a [TaskState],
    /// In this grid.
    pub grid: Option<&'a str>,
    /// On this list.
    pub list: Option<List>,
}

/// A mandate of which nothing may be held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Forget {
    /// The mandate.
    pub mandate: String,
    /// `ended`, `suspended`, or `over`: its time has passed, or has not come.
    pub reason: &'static str,
}

/// Nothing is opened for so many milliseconds.
pub struct LockedMs(pub i64);

/// One page of a list.
pub struct Listed {
    /// The tasks.
    pub items: Vec<Item>,
    /// The next page.
    pub next: Option<Page>,
    /// The view's position when the first page was made.
    pub last: Cursor,
}

impl App {
    /// The household's entry in the registry.
    pub fn entry(&self, task: &Task) -> Option<Arc<HouseholdEntry>> {
        let value = self.households.get(&household_key(&task.mandate, &task.household))?;
        self.schemas.codec().decode::<HouseholdEntry>(&value).ok().map(Arc::new)
    }

    /// The item of a task that is the viewer's.
    pub fn whole(&self, task: &Arc<Task>) -> Item {
        Item::Whole { task: Arc::clone(task), entry: self.entry(task) }
    }

    /// The mandates in force, with their versions: when this changes, lists are asked for again.
    pub fn mandates_mark(&self, now: Millis) -> Vec<String> {
        let now = self.latest.at(now);
        let in_force = |mandate: &Mandate| match self.clock {
            Clock::Wall => domain::mandate::in_force(mandate, now),
            // Dates are judged task by task.
            Clock::Events => mandate.state == MandateState::Open,
        };
        let mut marks: Vec<String> = self
            .mandates
            .all()
            .into_iter()
            .filter(|(_, mandate)| in_force(mandate))
            .map(|(id, mandate)| format!("{id}@{}", mandate.version))
            .collect();
        marks.sort_unstable();
        marks
    }

    /// What a phone must not hold any more: everything of the mandates that are not in force, and why.
    pub fn to_forget(&self, now: Millis) -> Vec<Forget> {
        let now = self.latest.at(now);
        let why = |mandate: &Mandate| match (mandate.state, self.clock) {
            (MandateState::Ended, _) => Some("ended"),
            (MandateState::Suspended, _) => Some("suspended"),
            (MandateState::Open, Clock::Wall) => (!domain::mandate::in_force(mandate, now)).then_some("over"),
            (MandateState::Open, Clock::Events) => None,
        };
        let all = self.mandates.all().into_iter();
        let mut forget: Vec<Forget> = all.filter_map(|(id, mandate)| Some(Forget { mandate: id, reason: why(&mandate)? })).collect();
        forget.sort_unstable();
        forget
    }

    /// A page of the viewer's tasks. `page` says behind what; its position is that of the first page.
    pub fn list(&self, viewer: &Viewer, now: Millis, asked: &Asked<'_>, limit: usize, page: Option<&Page>) -> Listed {
        let view = self.view.read();
        let (states, grid) = (asked.states, asked.grid);
        let wanted = |task: &&Arc<Task>| {
            (states.is_empty() || states.contains(&task.state))
                && grid.is_none_or(|grid| task.grid.as_deref() == Some(grid))
                && asked.list.is_none_or(|list| list.has(task, self.now_of(task, now)))
                && self.may_read(viewer, task, now, Field::Address).is_ok()
                && page.is_none_or(|page| order(task) > (page.behind.rank, page.behind.due_ms, page.behind.task_id.as_str()))
        };
        let mut tasks: Vec<&Arc<Task>> = match (grid, viewer.grids()) {
            (Some(grid), _) => view.in_grid(grid).filter(wanted).collect(),
            (None, Some(own)) => own.iter().flat_map(|grid| view.in_grid(grid)).filter(wanted).collect(),
            _ => view.shown().filter(wanted).collect(),
        };
        let more = tasks.len() > limit;
        if more {
            tasks.select_nth_unstable_by(limit, |a, b| order(a).cmp(&order(b)));
            tasks.truncate(limit);
        }
        tasks.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        let last = page.map_or_else(|| view.position().clone(), |page| page.first.clone());
        let behind = tasks.last().filter(|_| more).map(|task| {
            let (rank, due_ms, task_id) = order(task);
            SortKey { rank, due_ms, task_id: task_id.to_owned() }
        });
        let next = behind.map(|behind| Page { first: last.clone(), state: None, grid: None, list: None, limit, behind });
        Listed { items: tasks.into_iter().map(|task| self.whole(task)).collect(), next, last }
    }

    /// The changes since a cursor, from memory or from the log.
    ///
    /// # Errors
    /// If the log is needed and away.
    pub async fn changes_since(&self, cursor: &Cursor) -> Result<Changes, LogError> {
        let (mut changes, forgotten) = {
            let view = self.view.read();
            match view.since(cursor) {
                Ok(changes) => return Ok(changes),
                Err(forgotten) => (view.remembered_since(cursor), forgotten),
            }
        };
        // A closed semaphore does not occur: nobody closes it.
        let _turn = self.rereads.acquire().await;
        let from_log = follow::changed_keys(&*self.log, &forgotten, &changes.position).await?;
        changes.changes.retain(|change| !forgotten.iter().any(|(partition, _)| *partition == change.partition));
        changes.changes.splice(0..0, from_log);
        Ok(changes)
    }

    /// The JSON of items, after the read is written down.
    ///
    /// # Errors
    /// [`AuditError::NotWritten`]: nothing was opened.
    pub async fn answer(&self, viewer: &Viewer, what: &'static str, depth: Depth<'_>, items: &[Item]) -> Result<Vec<Value>, AuditError> {
        answer::answer(&self.reads, &self.keyring, viewer, what, depth, items).await
    }

    /// Counts a contact that is about to be opened. One too many locks, which is written down.
    ///
    /// # Errors
    /// [`AuditError::NotWritten`]: nothing must be opened.
    pub async fn spend(&self, viewer: &Viewer, task: &Task, now: Millis) -> Result<Result<(), LockedMs>, AuditError> {
        match self.budgets.spend(viewer.name(), viewer.role(), task.grid.as_deref(), now) {
            Spent::Within => Ok(Ok(())),
            Spent::Locked(ms) => Ok(Err(LockedMs(ms))),
            Spent::Passed(notice) => {
                metrics::counter!("oneknock_inbox_budgets_passed_total").increment(1);
                self.reads.record(&notice.entry()).await?;
                Ok(Err(LockedMs(notice.until.0 - now.0)))
            }
        }
    }

    /// Writes down that a lock is ended, before it is.
    ///
    /// # Errors
    /// [`AuditError::NotWritten`]: it stands.
    pub async fn unlocking(&self, viewer: &Viewer, notice: &Notice, now: Millis) -> Result<(), AuditError> {
        let entry = serde_json::json!({
            "at": events::time::format(now), "actor": viewer.name(), "role": viewer.role(), "what": "unlock", "id": notice.id, "about": notice.actor,
        });
        self.reads.record(&entry).await
    }
}

/// Most urgent first, then what is due first.
fn order(task: &Task) -> (u8, i64, &str) {
    let rank = match task.priority {
        Level::High => 0,
        Level::Medium => 1,
        Level::Low => 2,
    };
    (rank, task.due_at.map_or(i64::MAX >> 1, |due| due.0), &task.task_id)
}
