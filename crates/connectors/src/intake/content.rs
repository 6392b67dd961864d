//! The digest of a record's content, which makes its event id: the same whatever the order of keys, the spelling of an identifier or
//! the offset of a time, and another as soon as one field says something else.
//!
//! Over typed fields by name, so that a field that comes later changes the id of no record that lacks it.

use sha2::{Digest, Sha256};

/// A digest in the making.
pub struct Content(Sha256);

impl Content {
    /// Of a kind of record.
    pub fn of(kind: &str) -> Content {
        let mut content = Content(Sha256::new());
        content.part(b"oneknock content 1");
        content.part(kind.as_bytes());
        content
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// A text field; an absent one leaves no trace.
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(value.as_bytes());
        }
    }

    /// A number field; an absent one leaves no trace.
    pub fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(&value.to_be_bytes());
        }
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
