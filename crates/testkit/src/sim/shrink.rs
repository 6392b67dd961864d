//! Makes a broken script small, and tells a history so that a person can read it: days and hours, and names instead of tokens.

use super::script::{DAY_0, Seen, What, token};
use events::time::{DAY_MS, HOUR_MS, format};
use events::{Event, EventId, Millis, Task, Token};
use std::collections::HashMap;
use std::fmt::Write;

/// The smallest script, or list of other things, that was found in so many tries of which `fails` still says true: no part of it can be
/// left out alone. `fails` must say the same of the same script; where the whole script doesn't fail, it comes back as it is.
pub fn shrink<T: Clone>(steps: &[T], tries_max: usize, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut steps = steps.to_vec();
    let (mut size, mut tries) = (steps.len().div_ceil(2).max(1), 0);
    loop {
        let (mut at, mut smaller) = (0, false);
        while at < steps.len() && tries < tries_max {
            let rest: Vec<T> =
                steps.iter().enumerate().filter(|(one, _)| !(at..at + size).contains(one)).map(|(_, step)| step.clone()).collect();
            tries += 1;
            if fails(&rest) {
                (steps, smaller) = (rest, true);
            } else {
                at += size;
            }
        }
        if tries >= tries_max || size == 1 && !smaller {
            return steps;
        }
        size = size.div_ceil(2).max(1);
    }
}

/// A history as lines. Records of tasks are told where something changes that a person can see.
pub fn tell<'a>(history: impl IntoIterator<Item = &'a Seen>) -> String {
    let mut teller = Teller { names: names(), events: HashMap::new(), tasks: HashMap::new(), now: DAY_0, lines: String::new() };
    history.into_iter().for_each(|seen| teller.tell(seen));
    teller.lines
}

/// Day and hour of a script.
pub fn moment(at: Millis) -> String {
    let since = at.0 - DAY_0.0;
    if since.abs() > 1000 * DAY_MS {
        return format(at);
    }
    let (day, rest) = (since.div_euclid(DAY_MS), since.rem_euclid(DAY_MS));
    format!("day {day} {:02}:{:02}", rest / HOUR_MS, rest % HOUR_MS / 60_000)
}

struct Teller {
    names: HashMap<Token, String>,
    events: HashMap<EventId, String>,
    tasks: HashMap<String, String>,
    now: Millis,
    lines: String,
}

impl Teller {
    fn say(&mut self, what: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.lines, "{}  {what}", moment(self.now));
    }

    fn name(&self, token: Token) -> String {
        self.names.get(&token).cloned().unwrap_or_else(|| token.to_string()[..8].to_owned())
    }

    /// Tokens in a text as names.
    fn with_names(&self, text: &str) -> String {
        let is_digit = |letter: char| letter.is_ascii_hexdigit();
        let words = text.split_inclusive(|letter| !is_digit(letter));
        let named = |word: &str| {
            let digits = word.trim_end_matches(|letter| !is_digit(letter));
            let name = digits.parse().ok().and_then(|token| self.names.get(&token));
            name.map_or_else(|| word.to_owned(), |name| format!("{name}{}", &word[digits.len()..]))
        };
        words.map(named).collect()
    }

    /// `m/h1` is h1; a pseudo-household's token has a name, too.
    fn household(&self, key: &str) -> String {
        let household = key.rsplit('/').next().unwrap_or(key);
        match household.strip_prefix('~').and_then(|token| token.parse().ok()) {
            Some(token) => format!("~{}", self.name(token)),
            None => household.to_owned(),
        }
    }

    fn tell(&mut self, seen: &Seen) {
        match seen {
            Seen::Step(step) => {
                self.now = step.at;
                let what = self.step(&step.what);
                self.say(&what);
            }
            Seen::Deed(deed) => {
                self.now = deed.at;
                let action = &deed.action;
                let what = action.outcome.map_or_else(|| action.action.to_string(), |outcome| outcome.to_string());
                let to = action.to_grid.as_deref().map(|grid| format!(" to {grid}")).unwrap_or_default();
                let door = action.at.map(|at| format!(" (at the door {})", moment(at))).unwrap_or_default();
                let line = format!("    {} at {}: {what}{to}{door}", action.actor, self.household(&deed.key));
                self.say(&line);
            }
            Seen::Task(at, key, Some(task)) => {
                self.now = *at;
                let line = self.task(key, task);
                if self.tasks.insert(key.clone(), line.clone()).as_ref() != Some(&line) {
                    self.say(&line);
                }
            }
            Seen::Task(at, key, None) => {
                self.now = *at;
                let line = format!("    {} is emptied", self.household(key));
                self.say(&line);
            }
            Seen::Decision(decision) => {
                let event = self.events.get(&decision.event_id).cloned().unwrap_or_else(|| decision.event_id.to_string());
                let (version, count) = (decision.revision / 65_536, decision.revision % 65_536);
                self.say(&format!("        {event}: {} (revision {version}+{count})", decision.code));
            }
            Seen::Rest(at) => {
                self.now = *at;
                self.say("-- all is at rest");
            }
            Seen::Said(at, what) => {
                self.now = *at;
                let line = self.with_names(what);
                self.say(&format!("            {line}"));
            }
            Seen::View(reader, tasks) => self.say(&format!("-- {reader} holds {} households", tasks.len())),
        }
    }

    fn task(&self, key: &str, task: &Task) -> String {
        let evidence: Vec<String> =
            task.evidence.iter().map(|one| self.events.get(&one.event_id).cloned().unwrap_or_else(|| one.event_id.to_string())).collect();
        let outcome = task.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
        let (grid, household) = (task.grid.as_deref().unwrap_or("no grid"), self.household(key));
        format!("    {household}: episode {} {}{outcome} in {grid}, {} [{}]", task.episode, task.state, task.priority, evidence.join(" "))
    }

    fn step(&mut self, what: &What) -> String {
        match what {
            What::Grid(code, Some(entry)) => format!("{code} lies in {}", entry.division),
            What::Grid(code, None) => format!("{code} is gone"),
            What::Entry(household, Some(entry)) => format!("{household} is in {}", entry.grid),
            What::Entry(household, None) => format!("{household} is gone"),
            What::Link(token, link) => {
                let households = link.iter().flat_map(|link| &link.links).map(|link| format!("{} ({})", link.household, link.grid));
                let households: Vec<String> = households.collect();
                let common = link.as_ref().is_some_and(|link| link.common);
                let of = if common { "nobody: common".to_owned() } else { households.join(", ") };
                format!("{} belongs to {}", self.name(*token), if of.is_empty() { "nobody" } else { &of })
            }
            What::Mandate(mandate) => {
                format!("mandate {} until {}, version {}", mandate.state, moment(mandate.valid_until), mandate.version)
            }
            What::Policy(policy) => {
                let weak: Vec<String> = policy.weak_sources.iter().map(ToString::to_string).collect();
                let least = policy.least_level.map_or("all".to_owned(), |level| level.to_string());
                let (window, grace, rises) = (policy.window_days, policy.grace_hours, policy.rescreen_when_risk_rises);
                format!("policy: window {window} d, grace {grace} h, weak {weak:?}, match {least}, risk that rises counts: {rises}")
            }
            What::Event(event, truth) => {
                self.events.insert(event.head().event_id, truth.name.clone());
                self.event(event, &truth.name, &truth.home)
            }
        }
    }

    fn event(&self, event: &Event, name: &str, home: &str) -> String {
        let head = event.head();
        let who: Vec<String> = head.identifiers.iter().map(|identifier| self.name(identifier.token)).collect();
        let from = head.origin_division.map(|origin| format!(" from {origin}")).unwrap_or_default();
        let to = head.destination.map(|to| format!(" to {}", to.grid)).unwrap_or_default();
        format!("{name}: {} {}{from}{to}, seen {} (lives at {home})", who.join(" "), head.direction, moment(head.observed_at))
    }
}

/// The names that small worlds use.
fn names() -> HashMap<Token, String> {
    let numbers = 1..=120;
    let mut names: Vec<String> =
        ["p", "x", "f", "c", "a"].iter().flat_map(|kind| numbers.clone().map(move |number| format!("{kind}{number}"))).collect();
    for group in 1..=20 {
        names.extend(["c", "a"].map(|kind| format!("{kind}9{group:03}")));
        names.extend((0..4).flat_map(|number| ["p", "f"].map(|kind| format!("{kind}9{group:03}{number}"))));
    }
    names.into_iter().map(|name| (token(&name), name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::city::City;
    use super::super::script::Step;
    use super::*;

    fn named(step: &Step, name: &str) -> bool {
        matches!(&step.what, What::Event(_, truth) if truth.name == name)
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let steps: Vec<Step> = City::small(3).collect();
        let names: Vec<&str> =
            steps.iter().filter_map(|step| if let What::Event(_, truth) = &step.what { Some(&*truth.name) } else { None }).collect();
        let (first, last) = (names[0], names[names.len() - 1]);
        assert_ne!(first, last);
        let fails = |steps: &[Step]| steps.iter().any(|step| named(step, first)) && steps.iter().any(|step| named(step, last));
        let small = shrink(&steps, 3000, fails);
        assert_eq!(small.len(), 2, "{small:?}");
        assert_eq!(shrink(&steps, 3000, |_| false), steps, "what does not fail stays as it is");
        assert!(shrink(&steps, 5, fails).len() > 2, "five tries are not enough");
    }

    #[test]
    fn a_history_is_told_by_names_days_and_hours() {
        let steps: Vec<Seen> = City::small(3).map(Seen::Step).collect();
        let told = tell(&steps);
        let first = told.lines().next().unwrap_or_default();
        assert!(first.starts_with("day 0 00:00  g1 lies in 330106"), "{first}");
        assert!(told.contains("p3 belongs to h1 (g"), "{told}");
        let unnamed = |line: &&str| line.split(' ').any(|word| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(told.lines().find(unnamed), None, "a token is told by its digits");
        assert_eq!(moment(Millis(DAY_0.0 - HOUR_MS)), "day -1 23:00");
    }
}
