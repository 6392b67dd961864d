//! What a clerk gives of one household or one person: by name, or as a small JSON object or a CSV of one row with the import's columns.
//! It holds clear values: no `Debug`, and no value in a refusal.

use super::csv_file::Encoding;
use crate::intake::{Refusal, RefusalCode};
use events::IdentifierKind;
use serde_json::Value;
use std::collections::BTreeMap;

/// The columns, and which kind of identifier each lists.
pub const COLUMNS: [(&str, Option<IdentifierKind>); 16] = [
    ("household", None),
    ("grid", None),
    ("address", None),
    ("contact_name", None),
    ("contact_phone", None),
    ("name", None),
    ("resident", None),
    ("resident_id", Some(IdentifierKind::ResidentId)),
    ("passports", Some(IdentifierKind::Passport)),
    ("permits", Some(IdentifierKind::Permit)),
    ("phones", Some(IdentifierKind::Phone)),
    ("plates", Some(IdentifierKind::Plate)),
    ("passport", Some(IdentifierKind::Passport)),
    ("permit", Some(IdentifierKind::Permit)),
    ("phone", Some(IdentifierKind::Phone)),
    ("plate", Some(IdentifierKind::Plate)),
];

/// Values in clear, by column. One that is there and empty says "none"; one that is not there says nothing.
#[derive(Default)]
pub struct Given(BTreeMap<&'static str, Vec<String>>);

impl Given {
    /// Adds a value of a column.
    pub fn add(&mut self, column: &'static str, value: impl Into<String>) {
        self.0.entry(column).or_default().push(value.into());
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a JSON object, or a CSV with a header and one row, in UTF-8 or GB18030.
    ///
    /// # Errors
    /// It is neither, or has a column that is not known.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let bad = |message| Refusal::whole(RefusalCode::BadValue, message);
        let not_readable = || bad("expected a JSON object, or a CSV with a header and one row");
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let encoding = Encoding::of(&mut &bytes[..]).map_err(|_| not_readable())?;
        let text = encoding.text(bytes).ok_or_else(not_readable)?;
        let pairs: Vec<(String, Vec<String>)> = if text.trim_start().starts_with('{') {
            let object: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|_| not_readable())?;
            object.into_iter().map(|(name, value)| Some((name, texts(value)?))).collect::<Option<_>>().ok_or_else(not_readable)?
        } else {
            let mut rows = csv::ReaderBuilder::new().from_reader(text.as_bytes());
            let header = rows.headers().map_err(|_| not_readable())?.clone();
            let mut rows = rows.records();
            let (Some(Ok(row)), None) = (rows.next(), rows.next()) else { return Err(not_readable()) };
            header.iter().zip(&row).map(|(name, cell)| (name.trim().to_owned(), vec![cell.to_owned()])).collect()
        };
        for (name, values) in pairs {
            let known = COLUMNS.iter().find(|(column, _)| *column == name);
            let (column, kind) = known.ok_or_else(|| bad("it has a column that neither households nor residents have"))?;
            for value in values {
                match kind {
                    Some(_) => value.split([';', '；']).for_each(|part| self.add(column, part.trim())),
                    None => self.add(column, value),
                }
            }
        }
        Ok(())
    }

    /// A column's one value. `Some("")`: it is there, and says none.
    pub fn one(&self, column: &'static str) -> Result<Option<&str>, Refusal> {
        match self.0.get(column).map(Vec::as_slice) {
            None => Ok(None),
            Some([one]) => Ok(Some(one.trim())),
            Some(_) => Err(Refusal::bad_value(column, "expected one")),
        }
    }

    /// All identifiers, with their columns.
    pub fn identifiers(&self) -> impl Iterator<Item = (IdentifierKind, &'static str, &str)> {
        let of = |(column, kind): &(&'static str, Option<IdentifierKind>)| Some((*column, (*kind)?));
        let values = |(column, kind)| self.0.get(column).into_iter().flatten().map(move |value| (kind, column, value.as_str()));
        COLUMNS.iter().filter_map(of).flat_map(values).filter(|(.., value)| !value.is_empty())
    }
}

/// A cell of JSON; nothing but texts and lists of them is one.
fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(vec![String::new()]),
        Value::String(text) => Some(vec![text]),
        Value::Array(all) => all.into_iter().map(|one| if let Value::String(text) = one { Some(text) } else { None }).collect(),
        _ => None,
    }
}
