//! Owners moved by hand on any log, over a logic that is easy to check: a state is the list of inputs applied, in order, and for each
//! input a message tells the list as it was then.

use eventlog::fencing::{Fold, Verdict};
use eventlog::owner::{Command, Desk, Event, Logic, Owner, Rules, Snapshot, Stopped};
use eventlog::{Append, Batch, From, Log, NewTopic, Record};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const INPUT_X: usize = 0;
pub const INPUT_Y: usize = 1;

/// The topics of one story.
pub struct World {
    pub log: Arc<dyn Log>,
    pub fenced: &'static str,
    inputs: [&'static str; 2],
    out: &'static str,
}

fn leaked(prefix: &str, name: &str) -> &'static str {
    Box::leak(format!("{prefix}.{name}").into_boxed_str())
}

impl World {
    pub async fn new(log: Arc<dyn Log>, prefix: &str) -> World {
        let world =
            World { log, fenced: leaked(prefix, "fenced"), inputs: [leaked(prefix, "x"), leaked(prefix, "y")], out: leaked(prefix, "out") };
        let compacted = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000"), ("message.timestamp.type", "LogAppendTime")];
        let settings = |settings: &[(&str, &str)]| settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topic = |name: &str, of: &[(&str, &str)]| NewTopic { name: name.to_owned(), partitions: 1, settings: settings(of) };
        let topics = [topic(world.fenced, &compacted), topic(world.inputs[0], &[]), topic(world.inputs[1], &[]), topic(world.out, &[])];
        world.log.create_topics(&topics).await.unwrap();
        world
    }

    pub async fn input(&self, topic: usize, value: &str) {
        let append = Append {
            topic: self.inputs[topic].into(),
            partition: 0,
            key: b"k".to_vec().into(),
            value: Some(value.to_owned().into()),
            headers: Default::default(),
        };
        self.log.append(vec![append]).await.unwrap();
    }

    /// Everything from an offset to the end that the topic has now.
    async fn read(&self, topic: &str, offset: i64) -> Batch {
        let (_, end) = self.log.offsets(topic, 0).await.unwrap();
        let mut all = Batch { topic: topic.into(), partition: 0, records: vec![], next_offset: offset };
        if offset >= end {
            return all;
        }
        let mut reader = self.log.read(vec![From { topic: topic.to_owned(), partition: 0, offset }]).await.unwrap();
        while all.next_offset < end {
            let batch = reader.next().await.unwrap();
            all.next_offset = batch.next_offset;
            all.records.extend(batch.records);
        }
        all
    }

    /// What does not hold when all has come to rest.
    pub async fn broken(&self, rules: Rules, hands: &[&Hand<'_>], inputs: &[&str]) -> Vec<String> {
        let mut broken = Vec::new();
        let records = self.read(self.fenced, 0).await.records;
        let state = folded(rules, &records);
        for input in inputs {
            if !state.split(',').any(|applied| applied == *input) {
                broken.push(format!("{input} is lost: the state is '{state}'"));
            }
        }
        // Compaction may keep the newest record of each key and no other.
        let newest: BTreeMap<&[u8], i64> = records.iter().map(|record| (&record.key[..], record.offset)).collect();
        let kept: Vec<Record> = records.iter().filter(|record| newest[&record.key[..]] == record.offset).cloned().collect();
        let compacted = folded(rules, &kept);
        if compacted != state {
            broken.push(format!("compaction leaves '{compacted}' of '{state}'"));
        }
        for message in self.read(self.out, 0).await.records {
            let told = String::from_utf8(message.value.unwrap().to_vec()).unwrap();
            if !format!("{state},").starts_with(&format!("{told},")) {
                broken.push(format!("a message tells '{told}', the state is '{state}'"));
            }
        }
        let active = hands.iter().filter(|hand| hand.owner.is_active() && hand.stopped.is_none()).count();
        if active != 1 {
            broken.push(format!("{active} owners"));
        }
        broken
    }
}

/// What a reader has who follows the partition.
fn folded(rules: Rules, records: &[Record]) -> String {
    let (mut fold, mut state) = (Fold::default(), String::new());
    for record in records {
        let verdict = fold.judge(record);
        let taken = verdict == Verdict::State || verdict == Verdict::Stale && !rules.ignore_stale && *record.key == *b"k";
        if taken {
            state = record.value.as_deref().map(|value| String::from_utf8(value.to_vec()).unwrap()).unwrap_or_default();
        }
    }
    state
}

struct List {
    out: &'static str,
}

impl Logic for List {
    fn take_over(&mut self, _: &mut Desk<'_>) {}

    /// These owners are moved by hand: no input waits for company.
    fn since(&self, _: &str, _: &Record) -> i64 {
        i64::MAX
    }

    fn apply(&mut self, _: &str, records: &mut dyn Iterator<Item = &Record>, desk: &mut Desk<'_>) -> usize {
        let mut taken = 0;
        for record in records {
            let input = String::from_utf8(record.value.as_deref().unwrap().to_vec()).unwrap();
            let state = desk.get("k").map(|state| String::from_utf8(state.to_vec()).unwrap()).unwrap_or_default();
            let mut applied: Vec<&str> = state.split(',').filter(|input| !input.is_empty()).collect();
            // A repeated input changes nothing, and what it had to tell is told again.
            let told = match applied.iter().position(|known| *known == input) {
                Some(at) => applied[..=at].join(","),
                None => {
                    applied.push(&input);
                    desk.put("k", applied.join(",").into_bytes());
                    applied.join(",")
                }
            };
            desk.send(Append {
                topic: self.out.into(),
                partition: 0,
                key: input.clone().into_bytes().into(),
                value: Some(told.into()),
                headers: Default::default(),
            });
            taken += 1;
        }
        taken
    }

    fn changed(&mut self, _: &str, _: &[String], _: &mut Desk<'_>) {}

    fn delivered(&mut self, _: Vec<(Arc<str>, i64)>, _: &mut Desk<'_>) {}
}

/// An owner and what it wants done.
pub struct Hand<'a> {
    world: &'a World,
    owner: Owner<List>,
    appends: VecDeque<(u64, Vec<Append>)>,
    tail: i64,
    inputs: Option<[i64; 2]>,
    stopped: Option<Stopped>,
    wants_tables: bool,
    cache: Option<Snapshot>,
}

impl<'a> Hand<'a> {
    pub fn start(world: &'a World, rules: Rules, claim: &str, cache: Option<Snapshot>) -> Hand<'a> {
        let kept = cache.clone();
        let (owner, commands) = Owner::new(world.fenced, 0, world.inputs.to_vec(), rules, List { out: world.out }, claim, cache);
        let tail = owner.tail();
        let (appends, inputs, stopped) = (VecDeque::new(), None, None);
        let mut hand = Hand { world, owner, appends, tail, inputs, stopped, wants_tables: false, cache: kept };
        hand.obey(commands);
        hand
    }

    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Append(number, records) => self.appends.push_back((number, records)),
                Command::CatchUpTables => self.wants_tables = true,
                Command::ReadInputs(from) => self.inputs = Some([from[0].offset, from[1].offset]),
                Command::Cache(snapshot) => self.cache = Some(snapshot),
                Command::Stop(why) => self.stopped = Some(why),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let commands = self.owner.handle(event);
        self.obey(commands);
    }

    /// Everything that it has sent reaches the log, in order, and is acknowledged.
    pub async fn append(&mut self) {
        while let Some((number, records)) = self.appends.pop_front() {
            let appended = self.world.log.append(records).await;
            self.tell(Event::Appended(number, appended));
        }
    }

    /// It reads so many of its own records.
    pub async fn read_own(&mut self, most: usize) {
        let mut batch = self.world.read(self.world.fenced, self.tail).await;
        if batch.records.len() > most {
            batch.next_offset = batch.records[most].offset;
            batch.records.truncate(most);
        }
        self.tail = batch.next_offset;
        self.tell(Event::Own(batch));
        if std::mem::take(&mut self.wants_tables) {
            self.tell(Event::TablesReady);
        }
    }

    /// It reads so many inputs of a topic, from where it stands.
    pub async fn take_input(&mut self, topic: usize, most: usize) {
        let Some(inputs) = &mut self.inputs else { return };
        let mut batch = self.world.read(self.world.inputs[topic], inputs[topic]).await;
        if batch.records.len() > most {
            batch.next_offset = batch.records[most].offset;
            batch.records.truncate(most);
        }
        inputs[topic] = batch.next_offset;
        self.tell(Event::Input(batch));
    }

    pub fn tick(&mut self) {
        // Before any append time: nobody is far behind.
        self.tell(Event::Tick(1));
        self.tell(Event::Save);
    }

    /// It does all that it wants to do. Bounded: an owner that does not give way may want something for ever.
    pub async fn settle(&mut self) {
        for _ in 0..6 {
            self.append().await;
            self.read_own(usize::MAX).await;
            self.tick();
        }
        self.append().await;
        self.read_own(usize::MAX).await;
    }

    /// What it has stored as a cache by now.
    pub fn cached(&mut self) -> Snapshot {
        self.cache.clone().unwrap_or_default()
    }
}
