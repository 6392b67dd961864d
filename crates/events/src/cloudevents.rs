//! Headers of records, and CloudEvents' Kafka binding in binary mode: the headers of `events.*` and `routing.decisions`.

use crate::avro::Millis;
use crate::ids::EventId;
use crate::time;
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// A record's headers: names and values, in order, in one buffer: cloning and reading them costs no allocation.
///
/// Layout, of each header: length of the name (2 bytes, big-endian), the name, length of the value (4 bytes), the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

/// A header's name is a schema's business: longer ones are cut.
const NAME_MAX: usize = u16::MAX as usize;

impl Headers {
    /// None.
    pub const fn new() -> Headers {
        Headers(Bytes::new())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, after) = first(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// These and one more: for what happens seldom.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let mut buffer = BytesMut::with_capacity(self.0.len() + name.len() + value.len() + 6);
        buffer.extend_from_slice(&self.0);
        put(&mut buffer, name, &[value]);
        self.0 = buffer.freeze();
    }

    /// What was put into a buffer since it was last split.
    pub fn split_from(buffer: &mut BytesMut) -> Headers {
        Headers(buffer.split().freeze())
    }

    /// As bytes: for storing.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What `bytes` gave; none where it is anything else.
    pub fn from_bytes(bytes: Bytes) -> Option<Headers> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            (_, _, rest) = first(rest)?;
        }
        Some(Headers(bytes))
    }
}

/// Puts one header into a buffer that `Headers::split_from` will cut. The value comes in parts.
pub fn put(buffer: &mut BytesMut, name: &str, value: &[&[u8]]) {
    let name = &name[..name.floor_char_boundary(NAME_MAX)];
    buffer.put_u16(name.len() as u16);
    buffer.extend_from_slice(name.as_bytes());
    buffer.put_u32(value.iter().map(|part| part.len() as u32).sum());
    value.iter().for_each(|part| buffer.extend_from_slice(part));
}

fn first(rest: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Headers {
        let mut buffer = BytesMut::new();
        headers.into_iter().for_each(|(name, value)| put(&mut buffer, name.as_ref(), &[value.as_ref()]));
        Headers(buffer.freeze())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}

/// The headers of one event. `source` is a source's name or a role, `kind` the record's name; never personal data.
pub fn headers(id: EventId, source: &str, kind: &str, at: Millis, traceparent: Option<&str>) -> Headers {
    let mut buffer = BytesMut::with_capacity(256);
    put_headers(&mut buffer, id, source, kind, &time::format(at), traceparent);
    Headers(buffer.freeze())
}

/// The same, into a buffer that `Headers::split_from` will cut. `at` as text.
pub fn put_headers(buffer: &mut BytesMut, id: EventId, source: &str, kind: &str, at: &str, traceparent: Option<&str>) {
    put(buffer, "ce_specversion", &[b"1.0"]);
    put(buffer, "ce_id", &[&id.text()]);
    put(buffer, "ce_source", &[b"/oneknock/", source.as_bytes()]);
    put(buffer, "ce_type", &[b"oneknock.", kind.as_bytes(), b".v1"]);
    put(buffer, "ce_time", &[at.as_bytes()]);
    put(buffer, "content-type", &[b"application/avro"]);
    if let Some(traceparent) = traceparent {
        put(buffer, "traceparent", &[traceparent.as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_put() {
        let mut headers: Headers = [("a", "1"), ("b", ""), ("a", "2")].into_iter().collect();
        headers.push("ü", &[0, 255]);
        let expected: Vec<(&str, &[u8])> = vec![("a", b"1"), ("b", b""), ("a", b"2"), ("ü", &[0, 255])];
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        assert_eq!((headers.get("a"), headers.get("c")), (Some(&b"1"[..]), None));
        assert!(Headers::new().is_empty() && !headers.is_empty());
    }
}
