//! The keyring on disk: durable, for its owner alone, never replaced, gone when destroyed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use events::identifier::IdentifierKind;
use keys::{Cost, FileError, KeptBy, Keyring, KeyringError, KeysGone, MandateKeys, OpenError, Pii, Settings, Suite};

const PASSWORD: &str = "correct horse battery";
const MASTER: &str = "keyring.argon2id";

fn settings(dir: &tempfile::TempDir, password: &str) -> Settings {
    let kept_by = KeptBy::Password { password: Pii::new(password.to_owned()), cost: Cost::LEAST };
    Settings { dir: dir.path().join("keys"), suite: Suite::Aes, kept_by }
}

fn site() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::init(&settings(&dir, PASSWORD)).unwrap();
    (dir, keyring)
}

fn try_again(dir: &tempfile::TempDir) -> Result<Keyring, KeyringError> {
    Keyring::open(&settings(dir, PASSWORD))
}

fn again(dir: &tempfile::TempDir) -> Keyring {
    try_again(dir).unwrap()
}

fn token(keys: &MandateKeys) -> String {
    keys.token(IdentifierKind::Phone, "13800138000").unwrap().to_string()
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
    assert_eq!(files(&keys), [MASTER, "m-1.json", "m-2.json"]);
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
    assert_eq!(files(&dir.path().join("keys")), [MASTER, "m-1.json"]);
}

#[test]
fn reloading_takes_what_came_drops_what_went_and_keeps_what_stayed() {
    let (dir, keyring) = site();
    let kept = keyring.create_mandate("kept").unwrap();
    let gone = keyring.create_mandate("gone").unwrap();
    let other = again(&dir);
    other.create_mandate("new").unwrap();
    other.destroy("gone").unwrap();
    assert!(keyring.mandate("new").is_none());
    keyring.reload().unwrap();
    assert_eq!(keyring.ids(), ["kept", "new"]);
    assert!(Arc::ptr_eq(&kept, &keyring.mandate("kept").unwrap()));
    assert_eq!(gone.token(IdentifierKind::Phone, "1"), Err(KeysGone));

    // Keys that were destroyed and drawn again are others, though the mandate's name is the same.
    other.destroy("kept").unwrap();
    let made = token(&kept);
    let redrawn = token(&other.create_mandate("kept").unwrap());
    keyring.reload().unwrap();
    assert_eq!(token(&keyring.mandate("kept").unwrap()), redrawn);
    assert_ne!(made, redrawn);
    assert_eq!(kept.token(IdentifierKind::Phone, "1"), Err(KeysGone));

    // A damaged file changes nothing of what is in use.
    fs::write(dir.path().join("keys/new.json"), "{").unwrap();
    assert!(matches!(keyring.reload(), Err(KeyringError::Content { .. })));
    assert_eq!(keyring.ids(), ["kept", "new"]);
}

#[test]
fn a_destroyed_mandate_is_gone_here_and_on_disk_and_what_it_sealed_stays_shut() {
    let (dir, keyring) = site();
    let held = keyring.create_mandate("m-1").unwrap();
    let sealed = held.seal("address", "m-1/h-1", b"1").unwrap();
    assert!(held.open("address", "m-1/h-1", &sealed).is_ok());
    keyring.destroy("m-1").unwrap();
    // Who held the keys already holds nothing any more.
    assert_eq!(held.open("address", "m-1/h-1", &sealed).err(), Some(OpenError::Gone(KeysGone)));
    assert_eq!(held.seal("address", "m-1/h-1", b"1"), Err(KeysGone));
    assert_eq!(held.token(IdentifierKind::Phone, "1"), Err(KeysGone));
    assert_eq!((held.event_id("s", "1", b""), held.source_ref("s", "1")), (Err(KeysGone), Err(KeysGone)));
    assert!(keyring.mandate("m-1").is_none());
    assert_eq!(files(&dir.path().join("keys")), [MASTER]);
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
fn rotating_reaches_whoever_holds_the_keys_here_and_in_other_processes() {
    let (dir, keyring) = site();
    let held = keyring.create_mandate("m-1").unwrap();
    let other = again(&dir);
    let held_there = other.mandate("m-1").unwrap();
    let (old, made) = (held.seal("address", "o", b"1").unwrap(), token(&held));
    let id = keyring.rotate("m-1").unwrap();
    let new = held.seal("address", "o", b"2").unwrap();
    assert_eq!(hex::encode(&new[1..5]), id);
    assert!(held.open("address", "o", &old).is_ok());
    assert_eq!(held_there.open("address", "o", &new).err(), Some(OpenError::UnknownKey));
    other.reload().unwrap();
    for keys in [held_there, other.mandate("m-1").unwrap(), again(&dir).mandate("m-1").unwrap()] {
        assert!(keys.open("address", "o", &old).is_ok() && keys.open("address", "o", &new).is_ok());
        assert_eq!(token(&keys), made);
    }
    let described = again(&dir).describe().unwrap();
    assert_eq!((described.len(), described[0].versions.len()), (1, 2));
    assert_eq!((described[0].versions[1].0.as_str(), described[0].suite), (id.as_str(), Suite::Aes));
    assert!(matches!(keyring.rotate("m-2"), Err(KeyringError::File(FileError::Missing(_)))));
}

#[test]
fn a_mandate_keeps_the_suite_of_its_keyring() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Settings { suite: Suite::Sm, ..settings(&dir, PASSWORD) };
    let sealed = Keyring::init(&sm).unwrap().create_mandate("m").unwrap().seal("address", "o", b"1").unwrap();
    assert_eq!(sealed[0], Suite::Sm.id());
    // Whatever the configuration says later.
    assert!(again(&dir).mandate("m").unwrap().open("address", "o", &sealed).is_ok());
}

#[test]
fn without_the_password_a_copy_of_the_directory_opens_nothing_and_a_wrong_one_changes_nothing() {
    let (dir, keyring) = site();
    let made = token(&keyring.create_mandate("m-1").unwrap());
    let keys = dir.path().join("keys");
    let before: Vec<_> = files(&keys).iter().map(|name| fs::read(keys.join(name)).unwrap()).collect();
    for wrong in ["correct horse batterz", "", &format!("{PASSWORD} ")] {
        let error = Keyring::open(&settings(&dir, wrong)).unwrap_err();
        assert!(matches!(error, KeyringError::WrongPassword), "{error}");
        assert!(error.to_string().contains("nothing was changed") && !error.to_string().contains("horse"), "{error}");
        assert!(matches!(Keyring::init(&settings(&dir, wrong)), Err(KeyringError::WrongPassword)));
    }
    let after: Vec<_> = files(&keys).iter().map(|name| fs::read(keys.join(name)).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(token(&again(&dir).mandate("m-1").unwrap()), made);

    // The key that the password makes needs its salt.
    fs::rename(keys.join(MASTER), dir.path().join(MASTER)).unwrap();
    assert!(matches!(try_again(&dir), Err(KeyringError::Lost(path)) if path.ends_with(MASTER)));
    fs::rename(dir.path().join(MASTER), keys.join(MASTER)).unwrap();
    assert_eq!(token(&again(&dir).mandate("m-1").unwrap()), made);

    let short = tempfile::tempdir().unwrap();
    assert!(matches!(Keyring::init(&settings(&short, "eleven char")), Err(KeyringError::ShortPassword)));
}

#[test]
fn a_file_of_another_site_or_another_mandate_is_refused_by_name() {
    let ((dir, keyring), (theirs, other)) = (site(), site());
    keyring.create_mandate("m-1").unwrap();
    other.create_mandate("m-2").unwrap();
    let [here, there] = [&dir, &theirs].map(|dir| dir.path().join("keys"));
    fs::copy(there.join("m-2.json"), here.join("m-2.json")).unwrap();
    assert!(matches!(keyring.reload(), Err(KeyringError::Foreign(path)) if path.ends_with("m-2.json")));
    assert_eq!(keyring.ids(), ["m-1"], "an error changes nothing of what is in use");
    assert!(matches!(try_again(&dir), Err(KeyringError::Foreign(_))));

    // One mandate's secrets under another's name.
    let renamed = fs::read_to_string(here.join("m-1.json")).unwrap().replace("m-1", "m-2");
    fs::write(here.join("m-2.json"), renamed).unwrap();
    assert!(matches!(try_again(&dir), Err(KeyringError::Foreign(_))));
    fs::remove_file(here.join("m-2.json")).unwrap();
    assert_eq!(again(&dir).ids(), ["m-1"]);
}

#[test]
fn a_keyring_file_that_asks_for_all_memory_or_is_none_is_refused() {
    let (dir, _) = site();
    let file = dir.path().join("keys").join(MASTER);
    let good = fs::read_to_string(&file).unwrap();
    let changes =
        [("\"memory_kib\":8", "\"memory_kib\":4000000000"), ("\"passes\":1", "\"passes\":0"), ("\"suite\":1", "\"suite\":9"), ("{", "[")];
    for (from, to) in changes {
        assert!(good.contains(from), "{from}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let message = try_again(&dir).unwrap_err().to_string();
        assert!(message.contains(MASTER) && message.contains("keys"), "{message}");
    }
}

#[test]
fn what_others_can_read_or_what_is_no_key_file_is_refused_by_name_without_its_content() {
    let (dir, keyring) = site();
    keyring.create_mandate("m-1").unwrap();
    let keys = dir.path().join("keys");
    let file = keys.join("m-1.json");
    let good = fs::read_to_string(&file).unwrap();
    let message = || try_again(&dir).unwrap_err().to_string();

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(message().ends_with(&format!("chmod 600 {}", file.display())), "{}", message());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let wrapped = good.split('"').rev().nth(1).unwrap();
    assert_eq!(wrapped.len(), 120);
    let wrong = [
        (String::new(), "not a mandate's keys"),
        (good.replace("\"version\":2", "\"version\":1"), "format or version"),
        (good.replace("oneknock-mandate-keys", "something"), "format or version"),
        (good.replace("m-1", "m-2"), "another mandate"),
        (good.replace("\"suite\":1", "\"suite\":7"), "suite"),
        (good.replace("\"suite\":1", "\"suite\":2"), "does not open here"),
        (good.replace(wrapped, &wrapped[1..]), "does not open here"),
        (good.replace(wrapped, &wrapped.replace(|_: char| true, "g")), "does not open here"),
        (good.replace("}]}", "}],\"more\":1}"), "not a mandate's keys"),
        (good[..good.len() - 1].to_owned(), "not a mandate's keys"),
    ];
    for (text, reason) in wrong {
        fs::write(&file, &text).unwrap();
        let message = message();
        assert!(message.contains(&file.display().to_string()) && message.contains(reason), "{message}");
        assert!(!message.contains(&wrapped[..16]), "{message}");
    }

    fs::write(&file, &good).unwrap();
    fs::write(keys.join(".m-1.json.0123456789abcdef.tmp"), "half").unwrap();
    fs::write(keys.join("README"), "not a key").unwrap();
    assert_eq!(again(&dir).ids(), ["m-1"]);

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(message().ends_with(&format!("chmod 700 {}", keys.display())), "{}", message());
    let missing = dir.path().join("nowhere");
    let nowhere = Settings { dir: missing.clone(), ..settings(&dir, PASSWORD) };
    assert!(matches!(Keyring::open(&nowhere), Err(KeyringError::File(FileError::Missing(at))) if at == missing));
}
