//! Topics read whole: what a table holds, that it goes on from its cache, and that a cache which cannot be trusted is thrown away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

mod caches;
mod conformance;

use async_trait::async_trait;
use caches::{KINDS, Kind, cache};
use conformance::record;
use eventlog::embedded::Embedded;
use eventlog::fencing::epoch_headers;
use eventlog::schemas::Schemas;
use eventlog::table::{FileStore, MemoryStore, SledStore, Small, Store, StoreError, Table};
use eventlog::{Acknowledgement, Append, From, Log, LogError, Member, NewTopic, Reader, TopicInfo};
use events::{Codec, GridEntry, IdentifierLink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const TOPIC: &str = "table";

/// A log that remembers from where it was read.
struct Watched {
    log: Arc<dyn Log>,
    read_from: Mutex<Vec<i64>>,
}

#[async_trait]
impl Log for Watched {
    async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), LogError> {
        self.log.create_topics(topics).await
    }
    async fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.log.topics().await
    }
    fn append(&self, records: Vec<Append>) -> Acknowledgement {
        self.log.append(records)
    }
    async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        self.log.offsets(topic, partition).await
    }
    async fn read(&self, from: Vec<From>) -> Result<Box<dyn Reader>, LogError> {
        self.read_from.lock().unwrap().extend(from.iter().map(|from| from.offset));
        self.log.read(from).await
    }
    async fn join(&self, group: &str, member: &str, topics: &[&str]) -> Result<Box<dyn Member>, LogError> {
        self.log.join(group, member, topics).await
    }
    async fn note_position(&self, group: &str, positions: &[From]) -> Result<(), LogError> {
        self.log.note_position(group, positions).await
    }
    async fn noted_positions(&self, group: &str) -> Result<Vec<From>, LogError> {
        self.log.noted_positions(group).await
    }
}

/// A site's folder: its log, and the cache beside it.
struct Site {
    dir: tempfile::TempDir,
    log: Arc<Watched>,
}

impl Site {
    async fn new(partitions: i32) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Embedded::open(&dir.path().join("log")).unwrap();
        log.create_topics(&[NewTopic { name: TOPIC.into(), partitions, settings: vec![] }]).await.unwrap();
        Site { dir, log: Arc::new(Watched { log, read_from: Mutex::default() }) }
    }

    async fn append(&self, records: Vec<Append>) {
        self.log.append(records).await.unwrap();
    }

    async fn table(&self, store: Box<dyn Store>) -> Arc<Table> {
        Table::open(self.log.clone(), TOPIC, store).await.unwrap()
    }

    /// The cache on disk, of either kind.
    fn cache(&self, kind: Kind) -> Box<dyn Store> {
        cache(self.dir.path(), kind)
    }

    /// The files of a cache that nobody uses.
    fn cache_files(&self) -> Vec<PathBuf> {
        fn files(dir: &Path) -> Vec<PathBuf> {
            let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
        }
        let mut files = files(&self.dir.path().join("cache"));
        files.retain(|file| !file.ends_with("cache.lock"));
        files.sort();
        files
    }

    /// From where it has been read since the last call.
    fn read_from(&self) -> Vec<i64> {
        std::mem::take(&mut *self.log.read_from.lock().unwrap())
    }
}

fn value(table: &Table, key: &str) -> Option<String> {
    table.get(key).map(|value| String::from_utf8(value).unwrap())
}

fn tombstone(key: &str) -> Append {
    Append { value: None, ..record(TOPIC, 0, key, "") }
}

async fn holds_the_newest(site: &Site, table: &Table) {
    assert_eq!((value(table, "a"), value(table, "b"), value(table, "e")), (Some("3".into()), None, Some(String::new())));
    assert_eq!(table.len(), 2);
    let mut changed = table.subscribe();
    site.append(vec![record(TOPIC, 0, "b", 4), tombstone("a")]).await;
    table.catch_up().await.unwrap();
    assert_eq!((value(table, "a"), value(table, "b"), table.len()), (None, Some("4".into()), 2));
    assert_eq!(changed.recv().await.unwrap(), ["b", "a"]);
}

fn some_records() -> Vec<Append> {
    vec![record(TOPIC, 0, "a", 1), record(TOPIC, 0, "b", 2), record(TOPIC, 0, "a", 3), tombstone("b"), record(TOPIC, 0, "e", "")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_holds_the_newest_value_of_every_key() {
    for kind in [None, Some(Kind::File), Some(Kind::Sled)] {
        let site = Site::new(1).await;
        site.append(some_records()).await;
        let store = kind.map_or_else(|| Box::new(MemoryStore::new()) as Box<dyn Store>, |kind| site.cache(kind));
        holds_the_newest(&site, &*site.table(store).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_partitions_are_followed() {
    let site = Site::new(4).await;
    site.append((0..400).map(|number| record(TOPIC, number % 4, &number.to_string(), number)).collect()).await;
    let table = site.table(Box::new(MemoryStore::new())).await;
    assert_eq!(table.len(), 400);
    for number in 0..400 {
        assert_eq!(value(&table, &number.to_string()), Some(number.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_from_its_cache() {
    for kind in KINDS {
        let site = Site::new(2).await;
        site.append(some_records()).await;
        drop(site.table(site.cache(kind)).await);
        assert_eq!(site.read_from(), [0, 0]);
        // The last record read once more, to know the topic again.
        site.append(vec![record(TOPIC, 0, "c", 5), record(TOPIC, 1, "d", 6)]).await;
        let table = site.table(site.cache(kind)).await;
        assert_eq!(site.read_from(), [4, 0]);
        assert_eq!((value(&table, "a"), value(&table, "c"), value(&table, "d")), (Some("3".into()), Some("5".into()), Some("6".into())));
        drop(table);
        // Nothing new.
        let table = site.table(site.cache(kind)).await;
        assert_eq!(site.read_from(), [5, 0]);
        assert_eq!(table.len(), 4);
        table.catch_up().await.unwrap();
        site.append(vec![record(TOPIC, 1, "d", 7)]).await;
        table.catch_up().await.unwrap();
        assert_eq!(value(&table, "d"), Some("7".into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_of_another_topic_of_that_name_is_thrown_away() {
    for kind in KINDS {
        // A shorter one, one of the same length, a longer one: the end alone does not tell.
        for count in [1, 5, 9] {
            let before = Site::new(1).await;
            before.append(some_records()).await;
            drop(before.table(before.cache(kind)).await);
            let after = Site::new(1).await;
            after.append((0..count).map(|number| record(TOPIC, 0, "new", number)).collect()).await;
            let table = after.table(before.cache(kind)).await;
            assert_eq!((value(&table, "a"), value(&table, "new"), table.len()), (None, Some((count - 1).to_string()), 1), "{count}");
        }
    }
}

/// What is done to a file.
type Damage = fn(&[u8]) -> Vec<u8>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cache_is_thrown_away() {
    let damages: [Damage; 4] = [
        |contents| vec![0; contents.len()],
        |contents| contents.iter().rev().map(|byte| byte ^ 0x5a).collect(),
        |contents| contents[..contents.len() / 3].to_vec(),
        |_| b"another program's file".to_vec(),
    ];
    for kind in KINDS {
        let site = Site::new(1).await;
        site.append((0..2_000).map(|number| record(TOPIC, 0, &number.to_string(), "x".repeat(50))).collect()).await;
        drop(site.table(site.cache(kind)).await);
        drop(site.cache(kind));
        for (number, damage) in damages.iter().enumerate() {
            let files = site.cache_files();
            assert!(!files.is_empty());
            for file in files {
                std::fs::write(&file, damage(&std::fs::read(&file).unwrap())).unwrap();
            }
            let table = site.table(site.cache(kind)).await;
            assert_eq!((table.len(), value(&table, "1999")), (2_000, Some("x".repeat(50))), "{kind:?}, damage {number}");
        }
    }
}

/// One byte, while no process has it: whatever the table says afterwards is right. In the file, each is found; sled has bytes that it does
/// not need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_is_found() {
    for kind in KINDS {
        let site = Site::new(2).await;
        let text = |number: i32| format!("{number} {}", "x".repeat(50));
        site.append((0..400).map(|number| record(TOPIC, number % 2, &number.to_string(), text(number))).collect()).await;
        drop(site.table(site.cache(kind)).await);
        drop(site.cache(kind));
        let sound: Vec<(PathBuf, Vec<u8>)> =
            site.cache_files().into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        for (file, contents) in &sound {
            let used = contents.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            for at in (0..used).step_by(used / 15 + 1).chain([used - 1]) {
                for file in site.cache_files() {
                    std::fs::remove_file(file).unwrap();
                }
                for (file, contents) in &sound {
                    std::fs::write(file, contents).unwrap();
                }
                let mut changed = contents.clone();
                changed[at] ^= 0x10;
                std::fs::write(file, changed).unwrap();
                site.read_from();
                let table = site.table(site.cache(kind)).await;
                assert!(site.read_from() != [199, 199] || kind == Kind::Sled, "byte {at} is found");
                assert_eq!(table.len(), 400, "{file:?}, byte {at}");
                for number in 0..400 {
                    assert_eq!(value(&table, &number.to_string()), Some(text(number)), "{file:?}, byte {at}");
                }
                drop(table);
                drop(site.cache(kind));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_belongs_to_one() {
    for kind in KINDS {
        let site = Site::new(1).await;
        let held = site.cache(kind);
        let dir = site.dir.path().join("cache");
        assert!(matches!(SledStore::open(&dir), Err(StoreError::Held(_))));
        assert!(matches!(FileStore::open(&dir), Err(StoreError::Held(_))));
        drop(held);
        site.cache(kind);
    }
}

/// A store that fails once at reading, as a damaged page would.
struct FailsOnce {
    store: MemoryStore,
    fails: Arc<Mutex<bool>>,
}

impl Store for FailsOnce {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !key.starts_with('\0') && std::mem::take(&mut *self.fails.lock().unwrap()) {
            return Err(StoreError::Failed("damaged".into()));
        }
        self.store.get(key)
    }
    fn apply(&self, changes: &[(&str, Option<&[u8]>)]) -> Result<(), StoreError> {
        self.store.apply(changes)
    }
    fn clear(&self) -> Result<(), StoreError> {
        self.store.clear()
    }
    fn each(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.store.each(take)
    }
    fn len(&self) -> usize {
        self.store.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_turns_out_damaged_is_filled_again_and_all_keys_are_told() {
    let site = Site::new(1).await;
    site.append(some_records()).await;
    let fails = Arc::new(Mutex::new(false));
    let table = site.table(Box::new(FailsOnce { store: MemoryStore::new(), fails: fails.clone() })).await;
    let mut changed = table.subscribe();
    *fails.lock().unwrap() = true;
    assert_eq!(value(&table, "a"), None);
    let mut keys = Vec::new();
    while keys.len() < 5 {
        keys.extend(changed.recv().await.unwrap());
    }
    assert_eq!(keys, ["a", "b", "a", "b", "e"]);
    assert_eq!(value(&table, "a"), Some("3".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_records_claims_and_positions_are_not_in_it() {
    for kind in KINDS {
        let site = Site::new(1).await;
        let by = |epoch, key: &str, value: &str| Append { headers: epoch_headers(epoch), ..record(TOPIC, 0, key, value) };
        site.append(vec![record(TOPIC, 0, "~claim/1", "x"), by(1, "key", "of the first")]).await;
        site.append(vec![record(TOPIC, 0, "~claim/2", "x"), by(1, "key", "of the first, too late"), by(3, "~position/events", "p")]).await;
        let table = site.table(site.cache(kind)).await;
        assert_eq!((value(&table, "key"), table.len()), (Some("of the first".into()), 1));
        drop(table);
        // The highest epoch is in the cache, too.
        site.append(vec![by(1, "key", "of the first, far too late")]).await;
        let table = site.table(site.cache(kind)).await;
        assert_eq!((value(&table, "key"), table.len()), (Some("of the first".into()), 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_no_text_are_passed_over_and_counted() {
    for kind in KINDS {
        let site = Site::new(1).await;
        let keyed = |key: &[u8]| Append { key: key.to_vec().into(), ..record(TOPIC, 0, "", "rubbish") };
        site.append(vec![keyed(&[0xff]), keyed(b"\0mark/0"), record(TOPIC, 0, "a", 1)]).await;
        let table = site.table(site.cache(kind)).await;
        assert_eq!((table.len(), table.skipped(), value(&table, "a")), (1, 2, Some("1".into())));
        drop(table);
        assert_eq!(site.table(site.cache(kind)).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_said() {
    let site = Site::new(1).await;
    let opened = Table::open(site.log.clone(), "other", Box::new(MemoryStore::new())).await;
    assert!(matches!(opened.err(), Some(LogError::NoTopic(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_table_holds_decoded_records_and_passes_over_what_it_cannot_read() {
    let site = Site::new(2).await;
    let codec = Codec::built_in();
    let grid = |name: &str| {
        let (community, community_name) = ("330106001001".to_owned(), "Community".to_owned());
        let (subdistrict, division) = ("330106001".to_owned(), "330106".to_owned());
        GridEntry { name: name.to_owned(), community, community_name, subdistrict, division, workers: 2, published_at: events::Millis(0) }
    };
    let put = |key: &str, value: Vec<u8>| Append { value: Some(value.into()), ..record(TOPIC, 0, key, "") };
    site.append(vec![put("g1", codec.encode(&grid("one"))), put("g2", codec.encode(&grid("two")))]).await;
    let mut cut = codec.encode(&grid("three"));
    cut.truncate(7);
    let of_another_kind = codec.encode(&IdentifierLink { mandate: "m".into(), links: vec![], common: false });
    for rubbish in [cut, of_another_kind, vec![], b"\0\0\0\xff\xffrubbish".to_vec(), b"{}".to_vec()] {
        site.append(vec![put("g1", rubbish)]).await;
    }
    let small = Small::<GridEntry>::open(site.log.clone(), Schemas::open("").await.unwrap(), TOPIC).await.unwrap();
    assert_eq!((small.len(), small.skipped()), (2, 5));
    assert_eq!(small.get("g1").unwrap().name, "one");
    let mut changed = small.subscribe();
    site.append(vec![put("g1", codec.encode(&grid("new"))), tombstone("g2")]).await;
    small.catch_up().await.unwrap();
    assert_eq!(small.all().iter().map(|(key, grid)| (key.as_str(), grid.name.as_str())).collect::<Vec<_>>(), [("g1", "new")]);
    assert_eq!(changed.recv().await.unwrap(), ["g1", "g2"]);
}
