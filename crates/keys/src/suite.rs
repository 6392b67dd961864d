//! The two families of algorithms: AES-256-GCM with HMAC-SHA-256, and China's SM4-GCM with HMAC-SM3.
//!
//! Everything else in this crate asks here for a keyed hash or a cipher and does not know which it got. Must not know what is hashed
//! or sealed. Keys inside both are wiped when they go.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, AesGcm, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sm3::Sm3;
use zeroize::Zeroizing;

use crate::seal::random;

/// A key of 32 bytes, wiped when it goes.
pub type Key = Zeroizing<[u8; 32]>;

/// Bytes of a nonce, in both suites.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag, in both suites.
pub const TAG_BYTES: usize = 16;

type Sm4Gcm = AesGcm<sm4::Sm4, aes_gcm::aead::consts::U12>;

/// Which algorithms a mandate's keys are for. Chosen when they are drawn; they never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-256-GCM and HMAC-SHA-256.
    #[default]
    Aes,
    /// SM4-GCM and HMAC-SM3 (GB/T 32907, GB/T 32905).
    Sm,
}

impl Suite {
    /// All of them.
    pub const ALL: [Suite; 2] = [Suite::Aes, Suite::Sm];

    /// The first byte of every sealed value, and the number in a key file.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Suite::Aes => 1,
            Suite::Sm => 2,
        }
    }

    /// The suite of an id.
    #[must_use]
    pub fn of_id(id: u8) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// Bytes of the cipher's key.
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Suite::Aes => 32,
            Suite::Sm => 16,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Suite::Aes => "aes",
            Suite::Sm => "sm",
        })
    }
}

/// A word that names no suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected aes (AES-256-GCM, HMAC-SHA-256) or sm (SM4-GCM, HMAC-SM3)")]
pub struct UnknownSuite;

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        Suite::ALL.into_iter().find(|suite| suite.to_string() == text).ok_or(UnknownSuite)
    }
}

/// An HMAC with its key already taken in: cloning it costs 200 bytes of copying instead of two blocks of hashing.
#[derive(Clone)]
pub enum KeyedHash {
    Sha256(Hmac<Sha256>),
    Sm3(Hmac<Sm3>),
}

impl KeyedHash {
    /// Takes in a key of any length.
    pub fn new(suite: Suite, key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length; only its trait speaks of an error")]
        match suite {
            Suite::Aes => KeyedHash::Sha256(KeyInit::new_from_slice(key).expect("HMAC takes keys of any length")),
            Suite::Sm => KeyedHash::Sm3(KeyInit::new_from_slice(key).expect("HMAC takes keys of any length")),
        }
    }

    /// HMAC over what `feed` adds, one piece behind the other.
    pub fn over(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Key {
        fn finish<M: Mac + Clone>(keyed: &M, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Key {
            let mut hash = keyed.clone();
            feed(&mut |piece| hash.update(piece));
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(&hash.finalize().into_bytes());
            key
        }
        match self {
            KeyedHash::Sha256(keyed) => finish(keyed, feed),
            KeyedHash::Sm3(keyed) => finish(keyed, feed),
        }
    }
}

/// An authenticated cipher with its key taken in. What it makes is nonce (12) | ciphertext | tag (16), with a random nonce.
pub enum Cipher {
    Aes(Box<Aes256Gcm>),
    Sm4(Box<Sm4Gcm>),
}

impl Cipher {
    /// Takes in the first bytes of the key, as many as the suite's cipher has.
    pub fn new(suite: Suite, key: &[u8]) -> Self {
        let key = &key[..suite.key_bytes()];
        #[expect(clippy::expect_used, reason = "the key has just been cut to the cipher's length")]
        match suite {
            Suite::Aes => Cipher::Aes(Box::new(KeyInit::new_from_slice(key).expect("32 bytes"))),
            Suite::Sm => Cipher::Sm4(Box::new(KeyInit::new_from_slice(key).expect("16 bytes"))),
        }
    }

    /// Appends what it makes of the plaintext.
    pub fn seal(&self, associated: &[u8], plaintext: &[u8], sealed: &mut Vec<u8>) {
        self.seal_with(random::<NONCE_BYTES>(), associated, plaintext, sealed);
    }

    /// The same with a nonce that this key has not met and will not meet again.
    pub fn seal_with(&self, nonce: [u8; NONCE_BYTES], associated: &[u8], plaintext: &[u8], sealed: &mut Vec<u8>) {
        sealed.reserve_exact(NONCE_BYTES + plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        let begin = sealed.len();
        sealed.extend_from_slice(plaintext);
        let text = InOutBuf::from(&mut sealed[begin..]);
        let nonce = Nonce::from(nonce);
        let tag = match self {
            Cipher::Aes(cipher) => cipher.encrypt_inout_detached(&nonce, associated, text),
            Cipher::Sm4(cipher) => cipher.encrypt_inout_detached(&nonce, associated, text),
        };
        #[expect(clippy::expect_used, reason = "GCM refuses only texts of 64 GiB and more")]
        sealed.extend_from_slice(&tag.expect("under 64 GiB"));
    }

    /// What was sealed; `None` where a single bit of it, of the key or of `associated` is another.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let (nonce, tag, buffer) = (Nonce::from(*nonce), Tag::from(*tag), InOutBuf::from(text.as_mut_slice()));
        let opened = match self {
            Cipher::Aes(cipher) => cipher.decrypt_inout_detached(&nonce, associated, buffer, &tag),
            Cipher::Sm4(cipher) => cipher.decrypt_inout_detached(&nonce, associated, buffer, &tag),
        };
        opened.ok().map(|()| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The file says where its vectors are from.
    fn vectors(of: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../tests/vectors/sm.json")).unwrap();
        all[of].as_array().unwrap().clone()
    }

    fn bytes(vector: &Value, name: &str) -> Vec<u8> {
        hex::decode(vector[name].as_str().unwrap()).unwrap()
    }

    #[test]
    fn hmac_sm3_makes_what_another_library_makes() {
        let vectors = vectors("hmac_sm3");
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let hash = KeyedHash::new(Suite::Sm, &bytes(&vector, "key"));
            let made = hash.over(|add| add(&bytes(&vector, "message")));
            assert_eq!(hex::encode(made.as_slice()), vector["mac"].as_str().unwrap(), "{}", vector["note"]);
        }
    }

    #[test]
    fn sm4_gcm_and_aes_256_gcm_make_what_the_standards_say() {
        for (of, suite) in [("sm4_gcm", Suite::Sm), ("aes_256_gcm", Suite::Aes)] {
            for vector in vectors(of) {
                let cipher = Cipher::new(suite, &bytes(&vector, "key"));
                let (aad, plaintext) = (bytes(&vector, "aad"), bytes(&vector, "plaintext"));
                let mut sealed = Vec::new();
                cipher.seal_with(bytes(&vector, "iv").try_into().unwrap(), &aad, &plaintext, &mut sealed);
                let expected = [bytes(&vector, "iv"), bytes(&vector, "ciphertext"), bytes(&vector, "tag")].concat();
                assert_eq!(hex::encode(&sealed), hex::encode(expected), "{}", vector["note"]);
                assert_eq!(cipher.open(&aad, &sealed).unwrap().as_slice(), plaintext);
                for at in 0..sealed.len() {
                    sealed[at] ^= 1;
                    assert!(cipher.open(&aad, &sealed).is_none(), "{at}");
                    sealed[at] ^= 1;
                }
                assert!(cipher.open(&aad, &sealed[..NONCE_BYTES + TAG_BYTES - 1]).is_none());
            }
        }
    }

    #[test]
    fn keys_are_wiped_when_they_go() {
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        // An HMAC is two states of its hash.
        wiped::<Sha256>();
        wiped::<Sm3>();
        wiped::<Aes256Gcm>();
        wiped::<Sm4Gcm>();
        wiped::<Key>();
    }

    #[test]
    fn a_suite_has_one_name_and_one_number() {
        for suite in Suite::ALL {
            assert_eq!(suite.to_string().parse(), Ok(suite));
            assert_eq!(Suite::of_id(suite.id()), Some(suite));
        }
        assert_eq!("des".parse::<Suite>(), Err(UnknownSuite));
        assert_eq!(Suite::of_id(0), None);
    }
}
