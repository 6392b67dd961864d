//! What is left of a mandate after its end: `cargo xtask end` asks for a million values; here is its share of each run of the tests, and the
//! same on a real Kafka with a real key service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use eventlog::{From, site_topics};
use oneknock_tests::end::{self, Attacker, Found, back_up, passage};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::kafka::Kafka;
use testkit::openbao::OpenBao;
use testkit::site::register::Register;
use testkit::site::{LogChoice, MANDATE, Options, Site};

const VALUES: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_survives_opens() {
    let report = end::run(VALUES, false).await.unwrap();
    assert!(report.passes(), "{report}");
    // It is as the report says: a copy of the keys opens under a password that is still there.
    assert_eq!(report.opened_with_a_copy_of_the_keys, report.copies_after, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_keys_put_back_everything_is_found_open() {
    let report = end::run(VALUES / 10, true).await.unwrap();
    assert!(!report.passes() && report.opened_after == report.copies_after && report.secrets_left > 0, "the null control: {report}");
}

/// Every record of every topic.
async fn scan(site: &Site, attacker: &Attacker) -> Found {
    let (log, mut found) = (site.log().await.unwrap(), Found::default());
    for topic in site_topics(1) {
        let partitions = log.topics().await.unwrap().iter().find(|there| there.name == topic.name).map_or(0, |there| there.partitions);
        for partition in 0..partitions {
            let (first, end) = log.offsets(&topic.name, partition).await.unwrap();
            let mut next = first;
            let mut reader = log.read(vec![From { topic: topic.name.clone(), partition, offset: first }]).await.unwrap();
            while next < end {
                let batch = reader.next().await.unwrap();
                next = batch.next_offset;
                batch.records.iter().filter_map(|record| record.value.as_deref()).for_each(|value| attacker.scan_bytes(value, &mut found));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_with_a_key_service_a_copy_of_the_keys_opens_nothing_either() {
    let (kafka, service) = (Kafka::start(1).unwrap(), OpenBao::start().await.unwrap());
    let log = LogChoice::kafka(&kafka);
    let token_file = service.token_file().display().to_string();
    let init = ["--keys-address", &service.address, "--keys-token-file", &token_file].map(str::to_owned).to_vec();
    let mut site = Site::start(Options { init, ..Options::of_today(log) }).await.unwrap();
    let mut register = Register::of_two_grids();
    (0..20).for_each(|at| register.household(&format!("h{at}"), "g1"));
    site.import(&register).await.unwrap();
    let posted = site.client.post("checkpoint", &(0..20).map(passage).collect::<Vec<_>>()).await.unwrap();
    assert!(posted.results.iter().all(|result| result["status"] == "accepted"), "{posted:?}");
    site.closed_ledger().await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    back_up(&site.dir().join("keys"), &copies.path().join("keys"), &[]).unwrap();
    let roots: Vec<PathBuf> = vec![site.dir(), copies.path().to_owned()];
    let attacker = Attacker::with_service(&roots, &service.settings()).unwrap();
    let before = scan(&site, &attacker).await;
    assert!(before.different >= 60 && before.opened == before.copies, "the null control: {before:?}");

    let said = site.command(&["mandate", "end", MANDATE]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let certificate = site.command(&["mandate", "certificate", MANDATE, "--json"]).await.unwrap();
    let certificate: Value = certificate.json("mandate certificate").unwrap();
    let sampled = &certificate["sampled"];
    assert!(sampled["opened_before"] == sampled["count"] && sampled["count"].as_u64() >= Some(80), "{certificate}");
    assert_eq!((&sampled["opened_after"], &certificate["drained"]["undecided"]), (&json!(0), &json!(0)));
    assert!(certificate["keys_destroyed"]["place"].as_str().unwrap().contains(&service.address), "{certificate}");
    let left = service.call(reqwest::Method::GET, "transit/keys?list=true", Value::Null).await.unwrap_or_default();
    assert!(!left.to_string().contains(MANDATE), "{left}");
    // The same attacker with the copy of the folder, and the service's own token.
    let after = scan(&site, &attacker.with_keys_of_service(&roots, &service.settings()).unwrap()).await;
    assert!(after.copies >= before.copies && after.opened == 0, "{after:?}");
    // A restored folder revives nothing: the site starts, says nothing of it in use, and shows no task.
    site.stop().await.unwrap();
    back_up(&copies.path().join("keys"), &site.dir().join("keys"), &[]).unwrap();
    site.restart().await.unwrap();
    assert!(site.client.tasks().await.unwrap().is_empty());
    assert!(scan(&site, &attacker.with_keys_of_service(&roots, &service.settings()).unwrap()).await.opened == 0);
    site.stop().await.unwrap();
}
