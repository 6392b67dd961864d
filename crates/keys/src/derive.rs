//! Keys out of one root, and digests whose parts cannot run into one another.
//!
//! Must not know what the keys are for; each purpose is a word of its caller.

use crate::suite::{Key, KeyedHash};

/// The version of everything below; another layout is another word here, and other keys.
const DOMAIN: &[u8] = b"oneknock keys 1";

/// The key for one purpose of one mandate.
pub fn derive(root: &KeyedHash, mandate: &str, purpose: &str) -> Key {
    digest(root, &[DOMAIN, mandate.as_bytes(), purpose.as_bytes()])
}

/// HMAC over parts, each behind its length (8 bytes, big-endian), so that no two lists of parts look alike.
pub fn digest(key: &KeyedHash, parts: &[&[u8]]) -> Key {
    key.over(|add| {
        for part in parts {
            add(&(part.len() as u64).to_be_bytes());
            add(part);
        }
    })
}

/// The first 16 bytes of a digest: what becomes an id or a token.
pub fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Suite;

    fn keyed(byte: u8) -> KeyedHash {
        KeyedHash::new(Suite::Aes, &[byte; 32])
    }

    #[test]
    fn parts_never_run_into_one_another() {
        let key = keyed(7);
        let lists: [&[&[u8]]; 6] = [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[b"", b"abc"], &[]];
        for (at, one) in lists.iter().enumerate() {
            for other in &lists[at + 1..] {
                assert_ne!(digest(&key, one), digest(&key, other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn another_root_suite_mandate_or_purpose_is_another_key() {
        let keys = [
            derive(&keyed(1), "m", "wrap"),
            derive(&keyed(2), "m", "wrap"),
            derive(&KeyedHash::new(Suite::Sm, &[1; 32]), "m", "wrap"),
            derive(&keyed(1), "n", "wrap"),
            derive(&keyed(1), "m", "event-id"),
            derive(&keyed(1), "mw", "rap"),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }
}
