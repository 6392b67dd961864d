//! Who asks: a name, what it is, and where. What each of them may do is `domain::authorize`'s word.

use crate::SourceKind;
use std::collections::BTreeSet;

/// A caller that has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its name where it signs in: a source's name, a worker's number.
    pub name: String,
    /// What it is.
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
    /// Looks whether the rules were kept: books, published heads of the log of reads, mandates and policies.
    Auditor,
    /// Signs mandates, and sees those that there are.
    Signer,
}

impl Role {
    /// Its name, as logs and lists have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Source { .. } => "source",
            Self::Worker { .. } => "worker",
            Self::Supervisor { .. } => "supervisor",
            Self::Ops => "ops",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Signer => "signer",
        }
    }
}

/// Which codes somebody is responsible for: `["*"]` is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every one, also those that come later.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Scope {
    /// As it stands in a list.
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

    /// The codes as a list.
    #[must_use]
    pub fn to_list(&self) -> Vec<&str> {
        match self {
            Self::All => vec!["*"],
            Self::Only(codes) => codes.iter().map(String::as_str).collect(),
        }
    }
}
