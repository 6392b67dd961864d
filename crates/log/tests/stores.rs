//! What tables keep their bytes in, without a log: they hold what a map holds, and a cache on disk is never trusted half.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

mod caches;

use caches::{Kind, cache};
use eventlog::table::{MemoryStore, Store, StoreError};
use std::collections::BTreeMap;

/// As a process leaves it that is killed while it writes: what was written before is trusted, and nothing of what was not whole.
#[test]
fn a_cache_that_was_being_written_goes_on_from_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cache/cache.table");
    let store = cache(dir.path(), Kind::File);
    store.apply(&[("a", Some(b"1")), ("\0mark/0", Some(b"first"))]).unwrap();
    let whole = std::fs::read(&file).unwrap().len();
    store.apply(&[("a", Some(b"2")), ("b", Some(b"2")), ("\0mark/0", Some(b"second"))]).unwrap();
    drop(store);
    let all = std::fs::read(&file).unwrap();
    for cut in whole..all.len() {
        // What a power cut leaves: short, or with nothing where something should be.
        let zeroes = [&all[..cut], &vec![0; 100][..]].concat();
        for contents in [&all[..cut], &zeroes] {
            std::fs::write(&file, contents).unwrap();
            let store = cache(dir.path(), Kind::File);
            let held = |key: &str| store.get(key).unwrap().map(|value| String::from_utf8(value).unwrap());
            assert_eq!((held("a"), held("b"), held("\0mark/0")), (Some("1".into()), None, Some("first".into())), "{cut}");
            store.apply(&[("b", Some(b"3"))]).unwrap();
            drop(store);
            let store = cache(dir.path(), Kind::File);
            assert_eq!((store.get("a").unwrap(), store.get("b").unwrap()), (Some(b"1".to_vec()), Some(b"3".to_vec())), "{cut}");
        }
    }
}

#[test]
fn damage_under_an_open_cache_is_found_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = cache(dir.path(), Kind::File);
    // More than it keeps of its file in memory.
    let value = vec![b'v'; 1 << 20];
    for key in 0..140 {
        store.apply(&[(&key.to_string(), Some(&value))]).unwrap();
    }
    assert_eq!(store.get("0").unwrap().as_ref(), Some(&value));
    let file = std::fs::File::options().write(true).open(dir.path().join("cache/cache.table")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"w", 5_000).unwrap();
    assert!(matches!(store.get("0"), Err(StoreError::Failed(_))));
    assert_eq!(store.get("1").unwrap().as_ref(), Some(&value));
    store.clear().unwrap();
    assert_eq!((store.get("1").unwrap(), store.len()), (None, 0));
    store.apply(&[("0", Some(b"new"))]).unwrap();
    drop(store);
    assert_eq!(cache(dir.path(), Kind::File).get("0").unwrap(), Some(b"new".to_vec()));
}

/// Newest values come again and again: neither memory nor disk keeps all that ever was.
#[test]
fn what_is_dead_is_thrown_out() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, rounds) = (300, 60);
    let text = |number: i32, round: i32| format!("{number} {round} {}", "x".repeat(1_000));
    let check = |store: &dyn Store, round: i32| {
        assert_eq!(store.len(), keys as usize - 1);
        assert_eq!(store.get("0").unwrap(), None);
        for number in 1..keys {
            assert_eq!(store.get(&number.to_string()).unwrap(), Some(text(number, round).into_bytes()));
        }
        let mut seen = 0;
        store.each(&mut |_, value| seen += value.len()).unwrap();
        assert_eq!(seen, (1..keys).map(|number| text(number, round).len()).sum::<usize>());
        assert_eq!(store.get("\0mark/0").unwrap(), Some(round.to_string().into_bytes()));
    };
    let stores: [Box<dyn Store>; 2] = [Box::new(MemoryStore::new()), cache(dir.path(), Kind::File)];
    for store in &stores {
        for round in 0..rounds {
            let values: Vec<(String, String)> = (0..keys).map(|number| (number.to_string(), text(number, round))).collect();
            let mut changes: Vec<(&str, Option<&[u8]>)> = values.iter().map(|(key, value)| (&**key, Some(value.as_bytes()))).collect();
            let mark = round.to_string();
            changes.extend([("0", None), ("\0mark/0", Some(mark.as_bytes()))]);
            store.apply(&changes).unwrap();
        }
        check(&**store, rounds - 1);
    }
    drop(stores);
    let written = 1_000 * (keys * rounds) as u64;
    assert!(std::fs::metadata(dir.path().join("cache/cache.table")).unwrap().len() < written / 2);
    check(&*cache(dir.path(), Kind::File), rounds - 1);
}

/// Against a map: keys of every form come, change and go, and the caches are closed and opened again in between.
#[test]
fn every_store_holds_what_a_map_holds() {
    let mut random = 7_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let name = |number: u64| match number % 3 {
        0 => format!("{:032x}", u128::from(number) << 70 | u128::from(number)),
        1 => format!("330106001001-{number:06}"),
        _ => format!("\0note/{number}"),
    };
    for kind in [None, Some(Kind::File), Some(Kind::Sled)] {
        let dir = tempfile::tempdir().unwrap();
        let open = || kind.map_or_else(|| Box::new(MemoryStore::new()) as Box<dyn Store>, |kind| cache(dir.path(), kind));
        let (mut store, mut map) = (open(), BTreeMap::new());
        for round in 0..200 {
            let values: Vec<(String, Option<Vec<u8>>)> =
                (0..next(40)).map(|_| (name(next(600)), (next(4) > 0).then(|| vec![round as u8; next(900) as usize]))).collect();
            let changes: Vec<(&str, Option<&[u8]>)> = values.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
            store.apply(&changes).unwrap();
            map.extend(values);
            map.retain(|_, value| value.is_some());
            if round % 50 == 49 && kind.is_some() {
                drop(store);
                store = open();
            }
        }
        for key in (0..600).map(name) {
            assert_eq!(store.get(&key).unwrap(), map.get(&key).cloned().flatten(), "{kind:?} {key:?}");
        }
        map.retain(|key, _| !key.starts_with('\0'));
        let mut each = BTreeMap::new();
        store.each(&mut |key, value| drop(each.insert(key.to_owned(), Some(value.to_vec())))).unwrap();
        assert_eq!((store.len(), each), (map.len(), map), "{kind:?}");
    }
}
