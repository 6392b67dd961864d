//! What only a real Apache Kafka can show: the Java client's partitions, brokers and clients that die, groups, and what others write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod conformance;

use conformance::Under;
use eventlog::kafka::{Kafka, KafkaConfig};
use eventlog::{Acknowledgement, Append, Assignment, Batch, From, Log, LogError, NewTopic, Reader};
use events::topics::partition_of;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use testkit::parts;

const PATIENCE: Duration = Duration::from_secs(60);

fn config(bootstrap: &str, properties: &[(&str, &str)]) -> KafkaConfig {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    KafkaConfig { bootstrap: bootstrap.to_owned(), properties }
}

fn shared() -> &'static str {
    &testkit::kafka::shared().unwrap().bootstrap
}

async fn make() -> Under {
    Under { log: Kafka::connect(&config(shared(), &[("session.timeout.ms", "6000")])).unwrap(), compact: None, keep: Box::new(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_conforms() {
    conformance::suite(make).await;
}

async fn topic(log: &Kafka, name: &str, partitions: i32) {
    let settings = vec![("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())];
    log.create_topics(&[NewTopic { name: name.to_owned(), partitions, settings }]).await.unwrap();
}

fn record(topic: &str, partition: i32, key: &str) -> Append {
    Append {
        topic: topic.to_owned().into(),
        partition,
        key: key.as_bytes().to_vec().into(),
        value: Some(key.as_bytes().to_vec().into()),
        headers: Default::default(),
    }
}

fn from(topic: &str, partition: i32, offset: i64) -> From {
    From { topic: topic.to_owned(), partition, offset }
}

async fn batch(reader: &mut Box<dyn Reader>) -> Batch {
    tokio::time::timeout(PATIENCE, reader.next()).await.expect("nothing to read").unwrap()
}

/// Keys of all partitions, in order, up to the end that the topic has now.
async fn keys(log: &Kafka, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<String>> {
    let (mut keys, mut missing) = (BTreeMap::new(), BTreeMap::new());
    for partition in 0..partitions {
        let (_, end) = log.offsets(topic, partition).await.unwrap();
        keys.insert(partition, Vec::new());
        if end > 0 {
            missing.insert(partition, end);
        }
    }
    let mut reader = log.read((0..partitions).map(|partition| from(topic, partition, 0)).collect()).await.unwrap();
    while !missing.is_empty() {
        let batch = batch(&mut reader).await;
        missing.retain(|partition, end| *partition != batch.partition || batch.next_offset < *end);
        let read = batch.records.iter().map(|record| String::from_utf8(record.key.to_vec()).unwrap());
        keys.get_mut(&batch.partition).unwrap().extend(read);
    }
    keys
}

fn producer(bootstrap: &str, properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (key, value) in properties {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_where_the_java_client_puts_it() {
    const TOPIC: &str = "java";
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, TOPIC, 12).await;
    let mut wanted: BTreeSet<String> = (0..300).map(|number| format!("demo-mandate/{number:x}")).collect();
    wanted.extend(["a", "ab", "abc", "abcd", "家庭/一", "x".repeat(100).as_str(), "~claim/0"].map(str::to_owned));
    let mut java = Command::new(parts::path("ONEKNOCK_JAVA").unwrap());
    java.arg("-cp").arg(parts::path("ONEKNOCK_KAFKA_LIBS").unwrap().join("*"));
    java.args(["-Dfile.encoding=UTF-8", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", shared(), "--topic", TOPIC]);
    java.args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=|"]);
    let mut java = java.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines: String = wanted.iter().map(|key| format!("{key}|value\n")).collect();
    java.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(java.wait().unwrap().success());
    let mut found = BTreeSet::new();
    for (partition, keys) in keys(&log, TOPIC, 12).await {
        for key in keys {
            assert_eq!(partition_of(key.as_bytes(), 12), partition, "{key}");
            found.insert(key);
        }
    }
    assert_eq!(found, wanted);
}

/// Not a test: the process that the next one kills. It appends and says what has been acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by acknowledged_survives_the_death_of_the_client"]
async fn client_to_be_killed() {
    let log = Kafka::connect(&config(&std::env::var("TEST_BOOTSTRAP").unwrap(), &[])).unwrap();
    for number in 0.. {
        let records = (0..10).map(|at| record("killed", at % 3, &format!("{number}-{at}"))).collect();
        log.append(records).await.unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_the_death_of_the_client() {
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "killed", 3).await;
    let mut client = Command::new(std::env::current_exe().unwrap());
    client.args(["--exact", "client_to_be_killed", "--ignored", "--nocapture"]).env("TEST_BOOTSTRAP", shared());
    let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
    let mut last = None;
    for line in BufReader::new(client.stdout.take().unwrap()).lines() {
        last = line.unwrap().strip_prefix("acknowledged ").map(|number| number.parse::<u32>().unwrap()).or(last);
        if last == Some(200) {
            // SIGKILL. What it still says is read to its end.
            client.kill().unwrap();
        }
    }
    client.wait().unwrap();
    let last = last.unwrap();
    assert!(last >= 200);
    let found: Vec<String> = keys(&log, "killed", 3).await.into_values().flatten().collect();
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len());
    for (number, at) in (0..=last).flat_map(|number| (0..10).map(move |at| (number, at))) {
        assert!(distinct.contains(&format!("{number}-{at}")), "{number}-{at} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_three_dies_and_appends_go_on() {
    let mut kafka = testkit::kafka::Kafka::start(3).unwrap();
    let log = Kafka::connect(&config(&kafka.bootstrap, &[])).unwrap();
    topic(&log, "t", 6).await;
    let told = log.topics().await.unwrap();
    assert!(told[0].settings.contains(&("min.insync.replicas".into(), "2".into())), "{told:?}");
    for number in 0..60 {
        if number == 20 {
            kafka.kill_node(1);
        }
        if number == 40 {
            kafka.start_node(1).unwrap();
        }
        let records: Vec<Append> = (0..6).map(|partition| record("t", partition, &number.to_string())).collect();
        tokio::time::timeout(PATIENCE, log.append(records)).await.unwrap().unwrap();
    }
    let wanted: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    for (partition, found) in keys(&log, "t", 6).await {
        assert_eq!(found, wanted, "partition {partition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_append_ends_the_handle_and_leaves_no_hole() {
    let mut kafka = testkit::kafka::Kafka::start(1).unwrap();
    let patient = config(&kafka.bootstrap, &[("delivery.timeout.ms", "3000")]);
    let log = Kafka::connect(&patient).unwrap();
    topic(&log, "t", 1).await;
    let append = |number: u32| log.append(vec![record("t", 0, &number.to_string())]);
    let before: Vec<Acknowledgement> = (0..1000).map(append).collect();
    let mut answers = futures::future::join_all(before).await;
    kafka.kill_node(1);
    let behind: Vec<Acknowledgement> = (1000..3000).map(append).collect();
    answers.extend(futures::future::join_all(behind).await);
    assert!(matches!(answers.last(), Some(Err(LogError::Away(_)))), "{:?}", answers.last());
    kafka.start_node(1).unwrap();
    // Nothing goes behind what failed, whatever Kafka does now.
    assert!(matches!(log.append(vec![record("t", 0, "late")]).await, Err(LogError::Away(_))));
    let again = Kafka::connect(&patient).unwrap();
    again.append(vec![record("t", 0, "again")]).await.unwrap();
    let mut found = keys(&again, "t", 1).await.remove(&0).unwrap();
    assert_eq!(found.pop().unwrap(), "again");
    let beginning: Vec<String> = (0..found.len()).map(|number| number.to_string()).collect();
    assert_eq!(found, beginning);
    let acknowledged = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((1000..=found.len()).contains(&acknowledged), "{} found, {acknowledged} acknowledged", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_appended_is_refused_and_harms_nobody() {
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "refused", 1).await;
    let large = Append { value: Some(vec![0; 2_000_000].into()), ..record("refused", 0, "large") };
    assert!(matches!(log.append(vec![record("refused", 0, "small"), large]).await, Err(LogError::Refused(_))));
    assert!(matches!(log.append(vec![record("no.such.topic", 0, "k")]).await, Err(LogError::NoTopic(_))));
    assert!(matches!(log.append(vec![record("refused", 1, "k")]).await, Err(LogError::NoTopic(_))));
    assert_eq!(log.append(vec![record("refused", 0, "k")]).await.unwrap()[0].offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_away_and_a_bad_property_is_named() {
    let port = testkit::ports::free().unwrap();
    let nobody = config(&format!("127.0.0.1:{port}"), &[]);
    assert!(matches!(Kafka::connect(&nobody), Err(LogError::Away(_))));
    for (key, value) in [("no.such.property", "1"), ("linger.ms", "soon"), ("enable.idempotence", "false")] {
        let refused = Kafka::connect(&config(shared(), &[(key, value)])).err().unwrap();
        assert!(matches!(&refused, LogError::Refused(reason) if reason.contains(key)), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_at_the_first_record_that_is_left() {
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "retained", 1).await;
    log.append((0..10).map(|number| record("retained", 0, &number.to_string())).collect()).await.unwrap();
    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset("retained", 0, Offset::Offset(7)).unwrap();
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", shared()).create().unwrap();
    admin.delete_records(&gone, &AdminOptions::new()).await.unwrap();
    assert_eq!(log.offsets("retained", 0).await.unwrap(), (7, 10));
    let mut reader = log.read(vec![from("retained", 0, 3)]).await.unwrap();
    assert_eq!(batch(&mut reader).await.records[0].offset, 7);
    assert!(matches!(log.read(vec![from("retained", 0, 11)]).await, Err(LogError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_where_no_record_stands_before_it() {
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "marked", 1).await;
    // Somebody's transaction leaves a mark behind its record that no reader gets; so does a tombstone that compaction took.
    let foreign = producer(shared(), &[("transactional.id", "foreign")]);
    foreign.init_transactions(PATIENCE).unwrap();
    foreign.begin_transaction().unwrap();
    foreign.send(BaseRecord::<str, str>::to("marked").partition(0).key("k").payload("v")).unwrap();
    foreign.commit_transaction(PATIENCE).unwrap();
    // The broker writes the mark when it has answered.
    let marked = async {
        while log.offsets("marked", 0).await.unwrap().1 < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, marked).await.expect("no mark");
    let mut reader = log.read(vec![from("marked", 0, 0)]).await.unwrap();
    let mut records = 0;
    loop {
        let batch = batch(&mut reader).await;
        records += batch.records.len();
        if batch.next_offset == 2 {
            break;
        }
    }
    assert_eq!(records, 1);
    log.append(vec![record("marked", 0, "behind")]).await.unwrap();
    assert_eq!(batch(&mut reader).await.records[0].offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(unsafe_code, reason = "no safe client writes a header whose name is not UTF-8, but a C program does")]
async fn a_header_that_is_no_text_stops_nobody() {
    let log = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "headers", 1).await;
    let foreign = producer(shared(), &[]);
    // SAFETY: as librdkafka has it: pairs of kind and value, strings end with 0, and everything is copied before it returns.
    let code = unsafe {
        use rdkafka::bindings as c;
        c::rd_kafka_producev(
            foreign.client().native_ptr(),
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            c"headers".as_ptr(),
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            0_i32,
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            c::RD_KAFKA_MSG_F_COPY,
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
            c"hostile".as_ptr(),
            7_usize,
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER,
            c"\xff\xfe".as_ptr(),
            c"x".as_ptr(),
            1_usize,
            c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(code, rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    foreign.flush(PATIENCE).unwrap();
    log.append(vec![Append { headers: [("n", b"v".to_vec())].into_iter().collect(), ..record("headers", 0, "good") }]).await.unwrap();
    let mut reader = log.read(vec![from("headers", 0, 0)]).await.unwrap();
    let mut records = Vec::new();
    while records.len() < 2 {
        records.extend(batch(&mut reader).await.records);
    }
    assert_eq!((records[0].key.as_ref(), records[0].headers.is_empty()), (b"hostile".as_ref(), true));
    assert_eq!(records[1].header("n"), Some(b"v".as_ref()));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_partitions_and_a_dead_ones_go_to_the_others() {
    let quick = config(shared(), &[("session.timeout.ms", "6000")]);
    let (one, other) = (Kafka::connect(&quick).unwrap(), Kafka::connect(&quick).unwrap());
    for name in ["members.a", "members.b"] {
        topic(&one, name, 4).await;
    }
    topic(&one, "members.c", 3).await;
    assert!(matches!(one.join("g", "m", &["members.a", "members.c"]).await, Err(LogError::Refused(_))));
    let mut first = one.join("g", "first", &["members.a", "members.b"]).await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, first.next()).await.unwrap().unwrap(), Assignment::Assigned(vec![0, 1, 2, 3]));
    let mut second = other.join("g", "second", &["members.b", "members.a"]).await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, first.next()).await.unwrap().unwrap(), Assignment::Revoked(vec![2, 3]));
    assert_eq!(tokio::time::timeout(PATIENCE, second.next()).await.unwrap().unwrap(), Assignment::Assigned(vec![2, 3]));
    // While the group has members, positions are written down all the same.
    let positions = vec![from("members.a", 1, 5), from("members.b", 3, 9)];
    one.note_position("g", &positions).await.unwrap();
    assert_eq!(other.noted_positions("g").await.unwrap(), positions);
    drop(second);
    assert_eq!(tokio::time::timeout(PATIENCE, first.next()).await.unwrap().unwrap(), Assignment::Assigned(vec![2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_takes_on_and_gives_up_partitions() {
    let log: Arc<Kafka> = Kafka::connect(&config(shared(), &[])).unwrap();
    topic(&log, "changing", 3).await;
    log.append((0..3).flat_map(|partition| (0..5).map(move |key| record("changing", partition, &key.to_string()))).collect())
        .await
        .unwrap();
    let mut reader = log.read(vec![from("changing", 0, 0)]).await.unwrap();
    assert_eq!(batch(&mut reader).await.next_offset, 5);
    reader.add(vec![from("changing", 1, 2)]).await.unwrap();
    let added = batch(&mut reader).await;
    assert_eq!((added.partition, added.records[0].offset, added.next_offset), (1, 2, 5));
    // The same again, from elsewhere.
    reader.add(vec![from("changing", 1, 4)]).await.unwrap();
    let again = batch(&mut reader).await;
    assert_eq!((again.partition, again.records[0].offset, again.next_offset), (1, 4, 5));
    reader.remove(&[("changing".into(), 1)]).await.unwrap();
    log.append(vec![record("changing", 1, "unread"), record("changing", 0, "read")]).await.unwrap();
    assert_eq!(batch(&mut reader).await.partition, 0);
    reader.add(vec![from("changing", 1, 5)]).await.unwrap();
    let back = batch(&mut reader).await;
    assert_eq!((back.partition, back.records[0].key.as_ref()), (1, b"unread".as_ref()));
    assert!(matches!(reader.add(vec![from("no.such.topic", 0, 0)]).await, Err(LogError::NoTopic(_))));
}

/// Everything there is from an offset on.
async fn offsets_and_keys(log: &Kafka, topic: &str, offset: i64) -> Vec<(i64, String)> {
    let (_, end) = log.offsets(topic, 0).await.unwrap();
    let mut reader = log.read(vec![from(topic, 0, offset)]).await.unwrap();
    let mut found = Vec::new();
    loop {
        let batch = batch(&mut reader).await;
        let read = batch.records.iter().map(|record| (record.offset, String::from_utf8(record.key.to_vec()).unwrap()));
        found.extend(read);
        if batch.next_offset >= end {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_leaves_the_newest_and_reading_goes_over_the_gaps() {
    let mut options = testkit::kafka::Options::new(1);
    options.properties.push(("log.cleaner.backoff.ms".into(), "100".into()));
    let kafka = testkit::kafka::Kafka::start_with(options).unwrap();
    let log = Kafka::connect(&config(&kafka.bootstrap, &[])).unwrap();
    let settings =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0"), ("min.compaction.lag.ms", "0")];
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    log.create_topics(&[NewTopic { name: "t".into(), partitions: 1, settings }]).await.unwrap();
    let keys = ["once", "often", "often", "twice", "often", "often", "twice"];
    for key in keys {
        log.append(vec![record("t", 0, key)]).await.unwrap();
    }
    // A segment is closed by the append that comes after its time, and only closed ones are compacted.
    let compacted = async {
        loop {
            log.append(vec![record("t", 0, "tick")]).await.unwrap();
            let found = offsets_and_keys(&log, "t", 0).await;
            if found.len() > 3 && found[..3].iter().map(|(offset, _)| *offset).eq([0, 5, 6]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, compacted).await.expect("not compacted");
    for (offset, expected) in [(0, 0), (1, 5), (5, 5), (6, 6)] {
        assert_eq!(offsets_and_keys(&log, "t", offset).await[0], (expected, keys[expected as usize].to_owned()), "from {offset}");
    }
}
