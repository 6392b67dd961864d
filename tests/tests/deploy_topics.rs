//! deploy/topics/topics.toml says the same as the program's own list: an operator who makes topics by hand gets those
//! that `run` would have made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use events::topics::{ALL, DEAD_LETTER_RETENTION_MS, DELETE_RETENTION_MS, Kept, MIN_COMPACTION_LAG_MS, SEGMENT_MS};
use std::collections::BTreeMap;
use toml::Table;

fn file() -> Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/topics/topics.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn milliseconds(config: &toml::Value, name: &str) -> i64 {
    config[name].as_str().unwrap().parse().unwrap()
}

#[test]
fn the_same_topics_kept_in_the_same_way() {
    let file = file();
    let kept = |topic: &toml::Value| match topic["cleanup"].as_str().unwrap() {
        "compact" => Kept::Compacted,
        "delete" => Kept::For(topic["retention_ms"].as_integer().unwrap()),
        other => panic!("cleanup {other}"),
    };
    let topics = file["topics"].as_array().unwrap();
    let written: BTreeMap<String, String> =
        topics.iter().map(|topic| (topic["name"].as_str().unwrap().to_owned(), format!("{:?}", kept(topic)))).collect();
    let known: BTreeMap<String, String> = ALL.iter().map(|spec| (spec.name.to_owned(), format!("{:?}", spec.kept))).collect();
    assert_eq!(topics.len(), written.len(), "a topic stands there twice");
    assert_eq!(written, known);
}

#[test]
fn the_same_settings_of_compacted_topics_and_dead_letters() {
    let file = file();
    let compacted = &file["compacted"]["config"];
    assert_eq!(milliseconds(compacted, "min.compaction.lag.ms"), MIN_COMPACTION_LAG_MS);
    assert_eq!(milliseconds(compacted, "delete.retention.ms"), DELETE_RETENTION_MS);
    assert_eq!(milliseconds(compacted, "segment.ms"), SEGMENT_MS);
    assert_eq!(milliseconds(&file["dead_letters"]["config"], "retention.ms"), DEAD_LETTER_RETENTION_MS);
    let defaults = &file["defaults"]["config"];
    assert_eq!(defaults["message.timestamp.type"].as_str(), Some("LogAppendTime"));
    assert_eq!(defaults["min.insync.replicas"].as_str(), Some("2"));
}
