//! The keys of one mandate: tokens, event ids, source references, and the door to sealing.
//!
//! Must not know where the secrets are kept. All keys are derived once, when the mandate is opened; after that a token is two blocks of
//! hashing. What is computed here stands in topics: a change of it is a change of every id. Whoever holds a [`MandateKeys`] holds it
//! only as long as the keyring says so: once let go, the keys are wiped, and every further call fails.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use events::identifier::{IdentifierKind, Token};

use crate::derive::{derive, digest, first_half};
use crate::pii::Pii;
use crate::seal::{KeyId, OpenError, Sealer, WrappingKey};
use crate::suite::{Cipher, Key, KeyedHash, Suite};

/// The mandate's keys were destroyed, or the keyring can no longer vouch for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the mandate are not here any more")]
pub struct KeysGone;

/// All keys of one mandate, ready for use; shared between threads.
pub struct MandateKeys {
    mandate: String,
    /// `None` once they were let go.
    keys: RwLock<Option<Box<Keys>>>,
}

struct Keys {
    /// By [`IdentifierKind::index`].
    tokens: [KeyedHash; IdentifierKind::ALL.len()],
    event_id: KeyedHash,
    source_ref: KeyedHash,
    sealer: Sealer,
}

impl Keys {
    fn derive(mandate: &str, suite: Suite, root: &Key, later: &[Key]) -> Box<Self> {
        let keyed_root = KeyedHash::new(suite, root.as_slice());
        let keyed = |purpose: &str| KeyedHash::new(suite, derive(&keyed_root, mandate, purpose).as_slice());
        let wrapping = std::iter::once(root).chain(later).map(|secret| {
            let secret = KeyedHash::new(suite, secret.as_slice());
            let cipher = Cipher::new(suite, derive(&secret, mandate, "wrapping key").as_slice());
            WrappingKey { id: key_id_of(&secret, mandate), cipher }
        });
        Box::new(Self {
            tokens: IdentifierKind::ALL.map(|kind| keyed(&format!("token/{kind}"))),
            event_id: keyed("event_id"),
            source_ref: keyed("source_ref"),
            sealer: Sealer::new(mandate, suite, wrapping.collect()),
        })
    }
}

/// Names a secret of a mandate without showing it.
pub(crate) fn key_id(suite: Suite, mandate: &str, secret: &Key) -> KeyId {
    key_id_of(&KeyedHash::new(suite, secret.as_slice()), mandate)
}

fn key_id_of(secret: &KeyedHash, mandate: &str) -> KeyId {
    let digest = derive(secret, mandate, "wrapping key id");
    [digest[0], digest[1], digest[2], digest[3]]
}

impl MandateKeys {
    /// Derives all keys of `mandate` from its secrets of 32 bytes: the root, of which tokens and ids come for as long as the mandate
    /// lasts and under which the first values are sealed, and one for each rotation of the wrapping key since. The same secrets under
    /// another mandate's name or suite give other keys.
    #[must_use]
    pub fn derive(mandate: &str, suite: Suite, root: &Key, later: &[Key]) -> Self {
        Self { mandate: mandate.to_owned(), keys: RwLock::new(Some(Keys::derive(mandate, suite, root, later))) }
    }

    /// Takes other secrets of the same mandate in, for everybody who holds this.
    pub(crate) fn renew(&self, suite: Suite, root: &Key, later: &[Key]) {
        let fresh = Keys::derive(&self.mandate, suite, root, later);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
    }

    /// Wipes the keys, for everybody who holds this. What is under way is waited for.
    pub(crate) fn let_go(&self) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The mandate's id.
    #[must_use]
    pub fn mandate(&self) -> &str {
        &self.mandate
    }

    /// The ids of the wrapping key's versions, oldest first; they tell secrets apart without showing them. Empty once let go.
    pub(crate) fn key_ids(&self) -> Vec<KeyId> {
        self.with(|keys| keys.sealer.key_ids().collect()).unwrap_or_default()
    }

    fn with<T>(&self, work: impl FnOnce(&Keys) -> T) -> Result<T, KeysGone> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).as_deref().map(work).ok_or(KeysGone)
    }

    /// The token of an identifier in its normal form (see `events::normal`).
    ///
    /// # Errors
    /// [`KeysGone`].
    pub fn token(&self, kind: IdentifierKind, normal_form: &str) -> Result<Token, KeysGone> {
        // The form stands alone under a key of its own, so it needs no length.
        self.with(|keys| Token(first_half(&keys.tokens[kind.index()].over(|add| add(normal_form.as_bytes())))))
    }

    /// The id of an event: the same for the same content under the same agency's id, whoever computes it.
    ///
    /// `content_digest` is a digest of the record's fields without event_id and received_at, before sealing.
    ///
    /// # Errors
    /// [`KeysGone`].
    pub fn event_id(&self, source: &str, agency_id: &str, content_digest: &[u8]) -> Result<[u8; 16], KeysGone> {
        self.with(|keys| first_half(&digest(&keys.event_id, &[source.as_bytes(), agency_id.as_bytes(), content_digest])))
    }

    /// What stands for the agency's own id, which may be a person's number and goes no further.
    ///
    /// # Errors
    /// [`KeysGone`].
    pub fn source_ref(&self, source: &str, agency_id: &str) -> Result<[u8; 16], KeysGone> {
        self.with(|keys| first_half(&digest(&keys.source_ref, &[source.as_bytes(), agency_id.as_bytes()])))
    }

    /// Seals a value for one field of one owner (an event id, or `mandate/household`). Sealing the same value twice
    /// gives different bytes. Its length shows: what is sealed is longer than `plaintext` by 93 bytes, or 77 in suite 2.
    ///
    /// # Errors
    /// [`KeysGone`].
    pub fn seal(&self, field: &str, owner: &str, plaintext: &[u8]) -> Result<Vec<u8>, KeysGone> {
        self.with(|keys| keys.sealer.seal(field, owner, plaintext))
    }

    /// Opens what [`Self::seal`] made for the same field and owner under the same mandate.
    ///
    /// # Errors
    /// [`OpenError`] if anything of it is another: mandate, field, owner or a single bit.
    pub fn open(&self, field: &str, owner: &str, sealed: &[u8]) -> Result<Pii<Vec<u8>>, OpenError> {
        self.with(|keys| keys.sealer.open(field, owner, sealed))?
    }
}

impl fmt::Debug for MandateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MandateKeys").field("mandate", &self.mandate).finish_non_exhaustive()
    }
}
