//! An agency's cluster speaks with nobody in clear, and with nobody that it does not know: a whole site on one, by TLS and SCRAM, and what is
//! said to whoever comes with less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use serde_json::json;
use std::time::{Duration, Instant};
use testkit::kafka::{Kafka, Options as KafkaOptions, Secured};
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, Options, Said, Site, numbers};

/// Whoever comes in vain learns it within this time.
const VAIN: Duration = Duration::from_secs(45);

/// A command with one property of librdkafka as it should not be; none: it is left out.
async fn with_instead(site: &Site, name: &str, value: Option<&str>) -> Said {
    let right = std::fs::read_to_string(site.config()).unwrap();
    let mut config: toml::Table = right.parse().unwrap();
    let kafka = config["log"]["kafka"].as_table_mut().unwrap();
    assert!(kafka.remove(name).is_some());
    kafka.extend(value.map(|value| (name.to_owned(), value.into())));
    std::fs::write(site.config(), config.to_string()).unwrap();
    let began = Instant::now();
    let said = site.command(&["ops", "topics", "--json"]).await.unwrap();
    assert!(began.elapsed() < VAIN, "{:?}: {said:?}", began.elapsed());
    std::fs::write(site.config(), right).unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_lives_on_a_cluster_that_lets_nobody_in_without_tls_and_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let secured = Some(Secured::make(folder.path()).unwrap());
    let kafka = tokio::task::spawn_blocking(|| Kafka::start_with(KafkaOptions { secured, ..KafkaOptions::new(1) })).await.unwrap().unwrap();
    let site = Site::start(Options::of_events(LogChoice::kafka(&kafka))).await.unwrap();
    let mut register = Register::of_two_grids();
    register.household("h1", "g1");
    let resident_id = numbers::resident_id(1);
    register.residents.insert(Resident { resident: "r1".into(), household: "h1".into(), resident_id, ..Resident::default() });
    site.import(&register).await.unwrap();
    let passage = json!({"id": "c1", "observed_at": "2026-03-02T08:00:00+08:00", "checkpoint": "c", "direction": "in", "resident_id": numbers::resident_id(1)});
    assert_eq!(site.client.post("checkpoint", &[passage]).await.unwrap().status, 202);
    let ledger = site.closed_ledger().await.unwrap();
    assert_eq!((ledger.accepted, ledger.decisions["opened"]), (1, 1));
    site.command(&["ops", "topics", "--json"]).await.unwrap().json("ops topics").unwrap();

    // What librdkafka says is what tells them apart; a node that is spoken to in clear hangs up without a word.
    for (name, value, told) in [
        ("sasl.password", Some("not-the-password"), "uthentication failed"),
        ("ssl.ca.location", None, "certificate"),
        ("security.protocol", Some("plaintext"), "the log is away"),
    ] {
        let said = with_instead(&site, name, value).await;
        assert!(said.code == Some(1) && said.err.contains(told), "{name}: {said:?}");
        assert!(!said.err.contains("not-the-password"), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{name}: said once is enough: {said:?}");
    }
}
