//! One partition as readers and the committer see it: where it begins and ends, what was written last, who waits for more.
//!
//! It knows nothing of the file: what is told here is durable already.

use crate::{LogError, TopicInfo};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// How much of what was written last stays in memory, per partition: readers at the end never touch the file.
const TAIL_BYTES: usize = 256 << 10;
const TAIL_PIECES: usize = 512;

/// All topics.
pub(super) struct Topics {
    topics: RwLock<HashMap<String, Arc<Topic>>>,
}

impl Topics {
    pub fn new(topics: HashMap<String, Arc<Topic>>) -> Topics {
        Topics { topics: RwLock::new(topics) }
    }

    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        self.topics.read().get(name).cloned().ok_or_else(|| LogError::NoTopic(name.to_owned()))
    }

    pub fn partition(&self, topic: &str, number: i32) -> Result<Arc<Partition>, LogError> {
        let found = usize::try_from(number).ok().and_then(|number| self.topics.read().get(topic)?.partitions.get(number).cloned());
        found.ok_or_else(|| LogError::NoTopic(format!("{topic}/{number}")))
    }

    /// In the order of their names.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<Arc<Topic>> = self.topics.read().values().cloned().collect();
        topics.sort_by(|one, other| one.info.name.cmp(&other.info.name));
        topics
    }

    pub fn add(&self, topic: Topic) {
        self.topics.write().insert(topic.info.name.clone(), Arc::new(topic));
    }
}

/// A topic.
pub(super) struct Topic {
    pub info: TopicInfo,
    pub partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// A setting, in Kafka's words.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.info.settings.iter().find(|(setting, _)| setting == name).map(|(_, value)| value.as_str())
    }
}

/// A partition.
pub(super) struct Partition {
    /// The topic's id.
    pub topic: u32,
    pub number: i32,
    state: Mutex<State>,
}

struct State {
    start: i64,
    next: i64,
    newest: i64,
    cleaned_to: i64,
    tail: VecDeque<Piece>,
    tail_bytes: usize,
    waiting: Vec<Weak<Notify>>,
}

/// A piece of the tail.
#[derive(Clone)]
pub(super) struct Piece {
    pub base: i64,
    pub next: i64,
    pub bytes: Bytes,
}

/// What there is to read from an offset on.
pub(super) enum Readable {
    /// Nothing yet.
    Nothing,
    /// These pieces, in memory.
    Tail(Vec<Piece>),
    /// In the file, from the first of these offsets to the second.
    File(i64, i64),
}

impl Partition {
    /// As the file has it: first offset, next offset, newest timestamp.
    pub fn new(topic: u32, number: i32, start: i64, next: i64, newest: i64) -> Partition {
        let state = State { start, next, newest, cleaned_to: 0, tail: VecDeque::new(), tail_bytes: 0, waiting: Vec::new() };
        Partition { topic, number, state: Mutex::new(state) }
    }

    /// First offset, next offset.
    pub fn offsets(&self) -> (i64, i64) {
        let state = self.state.lock();
        (state.start, state.next)
    }

    /// Next offset, newest timestamp.
    pub fn end(&self) -> (i64, i64) {
        let state = self.state.lock();
        (state.next, state.newest)
    }

    /// What was committed: readers may have it from now on.
    pub fn publish(&self, pieces: Vec<Piece>, newest: i64) {
        let mut state = self.state.lock();
        state.newest = newest;
        for piece in pieces {
            state.next = piece.next;
            state.tail_bytes += piece.bytes.len();
            state.tail.push_back(piece);
        }
        while state.tail_bytes > TAIL_BYTES || state.tail.len() > TAIL_PIECES {
            let Some(gone) = state.tail.pop_front() else { break };
            state.tail_bytes -= gone.bytes.len();
        }
        state.waiting.retain(|reader| match reader.upgrade() {
            Some(reader) => {
                reader.notify_one();
                true
            }
            None => false,
        });
    }

    /// Wakes this reader at every commit from now on, until it is dropped.
    pub fn wake(&self, reader: &Arc<Notify>) {
        self.state.lock().waiting.push(Arc::downgrade(reader));
    }

    /// No more.
    pub fn wake_no_more(&self, reader: &Arc<Notify>) {
        self.state.lock().waiting.retain(|waiting| waiting.as_ptr() != Arc::as_ptr(reader));
    }

    /// What there is to read from this offset on.
    pub fn readable(&self, offset: i64) -> Readable {
        let state = self.state.lock();
        let offset = offset.max(state.start);
        if offset >= state.next {
            return Readable::Nothing;
        }
        if state.tail.front().is_none_or(|piece| piece.base > offset) {
            return Readable::File(offset, state.next);
        }
        Readable::Tail(state.tail.iter().filter(|piece| piece.next > offset).cloned().collect())
    }

    /// The first offset that compaction has not seen; 0 after a start.
    pub fn cleaned_to(&self) -> i64 {
        self.state.lock().cleaned_to
    }

    /// Compaction has been over everything below this offset: what lies there in memory is no longer what lies in the file.
    pub fn cleaned(&self, to: i64) {
        let mut state = self.state.lock();
        state.cleaned_to = to;
        state.forget_tail_below(to);
    }

    /// Retention has removed everything below this offset.
    pub fn starts_at(&self, start: i64) {
        let mut state = self.state.lock();
        state.start = start;
        state.forget_tail_below(start);
    }
}

impl State {
    fn forget_tail_below(&mut self, offset: i64) {
        while self.tail.front().is_some_and(|piece| piece.base < offset) {
            let Some(gone) = self.tail.pop_front() else { break };
            self.tail_bytes -= gone.bytes.len();
        }
    }
}
