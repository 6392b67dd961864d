//! The keys of one mandate: tokens, event ids, source references, and the door to sealing.
//!
//! Must not know where the root is kept. All keys are derived once, when the mandate is opened; after that a token is
//! two blocks of SHA-256. What is computed here stands in topics: a change of it is a change of every id.

use std::fmt;

use events::identifier::{IdentifierKind, Token};

use crate::derive::{KeyedHash, derive, digest, first_half, keyed};
use crate::pii::Pii;
use crate::seal::{OpenError, Sealer};

/// All keys of one mandate, ready for use; shared between threads.
pub struct MandateKeys {
    mandate: String,
    /// By [`IdentifierKind::index`].
    tokens: [KeyedHash; IdentifierKind::ALL.len()],
    event_id: KeyedHash,
    source_ref: KeyedHash,
    sealer: Sealer,
}

impl MandateKeys {
    /// Derives all keys of `mandate` from its root of 32 secret bytes. The same root under another mandate's name
    /// gives other keys.
    #[must_use]
    pub fn derive(mandate: &str, root: &[u8; 32]) -> Self {
        let root = keyed(root);
        let key = |purpose: &str| derive(&root, mandate, purpose);
        let key_id = key("wrapping key id");
        Self {
            mandate: mandate.to_owned(),
            tokens: IdentifierKind::ALL.map(|kind| keyed(&key(&format!("token/{kind}")))),
            event_id: keyed(&key("event_id")),
            source_ref: keyed(&key("source_ref")),
            sealer: Sealer::new(mandate, &key("wrapping key"), [key_id[0], key_id[1], key_id[2], key_id[3]]),
        }
    }

    /// The mandate's id.
    #[must_use]
    pub fn mandate(&self) -> &str {
        &self.mandate
    }

    /// Tells two roots apart without showing either.
    pub(crate) fn key_id(&self) -> [u8; 4] {
        self.sealer.key_id()
    }

    /// The token of an identifier in its normal form (see `events::normal`).
    #[must_use]
    pub fn token(&self, kind: IdentifierKind, normal_form: &str) -> Token {
        use hmac::Mac;
        // The form stands alone under a key of its own, so it needs no length.
        let hash = self.tokens[kind.index()].clone().chain_update(normal_form);
        Token(first_half(hash.finalize().into_bytes().into()))
    }

    /// The id of an event: the same for the same content under the same agency's id, whoever computes it.
    ///
    /// `content_digest` is a digest of the record's fields without event_id and received_at, before sealing.
    #[must_use]
    pub fn event_id(&self, source: &str, agency_id: &str, content_digest: &[u8]) -> [u8; 16] {
        first_half(*digest(&self.event_id, &[source.as_bytes(), agency_id.as_bytes(), content_digest]))
    }

    /// What stands for the agency's own id, which may be a person's number and goes no further.
    #[must_use]
    pub fn source_ref(&self, source: &str, agency_id: &str) -> [u8; 16] {
        first_half(*digest(&self.source_ref, &[source.as_bytes(), agency_id.as_bytes()]))
    }

    /// Seals a value for one field of one owner (an event id, or `mandate/household`). Sealing the same value twice
    /// gives different bytes. Its length shows: what is sealed is 93 bytes longer than `plaintext`.
    #[must_use]
    pub fn seal(&self, field: &str, owner: &str, plaintext: &[u8]) -> Vec<u8> {
        self.sealer.seal(field, owner, plaintext)
    }

    /// Opens what [`Self::seal`] made for the same field and owner under the same mandate.
    ///
    /// # Errors
    /// [`OpenError`] if anything of it is another: mandate, field, owner or a single bit.
    pub fn open(&self, field: &str, owner: &str, sealed: &[u8]) -> Result<Pii<Vec<u8>>, OpenError> {
        self.sealer.open(field, owner, sealed)
    }
}

impl fmt::Debug for MandateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MandateKeys").field("mandate", &self.mandate).finish_non_exhaustive()
    }
}
