//! What keeps the secrets of mandates while they lie on a disk: the key of a password, or a key service. A trait, so that the keyring
//! is one and the same over both.
//!
//! A new keeper is a file of its own. Must not know what the secrets are for, nor where their wrapped forms lie.

use crate::suite::{Key, Suite};

/// Draws, opens and ends secrets of mandates.
pub(crate) trait KeyWrap: Send + Sync {
    /// Makes ready for a mandate's first secret.
    fn begin(&self, mandate: &str) -> Result<(), WrapError>;

    /// Later secrets are wrapped by another key than earlier ones, where the keeper has keys of its own.
    fn renew(&self, mandate: &str) -> Result<(), WrapError>;

    /// A new secret of 32 bytes, and its wrapped form, one word of ASCII.
    fn draw(&self, mandate: &str) -> Result<(Key, String), WrapError>;

    /// The secrets of wrapped forms, in their order.
    fn unwrap(&self, mandate: &str, wrapped: &[&str]) -> Result<Vec<Key>, WrapError>;

    /// Makes all wrapped forms of a mandate worthless, as far as this is in the keeper's hands. Done already is done.
    fn destroy(&self, mandate: &str) -> Result<(), WrapError>;

    /// The suite it is bound to, where it is bound to one.
    fn suite(&self) -> Option<Suite> {
        None
    }
}

/// Why a keeper does not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrapError {
    /// It was never wrapped here, or was changed.
    #[error("it was wrapped elsewhere, or changed since")]
    Foreign,
    /// The mandate's key is no longer here: nobody opens it any more.
    #[error("the key service holds no key for this mandate any more")]
    Gone,
    /// It cannot be asked now: what it would say is unknown.
    #[error("{0}")]
    Away(String),
}
