//! Mandates by commands alone, as signers and an administrator give them: drawn keys, signatures, opening, renewing, suspending; and every
//! way in which one may be bad is refused with what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod common;

use common::{PATIENCE, Running, oneknock, output, said, site};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

    fn import(&self) {
        let (code, _, error) = self.imported();
        assert_eq!(code, Some(0), "{error}");
    }

    fn imported(&self) -> (Option<i32>, String, String) {
        let table = |name: &str, text: &str| {
            fs::write(self.path(name), text).unwrap();
            self.path(name).to_str().unwrap().to_owned()
        };
        let grids =
            "grid,name,community,community_name,subdistrict,division,workers\n330106001001-03,n,330106001001,c,330106001,330106,1\n";
        let households = "household,grid,address,contact_name,contact_phone\nH-1,330106001001-03,somewhere 1,Zhang,13800138000\n";
        let residents = "resident,household,name,resident_id,phones,plates\nR-1,H-1,Zhang,,13800138000,\n";
        let tables = [table("g.csv", grids), table("h.csv", households), table("r.csv", residents)];
        self.run(&["registry", "import", "--grids", &tables[0], "--households", &tables[1], "--residents", &tables[2]])
    }

    /// One event, of the registry's only resident, with an address.
    fn arrival(&self) {
        let mut config = fs::read_to_string(&self.config).unwrap();
        config.push_str("[sources.road]\nkind = \"files\"\npath = \"./drop.ndjson\"\nformat = \"ndjson\"\nevent = \"checkpoint\"\nsource = \"checkpoint-bureau\"\n");
        fs::write(&self.config, config).unwrap();
        let event = serde_json::json!({
            "id": "cp-1", "observed_at": self.today.to_string(), "checkpoint": "G60-118", "direction": "in", "phone": "13800138000",
            "destination": {"division": "330106", "grid": "330106001001-03", "address": "somewhere 1"},
        });
        fs::write(self.path("drop.ndjson"), format!("{event}\n")).unwrap();
        let (code, out, error) = self.run(&["connect", "--once", "--source", "road"]);
        assert_eq!(code, Some(0), "{out}{error}");
    }

    /// Until the event is decided.
    fn wait_for_the_ledger(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&["ops", "ledger"]).0 != Some(0) {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The certificate of demo-mandate, which must be as it was written.
    fn certificate(&self) -> Value {
        let (code, out, error) = self.run(&["mandate", "certificate", "demo-mandate", "--json"]);
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str(&out).unwrap()
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
    for (words, says) in [(["suspend", "m-9"], "no such mandate"), (["resume", "m-9"], "mandate list")] {
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
    world.import();
    world.arrival();
    world.wait_for_the_ledger();
    let keys = fs::read(world.path("keys/demo-mandate.json")).unwrap();

    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate"]);
    assert_eq!(code, Some(0), "{error}");
    // What opened before (the null control) does not open after.
    let certificate = world.certificate();
    let sampled = &certificate["sampled"];
    assert_eq!((&sampled["of"]["registry"], &sampled["of"]["events"]), (&2.into(), &1.into()), "{certificate}");
    assert!(sampled["of"]["tasks"].as_u64() >= Some(1) && sampled["opened_before"] == sampled["count"], "{certificate}");
    assert_eq!((&sampled["opened_after"], &certificate["households"]), (&0.into(), &1.into()));
    assert_eq!((&certificate["events_accepted"], &certificate["drained"]["undecided"]), (&1.into(), &0.into()));
    assert_eq!((&certificate["ended_by"], &certificate["drained"]["router"]), (&"admin".into(), &true.into()));
    assert_eq!(certificate["keys_destroyed"]["versions"].as_array().map(Vec::len), Some(1));
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
    let (code, _, error) = world.imported();
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
    // The first certificate stays within the second one.
    let again = world.certificate();
    assert_eq!((&again["before"]["sampled"], &again["ended_at"]), (&certificate["sampled"], &certificate["ended_at"]));
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    let mut running = Running::start(oneknock(&["run", "--config", &world.config]));
    running.wait_for("ready");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

/// What is undecided stands in the certificate, and so does that nobody could decide it; altered by one bit it is none.
#[test]
fn a_certificate_says_what_was_left_and_shows_every_change() {
    let world = World::new();
    // Nothing runs: the commands open the log themselves.
    world.import();
    world.arrival();
    let (code, _, error) = world.run(&["mandate", "certificate", "demo-mandate"]);
    assert!(code == Some(1) && error.contains("oneknock mandate end"), "{error}");
    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate"]);
    assert!(code == Some(0) && out.contains("no router runs here: 1 of 1 events are not decided"), "{out}{error}");
    let certificate = world.certificate();
    let drained = serde_json::json!({"seconds": 0, "undecided": 1, "router": false});
    assert_eq!((&certificate["drained"], &certificate["events_accepted"]), (&drained, &1.into()));
    let (code, out, _) = world.run(&["mandate", "certificate", "demo-mandate"]);
    assert!(code == Some(0) && out.contains("Events left undecided: 1"), "{out}");
    assert!(fs::read_to_string(world.path("certificates/demo-mandate.html")).unwrap().contains("授权书终止证明"));
    let acts = [["mandate", "ENDED"], ["keys", "destroy"], ["mandate", "ENDED"]];
    assert_eq!(world.changes(), acts.map(|[what, act]| [what, "demo-mandate", act].map(str::to_owned)));

    let file = world.path("certificates/demo-mandate.json");
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(31).chain([whole.len() - 1]) {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&file, &altered).unwrap();
        let (code, _, error) = world.run(&["mandate", "certificate", "demo-mandate"]);
        assert!(code == Some(1) && error.contains("altered"), "byte {at}: {error}");
    }
    // Another one's, however well signed.
    fs::write(world.path("certificates/other.json"), &whole).unwrap();
    assert_eq!(world.run(&["mandate", "certificate", "other"]).0, Some(1));
    fs::write(&file, &whole).unwrap();
    assert_eq!(world.certificate(), certificate, "the null control");

    // Altered, or lost before it was written: the same command writes it, with what can still be known.
    fs::write(&file, &whole[1..]).unwrap();
    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate"]);
    assert!(code == Some(0) && out.contains("does not count and is replaced"), "{out}{error}");
    world.certificate();
    fs::remove_file(&file).unwrap();
    assert_eq!(world.run(&["mandate", "end", "demo-mandate"]).0, Some(0));
    let again = world.certificate();
    assert_eq!((&again["keys_destroyed"]["at"], &again["sampled"]["opened_before"]), (&certificate["keys_destroyed"]["at"], &Value::Null));
    assert_eq!((&again["keys_destroyed"]["suite"], &again["sampled"]["opened_after"]), (&Value::Null, &0.into()));
    assert_eq!(world.changes().len(), acts.len(), "nothing was done again");
}

/// A process runs, and decides nothing: that is waited for as long as was said, and told.
#[test]
fn the_end_goes_on_where_nobody_decides() {
    let world = World::new();
    let mut running = Running::start(oneknock(&["run", "--role", "gateway,ops", "--config", &world.config]));
    running.wait_for("ready");
    world.import();
    world.arrival();
    let (code, out, error) = world.run(&["mandate", "end", "demo-mandate", "--drain-seconds", "1"]);
    assert!(code == Some(0) && out.contains("1 of 1 events are not decided after"), "{out}{error}");
    let certificate = world.certificate();
    assert_eq!((&certificate["drained"]["undecided"], &certificate["drained"]["router"]), (&1.into(), &true.into()));
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}
