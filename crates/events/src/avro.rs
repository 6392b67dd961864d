//! Avro by hand for OneKnock's own schemas: what a value looks like in bytes, and the schema that says so.
//!
//! `apache-avro` is the reference: `codec.rs` uses it for other writers' schemas, and a test holds every record here against it.
//! On the hot path it costs some 400 ns for a 58-byte event; this costs about 20. Nothing here knows topics or schema ids.

use arrayvec::ArrayString;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Why bytes are not the value that their schema promises. Never holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// The bytes end before the value does.
    #[error("the record is truncated")]
    Truncated,
    /// More bytes than the value needs.
    #[error("the record has {0} bytes too many")]
    TrailingBytes(usize),
    /// A number, length, symbol or branch that the schema does not have.
    #[error("the record holds an impossible {0}")]
    Impossible(&'static str),
}

/// A value with an Avro schema of its own.
pub trait Avro: Sized {
    /// The schema as JSON; a named type in `seen` is referred to by name.
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value;
    /// The default in a record's field, if the type has one.
    fn default_json() -> Option<Value> {
        None
    }
    /// Appends the value.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the value from the front of `input`.
    fn read(input: &mut &[u8]) -> Result<Self, AvroError>;

    /// The same without making the value: it fails where reading fails.
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        Self::read(input).map(drop)
    }

    /// The value alone, nothing behind it.
    fn from_bytes(mut input: &[u8]) -> Result<Self, AvroError> {
        let value = Self::read(&mut input)?;
        if input.is_empty() { Ok(value) } else { Err(AvroError::TrailingBytes(input.len())) }
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], AvroError> {
    let (head, tail) = input.split_at_checked(length).ok_or(AvroError::Truncated)?;
    *input = tail;
    Ok(head)
}

fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn read_long(input: &mut &[u8]) -> Result<i64, AvroError> {
    let mut zigzag = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = input.split_first().ok_or(AvroError::Truncated)?;
        *input = tail;
        if shift == 63 && byte > 1 {
            return Err(AvroError::Impossible("number"));
        }
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    Err(AvroError::Impossible("number"))
}

impl Avro for i64 {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("long")
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_long(*self, out);
    }
    fn read(input: &mut &[u8]) -> Result<i64, AvroError> {
        read_long(input)
    }
}

impl Avro for i32 {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("int")
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_long(i64::from(*self), out);
    }
    fn read(input: &mut &[u8]) -> Result<i32, AvroError> {
        i32::try_from(read_long(input)?).map_err(|_| AvroError::Impossible("number"))
    }
}

impl Avro for bool {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("boolean")
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(input: &mut &[u8]) -> Result<bool, AvroError> {
        match take(input, 1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(AvroError::Impossible("boolean")),
        }
    }
}

impl Avro for String {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("string")
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_str(self, out);
    }
    fn read(input: &mut &[u8]) -> Result<String, AvroError> {
        read_str(input).map(str::to_owned)
    }
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        read_str(input).map(drop)
    }
}

/// Text in a record: up to 23 bytes, as most codes are, without an allocation; a longer one is cloned without a copy.
pub type Text = smol_str::SmolStr;

impl Avro for Text {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        String::schema(seen)
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_str(self, out);
    }
    fn read(input: &mut &[u8]) -> Result<Text, AvroError> {
        read_str(input).map(Text::new)
    }
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        read_str(input).map(drop)
    }
}

/// An id of so many characters at most, where it stands in the record: no allocation, and nothing to follow when it is compared.
impl<const N: usize> Avro for ArrayString<N> {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        String::schema(seen)
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_str(self, out);
    }
    fn read(input: &mut &[u8]) -> Result<ArrayString<N>, AvroError> {
        ArrayString::from(read_str(input)?).map_err(|_| AvroError::Impossible("id"))
    }
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        read_str(input).map(drop)
    }
}

/// Text that is written down in this program, as a rule.
impl Avro for Cow<'static, str> {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        String::schema(seen)
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_str(self, out);
    }
    fn read(input: &mut &[u8]) -> Result<Cow<'static, str>, AvroError> {
        String::read(input).map(Cow::Owned)
    }
}

/// Appends an Avro string.
pub fn write_str(value: &str, out: &mut Vec<u8>) {
    write_long(value.len() as i64, out);
    out.extend_from_slice(value.as_bytes());
}

/// Takes an Avro string from the front, without a copy.
pub fn read_str<'a>(input: &mut &'a [u8]) -> Result<&'a str, AvroError> {
    std::str::from_utf8(read_bytes(input)?).map_err(|_| AvroError::Impossible("text"))
}

fn read_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], AvroError> {
    let length = usize::try_from(read_long(input)?).map_err(|_| AvroError::Impossible("length"))?;
    take(input, length)
}

/// Avro `bytes`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Blob(pub Vec<u8>);

impl serde::Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl Avro for Blob {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!("bytes")
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_long(self.0.len() as i64, out);
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut &[u8]) -> Result<Blob, AvroError> {
        read_bytes(input).map(|bytes| Blob(bytes.to_vec()))
    }
}

/// 16 bytes as Avro `fixed`: an id inside a record that must stay small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Fixed16(pub [u8; 16]);

impl serde::Serialize for Fixed16 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl Avro for Fixed16 {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        if seen.insert("Fixed16") { json!({"type": "fixed", "name": "Fixed16", "size": 16}) } else { json!("Fixed16") }
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut &[u8]) -> Result<Fixed16, AvroError> {
        let bytes = take(input, 16)?;
        bytes.try_into().map(Fixed16).map_err(|_| AvroError::Truncated)
    }
}

/// A moment: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Avro for Millis {
    fn schema(_: &mut BTreeSet<&'static str>) -> Value {
        json!({"type": "long", "logicalType": "timestamp-millis"})
    }
    fn write(&self, out: &mut Vec<u8>) {
        write_long(self.0, out);
    }
    fn read(input: &mut &[u8]) -> Result<Millis, AvroError> {
        read_long(input).map(Millis)
    }
}

impl<T: Avro> Avro for Option<T> {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        json!(["null", T::schema(seen)])
    }
    fn default_json() -> Option<Value> {
        Some(Value::Null)
    }
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(2);
                value.write(out);
            }
        }
    }
    fn read(input: &mut &[u8]) -> Result<Option<T>, AvroError> {
        match read_long(input)? {
            0 => Ok(None),
            1 => T::read(input).map(Some),
            _ => Err(AvroError::Impossible("branch")),
        }
    }
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        match read_long(input)? {
            0 => Ok(()),
            1 => T::skip(input),
            _ => Err(AvroError::Impossible("branch")),
        }
    }
}

impl<T: Avro> Avro for Vec<T> {
    fn schema(seen: &mut BTreeSet<&'static str>) -> Value {
        json!({"type": "array", "items": T::schema(seen)})
    }
    fn default_json() -> Option<Value> {
        Some(json!([]))
    }
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_long(self.len() as i64, out);
            self.iter().for_each(|item| item.write(out));
        }
        out.push(0);
    }
    fn read(input: &mut &[u8]) -> Result<Vec<T>, AvroError> {
        let mut items = Vec::new();
        while let Some(count) = block(input)? {
            items.reserve(count.min(1024));
            for _ in 0..count {
                items.push(T::read(input)?);
            }
        }
        Ok(items)
    }
    fn skip(input: &mut &[u8]) -> Result<(), AvroError> {
        while let Some(count) = block(input)? {
            (0..count).try_for_each(|_| T::skip(input))?;
        }
        Ok(())
    }
}

/// How many items the next block of an array has; none: it is over.
fn block(input: &mut &[u8]) -> Result<Option<usize>, AvroError> {
    let count = read_long(input)?;
    if count < 0 {
        read_long(input)?;
    }
    let count = usize::try_from(count.unsigned_abs()).map_err(|_| AvroError::Impossible("length"))?;
    // An item takes a byte at least (no schema here has an empty record): a lying count cannot make us allocate.
    if count > input.len() {
        return Err(AvroError::Truncated);
    }
    Ok((count > 0).then_some(count))
}

/// A struct that is an Avro record: its fields in order, each with its comment as `doc`.
macro_rules! record {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $field_doc:literal])* $field:ident: $type:ty,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub struct $name { $($(#[doc = $field_doc])* pub $field: $type,)* }

        impl $crate::avro::Avro for $name {
            fn schema(seen: &mut std::collections::BTreeSet<&'static str>) -> serde_json::Value {
                if !seen.insert(stringify!($name)) {
                    return serde_json::json!(stringify!($name));
                }
                let mut fields = Vec::new();
                $({
                    let doc: &[&str] = &[$($field_doc),*];
                    fields.push($crate::avro::field::<$type>(stringify!($field), doc, seen));
                })*
                let doc: &[&str] = &[$($doc),*];
                serde_json::json!({
                    "type": "record", "name": stringify!($name), "doc": $crate::avro::joined(doc), "fields": fields,
                })
            }
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::avro::Avro::write(&self.$field, out);)*
            }
            fn read(input: &mut &[u8]) -> Result<Self, $crate::avro::AvroError> {
                Ok(Self { $($field: $crate::avro::Avro::read(input)?,)* })
            }
            fn skip(input: &mut &[u8]) -> Result<(), $crate::avro::AvroError> {
                $(<$type as $crate::avro::Avro>::skip(input)?;)*
                Ok(())
            }
        }
    };
}

/// A field of a record's schema.
pub(crate) fn field<T: Avro>(name: &str, doc: &[&str], seen: &mut BTreeSet<&'static str>) -> Value {
    let mut field = json!({"name": name, "type": T::schema(seen), "doc": joined(doc)});
    if let (Some(default), Some(object)) = (T::default_json(), field.as_object_mut()) {
        object.insert("default".into(), default);
    }
    field
}

/// The lines of a comment as one text.
pub(crate) fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// An enum without data that is an Avro enum; its text is the symbol.
macro_rules! symbols {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $symbol_doc:literal])* $variant:ident = $symbol:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $symbol_doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of the schema.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The symbol on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $symbol,)* }
            }

            /// By its symbol, in either case.
            pub fn parse(text: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|one| one.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::avro::Avro for $name {
            fn schema(seen: &mut std::collections::BTreeSet<&'static str>) -> serde_json::Value {
                if !seen.insert(stringify!($name)) {
                    return serde_json::json!(stringify!($name));
                }
                let doc: &[&str] = &[$($doc),*];
                serde_json::json!({
                    "type": "enum", "name": stringify!($name), "doc": $crate::avro::joined(doc), "symbols": [$($symbol),*],
                })
            }
            fn write(&self, out: &mut Vec<u8>) {
                $crate::avro::Avro::write(&(*self as i32), out);
            }
            fn read(input: &mut &[u8]) -> Result<Self, $crate::avro::AvroError> {
                let at = <i32 as $crate::avro::Avro>::read(input)?;
                usize::try_from(at).ok().and_then(|at| Self::ALL.get(at)).copied().ok_or($crate::avro::AvroError::Impossible("symbol"))
            }
        }
    };
}

/// An enum whose variants hold one record each: an Avro union.
macro_rules! union {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $branch_doc:literal])* $variant:ident($type:ty) = $at:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub enum $name { $($(#[doc = $branch_doc])* $variant($type),)* }

        impl $crate::avro::Avro for $name {
            fn schema(seen: &mut std::collections::BTreeSet<&'static str>) -> serde_json::Value {
                serde_json::json!([$(<$type as $crate::avro::Avro>::schema(seen)),*])
            }
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant(value) => {
                        $crate::avro::Avro::write(&($at as i64), out);
                        $crate::avro::Avro::write(value, out);
                    })*
                }
            }
            fn read(input: &mut &[u8]) -> Result<Self, $crate::avro::AvroError> {
                match <i64 as $crate::avro::Avro>::read(input)? {
                    $($at => <$type as $crate::avro::Avro>::read(input).map($name::$variant),)*
                    _ => Err($crate::avro::AvroError::Impossible("branch")),
                }
            }
        }
    };
}

pub(crate) use {record, symbols, union};
