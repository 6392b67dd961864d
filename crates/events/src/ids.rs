//! Ids that are computed, never drawn: the same input makes the same id, on every machine and in every replay.

use crate::avro::{Avro, AvroError, Fixed16, read_str};
use crate::identifier::{Identifier, IdentifierKind, Token};
use arrayvec::ArrayString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// An event: 16 bytes, on the wire 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// As it stands in a signal.
    pub fn fixed(self) -> Fixed16 {
        Fixed16(self.0)
    }
}

impl EventId {
    /// Its 32 hex digits.
    pub fn text(self) -> [u8; 32] {
        hex_digits(self.0)
    }
}

impl From<Fixed16> for EventId {
    fn from(fixed: Fixed16) -> EventId {
        EventId(fixed.0)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for EventId {
    type Err = AvroError;
    fn from_str(text: &str) -> Result<EventId, AvroError> {
        digits(text.as_bytes()).map(EventId).ok_or(AvroError::Impossible("event id"))
    }
}

/// A visit: 32 hex digits; empty where there was none yet.
pub type TaskId = ArrayString<32>;
/// A traveller: its strongest token, `-`, 16 hex digits.
pub type TravellerId = ArrayString<49>;

/// 32 lower-case hex digits of 16 bytes.
pub(crate) fn hex_digits(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (at, byte) in bytes.into_iter().enumerate() {
        (text[2 * at], text[2 * at + 1]) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
    }
    text
}

/// 16 bytes of 32 hex digits.
pub(crate) fn digits(text: &[u8]) -> Option<[u8; 16]> {
    const NONE: u8 = 0xff;
    const VALUES: [u8; 256] = {
        let (mut values, mut at) = ([NONE; 256], 0_u8);
        while at < 16 {
            values[b"0123456789abcdef"[at as usize] as usize] = at;
            values[b"0123456789ABCDEF"[at as usize] as usize] = at;
            at += 1;
        }
        values
    };
    let text: &[u8; 32] = text.try_into().ok()?;
    let (mut bytes, mut wrong) = ([0; 16], 0);
    for (at, byte) in bytes.iter_mut().enumerate() {
        let (high, low) = (VALUES[usize::from(text[2 * at])], VALUES[usize::from(text[2 * at + 1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    (wrong & 0xf0 == 0).then_some(bytes)
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Avro for EventId {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("string")
    }
    fn write(&self, out: &mut Vec<u8>) {
        // 32, as Avro writes it.
        out.push(64);
        out.extend_from_slice(&self.text());
    }
    fn read(input: &mut &[u8]) -> Result<EventId, AvroError> {
        read_str(input)?.parse()
    }
}

impl Avro for Token {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("string")
    }
    fn write(&self, out: &mut Vec<u8>) {
        EventId(self.0).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Token, AvroError> {
        read_str(input)?.parse().map_err(|_| AvroError::Impossible("token"))
    }
}

impl Avro for IdentifierKind {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        if !seen.insert("IdentifierKind") {
            return json!("IdentifierKind");
        }
        let symbols: Vec<&str> = IdentifierKind::ALL.iter().map(|kind| kind.as_str()).collect();
        json!({"type": "enum", "name": "IdentifierKind", "doc": "Strongest first.", "symbols": symbols})
    }
    fn write(&self, out: &mut Vec<u8>) {
        (self.index() as i32).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<IdentifierKind, AvroError> {
        let at = i32::read(input)?;
        usize::try_from(at).ok().and_then(|at| IdentifierKind::ALL.get(at)).copied().ok_or(AvroError::Impossible("symbol"))
    }
}

impl Avro for Identifier {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        if !seen.insert("Identifier") {
            return json!("Identifier");
        }
        let kind = IdentifierKind::schema(seen);
        json!({"type": "record", "name": "Identifier", "doc": "One identifier of somebody or something: never the clear value.", "fields": [
            {"name": "kind", "type": kind},
            {"name": "token", "type": "string", "doc": "32 hex digits: HMAC of the normal form under the key of mandate and kind."},
        ]})
    }
    fn write(&self, out: &mut Vec<u8>) {
        self.kind.write(out);
        self.token.write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Identifier, AvroError> {
        Ok(Identifier { kind: Avro::read(input)?, token: Avro::read(input)? })
    }
}

/// The traveller: strongest token, `-`, 16 hex digits of SHA-256(the other tokens in order, the declared grid). `None` without identifiers.
pub fn traveller_id(identifiers: &[Identifier], declared_grid: Option<&str>) -> Option<TravellerId> {
    let mut id = String::with_capacity(49);
    write_traveller_id(identifiers, declared_grid, &mut id).then(|| TravellerId::from(&id).ok()).flatten()
}

/// The same, appended. Whether there are identifiers.
pub fn write_traveller_id(identifiers: &[Identifier], declared_grid: Option<&str>, out: &mut String) -> bool {
    let Some((strongest, others)) = identifiers.split_first() else { return false };
    let mut digest = Sha256::new();
    for identifier in others {
        digest.update(EventId(identifier.token.0).text());
    }
    digest.update(b"/");
    digest.update(declared_grid.unwrap_or_default());
    out.push_str(text_of(&EventId(strongest.token.0).text()));
    out.push('-');
    let digest = digest.finalize();
    let mut head = [0; 16];
    head[..8].copy_from_slice(&digest[..8]);
    out.push_str(&text_of(&EventId(head).text())[..16]);
    true
}

fn text_of(digits: &[u8; 32]) -> &str {
    // Hex digits are ASCII.
    std::str::from_utf8(digits).unwrap_or_default()
}

/// The visit: 32 hex digits of SHA-256(mandate, household, episode), each behind its length.
pub fn task_id(mandate: &str, household: &str, episode: i64) -> TaskId {
    let mut digest = Sha256::new();
    for part in [mandate.as_bytes(), household.as_bytes(), &episode.to_be_bytes()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    TaskId::from(text_of(&EventId(id).text())).unwrap_or_default()
}

/// First 8 bytes of a digest over parts, each behind its length: for recognising, not for secrecy.
pub fn digest64(parts: &[&[u8]]) -> i64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    i64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}
