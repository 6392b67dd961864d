//! `registry import` against the embedded log: a full snapshot, its differences, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod support;

use connectors::registry::{ImportError, ImportReport, ImportRequest, Outcome, Paths, import};
use domain::Clock;
use domain::limits::LINKS_MAX;
use events::topics::{GRIDS, HOUSEHOLDS, IDENTIFIERS};
use events::{Codec, GridEntry, HouseholdEntry, IdentifierKind, IdentifierLink, Link, Mandate, Millis, normal};
use std::collections::BTreeMap;
use std::path::Path;
use support::{TestSite, mandate};

const GRID_HEADER: &str = "grid,name,community,community_name,subdistrict,division,workers\n";
const HOUSEHOLD_HEADER: &str = "household,grid,address,contact_name,contact_phone\n";
const RESIDENT_HEADER: &str = "resident,household,name,resident_id,phones,plates,passports,permits\n";

const GRID_ROWS: &str = "g1,一网格,330106001001,翠苑,330106001,330106,2\ng2,二网格,330106001002,古荡,330106001,330106,1\n";
const HOUSEHOLD_ROWS: &str = "A,g1,\"文三路 90 号,\n3 幢\",王小明,13800138000\nB,g2,西湖区 1 号,,\n";
const RESIDENT_ROWS: &str =
    "r1,A,王小明,11010519491231002X,13800138000;+86 139 0000 0001,浙A12345,,\nr2,B,Anna,,13800138000,,E123;E124,HK 1\n";

struct Files<'a> {
    grids: &'a str,
    households: &'a str,
    residents: &'a str,
}

const FILES: Files<'static> = Files { grids: GRID_ROWS, households: HOUSEHOLD_ROWS, residents: RESIDENT_ROWS };

fn request(dir: &Path) -> ImportRequest {
    let paths = Paths { grids: dir.join("g.csv"), households: dir.join("h.csv"), residents: dir.join("r.csv") };
    ImportRequest { paths, mandate: None, dry_run: false, yes: false, state_dir: dir.join("state"), clock: Clock::Wall }
}

fn write(dir: &Path, files: &Files<'_>) {
    std::fs::write(dir.join("g.csv"), format!("{GRID_HEADER}{}", files.grids)).unwrap();
    std::fs::write(dir.join("h.csv"), format!("{HOUSEHOLD_HEADER}{}", files.households)).unwrap();
    std::fs::write(dir.join("r.csv"), format!("{RESIDENT_HEADER}{}", files.residents)).unwrap();
}

async fn run(site: &TestSite, request: &ImportRequest, now: i64) -> Result<ImportReport, ImportError> {
    let (log, schemas) = (std::sync::Arc::clone(&site.site.log), std::sync::Arc::clone(&site.site.schemas));
    import(log, schemas, &testkit::given::signers(), &site.site.keyring, request, Millis(now), &mut |_, _| {}).await
}

const NOW: i64 = 1_790_000_000_000;

async fn imported(site: &TestSite, files: &Files<'_>, now: i64) -> ImportReport {
    write(site.dir.path(), files);
    run(site, &request(site.dir.path()), now).await.unwrap()
}

/// The newest value of every key.
async fn table<R: events::Record>(site: &TestSite, topic: &str) -> BTreeMap<String, R> {
    let mut table = BTreeMap::new();
    for record in site.records(topic).await {
        let key = String::from_utf8(record.key.to_vec()).unwrap();
        match &record.value {
            Some(value) => drop(table.insert(key, Codec::built_in().decode(value).unwrap())),
            None => drop(table.remove(&key)),
        }
    }
    table
}

async fn in_force(mandate: Mandate) -> TestSite {
    TestSite::with(&[mandate], Clock::Wall, Default::default()).await
}

fn numbers(report: &ImportReport) -> [[u64; 3]; 3] {
    [report.grids, report.households, report.identifiers].map(|counts| [counts.published, counts.unchanged, counts.gone])
}

#[tokio::test]
async fn a_first_import_publishes_everything_under_tokens_and_seals() {
    let site = in_force(mandate("m")).await;
    let report = imported(&site, &FILES, NOW).await;
    assert_eq!(numbers(&report), [[2, 0, 0], [2, 0, 0], [9, 0, 0]]);
    assert_eq!((report.outcome(), report.rows, report.rejected, report.rejects.len()), (Outcome::Done, 6, 0, 0));

    let grids = table::<GridEntry>(&site, GRIDS).await;
    assert_eq!((grids["g1"].community_name.as_str(), grids["g1"].workers, grids["g1"].published_at), ("翠苑", 2, Millis(NOW)));
    let keys = site.site.keyring.mandate("m").unwrap();
    let households = table::<HouseholdEntry>(&site, HOUSEHOLDS).await;
    let household = &households["m/A"];
    assert_eq!((household.grid.as_str(), household.version), ("g1", NOW));
    let opened = |field, sealed: &Option<events::Sealed>| {
        let bytes = keys.open(field, "m/A", &sealed.as_ref().unwrap().value.0).unwrap();
        bytes.into_text().unwrap().expose().clone()
    };
    assert_eq!(opened("address", &household.address), "文三路 90 号, 3 幢");
    assert_eq!(opened("contact", &household.contact), r#"{"name":"王小明","phone":"13800138000"}"#);
    assert!(households["m/B"].contact.is_none());

    let identifiers = table::<IdentifierLink>(&site, IDENTIFIERS).await;
    let link = |household: &str, grid: &str| Link { household: household.into(), grid: grid.into() };
    let of = |kind, form: &str| identifiers[&keys.token(kind, form).unwrap().to_string()].links.clone();
    assert_eq!(of(IdentifierKind::ResidentId, "11010519491231002X"), [link("A", "g1")]);
    assert_eq!(of(IdentifierKind::Phone, "13800138000"), [link("A", "g1"), link("B", "g2")]);
    assert_eq!(of(IdentifierKind::Phone, "13900000001"), [link("A", "g1")]);
    assert_eq!(of(IdentifierKind::Permit, "HK1"), [link("B", "g2")]);
    assert_eq!(of(IdentifierKind::Passport, "E124"), [link("B", "g2")]);
    let address = normal::address("g1", "文三路90号3幢").unwrap();
    assert_eq!(of(IdentifierKind::Address, &address), [link("A", "g1")]);

    for topic in [GRIDS, HOUSEHOLDS, IDENTIFIERS] {
        for record in site.records(topic).await {
            let text = format!("{} {}", String::from_utf8_lossy(&record.key), String::from_utf8_lossy(record.value.as_deref().unwrap()));
            for secret in ["王小明", "11010519491231002X", "13800138000", "浙A12345", "文三路", "西湖区", "E123", "r1"] {
                assert!(!text.contains(secret), "{secret} in {topic}");
            }
        }
    }
}

/// What a household's door says of an identifier is not the import's: it neither counts it nor takes it away.
#[tokio::test]
async fn an_import_empties_its_own_and_not_what_was_registered_at_the_door() {
    let site = in_force(mandate("m")).await;
    imported(&site, &FILES, NOW).await;
    let keys = site.site.keyring.mandate("m").unwrap();
    let (phone, other) =
        (keys.token(IdentifierKind::Phone, "13900000001").unwrap(), keys.token(IdentifierKind::Phone, "13900000009").unwrap());
    let links = vec![Link { household: "B".into(), grid: "g2".into() }];
    let link = IdentifierLink { mandate: "m".into(), links, common: false };
    for token in [phone, other] {
        site.put(IDENTIFIERS, &format!("{token}/B"), Some(Codec::built_in().encode(&link))).await;
    }
    let nobody = Files { residents: "", ..FILES };
    let report = imported(&site, &nobody, NOW + 1).await;
    // Two addresses stay, and the seven of residents go.
    assert_eq!(numbers(&report)[2], [0, 2, 7]);
    let left: Vec<String> = table::<IdentifierLink>(&site, IDENTIFIERS).await.into_keys().filter(|key| key.contains('/')).collect();
    let mut expected = [format!("{phone}/B"), format!("{other}/B")];
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn another_import_publishes_what_changed_and_takes_away_what_is_gone() {
    let site = in_force(mandate("m")).await;
    imported(&site, &FILES, NOW).await;
    let count = site.records(HOUSEHOLDS).await.len() + site.records(IDENTIFIERS).await.len() + site.records(GRIDS).await.len();
    let again = imported(&site, &FILES, NOW + 1).await;
    assert_eq!(numbers(&again), [[0, 2, 0], [0, 2, 0], [0, 9, 0]]);
    let after = site.records(HOUSEHOLDS).await.len() + site.records(IDENTIFIERS).await.len() + site.records(GRIDS).await.len();
    assert_eq!(count, after);

    // A's contact, B's address and grid's workers change; another household comes.
    let households = "A,g1,\"文三路 90 号,\n3 幢\",王小明,13800138001\nB,g1,西湖区 1 号,,\nC,g1,,,\n";
    let grids = GRID_ROWS.replace("330106,2", "330106,3");
    let changed = Files { grids: &grids, households, ..FILES };
    let report = imported(&site, &changed, NOW - 5).await;
    // Of identifiers: B's four links name another grid, its address has another token.
    assert_eq!(numbers(&report), [[1, 1, 0], [3, 0, 0], [5, 4, 1]]);
    let entries = table::<HouseholdEntry>(&site, HOUSEHOLDS).await;
    // A contact is no change of the household; a clock that went back still gives a higher version.
    assert_eq!((entries["m/A"].version, entries["m/B"].version, entries["m/C"].version), (NOW, NOW + 1, NOW - 5));

    write(site.dir.path(), &Files { grids: "g1,一网格,330106001001,翠苑,330106001,330106,3\n", households: "A,g1,,,\n", residents: "" });
    let refused = run(&site, &request(site.dir.path()), NOW + 2).await.unwrap_err();
    assert!(matches!(refused, ImportError::TooManyGone { gone: 2, present: 3 }), "{refused}");
    assert_eq!(table::<HouseholdEntry>(&site, HOUSEHOLDS).await.len(), 3);
    let request = ImportRequest { yes: true, ..request(site.dir.path()) };
    let dry = run(&site, &ImportRequest { dry_run: true, ..request.clone() }, NOW + 2).await.unwrap();
    assert_eq!(table::<HouseholdEntry>(&site, HOUSEHOLDS).await.len(), 3);
    let report = run(&site, &request, NOW + 2).await.unwrap();
    assert_eq!(numbers(&report), [[0, 1, 1], [1, 0, 2], [0, 0, 9]]);
    assert_eq!(report, ImportReport { dry_run: false, ..dry });
    assert_eq!(table::<HouseholdEntry>(&site, HOUSEHOLDS).await.len(), 1);
    assert!(table::<IdentifierLink>(&site, IDENTIFIERS).await.is_empty());
}

#[tokio::test]
async fn bad_rows_are_written_down_without_their_values_and_cost_no_other() {
    let site = in_force(mandate("m")).await;
    let grids = format!("{GRID_ROWS}g1,again,c,,s,330106,1\ng3,x,c,,s,,1\ng4,x,c,,s,330106,many\n,x,c,,s,330106,1\n");
    let households = format!(
        "{HOUSEHOLD_ROWS}C,g3,,,\nA,g1,,,\n~D,g1,,,\nE,,,,\nF,g1,{},,\n三单元欧阳 某某,g1,,欧阳某某,\n文一路9号301,g1,文一路9号,,\n",
        "路".repeat(600)
    );
    let residents = format!(
        "{RESIDENT_ROWS}r3,X,,,13800000000,,,\nr4,A,,110105194912310021,,,,\nr5,A,,,{},,,\n,A,,,,,,\nr6,A\nr1,B,,11010519491231002X,,,,\n",
        "9".repeat(40)
    );
    let report = imported(&site, &Files { grids: &grids, households: &households, residents: &residents }, NOW).await;
    assert_eq!((report.outcome(), report.rejected, report.households.published), (Outcome::DoneWithRejects, 16, 2));
    let read = |at: usize| std::fs::read_to_string(&report.rejects[at]).unwrap();
    let rows = |at: usize| {
        let text = read(at);
        let rows = text.lines().skip(1).map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","));
        rows.collect::<Vec<String>>()
    };
    assert!(report.rejects.iter().all(|path| path.parent() == Some(site.dir.path())));
    assert_eq!(rows(0), ["4,grid,duplicate", "5,division,missing_field", "6,workers,bad_value", "7,grid,missing_field"]);
    let expected = [
        "4,grid,unknown_grid",
        "5,household,duplicate",
        "6,household,bad_value",
        "7,grid,missing_field",
        "8,address,bad_value",
        "9,household,bad_value",
        "10,household,bad_value",
    ];
    assert_eq!(rows(1), expected);
    let expected = [
        "4,household,unknown_household",
        "5,resident_id,bad_identifier",
        "6,phones,bad_identifier",
        "7,resident,missing_field",
        "8,,bad_value",
    ];
    assert_eq!(rows(2), expected);
    for secret in ["110105194912310021", "13800000000", "路路", "many", "~D", "欧阳", "文一"] {
        assert!(!(0..3).any(|at| read(at).contains(secret)), "{secret}");
    }
    // A resident in two rows belongs to both.
    let keys = site.site.keyring.mandate("m").unwrap();
    let token = keys.token(IdentifierKind::ResidentId, "11010519491231002X").unwrap().to_string();
    let links = table::<IdentifierLink>(&site, IDENTIFIERS).await[&token].links.clone();
    assert_eq!(links.iter().map(|link| link.household.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    // The next import without bad rows leaves no rejects behind.
    let report = imported(&site, &FILES, NOW).await;
    assert!(report.rejects.is_empty() && !site.dir.path().join("h.rejects.csv").exists());
}

#[tokio::test]
async fn a_typing_error_takes_no_household_away() {
    let site = in_force(mandate("m")).await;
    imported(&site, &FILES, NOW).await;
    let typed_wrong = Files { grids: "g1,一网格,330106001001,翠苑,330106001,330106,2\ng2,x,c,,s,330106,many\n", ..FILES };
    let typed_wrong = Files { households: "A,g9,,,\nB,g2,西湖区 1 号,,\n", ..typed_wrong };
    let report = imported(&site, &typed_wrong, NOW + 1).await;
    assert_eq!((report.rejected, numbers(&report)), (2, [[0, 2, 0], [0, 2, 0], [0, 8, 1]]));
    let entries = table::<HouseholdEntry>(&site, HOUSEHOLDS).await;
    assert_eq!((entries["m/A"].grid.as_str(), entries["m/A"].version, entries.len()), ("g1", NOW, 2));
}

#[tokio::test]
async fn an_identifier_of_too_many_households_identifies_nobody() {
    let site = in_force(mandate("m")).await;
    let households = |count: usize| (0..count).map(|at| format!("h{at},g1,,,\n")).collect::<String>();
    let residents = |count: usize| (0..count).map(|at| format!("r{at},h{at},,,13800138000,,,\n")).collect::<String>();
    for (count, common) in [(LINKS_MAX, false), (LINKS_MAX + 1, true)] {
        let files = Files { households: &households(count), residents: &residents(count), ..FILES };
        let report = imported(&site, &files, NOW).await;
        assert_eq!(report.common, u64::from(common));
        let links = table::<IdentifierLink>(&site, IDENTIFIERS).await;
        let link = links.values().next().unwrap();
        assert_eq!((links.len(), link.common, link.links.len()), (1, common, if common { 0 } else { count }));
    }
}

#[tokio::test]
async fn a_mandate_has_a_cap_and_must_be_the_only_one_or_named() {
    let mut small = mandate("m");
    small.max_households = 1;
    let mut over = mandate("over");
    over.valid_until = Millis(over.valid_from.0 + 1);
    let site = TestSite::with(&[small, mandate("n"), over], Clock::Wall, Default::default()).await;
    write(site.dir.path(), &FILES);
    let with = |mandate: Option<&str>| ImportRequest { mandate: mandate.map(str::to_owned), yes: true, ..request(site.dir.path()) };
    assert!(matches!(run(&site, &with(None), NOW).await, Err(ImportError::Mandate(_))));
    assert!(matches!(run(&site, &with(Some("over")), NOW).await, Err(ImportError::Mandate(_))));
    assert!(matches!(run(&site, &with(Some("m")), NOW).await, Err(ImportError::OverCap { households: 2, most: 1 })));
    assert!(site.records(GRIDS).await.is_empty());
    // Two mandates share the grids and nothing else.
    run(&site, &with(Some("n")), NOW).await.unwrap();
    write(site.dir.path(), &Files { grids: "", households: "", residents: "" });
    let report = run(&site, &with(Some("m")), NOW).await.unwrap();
    assert_eq!(numbers(&report), [[0, 0, 0], [0, 0, 0], [0, 0, 0]]);
    assert_eq!((table::<GridEntry>(&site, GRIDS).await.len(), table::<HouseholdEntry>(&site, HOUSEHOLDS).await.len()), (2, 2));
}

#[tokio::test]
async fn one_import_at_a_time() {
    let site = in_force(mandate("m")).await;
    write(site.dir.path(), &FILES);
    let request = request(site.dir.path());
    std::fs::create_dir_all(&request.state_dir).unwrap();
    let other = std::fs::File::create(request.state_dir.join("registry-import.lock")).unwrap();
    other.lock().unwrap();
    assert!(matches!(run(&site, &request, NOW).await, Err(ImportError::Busy(_))));
    drop(other);
    assert!(run(&site, &request, NOW).await.is_ok());
}

#[tokio::test]
async fn what_is_no_register_is_refused_by_its_name() {
    let site = in_force(mandate("m")).await;
    write(site.dir.path(), &FILES);
    std::fs::write(site.dir.path().join("h.csv"), "household,address\n").unwrap();
    let message = run(&site, &request(site.dir.path()), NOW).await.unwrap_err().to_string();
    assert!(message.contains("h.csv") && message.contains("column grid"), "{message}");
    std::fs::remove_file(site.dir.path().join("g.csv")).unwrap();
    let message = run(&site, &request(site.dir.path()), NOW).await.unwrap_err().to_string();
    assert!(message.contains("g.csv"), "{message}");
}

#[tokio::test]
async fn gb18030_means_the_same() {
    let site = in_force(mandate("m")).await;
    imported(&site, &FILES, NOW).await;
    for name in ["g.csv", "h.csv", "r.csv"] {
        let path = site.dir.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &*encoding_rs::GB18030.encode(&text).0).unwrap();
    }
    let report = run(&site, &request(site.dir.path()), NOW + 1).await.unwrap();
    assert_eq!(numbers(&report), [[0, 2, 0], [0, 2, 0], [0, 9, 0]]);
}

#[tokio::test]
async fn a_register_of_more_than_one_batch_arrives_whole() {
    let mut large = mandate("m");
    large.max_households = 5_000;
    let site = in_force(large).await;
    let households: String = (0..4_500).map(|at| format!("h{at},g1,文三路 {at} 号,,\n")).collect();
    let residents: String = (0..4_500).map(|at| format!("r{at},h{at},,,1380013{at:04},,,\n")).collect();
    let report = imported(&site, &Files { households: &households, residents: &residents, ..FILES }, NOW).await;
    assert_eq!(numbers(&report), [[2, 0, 0], [4_500, 0, 0], [9_000, 0, 0]]);
    assert_eq!(table::<HouseholdEntry>(&site, HOUSEHOLDS).await.len(), 4_500);
    let again = run(&site, &request(site.dir.path()), NOW + 1).await.unwrap();
    assert_eq!(numbers(&again), [[0, 2, 0], [0, 4_500, 0], [0, 9_000, 0]]);
}
