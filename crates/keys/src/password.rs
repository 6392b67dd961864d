//! Secrets under a password: argon2id makes a key encryption key of it, once, when the keyring is opened.
//!
//! How dear that is stands in the file `keyring.argon2id` beside the key files, with the salt and a text sealed under the key, by which
//! a wrong password is told from a damaged key file. The file is no secret without the password; lost, no password helps.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use crate::keyring::KeyringError;
use crate::pii::Pii;
use crate::seal::{in_lengths, random};
use crate::suite::{Cipher, Key, Suite};
use crate::wrap::{KeyWrap, WrapError};

/// The file's name: no mandate's, since theirs end in `.json`.
const FILE: &str = "keyring.argon2id";
const FORMAT: &str = "oneknock-keyring";
const VERSION: u32 = 1;

/// Characters that a password has at least. What `oneknock init` draws has 64.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// A file of somebody else's must not make this process take all memory there is.
const MOST: Cost = Cost { memory_kib: 1 << 20, passes: 64, lanes: 16 };

/// What one guess at the password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// How often all of it is gone over.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second choice of RFC 9106: 64 MiB, three passes, four lanes.
    fn default() -> Self {
        Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl Cost {
    /// The least that argon2 takes: for tests, which open hundreds of keyrings.
    pub const LEAST: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
}

/// A drawn password: 256 random bits as 64 hexadecimal digits.
#[must_use]
pub fn draw_password() -> Pii<String> {
    Pii::new(hex::encode(*Zeroizing::new(random::<32>())))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    suite: u8,
    cost: Cost,
    salt: String,
    check: String,
}

/// The key of a password.
pub struct Password {
    suite: Suite,
    kek: Cipher,
}

impl Password {
    /// Draws a salt and writes the file.
    pub fn create(dir: &Path, suite: Suite, password: &Pii<String>, cost: Cost) -> Result<Self, KeyringError> {
        if password.expose().chars().count() < PASSWORD_CHARS_MIN {
            return Err(KeyringError::ShortPassword);
        }
        let path = dir.join(FILE);
        let salt = random::<16>();
        let kek = stretch(&path, suite, password, cost, &salt)?;
        let mut check = Vec::new();
        kek.seal(&check_associated(suite), &[], &mut check);
        let (salt, check) = (hex::encode(salt), hex::encode(check));
        let file = File { format: FORMAT.to_owned(), version: VERSION, suite: suite.id(), cost, salt, check };
        #[expect(clippy::expect_used, reason = "texts and numbers always have a JSON form")]
        files::create(&path, &serde_json::to_vec(&file).expect("texts and numbers are JSON"))?;
        Ok(Self { suite, kek })
    }

    /// Makes the key of the password, which takes a good part of a second, and looks whether it is the right one.
    pub fn open(dir: &Path, password: &Pii<String>) -> Result<Self, KeyringError> {
        let path = dir.join(FILE);
        let text = files::read(&path).map_err(|error| match error {
            FileError::Missing(path) => KeyringError::Lost(path),
            error => error.into(),
        })?;
        let damaged = |reason| KeyringError::Content { path: path.clone(), reason };
        let file: File =
            serde_json::from_str(&text).map_err(|_| damaged("it is no JSON of format, version, suite, cost, salt and check"))?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(damaged("its format or version is none that this program knows"));
        }
        let suite = Suite::of_id(file.suite).ok_or_else(|| damaged("its suite is none that this program knows"))?;
        let hexadecimal = |text: &str| hex::decode(text).map_err(|_| damaged("its salt and check are not hexadecimal digits"));
        let (salt, check) = (hexadecimal(&file.salt)?, hexadecimal(&file.check)?);
        let kek = stretch(&path, suite, password, file.cost, &salt)?;
        kek.open(&check_associated(suite), &check).ok_or(KeyringError::WrongPassword)?;
        Ok(Self { suite, kek })
    }

    /// Whether a keyring stands in the directory.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }
}

fn stretch(path: &Path, suite: Suite, password: &Pii<String>, cost: Cost, salt: &[u8]) -> Result<Cipher, KeyringError> {
    let bad_cost = || KeyringError::Content { path: path.to_owned(), reason: "its cost or salt is none that argon2id can be asked for" };
    let Cost { memory_kib, passes, lanes } = cost;
    if memory_kib > MOST.memory_kib || passes > MOST.passes || lanes > MOST.lanes {
        return Err(bad_cost());
    }
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| bad_cost())?;
    let mut key: Key = Zeroizing::new([0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.expose().as_bytes(), salt, key.as_mut_slice()).map_err(|_| bad_cost())?;
    Ok(Cipher::new(suite, key.as_slice()))
}

fn check_associated(suite: Suite) -> Vec<u8> {
    in_lengths(&[b"oneknock keyring", &[suite.id()]])
}

fn secret_associated(mandate: &str) -> Vec<u8> {
    in_lengths(&[b"oneknock secret", mandate.as_bytes()])
}

impl KeyWrap for Password {
    fn begin(&self, _mandate: &str) -> Result<(), WrapError> {
        Ok(())
    }

    fn renew(&self, _mandate: &str) -> Result<(), WrapError> {
        Ok(())
    }

    fn draw(&self, mandate: &str) -> Result<(Key, String), WrapError> {
        let secret = Zeroizing::new(random::<32>());
        let mut wrapped = Vec::new();
        self.kek.seal(&secret_associated(mandate), secret.as_slice(), &mut wrapped);
        Ok((secret, hex::encode(wrapped)))
    }

    fn unwrap(&self, mandate: &str, wrapped: &[&str]) -> Result<Vec<Key>, WrapError> {
        let open = |wrapped: &&str| {
            let opened = hex::decode(wrapped).ok().and_then(|wrapped| self.kek.open(&secret_associated(mandate), &wrapped));
            let secret = opened.filter(|opened| opened.len() == 32).ok_or(WrapError::Foreign)?;
            let mut key: Key = Zeroizing::new([0; 32]);
            key.copy_from_slice(&secret);
            Ok(key)
        };
        wrapped.iter().map(open).collect()
    }

    /// The wrapped forms are the only copies: the file that holds them goes.
    fn destroy(&self, _mandate: &str) -> Result<(), WrapError> {
        Ok(())
    }

    fn suite(&self) -> Option<Suite> {
        Some(self.suite)
    }
}
