//! A site's keys as whoever runs it meets them: where the password is, what is said without it, and a key service in its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

mod common;

use common::{oneknock, output, said};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use testkit::openbao::OpenBao;

fn run(site: &Path, words: &[&str], password: Option<&str>) -> (Option<i32>, String, String) {
    let config = site.join("oneknock.toml");
    let mut command = oneknock(words);
    command.arg("--config").arg(config);
    if let Some(password) = password {
        command.env("ONEKNOCK_KEYS_PASSWORD", password);
    }
    said(&command.output().unwrap())
}

fn keys(site: &Path) -> Value {
    let (code, out, err) = run(site, &["keys", "list", "--json"], None);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str::<Value>(&out).unwrap()["mandates"][0].clone()
}

#[test]
fn a_site_has_its_password_beside_its_keys_and_says_what_to_do_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    assert_eq!(said(&output(&["init", site.to_str().unwrap(), "--suite", "sm"])).0, Some(0));
    let file = site.join("keys.password");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = fs::read_to_string(&file).unwrap();
    for entry in fs::read_dir(site.join("keys")).unwrap() {
        assert!(!fs::read_to_string(entry.unwrap().path()).unwrap().contains(password.trim()));
    }
    let before = keys(&site);
    assert_eq!((before["mandate"].as_str(), before["suite"].as_str()), (Some("demo-mandate"), Some("sm")));

    let (code, out, err) = run(&site, &["keys", "rotate", "--mandate", "demo-mandate", "--json"], None);
    assert_eq!(code, Some(0), "{err}");
    let id = serde_json::from_str::<Value>(&out).unwrap()["key_id"].clone();
    let after = keys(&site);
    assert_eq!((after["versions"].as_array().unwrap().len(), &after["versions"][1]["key_id"]), (2, &id));
    assert_eq!(after["versions"][0], before["versions"][0]);
    assert_eq!(run(&site, &["keys", "rotate", "--mandate", "none"], None).0, Some(2));

    for words in [&["run"][..], &["keys", "list"]] {
        let (code, _, err) = run(&site, words, Some("not the right one"));
        assert_eq!((code, err.contains("keys.file: the password does not open the keys")), (Some(2), true), "{err}");
    }
    fs::remove_file(&file).unwrap();
    let (code, _, err) = run(&site, &["run"], None);
    assert_eq!((code, err.contains("keys.password_file") && err.contains("ONEKNOCK_KEYS_PASSWORD")), (Some(2), true), "{err}");
    assert_eq!(run(&site, &["keys", "list"], Some(password.trim())).0, Some(0));

    fs::write(&file, &password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = run(&site, &["run"], None);
    assert_eq!((code, err.contains("chmod 600")), (Some(2), true), "{err}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    fs::remove_file(site.join("keys/demo-mandate.json")).unwrap();
    let (code, _, err) = run(&site, &["run"], None);
    assert_eq!((code, err.contains("demo-mandate: put its file back from a copy")), (Some(2), true), "{err}");
}

#[tokio::test]
async fn a_site_may_have_its_keys_in_a_service() {
    let (dir, mut service) = (tempfile::tempdir().unwrap(), OpenBao::start().await.unwrap());
    let site = dir.path().join("site");
    let token_file = service.token_file();
    let words = ["init", site.to_str().unwrap(), "--keys-token-file", token_file.to_str().unwrap(), "--keys-address"];
    let (code, _, err) = said(&oneknock(&words).arg("http://keys.example").output().unwrap());
    assert_eq!((code, err.contains("--keys-address: expected")), (Some(2), true), "{err}");
    let (code, _, err) = said(&oneknock(&words).arg(&service.address).output().unwrap());
    assert_eq!(code, Some(0), "{err}");
    assert!(!site.join("keys.password").exists() && !site.join("keys/keyring.argon2id").exists());
    assert_eq!((keys(&site)["mandate"].as_str(), keys(&site)["shut"].is_null()), (Some("demo-mandate"), true));
    service.kill();
    assert!(keys(&site)["shut"].as_str().unwrap().contains("cannot be reached"));
}
