//! A site by its commands alone: init, run, commands beside it, SIGTERM; and what is wrong is said with the right exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{Running, oneknock, output, said, site};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

fn json(words: &[&str]) -> (Option<i32>, Value) {
    let (code, out, error) = said(&output(words));
    (code, serde_json::from_str(&out).unwrap_or_else(|wrong| panic!("{words:?}: {wrong}: {out} {error}")))
}

#[test]
fn a_site_runs_answers_commands_beside_it_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let mode = fs::metadata(dir.path().join("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut running = Running::start(oneknock(&["run", "--config", &site.config]));
    running.wait_for("ready");

    // A second run says who holds the log.
    let (code, _, error) = said(&output(&["run", "--config", &site.config]));
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&format!("held by process {}", running.id())), "{error}");

    // Commands work through the ops listener of the process that holds it.
    let (code, topics) = json(&["ops", "--json", "topics", "--config", &site.config]);
    assert_eq!(code, Some(0));
    assert_eq!(topics["missing"], serde_json::json!([]));
    let (code, mandates) = json(&["mandate", "list", "--config", &site.config, "--json"]);
    assert_eq!(code, Some(0));
    assert_eq!(mandates["mandates"][0]["id"], "demo-mandate");
    assert_eq!(mandates["mandates"][0]["in_force"], true);
    let (code, ledger) = json(&["--config", &site.config, "ops", "ledger", "--json"]);
    assert_eq!((code, &ledger["closed"], &ledger["accepted"]), (Some(0), &true.into(), &0.into()));

    // What is in the way of a site that was just made: nobody is registered yet.
    let (code, diagnosis) = json(&["ops", "doctor", "--json", "--config", &site.config]);
    let of_mandates: Vec<&Value> = diagnosis["findings"].as_array().unwrap().iter().filter(|one| one["kind"] == "mandate").collect();
    assert_eq!((code, of_mandates.len(), &of_mandates[0]["about"]), (Some(1), 1, &"demo-mandate".into()), "{diagnosis}");

    let policy = dir.path().join("policy.toml");
    let (code, out, error) = said(&output(&["policy", "apply", policy.to_str().unwrap(), "--config", &site.config]));
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("in force"), "{out}");
    let (code, tail, _) = said(&output(&["ops", "tail", "control.policies.v1", "--json", "--config", &site.config]));
    assert_eq!(code, Some(0));
    let versions: Vec<i64> =
        tail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"]["version"].as_i64().unwrap()).collect();
    assert!(matches!(versions[..], [1, applied] if applied > 1_700_000_000_000), "{versions:?}");

    // Somebody follows a topic for ever: that holds nobody up.
    let mut following = Running::start(oneknock(&["ops", "tail", "control.policies.v1", "--follow", "--config", &site.config]));
    following.wait_for("window_days");
    // Nor do requests that come to no end.
    let token = serde_json::from_slice::<Value>(&fs::read(dir.path().join("tokens.json")).unwrap()).unwrap();
    let slow = [(0, "/v1/tasks/x/actions", "workers"), (1, "/v1/events/checkpoint", "sources")].map(|(at, path, who)| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", site.ports[at])).unwrap();
        let token = token[who][0]["token"].as_str().unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        // Whoever is told to go on is being waited for.
        stream.write_all(format!("{head}expect: 100-continue\r\ncontent-length: 100\r\n\r\n").as_bytes()).unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"HTTP/1.1 100");
        stream
    });
    running.signal("TERM");
    let status = running.end();
    assert_eq!(status.code(), Some(0), "{}", running.rest());
    drop((following, slow));

    // With none running, the same command opens the log itself, and answers the same.
    let (code, again) = json(&["mandate", "list", "--json", "--config", &site.config]);
    assert_eq!((code, again), (Some(0), mandates));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let _taken = std::net::TcpListener::bind(("127.0.0.1", site.ports[1])).unwrap();
    let (code, _, error) = said(&output(&["run", "--config", &site.config]));
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("gateway.listen") && error.contains(&site.ports[1].to_string()), "{error}");
}

#[test]
fn what_is_wrong_is_named_and_the_exit_code_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    let bad = dir.path().join("bad.toml");
    fs::write(&bad, "window_days = 27\n").unwrap();
    let missing = dir.path().join("none.toml");
    let (bad, missing) = (bad.to_str().unwrap(), missing.to_str().unwrap());
    let cases: &[(&[&str], &[&str])] = &[
        (&["fly"], &["fly"]),
        (&["run", "--config", missing], &["none.toml", "not found"]),
        (&["policy", "check", bad], &["bad.toml", "window_days"]),
        (&["policy", "apply", bad, "--config", &site.config], &["bad.toml", "window_days"]),
        (&["init", dir.path().to_str().unwrap()], &["oneknock.toml", "already"]),
        (&["ops", "trace", "nonsense", "--config", &site.config], &["EVENT_ID", "32"]),
        (&["ops", "tail", "control.policies.v1", "--count", "99999", "--config", &site.config], &["count", "10000"]),
    ];
    for (words, named) in cases {
        let (code, _, error) = said(&output(words));
        assert_eq!(code, Some(2), "{words:?}: {error}");
        for name in *named {
            assert!(error.contains(name), "{words:?}: {error} should name {name}");
        }
    }

    let mut command = oneknock(&["run", "--config", &site.config]);
    let (code, _, error) = said(&command.env("ONEKNOCK_LOG_PARTITIONS", "many").output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("ONEKNOCK_LOG_PARTITIONS") && error.contains("integer"), "{error}");

    let mut command = oneknock(&["run", "--config", &site.config]);
    command.env("ONEKNOCK_LOG_KIND", "kafka").env("ONEKNOCK_LOG_KAFKA_ACKS", "0");
    let (code, _, error) = said(&command.output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("oneknock.toml") && error.contains("log.kafka") && error.contains("acks"), "{error}");

    fs::remove_file(dir.path().join("mandate.toml")).unwrap();
    let (code, _, error) = said(&output(&["run", "--config", &site.config]));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("site.mandate") && error.contains("mandate.toml"), "{error}");
}

#[test]
fn policy_check_takes_what_init_wrote() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let policy = dir.path().join("policy.toml");
    let (code, out, error) = said(&output(&["policy", "check", policy.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("14 days"), "{out}");
}

#[test]
fn policy_check_says_all_that_is_wrong_by_line_in_two_languages_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.toml");
    fs::write(&bad, "window_days = 40\n\n[zones]\n3301 = \"high\"\n\"３３０１\" = \"low\"\nab = \"up\"\n").unwrap();
    let bad = bad.to_str().unwrap();
    for (lang, named) in [("en", ["found 40", "in line 4", "found \"up\""]), ("zh-CN", ["实为 40", "第 4 行", "实为 \"up\""])] {
        let (code, out, error) = said(&output(&["policy", "check", bad, "--lang", lang]));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
        let lines: Vec<&str> = error.lines().collect();
        for (line, wanted) in [(1, named[0]), (5, named[1]), (6, named[2])] {
            let place = format!("bad.toml:{line}: ");
            assert!(lines.iter().any(|said| said.contains(&place) && said.contains(wanted)), "{error} should say {wanted} of {place}");
        }
        assert_eq!(lines.len(), 4, "the name of one zone is wrong, too: {error}");
    }
    let (code, report) = json(&["policy", "check", bad, "--json"]);
    assert_eq!((code, &report["ok"]), (Some(2), &false.into()));
    let lines: Vec<i64> = report["errors"].as_array().unwrap().iter().map(|error| error["line"].as_i64().unwrap()).collect();
    assert_eq!(lines, [1, 5, 6, 6]);

    site(dir.path());
    let good = dir.path().join("policy.toml");
    let (code, report) = json(&["policy", "check", good.to_str().unwrap(), "--json"]);
    assert_eq!((code, &report["ok"], &report["policy"]["window_days"]), (Some(0), &true.into(), &14.into()));
    let (code, out, _) = said(&output(&["policy", "check", good.to_str().unwrap(), "--lang", "zh-CN"]));
    assert_eq!(code, Some(0));
    assert!(out.contains("14 天"), "{out}");
}
