//! CloudEvents' Kafka binding, binary mode: the headers of `events.*` and `routing.decisions`.

use crate::avro::Millis;
use crate::ids::EventId;
use crate::time;

/// A record's headers: names and bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// The headers of one event. `source` is a source's name or a role, `kind` the record's name; never personal data.
pub fn headers(id: EventId, source: &str, kind: &str, at: Millis, traceparent: Option<&str>) -> Headers {
    let mut headers: Headers = vec![
        ("ce_specversion".into(), b"1.0".to_vec()),
        ("ce_id".into(), id.to_string().into_bytes()),
        ("ce_source".into(), format!("/oneknock/{source}").into_bytes()),
        ("ce_type".into(), format!("oneknock.{kind}.v1").into_bytes()),
        ("ce_time".into(), time::format(at).into_bytes()),
        ("content-type".into(), b"application/avro".to_vec()),
    ];
    headers.extend(traceparent.map(|trace| ("traceparent".into(), trace.as_bytes().to_vec())));
    headers
}
