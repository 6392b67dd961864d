//! The judge of a simulated site: told what happened and what was seen, in order, it says which law was broken. It shares no code with
//! the router's judgement, and where times lie nearer to a border than `slack` it says nothing: whatever it finds is wrong.
//!
//! It knows what each word of a Decision must rest on, what must hold when all has come to rest, and what must hold at every moment:
//! no signal is ever evidence of two open tasks.

use super::known::{Fact, Known, names, short};
use super::script::{Deed, Finding, MANDATE, Seen, What};
use events::time::{china_day, format};
use events::topics::household_key;
use events::*;
use std::collections::{BTreeMap, BTreeSet};

struct Screening {
    task_id: String,
    door: Millis,
    level: Level,
    /// Travellers whose evidence the task had shown by then, for sure.
    travellers: BTreeSet<String>,
}

/// The judge.
#[derive(Default)]
pub struct Judge {
    /// What is wrong so far.
    pub findings: Vec<Finding>,
    /// Open tasks must end by the clock alone.
    pub expires_by_the_clock: bool,
    known: Known,
    tasks: BTreeMap<String, Task>,
    /// Of every task, what was ever shown as evidence, since when.
    evidence: BTreeMap<String, BTreeMap<EventId, Millis>>,
    key_of_task: BTreeMap<String, String>,
    /// Which open task rests on an event.
    holder: BTreeMap<EventId, String>,
    decisions: BTreeMap<EventId, Decision>,
    undecided: BTreeSet<EventId>,
    deeds: BTreeMap<String, (Deed, Option<i32>)>,
    unanswered: BTreeSet<String>,
    /// By key.
    screenings: BTreeMap<String, Vec<Screening>>,
    wrong: BTreeMap<String, Millis>,
    /// Since when, to which grid, and to which ever.
    hand_backs: BTreeMap<String, (Millis, Option<String>, BTreeSet<String>)>,
}

fn is_open(state: TaskState) -> bool {
    matches!(state, TaskState::Open | TaskState::Claimed)
}

impl Judge {
    /// A judge who knows nothing yet. `slack`: how far the site's now and its tables may be behind the log's, in milliseconds.
    pub fn new(slack: i64) -> Judge {
        Judge { known: Known::new(slack), ..Judge::default() }
    }

    /// Takes in what happened, or was seen, next.
    pub fn see(&mut self, seen: &Seen) {
        match seen {
            Seen::Step(step) => {
                if let What::Event(event, _) = &step.what {
                    self.undecided.extend(Some(event.head().event_id).filter(|event| !self.decisions.contains_key(event)));
                }
                self.known.step(step);
            }
            Seen::Deed(deed) => {
                self.unanswered.insert(deed.action.action_id.to_string());
                self.deeds.insert(deed.action.action_id.to_string(), (deed.clone(), None));
            }
            Seen::Task(at, key, Some(task)) => self.task(*at, key, task),
            Seen::Task(at, key, None) => self.find(3, format!("{key} was emptied at {}", format(*at))),
            Seen::Decision(decision) => self.decision(decision),
            Seen::Rest(now) => self.rest(*now),
            Seen::Said(..) => {}
            Seen::View(reader, tasks) => {
                let differs = |key: &&String| tasks.get(*key) != self.tasks.get(*key);
                if let Some(key) = tasks.keys().chain(self.tasks.keys()).find(differs).cloned() {
                    self.find(3, format!("{key}: {reader} holds {:?}, the topic {:?}", tasks.get(&key), self.tasks.get(&key)));
                }
            }
        }
    }

    fn find(&mut self, law: u8, what: String) {
        self.findings.push(Finding { law, what });
    }

    fn facts(&self, task: &Task) -> Vec<&Fact> {
        task.evidence.iter().filter_map(|one| self.known.events.get(&one.event_id)).collect()
    }

    /// Every screening at a key where its traveller has been, each key once.
    fn screenings(&self, fact: &Fact) -> Vec<(&str, &Screening)> {
        let keys: BTreeSet<String> = self.known.places(fact).iter().map(|place| household_key(MANDATE, place)).collect();
        let here = keys.iter().filter_map(|key| self.screenings.get_key_value(key));
        here.flat_map(|(key, all)| all.iter().map(|one| (key.as_str(), one))).collect()
    }

    /// A screening answers it for sure: one at this key, or also one that its traveller took along.
    fn is_answered(&self, fact: &Fact, key: &str, taken_along: bool) -> bool {
        let (known, observed_at) = (&self.known, fact.event.head().observed_at);
        let counts = |at: &str, one: &Screening| at == key || taken_along && one.travellers.contains(&fact.traveller);
        let rises = |cover| known.policies.iter().any(|one| one.rescreen_when_risk_rises && known.level(one, &fact.event) > Some(cover));
        let answers = |one: &Screening| observed_at.0 < one.door.0 - known.slack + known.window(true) && !rises(one.level);
        let counting: Vec<&Screening> = self.screenings(fact).into_iter().filter(|(at, one)| counts(at, one)).map(|(_, one)| one).collect();
        // Only the newest 4 are remembered.
        counting.len() <= 4 && counting.into_iter().any(answers)
    }

    /// A screening may answer it, at one of these places.
    fn may_be_answered(&self, fact: &Fact, places: &[String]) -> bool {
        let (known, observed_at) = (&self.known, fact.event.head().observed_at);
        let allows = |one: &Policy, cover| !one.rescreen_when_risk_rises || known.level(one, &fact.event) <= Some(cover);
        self.screenings(fact).into_iter().any(|(key, one)| {
            let here = places.iter().any(|place| household_key(MANDATE, place) == key);
            let reaches = here || known.first_at(fact).0 <= one.door.0 + known.slack;
            let in_time = observed_at.0 < one.door.0 + known.slack + known.window(false);
            reaches && in_time && known.policies.iter().any(|policy| allows(policy, one.level))
        })
    }

    /// What must hold at every record.
    fn task(&mut self, at: Millis, key: &str, task: &Task) {
        self.known.now = self.known.now.max(at);
        let open = is_open(task.state);
        let say = |what: &str| format!("{key} at {}: task {} of episode {} {what}", format(at), short(&task.task_id), task.episode);
        for episode in 1..=task.episode {
            self.key_of_task.insert(ids::task_id(MANDATE, &task.household, episode).to_string(), key.to_owned());
        }
        if task.episode > 0 && *task.task_id != ids::task_id(MANDATE, &task.household, task.episode) {
            self.find(3, say("has an id that is not computed"));
        }
        if open && self.is_screened(key, &task.task_id) {
            self.find(1, say("is open although it was screened"));
        }
        let shown = self.evidence.entry(task.task_id.to_string()).or_default();
        for one in &task.evidence {
            shown.entry(one.event_id).or_insert(at);
        }
        task.answers.iter().for_each(|answer| self.answer(at, key, task, answer));
        if let Some(old) = self.tasks.get(key).cloned() {
            if task.version < old.version || task.episode < old.episode {
                self.find(3, say(&format!("goes back from version {} to {}", old.version, task.version)));
            }
            let visible = |one: &Task| (one.state, one.assignee.clone(), one.grid.clone(), one.priority, one.triage);
            if (open || is_open(old.state)) && task.version == old.version && visible(task) != visible(&old) {
                self.find(3, say("changes without a new version"));
            }
            if task.episode > old.episode && open {
                self.opened_again(key, &old, task, &say("was opened"));
            }
        }
        let claims = |one: &&Answer| {
            one.status == 200 && self.deeds.get(&*one.action_id).is_some_and(|(deed, _)| deed.action.action == ActionKind::Claim)
        };
        let winner = task.answers.iter().rfind(claims);
        if task.state == TaskState::Claimed && winner.is_some_and(|claim| Some(&*claim.actor) != task.assignee.as_deref()) {
            self.find(1, say("is claimed by somebody who did not win it"));
        }
        for one in self.tasks.get(key).into_iter().flat_map(|old| &old.evidence) {
            if self.holder.get(&one.event_id).is_some_and(|holder| holder == key) {
                self.holder.remove(&one.event_id);
            }
        }
        for one in task.evidence.iter().filter(|_| open) {
            let Some(fact) = self.known.events.get(&one.event_id) else {
                self.find(2, say(&format!("rests on {}, which nobody sent", one.event_id)));
                continue;
            };
            let name = fact.name.clone();
            if let Some(other) = self.holder.insert(one.event_id, key.to_owned()) {
                self.find(1, say(&format!("and one of {other} are open for {name} at once")));
            }
        }
        self.tasks.insert(key.to_owned(), task.clone());
    }

    fn is_screened(&self, key: &str, task_id: &str) -> bool {
        self.screenings.get(key).is_some_and(|all| all.iter().any(|one| one.task_id == task_id))
    }

    fn answer(&mut self, at: Millis, key: &str, task: &Task, answer: &Answer) {
        let Some((deed, said)) = self.deeds.get_mut(&*answer.action_id) else {
            return self.find(3, format!("{key}: an answer to {}, which nobody sent", answer.action_id));
        };
        match said.replace(answer.status) {
            Some(said) if said == answer.status => return,
            Some(said) => return self.find(3, format!("{key}: {} was answered {said}, now {}", answer.action_id, answer.status)),
            None => drop(self.unanswered.remove(&*answer.action_id)),
        }
        let (action, sent) = (deed.action.clone(), deed.at);
        let (door, old) = (action.at.unwrap_or(at), self.tasks.get(key));
        let priority = |one: &Task| match &one.before {
            _ if *one.task_id == *action.task_id => Some(one.priority),
            Some(before) if *before.task_id == *action.task_id => Some(before.priority),
            _ => None,
        };
        match (answer.status, action.outcome) {
            (200, Some(Outcome::Screened | Outcome::NeedsHelp)) if !self.is_screened(key, &action.task_id) => {
                let level = priority(task).or(old.and_then(priority)).unwrap_or(Level::Low);
                let shown = self.evidence.get(&*action.task_id).into_iter().flatten();
                let by_then = shown.filter(|(_, since)| since.0 + self.known.slack <= door.0);
                // Who has gone and come back may have come back as another stay.
                let stays = |fact: &&Fact| self.known.places(fact).iter().filter(|one| household_key(MANDATE, one) == key).count() == 1;
                let facts = by_then.filter_map(|(event, _)| self.known.events.get(event)).filter(stays);
                let travellers = facts.map(|fact| fact.traveller.clone()).collect();
                let screening = Screening { task_id: action.task_id.to_string(), door, level, travellers };
                self.screenings.entry(key.to_owned()).or_default().push(screening);
            }
            (400 | 404 | 409, Some(Outcome::Screened | Outcome::NeedsHelp)) if priority(task).is_some() => {
                let (id, status) = (&action.action_id, answer.status);
                self.find(1, format!("{key}: the screening {id} of task {} was refused with {status}", short(&action.task_id)));
            }
            (200, Some(Outcome::WrongHousehold)) => drop(self.wrong.insert(key.to_owned(), sent.min(self.known.rested))),
            (200, None) if action.action == ActionKind::HandBack => {
                let all = self.hand_backs.entry(key.to_owned()).or_default();
                (all.0, all.1) = (at, action.to_grid.map(String::from));
                all.2.extend(all.1.clone());
            }
            _ => {}
        }
    }

    /// A further visit of a household needs evidence that nothing answered, behind the end of the visit before.
    fn opened_again(&mut self, key: &str, old: &Task, task: &Task, what: &str) {
        let (facts, known) = (self.facts(task), &self.known);
        let before = task.before.as_ref().filter(|before| before.task_id == old.task_id && task.episode == old.episode + 1);
        let shown = self.evidence.get(&*old.task_id).filter(|_| old.evidence.len() < 16).into_iter().flatten();
        let first = shown.filter_map(|(event, _)| known.events.get(event)).map(|fact| fact.event.head().observed_at.0).min();
        let end = first.map(|first| first + known.window(true));
        let since = self.wrong.get(key).copied().unwrap_or(known.now);
        let opened = old.opened_at.unwrap_or(known.now); // What came of it may have waited long since for something else.
        let (over, why) = match before.map(|before| (before.state, before.outcome)) {
            Some((TaskState::Expired, _)) => (end, "within the time of one that had expired"),
            Some((TaskState::Done, Some(Outcome::MovedAway))) if !known.changed_since(&task.household, opened) => {
                (end, "although they had moved away")
            }
            Some((TaskState::Withdrawn, Some(Outcome::WrongHousehold))) if !known.changed_since(&task.household, since) => {
                (Some(i64::MAX), "although it was the wrong household")
            }
            Some((TaskState::Open | TaskState::Claimed, _)) => (Some(i64::MAX), "while the one before was open"),
            _ => (None, ""),
        };
        if facts.iter().all(|fact| over.is_some_and(|over| fact.event.head().observed_at.0 < over)) {
            return self.find(1, format!("{what} {why}, for {}", names(&facts)));
        }
        if !facts.is_empty() && facts.iter().all(|fact| self.is_answered(fact, key, false)) {
            self.find(1, format!("{what} although a screening covers {}", names(&facts)));
        }
    }

    fn decision(&mut self, decision: &Decision) {
        let Some(fact) = self.known.events.get(&decision.event_id) else {
            return self.find(2, format!("a decision about {}, which nobody sent", decision.event_id));
        };
        let word =
            |one: &Decision| format!("{} ({}) at revision {}", one.code, one.task_id.as_deref().map_or("no task", short), one.revision);
        let differs = |old: &&Decision| old.revision == decision.revision && (old.code, &old.task_id) != (decision.code, &decision.task_id);
        if let Some(reason) = self.unfounded(fact, decision) {
            self.find(2, format!("{} is {}: {reason}", self.known.who(fact), word(decision)));
        } else if let Some(old) = self.decisions.get(&decision.event_id).filter(differs) {
            self.find(2, format!("{} is {} and {}", self.known.who(fact), word(old), word(decision)));
        }
        self.undecided.remove(&decision.event_id);
        if self.decisions.get(&decision.event_id).is_none_or(|old| old.revision <= decision.revision) {
            self.decisions.insert(decision.event_id, decision.clone());
        }
    }

    /// Why a word cannot be true, whatever the order in which things were read.
    fn unfounded(&self, fact: &Fact, decision: &Decision) -> Option<&'static str> {
        let (head, known) = (fact.event.head(), &self.known);
        let (age, places, crowded) = (fact.at.0 - head.observed_at.0, known.places(fact), known.is_crowded(fact));
        if decision.code != Code::MandateEnded && !known.may_be_allowed(fact) {
            return Some("no mandate was in force");
        }
        let here = |key: &String| places.iter().any(|place| household_key(MANDATE, place) == *key);
        let below = |one: &Policy| one.least_level.is_some() && known.level(one, &fact.event) < one.least_level;
        let handed_out = |to: &BTreeSet<String>| !to.is_disjoint(&known.outside);
        let founded = match decision.code {
            Code::Late if age + known.slack <= known.grace(true) && !crowded => return Some("it came in time"),
            Code::Late => true,
            Code::Duplicate => known.twins(fact).len() > 1,
            Code::MandateEnded => known.may_be_forbidden(fact),
            Code::NotMatching => head.direction == Direction::Out || known.policies.iter().any(below),
            Code::OutOfArea => known.may_be_outside(fact) || self.hand_backs.iter().any(|(key, (.., all))| here(key) && handed_out(all)),
            Code::Unresolved => known.may_lack_grid(fact) || self.wrong.keys().any(here),
            Code::Held => known.policies.iter().any(|policy| policy.weak_sources.contains(&fact.event.kind())),
            Code::Covered => self.may_be_answered(fact, places),
            Code::Opened | Code::Joined if head.direction == Direction::Out => return Some("it left the area"),
            Code::Opened | Code::Joined if age - known.slack > known.grace(false) && !crowded => return Some("it came too late"),
            Code::Opened | Code::Joined => decision.task_id.as_deref().and_then(|task| self.key_of_task.get(task)).is_some_and(here),
        };
        (!founded).then_some("nothing bears it out")
    }

    /// What must hold when nothing is on its way.
    fn rest(&mut self, now: Millis) {
        (self.known.now, self.known.rested) = (self.known.now.max(now), now);
        let known = &self.known;
        let undecided = self.undecided.iter().filter_map(|event| known.events.get(event));
        let mut found: Vec<(u8, String)> = undecided.map(|fact| (2, format!("{} has no decision", known.who(fact)))).collect();
        found.extend(self.unanswered.iter().map(|action| (2, format!("action {action} has no answer"))));
        let in_force = |(_, one): &(Millis, Mandate)| one.state == MandateState::Open && Known::in_force(one, Millis(now.0 + known.slack));
        if known.mandates.last().is_some_and(in_force) {
            let young = |fact: &&Fact| fact.event.head().observed_at.0 + known.window(true) > now.0 + known.slack;
            let facts = known.events.values().filter(young);
            found.extend(facts.filter_map(|fact| Some((2, format!("{} {}", known.who(fact), self.lost(fact)?)))));
            let open = self.tasks.iter().filter(|(_, task)| is_open(task.state));
            let say = |key: &str, task: &Task, what| format!("{key} at {}: task {} {what}", format(now), short(&task.task_id));
            found.extend(open.filter_map(|(key, task)| Some((1, say(key, task, self.needless(key, task)?)))));
        }
        found.into_iter().for_each(|(law, what)| self.find(law, what));
    }

    /// Why a live strong signal has neither a task nor an answer. None: it has, or it is not certain to need one.
    fn lost(&self, fact: &Fact) -> Option<String> {
        let (head, known) = (fact.event.head(), &self.known);
        let (decision, policy) = (self.decisions.get(&head.event_id)?, known.policies.last()?);
        let place = known.places(fact).last()?;
        let key = household_key(MANDATE, place);
        let in_time = fact.at.0 + known.slack - head.observed_at.0 < known.grace(true);
        let strong = !policy.weak_sources.contains(&fact.event.kind()) && known.level(policy, &fact.event) >= policy.least_level;
        let declares = !place.starts_with('~') || head.destination.is_some();
        let handed_out = self.hand_backs.get(&key).is_some_and(|(.., all)| all.iter().any(|to| !known.is_inside(to)));
        let has_grid = declares && !handed_out && known.certain_grid(place).is_some();
        if head.direction == Direction::Out || !in_time || !strong || !has_grid || known.is_crowded(fact) {
            return None;
        }
        let may_be_answered = self.may_be_answered(fact, std::slice::from_ref(place));
        match decision.code {
            Code::MandateEnded => None,
            Code::Duplicate => {
                let is_duplicate = |event: &EventId| self.decisions.get(event).is_some_and(|one| one.code == Code::Duplicate);
                known.twins(fact).iter().all(is_duplicate).then(|| "is a duplicate, and so are its twins".to_owned())
            }
            Code::Covered if may_be_answered => None,
            Code::Unresolved | Code::OutOfArea if may_be_answered && place.starts_with('~') => None,
            Code::Unresolved if self.wrong.contains_key(&key) => None,
            Code::Opened | Code::Joined => {
                let task_id = decision.task_id.as_deref()?;
                let of = self.key_of_task.get(task_id)?;
                let task = self.tasks.get(of)?;
                let (state, screened) = match &task.before {
                    _ if *task.task_id == *task_id => (task.state, task.screened_at.is_some()),
                    Some(before) if *before.task_id == *task_id => (before.state, before.outcome != Some(Outcome::MovedAway)),
                    _ => return None,
                };
                let stands = state == TaskState::Done && screened || state != TaskState::Withdrawn && *of == key;
                let lives = || format!("is {} of task {} at {of}, which is {state}, and lives at {key}", decision.code, short(task_id));
                (!may_be_answered && !stands).then(lives)
            }
            code => Some(format!("waits as {code} at {key}, although it is strong and live")),
        }
    }

    /// Why an open task should not be there, or not so.
    fn needless(&self, key: &str, task: &Task) -> Option<String> {
        let (facts, known, household) = (self.facts(task), &self.known, &*task.household);
        let lives = |fact: &Fact| known.places(fact).last().is_some_and(|place| *place == *household);
        if let Some(stranger) = facts.iter().find(|fact| !lives(fact)) {
            return Some(format!("rests on {}", known.who(stranger)));
        }
        if facts.is_empty() {
            // A policy never withdraws a task: it may leave one without evidence.
            return (known.policies.len() == 1).then(|| "rests on nothing".to_owned());
        }
        if facts.iter().all(|fact| self.is_answered(fact, key, true)) {
            return Some(format!("is open although screenings answer {}", names(&facts)));
        }
        let strong = |fact: &&Fact| known.policies.iter().any(|policy| !policy.weak_sources.contains(&fact.event.kind()));
        let kind = |fact: &Fact| (fact.event.kind(), china_day(fact.event.head().observed_at));
        let beside = |fact: &&Fact| known.living(household).any(|other| kind(other) != kind(fact));
        if !facts.iter().any(strong) && !facts.iter().any(beside) {
            return Some(format!("rests on weak signals alone: {}", names(&facts)));
        }
        let highest = |policy: &Policy| facts.iter().filter_map(|fact| known.level(policy, &fact.event)).max().unwrap_or(Level::Low);
        if facts.len() < 16 && known.policies.iter().all(|policy| highest(policy) != task.priority) {
            return Some(format!("has priority {}, not that of {}", task.priority, names(&facts)));
        }
        let grid = task.grid.as_deref().unwrap_or_default();
        if !known.is_inside(grid) {
            return Some(format!("is in grid {grid}, outside the mandate"));
        }
        let (pseudo, entry) = (household.starts_with('~'), known.grid(household).map(str::to_owned));
        let right: Vec<String> = match self.hand_backs.get(key) {
            Some((_, None, _)) => return None,
            Some((since, Some(to), _)) if !pseudo && !known.entry_changed_since(household, *since) => vec![to.clone()],
            Some((_, Some(to), _)) => entry.into_iter().chain([to.clone()]).chain(known.declared_at(household)).collect(),
            // An entry that is gone leaves the task where it is.
            None if !pseudo => entry.into_iter().collect(),
            None => known.declared_at(household),
        };
        if !right.is_empty() && !right.iter().any(|right| right == grid) {
            return Some(format!("is in grid {grid}, not in {}", right.join(" or ")));
        }
        let over = task.state == TaskState::Open && task.end.is_some_and(|end| end.0 + known.slack < known.now.0);
        (over && self.expires_by_the_clock).then(|| "is open after its end".to_owned())
    }
}
