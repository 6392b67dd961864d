//! Whom a changed table concerns and who was not judged again yet. A zone may concern a million households: they are judged in portions,
//! and whoever comes in meanwhile goes first.
//!
//! It knows keys and no records. The next owner judges everybody anyway, so that nothing of it need be kept.

use foldhash::fast::RandomState;
use std::collections::HashSet;
use std::sync::Arc;

/// Keys that are outstanding.
#[derive(Default)]
pub struct Outstanding {
    keys: Vec<Arc<str>>,
    /// Judged out of turn since the last change, because something came in for them.
    judged: HashSet<Arc<str>, RandomState>,
    /// A portion is on its way.
    pub on_the_way: bool,
}

impl Outstanding {
    /// Something has changed that may concern all of these, also those that an earlier change concerned.
    pub fn concern(&mut self, keys: impl Iterator<Item = Arc<str>>) {
        self.keys = keys.collect();
        self.judged.clear();
    }

    /// The next one whose turn it is.
    pub fn next(&mut self) -> Option<Arc<str>> {
        loop {
            let Some(key) = self.keys.pop() else {
                (self.keys, self.judged) = (Vec::new(), HashSet::default());
                return None;
            };
            if !self.judged.contains(&key) {
                return Some(key);
            }
        }
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
        let mut outstanding = Outstanding::default();
        assert!(!outstanding.comes_in(&"a".into()), "nothing has changed");
        outstanding.concern(keys(&["a", "b", "c"]));
        assert!(outstanding.comes_in(&"b".into()));
        assert!(!outstanding.comes_in(&"b".into()), "once");
        assert_eq!(rest(&mut outstanding), ["a", "c"]);
        assert!(!outstanding.comes_in(&"a".into()), "all are judged");
    }

    #[test]
    fn a_change_during_a_change_concerns_everybody_anew() {
        let mut outstanding = Outstanding::default();
        outstanding.concern(keys(&["a", "b", "c"]));
        outstanding.comes_in(&"a".into());
        outstanding.next();
        outstanding.concern(keys(&["a", "b", "c", "d"]));
        assert!(outstanding.comes_in(&"d".into()));
        assert_eq!(rest(&mut outstanding), ["a", "b", "c"]);
    }
}
