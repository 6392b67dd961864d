//! Keys of mandates and what is made with them: tokens, ids, sealed fields; and the tokens that callers sign in with.
//!
//! A mandate's keys live in files of their own and nowhere else: never in a topic, a cache or a backup. Without them
//! nobody can link a token to a person or open a sealed field, which is how a mandate ends. This crate must not know
//! topics, the network or what a record means.

mod derive;
pub mod files;
mod keyring;
mod mandate;
mod oidc;
mod pii;
mod seal;
mod sign_in;
mod tokens_file;

pub use files::FileError;
pub use keyring::{Keyring, KeyringError};
pub use mandate::MandateKeys;
pub use oidc::{Denied, Fetch, Oidc};
pub use pii::Pii;
pub use seal::{OpenError, random};
pub use sign_in::{SignIn, bearer};
pub use tokens_file::{Entry, SourceEntry, SupervisorEntry, TokensError, TokensFile, WorkerEntry};
