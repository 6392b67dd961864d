//! Who calls: bearer tokens are looked up by their hash, and what a caller may do hangs on its role.
//!
//! Must not know HTTP. A server keeps only hashes: what its memory shows lets nobody in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use events::SourceKind;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::tokens_file::TokensFile;

/// A caller that has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its name in tokens.json: a source's name, a worker's number.
    pub name: String,
    /// What it may do, and where.
    pub role: Role,
}

/// What a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// An agency's system, which sends events of these kinds.
    Source {
        /// The kinds it may send.
        kinds: BTreeSet<SourceKind>,
    },
    /// A grid worker, who sees the tasks of these grids.
    Worker {
        /// Grid codes.
        grids: Scope,
    },
    /// A supervisor of all grids whose division, subdistrict or community begins with one of these areas.
    Supervisor {
        /// Beginnings of codes.
        areas: Scope,
    },
    /// The ops team: flows, delays and failures, never people.
    Ops,
    /// Governance: mandates, policies, registry.
    Admin,
}

/// Which codes somebody is responsible for: `["*"]` in tokens.json is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every one, also those that come later.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Scope {
    /// As it stands in tokens.json.
    #[must_use]
    pub fn from_list(codes: &[String]) -> Self {
        if codes.iter().any(|code| code == "*") { Self::All } else { Self::Only(codes.iter().cloned().collect()) }
    }

    /// Whether this very code is in it: a worker's grid.
    #[must_use]
    pub fn contains(&self, code: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(codes) => codes.contains(code),
        }
    }

    /// Whether the code begins with one of them: a supervisor's area.
    #[must_use]
    pub fn covers(&self, code: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(codes) => codes.iter().any(|area| code.starts_with(area.as_str())),
        }
    }
}

type Hash = [u8; 32];

/// All callers of a site by the hash of their token.
pub struct SignIn {
    /// By the hash's first 8 bytes. That finding the slot takes a varying time tells nothing: nobody can choose the
    /// hash of a guess, and the guess itself is compared in constant time.
    actors: HashMap<[u8; 8], Vec<(Hash, Arc<Actor>)>>,
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
        Self { actors }
    }

    /// Whose token this is; `None` for anything else.
    #[must_use]
    pub fn actor(&self, token: &str) -> Option<Arc<Actor>> {
        let (slot, hash) = hashed(token);
        let found = self.actors.get(&slot)?.iter().find(|(known, _)| bool::from(known.ct_eq(&hash)));
        found.map(|(_, actor)| Arc::clone(actor))
    }
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
