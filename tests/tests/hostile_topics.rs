//! Bytes of any kind in the topics, as another program or a broken disk may leave them: what cannot be read among the events ends as a
//! dead letter, once and as it came, and the good events beside it are decided.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

use eventlog::embedded::Embedded;
use eventlog::{Append, Log};
use events::topics::{
    ACTIONS, ARRIVALS, CHECKPOINT, DECISIONS, GRIDS, HIGHWAY, HOUSEHOLDS, IDENTIFIERS, MANDATES, POLICIES, RETURNS, TELECOM, dead_letters,
    partition_of,
};
use events::{
    CheckpointPassage, Codec, Direction, EventId, GridEntry, HighwayEntrance, Identifier, IdentifierKind, Millis, TelecomMovement, normal,
};
use keys::MandateKeys;
use oneknock_tests::topics;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::site::register::{Register, Resident};
use testkit::site::{LogChoice, MANDATE, Options, Site, numbers};

const PARTITIONS: i32 = 6;
/// Good events of each kind.
const GOOD: u64 = 12;
const RANDOM: usize = 120;

/// Keys and values, with how often.
type Letters = BTreeMap<(Vec<u8>, Option<Vec<u8>>), usize>;

/// A good event of the kind of a topic, of the registered person of this number.
fn event(topic: &str, number: u64, keys: &MandateKeys, codec: &Codec) -> (Vec<u8>, Vec<u8>) {
    let identifier = |kind, text: String| Identifier { kind, token: keys.token(kind, &normal::identifier(kind, &text).unwrap()).unwrap() };
    let observed_at = events::time::parse("2016-10-18T08:00:00+08:00").unwrap();
    let event_id = EventId((u128::from(number) << 64 | u128::from(numbers::of_name(topic))).to_be_bytes());
    let (mandate, source, source_ref, received_at) =
        (MANDATE.into(), "someone".into(), number.to_string().into(), Millis(observed_at.0 + 1));
    let identifiers = vec![match topic {
        CHECKPOINT => identifier(IdentifierKind::ResidentId, numbers::resident_id(number)),
        HIGHWAY => identifier(IdentifierKind::Plate, numbers::plate(number)),
        _ => identifier(IdentifierKind::Phone, numbers::phone(number)),
    }];
    let key = identifiers[0].token.to_string().into_bytes();
    let (origin_division, direction) = (Some("3301".into()), Direction::In);
    macro_rules! record {
        ($name:ident { $($own:ident: $value:expr),* }) => {
            codec.encode(&$name {
                event_id, mandate, source, source_ref, observed_at, received_at, identifiers, origin_division, $($own: $value),*
            })
        };
    }
    let value = match topic {
        CHECKPOINT => record!(CheckpointPassage { checkpoint: "c".into(), direction: direction, party_size: Some(2), destination: None }),
        HIGHWAY => record!(HighwayEntrance { station: "s".into(), direction: direction, vehicle_class: Some("car".into()) }),
        _ => record!(TelecomMovement { from_division: Some("3301".into()), to_division: "330106".into(), dwell_minutes: 240 }),
    };
    (key, value)
}

/// Values that are no event: cut off at every length, of an unknown or another schema, and of any bytes.
fn bad_values(good: &[u8], codec: &Codec, random: &mut StdRng) -> Vec<Option<Vec<u8>>> {
    let mut values: Vec<Option<Vec<u8>>> = (0..good.len()).map(|length| Some(good[..length].to_vec())).collect();
    let replaced = |at: usize, bytes: &[u8]| {
        let mut value = good.to_vec();
        value[at..at + bytes.len()].copy_from_slice(bytes);
        Some(value)
    };
    values.extend([replaced(1, &[0x7f, 0xff, 0xff, 0xfe]), replaced(1, &[0xff; 4]), replaced(0, &[1]), replaced(5, &[0xff; 10])]);
    let text = || "another record".to_owned();
    let other = GridEntry {
        name: text(),
        community: text(),
        community_name: text(),
        subdistrict: text(),
        division: text(),
        workers: 1,
        published_at: Millis(0),
    };
    values.push(Some(codec.encode(&other)));
    values.push(None);
    for _ in 0..RANDOM {
        let mut bytes = vec![0; random.random_range(0..300)];
        random.fill_bytes(&mut bytes);
        values.push(Some(bytes.clone()));
        // Behind the beginning of a good one, which sends the reader into the middle of them.
        let begin = random.random_range(5..good.len());
        let mut bytes = [&good[..begin], bytes.as_slice()].concat();
        bytes[begin - 1] |= 0x80;
        values.push(Some(bytes));
    }
    values
}

fn append(topic: &str, partition: i32, key: &[u8], value: Option<Vec<u8>>) -> Append {
    Append {
        topic: topic.to_owned().into(),
        partition,
        key: key.to_vec().into(),
        value: value.map(Into::into),
        headers: [("ce_id", vec![0xff, 0, 0x80])].into_iter().collect(),
    }
}

/// Everything that is put into the log before the site runs.
struct Planted {
    records: Vec<Append>,
    /// Of the events' topics: what has to end as a dead letter, with how often.
    dead: BTreeMap<&'static str, Letters>,
}

fn plant(keys: &MandateKeys) -> Planted {
    let codec = Codec::built_in();
    let mut random = StdRng::seed_from_u64(11);
    let (mut records, mut dead) = (Vec::new(), BTreeMap::new());
    for topic in [CHECKPOINT, HIGHWAY, TELECOM] {
        let of_topic: &mut Letters = dead.entry(topic).or_default();
        let values = bad_values(&event(topic, 1, keys, &codec).1, &codec, &mut random);
        let mut bad = values.into_iter().enumerate();
        let each = bad.len() / GOOD as usize + 1;
        for number in 1..=GOOD {
            for (at, value) in bad.by_ref().take(each) {
                let key = if at % 7 == 0 { vec![0xff, 0xfe, b'/'] } else { format!("{at:032x}").into_bytes() };
                // A part of them right before a good event, in its partition.
                let partition =
                    if at % 2 == 0 { at as i32 % PARTITIONS } else { partition_of(&event(topic, number, keys, &codec).0, PARTITIONS) };
                *of_topic.entry((key.clone(), value.clone())).or_default() += 1;
                records.push(append(topic, partition, &key, value));
            }
            let (key, value) = event(topic, number, keys, &codec);
            records.push(append(topic, partition_of(&key, PARTITIONS), &key, Some(value)));
        }
        assert!(bad.next().is_none());
    }
    // No agency writes here, and whoever reads must live with it.
    for topic in [ARRIVALS, RETURNS, DECISIONS, ACTIONS, IDENTIFIERS, HOUSEHOLDS, GRIDS, MANDATES, POLICIES] {
        for at in 0..60 {
            let mut bytes = vec![0; random.random_range(0..200)];
            random.fill_bytes(&mut bytes);
            let key = if at % 5 == 0 { vec![0xff, at as u8] } else { format!("{MANDATE}/planted-{at}").into_bytes() };
            records.push(append(topic, at % PARTITIONS, &key, Some(bytes)));
        }
    }
    Planted { records, dead }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_a_dead_letter_and_the_good_beside_it_is_decided() {
    let options = Options { partitions: PARTITIONS, ..Options::of_events_between(LogChoice::Embedded, "2016-10-01", "2016-11-15") };
    let mut site = Site::start(options).await.unwrap();
    let mut register = Register::of_two_grids();
    for number in 1..=GOOD {
        let household = format!("h{number}");
        register.household(&household, "g1");
        register.residents.insert(Resident {
            resident: format!("r{number}"),
            household,
            resident_id: numbers::resident_id(number),
            phones: vec![numbers::phone(number)],
            plates: vec![numbers::plate(number)],
        });
    }
    site.import(&register).await.unwrap();
    site.stop().await.unwrap();
    let keys = site.keyring().unwrap().mandate(MANDATE).unwrap();
    let planted = plant(&keys);
    {
        let log = Embedded::open(&site.dir().join("log")).unwrap();
        log.append(planted.records).await.unwrap();
    }

    site.restart().await.unwrap();
    let ledger = site.closed_ledger().await.unwrap();
    assert_eq!((ledger.accepted, ledger.undecided), (3 * GOOD, 0), "{ledger:?}");
    assert_eq!((ledger.decisions["opened"], ledger.decisions["joined"]), (GOOD, 2 * GOOD), "{ledger:?}");
    let log = site.log().await.unwrap();
    all_are_there_once(&log, &planted.dead).await;
    let tasks = site.client.tasks().await.unwrap();
    assert_eq!(tasks.len(), GOOD as usize);
    assert!(site.command(&["ops", "dlq", "list", "--json"]).await.unwrap().json("ops dlq list").unwrap()["letters"].as_i64() > Some(0));

    // Started again, nothing of it is read a second time.
    drop(log);
    site.stop().await.unwrap();
    site.restart().await.unwrap();
    assert_eq!(site.closed_ledger().await.unwrap(), ledger);
    all_are_there_once(&site.log().await.unwrap(), &planted.dead).await;
    assert!(!site.said().contains("panicked"), "{}", site.said());
}

/// Dead letters are written behind the decisions that stand in the ledger, so they are waited for.
async fn all_are_there_once(log: &Arc<dyn Log>, dead: &BTreeMap<&'static str, Letters>) {
    for (topic, expected) in dead {
        let name = dead_letters("router", topic);
        let wanted: usize = expected.values().sum();
        assert!(wanted > 300, "{topic}: {wanted} bad records");
        let found = testkit::site::until(&format!("{wanted} dead letters of {topic}"), testkit::site::PATIENCE, async || {
            let found = topics::records(log, &name).await?;
            Ok(if found.len() >= wanted { Ok(found) } else { Err(format!("{} are there", found.len())) })
        })
        .await
        .unwrap();
        let mut letters = Letters::new();
        for record in found {
            let said = |name: &str| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
            assert_eq!((said("__dlq.errors.topic"), said("__dlq.errors.group")), ((*topic).to_owned(), "router".to_owned()));
            assert!(!said("__dlq.errors.message").is_empty() && !said("__connect.errors.topic").is_empty());
            *letters.entry((record.key.to_vec(), record.value.map(|value| value.to_vec()))).or_default() += 1;
        }
        assert!(letters == *expected, "{name}: {} letters, expected {}", letters.values().sum::<usize>(), wanted);
    }
}
