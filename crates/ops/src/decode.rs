//! Any record of ours as JSON: the schema says which numbers are moments. What is sealed stays sealed.

use eventlog::Record;
use eventlog::schemas::Schemas;
use events::topics::{CLAIM_PREFIX, POSITION_PREFIX};
use events::{Millis, SchemaName};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The value of a record of this topic; why not, where it cannot be read. Never the bytes.
pub async fn value(schemas: &Schemas, topic: &str, record: &Record) -> Result<Value, String> {
    if record.value.is_none() {
        return Ok(Value::Null);
    }
    let key = String::from_utf8_lossy(&record.key);
    if key.starts_with(CLAIM_PREFIX) || key.starts_with(POSITION_PREFIX) {
        return Ok(control(record));
    }
    let Some(name) = SchemaName::ALL.iter().copied().find(|name| name.topic() == topic) else {
        return Err("no schema belongs to this topic".to_owned());
    };
    macro_rules! decoded {
        ($($variant:ident),*) => {
            match name {
                $(SchemaName::$variant => schemas
                    .decode::<events::$variant>(record)
                    .await
                    .map_err(|error| error.to_string())
                    .and_then(|value| serde_json::to_value(value).map_err(|error| error.to_string())),)*
            }
        };
    }
    let mut value = decoded!(
        AuditCheckpoint,
        CheckpointPassage,
        HighwayEntrance,
        TelecomMovement,
        IdentifierLink,
        HouseholdEntry,
        GridEntry,
        Mandate,
        Policy,
        Traveller,
        Arrival,
        Return,
        Decision,
        Action,
        Task
    )?;
    let schema = name.json();
    let mut named = HashMap::new();
    collect(&schema, &mut named);
    moments(&mut value, &schema, &named);
    Ok(value)
}

/// Claims and positions of owners: an offset, or nothing of interest.
fn control(record: &Record) -> Value {
    let text = record.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    match text {
        Some(text) => json!({ "control": text }),
        None => json!({ "control_bytes": record.value.as_ref().map_or(0, |value| value.len()) }),
    }
}

/// Named records within a schema, since later uses give the name alone.
fn collect<'a>(schema: &'a Value, named: &mut HashMap<&'a str, &'a Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| collect(branch, named)),
        Value::Object(object) => {
            if let (Some("record"), Some(name)) = (text(object, "type"), text(object, "name")) {
                named.insert(name, schema);
            }
            object.values().filter(|part| !part.is_string()).for_each(|part| collect(part, named));
        }
        _ => {}
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// Writes every `timestamp-millis` as RFC 3339.
fn moments(value: &mut Value, schema: &Value, named: &HashMap<&str, &Value>) {
    let schema = schema.as_str().and_then(|name| named.get(name).copied()).unwrap_or(schema);
    match (schema, value) {
        (_, Value::Null) => {}
        (Value::Array(branches), value) => branches.iter().filter(|branch| *branch != "null").for_each(|branch| {
            // A union of records is an object of one member: the branch's name.
            let record = branch.as_object().and_then(|object| text(object, "name")).or(branch.as_str()).unwrap_or_default();
            match value.as_object_mut().filter(|object| object.len() == 1).and_then(|object| object.get_mut(record)) {
                Some(inner) => moments(inner, branch, named),
                None => moments(value, branch, named),
            }
        }),
        (Value::Object(schema), Value::Array(items)) => {
            if let Some(of) = schema.get("items") {
                items.iter_mut().for_each(|item| moments(item, of, named));
            }
        }
        (Value::Object(schema), Value::Object(fields)) => {
            for field in schema.get("fields").and_then(Value::as_array).into_iter().flatten() {
                let found = field.get("name").and_then(Value::as_str).and_then(|name| fields.get_mut(name));
                if let (Some(value), Some(kind)) = (found, field.get("type")) {
                    moments(value, kind, named);
                }
            }
        }
        (Value::Object(schema), value) => {
            if let (Some("timestamp-millis"), Some(at)) = (text(schema, "logicalType"), value.as_i64()) {
                *value = json!(events::time::format(Millis(at)));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_found_wherever_the_schema_has_them() {
        let schema = SchemaName::Arrival.json();
        let mut named = HashMap::new();
        collect(&schema, &mut named);
        let mut value = json!({"traveller": "t", "version": 1000, "message": {"Release": {"at": 0}}});
        moments(&mut value, &schema, &named);
        assert_eq!(value, json!({"traveller": "t", "version": 1000, "message": {"Release": {"at": "1970-01-01T00:00:00Z"}}}));

        let schema = SchemaName::Task.json();
        let mut named = HashMap::new();
        collect(&schema, &mut named);
        let mut value = json!({"opened_at": 1000, "due_at": null, "covers": [{"at": 2000, "until": 3000, "level": "LOW"}],
            "stays": [{"covers": [{"at": 4000}], "version": 5000}]});
        moments(&mut value, &schema, &named);
        assert_eq!(value["opened_at"], "1970-01-01T00:00:01Z");
        assert_eq!(value["due_at"], Value::Null);
        assert_eq!(value["covers"][0]["until"], "1970-01-01T00:00:03Z");
        assert_eq!(value["stays"][0]["covers"][0]["at"], "1970-01-01T00:00:04Z");
        assert_eq!(value["stays"][0]["version"], 5000);
    }
}
