//! What one resident may ask for, through the program itself: erased, corrected, restored; what workers then see, and what the next import does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use serde_json::{Value, json};
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, PATIENCE, Site, numbers, until};

struct World {
    site: Site,
    register: Register,
    events: u32,
}

impl World {
    async fn new() -> World {
        let mut register = Register::of_two_grids();
        for (at, household) in ["h1", "h2"].into_iter().enumerate() {
            register.household(household, "g1");
            let (resident, resident_id) = (format!("r{at}"), numbers::resident_id(at as u64));
            register.residents.insert(Resident { resident, household: household.into(), resident_id, ..Resident::default() });
        }
        let site = Site::start(Options::of_events(LogChoice::Embedded)).await.unwrap();
        site.import(&register).await.unwrap();
        World { site, register, events: 0 }
    }

    /// Somebody is seen; the event's code, once it has one.
    async fn seen(&mut self, resident: u64) -> String {
        self.events += 1;
        let id = format!("c{}", self.events);
        let at = format!("2026-03-02T08:{:02}:00+08:00", self.events);
        let passage =
            json!({"id": id, "observed_at": at, "checkpoint": "G60-118", "direction": "in", "resident_id": numbers::resident_id(resident)});
        assert_eq!(self.site.client.post("checkpoint", &[passage]).await.unwrap().status, 202);
        let code = async || Ok(self.site.client.code("checkpoint", &id).await?.ok_or_else(|| "undecided".to_owned()));
        until("a decision", PATIENCE, code).await.unwrap()
    }

    /// Households with a visit, and the address that a worker sees there.
    async fn visits(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = self.site.client.tasks().await.unwrap();
        tasks.iter().map(|task| (text(&task["household"]), text(&task["address"]))).collect()
    }

    /// Gives these values in a file, and returns the receipt.
    async fn ask(&self, act: &str, values: &Value) -> Value {
        let file = self.site.dir().join("asked.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let said = self.site.command(&["registry", act, "--json", "--from", file.to_str().unwrap()]).await.unwrap();
        said.json(act).unwrap()
    }

    async fn wait_for(&self, households: &[&str]) {
        let same = async || {
            let visits = self.visits().await;
            let mut there: Vec<&str> = visits.iter().map(|(household, _)| household.as_str()).collect();
            there.sort_unstable();
            Ok(if there == households { Ok(()) } else { Err(format!("{visits:?}")) })
        };
        until("visits", PATIENCE, same).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_be_erased_is_seen_by_nobody_and_comes_back_only_when_they_say_so() {
    let mut world = World::new().await;
    for resident in [0, 1] {
        assert_eq!(world.seen(resident).await, "opened");
    }
    world.wait_for(&["h1", "h2"]).await;
    assert!(world.visits().await.contains(&("h1".into(), "文三路h1号".into())));

    let who = json!({"name": "某人", "resident_id": numbers::resident_id(0)});
    let receipt = world.ask("erase", &who).await;
    assert_eq!((&receipt["households"], &receipt["fields"]), (&json!(["h1"]), &json!(["address", "contact"])), "{receipt}");
    assert_eq!((&receipt["by"], &receipt["identifiers"]), (&json!("admin"), &json!({"RESIDENT_ID": 1})));
    // The visit rested on them alone. The other household's is as it was.
    world.wait_for(&["h2"]).await;
    assert_eq!(world.visits().await, [("h2".into(), "文三路h2号".into())]);
    assert_eq!(world.seen(0).await, "unresolved");
    let report = world.site.import(&world.register).await.unwrap();
    assert_eq!((&report["erased"], &report["rejected"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(world.seen(0).await, "unresolved");

    // The null control: off the list, the same import brings them back, and what waited is a visit.
    world.ask("restore", &json!({"household": "h1", "resident_id": numbers::resident_id(0)})).await;
    let report = world.site.import(&world.register).await.unwrap();
    assert_eq!(report["erased"], 0);
    world.wait_for(&["h1", "h2"]).await;
    assert_eq!(world.seen(0).await, "joined");

    // Who moved is found where they say.
    world.ask("correct", &json!({"household": "h2", "resident_id": numbers::resident_id(0)})).await;
    world.wait_for(&["h2"]).await;
    assert_eq!(world.seen(0).await, "joined");
    world.ask("correct", &json!({"household": "h2", "address": "文二路 9 号"})).await;
    assert_eq!(world.visits().await, [("h2".into(), "文二路 9 号".into())]);
    assert!(world.site.closed_ledger().await.unwrap().closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_holds_nothing_in_clear_and_shows_every_change() {
    let world = World::new().await;
    let who = json!({"resident_id": numbers::resident_id(0), "household": "h1"});
    let receipt = world.ask("erase", &who).await;
    let id = receipt["id"].as_str().unwrap();
    let said = world.site.command(&["registry", "receipt", id, "--lang", "zh-CN"]).await.unwrap();
    assert!(said.code == Some(0) && said.out.contains("授权书最迟终止") && said.out.contains("registry restore"), "{said:?}");
    let file = world.site.dir().join(format!("receipts/{id}.json"));
    let (whole, page) = (std::fs::read(&file).unwrap(), std::fs::read_to_string(file.with_extension("html")).unwrap());
    assert!(page.contains("更正与删除回执"));
    let changes = std::fs::read_to_string(world.site.dir().join("audit/changes-00000001.jsonl")).unwrap();
    let change = changes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["what"] == "registry").unwrap();
    assert_eq!((&change["act"], &change["receipt"]), (&json!("erase"), &receipt["id"]));
    for secret in [numbers::resident_id(0).as_str(), "文三路", "某人"] {
        for text in [&page, &String::from_utf8_lossy(&whole).into_owned(), &changes, &world.site.said()] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    for at in (0..whole.len()).step_by(211).chain([whole.len() - 1]) {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        std::fs::write(&file, &altered).unwrap();
        let said = world.site.command(&["registry", "receipt", id]).await.unwrap();
        assert!(said.code == Some(1) && said.err.contains("altered"), "byte {at}: {said:?}");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(world.site.command(&["registry", "receipt", id]).await.unwrap().code, Some(0), "the null control");
    // What is refused leaves neither a change nor a receipt.
    let count = changes.lines().count();
    let said = world.site.command(&["registry", "erase", "--household", "h9"]).await.unwrap();
    assert!(said.code == Some(2) && said.err.contains("household"), "{said:?}");
    assert_eq!(std::fs::read_to_string(world.site.dir().join("audit/changes-00000001.jsonl")).unwrap().lines().count(), count);
}
