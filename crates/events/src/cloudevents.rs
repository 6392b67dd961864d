//! CloudEvents' Kafka binding, binary mode: the headers of `events.*` and `routing.decisions`.

use crate::avro::Millis;
use crate::ids::EventId;
use crate::time;
use bytes::Bytes;
use std::borrow::Cow;

/// A record's headers: names and bytes. The names that everybody knows cost no allocation.
pub type Headers = Vec<(Cow<'static, str>, Bytes)>;

/// The headers of one event. `source` is a source's name or a role, `kind` the record's name; never personal data.
pub fn headers(id: EventId, source: &str, kind: &str, at: Millis, traceparent: Option<&str>) -> Headers {
    // One buffer for all that is not always the same.
    let (id, at) = (id.to_string(), time::format(at));
    let parts = [&id, "/oneknock/", source, "oneknock.", kind, ".v1", &at, traceparent.unwrap_or_default()];
    let buffer = Bytes::from(parts.concat());
    let mut end = 0;
    let mut next = |parts: &[&str]| {
        let begin = end;
        end += parts.iter().map(|part| part.len()).sum::<usize>();
        buffer.slice(begin..end)
    };
    let mut headers: Headers = vec![
        ("ce_specversion".into(), Bytes::from_static(b"1.0")),
        ("ce_id".into(), next(&parts[..1])),
        ("ce_source".into(), next(&parts[1..3])),
        ("ce_type".into(), next(&parts[3..6])),
        ("ce_time".into(), next(&parts[6..7])),
        ("content-type".into(), Bytes::from_static(b"application/avro")),
    ];
    headers.extend(traceparent.map(|_| ("traceparent".into(), next(&parts[7..]))));
    headers
}

/// A header's name, without an allocation where it is one of ours.
pub fn name(name: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 8] =
        ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type", "traceparent", "oneknock-epoch"];
    KNOWN.iter().find(|known| **known == name).map_or_else(|| Cow::Owned(name.to_owned()), |known| Cow::Borrowed(*known))
}
