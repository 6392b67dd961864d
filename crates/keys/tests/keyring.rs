//! The keyring on disk: durable, for its owner alone, never replaced, gone when destroyed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use events::identifier::IdentifierKind;
use keys::{FileError, Keyring, KeyringError, MandateKeys};

fn site() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::init(&dir.path().join("keys")).unwrap();
    (dir, keyring)
}

fn again(dir: &tempfile::TempDir) -> Keyring {
    Keyring::open(&dir.path().join("keys")).unwrap()
}

fn token(keys: &MandateKeys) -> String {
    keys.token(IdentifierKind::Phone, "13800138000").to_string()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_mandate_has_the_same_keys_in_every_process_and_no_other_mandate_has_them() {
    let (dir, keyring) = site();
    let made = token(&keyring.create_mandate("m-1").unwrap());
    let other = token(&keyring.create_mandate("m-2").unwrap());
    assert_ne!(made, other);
    let opened = again(&dir);
    assert_eq!(opened.ids(), ["m-1", "m-2"]);
    assert_eq!(token(&opened.mandate("m-1").unwrap()), made);
    assert!(opened.mandate("m-3").is_none());

    let keys = dir.path().join("keys");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files(&keys), ["m-1.json", "m-2.json"]);
    for name in files(&keys) {
        assert_eq!(fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn keys_that_exist_are_never_replaced_not_even_by_another_process() {
    let (dir, keyring) = site();
    let other = again(&dir);
    let made = token(&keyring.create_mandate("m-1").unwrap());
    for keyring in [&keyring, &other] {
        assert!(matches!(keyring.create_mandate("m-1"), Err(KeyringError::File(FileError::Exists(_)))));
    }
    assert_eq!(token(&again(&dir).mandate("m-1").unwrap()), made);
    assert_eq!(files(&dir.path().join("keys")), ["m-1.json"]);
}

#[test]
fn reloading_takes_what_came_drops_what_went_and_keeps_what_stayed() {
    let (dir, keyring) = site();
    let kept = keyring.create_mandate("kept").unwrap();
    keyring.create_mandate("gone").unwrap();
    let other = again(&dir);
    other.create_mandate("new").unwrap();
    other.destroy("gone").unwrap();
    assert!(keyring.mandate("new").is_none());
    keyring.reload().unwrap();
    assert_eq!(keyring.ids(), ["kept", "new"]);
    assert!(Arc::ptr_eq(&kept, &keyring.mandate("kept").unwrap()));

    // Keys that were destroyed and drawn again are others, though the mandate's name is the same.
    other.destroy("kept").unwrap();
    let redrawn = token(&other.create_mandate("kept").unwrap());
    keyring.reload().unwrap();
    assert_eq!(token(&keyring.mandate("kept").unwrap()), redrawn);
    assert_ne!(token(&kept), redrawn);

    // A damaged file changes nothing of what is in use.
    fs::write(dir.path().join("keys/new.json"), "{").unwrap();
    assert!(matches!(keyring.reload(), Err(KeyringError::Content { .. })));
    assert_eq!(keyring.ids(), ["kept", "new"]);
}

#[test]
fn a_destroyed_mandate_is_gone_here_and_on_disk_and_what_it_sealed_stays_shut() {
    let (dir, keyring) = site();
    let sealed = keyring.create_mandate("m-1").unwrap().seal("address", "m-1/h-1", b"1");
    keyring.destroy("m-1").unwrap();
    assert!(keyring.mandate("m-1").is_none());
    assert!(files(&dir.path().join("keys")).is_empty());
    assert!(again(&dir).mandate("m-1").is_none());
    assert!(matches!(keyring.destroy("m-1"), Err(KeyringError::File(FileError::Missing(_)))));
    assert!(keyring.create_mandate("m-1").unwrap().open("address", "m-1/h-1", &sealed).is_err());
}

#[test]
fn any_sensible_id_has_a_file_of_its_own_and_no_id_leaves_the_directory() {
    let (dir, keyring) = site();
    let ids = ["m", "M.1", "疫情-2026", "a b", "a%20b", "..", ".m", "m.json", "a_b", &"长".repeat(21)];
    for id in ids {
        keyring.create_mandate(id).unwrap();
    }
    let found: HashSet<String> = again(&dir).ids().into_iter().collect();
    assert_eq!(found, ids.map(String::from).into());
    assert_eq!(files(dir.path()), ["keys"]);
    for id in ["", "a/b", "/", "~x", "a\nb", &"x".repeat(65)] {
        assert!(matches!(keyring.create_mandate(id), Err(KeyringError::BadMandateId)), "{id:?}");
    }
}

#[test]
fn what_others_can_read_or_what_is_no_key_file_is_refused_by_name_without_its_content() {
    let (dir, keyring) = site();
    keyring.create_mandate("m-1").unwrap();
    let keys = dir.path().join("keys");
    let file = keys.join("m-1.json");
    let good = fs::read_to_string(&file).unwrap();
    let message = || Keyring::open(&keys).map(|_| ()).unwrap_err().to_string();

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(message().ends_with(&format!("chmod 600 {}", file.display())), "{}", message());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let root = good.split('"').rev().nth(1).unwrap();
    assert_eq!(root.len(), 64);
    let wrong = [
        String::new(),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("oneknock-mandate-keys", "something"),
        good.replace("m-1", "m-2"),
        good.replace(root, &root[1..]),
        good.replace(root, &root.replace(|_: char| true, "g")),
        good.replace('}', ",\"more\":1}"),
        good[..good.len() - 1].to_owned(),
    ];
    for text in wrong {
        fs::write(&file, &text).unwrap();
        let message = message();
        assert!(message.contains(&file.display().to_string()) && message.contains("not a mandate's keys"), "{message}");
        assert!(!message.contains(&root[..16]), "{message}");
    }

    fs::write(&file, &good).unwrap();
    fs::write(keys.join(".m-1.json.0123456789abcdef.tmp"), "half").unwrap();
    fs::write(keys.join("README"), "not a key").unwrap();
    assert_eq!(Keyring::open(&keys).unwrap().ids(), ["m-1"]);

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(message().ends_with(&format!("chmod 700 {}", keys.display())), "{}", message());
    let missing = dir.path().join("nowhere");
    assert!(matches!(Keyring::open(&missing), Err(KeyringError::File(FileError::Missing(at))) if at == missing));
}
