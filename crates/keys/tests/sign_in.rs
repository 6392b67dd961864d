//! tokens.json and who signs in with it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use events::{Actor, Role, Scope, SourceKind};
use keys::{SignIn, TokensFile, bearer};

fn written(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("tokens.json");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn only(codes: &[&str]) -> Scope {
    Scope::Only(codes.iter().map(|code| (*code).to_owned()).collect())
}

const EDITED: &str = r#"{"sources":[{"name":"s","kinds":["checkpoint","highway"],"token":"source-token-of-24-chars"}],
 "workers":[{"name":"w-1","grids":["g1","g2"],"token":"a worker's token, spaced"},{"name":"w-2","grids":["*"],"token":"another-worker-s-token-24"}],
 "supervisors":[{"name":"w-1","areas":["330106001"],"token":"supervisor-token-24-chars"}],
 "admins":[{"name":"admin","token":"administrator-token-24-c"}],"auditors":[{"name":"city","token":"auditor-s-token-of-24-ch"}],
 "signers":[{"name":"one","token":"signer-s-token-of-24-cha"}]}"#;

#[test]
fn everybody_in_an_edited_file_signs_in_with_their_own_role() {
    let dir = tempfile::tempdir().unwrap();
    for text in [EDITED.to_owned(), format!("\u{feff}{EDITED}")] {
        let sign_in = SignIn::new(&TokensFile::read(&written(dir.path(), &text)).unwrap());
        let expected = [
            ("source-token-of-24-chars", "s", Role::Source { kinds: [SourceKind::Checkpoint, SourceKind::Highway].into() }),
            ("a worker's token, spaced", "w-1", Role::Worker { grids: only(&["g1", "g2"]) }),
            ("another-worker-s-token-24", "w-2", Role::Worker { grids: Scope::All }),
            ("supervisor-token-24-chars", "w-1", Role::Supervisor { areas: only(&["330106001"]) }),
            ("administrator-token-24-c", "admin", Role::Admin),
            ("auditor-s-token-of-24-ch", "city", Role::Auditor),
            ("signer-s-token-of-24-cha", "one", Role::Signer),
        ];
        for (token, name, role) in expected {
            assert_eq!(sign_in.local(token).as_deref(), Some(&Actor { name: name.to_owned(), role }));
        }
        for wrong in ["", "source-token-of-24-char", "source-token-of-24-chars ", "Source-token-of-24-chars"] {
            assert_eq!(sign_in.local(wrong), None);
        }
    }
}

#[test]
fn a_scope_of_a_star_is_all_and_an_empty_one_nothing() {
    assert_eq!(Scope::from_list(&["g1".to_owned(), "*".to_owned()]), Scope::All);
    assert!(only(&["g1"]).contains("g1") && !only(&["g1"]).contains("g11") && !Scope::from_list(&[]).contains(""));
}

#[test]
fn a_bearer_token_has_its_scheme_in_any_case() {
    assert_eq!([bearer("Bearer  x y "), bearer("bEARER x"), bearer("Basic x"), bearer("x")], [Some("x y"), Some("x"), None, None]);
}

#[test]
fn what_init_writes_reads_back_with_tokens_that_were_never_drawn_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.json");
    let mut drawn = HashSet::new();
    for _ in 0..2 {
        TokensFile::draw().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let file = TokensFile::read(&path).unwrap();
        let sign_in = SignIn::new(&file);
        let named = |token: &str| sign_in.local(token).map(|actor| (actor.name.clone(), actor.role.clone()));
        let sources: Vec<_> = file.sources.iter().filter_map(|one| named(one.token.expose())).collect();
        let source = |name: &str, kind| (name.to_owned(), Role::Source { kinds: [kind].into() });
        assert_eq!(
            sources,
            [
                source("checkpoint-bureau", SourceKind::Checkpoint),
                source("highway-authority", SourceKind::Highway),
                source("telecom-operator", SourceKind::Telecom)
            ]
        );
        let others = [&file.workers[0].token, &file.supervisors[0].token, &file.ops[0].token, &file.admins[0].token];
        let roles = others.map(|token| named(token.expose()).unwrap());
        let expected = [
            ("w-0001", Role::Worker { grids: Scope::All }),
            ("s-0001", Role::Supervisor { areas: Scope::All }),
            ("ops", Role::Ops),
            ("admin", Role::Admin),
        ];
        assert_eq!(roles, expected.map(|(name, role)| (name.to_owned(), role)));
        let tokens = others.into_iter().chain(file.sources.iter().map(|one| &one.token));
        for token in tokens {
            assert!(token.expose().len() >= 24 && token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(drawn.insert(token.expose().clone()), "drawn twice");
        }
    }
    assert_eq!(drawn.len(), 14);
}

#[test]
fn what_would_let_in_the_wrong_one_is_refused_by_place_and_never_shows_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (r#""token":"source-token-of-24-chars""#, r#""token":"short-source-token-of-2""#, "sources, entry 1 (s): expected a token of 24"),
        ("source-token-of-24-chars", "source-token-of-24-char\\u0007", "sources, entry 1 (s): expected a token of 24"),
        ("source-token-of-24-chars", "source-token-of-24-chars ", "sources, entry 1 (s): expected a token of 24"),
        ("another-worker-s-token-24", "source-token-of-24-chars", "workers, entry 2 (w-2): expected a token that nobody else has"),
        ("w-2", "w-1", "workers, entry 2 (w-1): expected a name that no other"),
        ("w-2", "", "workers, entry 2 (): expected a name"),
        ("\"highway\"", "\"railway\"", "sources, entry 1 (s): expected kinds out of"),
        (r#"["checkpoint","highway"]"#, "[]", "sources, entry 1 (s): expected kinds out of"),
        ("330106001", "", "supervisors, entry 1 (w-1): expected codes that are not empty"),
        ("\"grids\":[\"*\"]", "\"grid\":[\"*\"]", "line 2, column"),
        ("\"admins\"", "\"administrators\"", "line 4, column"),
        ("\"source-token-of-24-chars\"", "[\"source-token-of-24-chars\"]", "line 1, column"),
    ];
    for (good, bad, expected) in cases {
        assert!(EDITED.contains(good), "{good}");
        let path = written(dir.path(), &EDITED.replacen(good, bad, 1));
        let message = TokensFile::read(&path).map(|_| ()).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()) && message.contains(expected), "{expected}: {message}");
        assert!(!message.contains("source-token"), "{message}");
    }

    let path = written(dir.path(), EDITED);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let message = TokensFile::read(&path).map(|_| ()).unwrap_err().to_string();
    assert!(message.ends_with(&format!("chmod 600 {}", path.display())), "{message}");
}
