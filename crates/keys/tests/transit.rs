//! Keys in a real key service: used without it, worthless once it has forgotten them, and waiting while it cannot be asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use events::identifier::IdentifierKind;
use keys::{FileError, KeptBy, Keyring, KeyringError, KeysGone, MandateKeys, OpenError, Settings, Suite};
use testkit::keyring::{settings, settings_in};
use testkit::openbao::OpenBao;

fn token(keys: &MandateKeys) -> String {
    keys.token(IdentifierKind::Phone, "13800138000").unwrap().to_string()
}

fn why(keyring: &Keyring, mandate: &str) -> String {
    assert!(keyring.mandate(mandate).is_none());
    keyring.shut().into_iter().find(|(id, _)| id == mandate).map(|(_, reason)| reason).unwrap()
}

#[tokio::test]
async fn the_same_keys_in_every_process_from_files_that_hold_none() {
    let (dir, service) = (tempfile::tempdir().unwrap(), OpenBao::start().await.unwrap());
    let mut made = Vec::new();
    for (mandate, suite) in [("m-1", Suite::Aes), ("疫情 2026", Suite::Sm)] {
        let keyring = Keyring::init(&Settings { suite, ..settings_in(dir.path(), &service) }).unwrap();
        let keys = keyring.create_mandate(mandate).unwrap();
        let sealed = keys.seal("address", "o", b"1").unwrap();
        assert_eq!(sealed[0], suite.id());
        assert!(matches!(keyring.create_mandate(mandate), Err(KeyringError::File(FileError::Exists(_)))));
        // New values under a new key, which the service wraps by a new version of its own; tokens stay.
        let version = keyring.rotate(mandate).unwrap();
        let newer = keys.seal("address", "o", b"2").unwrap();
        assert_eq!(hex::encode(&newer[1..5]), version);
        made.push((mandate, token(&keys), sealed, newer));
    }
    let text = fs::read_to_string(dir.path().join("keys/m-1.json")).unwrap();
    assert!(text.contains("vault:v1:") && text.contains("vault:v2:"), "{text}");
    let opened = Keyring::open(&settings_in(dir.path(), &service)).unwrap();
    for (mandate, token_then, sealed, newer) in made {
        let keys = opened.mandate(mandate).unwrap();
        assert_eq!(token(&keys), token_then);
        assert!(keys.open("address", "o", &sealed).is_ok() && keys.open("address", "o", &newer).is_ok());
    }
}

#[tokio::test]
async fn destroying_makes_every_copy_of_the_file_worthless() {
    let (dir, service) = (tempfile::tempdir().unwrap(), OpenBao::start().await.unwrap());
    let keyring = Keyring::init(&settings_in(dir.path(), &service)).unwrap();
    let held = keyring.create_mandate("m-1").unwrap();
    keyring.create_mandate("m-2").unwrap();
    let sealed = held.seal("address", "o", b"1").unwrap();
    let other = Keyring::open(&settings_in(dir.path(), &service)).unwrap();
    let held_there = other.mandate("m-1").unwrap();
    let file = dir.path().join("keys/m-1.json");
    let copy = fs::read(&file).unwrap();

    // Null control: while the service holds the key, the copy opens.
    fs::remove_file(&file).unwrap();
    keys::files::create(&file, &copy).unwrap();
    let from_copy = Keyring::open(&settings_in(dir.path(), &service)).unwrap();
    assert!(from_copy.mandate("m-1").unwrap().open("address", "o", &sealed).is_ok());

    keyring.destroy("m-1").unwrap();
    assert!(!file.exists());
    assert_eq!(held.open("address", "o", &sealed).err(), Some(OpenError::Gone(KeysGone)));
    keys::files::create(&file, &copy).unwrap();
    // The other process asks again, and a new one asks for the first time.
    other.reload().unwrap();
    assert_eq!(held_there.open("address", "o", &sealed).err(), Some(OpenError::Gone(KeysGone)));
    let new = Keyring::open(&settings_in(dir.path(), &service)).unwrap();
    for keyring in [&other, &new] {
        assert!(why(keyring, "m-1").contains("holds no key for mandate m-1"), "{}", why(keyring, "m-1"));
        assert_eq!(keyring.ids(), ["m-2"], "the others are not touched");
    }
    // Half done, as after a power cut between service and file, is done again.
    new.destroy("m-1").unwrap();
    assert!(!file.exists());
    assert!(matches!(new.destroy("m-1"), Err(KeyringError::File(FileError::Missing(_)))));
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_is_waited_for_and_says_what_is_wrong() {
    let (dir, mut service) = (tempfile::tempdir().unwrap(), OpenBao::start().await.unwrap());
    let held = Keyring::init(&settings_in(dir.path(), &service)).unwrap();
    let keys = held.create_mandate("m").unwrap();
    let made = token(&keys);
    let open = |settings: Settings| Keyring::open(&settings).unwrap();

    service.seal().await.unwrap();
    let waiting = open(settings_in(dir.path(), &service));
    assert!(why(&waiting, "m").contains("unseal it"), "{}", why(&waiting, "m"));
    // Who holds keys goes on with them; nothing is drawn, rotated or destroyed halfway.
    assert!(matches!(held.reload(), Err(KeyringError::Away(_))));
    assert_eq!(token(&keys), made);
    assert!(matches!(held.rotate("m"), Err(KeyringError::Away(_))));
    assert!(matches!(held.create_mandate("n"), Err(KeyringError::Away(_))));
    assert!(!dir.path().join("keys/n.json").exists());
    service.unseal().await.unwrap();
    waiting.reload().unwrap();
    assert_eq!((token(&waiting.mandate("m").unwrap()), waiting.shut()), (made.clone(), Vec::new()));

    let with = |change: fn(&mut keys::TransitSettings)| {
        let mut transit = service.settings();
        change(&mut transit);
        open(Settings { kept_by: KeptBy::Transit(transit), ..settings(dir.path()) })
    };
    let mount = with(|transit| transit.mount = "nowhere".to_owned());
    assert!(why(&mount, "m").contains("no transit engine at nowhere"), "{}", why(&mount, "m"));
    let token_file = with(|transit| transit.token_file.set_file_name("none"));
    assert!(why(&token_file, "m").contains("its token"), "{}", why(&token_file, "m"));
    fs::write(service.token_file(), "another token\n").unwrap();
    let token_refused = open(settings_in(dir.path(), &service));
    assert!(why(&token_refused, "m").contains("put a valid one there"), "{}", why(&token_refused, "m"));
    fs::write(service.token_file(), "root\n").unwrap();
    token_refused.reload().unwrap();
    assert_eq!(token(&token_refused.mandate("m").unwrap()), made);
    fs::set_permissions(service.token_file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(why(&open(settings_in(dir.path(), &service)), "m").contains("chmod 600"));
    fs::set_permissions(service.token_file(), fs::Permissions::from_mode(0o600)).unwrap();

    service.kill();
    let unreachable = open(settings_in(dir.path(), &service));
    let reason = why(&unreachable, "m");
    assert!(reason.contains("cannot be reached") && !reason.contains("root"), "{reason}");
    assert!(matches!(held.destroy("m"), Err(KeyringError::Away(_))));
    assert!(dir.path().join("keys/m.json").exists(), "what was not destroyed is not called destroyed");
}

#[tokio::test]
async fn another_sites_service_opens_nothing() {
    let (dir, service, theirs) = (tempfile::tempdir().unwrap(), OpenBao::start().await.unwrap(), OpenBao::start().await.unwrap());
    Keyring::init(&settings_in(dir.path(), &service)).unwrap().create_mandate("m").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    Keyring::init(&settings_in(elsewhere.path(), &theirs)).unwrap().create_mandate("m").unwrap();
    assert!(matches!(Keyring::open(&settings_in(dir.path(), &theirs)), Err(KeyringError::Foreign(path)) if path.ends_with("m.json")));
    // A password's keyring does not open a service's files, nor the other way round.
    assert!(matches!(Keyring::init(&settings(dir.path())), Err(KeyringError::Foreign(_))));
}
