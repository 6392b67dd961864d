//! What changed for one viewer: from the view's changes to the items of a stream or of a poll.
//!
//! Pure but for looking up entries. A task that left the viewer's grids comes once more, bare; a household's last episode comes as it
//! ended where the phone may still hold it open.

use crate::answer::Item;
use crate::app::App;
use crate::cursor::Cursor;
use crate::entitled::Viewer;
use crate::view::{Change, Earlier, Seen, View, is_shown};
use domain::authorize::{Field, Refusal};
use events::{Millis, Task, TaskState};
use std::collections::HashMap;
use std::sync::Arc;

/// An item and the cursor behind it; the cursor is missing where another item of the same change follows.
pub struct Update {
    /// What to say.
    pub item: Item,
    /// Where a client that has it goes on.
    pub cursor: Option<Cursor>,
}

/// The updates of these changes for a viewer, one household once, at its last change; `cursor` is moved behind them all.
/// At most `most` updates: then the cursor stands behind the last of them, and the second part is false.
pub fn updates(app: &App, viewer: &Viewer, now: Millis, changes: &[Change], most: usize, cursor: &mut Cursor) -> (Vec<Update>, bool) {
    let view = app.view.read();
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (at, change) in changes.iter().enumerate() {
        last.insert(&change.key, at);
    }
    let mut earlier: HashMap<&str, Vec<&Earlier>> = HashMap::new();
    let mut updates: Vec<Update> = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        earlier.entry(&change.key).or_default().push(&change.earlier);
        if last.get(&*change.key) == Some(&at) {
            if updates.len() >= most {
                return (updates, false);
            }
            let held = earlier.remove(&*change.key).unwrap_or_default();
            let items = of_household(app, &view, viewer, now, &change.key, &held);
            cursor.pass(change.partition, change.offset);
            let count = items.len();
            updates.extend(
                items.into_iter().enumerate().map(|(index, item)| Update { item, cursor: (index + 1 == count).then(|| cursor.clone()) }),
            );
        } else {
            cursor.pass(change.partition, change.offset);
        }
    }
    (updates, true)
}

/// What a household's changes are to a viewer who may hold any of its earlier forms.
fn of_household(app: &App, view: &View, viewer: &Viewer, now: Millis, key: &str, earlier: &[&Earlier]) -> Vec<Item> {
    let mine = |seen: &&Seen| app.was_shown(viewer, seen.grid.as_deref(), seen.triage);
    let held: Vec<&Seen> =
        earlier.iter().filter_map(|earlier| if let Earlier::Seen(seen) = earlier { Some(seen) } else { None }).filter(mine).collect();
    let unknown = earlier.contains(&&Earlier::Unknown);
    let Some(task) = view.household(key) else {
        // The record is gone: its mandate is over.
        return held.last().map(|seen| bare(&seen.task_id, TaskState::Withdrawn, seen.version + 1)).into_iter().collect();
    };
    let may_read = app.may_read(viewer, task, now, Field::Address);
    if may_read == Err(Refusal::Mandate) {
        return vec![];
    }
    let mut items = Vec::new();
    if let Some(before) = &task.before {
        let held_it = held.iter().any(|seen| seen.task_id == before.task_id);
        if task.task_id != before.task_id && (unknown || held_it) {
            if app.may_read_before(viewer, task, before, now) {
                items.push(Item::Ended(Arc::clone(task)));
            } else if held_it {
                items.push(bare(&before.task_id, before.state, task.version));
            }
        }
    }
    if is_shown(task) && may_read.is_ok() {
        items.push(app.whole(task));
    } else if held.iter().any(|seen| seen.task_id == task.task_id) || unknown && was_mine(app, viewer, task) {
        items.push(bare(&task.task_id, task.state, task.version));
    }
    items
}

/// Whether one of its grids was the viewer's, as far as the record knows.
fn was_mine(app: &App, viewer: &Viewer, task: &Task) -> bool {
    !task.task_id.is_empty() && task.grids.iter().any(|stay| app.was_shown(viewer, Some(&stay.grid), false))
}

fn bare(task_id: &str, state: TaskState, version: i64) -> Item {
    // A task whose signals only wait has ended for whoever saw it.
    let state = if state == TaskState::Waiting { TaskState::Withdrawn } else { state };
    Item::Bare { task_id: task_id.to_owned(), state: state.as_str(), version }
}
