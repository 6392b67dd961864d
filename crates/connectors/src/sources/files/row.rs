//! One row of a file as the fields of a record. Pure.

use super::position::FilePosition;
use super::split::Format;
use crate::intake::{Field, Fields, Refusal, RefusalCode, known_name, parse_object};
use encoding_rs::GB18030;
use std::borrow::Cow;

/// Fields that are whole numbers in JSON.
const WHOLE: [&str; 2] = ["party_size", "dwell_minutes"];
const NESTED: &str = "destination.";

/// What a piece of a file is.
pub enum Row {
    /// Nothing: an empty line.
    Blank,
    /// The header of a CSV file.
    Header,
    /// A record.
    Record(Fields),
    /// A bad one.
    Bad(Refusal),
}

/// Bytes as text: UTF-8, or GB18030 where most lines of the file are not UTF-8.
pub fn text<'a>(bytes: &'a [u8], position: &FilePosition) -> Result<Cow<'a, str>, Refusal> {
    let no_text = || Refusal::whole(RefusalCode::BadValue, "neither UTF-8 nor GB18030");
    match position.lines_other > position.lines_utf8 {
        true => GB18030.decode_without_bom_handling_and_without_replacement(bytes).ok_or_else(no_text),
        false => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| no_text()),
    }
}

/// Reads one piece; a CSV file's first row goes into `position` as its columns.
pub fn read(bytes: &[u8], format: Format, position: &mut FilePosition) -> Row {
    if bytes.trim_ascii().is_empty() {
        return Row::Blank;
    }
    let text = match text(bytes, position) {
        Ok(text) => text,
        Err(refusal) => return Row::Bad(refusal),
    };
    match format {
        Format::Ndjson => parse_object(text.as_bytes()).map_or_else(Row::Bad, Row::Record),
        Format::Csv => csv_row(&text, position),
    }
}

fn csv_row(text: &str, position: &mut FilePosition) -> Row {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let cells = match rows.records().next() {
        Some(Ok(cells)) => cells,
        Some(Err(_)) => return Row::Bad(Refusal::whole(RefusalCode::BadValue, "not a row of CSV")),
        None => return Row::Blank,
    };
    let Some(columns) = &position.columns else {
        let known = |title: &str| {
            let title = title.trim();
            let name = title.strip_prefix(NESTED).unwrap_or(title);
            known_name(name).map(|_| title.to_owned())
        };
        let columns: Vec<Option<String>> = cells.iter().map(known).collect();
        let has_id = columns.iter().flatten().any(|title| title == "id");
        position.columns = Some(columns);
        return match has_id {
            true => Row::Header,
            false => Row::Bad(Refusal::at(RefusalCode::MissingField, "id", "the header has no such column")),
        };
    };
    if cells.len() != columns.len() {
        let message = format!("expected {} cells, found {}", columns.len(), cells.len());
        return Row::Bad(Refusal { code: RefusalCode::BadValue, field: None, message: message.into() });
    }
    let (mut fields, mut destination) = (Fields::default(), Fields::default());
    let mut has_destination = false;
    for (cell, column) in cells.iter().zip(columns) {
        let (cell, Some(column)) = (cell.trim(), column) else { continue };
        let nested = column.strip_prefix(NESTED);
        let Some(name) = known_name(nested.unwrap_or(column)).filter(|_| !cell.is_empty()) else { continue };
        let value = match cell.parse() {
            Ok(number) if WHOLE.contains(&name) => Field::Whole(number),
            _ => Field::Text(cell.to_owned()),
        };
        match nested {
            Some(_) => {
                has_destination = true;
                destination.push(name, value);
            }
            None => fields.push(name, value),
        }
    }
    if has_destination {
        fields.push("destination", Field::Object(destination));
    }
    Row::Record(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_the_fields_that_json_would_have() {
        let mut position = FilePosition::default();
        assert!(matches!(read(b"id,note,party_size,destination.grid\n", Format::Csv, &mut position), Row::Header));
        let Row::Record(fields) = read("a,\"x,y\",2,文三路\r\n".as_bytes(), Format::Csv, &mut position) else { panic!("no record") };
        assert!(matches!(fields.get("id"), Some(Field::Text(id)) if id == "a"));
        assert!(matches!(fields.get("party_size"), Some(Field::Whole(2))));
        assert!(
            matches!(fields.get("destination"), Some(Field::Object(inner)) if matches!(inner.get("grid"), Some(Field::Text(grid)) if grid == "文三路"))
        );
        let Row::Record(fields) = read(b"a,,,\n", Format::Csv, &mut position) else { panic!("no record") };
        assert!(fields.get("destination").is_none() && fields.get("party_size").is_none());
        assert!(matches!(read(b"a,b\n", Format::Csv, &mut position), Row::Bad(_)));
        assert!(matches!(read(b" \r\n", Format::Csv, &mut position), Row::Blank));
    }

    #[test]
    fn a_header_without_an_id_is_said_once() {
        let mut position = FilePosition::default();
        assert!(matches!(read(b"a,b\n", Format::Csv, &mut position), Row::Bad(refusal) if refusal.field == Some("id")));
        assert!(matches!(read(b"1,2\n", Format::Csv, &mut position), Row::Record(_)));
    }

    #[test]
    fn gb18030_is_read_where_most_lines_are() {
        let (bytes, _, _) = GB18030.encode("{\"id\":\"西湖\"}");
        let mut position = FilePosition { lines_other: 1, ..FilePosition::default() };
        let Row::Record(fields) = read(&bytes, Format::Ndjson, &mut position) else { panic!("no record") };
        assert!(matches!(fields.get("id"), Some(Field::Text(id)) if id == "西湖"));
        position.lines_utf8 = 2;
        assert!(matches!(read(&bytes, Format::Ndjson, &mut position), Row::Bad(_)));
    }
}
