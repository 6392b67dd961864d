//! One history on a shared site, step by step: what each kind of step does and compares.

use super::world::{World, identifier, moment};
use anyhow::{Context, Result, bail, ensure};
use eventlog::Append;
use events::{CheckpointPassage, Code, Codec, Direction, EventId, SourceKind, time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use testkit::histories::{Act, History, Sighting, Step};
use testkit::site::until;

/// What a history knows of itself.
pub struct Run {
    /// In front of every name of its own.
    prefix: String,
    /// By event: its kind, its record, its event id, and what has become of it by the last word of the history.
    sent: BTreeMap<&'static str, Sent>,
    /// The task that an event opened.
    opened: BTreeMap<&'static str, String>,
    /// Every task that was ever seen of this history's households and events.
    visits: BTreeSet<String>,
    mandate_ended: bool,
}

struct Sent {
    kind: &'static str,
    topic: &'static str,
    record: Value,
    event_id: String,
    code: Code,
}

/// Runs it to its end.
pub async fn run(world: &World, history: &History) -> Result<()> {
    let mut run = Run {
        prefix: format!("h{:02}", history.number),
        sent: BTreeMap::new(),
        opened: BTreeMap::new(),
        visits: BTreeSet::new(),
        mandate_ended: false,
    };
    for (at, step) in history.steps.iter().enumerate() {
        let done = run.step(world, step).await;
        done.with_context(|| format!("history {} ({}) breaks at step {at}: {step:?}", history.number, history.title))?;
    }
    world.finish(history.number, run);
    Ok(())
}

/// Whether the last words of the history hold when the site has come to rest.
pub async fn still_holds(world: &World, history: &History) -> Result<()> {
    // A history that broke has said so itself.
    let Some(run) = world.finished(history.number) else { return Ok(()) };
    for (event, sent) in &run.sent {
        let now = world.site.client.code(sent.kind, &run.id(event)).await?;
        ensure!(now.as_deref() == Some(sent.code.as_str()), "history {}: at rest {event} is {now:?}, not {:?}", history.number, sent.code);
    }
    let tasks = run.tasks(world).await?;
    let visits: BTreeSet<String> = run.visits.iter().cloned().chain(tasks.iter().flat_map(ids)).collect();
    let last = |wanted: fn(&Step) -> bool| history.steps.iter().rev().find(|step| wanted(step));
    if let Some(Step::Visits(count)) = last(|step| matches!(step, Step::Visits(_))) {
        ensure!(visits.len() == *count, "history {}: at rest {} visits, not {count}", history.number, visits.len());
    }
    // Only where nothing but questions came after it.
    let questions = history.steps.iter().rev().take_while(|step| matches!(step, Step::Open(_) | Step::Visits(_) | Step::Now(..)));
    for step in questions {
        if let Step::Open(grids) = step {
            ensure!(open(&tasks) == *grids, "history {}: at rest open in {:?}, not {grids:?}", history.number, open(&tasks));
        }
    }
    Ok(())
}

impl Run {
    async fn step(&mut self, world: &World, step: &Step) -> Result<()> {
        match step {
            Step::See(sighting, Code::MandateEnded) if self.mandate_ended => self.see_after_the_mandate(world, sighting).await,
            Step::See(sighting, code) => self.see(world, sighting, *code).await,
            Step::Again(event) => self.again(world, event).await,
            Step::Registry(people) => world.register(&self.prefix, people).await,
            Step::Act(act) => self.act(world, act).await,
            Step::Register(event, household) => self.register(world, event, household).await,
            Step::Now(event, code) => {
                let sent = self.sent.get_mut(event).context("an event that was sent")?;
                sent.code = *code;
                let kind = sent.kind;
                self.until_code(world, kind, event, *code).await
            }
            Step::Visits(count) => {
                self.compare(
                    world,
                    "visits",
                    |_, visits| if visits.len() == *count { Ok(()) } else { Err(format!("{} of {count}", visits.len())) },
                )
                .await
            }
            Step::Open(grids) => {
                self.compare(world, "the open tasks", |tasks, _| {
                    if open(tasks) == *grids { Ok(()) } else { Err(format!("{:?}, not {grids:?}", open(tasks))) }
                })
                .await
            }
            Step::MandateEnds(_) => {
                self.mandate_ended = true;
                Ok(())
            }
        }
    }

    async fn until_code(&self, world: &World, kind: &str, event: &str, code: Code) -> Result<()> {
        until(&format!("{} for {event}", code.as_str()), world.patience, async || {
            let now = world.site.client.code(kind, &self.id(event)).await?;
            Ok(if now.as_deref() == Some(code.as_str()) { Ok(()) } else { Err(format!("{now:?}")) })
        })
        .await
    }

    fn id(&self, event: &str) -> String {
        format!("{}-{event}", self.prefix)
    }

    async fn see(&mut self, world: &World, sighting: &Sighting, code: Code) -> Result<()> {
        let (kind, topic, record) = self.record(sighting);
        let posted = world.site.client.post(kind, std::slice::from_ref(&record)).await?;
        let result = posted.results.first().with_context(|| format!("{posted:?}"))?;
        ensure!(result["status"] == "accepted", "the gateway says {result}");
        let event_id = result["event_id"].as_str().context("an event id")?.to_owned();
        self.sent.insert(sighting.event, Sent { kind, topic, record, event_id: event_id.clone(), code });
        self.until_code(world, kind, sighting.event, code).await?;
        if code == Code::Opened {
            let task = until("a task with the event", world.patience, async || {
                let tasks = self.tasks(world).await?;
                let with = tasks.iter().find(|task| is_open(task) && evidence(task).any(|event| event == event_id));
                Ok(with.and_then(|task| task["task_id"].as_str()).map(str::to_owned).ok_or_else(|| format!("{tasks:?}")))
            });
            let task = task.await?;
            self.visits.insert(task.clone());
            self.opened.insert(sighting.event, task);
        }
        Ok(())
    }

    /// The agency's own record.
    fn record(&self, sighting: &Sighting) -> (&'static str, &'static str, Value) {
        let direction = if sighting.out { "out" } else { "in" };
        let (kind, topic, mut record) = match sighting.kind {
            SourceKind::Checkpoint => ("checkpoint", events::topics::CHECKPOINT, json!({"checkpoint": "G60-118", "direction": direction})),
            SourceKind::Highway => ("highway", events::topics::HIGHWAY, json!({"station": "G60-K12", "direction": direction})),
            SourceKind::Telecom => ("telecom", events::topics::TELECOM, json!({"to_division": "330106", "dwell_minutes": 240})),
        };
        record["id"] = self.id(sighting.event).into();
        record["observed_at"] = time::format(moment(sighting.day)).into();
        for name in sighting.identifiers {
            let (field, value) = identifier(&self.prefix, name);
            record[field] = value.into();
        }
        if let Some((grid, address)) = sighting.to {
            let division = if grid == "g1" { "330106" } else { "330107" };
            let address = address.map(|address| format!("{address}{}", self.prefix));
            record["destination"] = json!({"division": division, "grid": grid, "address": address});
        }
        (kind, topic, record)
    }

    /// The gateway knows it again; and the router does, when a gateway that has forgotten takes it a second time.
    async fn again(&mut self, world: &World, event: &str) -> Result<()> {
        let sent = self.sent.get(event).context("an event that was sent")?;
        let before = versions(&self.tasks(world).await?);
        let posted = world.site.client.post(sent.kind, std::slice::from_ref(&sent.record)).await?;
        let result = posted.results.first().with_context(|| format!("{posted:?}"))?;
        ensure!(result["status"] == "duplicate" && result["event_id"] == sent.event_id.as_str(), "the gateway says {result}");
        let stored = world.record(sent.topic, &sent.event_id).await?;
        let again = Append {
            topic: sent.topic.to_owned().into(),
            partition: stored.partition,
            key: stored.key.clone(),
            value: stored.value,
            headers: stored.headers,
        };
        world.log.append(vec![again]).await?;
        world.read_to_the_end(&[sent.topic]).await?;
        world.read_to_the_end(&[events::topics::ARRIVALS]).await?;
        let now = world.site.client.code(sent.kind, &self.id(event)).await?;
        ensure!(now.as_deref() == Some(sent.code.as_str()), "its code is {now:?} now, not {:?}", sent.code);
        let after = versions(&self.tasks(world).await?);
        ensure!(after == before, "tasks and versions were {before:?} and are {after:?}");
        Ok(())
    }

    async fn act(&mut self, world: &World, act: &Act) -> Result<()> {
        let task = self.opened.get(act.event).context("an event that opened a task")?;
        let action = json!({
            "action_id": uuid::Uuid::new_v4().to_string(),
            "action": act.action.as_str(),
            "outcome": act.outcome.map(|outcome| outcome.as_str()),
            "to_grid": act.to_grid,
            "at": time::format(moment(act.day)),
        });
        let acted = world.site.client.act(task, &action).await?;
        ensure!(acted.status == 200, "the inbox says {} {}", acted.status, acted.body);
        let again = world.site.client.act(task, &action).await?;
        ensure!(
            (again.status.as_u16(), &again.body["task_id"]) == (200, &acted.body["task_id"]),
            "asked again it says {} {}",
            again.status,
            again.body
        );
        Ok(())
    }

    /// All who are at the task in which the event stands now, by the worker's hand; and the phone asks again.
    async fn register(&mut self, world: &World, event: &str, household: &str) -> Result<()> {
        let event_id = self.sent.get(event).context("an event that was sent")?.event_id.clone();
        let action_id = uuid::Uuid::new_v4().to_string();
        let household = format!("{}-{household}", self.prefix);
        let action = json!({"action_id": action_id, "action": "register", "household": household});
        // What came just now may not be seen yet: everybody must be, to be registered.
        until("a registration to be taken", world.patience, async || {
            let tasks = self.tasks(world).await?;
            let stands = |sent: &Sent| matches!(sent.code, Code::Opened | Code::Joined);
            let shown = |sent: &&Sent| tasks.iter().any(|task| evidence(task).any(|one| one == sent.event_id));
            if self.sent.values().filter(|sent| stands(sent)).any(|sent| !shown(&sent)) {
                return Ok(Err(format!("not everybody is there yet: {tasks:?}")));
            }
            let of_event = tasks.iter().find(|task| is_open(task) && evidence(task).any(|one| one == event_id));
            let of_event = of_event.or_else(|| tasks.iter().find(|task| evidence(task).any(|one| one == event_id)));
            let Some(task) = of_event.and_then(|task| task["task_id"].as_str()) else {
                return Ok(Err(format!("no task of it: {tasks:?}")));
            };
            let acted = world.site.client.act(task, &action).await?;
            Ok(if acted.status == 200 { Ok(()) } else { Err(format!("{} {}", acted.status, acted.body)) })
        })
        .await
    }

    /// The gateway refuses it; one that did not know yet has let it through, and the router says so.
    async fn see_after_the_mandate(&mut self, world: &World, sighting: &Sighting) -> Result<()> {
        let (kind, topic, record) = self.record(sighting);
        let posted = world.site.client.post(kind, &[record]).await?;
        let result = posted.results.first().with_context(|| format!("{posted:?}"))?;
        ensure!(result["status"] == "rejected" && result["code"] == "no_mandate", "the gateway says {result}");

        let earlier = self.sent.values().find(|sent| sent.topic == topic).context("an event from before")?;
        let stored = world.record(topic, &earlier.event_id).await?;
        let codec = Codec::built_in();
        let mut passage: CheckpointPassage = codec.decode(stored.value.as_deref().context("a value")?)?;
        let number = events::ids::digest64(&[sighting.event.as_bytes()]).to_be_bytes();
        let event_id = EventId(std::array::from_fn(|at| number[at % 8]));
        (passage.event_id, passage.source_ref, passage.direction) = (event_id, event_id.to_string().into(), Direction::In);
        (passage.observed_at, passage.received_at) = (moment(sighting.day), moment(sighting.day));
        let headers = events::cloudevents::headers(event_id, &passage.source, "CheckpointPassage", passage.observed_at, None);
        let value = Some(codec.encode(&passage).into());
        let append = Append { topic: topic.to_owned().into(), partition: stored.partition, key: stored.key.clone(), value, headers };
        world.log.append(vec![append]).await?;
        until("the router's word about it", world.patience, async || {
            let decisions = oneknock_tests::topics::decisions(&world.log).await?;
            let said: Vec<Code> = decisions.iter().filter(|one| one.event_id == event_id).map(|one| one.code).collect();
            match said.as_slice() {
                [] => Ok(Err("nothing".into())),
                said if said.iter().all(|code| *code == Code::MandateEnded) => Ok(Ok(())),
                _ => bail!("it says {said:?}"),
            }
        })
        .await
    }

    /// Asks until the tasks of this history, and every visit ever seen of it, are as they should be.
    async fn compare(
        &mut self,
        world: &World,
        what: &str,
        right: impl Fn(&[Value], &BTreeSet<String>) -> Result<(), String>,
    ) -> Result<()> {
        let mut visits = self.visits.clone();
        until(what, world.patience, async || {
            let tasks = self.tasks(world).await?;
            visits.extend(tasks.iter().flat_map(ids));
            Ok(right(&tasks, &visits))
        })
        .await?;
        self.visits = visits;
        Ok(())
    }

    /// The tasks of this history: of its households, with its events, or seen before.
    async fn tasks(&self, world: &World) -> Result<Vec<Value>> {
        let mut tasks = world.site.client.tasks().await?;
        let household = format!("{}-", self.prefix);
        tasks.retain(|task| {
            task["household"].as_str().is_some_and(|name| name.starts_with(&household))
                || evidence(task).any(|event| self.sent.values().any(|sent| sent.event_id == event))
                || task["task_id"].as_str().is_some_and(|id| self.visits.contains(id))
        });
        Ok(tasks)
    }
}

fn is_open(task: &Value) -> bool {
    matches!(task["state"].as_str(), Some("OPEN" | "CLAIMED"))
}

fn evidence(task: &Value) -> impl Iterator<Item = &str> {
    task["evidence"].as_array().into_iter().flatten().filter_map(|one| one["event_id"].as_str())
}

/// Ids of the task itself and of the episode before.
fn ids(task: &Value) -> Vec<String> {
    [&task["task_id"], &task["before"]["task_id"]].into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The grids of the open tasks, sorted.
fn open(tasks: &[Value]) -> Vec<&str> {
    let mut grids: Vec<&str> = tasks.iter().filter(|task| is_open(task)).filter_map(|task| task["grid"].as_str()).collect();
    grids.sort_unstable();
    grids
}

fn versions(tasks: &[Value]) -> BTreeMap<String, (String, i64)> {
    let one = |task: &Value| {
        let text = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
        (text("task_id"), (text("state"), task["version"].as_i64().unwrap_or_default()))
    };
    tasks.iter().map(one).collect()
}
