//! Reading: a consumer on a thread of its own for each reader. Every partition has a queue of its own in librdkafka, so that batches are
//! of one partition, and the end of a partition is known for that partition. What has been read is copied once, into one buffer a batch.

use super::admin::Admin;
use super::config::KafkaConfig;
use super::context::Context;
use super::queue::{Queue, Taken};
use super::{blocking, sorted};
use crate::{Batch, From, Headers, LogError, Reader, Record, WantsHeaders};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use events::cloudevents::put;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as threads;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Greatest batch.
const BATCH_RECORDS_MAX: usize = 2000;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Taken from librdkafka at once.
const TAKE: usize = 250;
/// Room for the headers of one record, as a rule.
const HEADERS_BYTES: usize = 256;
/// Batches that wait for a slow caller.
const BATCHES_WAITING_MAX: usize = 8;
/// What librdkafka may read ahead, over all partitions of a reader.
const AHEAD_KBYTES_MAX: usize = 32 * 1024;
/// How often a reader with nothing to read serves librdkafka's own log and errors.
const SERVE: Duration = Duration::from_millis(500);
/// How often it asks the brokers whether there really is nothing to read.
#[cfg(not(test))]
const WATCH: Duration = Duration::from_secs(30);
#[cfg(test)]
const WATCH: Duration = Duration::from_secs(2);
const WATCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Readers join no group, but librdkafka wants a name.
const GROUP: &str = "oneknock.readers";

struct KafkaReader {
    admin: Arc<Admin>,
    // Each batch with the number of the time that reading its partition began.
    batches: mpsc::Receiver<Result<(usize, Batch), LogError>>,
    orders: threads::Sender<Order>,
    // What is read now; a batch of another number was read before it was told otherwise.
    places: HashMap<usize, (String, i32)>,
    next_number: usize,
}

/// What the thread is told.
enum Order {
    /// There is something in this partition's queue.
    Look(usize),
    Begin(Vec<Start>),
    End(Vec<usize>),
    Stop,
}

struct Start {
    number: usize,
    topic: String,
    partition: i32,
    next: i64,
    end: i64,
}

/// Blocks.
pub(super) fn open(
    admin: Arc<Admin>,
    config: &KafkaConfig,
    from: Vec<From>,
    wants_headers: WantsHeaders,
) -> Result<Box<dyn Reader>, LogError> {
    let mut settings = config.consumer(GROUP);
    let ahead = (AHEAD_KBYTES_MAX / from.len().max(32)).clamp(1024, 16 * 1024);
    if settings.get("queued.max.messages.kbytes").is_none() {
        settings.set("queued.max.messages.kbytes", ahead.to_string());
    }
    let starts = starts(&admin, from)?;
    let consumer = BaseConsumer::from_config_and_context(&settings, Context).map_err(|error| sorted(&error))?;
    let (orders, ordered) = threads::channel();
    let (out, batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let (parts, consumer) = (HashMap::new(), Arc::new(consumer));
    let thread = Thread { parts, consumer, admin: Arc::clone(&admin), orders: orders.clone(), out, wants_headers };
    let builder = std::thread::Builder::new().name("kafka reader".into());
    builder.spawn(move || thread.run(&ordered)).map_err(|error| LogError::Away(error.to_string()))?;
    let mut reader = KafkaReader { admin, batches, orders, places: HashMap::new(), next_number: 0 };
    reader.begin(starts);
    Ok(Box::new(reader))
}

/// Where to begin: at the first offset there is where the wanted one has gone. Blocks.
fn starts(admin: &Admin, from: Vec<From>) -> Result<Vec<Start>, LogError> {
    let start = |From { topic, partition, offset }| {
        let (first, end) = admin.offsets(&topic, partition)?;
        let next = offset.max(first);
        if next > end {
            let reason = format!("offset {next} of {topic}/{partition} is behind its end {end}: the log has lost records");
            return Err(LogError::Refused(reason));
        }
        Ok(Start { number: 0, topic, partition, next, end })
    };
    from.into_iter().map(start).collect()
}

impl KafkaReader {
    /// Only tells the thread, which may be waiting for room.
    fn begin(&mut self, mut starts: Vec<Start>) {
        let again: Vec<(String, i32)> = starts.iter().map(|start| (start.topic.clone(), start.partition)).collect();
        self.end(&again);
        for start in &mut starts {
            start.number = self.next_number;
            self.next_number += 1;
            self.places.insert(start.number, (start.topic.clone(), start.partition));
        }
        let _ = self.orders.send(Order::Begin(starts));
    }

    fn end(&mut self, places: &[(String, i32)]) {
        let gone: Vec<usize> = self.places.extract_if(|_, place| places.contains(place)).map(|(number, _)| number).collect();
        if !gone.is_empty() {
            let _ = self.orders.send(Order::End(gone));
        }
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Batch, LogError> {
        loop {
            match self.batches.recv().await {
                Some(Ok((number, batch))) if self.places.contains_key(&number) => return Ok(batch),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(LogError::Away("the reader has ended".into())),
            }
        }
    }

    async fn add(&mut self, from: Vec<From>) -> Result<(), LogError> {
        let admin = Arc::clone(&self.admin);
        let starts = blocking(move || starts(&admin, from)).await?;
        self.begin(starts);
        Ok(())
    }

    async fn remove(&mut self, partitions: &[(String, i32)]) -> Result<(), LogError> {
        self.end(partitions);
        Ok(())
    }
}

impl Drop for KafkaReader {
    /// Only tells the thread: closing a consumer can take long.
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
    }
}

struct Part {
    topic: Arc<str>,
    partition: i32,
    queue: Queue,
    // Set while an order to look waits.
    woken: Arc<AtomicBool>,
    next: i64,
    // Where the log ended when it was asked, before the last time that reading began: what lies before is there or will never be.
    end: i64,
    end_told: bool,
    // `next` at the last watch, and whether it was asked for again then because it seemed to stand still.
    watched_at: i64,
    asked_again: bool,
}

struct Thread {
    // Before the consumer: queues go first.
    parts: HashMap<usize, Part>,
    consumer: Arc<BaseConsumer<Context>>,
    admin: Arc<Admin>,
    orders: threads::Sender<Order>,
    out: mpsc::Sender<Result<(usize, Batch), LogError>>,
    wants_headers: WantsHeaders,
}

/// Why a reader ends.
enum End {
    Dropped,
    Failed(LogError),
}

impl std::convert::From<KafkaError> for End {
    fn from(error: KafkaError) -> End {
        End::Failed(sorted(&error))
    }
}

impl Thread {
    fn run(mut self, ordered: &threads::Receiver<Order>) {
        if let Err(End::Failed(error)) = self.read(ordered) {
            let _ = self.out.blocking_send(Err(error));
        }
    }

    fn read(&mut self, ordered: &threads::Receiver<Order>) -> Result<(), End> {
        let (mut served, mut watched) = (Instant::now(), Instant::now());
        loop {
            match ordered.recv_timeout(SERVE) {
                Ok(Order::Look(number)) => self.drain(number)?,
                Ok(Order::Begin(starts)) => self.begin(starts)?,
                Ok(Order::End(numbers)) => self.end(&numbers)?,
                Ok(Order::Stop) | Err(threads::RecvTimeoutError::Disconnected) => return Err(End::Dropped),
                Err(threads::RecvTimeoutError::Timeout) => {}
            }
            if served.elapsed() > SERVE {
                served = Instant::now();
                if let Some(Err(error)) = self.consumer.poll(Duration::ZERO)
                    && let Some(error) = hopeless(&error, None)
                {
                    return Err(End::Failed(error));
                }
            }
            if watched.elapsed() > WATCH {
                watched = Instant::now();
                self.watch()?;
            }
        }
    }

    fn begin(&mut self, starts: Vec<Start>) -> Result<(), End> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for Start { number, topic, partition, next, end } in starts {
            let missing = || End::Failed(LogError::NoTopic(format!("{topic}/{partition}")));
            // Before it is assigned, so that nothing comes by another way.
            let mut queue = Queue::split(&self.consumer, &topic, partition).ok_or_else(missing)?;
            let woken = Arc::new(AtomicBool::new(false));
            let (flag, orders) = (Arc::clone(&woken), self.orders.clone());
            queue.when_filled(move || look_once(&flag, &orders, number));
            look_once(&woken, &self.orders, number);
            list.add_partition_offset(&topic, partition, Offset::Offset(next))?;
            let topic = topic.into();
            let part = Part { topic, partition, queue, woken, next, end, end_told: false, watched_at: -1, asked_again: false };
            self.parts.insert(number, part);
        }
        if list.count() > 0 {
            self.consumer.incremental_assign(&list)?;
        }
        Ok(())
    }

    fn end(&mut self, numbers: &[usize]) -> Result<(), End> {
        let gone: Vec<Part> = numbers.iter().filter_map(|number| self.parts.remove(number)).collect();
        let mut list = TopicPartitionList::with_capacity(gone.len());
        for part in &gone {
            list.add_partition(&part.topic, part.partition);
        }
        if list.count() > 0 {
            self.consumer.incremental_unassign(&list)?;
        }
        for part in &gone {
            // What had been read ahead would stay in memory.
            let mut rest = Vec::new();
            while part.queue.take(TAKE, &mut rest) > 0 {
                rest.clear();
            }
        }
        Ok(())
    }

    /// Takes what there is of a partition, one batch at most; the rest queues behind the other partitions.
    fn drain(&mut self, number: usize) -> Result<(), End> {
        let Some(part) = self.parts.get_mut(&number) else { return Ok(()) };
        // Before the first look: what comes after the last one wakes again.
        part.woken.store(false, Ordering::Release);
        let (mut messages, mut bytes, mut at_end, mut taken) = (Vec::new(), 0, false, Vec::new());
        loop {
            let all = part.queue.take(TAKE, &mut taken) < TAKE;
            for message in taken.drain(..) {
                match message {
                    Ok(message) => {
                        bytes += message.bytes();
                        messages.push(message);
                    }
                    Err(KafkaError::PartitionEOF(_)) => at_end = true,
                    Err(error) => {
                        if let Some(error) = hopeless(&error, Some((&part.topic, part.partition))) {
                            return Err(End::Failed(error));
                        }
                    }
                }
            }
            if all {
                break;
            }
            if messages.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                look_once(&part.woken, &self.orders, number);
                break;
            }
        }
        let from = part.next;
        if let Some(message) = messages.first()
            && message.offset() < from
        {
            let reason = format!("{}/{} went back from offset {from} to {}", part.topic, part.partition, message.offset());
            return Err(End::Failed(LogError::Away(reason)));
        }
        let mut next = messages.last().map_or(from, |message| message.offset() + 1);
        if at_end && !part.end_told {
            // Compaction may have taken the last records: then nothing else would tell that the end is reached.
            part.end_told = true;
            next = next.max(part.end);
        }
        if next == from {
            return Ok(());
        }
        let records = copied(&messages, bytes, &|value| (self.wants_headers)(&part.topic, value));
        drop(messages);
        part.next = next;
        let batch = Batch { topic: Arc::clone(&part.topic), partition: part.partition, records, next_offset: next };
        self.out.blocking_send(Ok((number, batch))).map_err(|_| End::Dropped)
    }

    /// A partition that has records which do not come is asked for again from the same place. Either they come, or the end does: then
    /// compaction has taken them. Neither until the next time: the reader gives up, and its owner with it.
    fn watch(&mut self) -> Result<(), End> {
        let mut again = Vec::new();
        for (number, part) in &mut self.parts {
            let moved = part.watched_at != part.next;
            part.watched_at = part.next;
            // What waits in our own queue is not missing.
            if moved || part.woken.load(Ordering::Acquire) {
                part.asked_again = false;
                continue;
            }
            // Unreachable brokers are librdkafka's business; it connects again.
            let Ok((_, end)) = self.admin.offsets_within(&part.topic, part.partition, WATCH_TIMEOUT) else { break };
            if end <= part.next {
                part.asked_again = false;
            } else if part.asked_again {
                return Err(End::Failed(LogError::Away(format!("{}/{} does not go on", part.topic, part.partition))));
            } else {
                tracing::info!(
                    topic = &*part.topic,
                    partition = part.partition,
                    next = part.next,
                    end,
                    "reading stands still: asking again"
                );
                let (topic, next) = (part.topic.to_string(), part.next);
                again.push(Start { number: *number, topic, partition: part.partition, next, end });
            }
        }
        let numbers: Vec<usize> = again.iter().map(|start| start.number).collect();
        self.end(&numbers)?;
        self.begin(again)?;
        for number in numbers {
            if let Some(part) = self.parts.get_mut(&number) {
                (part.watched_at, part.asked_again) = (part.next, true);
            }
        }
        Ok(())
    }
}

/// Called by librdkafka while it holds the queue's lock: nothing but a message.
fn look_once(flag: &AtomicBool, orders: &threads::Sender<Order>, number: usize) {
    if !flag.swap(true, Ordering::AcqRel) {
        let _ = orders.send(Order::Look(number));
    }
}

/// What time does not heal. The rest is librdkafka's business: it connects and asks again.
fn hopeless(error: &KafkaError, place: Option<(&str, i32)>) -> Option<LogError> {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    match (error, error.rdkafka_error_code()) {
        (KafkaError::MessageConsumptionFatal(_), _) => Some(LogError::Away(error.to_string())),
        (_, Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition)) => {
            place.map(|(topic, partition)| LogError::NoTopic(format!("{topic}/{partition}")))
        }
        // Readers need no right to their group's name.
        (_, Some(RDKafkaErrorCode::GroupAuthorizationFailed)) => None,
        _ => match sorted(error) {
            refused @ LogError::Refused(_) => Some(refused),
            _ => None,
        },
    }
}

fn copied(messages: &[Taken<'_>], bytes: usize, wants_headers: &dyn Fn(&[u8]) -> bool) -> Vec<Record> {
    let (mut buffer, mut heads) = (Vec::with_capacity(bytes), BytesMut::new());
    for message in messages {
        buffer.extend_from_slice(message.key());
        buffer.extend_from_slice(message.value().unwrap_or_default());
    }
    let buffer = Bytes::from(buffer);
    let mut at = 0;
    let mut take = |length: usize| {
        at += length;
        buffer.slice(at - length..at)
    };
    let record = |message: &Taken<'_>| Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp(),
        key: take(message.key().len()),
        value: message.value().map(|value| take(value.len())),
        headers: if wants_headers(message.value().unwrap_or_default()) { headers(message, &mut heads) } else { Headers::new() },
    };
    messages.iter().map(record).collect()
}

/// Anybody may have written a header whose name is not UTF-8: such a record comes without headers.
fn headers(message: &Taken<'_>, buffer: &mut BytesMut) -> Headers {
    buffer.reserve(HEADERS_BYTES);
    let sound = message.each_header(|name, value| put(buffer, name, &[value]));
    let headers = Headers::split_from(buffer);
    if !sound {
        tracing::warn!(partition = message.partition(), offset = message.offset(), "headers are not UTF-8");
    }
    if sound { headers } else { Headers::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Append, Log, NewTopic};
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn next(reader: &mut Box<dyn Reader>) -> Batch {
        tokio::time::timeout(PATIENCE, reader.next()).await.expect("nothing came").unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_end_without_a_record_is_told_to_a_reader_that_was_there_before() {
        let bootstrap = testkit::kafka::shared().unwrap().bootstrap.clone();
        let config = KafkaConfig { bootstrap: bootstrap.clone(), ..KafkaConfig::default() };
        let log = super::super::Kafka::connect(&config).unwrap();
        log.create_topics(&[NewTopic { name: "watched".into(), partitions: 2, settings: Vec::new() }]).await.unwrap();
        let from = |partition| From { topic: "watched".into(), partition, offset: 0 };
        let mut reader = log.read(vec![from(0), from(1)]).await.unwrap();
        // A transaction's mark: no reader gets it, and no end of partition is told behind it, for it was told before.
        let mut settings = ClientConfig::new();
        let foreign: BaseProducer = settings.set("bootstrap.servers", &bootstrap).set("transactional.id", "watched").create().unwrap();
        foreign.init_transactions(PATIENCE).unwrap();
        foreign.begin_transaction().unwrap();
        foreign.send(BaseRecord::<str, str>::to("watched").partition(0).key("k").payload("v")).unwrap();
        foreign.commit_transaction(PATIENCE).unwrap();
        let mut records = Vec::new();
        let mut at = 0;
        while at < 2 {
            let batch = next(&mut reader).await;
            assert_eq!(batch.partition, 0);
            records.extend(batch.records);
            at = batch.next_offset;
        }
        assert_eq!(records.len(), 1);
        // And reading goes on, in both.
        for partition in [0, 1] {
            let record = Append { topic: "watched".into(), partition, key: b"on".to_vec().into(), ..Append::default() };
            log.append(vec![record]).await.unwrap();
            let batch = next(&mut reader).await;
            assert_eq!((batch.partition, batch.records.len()), (partition, 1));
        }
    }
}
