//! Suites of hostile input as registers, as files of a source, and as bytes in the topics: a code, a reject row or a dead letter, never
//! a panic; the good records beside them go through, and nothing of what was refused is said again.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

mod hostile;

use eventlog::schemas::Schemas;
use events::topics::{ALL, GRIDS, HIGHWAY};
use events::{GridEntry, HighwayEntrance};
use hostile::{OPEN, PRIVATE, Suites, cell, is_text, plain};
use oneknock_tests::topics;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use testkit::site::{LogChoice, Options, Said, Site};

const AT: &str = "2016-10-18T08:00:00+08:00";
const GRID_HEADER: &str = "grid,name,community,community_name,subdistrict,division,workers\n";
const HOUSEHOLD_HEADER: &str = "household,grid,address,contact_name,contact_phone\n";
const RESIDENT_HEADER: &str = "resident,household,name,resident_id,phones,plates,permits\n";
const GOOD_GRID: &str = "g1,Grid,330106001001,Anytown,330106001,330106,1\n";
const GOOD_HOUSEHOLD: &str = "h1,g1,1 church st,,\n";
const GOOD_RESIDENT: &str = "r1,h1,,,,浙A00001,\n";

async fn site() -> Site {
    Site::start(Options::of_events_between(LogChoice::Embedded, "2016-10-01", "2016-11-15")).await.unwrap()
}

/// A command that ended by itself, with a code that it may have, and without a word of what is private.
fn ended_well(said: &Said, what: &str) -> i32 {
    let code = said.code.unwrap_or_else(|| panic!("{what} was ended by a signal: {said:?}"));
    assert!(matches!(code, 0 | 1 | 3), "{what} ended with {code}: {said:?}");
    for text in [&said.out, &said.err] {
        assert!(!text.contains("panicked") && !text.contains(PRIVATE) && !text.contains(OPEN), "{what} said: {text}");
    }
    code
}

/// Rows of a rejects file: row number and code. Every line has the form that ours have and says nothing of what was refused.
fn rejects(path: &Path) -> Vec<(u64, String)> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("row,column,code,message"), "{}", path.display());
    let mut rows = Vec::new();
    for line in lines {
        let mut parts = line.splitn(4, ',');
        let (row, column, code, message) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'));
        let quoted = message.len() > 2 && message.starts_with('"') && message.ends_with('"') && message.matches('"').count() == 2;
        assert!(name(column) && name(code) && !code.is_empty() && quoted && message.is_ascii(), "{}: {line}", path.display());
        assert!(!line.contains(PRIVATE) && !line.contains(OPEN), "{}: {line}", path.display());
        rows.push((row.parse().unwrap(), code.to_owned()));
    }
    rows
}

struct Tables {
    folder: tempfile::TempDir,
}

impl Tables {
    fn new() -> Tables {
        Tables { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn import(&self, site: &Site, tables: [&[u8]; 3], what: &str) -> (i32, Value) {
        let paths = ["grids.csv", "households.csv", "residents.csv"].map(|name| self.path(name));
        for (path, bytes) in paths.iter().zip(tables) {
            std::fs::write(path, bytes).unwrap();
        }
        let [grids, households, residents] = paths.each_ref().map(|path| path.to_str().unwrap());
        let words = ["registry", "import", "--yes", "--grids", grids, "--households", households, "--residents", residents];
        let said = site.command(&words).await.unwrap();
        let code = ended_well(&said, what);
        (code, serde_json::from_str(&said.out).unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn a_register_of_any_bytes_is_taken_or_refused_row_by_row() {
    let (suites, site, tables) = (Suites::read(), site().await, Tables::new());
    let good =
        [GRID_HEADER.to_owned() + GOOD_GRID, HOUSEHOLD_HEADER.to_owned() + GOOD_HOUSEHOLD, RESIDENT_HEADER.to_owned() + GOOD_RESIDENT];
    let good = good.each_ref().map(|text| text.as_bytes());
    let mut random = vec![0; 65_536];
    StdRng::seed_from_u64(9).fill_bytes(&mut random);

    // Whole files that are no tables of ours.
    let mut files: Vec<(&str, &[u8])> = suites.csv.iter().map(|(name, bytes, _)| (name.as_str(), bytes.as_slice())).collect();
    files.extend([("gb18030", suites.gb18030.as_slice()), ("blns", suites.naughty_file.as_slice()), ("random", &random), ("empty", b"")]);
    for (name, bytes) in &files {
        for at in 0..3 {
            let mut three = good;
            three[at] = bytes;
            let (code, _) = tables.import(&site, three, name).await;
            assert_eq!(code, 1, "{name} as table {at} has not our columns");
        }
    }
    // Bytes of any kind below a good header, and good rows after them.
    for at in 0..3 {
        let header = good[at].split_inclusive(|byte| *byte == b'\n').next().unwrap();
        let bytes = [good[at], &random, b"\n\"\n", &good[at][header.len()..]].concat();
        let mut three = good;
        three[at] = &bytes;
        let (code, report) = tables.import(&site, three, "random rows").await;
        assert!(code == 3 && report["rejected"].as_u64() > Some(0), "table {at}: {report}");
    }

    // Strings of any kind in good rows: refused exactly where they are no text, or too long.
    let mut households = HOUSEHOLD_HEADER.to_owned() + GOOD_HOUSEHOLD;
    let mut residents = RESIDENT_HEADER.to_owned() + GOOD_RESIDENT;
    let mut bad_rows = Vec::new();
    for (at, text) in suites.naughty.iter().enumerate() {
        let address = format!("{text}{PRIVATE}");
        households += &format!("n{at},g1,{},{},\n", cell(&address), cell(text));
        residents += &format!("n{at},n{at},{},,,,{}\n", cell(&address), cell(&address));
        if !is_text(&address, 1_024) || !is_text(text, 128) {
            bad_rows.push(at as u64 + 3);
        }
    }
    let (code, report) = tables.import(&site, [good[0], households.as_bytes(), residents.as_bytes()], "naughty strings").await;
    assert_eq!(code, 3);
    let refused: Vec<u64> = rejects(&tables.path("households.rejects.csv")).iter().map(|(row, _)| *row).collect();
    assert!(!bad_rows.is_empty() && refused == bad_rows, "refused {refused:?}, expected {bad_rows:?}");
    assert_eq!(held(&report["households"]), (1 + suites.naughty.len() - bad_rows.len()) as u64);
    let of_residents = rejects(&tables.path("residents.rejects.csv")).len() as u64;
    assert_eq!(report["rejected"], refused.len() as u64 + of_residents);

    // A register in GB18030: every sign of it arrives as what it is.
    let lines: Vec<&[u8]> = suites.gb18030.split(|byte| *byte == b'\n').collect();
    let mut grids = good[0].to_vec();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_ascii()) {
        grids.extend([format!("s{at},").as_bytes(), line, b",,,,330106,1\n"].concat());
    }
    let (code, report) = tables.import(&site, [&grids, good[1], good[2]], "gb18030").await;
    assert_eq!((code, held(&report["grids"])), (0, lines.iter().filter(|line| !line.is_ascii()).count() as u64 + 1), "{report}");
    let (log, schemas) = (site.log().await.unwrap(), Schemas::open("").await.unwrap());
    let mut names = BTreeMap::new();
    for record in topics::records(&log, GRIDS).await.unwrap() {
        let key = String::from_utf8(record.key.to_vec()).unwrap();
        if record.value.is_some() && key.starts_with('s') {
            names.insert(key, schemas.decode::<GridEntry>(&record).await.unwrap().name);
        }
    }
    let reference: Vec<&str> = suites.gb18030_as_utf8.split('\n').collect();
    for (key, name) in &names {
        assert_eq!(*name, plain(reference[key[1..].parse::<usize>().unwrap()]), "line {key}");
    }
    assert!(!site.said().contains(PRIVATE) && !site.said().contains("panicked"));
    println!("hostile registers: {} files, {} strings, {} signs of GB18030", files.len() * 3, suites.naughty.len(), names.len());
    assert!(names.len() > 23_000 && suites.naughty.len() > 300 && suites.csv.len() == 6);
}

/// How many of a kind stand there after an import.
fn held(counts: &Value) -> u64 {
    counts["published"].as_u64().unwrap() + counts["unchanged"].as_u64().unwrap()
}

/// A record that has to be taken.
fn good(id: &str) -> Value {
    json!({"id": id, "observed_at": AT, "station": "gate-1", "direction": "in", "plate": "浙A00001"})
}

/// A record with one other field.
fn with(id: &str, field: &str, value: impl Into<Value>) -> String {
    let mut record = good(id);
    record[field] = value.into();
    format!("{record}\n")
}

/// Reads a folder as a source; gives what the command counted.
async fn connect(site: &Site, folder: &Path, format: &str) -> (u64, u64) {
    let name = format!("hostile-{format}");
    let mut config = std::fs::read_to_string(site.config()).unwrap();
    config += &format!(
        "\n[sources.{name}]\nkind = \"files\"\npath = \"{}\"\nformat = \"{format}\"\nevent = \"highway\"\nsource = \"highway-authority\"\n",
        folder.display()
    );
    std::fs::write(site.config(), config).unwrap();
    let said = site.command(&["connect", "--source", &name, "--once"]).await.unwrap();
    let code = ended_well(&said, &name);
    assert_eq!(code, 3, "{said:?}");
    let summary: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (summary["accepted"].as_u64().unwrap(), summary["rejected"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
async fn files_of_any_bytes_give_records_or_reject_rows() {
    let (suites, site, folder) = (Suites::read(), site().await, tempfile::tempdir().unwrap());
    let (ndjson, csv) = (folder.path().join("ndjson"), folder.path().join("csv"));
    std::fs::create_dir_all(&ndjson).unwrap();
    std::fs::create_dir_all(&csv).unwrap();
    let mut random = vec![0; 65_536];
    StdRng::seed_from_u64(10).fill_bytes(&mut random);

    // Every case of the JSON suite in a file of its own, a good line behind it; and as a field that nobody reads, in a good line.
    let mut taken = 0;
    let (mut valid, mut invalid) = (String::new(), Vec::new());
    for (name, bytes) in suites.json.iter().chain([&("random".to_owned(), random.clone())]) {
        let line = format!("\n{}\n", good(&format!("beside {name}")));
        std::fs::write(ndjson.join(format!("{name}.ndjson")), [bytes.as_slice(), line.as_bytes()].concat()).unwrap();
        taken += 1;
        let record = good(&format!("around {name}")).to_string();
        let around = [record.trim_end_matches('}').as_bytes(), b",\"x\":", bytes, b"}\n"].concat();
        match (name.as_bytes()[0], bytes.contains(&b'\n')) {
            (b'y', false) => valid += std::str::from_utf8(&around).unwrap(),
            (b'n', false) => invalid.extend(around),
            _ => {}
        }
    }
    taken += valid.lines().count() as u64;
    std::fs::write(ndjson.join("valid.ndjson"), &valid).unwrap();
    std::fs::write(ndjson.join("invalid.ndjson"), &invalid).unwrap();

    // Strings: as a station they are taken exactly where they are text; as anything else they are taken or refused.
    let mut stations = String::new();
    let mut any = String::new();
    let mut as_stations = 0;
    for (at, text) in suites.naughty.iter().enumerate() {
        stations += &with(&format!("station {at}"), "station", text.as_str());
        as_stations += u64::from(is_text(text, 64) && !text.trim().is_empty());
        for field in ["observed_at", "direction", "vehicle_class", "origin_division", "mandate"] {
            any += &with(&format!("{field} {at}"), field, format!("{text}{OPEN}"));
        }
        any += &with(&format!("plate {at}"), "plate", format!("{text}{PRIVATE}"));
        any += &with(&format!("{text}{PRIVATE} {at}"), "vehicle_class", "id");
    }
    std::fs::write(ndjson.join("stations.ndjson"), &stations).unwrap();
    std::fs::write(ndjson.join("zz-any.ndjson"), &any).unwrap();
    let (accepted, rejected) = connect(&site, &ndjson, "ndjson").await;
    let refused = |name: &str| rejects(&ndjson.join(format!("{name}.rejects.csv"))).len() as u64;
    let of_any = any.lines().count() as u64 - refused("zz-any");
    assert_eq!(refused("valid"), 0, "valid JSON in a field that nobody reads");
    assert_eq!(refused("invalid"), invalid.iter().filter(|byte| **byte == b'\n').count() as u64);
    assert_eq!(refused("stations"), suites.naughty.len() as u64 - as_stations);
    assert_eq!(accepted, taken + as_stations + of_any);
    let mut rows = 0;
    for entry in std::fs::read_dir(&ndjson).unwrap() {
        let path = entry.unwrap().path();
        rows += if path.to_str().unwrap().ends_with(".rejects.csv") { rejects(&path).len() as u64 } else { 0 };
    }
    assert_eq!(rejected, rows);

    // CSV: the suite's own files under our titles, its cells and those of GB18030 as they should be read, and bytes of any kind.
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let mut cells = String::from("id,observed_at,station,direction,plate,vehicle_class\n");
    let mut bad_cells = 0;
    for (name, bytes, values) in &suites.csv {
        let body = &bytes[bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1..];
        let titles = ["id", "station", "plate", "direction", "vehicle_class"][..values[0].len()].join(",");
        std::fs::write(csv.join(format!("{name}.csv")), [titles.as_bytes(), b"\n", body].concat()).unwrap();
        for (at, value) in values.iter().flatten().enumerate() {
            let id = format!("{name} {at}");
            cells += &format!("{id},{AT},gate-1,in,浙A00001,{}\n", cell(value));
            if is_text(value, 64) { _ = wanted.insert(id, plain(value)) } else { bad_cells += 1 }
        }
    }
    std::fs::write(csv.join("cells.csv"), &cells).unwrap();
    std::fs::write(csv.join("random.csv"), &random).unwrap();
    let mut signs = b"id,observed_at,station,direction,plate,vehicle_class\n".to_vec();
    let lines = suites.gb18030.split(|byte| *byte == b'\n').zip(suites.gb18030_as_utf8.split('\n')).enumerate();
    for (at, (line, reference)) in lines.filter(|(_, (line, _))| !line.is_ascii()).step_by(4) {
        let id = format!("sign {at}");
        signs.extend([format!("{id},{AT},gate-1,in,CAR1,").as_bytes(), line, b"\n"].concat());
        wanted.insert(id, plain(reference));
    }
    std::fs::write(csv.join("signs.csv"), &signs).unwrap();
    let (from_csv, _) = connect(&site, &csv, "csv").await;
    for (name, _, values) in &suites.csv {
        let refused = rejects(&csv.join(format!("{name}.rejects.csv")));
        let rows: Vec<u64> = refused.iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, (2..2 + values.len() as u64).collect::<Vec<_>>(), "{name}: as many rows as the suite says");
        assert!(refused.iter().all(|(_, code)| code == "missing_field" || code == "bad_value"), "{name}: {refused:?}");
    }
    assert_eq!(rejects(&csv.join("cells.rejects.csv")).len(), bad_cells);
    assert_eq!(from_csv, wanted.len() as u64);

    let ledger = site.closed_ledger().await.unwrap();
    assert_eq!(ledger.accepted, accepted + from_csv, "{ledger:?}");
    arrived_as_written(&site, &suites, &wanted).await;
    assert!(!site.said().contains(PRIVATE) && !site.said().contains("panicked"));
    println!("hostile files: {} of JSON, {as_stations} strings as they came, {rejected} rows of NDJSON refused", suites.json.len());
    println!("hostile files: {accepted} records of NDJSON and {from_csv} of CSV taken, the latter read back as they were written");
    assert!(suites.json.len() > 230 && as_stations > 200 && bad_cells == 1 && wanted.len() > 5_000);
}

/// What was taken stands in the log as it was written, and what is private stands nowhere.
async fn arrived_as_written(site: &Site, suites: &Suites, wanted: &BTreeMap<String, String>) {
    let (log, schemas) = (site.log().await.unwrap(), Schemas::open("").await.unwrap());
    let keys = site.keyring().unwrap().mandate(testkit::site::MANDATE).unwrap();
    let reference = |id: &str| keys.source_ref("highway-authority", id).unwrap().map(|byte| format!("{byte:02x}")).concat();
    let mut events = BTreeMap::new();
    for record in topics::records(&log, HIGHWAY).await.unwrap() {
        let event: HighwayEntrance = schemas.decode(&record).await.unwrap();
        events.insert(event.source_ref.clone(), event);
    }
    for (id, text) in wanted {
        assert_eq!(events[reference(id).as_str()].vehicle_class.as_deref().unwrap_or_default(), text, "{id}");
    }
    let stations = suites.naughty.iter().enumerate().filter(|(_, text)| is_text(text, 64) && !text.trim().is_empty());
    for (at, text) in stations {
        assert_eq!(events[reference(&format!("station {at}")).as_str()].station, plain(text), "string {at}");
    }
    for topic in ALL {
        for record in topics::records(&log, topic.name).await.unwrap() {
            let mut parts = record.headers.iter().map(|(_, value)| value).chain(record.value.as_deref()).chain([&*record.key]);
            let private = parts.any(|bytes| bytes.windows(PRIVATE.len()).any(|window| window == PRIVATE.as_bytes()));
            assert!(!private, "{} holds something private", topic.name);
        }
    }
}
