//! The list of what was erased at a person's request, so that no import brings it back: tokens alone, as records of
//! `registry.identifiers.v1` without households (`domain::resolve::is_erased`).
//!
//! A household's address and contact stand in it as a token of their own kind, made of the field and the household. It ends with the
//! mandate, as every token does.

use events::{IdentifierKind, Token, normal};
use keys::{KeysGone, MandateKeys};
use std::collections::HashSet;

/// Tokens of what was erased.
#[derive(Default)]
pub struct Erased(HashSet<Token>);

impl Erased {
    /// Adds one.
    pub fn insert(&mut self, token: Token) {
        self.0.insert(token);
    }

    /// Takes one off.
    pub fn remove(&mut self, token: &Token) {
        self.0.remove(token);
    }

    /// Whether it stands there.
    pub fn has(&self, token: Token) -> bool {
        self.0.contains(&token)
    }

    /// Whether this field of this household does. Costs nothing where nothing was ever erased.
    pub fn has_field(&self, field: &str, household: &str, keys: &MandateKeys) -> Result<bool, KeysGone> {
        Ok(!self.0.is_empty() && self.has(field_token(field, household, keys)?))
    }

    /// Whether a contact's phone does, as far as it is one.
    pub fn has_phone(&self, phone: Option<&str>, keys: &MandateKeys) -> Result<bool, KeysGone> {
        let form = phone.filter(|_| !self.0.is_empty()).and_then(|phone| normal::phone(phone).ok());
        Ok(match form {
            Some(form) => self.has(keys.token(IdentifierKind::Phone, &form)?),
            None => false,
        })
    }
}

/// What stands for a household's `address` or `contact`. No address has a normal form that ends like this.
pub fn field_token(field: &str, household: &str, keys: &MandateKeys) -> Result<Token, KeysGone> {
    keys.token(IdentifierKind::Address, &format!("{field}/{household}|"))
}
