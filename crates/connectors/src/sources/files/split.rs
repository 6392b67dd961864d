//! Where records end in bytes that may still grow. Pure; the same rules as the CSV reader, so that both see the same rows.

/// Longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Rows under a header.
    Csv,
}

/// What stands in front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A record with its line end; so many bytes.
    Record(usize),
    /// A row whose quotes never close: its first line, to be rejected.
    Unclosed(usize),
    /// Longer than a record may be: to be rejected, and what follows up to a line end passed over.
    TooLong(usize),
    /// No record yet: more bytes are needed.
    Incomplete,
}

/// The first record. `is_whole`: no more bytes will come, so what has no line end is a record too.
pub fn first(bytes: &[u8], format: Format, is_whole: bool) -> Piece {
    let end = match format {
        Format::Ndjson => line_end(bytes),
        Format::Csv => row_end(bytes),
    };
    match end {
        Some(end) if end <= RECORD_BYTES_MAX => Piece::Record(end),
        None if bytes.is_empty() || !is_whole && bytes.len() < RECORD_BYTES_MAX => Piece::Incomplete,
        None if is_whole && bytes.len() <= RECORD_BYTES_MAX && !is_inside_quotes(bytes, format) => Piece::Record(bytes.len()),
        // The row's own first line is bad; what follows may be good.
        _ => match line_end(bytes).filter(|end| *end <= RECORD_BYTES_MAX) {
            Some(end) if format == Format::Csv => Piece::Unclosed(end),
            _ if format == Format::Csv && is_whole && bytes.len() <= RECORD_BYTES_MAX => Piece::Unclosed(bytes.len()),
            _ => Piece::TooLong(bytes.len().min(RECORD_BYTES_MAX)),
        },
    }
}

/// Bytes up to and with the next line end.
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Start,
    Plain,
    Quoted,
    QuoteInQuoted,
}

fn step(cell: Cell, byte: u8) -> Cell {
    match (cell, byte) {
        (Cell::Start, b'"') => Cell::Quoted,
        (Cell::Quoted, b'"') => Cell::QuoteInQuoted,
        (Cell::Quoted, _) | (Cell::QuoteInQuoted, b'"') => Cell::Quoted,
        (_, b',' | b'\n' | b'\r') => Cell::Start,
        _ => Cell::Plain,
    }
}

/// Bytes up to and with the end of the first row. A carriage return alone ends a row, one before a line feed belongs to its end.
fn row_end(bytes: &[u8]) -> Option<usize> {
    let mut cell = Cell::Start;
    for (at, &byte) in bytes.iter().enumerate().take(RECORD_BYTES_MAX + 1) {
        let next = step(cell, byte);
        if next == Cell::Start && byte == b'\n' {
            return Some(at + 1);
        }
        if next == Cell::Start && byte == b'\r' {
            // Whether a line feed follows is not known yet.
            let follower = bytes.get(at + 1)?;
            return Some(if *follower == b'\n' { at + 2 } else { at + 1 });
        }
        cell = next;
    }
    None
}

fn is_inside_quotes(bytes: &[u8], format: Format) -> bool {
    format == Format::Csv && bytes.iter().fold(Cell::Start, |cell, &byte| step(cell, byte)) == Cell::Quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_line_ends_and_stray_ones_do_not() {
        for (bytes, end) in
            [("a,b\nc", 4), ("a,\"x\ny\"\nc", 8), ("a,\"x\"\"\n\"\nc", 9), ("a\"b\nc\"\n", 4), ("a\r\nb", 3), ("a\rb", 2), ("\n", 1)]
        {
            assert_eq!(first(bytes.as_bytes(), Format::Csv, false), Piece::Record(end), "{bytes:?}");
        }
    }

    #[test]
    fn what_may_still_grow_is_left_alone_until_it_cannot() {
        for bytes in ["", "a,b", "a,\"x\n", "a\r"] {
            assert_eq!(first(bytes.as_bytes(), Format::Csv, false), Piece::Incomplete, "{bytes:?}");
        }
        assert_eq!(first(b"a,b", Format::Csv, true), Piece::Record(3));
        assert_eq!(first(b"", Format::Csv, true), Piece::Incomplete);
        assert_eq!(first(b"{}", Format::Ndjson, true), Piece::Record(2));
        assert_eq!(first(b"{\"a\":\"\n\"}", Format::Ndjson, false), Piece::Record(7));
    }

    #[test]
    fn a_quote_that_never_closes_costs_one_line() {
        assert_eq!(first(b"a,\"x\nb,c\nd,e\n", Format::Csv, true), Piece::Unclosed(5));
        assert_eq!(first(b"a,\"x", Format::Csv, true), Piece::Unclosed(4));
        let mut long = b"a,\"x\n".to_vec();
        long.resize(RECORD_BYTES_MAX + 10, b'y');
        assert_eq!(first(&long, Format::Csv, false), Piece::Unclosed(5));
    }

    #[test]
    fn a_record_has_a_longest_length() {
        let long = vec![b'x'; RECORD_BYTES_MAX + 1];
        assert_eq!(first(&long, Format::Ndjson, false), Piece::TooLong(RECORD_BYTES_MAX));
        assert_eq!(first(&long, Format::Csv, true), Piece::TooLong(RECORD_BYTES_MAX));
        assert_eq!(first(&long[..RECORD_BYTES_MAX], Format::Ndjson, true), Piece::Record(RECORD_BYTES_MAX));
    }
}
