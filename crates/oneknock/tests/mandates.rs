//! Mandates by commands alone, as signers and an administrator give them: drawn keys, signatures, opening, renewing, suspending; and every
//! way in which one may be bad is refused with what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{Running, oneknock, output, said, site};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A site with commands on it.
struct World {
    dir: tempfile::TempDir,
    config: String,
    today: jiff::Timestamp,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let config = site(dir.path()).config;
        World { dir, config, today: jiff::Timestamp::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn signer(&self, number: u8) -> PathBuf {
        self.path(&format!("signers/demo-signer-{number}.key"))
    }

    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        said(&output(&[words, &["--config", &self.config]].concat()))
    }

    /// A mandate of its own for so many days from yesterday on, changed in one line, and signed by these.
    fn write(&self, name: &str, version: i64, days: i64, change: (&str, &str), signers: &[&Path]) -> String {
        let at = |days: i64| self.today.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        let text = format!(
            "id = \"m-1\"\nversion = {version}\ntitle = \"visits\"\nlegal_basis = \"law\"\nissued_by = \"the city\"\npurposes = [\"visits\"]\n\
             sources = [\"checkpoint-bureau\"]\n# All of them.\nfields = [\"*\"]\ndivisions = [\"3301\"]\nmax_households = 1000\n\
             valid_from = \"{}\"\nvalid_until = \"{}\"\n",
            at(-1),
            at(days - 1),
        );
        let path = self.path(name);
        fs::write(&path, text.replace(change.0, change.1)).unwrap();
        for key in signers {
            self.sign(&path, key);
        }
        path.to_str().unwrap().to_owned()
    }

    fn sign(&self, path: &Path, key: &Path) {
        let (code, out, error) = said(&output(&["mandate", "sign", path.to_str().unwrap(), "--key", key.to_str().unwrap()]));
        assert_eq!(code, Some(0), "{out}{error}");
    }

    fn list(&self) -> Vec<Value> {
        let (code, out, error) = self.run(&["mandate", "list", "--json"]);
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<Value>(&out).unwrap()["mandates"].as_array().unwrap().clone()
    }

    /// The log of changes: of each its kind, its id, and what was done.
    fn changes(&self) -> Vec<[String; 3]> {
        let (code, out, error) = self.run(&["audit", "verify"]);
        assert!(code == Some(0) && out.contains("changes: whole"), "{out}{error}");
        let text = fs::read_to_string(self.path("audit/changes-00000001.jsonl")).unwrap();
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let act = |entry: &Value| if entry["what"] == "mandate" { word(&entry["state"]) } else { word(&entry["act"]) };
        entries.filter(|entry| entry["what"] != "sign_in").map(|entry| [word(&entry["what"]), word(&entry["id"]), act(&entry)]).collect()
    }

    fn of(&self, id: &str) -> Value {
        self.list().into_iter().find(|mandate| mandate["id"] == id).unwrap_or(Value::Null)
    }
}

const SAME: (&str, &str) = ("", "");

#[test]
fn a_mandate_is_signed_opened_renewed_and_suspended() {
    let world = World::new();
    let (one, two, three) = (world.signer(1), world.signer(2), world.signer(3));
    let mode = fs::metadata(&one).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut running = Running::start(oneknock(&["run", "--config", &world.config]));
    running.wait_for("ready");

    let file = world.write("m-1.toml", 1, 30, SAME, &[&one, &three]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# All of them.") && text.matches("demo-signer-").count() == 2, "{text}");
    let (code, out, error) = world.run(&["mandate", "open", &file]);
    assert_eq!(code, Some(0), "{error}");
    for says in ["signed by demo-signer-1 and demo-signer-3", "opened by admin", "no registry is published", "unresolved", "--mandate m-1"]
    {
        assert!(out.contains(says), "{out} should say {says}");
    }
    let opened = world.of("m-1");
    assert_eq!((&opened["in_force"], &opened["acted_by"]), (&true.into(), &"admin".into()), "{opened}");
    assert_eq!(opened["signed_by"], serde_json::json!(["demo-signer-1", "demo-signer-3"]));
    assert!(world.path("keys/m-1.json").exists());
    let keys = fs::read(world.path("keys/m-1.json")).unwrap();
    let (code, out, _) = world.run(&["mandate", "open", &file]);
    assert!(code == Some(0) && out.contains("nothing has changed"), "{out}");

    let renewal = world.write("m-1-2.toml", 2, 25, SAME, &[&one, &two]);
    assert_eq!(world.run(&["mandate", "open", &renewal]).0, Some(0));
    assert_eq!(world.of("m-1")["version"], 2);
    assert_eq!(fs::read(world.path("keys/m-1.json")).unwrap(), keys, "the same keys");

    for (command, state, in_force) in [("suspend", "SUSPENDED", false), ("suspend", "SUSPENDED", false), ("resume", "OPEN", true)] {
        let (code, _, error) = world.run(&["mandate", command, "m-1"]);
        assert_eq!(code, Some(0), "{error}");
        assert_eq!((&world.of("m-1")["state"], &world.of("m-1")["in_force"]), (&state.into(), &in_force.into()));
    }
    // A renewal of what is suspended resumes nothing.
    assert_eq!(world.run(&["mandate", "suspend", "m-1"]).0, Some(0));
    let renewal = world.write("m-1-3.toml", 3, 26, SAME, &[&one, &two]);
    assert!(world.run(&["mandate", "open", &renewal]).1.contains("mandate resume m-1"));
    assert_eq!((&world.of("m-1")["state"], &world.of("m-1")["version"]), (&"SUSPENDED".into(), &3.into()));
    assert_eq!(world.run(&["keys", "rotate", "--mandate", "m-1"]).0, Some(0));
    // Each act once; what changed nothing left nothing.
    let acts = [("keys", "draw"), ("mandate", "OPEN"), ("mandate", "OPEN"), ("mandate", "SUSPENDED"), ("mandate", "OPEN")];
    let acts = [&acts[..], &[("mandate", "SUSPENDED"), ("mandate", "SUSPENDED"), ("keys", "rotate")]].concat();
    assert_eq!(world.changes(), acts.into_iter().map(|(what, act)| [what, "m-1", act].map(str::to_owned)).collect::<Vec<_>>());
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_bad_mandate_is_refused_with_what_to_do() {
    let world = World::new();
    let (one, two) = (world.signer(1), world.signer(2));
    let key = world.path("stranger.key");
    let (code, public, error) = said(&output(&["mandate", "signer", "stranger", "--key", key.to_str().unwrap()]));
    assert!(code == Some(0) && public.contains("[[signer]]") && error.contains("0600"), "{public}{error}");
    let good = world.write("good.toml", 5, 30, SAME, &[&one, &two]);
    let (code, _, error) = world.run(&["mandate", "open", &good]);
    assert_eq!(code, Some(0), "{error}");

    let altered = world.write("altered.toml", 6, 30, SAME, &[&one, &two]);
    let text = fs::read_to_string(&altered).unwrap();
    fs::write(&altered, text.replace("max_households = 1000", "max_households = 999")).unwrap();
    let twice = world.write("twice.toml", 6, 30, SAME, &[&one]);
    let text = fs::read_to_string(&twice).unwrap();
    let line = text.lines().find(|line| line.contains("demo-signer-1:")).unwrap();
    fs::write(&twice, text.replace(line, &format!("{line}\n{line}"))).unwrap();
    for (file, says) in [
        (world.write("unsigned.toml", 6, 30, SAME, &[]), "signed by 0 of the 2"),
        (world.write("once.toml", 6, 30, SAME, &[&one]), "signed by 1 of the 2"),
        (twice, "has signed twice"),
        (world.write("strange.toml", 6, 30, SAME, &[&one, &key]), "stranger is no signer of this site"),
        (altered, "changed after it was signed"),
        (world.write("expired.toml", 6, 1, SAME, &[&one, &two]), "valid_until: it was over"),
        (world.write("long.toml", 6, 31, SAME, &[&one, &two]), "31 days; the most is 30"),
        (world.write("wider.toml", 6, 30, ("[\"3301\"]", "[\"33\"]"), &[&one, &two]), "wider than its parent m-1 version 5: divisions"),
        (world.write("lower.toml", 4, 30, SAME, &[&one, &two]), "a newer version or a later act is known (version 5)"),
        (world.write("other.toml", 5, 30, ("visits\"\nlegal", "other\"\nlegal"), &[&one, &two]), "(version 5)"),
        (world.write("orphan.toml", 6, 30, ("id =", "parent = \"m-0\"\nid ="), &[&one, &two]), "there is no open mandate m-0"),
        (world.write("unnamed.toml", 6, 30, ("title", "titel"), &[]), "titel"),
        ("absent.toml".to_owned(), "cannot be read"),
    ] {
        let (code, out, error) = world.run(&["mandate", "open", &file]);
        assert_eq!(code, Some(2), "{file}: {out}{error}");
        assert!(error.contains(says) && error.contains(&file), "{error} should say {says}");
    }
    assert_eq!(world.list().iter().map(|one| (&one["id"], &one["version"])).collect::<Vec<_>>(), [(&"m-1".into(), &5.into())]);
    // What `run` would publish by itself is checked as well, and nothing starts without signers.
    let mandate = world.path("mandate.toml");
    let text = fs::read_to_string(&mandate).unwrap();
    fs::write(&mandate, text.replace("made-up data", "any data")).unwrap();
    let (code, _, error) = world.run(&["run"]);
    assert!(code == Some(2) && error.contains("mandate.toml") && error.contains("changed after it was signed"), "{error}");
    fs::write(&mandate, text).unwrap();
    fs::rename(world.path("signers.toml"), world.path("elsewhere.toml")).unwrap();
    let (code, _, error) = world.run(&["mandate", "list"]);
    assert!(code == Some(2) && error.contains("mandates.signers"), "{error}");

    let (code, _, error) = said(&output(&["mandate", "sign", &good, "--key", world.path("tokens.json").to_str().unwrap()]));
    assert!(code == Some(2) && error.contains("mandate signer NAME"), "{error}");
    for (words, says) in [(["suspend", "m-9"], "no mandate m-9"), (["resume", "m-9"], "mandate list")] {
        fs::rename(world.path("elsewhere.toml"), world.path("signers.toml")).unwrap_or_default();
        let (code, _, error) = world.run(&["mandate", words[0], words[1]]);
        assert!(code == Some(1) && error.contains(says), "{error}");
    }
}

/// The end destroys the keys, here and in the running process; keys put back open nothing for a gateway, and a site starts without them.
#[test]
fn an_ended_mandate_is_over_for_good() {
    let world = World::new();
    let (one, two) = (world.signer(1), world.signer(2));
    let mut running = Running::start(oneknock(&["run", "--config", &world.config]));
    running.wait_for("ready");
    let table = |name: &str, text: &str| {
        fs::write(world.path(name), text).unwrap();
        world.path(name).to_str().unwrap().to_owned()
    };
    let grids = "grid,name,community,community_name,subdistrict,division,workers\n330106001001-03,n,330106001001,c,330106001,330106,1\n";
    let households = "household,grid,address,contact_name,contact_phone\nH-1,330106001001-03,somewhere 1,Zhang,13800138000\n";
    let residents = "resident,household,name,resident_id,phones,plates\nR-1,H-1,Zhang,,13800138000,\n";
    let tables = [table("g.csv", grids), table("h.csv", households), table("r.csv", residents)];
    let import = ["registry", "import", "--grids", &tables[0], "--households", &tables[1], "--residents", &tables[2]];
    let (code, _, error) = world.run(&import);
    assert_eq!(code, Some(0), "{error}");
    let keys = fs::read(world.path("keys/demo-mandate.json")).unwrap();

    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate"]);
    assert_eq!(code, Some(0), "{error}");
    // What opened before (the null control) does not open after.
    assert!(out.contains("2 sealed values sampled from the registry, 2 of them open"), "{out}");
    assert!(out.contains("of the sampled values 0 open") && out.contains("ended by admin"), "{out}");
    assert!(!world.path("keys/demo-mandate.json").exists());
    let ended = world.of("demo-mandate");
    assert_eq!((&ended["state"], &ended["in_force"]), (&"ENDED".into(), &false.into()));
    assert!(ended["keys_destroyed_at"].is_string(), "{ended}");
    let (code, out, _) = world.run(&["mandate", "end", "demo-mandate"]);
    assert!(code == Some(0) && out.contains("nothing has changed"), "{out}");
    for words in [["mandate", "resume", "demo-mandate"], ["mandate", "suspend", "demo-mandate"]] {
        let (code, _, error) = world.run(&words);
        assert!(code == Some(1) && error.contains("new id"), "{error}");
    }
    let again = world.write("again.toml", 2, 30, ("m-1", "demo-mandate"), &[&one, &two]);
    let (code, _, error) = world.run(&["mandate", "open", &again]);
    assert!(code == Some(2) && error.contains("under a new id"), "{error}");
    let (code, _, error) = world.run(&import);
    assert!(code == Some(1) && error.contains("no mandate is in force"), "{error}");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));

    // A site whose only mandate has ended runs, without its keys; and with keys from a backup it says so, and ends them again.
    keys::files::create(&world.path("keys/demo-mandate.json"), &keys).unwrap();
    let mut running = Running::start(oneknock(&["run", "--config", &world.config]));
    running.wait_for("keys of an ended mandate are here again");
    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate"]);
    assert!(code == Some(0) && out.contains("of the sampled values 0 open"), "{out}{error}");
    assert!(!world.path("keys/demo-mandate.json").exists());
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    let mut running = Running::start(oneknock(&["run", "--config", &world.config]));
    running.wait_for("ready");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}
