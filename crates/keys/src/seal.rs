//! Sealed fields: an address or a contact that only a process with the mandate's keys can open.
//!
//! ```text
//! suite (1) | key id (4) | wrapped data key: nonce (12), key (32), tag (16) | nonce (12) | ciphertext | tag (16)
//! ```
//! Suite 1 is AES-256-GCM, twice: the mandate's wrapping key encrypts a data key, which this process draws and uses for
//! an hour at most, and the data key encrypts the value. So the wrapping key touches few bytes, and with an external key
//! service one call an hour is enough. The associated data binds mandate, field and owner: a value copied elsewhere does
//! not open there. Nonces are drawn at random; [`DATA_KEY_MESSAGES_MAX`] keeps two of them from meeting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead, AeadInPlace, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use zeroize::{Zeroize, Zeroizing};

use crate::pii::Pii;

/// Suite id of AES-256-GCM under a data key wrapped by AES-256-GCM.
const SUITE_AES_256_GCM: u8 = 1;

/// How long a data key seals new values.
const DATA_KEY_AGE_MAX: Duration = Duration::from_secs(3600);

/// How many values one data key seals. With 2^24 random nonces of 96 bits the chance that two are alike is 2^-49.
const DATA_KEY_MESSAGES_MAX: u64 = 1 << 24;

/// How many data keys of others are kept unwrapped for opening. A list of tasks shows values of a few process-hours.
const OPENED_KEYS_MAX: usize = 64;

const KEY_ID: std::ops::Range<usize> = 1..5;
const WRAPPED: std::ops::Range<usize> = 5..65;
const NONCE: std::ops::Range<usize> = 65..77;
const TAG_BYTES: usize = 16;
const SHORTEST_BYTES: usize = NONCE.end + TAG_BYTES;

type Wrapped = [u8; 60];

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
}

/// A data key drawn by this process.
struct DataKey {
    cipher: Aes256Gcm,
    wrapped: Wrapped,
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

/// Seals and opens under one mandate's wrapping key.
pub struct Sealer {
    mandate: String,
    key_id: [u8; 4],
    wrapping: Aes256Gcm,
    current: Mutex<Option<Arc<DataKey>>>,
    /// Unwrapped lately, newest last.
    opened: Mutex<VecDeque<(Wrapped, Arc<Aes256Gcm>)>>,
}

impl Sealer {
    pub fn new(mandate: &str, wrapping_key: &[u8; 32], key_id: [u8; 4]) -> Self {
        Self {
            mandate: mandate.to_owned(),
            key_id,
            wrapping: Aes256Gcm::new(wrapping_key.into()),
            current: Mutex::new(None),
            opened: Mutex::new(VecDeque::new()),
        }
    }

    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    pub fn seal(&self, field: &str, owner: &str, plaintext: &[u8]) -> Vec<u8> {
        let key = self.data_key(Instant::now());
        let mut sealed = Vec::with_capacity(SHORTEST_BYTES + plaintext.len());
        sealed.push(SUITE_AES_256_GCM);
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(&key.wrapped);
        let associated = self.associated(&sealed, field, owner);
        let nonce = random::<12>();
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let tag = encrypt(&key.cipher, &nonce, &associated, &mut sealed[NONCE.end..]);
        sealed.extend_from_slice(&tag);
        sealed
    }

    pub fn open(&self, field: &str, owner: &str, sealed: &[u8]) -> Result<Pii<Vec<u8>>, OpenError> {
        match sealed.first() {
            None => return Err(OpenError::CutOff),
            Some(&SUITE_AES_256_GCM) => {}
            Some(&suite) => return Err(OpenError::UnknownSuite(suite)),
        }
        if sealed.len() < SHORTEST_BYTES {
            return Err(OpenError::CutOff);
        }
        if sealed[KEY_ID] != self.key_id {
            return Err(OpenError::UnknownKey);
        }
        let mut wrapped = [0; 60];
        wrapped.copy_from_slice(&sealed[WRAPPED]);
        let cipher = self.unwrapped(&wrapped)?;
        let associated = self.associated(&sealed[..WRAPPED.end], field, owner);
        let payload = Payload { msg: &sealed[NONCE.end..], aad: &associated };
        cipher.decrypt(Nonce::from_slice(&sealed[NONCE]), payload).map(Pii::new).map_err(|_| OpenError::Refused)
    }

    /// The data key in use, a fresh one where there is none, or it is used up or too old.
    fn data_key(&self, now: Instant) -> Arc<DataKey> {
        let mut current = lock(&self.current);
        if let Some(key) = current.as_ref().filter(|key| key.take(now)) {
            return Arc::clone(key);
        }
        let key = Arc::new(self.draw(now));
        key.take(now);
        *current = Some(Arc::clone(&key));
        key
    }

    fn draw(&self, now: Instant) -> DataKey {
        let mut key = Zeroizing::new(random::<32>());
        let cipher = Aes256Gcm::new((&*key).into());
        let nonce = random::<12>();
        let tag = encrypt(&self.wrapping, &nonce, &self.wrapping_associated(), key.as_mut_slice());
        let mut wrapped = [0; 60];
        wrapped[..12].copy_from_slice(&nonce);
        wrapped[12..44].copy_from_slice(key.as_slice());
        wrapped[44..].copy_from_slice(&tag);
        DataKey { cipher, wrapped, since: now, messages: AtomicU64::new(0) }
    }

    /// The cipher of a wrapped data key, out of those opened lately where it is among them.
    fn unwrapped(&self, wrapped: &Wrapped) -> Result<Arc<Aes256Gcm>, OpenError> {
        let mut opened = lock(&self.opened);
        if let Some((_, cipher)) = opened.iter().rev().find(|(known, _)| known == wrapped) {
            return Ok(Arc::clone(cipher));
        }
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&wrapped[12..44]);
        let nonce = Nonce::from_slice(&wrapped[..12]);
        let tag = Tag::from_slice(&wrapped[44..]);
        self.wrapping
            .decrypt_in_place_detached(nonce, &self.wrapping_associated(), key.as_mut_slice(), tag)
            .map_err(|_| OpenError::Refused)?;
        let cipher = Arc::new(Aes256Gcm::new((&*key).into()));
        key.zeroize();
        if opened.len() == OPENED_KEYS_MAX {
            opened.pop_front();
        }
        opened.push_back((*wrapped, Arc::clone(&cipher)));
        Ok(cipher)
    }

    fn associated(&self, header: &[u8], field: &str, owner: &str) -> Vec<u8> {
        in_lengths(&[b"oneknock sealed field", header, self.mandate.as_bytes(), field.as_bytes(), owner.as_bytes()])
    }

    fn wrapping_associated(&self) -> Vec<u8> {
        in_lengths(&[b"oneknock data key", &[SUITE_AES_256_GCM], &self.key_id, self.mandate.as_bytes()])
    }
}

/// Parts one behind the other, each after its length (8 bytes, big-endian).
fn in_lengths(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn encrypt(cipher: &Aes256Gcm, nonce: &[u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only texts of 64 GiB and more")]
    let tag = cipher.encrypt_in_place_detached(nonce.into(), associated, text).expect("under 64 GiB");
    tag.into()
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
        Sealer::new("m", &[9; 32], [1, 2, 3, 4])
    }

    #[test]
    fn a_data_key_goes_after_an_hour_or_when_it_is_used_up() {
        let sealer = sealer();
        let start = Instant::now();
        let first = sealer.data_key(start);
        assert!(Arc::ptr_eq(&first, &sealer.data_key(start + DATA_KEY_AGE_MAX - Duration::from_millis(1))));
        let second = sealer.data_key(start + DATA_KEY_AGE_MAX);
        assert_ne!(first.wrapped, second.wrapped);

        second.messages.store(DATA_KEY_MESSAGES_MAX - 1, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&second, &sealer.data_key(start + DATA_KEY_AGE_MAX)));
        let third = sealer.data_key(start + DATA_KEY_AGE_MAX);
        assert_ne!(second.wrapped, third.wrapped);
        assert_eq!(third.messages.load(Ordering::Relaxed), 1);
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
