//! `POST /v1/tasks/{id}/actions`: what a worker did, appended once and answered when the router has decided it.
//!
//! It must not decide: whether an action wins is the router's word, read from the household's own record. What is checked here is what
//! the router cannot know: whose the task was at that moment, and that the fields make sense.

use super::problem::Problem;
use super::request::{self, ActionRequest, RegisterRequest};
use super::tasks::own;
use super::{Inbox, Ready};
use crate::answer::{Depth, Item};
use crate::app::App;
use crate::entitled::{Episode, Viewer};
use crate::shape;
use crate::time::now;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Clock;
use domain::authorize::{Action as Deed, Field, Refusal};
use domain::limits::{OUTCOME_AGE_MAX_MS, REGISTERED_MAX};
use domain::mandate::covers_grid;
use eventlog::Append;
use events::topics::{ACTIONS, household_key, partition_of};
use events::{Action, Answer, Blob, HouseholdEntry, Registration, Sealed, Task, TravellerId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Undecided after so long: 503, and the action stands.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// Actions remembered as under way; older ones go first.
const IN_FLIGHT_MAX: usize = 100_000;

/// Actions that were appended and not yet decided, by household and action id: a phone that asks again does not append again.
#[derive(Default)]
pub struct InFlight(Mutex<HashMap<(String, String), Instant>>);

impl InFlight {
    /// Whether this one is new, and from now on under way.
    fn begin(&self, household: &str, action_id: &str) -> bool {
        let mut under_way = self.0.lock();
        if under_way.len() >= IN_FLIGHT_MAX {
            let oldest = under_way.iter().min_by_key(|(_, since)| **since).map(|(key, _)| key.clone());
            oldest.and_then(|key| under_way.remove(&key));
        }
        under_way.insert((household.to_owned(), action_id.to_owned()), Instant::now()).is_none()
    }

    fn failed(&self, household: &str, action_id: &str) {
        self.0.lock().remove(&(household.to_owned(), action_id.to_owned()));
    }

    /// A household's record says which actions are decided.
    pub fn decided(&self, task: &Task) {
        let mut under_way = self.0.lock();
        if under_way.is_empty() || task.answers.is_empty() {
            return;
        }
        let household = household_key(&task.mandate, &task.household);
        for answer in &task.answers {
            under_way.remove(&(household.clone(), answer.action_id.to_string()));
        }
    }
}

pub(super) async fn act(
    Ready(app): Ready,
    viewer: Viewer,
    State(inbox): State<Inbox>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(task_id) = path.map_err(|_| Problem::no_task())?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "an action is at most 64 KiB"),
        _ => Problem::field("body", "the body could not be read"),
    })?;
    let request = request::action(&body)?;
    let mut changed = app.changed.subscribe();
    let (key, task) =
        app.view.read().of_task(&task_id).map(|(key, task)| (Arc::clone(key), Arc::clone(task))).ok_or_else(Problem::no_task)?;
    if app.may_read(&viewer, &task, now(), Field::State) == Err(Refusal::Mandate) {
        return Err(Problem::no_task());
    }
    // A registration is decided by the household that it names; everything else by the task's own.
    let decides: Arc<str> = match &request.register {
        Some(register) => household_key(&task.mandate, &register.household).into(),
        None => key.clone(),
    };
    let decider = app.view.read().household(&decides).map(Arc::clone);
    // An answer stands, also where the task has left its grid by it.
    let standing = decider.as_deref().map_or(Ok(None), |decider| decided(decider, &request, &viewer));
    if let Ok(Some(answer)) = &standing {
        return answered(&app, &viewer, answer, &task, &task_id).await;
    }
    // Whether somebody used this id at a task that is not the viewer's, is not the viewer's to know either.
    let action = checked(&app, &viewer, &task, &task_id, &request)?;
    standing?;
    if app.in_flight.begin(&decides, &request.action_id) {
        // Whose door said otherwise, is told too.
        let others = (decides != key && !task.household.starts_with('~')).then_some(&*key);
        let keys: Vec<&str> = others.into_iter().chain([&*decides]).collect();
        append(&app, &keys, &action).await.inspect_err(|_| app.in_flight.failed(&decides, &request.action_id))?;
    }
    let decision = async {
        loop {
            changed.borrow_and_update();
            let view = |key: &str| app.view.read().household(key).map(Arc::clone);
            let decider = view(&decides);
            if let Some(answer) = decider.as_deref().map_or(Ok(None), |decider| decided(decider, &request, &viewer))? {
                let task = view(&key).ok_or_else(Problem::no_task)?;
                return answered(&app, &viewer, &answer, &task, &task_id).await;
            }
            changed.changed().await.map_err(|_| undecided())?;
        }
    };
    tokio::select! {
        decision = decision => decision,
        () = tokio::time::sleep(DECIDED_WITHIN) => {
            metrics::counter!("oneknock_inbox_actions_undecided_total").increment(1);
            Err(undecided())
        }
        () = inbox.shutdown.cancelled() => Err(undecided()),
    }
}

fn undecided() -> Problem {
    Problem::again("the action stands and is not yet decided: ask again with the same action_id", 2)
}

/// What the record says of this action.
fn decided(task: &Task, request: &ActionRequest, viewer: &Viewer) -> Result<Option<Answer>, Problem> {
    match task.answers.iter().rev().find(|answer| answer.action_id == request.action_id) {
        Some(answer) if answer.actor != viewer.name() => Err(Problem::field("action_id", "somebody else has used this id")),
        found => Ok(found.cloned()),
    }
}

/// The answer to an action that was decided, with the task as it now is.
async fn answered(app: &App, viewer: &Viewer, answer: &Answer, task: &Arc<Task>, task_id: &str) -> Result<Response, Problem> {
    match answer.status {
        400 => return Err(Problem::field(answer.field.clone().unwrap_or_default(), "the router does not take this")),
        404 => return Err(Problem::no_task()),
        _ => {}
    }
    let bare = || {
        let (state, version) = match Episode::of(task, task_id) {
            Some(Episode::Before(before)) => (before.state, task.version),
            _ => (task.state, task.version),
        };
        Item::Bare { task_id: task_id.to_owned(), state: state.as_str(), version }
    };
    let item = own(app, viewer, task, task_id, Field::Address).unwrap_or_else(bare);
    let json = app.answer(viewer, "action", Depth::Address, &[item]).await?.pop().unwrap_or_default();
    if answer.status == 409 { Err(Problem::conflict(json)) } else { Ok(Json(json).into_response()) }
}

/// The action as it goes into the log, if it is this viewer's to take.
fn checked(app: &App, viewer: &Viewer, task: &Task, task_id: &str, request: &ActionRequest) -> Result<Action, Problem> {
    let received_at = now();
    // With the clock of events the household's now is the newest that it has seen, and `at` has no upper limit.
    let now = app.now_of(task, received_at);
    let episode = Episode::of(task, task_id).ok_or_else(Problem::no_task)?;
    let at = request.at.unwrap_or(now);
    let latest = if app.clock == Clock::Wall { at.min(now) } else { at };
    let clamped = episode.opened_at().map_or(latest, |opened| latest.max(opened));
    if !app.may_act(viewer, task, episode, clamped, request.at.is_some() && request.is_screening(), received_at) {
        return Err(Problem::no_task());
    }
    if at.0 < now.0 - OUTCOME_AGE_MAX_MS {
        return Err(Problem::field("at", "older than 28 days"));
    }
    if let Some(grid) = &request.to_grid {
        let entry = app.grids.get(grid).ok_or_else(|| Problem::field("to_grid", "there is no such grid"))?;
        let mandate = app.mandates.get(&task.mandate).ok_or_else(Problem::no_task)?;
        if !covers_grid(&mandate, &entry) {
            return Err(Problem::field("to_grid", "this grid lies outside the mandate"));
        }
    }
    Ok(Action {
        action_id: request.action_id.as_str().into(),
        task_id: task_id.into(),
        action: request.action,
        outcome: request.outcome,
        to_grid: request.to_grid.as_deref().map(Into::into),
        note: request.note.as_deref().map(|note| sealed_note(app, task, note)).transpose()?,
        at: request.at,
        actor: viewer.name().into(),
        supervisor: viewer.is_supervisor(),
        received_at,
        register: request.register.as_ref().map(|register| registration(app, viewer, task, register)).transpose()?,
    })
}

/// Who is of which household: people of this task, of a household in a grid of the viewer's. One that is not there and one that is
/// somebody else's look alike.
fn registration(app: &App, viewer: &Viewer, task: &Task, register: &RegisterRequest) -> Result<Registration, Problem> {
    let entry = app.households.get(&household_key(&task.mandate, &register.household));
    let entry = entry.and_then(|value| app.schemas.codec().decode::<HouseholdEntry>(&value).ok());
    let own = |entry: &HouseholdEntry| app.has_grid(viewer, &entry.grid, Deed::Act { screening: false });
    if !entry.as_ref().is_some_and(own) {
        return Err(Problem::field("household", "there is no such household in your grids"));
    }
    let here = |person: &str| task.stays.iter().find(|stay| shape::person(&task.task_id, &stay.traveller) == person);
    let travellers: Option<Vec<TravellerId>> = match &register.people {
        Some(people) => people.iter().map(|person| here(person).map(|stay| stay.traveller)).collect(),
        None => Some(task.stays.iter().map(|stay| stay.traveller).take(REGISTERED_MAX).collect()),
    };
    let travellers = travellers.filter(|travellers| !travellers.is_empty());
    let travellers = travellers.ok_or_else(|| Problem::field("people", "they are not at this task now: look at it again"))?;
    Ok(Registration { household: register.household.as_str().into(), travellers })
}

/// A note is as personal as an address: sealed before it goes anywhere.
fn sealed_note(app: &App, task: &Task, note: &str) -> Result<Sealed, Problem> {
    let away = || Problem::again("the keys of the mandate cannot be had now: send it again with the same action_id", 30);
    let keys = app.keyring.mandate(&task.mandate).ok_or_else(away)?;
    let owner = household_key(&task.mandate, &task.household);
    let value = Blob(keys.seal("note", &owner, note.as_bytes()).map_err(|_| away())?);
    Ok(Sealed { owner: owner.into(), value })
}

async fn append(app: &App, keys: &[&str], action: &Action) -> Result<(), Problem> {
    let value: bytes::Bytes = app.schemas.codec().encode(action).into();
    let record = |key: &&str| Append {
        topic: ACTIONS.to_owned().into(),
        partition: partition_of(key.as_bytes(), app.partitions),
        key: key.as_bytes().to_vec().into(),
        value: Some(value.clone()),
        headers: Default::default(),
    };
    app.log.append(keys.iter().map(record).collect()).await.map_err(|error| {
        tracing::warn!(%error, topic = ACTIONS, "an action could not be appended");
        Problem::again("the log is away: send it again with the same action_id", 2)
    })?;
    metrics::counter!("oneknock_inbox_actions_total", "action" => action.action.as_str()).increment(1);
    Ok(())
}
