//! The schema files are what the types say, and `apache-avro`, the reference, reads and writes the same bytes.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "a test reads files, and its helpers may panic")]

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::types::Value;
use events::*;
use std::collections::HashMap;
use std::path::PathBuf;

fn file(name: SchemaName) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(format!("{}.avsc", name.as_str()))
}

/// `UPDATE_SCHEMAS=1 cargo test -p oneknock-events` writes them anew.
#[test]
fn files_are_what_the_types_say() {
    for &name in SchemaName::ALL {
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(file(name), name.text()).unwrap();
        }
        let text = std::fs::read_to_string(file(name)).unwrap_or_default();
        assert_eq!(text, name.text(), "schemas/{}.avsc is not what the types say; UPDATE_SCHEMAS=1 writes it", name.as_str());
    }
}

/// A small seeded generator: any value that a schema allows.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn hex(&mut self, bytes: usize) -> String {
        hex::encode((0..bytes).map(|_| self.next() as u8).collect::<Vec<_>>())
    }

    fn value(&mut self, schema: &Schema, names: &HashMap<String, Schema>, path: &str) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.next().is_multiple_of(2)),
            Schema::Int => Value::Int((self.next() >> (self.next() % 64)) as i32),
            Schema::Long => Value::Long((self.next() >> (self.next() % 64)) as i64),
            Schema::TimestampMillis => Value::TimestampMillis((self.next() >> (self.next() % 64)) as i64),
            Schema::Bytes => Value::Bytes((0..self.next() % 40).map(|_| self.next() as u8).collect()),
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, (0..fixed.size).map(|_| self.next() as u8).collect()),
            Schema::String if ["event_id", "token", "task_id"].iter().any(|id| path.ends_with(id)) => Value::String(self.hex(16)),
            Schema::String if path.starts_with("traveller") => Value::String(format!("{}-{}", self.hex(16), self.hex(8))),
            Schema::String => Value::String("浙A·12345 é\u{1F600}x".chars().cycle().take((self.next() % 90) as usize).collect()),
            Schema::Array(array) => Value::Array((0..self.next() % 4).map(|_| self.value(&array.items, names, path)).collect()),
            Schema::Union(union) => {
                let at = self.next() as usize % union.variants().len();
                Value::Union(at as u32, Box::new(self.value(&union.variants()[at], names, path)))
            }
            Schema::Enum(symbols) => {
                let at = self.next() as usize % symbols.symbols.len();
                Value::Enum(at as u32, symbols.symbols[at].clone())
            }
            Schema::Record(RecordSchema { fields, .. }) => {
                Value::Record(fields.iter().map(|field| (field.name.clone(), self.value(&field.schema, names, &field.name))).collect())
            }
            Schema::Ref { name } => {
                let named = names.get(&name.name).unwrap_or_else(|| panic!("{} is not defined", name.name)).clone();
                self.value(&named, names, path)
            }
            other => panic!("no schema here has {other:?}"),
        }
    }
}

fn collect(schema: &Schema, names: &mut HashMap<String, Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.name.clone(), schema.clone());
            record.fields.iter().for_each(|field| collect(&field.schema, names));
        }
        Schema::Enum(symbols) => drop(names.insert(symbols.name.name.clone(), schema.clone())),
        Schema::Fixed(fixed) => drop(names.insert(fixed.name.name.clone(), schema.clone())),
        Schema::Array(array) => collect(&array.items, names),
        Schema::Union(union) => union.variants().iter().for_each(|variant| collect(variant, names)),
        _ => {}
    }
}

fn agree<R: Record + PartialEq + std::fmt::Debug>() {
    let schema = Schema::parse_str(&R::NAME.text()).unwrap();
    let mut names = HashMap::new();
    collect(&schema, &mut names);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let value = random.value(&schema, &names, "");
        let theirs = apache_avro::to_avro_datum(&schema, value).unwrap();
        let record = R::from_bytes(&theirs).unwrap_or_else(|error| panic!("{}: {error}", R::NAME.as_str()));
        let mut ours = Vec::new();
        record.write(&mut ours);
        assert_eq!(R::from_bytes(&ours).unwrap(), record);
        let reread = apache_avro::from_avro_datum(&schema, &mut ours.as_slice(), None).unwrap();
        assert_eq!(reread, apache_avro::from_avro_datum(&schema, &mut theirs.as_slice(), None).unwrap());
        // Bad input: every truncation is an error, never a panic.
        for cut in 0..ours.len() {
            assert!(R::from_bytes(&ours[..cut]).is_err(), "{} cut at {cut}", R::NAME.as_str());
        }
        // Nor is any changed byte a panic, nor a huge allocation.
        for at in 0..ours.len() {
            let mut changed = ours.clone();
            changed[at] ^= random.next() as u8 | 1;
            let _ = R::from_bytes(&changed);
        }
    }
}

/// What claims to be an id and is longer than any id is refused, and not cut.
#[test]
fn an_id_that_is_too_long_is_refused() {
    let read = |length: usize| {
        let mut bytes = Vec::new();
        avro::write_str(&"a".repeat(length), &mut bytes);
        TaskId::from_bytes(&bytes)
    };
    assert_eq!(read(32).unwrap().len(), 32);
    assert!(read(33).is_err());
}

#[test]
fn apache_avro_agrees() {
    agree::<CheckpointPassage>();
    agree::<HighwayEntrance>();
    agree::<TelecomMovement>();
    agree::<IdentifierLink>();
    agree::<HouseholdEntry>();
    agree::<GridEntry>();
    agree::<Mandate>();
    agree::<Policy>();
    agree::<Traveller>();
    agree::<Arrival>();
    agree::<Return>();
    agree::<Decision>();
    agree::<Action>();
    agree::<Task>();
}

/// An older writer, without a field that we have since, and with one that we do not know.
#[test]
fn another_writers_schema_is_resolved() {
    let mut writer = SchemaName::GridEntry.json();
    writer["fields"].as_array_mut().unwrap().insert(0, serde_json::json!({"name": "colour", "type": "string"}));
    let text = writer.to_string();
    let schema = Schema::parse_str(&text).unwrap();
    let value = Value::Record(vec![
        ("colour".into(), Value::String("red".into())),
        ("name".into(), Value::String("一格".into())),
        ("community".into(), Value::String("330106001001".into())),
        ("community_name".into(), Value::String("社区".into())),
        ("subdistrict".into(), Value::String("330106001".into())),
        ("division".into(), Value::String("330106".into())),
        ("workers".into(), Value::Int(3)),
        ("published_at".into(), Value::TimestampMillis(5)),
    ]);
    let body = apache_avro::to_avro_datum(&schema, value).unwrap();
    let mut wire = vec![0, 0, 0, 3, 0];
    wire.extend(&body);
    let mut codec = Codec::built_in();
    assert!(matches!(codec.decode::<GridEntry>(&wire), Err(CodecError::UnknownSchema(768))));
    codec.learn(768, &text).unwrap();
    assert_eq!(codec.decode::<GridEntry>(&wire).unwrap().name, "一格");
    assert_eq!(codec.decode_with::<GridEntry>(&body, Some(768)).unwrap().workers, 3);
    wire.push(7);
    assert!(codec.decode::<GridEntry>(&wire).is_err(), "bytes behind the value");
}
