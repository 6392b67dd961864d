//! The fields of one record, out of JSON or CSV, before anything is judged.
//!
//! Only fields that some kind of event has are kept: the rest is skipped while it is read, so that hostile input takes no more memory
//! than it has bytes, and a name or an ID's photograph never enters. No `Debug`: what is here is in clear.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Every field that is read, nested ones by their own name. Those of the CloudEvents envelope come last.
const NAMES: [&str; 24] = [
    "id",
    "observed_at",
    "mandate",
    "checkpoint",
    "direction",
    "resident_id",
    "passport",
    "permit",
    "phone",
    "plate",
    "origin_division",
    "destination",
    "party_size",
    "station",
    "vehicle_class",
    "from_division",
    "to_division",
    "dwell_minutes",
    "division",
    "grid",
    "address",
    "specversion",
    "data",
    "traceparent",
];

/// The name as this program writes it, if it is one that is read.
pub fn known_name(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// A field's value.
pub enum Field {
    /// JSON's null, or an empty cell.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A nested object.
    Object(Fields),
    /// Anything else; what it was does not matter.
    Other,
}

/// The fields of one object. Of a name that stands twice the last one counts.
#[derive(Default)]
pub struct Fields(Vec<(&'static str, Field)>);

impl Fields {
    /// A field's value; null counts as absent.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let found = self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, field)| field);
        found.filter(|field| !matches!(field, Field::Null))
    }

    /// Takes a field's value out.
    pub fn take(&mut self, name: &str) -> Option<Field> {
        let at = self.0.iter().rposition(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1).filter(|field| !matches!(field, Field::Null))
    }

    /// Adds a field.
    pub fn push(&mut self, name: &'static str, field: Field) {
        self.0.push((name, field));
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                read_object(map)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn read_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Fields, A::Error> {
    let mut fields = Fields::default();
    while let Some(name) = map.next_key::<Name>()? {
        match name.0 {
            Some(name) => {
                let field = map.next_value()?;
                match fields.0.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, before)) => *before = field,
                    None => fields.push(name, field),
                }
            }
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(fields)
}

/// A key, looked up without a copy.
struct Name(Option<&'static str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct Key;
        impl Visitor<'_> for Key {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(known_name(name)))
            }
        }
        deserializer.deserialize_str(Key)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Field, E> {
                Ok(Field::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
                Ok(Field::Whole(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
                Ok(i64::try_from(number).map_or(Field::Other, Field::Whole))
            }
            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Field, E> {
                Ok(Field::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                read_object(map).map(Field::Object)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_kept_and_everything_else_is_skipped() {
        let text = r#"{"id":"a","name":{"x":[1,2,{"id":"no"}]},"party_size":2,"destination":{"grid":"g","secret":1},"phone":null,"plate":[1],"id":"b"}"#;
        let fields: Fields = serde_json::from_str(text).unwrap();
        assert!(matches!(fields.get("id"), Some(Field::Text(text)) if text == "b"));
        assert!(matches!(fields.get("party_size"), Some(Field::Whole(2))));
        assert!(matches!(fields.get("destination"), Some(Field::Object(inner)) if inner.get("grid").is_some() && inner.0.len() == 1));
        assert!(fields.get("phone").is_none() && matches!(fields.get("plate"), Some(Field::Other)));
        assert_eq!(fields.0.len(), 5);
    }

    #[test]
    fn only_an_object_has_fields() {
        for text in ["[]", "[\"id\"]", "null", "1", "\"id\"", "", "{", "{\"id\":}", "{\"id\":1} x", "{\"id\":\"\\ud800\"}"] {
            assert!(serde_json::from_str::<Fields>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Fields>(&format!("{}{}", "{\"x\":".repeat(10_000), "1".repeat(3))).is_err());
    }
}
