//! Keys of mandates and what is made with them: tokens, ids, sealed fields; and the tokens that callers sign in with.
//!
//! A mandate's keys lie wrapped in files of their own and nowhere else: never in a topic, a cache or a backup. Without them nobody can
//! link a token to a person or open a sealed field, which is how a mandate ends. This crate must not know topics, what a record means,
//! or any network but the way to a key service.

mod derive;
pub mod files;
mod key_file;
mod keyring;
mod mandate;
mod oidc;
mod password;
mod pii;
mod seal;
mod sign_in;
mod suite;
mod tokens_file;
mod transit;
mod wrap;

pub use files::FileError;
pub use keyring::{Described, KeptBy, Keyring, KeyringError, Settings};
pub use mandate::{KeysGone, MandateKeys};
pub use oidc::{Denied, Fetch, Oidc};
pub use password::{Cost, draw_password};
pub use pii::Pii;
pub use seal::{OpenError, random};
pub use sign_in::{SignIn, bearer};
pub use suite::{Key, Suite, UnknownSuite};
pub use tokens_file::{Entry, SourceEntry, SupervisorEntry, TokensError, TokensFile, WorkerEntry};
pub use transit::TransitSettings;
