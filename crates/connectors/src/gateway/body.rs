//! A request's body as records, by its media type. Pure: bytes in, one result for each record out.

use super::RECORDS_MAX;
use super::problem::Problem;
use crate::intake::{Field, Fields, Refusal, parse_object, traceparent};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The media types that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// One plain object.
    Json,
    /// One plain object a line.
    Ndjson,
    /// One event in structured mode.
    CloudEvent,
    /// A list of them.
    CloudEvents,
}

impl Media {
    /// Out of a `content-type` header; parameters other than a charset of UTF-8 do not matter.
    pub fn parse(header: &str) -> Option<Media> {
        let mut parts = header.split(';');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        if charset.is_some_and(|(_, charset)| !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")) {
            return None;
        }
        match name.as_str() {
            "application/json" => Some(Media::Json),
            "application/x-ndjson" => Some(Media::Ndjson),
            "application/cloudevents+json" => Some(Media::CloudEvent),
            "application/cloudevents-batch+json" => Some(Media::CloudEvents),
            _ => None,
        }
    }
}

/// One record of a request, as far as it could be read.
pub struct Item {
    /// Its fields, or why it has none.
    pub fields: Result<Fields, Refusal>,
    /// The trace context that its envelope carries.
    pub traceparent: Option<String>,
}

impl Item {
    fn plain(fields: Result<Fields, Refusal>) -> Item {
        Item { fields, traceparent: None }
    }
}

/// All records of a body, in order.
pub fn records(media: Media, body: &[u8]) -> Result<Vec<Item>, Problem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match media {
        Media::Json => match parse_object(body) {
            Ok(fields) => Ok(vec![Item::plain(Ok(fields))]),
            Err(_) => Err(Problem::unreadable("the body is not one JSON object")),
        },
        Media::CloudEvent => match parse_object(body) {
            Ok(envelope) => Ok(vec![unwrap(envelope)]),
            Err(_) => Err(Problem::unreadable("the body is not one CloudEvent in JSON")),
        },
        Media::Ndjson => lines(body),
        Media::CloudEvents => batch(body),
    }
}

fn lines(body: &[u8]) -> Result<Vec<Item>, Problem> {
    let mut items = Vec::new();
    for line in body.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if items.len() == RECORDS_MAX {
            return Err(Problem::too_large());
        }
        items.push(Item::plain(parse_object(line)));
    }
    Ok(items)
}

/// The plain object out of its envelope. What the envelope says beside is not looked at, so that the event id is the same without it.
fn unwrap(mut envelope: Fields) -> Item {
    let trace = match envelope.get("traceparent") {
        Some(Field::Text(text)) => traceparent(text).map(str::to_owned),
        _ => None,
    };
    let fields = match envelope.get("specversion") {
        None => Err(Refusal::missing("specversion")),
        Some(Field::Text(version)) if version == "1.0" => match envelope.take("data") {
            None => Err(Refusal::missing("data")),
            Some(Field::Object(fields)) => Ok(fields),
            Some(_) => Err(Refusal::bad_value("data", "expected the plain object")),
        },
        Some(_) => Err(Refusal::bad_value("specversion", "expected 1.0")),
    };
    Item { fields, traceparent: trace }
}

fn batch(body: &[u8]) -> Result<Vec<Item>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut too_many = false;
    let items = deserializer.deserialize_seq(List { too_many: &mut too_many }).and_then(|items| deserializer.end().map(|()| items));
    match items {
        Ok(items) => Ok(items),
        Err(_) if too_many => Err(Problem::too_large()),
        Err(_) => Err(Problem::unreadable("the body is not a JSON array of CloudEvents")),
    }
}

/// Reads a list element by element, and gives up at the limit instead of reading on.
struct List<'a> {
    too_many: &'a mut bool,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Item>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            if items.len() == RECORDS_MAX {
                *self.too_many = true;
                return Err(serde::de::Error::custom("too many records"));
            }
            items.push(match parse_object(raw.get().as_bytes()) {
                Ok(envelope) => unwrap(envelope),
                Err(refusal) => Item::plain(Err(refusal)),
            });
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::RefusalCode;

    fn outcome(items: &[Item]) -> Vec<Option<RefusalCode>> {
        items.iter().map(|item| item.fields.as_ref().err().map(|refusal| refusal.code)).collect()
    }

    #[test]
    fn media_types_are_told_apart() {
        assert_eq!(Media::parse("application/json"), Some(Media::Json));
        assert_eq!(Media::parse("Application/JSON; charset=\"UTF-8\""), Some(Media::Json));
        assert_eq!(Media::parse("application/cloudevents-batch+json;x=y"), Some(Media::CloudEvents));
        for other in ["", "text/plain", "application/json; charset=gbk", "application/json-seq"] {
            assert_eq!(Media::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_bad_line_is_a_bad_record_and_leaves_its_neighbours_alone() {
        let body = b"\xef\xbb\xbf{\"id\":\"a\"}\r\n\n[1]\nnull\n{\"id\":\n\xff\xfe\n{\"id\":\"b\"}";
        let bad = Some(RefusalCode::BadValue);
        assert_eq!(outcome(&records(Media::Ndjson, body).unwrap()), [None, bad, bad, bad, bad, None]);
    }

    #[test]
    fn the_limit_of_records_is_exact() {
        let line = b"{}\n";
        assert_eq!(records(Media::Ndjson, &line.repeat(RECORDS_MAX)).unwrap().len(), RECORDS_MAX);
        assert!(records(Media::Ndjson, &line.repeat(RECORDS_MAX + 1)).is_err());
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(records(Media::CloudEvents, list(RECORDS_MAX).as_bytes()).unwrap().len(), RECORDS_MAX);
        assert!(records(Media::CloudEvents, list(RECORDS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn an_envelope_gives_its_data_and_nothing_else() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let good = format!(r#"{{"specversion":"1.0","id":"other","traceparent":"{trace}","data":{{"id":"a"}}}}"#);
        let items = records(Media::CloudEvent, good.as_bytes()).unwrap();
        assert!(matches!(items[0].fields.as_ref().ok().and_then(|fields| fields.get("id")), Some(Field::Text(id)) if id == "a"));
        assert_eq!(items[0].traceparent.as_deref(), Some(trace));
        let list = br#"[{"specversion":"1.0"},{"specversion":"0.3","data":{}},{"data":{}},{"specversion":"1.0","data":"x"},7]"#;
        let (missing, bad) = (Some(RefusalCode::MissingField), Some(RefusalCode::BadValue));
        assert_eq!(outcome(&records(Media::CloudEvents, list).unwrap()), [missing, bad, missing, bad, bad]);
    }

    #[test]
    fn what_is_no_list_or_object_is_unreadable() {
        for (media, body) in [(Media::Json, "[{}]"), (Media::Json, ""), (Media::CloudEvent, "[]"), (Media::CloudEvents, "{}")] {
            assert!(records(media, body.as_bytes()).is_err(), "{media:?} {body}");
        }
        assert!(records(Media::CloudEvents, b"[] x").is_err() && records(Media::CloudEvents, b"[]").unwrap().is_empty());
    }
}
