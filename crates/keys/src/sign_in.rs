//! Who calls: bearer tokens are looked up by their hash. What a caller may do is `domain::authorize`'s word.
//!
//! Must not know HTTP. A server keeps only hashes: what its memory shows lets nobody in.

use std::collections::HashMap;
use std::sync::Arc;

use events::Actor;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::oidc::{Denied, Oidc};
use crate::tokens_file::TokensFile;

type Hash = [u8; 32];

/// All callers of a site: those of tokens.json by the hash of their token, and those whom an OpenID provider vouches for.
pub struct SignIn {
    /// By the hash's first 8 bytes. That finding the slot takes a varying time tells nothing: nobody can choose the
    /// hash of a guess, and the guess itself is compared in constant time.
    actors: HashMap<[u8; 8], Vec<(Hash, Arc<Actor>)>>,
    oidc: Option<Oidc>,
}

impl SignIn {
    /// Hashes what the file holds in clear.
    #[must_use]
    pub fn new(file: &TokensFile) -> Self {
        let mut actors: HashMap<_, Vec<_>> = HashMap::new();
        for (token, actor) in file.actors() {
            let (slot, hash) = hashed(token.expose());
            actors.entry(slot).or_default().push((hash, Arc::new(actor)));
        }
        Self { actors, oidc: None }
    }

    /// And whoever a provider vouches for.
    #[must_use]
    pub fn with(self, oidc: Oidc) -> Self {
        Self { oidc: Some(oidc), ..self }
    }

    /// Whose token this is, in tokens.json or by the provider's word.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn actor(&self, token: &str) -> Result<Arc<Actor>, Denied> {
        match (self.local(token), &self.oidc) {
            (Some(actor), _) => Ok(actor),
            (None, Some(oidc)) => oidc.actor(token).await,
            (None, None) => Err(Denied::Unknown),
        }
    }

    /// Whose token of tokens.json this is; `None` for anything else.
    #[must_use]
    pub fn local(&self, token: &str) -> Option<Arc<Actor>> {
        let (slot, hash) = hashed(token);
        let found = self.actors.get(&slot)?.iter().find(|(known, _)| bool::from(known.ct_eq(&hash)));
        found.map(|(_, actor)| Arc::clone(actor))
    }
}

/// The token of an `Authorization` header of the scheme `Bearer`.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn hashed(token: &str) -> ([u8; 8], Hash) {
    let hash: Hash = Sha256::digest(token).into();
    let mut slot = [0; 8];
    slot.copy_from_slice(&hash[..8]);
    (slot, hash)
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}
