//! Sealed fields: an address or a contact that only a process with the mandate's keys can open.
//!
//! ```text
//! suite (1) | key id (4) | wrapped data key: nonce (12), key (32 or 16), tag (16) | nonce (12) | ciphertext | tag (16)
//! ```
//! The suite's cipher is used twice: the mandate's wrapping key encrypts a data key, which this process draws and uses for an hour at
//! most, and the data key encrypts the value. So the wrapping key touches few bytes. The key id says which version of the wrapping key
//! it was: new values are sealed under the newest, all open. The associated data binds mandate, field and owner: a value copied elsewhere
//! does not open there. Nonces are drawn at random, some at a time; [`DATA_KEY_MESSAGES_MAX`] keeps two of them from meeting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::pii::Pii;
use crate::suite::{Cipher, NONCE_BYTES, Suite, TAG_BYTES};

/// How long a data key seals new values.
const DATA_KEY_AGE_MAX: Duration = Duration::from_secs(3600);

/// How many values one data key seals. With 2^24 random nonces of 96 bits the chance that two are alike is 2^-49.
const DATA_KEY_MESSAGES_MAX: u64 = 1 << 24;

/// How many data keys of others are kept unwrapped for opening. A list of tasks shows values of a few process-hours.
const OPENED_KEYS_MAX: usize = 64;

/// Nonces drawn at once: to ask the system for one costs about as much as to seal an address. Few, so that a copy of this machine's memory
/// that goes on elsewhere (a virtual machine put back) shares hardly any with this one.
const NONCES_AT_ONCE: usize = 32;

const KEY_ID: std::ops::Range<usize> = 1..5;

/// Which version of which mandate's wrapping key; it stands in every sealed value.
pub type KeyId = [u8; 4];

/// Why a sealed value was not opened. Nothing of the value is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than an empty sealed value.
    #[error("sealed value is cut off")]
    CutOff,
    /// Sealed by a suite that this version doesn't know.
    #[error("sealed value is of suite {0}, which this version does not know")]
    UnknownSuite(u8),
    /// Sealed under another mandate's keys, or under keys that were destroyed.
    #[error("sealed value is under a key that is not here")]
    UnknownKey,
    /// Changed, or sealed for another mandate, field or owner.
    #[error("sealed value was changed or belongs elsewhere")]
    Refused,
    /// The mandate's keys were let go since they were asked for.
    #[error(transparent)]
    Gone(#[from] crate::KeysGone),
}

/// A data key drawn by this process.
struct DataKey {
    cipher: Cipher,
    /// All that stands before the nonce of the value.
    header: Vec<u8>,
    since: Instant,
    messages: AtomicU64,
}

impl DataKey {
    /// Counts one more message; `false` where the key is used up or too old.
    fn take(&self, now: Instant) -> bool {
        let young = now.saturating_duration_since(self.since) < DATA_KEY_AGE_MAX;
        young && self.messages.fetch_add(1, Ordering::Relaxed) < DATA_KEY_MESSAGES_MAX
    }
}

/// What the next value is sealed with.
#[derive(Default)]
struct Current {
    key: Option<Arc<DataKey>>,
    nonces: Vec<[u8; NONCE_BYTES]>,
}

impl Current {
    fn nonce(&mut self) -> [u8; NONCE_BYTES] {
        if self.nonces.is_empty() {
            let drawn = random::<{ NONCE_BYTES * NONCES_AT_ONCE }>();
            self.nonces.extend_from_slice(drawn.as_chunks::<NONCE_BYTES>().0);
        }
        self.nonces.pop().unwrap_or_else(random)
    }
}

/// One version of the wrapping key.
pub struct WrappingKey {
    pub id: KeyId,
    pub cipher: Cipher,
}

/// Seals under the newest of one mandate's wrapping keys and opens under all.
pub struct Sealer {
    mandate: String,
    suite: Suite,
    /// Oldest first.
    wrapping: Vec<WrappingKey>,
    current: Mutex<Current>,
    /// Unwrapped lately, by all that stands before the nonce of their values; newest last.
    opened: Mutex<VecDeque<(Vec<u8>, Arc<Cipher>)>>,
}

impl Sealer {
    /// `wrapping` has one at least.
    pub fn new(mandate: &str, suite: Suite, wrapping: Vec<WrappingKey>) -> Self {
        let (current, opened) = (Mutex::default(), Mutex::new(VecDeque::new()));
        Self { mandate: mandate.to_owned(), suite, wrapping, current, opened }
    }

    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.wrapping.iter().map(|key| key.id)
    }

    pub fn seal(&self, field: &str, owner: &str, plaintext: &[u8]) -> Vec<u8> {
        let (key, nonce) = self.data_key(Instant::now());
        let mut sealed = Vec::with_capacity(key.header.len() + NONCE_BYTES + plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(&key.header);
        key.cipher.seal_with(nonce, &self.associated(&key.header, field, owner), plaintext, &mut sealed);
        sealed
    }

    pub fn open(&self, field: &str, owner: &str, sealed: &[u8]) -> Result<Pii<Vec<u8>>, OpenError> {
        match sealed.first().map(|&id| (id, Suite::of_id(id))) {
            None => return Err(OpenError::CutOff),
            Some((id, None)) => return Err(OpenError::UnknownSuite(id)),
            Some((_, Some(suite))) if suite != self.suite => return Err(OpenError::UnknownKey),
            Some(_) => {}
        }
        let header = self.header_bytes();
        if sealed.len() < header + NONCE_BYTES + TAG_BYTES {
            return Err(OpenError::CutOff);
        }
        let (header, value) = sealed.split_at(header);
        let cipher = self.unwrapped(header)?;
        let mut opened = cipher.open(&self.associated(header, field, owner), value).ok_or(OpenError::Refused)?;
        Ok(Pii::new(std::mem::take(&mut *opened)))
    }

    /// Suite, key id and wrapped data key.
    const fn header_bytes(&self) -> usize {
        KEY_ID.end + NONCE_BYTES + self.suite.key_bytes() + TAG_BYTES
    }

    /// The data key in use, a fresh one where there is none, or it is used up or too old; and a nonce that nobody else gets.
    fn data_key(&self, now: Instant) -> (Arc<DataKey>, [u8; NONCE_BYTES]) {
        let mut current = lock(&self.current);
        let nonce = current.nonce();
        if let Some(key) = current.key.as_ref().filter(|key| key.take(now)) {
            return (Arc::clone(key), nonce);
        }
        let key = Arc::new(self.draw(now));
        key.take(now);
        current.key = Some(Arc::clone(&key));
        (key, nonce)
    }

    fn draw(&self, now: Instant) -> DataKey {
        #[expect(clippy::expect_used, reason = "said of `new`")]
        let wrapping = self.wrapping.last().expect("one at least");
        let key = Zeroizing::new(random::<32>());
        let key = &key[..self.suite.key_bytes()];
        let mut header = Vec::with_capacity(self.header_bytes());
        header.push(self.suite.id());
        header.extend_from_slice(&wrapping.id);
        wrapping.cipher.seal(&self.wrapping_associated(wrapping.id), key, &mut header);
        DataKey { cipher: Cipher::new(self.suite, key), header, since: now, messages: AtomicU64::new(0) }
    }

    /// The cipher of a wrapped data key, out of those opened lately where it is among them.
    fn unwrapped(&self, header: &[u8]) -> Result<Arc<Cipher>, OpenError> {
        let mut opened = lock(&self.opened);
        if let Some((_, cipher)) = opened.iter().rev().find(|(known, _)| known == header) {
            return Ok(Arc::clone(cipher));
        }
        let (id, wrapped) = (&header[KEY_ID], &header[KEY_ID.end..]);
        let wrapping = self.wrapping.iter().find(|key| key.id == id).ok_or(OpenError::UnknownKey)?;
        let key = wrapping.cipher.open(&self.wrapping_associated(wrapping.id), wrapped).ok_or(OpenError::Refused)?;
        let cipher = Arc::new(Cipher::new(self.suite, &key));
        if opened.len() == OPENED_KEYS_MAX {
            opened.pop_front();
        }
        opened.push_back((header.to_owned(), Arc::clone(&cipher)));
        Ok(cipher)
    }

    fn associated(&self, header: &[u8], field: &str, owner: &str) -> Vec<u8> {
        in_lengths(&[b"oneknock sealed field", header, self.mandate.as_bytes(), field.as_bytes(), owner.as_bytes()])
    }

    fn wrapping_associated(&self, key_id: KeyId) -> Vec<u8> {
        in_lengths(&[b"oneknock data key", &[self.suite.id()], &key_id, self.mandate.as_bytes()])
    }
}

/// Parts one behind the other, each after its length (8 bytes, big-endian).
pub fn in_lengths(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "a machine without randomness must stop: no key or nonce may be guessed")]
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A poisoned lock holds whole values all the same: each change behind it is one assignment or push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        let wrapping = WrappingKey { id: [1, 2, 3, 4], cipher: Cipher::new(Suite::Aes, &[9; 32]) };
        Sealer::new("m", Suite::Aes, vec![wrapping])
    }

    #[test]
    fn a_data_key_goes_after_an_hour_or_when_it_is_used_up() {
        let sealer = sealer();
        let start = Instant::now();
        let first = sealer.data_key(start).0;
        assert!(Arc::ptr_eq(&first, &sealer.data_key(start + DATA_KEY_AGE_MAX - Duration::from_millis(1)).0));
        let second = sealer.data_key(start + DATA_KEY_AGE_MAX).0;
        assert_ne!(first.header, second.header);

        second.messages.store(DATA_KEY_MESSAGES_MAX - 1, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&second, &sealer.data_key(start + DATA_KEY_AGE_MAX).0));
        let third = sealer.data_key(start + DATA_KEY_AGE_MAX).0;
        assert_ne!(second.header, third.header);
        assert_eq!(third.messages.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_two_values_share_a_nonce() {
        let sealer = sealer();
        let now = Instant::now();
        let nonces: std::collections::BTreeSet<_> = (0..10 * NONCES_AT_ONCE).map(|_| sealer.data_key(now).1).collect();
        assert_eq!(nonces.len(), 10 * NONCES_AT_ONCE);
        assert!(lock(&sealer.current).nonces.len() < NONCES_AT_ONCE);
    }

    #[test]
    fn opened_data_keys_are_bounded_and_an_old_one_is_unwrapped_again() {
        let reader = sealer();
        let sealed: Vec<_> = (0..=OPENED_KEYS_MAX).map(|_| sealer().seal("address", "o", b"1")).collect();
        for value in &sealed {
            assert!(reader.open("address", "o", value).is_ok());
        }
        assert_eq!(lock(&reader.opened).len(), OPENED_KEYS_MAX);
        assert!(reader.open("address", "o", &sealed[0]).is_ok());
    }
}
