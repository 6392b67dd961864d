//! A store in which keys of the form `a/b` stand together, so that all of `a` are found by one look: as one value under `a/`, which
//! holds each `b` with its value. Every other key is kept as it comes, and each key is still found by itself.
//!
//! It is a store over a store: what that one promises holds of this one, since a group is written whole, before the table's mark.

use super::{Change, Store, StoreError};
use std::collections::BTreeMap;

/// Groups keys over another store.
pub struct Grouped(Box<dyn Store>);

impl Grouped {
    /// Over this store, which may be filled already if it was filled through another `Grouped`.
    pub fn over(store: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(Grouped(store))
    }

    fn members(&self, group: &str) -> Result<Members, StoreError> {
        let bytes = self.0.get(group)?.unwrap_or_default();
        Ok(each_member(&bytes).map(|(member, value)| (member.to_owned(), value.to_vec())).collect())
    }
}

type Members = BTreeMap<String, Vec<u8>>;

/// The key under which a group stands, and the member's own name. None: the key stands for itself.
fn split(key: &str) -> Option<(&str, &str)> {
    let at = key.find('/').filter(|_| !key.starts_with('\0'))?;
    Some(key.split_at(at + 1))
}

/// The members of a group, from the value that stands under its key; what is damaged ends it.
pub fn each_member(mut bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let mut take = || {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            bytes = rest;
            Some(part)
        };
        let member = std::str::from_utf8(take()?).ok()?;
        Some((member, take()?))
    })
}

fn as_value(members: &Members) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (member, value) in members {
        for part in [member.as_bytes(), value] {
            // No log takes a record of 4 GiB.
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    (!members.is_empty()).then_some(bytes)
}

impl Store for Grouped {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match split(key) {
            Some((group, member)) if !member.is_empty() => Ok(self.members(group)?.remove(member)),
            _ => self.0.get(key),
        }
    }

    fn look(&self, key: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        match split(key) {
            Some((_, member)) if !member.is_empty() => self.get(key).map(|value| value.as_deref().into_iter().for_each(take)),
            _ => self.0.look(key, take),
        }
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        if changes.iter().all(|(key, _)| split(key).is_none()) {
            return self.0.apply(changes);
        }
        let mut groups: BTreeMap<&str, Members> = BTreeMap::new();
        for (group, member, value) in changes.iter().filter_map(|(key, value)| split(key).map(|(group, member)| (group, member, value))) {
            if !groups.contains_key(group) {
                groups.insert(group, self.members(group)?);
            }
            let Some(members) = groups.get_mut(group).filter(|_| !member.is_empty()) else { continue };
            match value {
                Some(value) => drop(members.insert(member.to_owned(), value.to_vec())),
                None => drop(members.remove(member)),
            }
        }
        let values: Vec<(&str, Option<Vec<u8>>)> = groups.iter().map(|(group, members)| (*group, as_value(members))).collect();
        let (notes, plain): (Vec<Change<'_>>, Vec<Change<'_>>) =
            changes.iter().filter(|(key, _)| split(key).is_none()).partition(|(key, _)| key.starts_with('\0'));
        let grouped = values.iter().map(|(group, value)| (*group, value.as_deref()));
        self.0.apply(&plain.into_iter().chain(grouped).chain(notes).collect::<Vec<_>>())
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.0.clear()
    }

    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.0.each(&mut |key, value| match split(key) {
            Some((group, "")) => each_member(value).for_each(|(member, value)| take(&format!("{group}{member}"), value)),
            _ => take(key, value),
        })
    }

    /// A group counts as one key.
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::MemoryStore;

    fn held(store: &dyn Store, key: &str) -> Option<String> {
        store.get(key).unwrap().map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_group_is_one_look_and_each_key_is_still_itself() {
        let store = Grouped::over(Box::new(MemoryStore::new()));
        store.apply(&[("a/x", Some(b"1")), ("a", Some(b"own")), ("a/y/z", Some(b"2")), ("\0mark/0", Some(b"m"))]).unwrap();
        store.apply(&[("a/x", Some(b"3")), ("b/x", Some(b"")), ("a/gone", None), ("a/", Some(b"no member"))]).unwrap();
        assert_eq!([held(&*store, "a/x"), held(&*store, "a/y/z")].map(Option::unwrap), ["3", "2"]);
        assert_eq!([held(&*store, "a"), held(&*store, "\0mark/0")].map(Option::unwrap), ["own", "m"]);
        let mut group = Vec::new();
        store.look("a/", &mut |value| group = each_member(value).map(|(member, _)| member.to_owned()).collect()).unwrap();
        assert_eq!(group, ["x", "y/z"]);
        let mut all = Vec::new();
        store.each(&mut |key, _| all.push(key.to_owned())).unwrap();
        all.sort();
        assert_eq!(all, ["a", "a/x", "a/y/z", "b/x"]);
        store.apply(&[("a/x", None), ("a/y/z", None)]).unwrap();
        assert_eq!((held(&*store, "a/"), held(&*store, "a/x"), held(&*store, "b/x")), (None, None, Some(String::new())));
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn damage_ends_a_group() {
        let members = Members::from([("x".to_owned(), b"12".to_vec()), ("y".to_owned(), b"3".to_vec())]);
        let bytes = as_value(&members).unwrap();
        let count = |bytes: &[u8]| each_member(bytes).count();
        assert_eq!((count(&bytes), count(&bytes[..bytes.len() - 1]), count(&bytes[..3]), count(&[255; 9])), (2, 1, 0, 0));
    }
}
