//! Queues of librdkafka, as far as rdkafka does not offer them: of a partition, taken many messages at a time (rdkafka's own `poll` takes
//! one: an event, an allocation and two locks for each); of a producer's reports, with a call when one comes; of what a client says.
//! Unsafe code calls librdkafka here; nothing is handed out that could outlive it.

#![allow(unsafe_code, reason = "calls of librdkafka that rdkafka does not offer")]

use super::context::Context;
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{IsError, KafkaError};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A partition's queue. It is not shared: one thread takes from it.
pub(super) struct Queue {
    native: NonNull<native::rd_kafka_queue_t>,
    /// Keeps the consumer, and calls when there is something.
    partition: PartitionQueue<Context>,
}

// SAFETY: librdkafka's queues may be used from any thread; `&self` and `&mut self` say from how many at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes a partition's messages out of the consumer's common queue. None: there is no such partition.
    pub(super) fn split(consumer: &Arc<BaseConsumer<Context>>, topic: &str, partition: i32) -> Option<Queue> {
        let split = consumer.split_partition_queue(topic, partition)?;
        let topic = CString::new(topic).ok()?;
        let client = rdkafka::consumer::Consumer::client(&**consumer).native_ptr();
        // SAFETY: the client lives, `split` holds the consumer; the name ends with a zero. What comes back is a reference of our own to
        // the queue that `split` holds too.
        let native = unsafe { native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        Some(Queue { native: NonNull::new(native)?, partition: split })
    }

    /// Called by librdkafka, under the queue's lock, when something comes into an empty queue.
    pub(super) fn when_filled(&mut self, call: impl Fn() + Send + Sync + 'static) {
        self.partition.set_nonempty_callback(call);
    }

    /// Takes what there is, so many at most, behind what `into` holds. Answers how many.
    pub(super) fn take<'q>(&'q self, most: usize, into: &mut Vec<Result<Taken<'q>, KafkaError>>) -> usize {
        let mut messages: Vec<*mut native::rd_kafka_message_t> = vec![ptr::null_mut(); most];
        // SAFETY: the queue lives as long as `self`; there is room for `most` pointers.
        let taken = unsafe { native::rd_kafka_consume_batch_queue(self.native.as_ptr(), 0, messages.as_mut_ptr(), most) };
        let taken = usize::try_from(taken).unwrap_or(0);
        into.extend(
            messages[..taken]
                .iter()
                .filter_map(|message| NonNull::new(*message))
                .map(|message| Taken::sorted(Taken { message, queue: PhantomData })),
        );
        taken
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, it is given back once, and the consumer goes after it: `partition` holds it.
        unsafe { native::rd_kafka_queue_destroy(self.native.as_ptr()) }
    }
}

/// The reports that wait for a producer's `poll`.
pub(super) struct Reports<C: ProducerContext + 'static> {
    native: NonNull<native::rd_kafka_queue_t>,
    call: *mut Box<dyn Fn() + Send + Sync>,
    /// The queue is its client's.
    _producer: Arc<BaseProducer<C>>,
}

// SAFETY: as for `Queue`; `call` is this one's own, and may be called from any thread.
unsafe impl<C: ProducerContext + 'static> Send for Reports<C> {}

impl<C: ProducerContext + 'static> Reports<C> {
    /// `call` is called by librdkafka, under the queue's lock, when a report comes into an empty queue.
    pub(super) fn of(producer: &Arc<BaseProducer<C>>, call: impl Fn() + Send + Sync + 'static) -> Reports<C> {
        unsafe extern "C" fn filled(_: *mut native::rd_kafka_t, call: *mut c_void) {
            // SAFETY: it is what was handed over below, and lives until nobody calls any more.
            unsafe { (*call.cast::<Box<dyn Fn() + Send + Sync>>())() }
        }
        let call: *mut Box<dyn Fn() + Send + Sync> = Box::into_raw(Box::new(Box::new(call)));
        // SAFETY: the client lives, `producer` holds it, and it always has a main queue. The reference to that is ours, and `call` lives
        // until it is taken back in `drop`.
        let native = unsafe {
            let native = NonNull::new_unchecked(native::rd_kafka_queue_get_main(producer.client().native_ptr()));
            native::rd_kafka_queue_cb_event_enable(native.as_ptr(), Some(filled), call.cast());
            native
        };
        Reports { native, call, _producer: Arc::clone(producer) }
    }

    /// Whether there are any.
    pub(super) fn wait(&self) -> bool {
        // SAFETY: the queue lives as long as `self`.
        unsafe { native::rd_kafka_queue_length(self.native.as_ptr()) > 0 }
    }
}

impl<C: ProducerContext + 'static> Drop for Reports<C> {
    fn drop(&mut self) {
        // SAFETY: after the first line, which takes the lock under which `call` is called, nobody calls it; each is given back once.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.native.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.native.as_ptr());
            drop(Box::from_raw(self.call));
        }
    }
}

/// Why a client's last connection failed, in librdkafka's words since this was last asked: for a client whose words rdkafka asks for never.
/// They would gather in memory; the others repeat that brokers are away, hundreds of times, and are dropped.
pub(super) fn last_failure<C: ClientContext>(client: &Client<C>) -> Option<String> {
    let mut failure = None;
    // SAFETY: the client lives, and always has a main queue; the reference to it is ours, and is given back below.
    let queue = NonNull::new(unsafe { native::rd_kafka_queue_get_main(client.native_ptr()) })?;
    // SAFETY: the queue lives; an event that comes is ours.
    while let Some(event) = NonNull::new(unsafe { native::rd_kafka_queue_poll(queue.as_ptr(), 0) }) {
        let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event lives until it is given back, once, and so do its texts, which end with a zero; of an event that is no line the
        // call answers so.
        unsafe {
            let is_line = native::rd_kafka_event_log(event.as_ptr(), &mut facility, &mut line, &mut level) == 0;
            if is_line && CStr::from_ptr(facility) == c"FAIL" {
                let line = CStr::from_ptr(line).to_string_lossy();
                // In front stands which of its threads says so.
                failure = Some(line.split_once("]: ").map_or(&*line, |(_, words)| words).trim().to_owned());
            }
            native::rd_kafka_event_destroy(event.as_ptr());
        }
    }
    // SAFETY: it is given back once.
    unsafe { native::rd_kafka_queue_destroy(queue.as_ptr()) }
    failure
}

/// A message that was taken. Its bytes are librdkafka's, until it is dropped.
pub(super) struct Taken<'q> {
    message: NonNull<native::rd_kafka_message_t>,
    queue: PhantomData<&'q Queue>,
}

impl<'q> Taken<'q> {
    /// What librdkafka has to say of the partition comes as a message too.
    fn sorted(self) -> Result<Taken<'q>, KafkaError> {
        use native::rd_kafka_resp_err_t as Code;
        let message = self.native();
        match message.err {
            error if !error.is_error() => Ok(self),
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => Err(KafkaError::PartitionEOF(message.partition)),
            error @ Code::RD_KAFKA_RESP_ERR__FATAL => Err(KafkaError::MessageConsumptionFatal(error.into())),
            error => Err(KafkaError::MessageConsumption(error.into())),
        }
    }

    fn native(&self) -> &native::rd_kafka_message_t {
        // SAFETY: librdkafka gave it to us and leaves it alone until we give it back, in `drop`.
        unsafe { self.message.as_ref() }
    }

    pub(super) fn partition(&self) -> i32 {
        self.native().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Milliseconds; 0 where the log has none.
    pub(super) fn timestamp(&self) -> i64 {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, see `native`; so does `kind`.
        unsafe { native::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) }.max(0)
    }

    pub(super) fn key(&self) -> &[u8] {
        let message = self.native();
        // SAFETY: so says librdkafka: so many bytes, as long as the message lives.
        unsafe { bytes(message.key, message.key_len) }.unwrap_or_default()
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        let message = self.native();
        // SAFETY: as for the key.
        unsafe { bytes(message.payload, message.len) }
    }

    /// Of key and value.
    pub(super) fn bytes(&self) -> usize {
        self.key().len() + self.value().map_or(0, <[u8]>::len)
    }

    /// Calls with each header's name and value, in order; librdkafka parses them now. False: a name is no UTF-8, and it ends there.
    pub(super) fn each_header(&self, mut call: impl FnMut(&str, &[u8])) -> bool {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives; the headers are its own, and live as long.
        if unsafe { native::rd_kafka_message_headers(self.message.as_ptr(), &mut headers) }.is_error() {
            return true;
        }
        for at in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null::<c_void>(), 0);
            // SAFETY: the headers live, and there is a place for all that is answered; behind the last one it is an error.
            if unsafe { native::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut length) }.is_error() {
                break;
            }
            // SAFETY: it found one: its name ends with a zero, its value has so many bytes.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, length)) };
            let Ok(name) = name.to_str() else { return false };
            call(name, value.unwrap_or_default());
        }
        true
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // SAFETY: it is given back once, and nothing of it is borrowed any more.
        unsafe { native::rd_kafka_message_destroy(self.message.as_ptr()) }
    }
}

/// # Safety
/// Where it is not null, `start` points to so many bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller says so.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}
