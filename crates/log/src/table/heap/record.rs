//! One record as bytes, the same in memory and on disk: a check of everything behind it, the key's length and what kind of record it is,
//! the value's length (each 4 bytes, little-endian), the key, the value.

/// Check, key's length and kind, value's length.
pub const HEAD: usize = 12;

/// More than any log takes; a length above it is none.
const LEN_MAX: usize = 256 << 20;

/// The key is 16 bytes that stand for 32 hexadecimal digits.
const PACKED: u32 = 1;
/// The key has gone.
const GONE: u32 = 2;
/// What was put together with it is complete.
const LAST: u32 = 4;
const KIND_BITS: u32 = 3;

/// A key as it is kept: a token's 32 digits take 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    Packed([u8; 16]),
    Plain(&'a [u8]),
}

impl<'a> Key<'a> {
    pub fn of(text: &'a str) -> Key<'a> {
        packed(text.as_bytes()).map_or(Key::Plain(text.as_bytes()), Key::Packed)
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Key::Packed(bytes) => bytes,
            Key::Plain(bytes) => bytes,
        }
    }

    /// One of the table's own notes.
    pub fn is_note(&self) -> bool {
        matches!(self, Key::Plain([0, ..]))
    }

    /// As it was given.
    pub fn with_text(&self, take: impl FnOnce(&str)) {
        match self {
            Key::Packed(bytes) => take(&hex::encode(bytes)),
            Key::Plain(bytes) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    take(text);
                }
            }
        }
    }
}

const NO_DIGIT: u8 = 16;
/// Lower-case digits alone: one key must have one form.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        digits[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

fn packed(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let (mut bytes, mut seen) = ([0; 16], 0);
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < NO_DIGIT).then_some(bytes)
}

/// A record that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub key: Key<'a>,
    /// None: the key has gone.
    pub value: Option<&'a [u8]>,
    /// What was put together with it is complete.
    pub last: bool,
    /// Bytes that it takes.
    pub len: usize,
}

/// Writes a record; how many bytes it took, or none where it is longer than a record can be.
pub fn write(to: &mut Vec<u8>, key: Key<'_>, value: Option<&[u8]>, last: bool) -> Option<usize> {
    let from = to.len();
    let (key_bytes, value_bytes) = (key.bytes(), value.unwrap_or_default());
    let key_len = u32::try_from(key_bytes.len()).ok().filter(|len| len >> (u32::BITS - KIND_BITS) == 0)?;
    let value_len = u32::try_from(value_bytes.len()).ok()?;
    if key_bytes.len() + value_bytes.len() > LEN_MAX - HEAD {
        return None;
    }
    let kind = [(matches!(key, Key::Packed(_)), PACKED), (value.is_none(), GONE), (last, LAST)];
    let kind: u32 = kind.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&(key_len << KIND_BITS | kind).to_le_bytes());
    head[8..].copy_from_slice(&value_len.to_le_bytes());
    to.extend_from_slice(&head);
    to.extend_from_slice(key_bytes);
    to.extend_from_slice(value_bytes);
    let check = crc32fast::hash(&to[from + 4..]);
    to[from..from + 4].copy_from_slice(&check.to_le_bytes());
    Some(to.len() - from)
}

/// How many bytes the record takes that begins here; none where not even its head is here.
pub fn len(bytes: &[u8]) -> Option<usize> {
    let lengths = bytes.get(4..HEAD)?.as_chunks::<4>().0;
    let (key, value) = (u32::from_le_bytes(lengths[0]) >> KIND_BITS, u32::from_le_bytes(lengths[1]));
    Some((HEAD + key as usize).saturating_add(value as usize))
}

/// The record that begins here; none where it is not whole.
pub fn read(bytes: &[u8]) -> Option<Record<'_>> {
    let len = len(bytes)?;
    let (head, rest) = bytes.get(..len)?.split_at(HEAD);
    let kind = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let (key, value) = rest.split_at((kind >> KIND_BITS) as usize);
    let key = if kind & PACKED == 0 { Key::Plain(key) } else { Key::Packed(key.try_into().ok()?) };
    Some(Record { key, value: (kind & GONE == 0).then_some(value), last: kind & LAST != 0, len })
}

/// The records that these bytes are, one behind the other, each with its own.
pub fn all(mut bytes: &[u8]) -> impl Iterator<Item = (Record<'_>, &[u8])> {
    std::iter::from_fn(move || {
        let record = read(bytes)?;
        let (this, rest) = bytes.split_at(record.len);
        bytes = rest;
        Some((record, this))
    })
}

/// Whether it is the record that was written.
pub fn is_sound(bytes: &[u8]) -> bool {
    let record = len(bytes).and_then(|len| bytes.get(..len));
    record.is_some_and(|record| crc32fast::hash(&record[4..]).to_le_bytes() == record[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let token = "00ff10a0b0c0d0e0f0123456789abcde";
        let keys = ["", "a", "\0mark/0", token, "00FF10A0B0C0D0E0F0123456789ABCDE", "00ff10a0b0c0d0e0f0123456789abcd", "0123456789abcdef"];
        for (key, value, last) in
            keys.iter().flat_map(|key| [(key, None, true), (key, Some(&b""[..]), false), (key, Some(&b"value"[..]), true)])
        {
            let mut bytes = vec![7; 3];
            let len = write(&mut bytes, Key::of(key), value, last).unwrap();
            assert!(is_sound(&bytes[3..]));
            let record = read(&bytes[3..]).unwrap();
            assert_eq!(record, Record { key: Key::of(key), value, last, len });
            let mut text = None;
            record.key.with_text(|found| text = Some(found.to_owned()));
            assert_eq!((text.as_deref(), len), (Some(*key), bytes.len() - 3));
            for cut in 0..len {
                assert_eq!(read(&bytes[3..3 + cut]), None);
            }
        }
        assert_eq!(Key::of(token).bytes().len(), 16);
        assert_ne!(Key::of(token), Key::Plain(Key::of(token).bytes()));
    }

    #[test]
    fn every_changed_bit_is_seen() {
        let mut bytes = Vec::new();
        write(&mut bytes, Key::of("key"), Some(b"value"), true).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sound(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(is_sound(&bytes) && !is_sound(&[0; 40]));
    }
}
