//! Confluent's wire format: byte 0, a 4-byte big-endian schema id, Avro. Our own ids are read and written by hand (`avro.rs`); another
//! writer's schema is resolved into ours by `apache-avro`, the reference.
//!
//! Pure: whoever talks to a schema registry (`eventlog::schemas`) teaches the codec what an id means.

use crate::avro::{Avro, AvroError};
use crate::schemas::SchemaName;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Header by which a writer may give the schema id instead of the prefix.
pub const VALUE_SCHEMA_ID_HEADER: &str = "__value_schema_id";

/// Why a value cannot be read. Never holds the bytes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not Confluent's wire format.
    #[error("the value has no schema id in front")]
    NoPrefix,
    /// Nobody has taught the codec this id: ask the registry, or it is a dead letter.
    #[error("schema id {0} is unknown")]
    UnknownSchema(u32),
    /// The bytes are not what the schema promises.
    #[error(transparent)]
    Avro(#[from] AvroError),
    /// The writer's schema cannot be resolved into ours.
    #[error("the writer's schema {id} cannot be read as {name}")]
    Unresolvable {
        /// The writer's schema id.
        id: u32,
        /// What was wanted.
        name: &'static str,
    },
    /// A schema text that is no Avro schema.
    #[error("schema {0} is not Avro")]
    BadSchema(u32),
}

/// A record with a schema file of its own.
pub trait Record: Avro {
    /// Which.
    const NAME: SchemaName;
}

/// Encodes and decodes values. Cheap to clone behind an `Arc`; teaching needs `&mut`.
pub struct Codec {
    /// By the number of the name.
    own: Vec<u32>,
    foreign: HashMap<u32, apache_avro::Schema>,
    readers: HashMap<SchemaName, apache_avro::Schema>,
}

impl Default for Codec {
    fn default() -> Codec {
        Codec::built_in()
    }
}

impl Codec {
    /// With the built-in ids: no registry is needed.
    pub fn built_in() -> Codec {
        let own = SchemaName::ALL.iter().map(|name| name.built_in_id()).collect();
        Codec { own, foreign: HashMap::new(), readers: HashMap::new() }
    }

    /// With a registry's ids for our schemas. The built-in ones are still read.
    pub fn with_ids(ids: impl IntoIterator<Item = (SchemaName, u32)>) -> Codec {
        let mut codec = Codec::built_in();
        for (name, id) in ids {
            codec.own[name as usize] = id;
        }
        codec
    }

    /// The id that we write.
    pub fn id(&self, name: SchemaName) -> u32 {
        self.own[name as usize]
    }

    /// Learns another writer's schema.
    pub fn learn(&mut self, id: u32, text: &str) -> Result<(), CodecError> {
        let schema = apache_avro::Schema::parse_str(text).map_err(|_| CodecError::BadSchema(id))?;
        self.foreign.insert(id, schema);
        for &name in SchemaName::ALL {
            if let Entry::Vacant(place) = self.readers.entry(name) {
                let reader = apache_avro::Schema::parse_str(&name.text());
                place.insert(reader.map_err(|_| CodecError::BadSchema(name.built_in_id()))?);
            }
        }
        Ok(())
    }

    /// The value in wire format.
    pub fn encode<R: Record>(&self, record: &R) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.encode_into(record, &mut out);
        out
    }

    /// The same, appended.
    pub fn encode_into<R: Record>(&self, record: &R, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.id(R::NAME).to_be_bytes());
        record.write(out);
    }

    /// Reads a value whose schema id stands in front.
    pub fn decode<R: Record>(&self, value: &[u8]) -> Result<R, CodecError> {
        self.decode_with(value, None)
    }

    /// The same; where the writer put the id into a header, there is no prefix.
    pub fn decode_with<R: Record>(&self, value: &[u8], header_id: Option<u32>) -> Result<R, CodecError> {
        let (id, body) = match header_id {
            Some(id) => (id, value),
            None => split(value)?,
        };
        // What a registry gave another meaning is not read by the built-in one.
        let known = self.foreign.get(&id);
        if id == self.id(R::NAME) || id == R::NAME.built_in_id() && known.is_none() {
            return Ok(R::from_bytes(body)?);
        }
        let writer = known.ok_or(CodecError::UnknownSchema(id))?;
        let unresolvable = || CodecError::Unresolvable { id, name: R::NAME.as_str() };
        let reader = self.readers.get(&R::NAME).ok_or(CodecError::UnknownSchema(id))?;
        let mut rest = body;
        let resolved = apache_avro::from_avro_datum(writer, &mut rest, Some(reader)).map_err(|_| unresolvable())?;
        if !rest.is_empty() {
            return Err(AvroError::TrailingBytes(rest.len()).into());
        }
        let ours = apache_avro::to_avro_datum(reader, resolved).map_err(|_| unresolvable())?;
        Ok(R::from_bytes(&ours)?)
    }
}

impl Codec {
    /// Whether `decode` will find a sound value of our own schema: many times cheaper than decoding.
    pub fn is_sound<R: Record>(&self, value: &[u8]) -> bool {
        let Ok((id, mut body)) = split(value) else { return false };
        id == self.id(R::NAME) && R::skip(&mut body).is_ok() && body.is_empty()
    }
}

/// The schema id and what stands behind it.
pub fn split(value: &[u8]) -> Result<(u32, &[u8]), CodecError> {
    match value {
        [0, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        _ => Err(CodecError::NoPrefix),
    }
}
