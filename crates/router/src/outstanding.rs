//! Whom a changed table concerns and who was not judged again yet. A zone may concern a million households: they are judged in portions,
//! and whoever comes in meanwhile goes first.
//!
//! Of all partitions of a process one has its turn at a time: how much is done beside what comes in does not grow with their number.
//!
//! It knows keys and no records. The next owner judges everybody anyway, so that nothing of it need be kept.

use foldhash::fast::RandomState;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The one turn of a process.
#[derive(Clone, Default)]
pub struct Turns(Arc<AtomicBool>);

/// Whoever has it gives it back by dropping it.
struct Turn(Turns);

impl Turns {
    fn take(&self) -> Option<Turn> {
        (!self.0.swap(true, Ordering::Relaxed)).then(|| Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// Keys that are outstanding in one partition.
pub struct Outstanding {
    keys: Vec<Arc<str>>,
    /// Judged out of turn since the last change, because something came in for them.
    judged: HashSet<Arc<str>, RandomState>,
    /// A portion is on its way.
    pub on_the_way: bool,
    turns: Turns,
    turn: Option<Turn>,
}

impl Outstanding {
    /// Nothing yet.
    pub fn new(turns: Turns) -> Outstanding {
        Outstanding { keys: Vec::new(), judged: HashSet::default(), on_the_way: false, turns, turn: None }
    }

    /// Something has changed that may concern all of these, also those that an earlier change concerned.
    pub fn concern(&mut self, keys: impl Iterator<Item = Arc<str>>) {
        self.keys = keys.collect();
        self.judged.clear();
    }

    /// Something has changed that concerns these alone; whom an earlier change concerned is still outstanding.
    pub fn concern_also(&mut self, keys: impl Iterator<Item = Arc<str>>) {
        for key in keys {
            self.judged.remove(&key);
            self.keys.push(key);
        }
    }

    /// Whether a portion may be begun.
    pub fn may_begin(&mut self) -> bool {
        if self.on_the_way {
            return false;
        }
        self.turn = if self.keys.is_empty() { None } else { self.turn.take().or_else(|| self.turns.take()) };
        self.turn.is_some()
    }

    /// The next one to be judged.
    pub fn next(&mut self) -> Option<Arc<str>> {
        while let Some(key) = self.keys.pop() {
            if !self.judged.contains(&key) {
                return Some(key);
            }
        }
        (self.keys, self.judged) = (Vec::new(), HashSet::default());
        None
    }

    /// Something came in for this one. Answers whether it may have to be judged first.
    pub fn comes_in(&mut self, key: &Arc<str>) -> bool {
        !self.keys.is_empty() && self.judged.insert(key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> impl Iterator<Item = Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>().into_iter()
    }

    fn rest(outstanding: &mut Outstanding) -> Vec<String> {
        let mut rest: Vec<String> = std::iter::from_fn(|| outstanding.next()).map(|key| key.to_string()).collect();
        rest.sort();
        rest
    }

    #[test]
    fn everybody_has_one_turn_and_who_comes_in_goes_first() {
        let mut outstanding = Outstanding::new(Turns::default());
        assert!(!outstanding.comes_in(&"a".into()), "nothing has changed");
        outstanding.concern(keys(&["a", "b", "c"]));
        assert!(outstanding.comes_in(&"b".into()));
        assert!(!outstanding.comes_in(&"b".into()), "once");
        assert_eq!(rest(&mut outstanding), ["a", "c"]);
        assert!(!outstanding.comes_in(&"a".into()), "all are judged");
    }

    #[test]
    fn a_change_during_a_change_concerns_everybody_anew() {
        let mut outstanding = Outstanding::new(Turns::default());
        outstanding.concern(keys(&["a", "b", "c"]));
        outstanding.comes_in(&"a".into());
        outstanding.next();
        outstanding.concern(keys(&["a", "b", "c", "d"]));
        assert!(outstanding.comes_in(&"d".into()));
        assert_eq!(rest(&mut outstanding), ["a", "b", "c"]);
    }

    #[test]
    fn a_change_that_concerns_a_few_leaves_the_others_outstanding() {
        let mut outstanding = Outstanding::new(Turns::default());
        outstanding.concern(keys(&["a", "b"]));
        outstanding.comes_in(&"a".into());
        outstanding.concern_also(keys(&["a", "c"]));
        assert_eq!(rest(&mut outstanding), ["a", "a", "b", "c"], "twice does no harm; never would");
    }

    #[test]
    fn partitions_take_turns_and_one_that_ends_gives_its_turn_back() {
        let turns = Turns::default();
        let mut both = [Outstanding::new(turns.clone()), Outstanding::new(turns)];
        both.iter_mut().for_each(|one| one.concern(keys(&["a", "b"])));
        let [mut one, mut other] = both;
        assert!(one.may_begin() && !other.may_begin());
        one.on_the_way = true;
        assert!(!one.may_begin(), "a portion at a time");
        one.on_the_way = false;
        assert!(one.may_begin() && !other.may_begin(), "it goes on");
        assert!(one.next().is_some() && one.next().is_some());
        assert!(!one.may_begin() && other.may_begin(), "who has nothing left gives it back");
        one.concern(keys(&["a"]));
        assert!(!one.may_begin());
        drop(other);
        assert!(one.may_begin());
        assert_eq!(rest(&mut one), ["a"]);
        assert!(!one.may_begin(), "nothing is left");
    }
}
