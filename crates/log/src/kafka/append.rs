//! Appending: one producer, one answer per batch. Order is the order of calls; a handle ends at the first failure (see `kafka.rs`).
//!
//! A record costs one lock and one look at sixteen bytes or so on its way back: no future, channel or allocation of its own. One thread
//! hands records over and takes their reports, so that what librdkafka allocates for each is freed where it was allocated, while it is
//! still in the processor's cache.

use super::config::KafkaConfig;
use super::queue::Reports;
use super::{context, sorted};
use crate::{Acknowledgement, Append, Appended, LogError};
use futures::FutureExt;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the producer's thread looks at the time.
const SERVE: Duration = Duration::from_millis(100);
/// How long it waits for reports, and so for room in the producer's memory, before it looks again.
const ROOM: Duration = Duration::from_millis(1);
/// It looks for reports after so many records.
const LOOK_EVERY: usize = 64;

type Answer = Result<Vec<Appended>, LogError>;

pub(super) struct Appender {
    producer: Arc<BaseProducer<Deliveries>>,
    // Held while a batch is numbered and ordered: the order of calls is the order in every partition.
    orders: Mutex<mpsc::Sender<Order>>,
}

/// What the producer's thread is told.
enum Order {
    /// Hand these over; the number of the first one.
    Append(usize, Vec<Append>),
    /// There are reports.
    Look,
    /// The handle is dropped: end when all is answered.
    Stop,
}

impl Appender {
    pub(super) fn open(config: &KafkaConfig) -> Result<Appender, LogError> {
        let deliveries = Deliveries { timeout: config.delivery_timeout()?, state: Mutex::default() };
        let producer = BaseProducer::from_config_and_context(&config.producer(), deliveries).map_err(|error| sorted(&error))?;
        let producer = Arc::new(producer);
        let (orders, ordered) = mpsc::channel();
        let (woken, wake) = (Arc::new(AtomicBool::new(false)), orders.clone());
        let flag = Arc::clone(&woken);
        let reports = Reports::of(&producer, move || {
            if !flag.swap(true, Ordering::AcqRel) {
                let _ = wake.send(Order::Look);
            }
        });
        let thread = Thread { reports, woken, producer: Arc::clone(&producer) };
        // The thread owns the last reference: closing a producer can take long, and nobody waits for it.
        let builder = std::thread::Builder::new().name("kafka producer".into());
        builder.spawn(move || thread.run(&ordered)).map_err(|error| LogError::Away(error.to_string()))?;
        Ok(Appender { producer, orders: Mutex::new(orders) })
    }

    /// Of records that have been checked: one that Kafka does not take ends the handle.
    pub(super) fn append(&self, records: Vec<Append>) -> Acknowledgement {
        if records.is_empty() {
            return futures::future::ready(Ok(Vec::new())).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.lock();
        if let Some(first) = self.producer.context().expect(records.len(), answer) {
            let _ = orders.send(Order::Append(first, records));
        }
        drop(orders);
        let ended = |_| Err(LogError::Away("the connection to Kafka was closed".into()));
        async move { answered.await.unwrap_or_else(ended) }.boxed()
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let _ = self.orders.lock().send(Order::Stop);
    }
}

/// Hands over and takes reports.
struct Thread {
    reports: Reports<Deliveries>,
    // Set while an order to look waits.
    woken: Arc<AtomicBool>,
    producer: Arc<BaseProducer<Deliveries>>,
}

impl Thread {
    /// Runs until the handle is dropped and everything that was appended has been answered.
    fn run(&self, ordered: &mpsc::Receiver<Order>) {
        let (deliveries, mut purged, mut stopped) = (self.producer.context(), false, false);
        loop {
            match ordered.recv_timeout(SERVE) {
                Ok(Order::Append(first, records)) => self.hand_over(first, &records),
                // Before the look: what comes after it wakes again.
                Ok(Order::Look) => self.woken.store(false, Ordering::Release),
                Ok(Order::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => stopped = true,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            self.take_reports();
            deliveries.fail_when_late();
            if !purged && deliveries.has_failed() {
                // Nothing that stands behind what failed may still go out.
                self.producer.purge(PurgeConfig::default().queue().inflight());
                purged = true;
            }
            if stopped && (purged || self.producer.in_flight_count() == 0) {
                return;
            }
        }
    }

    fn take_reports(&self) {
        while self.reports.wait() {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn hand_over(&self, first: usize, records: &[Append]) {
        let deliveries = self.producer.context();
        for (at, record) in records.iter().enumerate() {
            if at % LOOK_EVERY == 0 {
                self.take_reports();
                if deliveries.has_failed() {
                    return;
                }
            }
            if let Err(error) = self.send(record, first + at) {
                return deliveries.fail(&format!("could not hand over a record for {}: {error}", record.topic));
            }
        }
    }

    /// Waits for room as long as the handle lives.
    fn send(&self, record: &Append, sequence: usize) -> Result<(), KafkaError> {
        let mut next = BaseRecord::with_opaque_to(&record.topic, sequence).partition(record.partition).key(&record.key[..]);
        next.payload = record.value.as_deref();
        if !record.headers.is_empty() {
            let add = |headers: OwnedHeaders, (key, value)| headers.insert(Header { key, value: Some(value) });
            next.headers = Some(record.headers.iter().fold(OwnedHeaders::new_with_capacity(8), add));
        }
        let deliveries = self.producer.context();
        loop {
            match self.producer.send(next) {
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) if !deliveries.has_failed() => {
                    next = back;
                    self.producer.poll(ROOM);
                    deliveries.fail_when_late();
                }
                Err((error, _)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// What has been handed over and not been answered. Records are numbered through; a delivery report brings the number back.
struct Deliveries {
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: usize,
    batches: VecDeque<Batch>,
    failed: Option<String>,
}

struct Batch {
    first: usize,
    appended: Vec<Appended>,
    missing: usize,
    since: Instant,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Deliveries {
    /// Numbers the next records, and returns the first number; none where the handle has ended: then it has answered.
    fn expect(&self, records: usize, answer: oneshot::Sender<Answer>) -> Option<usize> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.failed {
            // Nobody may wait for it any more: then there is nobody to tell.
            let _ = answer.send(Err(LogError::Away(reason.clone())));
            return None;
        }
        let first = state.next;
        state.next += records;
        let appended = vec![Appended { offset: -1 }; records];
        state.batches.push_back(Batch { first, appended, missing: records, since: Instant::now(), answer: Some(answer) });
        Some(first)
    }

    fn has_failed(&self) -> bool {
        self.state.lock().failed.is_some()
    }

    fn fail_when_late(&self) {
        let late = self.state.lock().batches.front().is_some_and(|oldest| oldest.since.elapsed() > self.timeout);
        if late {
            self.fail(&format!("no acknowledgement in {} ms", self.timeout.as_millis()));
        }
    }

    /// Ends the handle.
    fn fail(&self, reason: &str) {
        self.state.lock().fail(reason);
    }
}

impl State {
    fn fail(&mut self, reason: &str) {
        if self.failed.is_some() {
            return;
        }
        tracing::error!(reason, waiting = self.batches.len(), "an append failed: this connection to Kafka appends no more");
        let reason = format!("an append failed and nothing goes behind it: {reason}");
        for batch in self.batches.drain(..) {
            if let Some(answer) = batch.answer {
                let _ = answer.send(Err(LogError::Away(reason.clone())));
            }
        }
        self.failed = Some(reason);
    }

    fn delivered(&mut self, sequence: usize, offset: i64) {
        // None: the handle has ended, and it was answered then.
        let Some(at) = self.batches.partition_point(|batch| batch.first <= sequence).checked_sub(1) else { return };
        let batch = &mut self.batches[at];
        batch.appended[sequence - batch.first] = Appended { offset };
        batch.missing -= 1;
        if batch.missing > 0 {
            return;
        }
        if let Some(answer) = batch.answer.take() {
            let _ = answer.send(Ok(std::mem::take(&mut batch.appended)));
        }
        while self.batches.front().is_some_and(|oldest| oldest.missing == 0) {
            self.batches.pop_front();
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let mut state = self.state.lock();
        match result {
            Ok(message) => state.delivered(sequence, message.offset()),
            Err((error, message)) => {
                let reason = format!("{} partition {}: {error}", message.topic(), message.partition());
                state.fail(&reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliveries() -> Deliveries {
        Deliveries { timeout: Duration::from_secs(60), state: Mutex::default() }
    }

    fn expect(deliveries: &Deliveries, records: usize) -> (usize, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (deliveries.expect(records, answer).unwrap(), answered)
    }

    fn deliver(deliveries: &Deliveries, sequence: usize, offset: i64) {
        deliveries.state.lock().delivered(sequence, offset);
    }

    #[test]
    fn a_batch_is_answered_when_its_last_record_is_in_whatever_the_order_of_partitions() {
        let deliveries = deliveries();
        let (first, mut one) = expect(&deliveries, 2);
        let (second, mut two) = expect(&deliveries, 1);
        deliver(&deliveries, second, 70);
        assert_eq!(two.try_recv().unwrap().unwrap(), [Appended { offset: 70 }]);
        deliver(&deliveries, first + 1, 41);
        assert!(one.try_recv().is_err());
        deliver(&deliveries, first, 40);
        assert_eq!(one.try_recv().unwrap().unwrap(), [Appended { offset: 40 }, Appended { offset: 41 }]);
        assert!(deliveries.state.lock().batches.is_empty());
    }

    #[test]
    fn a_failure_answers_all_that_wait_and_all_that_comes_after() {
        let deliveries = deliveries();
        let (first, mut one) = expect(&deliveries, 1);
        let (_, mut two) = expect(&deliveries, 1);
        deliveries.fail("gone");
        assert!(matches!(one.try_recv().unwrap(), Err(LogError::Away(_))));
        assert!(matches!(two.try_recv().unwrap(), Err(LogError::Away(_))));
        // A report that comes late finds nobody and harms nobody.
        deliver(&deliveries, first, 3);
        let (answer, mut after) = oneshot::channel();
        assert_eq!(deliveries.expect(1, answer), None);
        assert!(matches!(after.try_recv().unwrap(), Err(LogError::Away(_))));
    }

    #[test]
    fn what_waits_too_long_ends_the_handle() {
        let deliveries = Deliveries { timeout: Duration::ZERO, state: Mutex::default() };
        let (_, mut one) = expect(&deliveries, 1);
        deliveries.fail_when_late();
        assert!(matches!(one.try_recv().unwrap(), Err(LogError::Away(_))));
        assert!(deliveries.has_failed());
    }
}
