//! `registry correct`, `erase` and `restore` against the embedded log: what is published, what an import then does, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod support;

use connectors::registry::{Act, Done, Given, ImportError, ImportReport, ImportRequest, Order, Paths, import, plan};
use domain::Clock;
use events::topics::{HOUSEHOLDS, IDENTIFIERS};
use events::{Codec, HouseholdEntry, IdentifierKind, IdentifierLink, Millis, normal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use support::{TestSite, mandate};

const GRIDS: &str = "grid,name,community,community_name,subdistrict,division,workers\ng1,n,c,c,s,330106,1\ng2,n,c,c,s,330106,1\n";
const HOUSEHOLDS_CSV: &str = "household,grid,address,contact_name,contact_phone\n\
     A,g1,文三路 90 号,王小明,13800138000\nB,g2,西湖区 1 号,李华,13900000002\n";
const RESIDENTS: &str = "resident,household,name,resident_id,phones,plates\n\
     r1,A,王小明,11010519491231002X,13800138000;13700000003,浙A12345\nr2,B,李华,,13900000002;13700000003,\nr3,B,李小,,13900000009,\n";
const NOW: i64 = 1_790_000_000_000;

struct World(TestSite);

impl World {
    async fn new() -> World {
        let world = World(TestSite::with(&[mandate("m")], Clock::Wall, Default::default()).await);
        world.import(NOW).await;
        world
    }

    fn dir(&self) -> &Path {
        self.0.dir.path()
    }

    async fn import(&self, now: i64) -> ImportReport {
        let path = |name: &str, text: &str| {
            std::fs::write(self.dir().join(name), text).unwrap();
            self.dir().join(name)
        };
        let paths = Paths { grids: path("g.csv", GRIDS), households: path("h.csv", HOUSEHOLDS_CSV), residents: path("r.csv", RESIDENTS) };
        let state_dir = self.dir().join("state");
        let request = ImportRequest { paths, mandate: None, dry_run: false, yes: false, state_dir, clock: Clock::Wall };
        let (log, schemas) = (Arc::clone(&self.0.site.log), Arc::clone(&self.0.site.schemas));
        let signers = testkit::given::signers();
        import(log, schemas, &signers, &self.0.site.keyring, &request, Millis(now), &mut |_, _| {}).await.unwrap()
    }

    async fn ask(&self, act: Act, text: &str, now: i64) -> Result<Done, ImportError> {
        let mut given = Given::default();
        given.read(text.as_bytes()).unwrap();
        let state_dir = self.dir().join("state");
        let order = Order { act, given: &given, mandate: None, state_dir: &state_dir, clock: Clock::Wall };
        let (log, schemas) = (Arc::clone(&self.0.site.log), Arc::clone(&self.0.site.schemas));
        let planned = plan(log, schemas, &testkit::given::signers(), &self.0.site.keyring, &order, Millis(now)).await?;
        planned.publish().await
    }

    async fn table<R: events::Record>(&self, topic: &str) -> BTreeMap<String, R> {
        let mut table = BTreeMap::new();
        for record in self.0.records(topic).await {
            let key = String::from_utf8(record.key.to_vec()).unwrap();
            match &record.value {
                Some(value) => drop(table.insert(key, Codec::built_in().decode(value).unwrap())),
                None => drop(table.remove(&key)),
            }
        }
        table
    }

    fn token(&self, kind: IdentifierKind, form: &str) -> String {
        self.0.site.keyring.mandate("m").unwrap().token(kind, form).unwrap().to_string()
    }

    /// Households of an identifier with their grids; none: nothing stands there.
    async fn links(&self, kind: IdentifierKind, form: &str) -> Option<Vec<String>> {
        let links = self.table::<IdentifierLink>(IDENTIFIERS).await;
        links.get(&self.token(kind, form)).map(|link| link.links.iter().map(|one| format!("{}@{}", one.household, one.grid)).collect())
    }

    async fn at(&self, grid: &str, address: &str) -> Option<Vec<String>> {
        self.links(IdentifierKind::Address, &normal::address(grid, address).unwrap()).await
    }

    /// Version, grid, address and contact in clear.
    async fn entry(&self, household: &str) -> (i64, String, Option<String>, Option<String>) {
        let entries = self.table::<HouseholdEntry>(HOUSEHOLDS).await;
        let entry = &entries[&format!("m/{household}")];
        let keys = self.0.site.keyring.mandate("m").unwrap();
        let open = |field: &str, sealed: &Option<events::Sealed>| {
            let sealed = sealed.as_ref()?;
            Some(keys.open(field, &format!("m/{household}"), &sealed.value.0).unwrap().into_text().unwrap().expose().clone())
        };
        (entry.version, entry.grid.clone(), open("address", &entry.address), open("contact", &entry.contact))
    }
}

const OF_R1: &str = "resident,household,name,resident_id,phones,plates\nr1,,王小明,11010519491231002X,13800138000,浙A12345\n";

#[tokio::test]
async fn who_is_erased_is_gone_and_no_import_brings_them_back() {
    let world = World::new().await;
    let done = world.ask(Act::Erase, OF_R1, NOW + 1).await.unwrap();
    assert_eq!(done.households.iter().collect::<Vec<_>>(), ["A"]);
    assert_eq!(done.identifiers, BTreeMap::from([("RESIDENT_ID", 1), ("PHONE", 1), ("PLATE", 1)]));
    // A phone that was not named is another's as far as anybody knows: the address stays with it, the contact was theirs.
    assert_eq!((done.fields.iter().collect::<Vec<_>>(), done.others), (vec![&"contact"], 1));
    assert_eq!(world.entry("A").await, (NOW + 1, "g1".into(), Some("文三路 90 号".into()), None));
    let gone =
        [(IdentifierKind::ResidentId, "11010519491231002X"), (IdentifierKind::Phone, "13800138000"), (IdentifierKind::Plate, "浙A12345")];
    for (kind, form) in gone {
        assert_eq!(world.links(kind, form).await, Some(vec![]), "{form}");
    }
    // The other phone named too: nobody is left at A.
    let done = world.ask(Act::Erase, r#"{"phones":["13700000003"],"household":"A"}"#, NOW + 2).await.unwrap();
    assert_eq!(done.fields.iter().collect::<Vec<_>>(), [&"address"]);
    assert_eq!(world.entry("A").await, (NOW + 2, "g1".into(), None, None));
    assert_eq!(world.at("g1", "文三路 90 号").await, None);

    let again = world.import(NOW + 3).await;
    // The household, its resident's row, and the shared phone of another row.
    assert_eq!((again.erased, again.rejected, again.households.published, again.identifiers.gone), (3, 0, 0, 0));
    assert_eq!(world.entry("A").await, (NOW + 2, "g1".into(), None, None));
    for (kind, form) in gone {
        assert_eq!(world.links(kind, form).await, Some(vec![]), "{form}");
    }
    assert_eq!(world.links(IdentifierKind::Phone, "13900000002").await, Some(vec!["B@g2".into()]), "what was not erased stays");

    // The null control: off the list, the same files bring all of it back.
    world.ask(Act::Restore, OF_R1, NOW + 4).await.unwrap();
    world.ask(Act::Restore, r#"{"phones":["13700000003"],"household":"A"}"#, NOW + 4).await.unwrap();
    let restored = world.import(NOW + 5).await;
    assert_eq!((restored.erased, restored.households.published), (0, 1));
    let (_, _, address, contact) = world.entry("A").await;
    assert!(address.is_some() && contact.is_some());
    for (kind, form) in gone {
        assert_eq!(world.links(kind, form).await, Some(vec!["A@g1".into()]), "{form}");
    }
}

#[tokio::test]
async fn nothing_in_clear_is_published_and_a_repeat_changes_nothing() {
    let world = World::new().await;
    world.ask(Act::Erase, OF_R1, NOW + 1).await.unwrap();
    let count = world.0.records(IDENTIFIERS).await.len();
    let again = world.ask(Act::Erase, OF_R1, NOW + 2).await.unwrap();
    assert!(again.records.is_empty() && world.0.records(IDENTIFIERS).await.len() == count, "{again:?}");
    for record in world.0.records(IDENTIFIERS).await {
        let text =
            format!("{} {}", String::from_utf8_lossy(&record.key), String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()));
        for secret in ["11010519491231002X", "13800138000", "浙A12345", "王小明", "文三路"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn a_household_is_put_right_with_all_links_that_name_it() {
    let world = World::new().await;
    let done =
        world.ask(Act::Correct, r#"{"household":"B","grid":"g1","address":"文二路 5 号","contact_phone":null}"#, NOW + 1).await.unwrap();
    assert_eq!(done.fields.iter().collect::<Vec<_>>(), [&"address", &"contact", &"grid"]);
    assert_eq!(world.entry("B").await, (NOW + 1, "g1".into(), Some("文二路 5 号".into()), Some(r#"{"name":"李华","phone":null}"#.into())));
    assert_eq!(world.at("g2", "西湖区 1 号").await, None);
    assert_eq!(world.at("g1", "文二路 5 号").await, Some(vec!["B@g1".into()]));
    assert_eq!(world.links(IdentifierKind::Phone, "13900000002").await, Some(vec!["B@g1".into()]));
    assert_eq!(world.links(IdentifierKind::Phone, "13700000003").await, Some(vec!["A@g1".into(), "B@g1".into()]));
    // A contact alone is no change of the household's place.
    world.ask(Act::Correct, "household,contact_name\nB,李四\n", NOW + 2).await.unwrap();
    let (version, _, _, contact) = world.entry("B").await;
    assert_eq!((version, contact.as_deref()), (NOW + 1, Some(r#"{"name":"李四","phone":null}"#)));
    // A person moves, with what they are known by.
    let done =
        world.ask(Act::Correct, r#"{"household":"B","resident_id":"11010519491231002X","phones":["13800138000"]}"#, NOW + 3).await.unwrap();
    assert_eq!((done.households.len(), done.records.get(HOUSEHOLDS)), (2, None));
    assert_eq!(world.links(IdentifierKind::ResidentId, "11010519491231002X").await, Some(vec!["B@g1".into()]));
    assert_eq!(world.links(IdentifierKind::Plate, "浙A12345").await, Some(vec!["A@g1".into()]));
    // A number that is theirs no longer.
    world.ask(Act::Detach, r#"{"household":"B","phones":["13900000009","13700000003"]}"#, NOW + 4).await.unwrap();
    assert_eq!(world.links(IdentifierKind::Phone, "13900000009").await, None);
    assert_eq!(world.links(IdentifierKind::Phone, "13700000003").await, Some(vec!["A@g1".into()]));
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field_and_without_the_value() {
    let world = World::new().await;
    world.ask(Act::Erase, r#"{"household":"A","resident_id":"11010519491231002X"}"#, NOW + 1).await.unwrap();
    let count = world.0.records(IDENTIFIERS).await.len();
    for (act, text, says) in [
        (Act::Correct, r#"{"household":"X"}"#, "household: the register"),
        (Act::Correct, r#"{"grid":"g1"}"#, "household: must be there"),
        (Act::Correct, r#"{"household":"B","grid":"g9"}"#, "grid: the register"),
        (Act::Correct, r#"{"household":"B","resident_id":"110105194912310021"}"#, "resident_id: bad_checksum"),
        (Act::Correct, r#"{"household":"B","resident_id":"11010519491231002X"}"#, "registry restore"),
        (Act::Correct, r#"{"household":"A","address":"文三路 90 号"}"#, "registry restore"),
        (Act::Correct, r#"{"household":"A","contact_name":"王小明"}"#, "registry restore"),
        (Act::Erase, r#"{"name":"王小明"}"#, "an identifier of the person"),
        (Act::Erase, r#"{"household":"X"}"#, "household: the register"),
    ] {
        let error = world.ask(act, text, NOW + 2).await.unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("1101051949") && !error.contains("王小明") && !error.contains("文三路"), "{error}");
    }
    assert_eq!(world.0.records(IDENTIFIERS).await.len(), count);
    let mut given = Given::default();
    for text in ["[1]", "{\"phones\":1}", "household\nA\nB\n", "colour\nred\n", ""] {
        assert!(given.read(text.as_bytes()).is_err(), "{text}");
    }
}
