//! A CSV file with a header as rows of text: UTF-8 (with or without a byte order mark) or GB18030, read in one pass after a first one that
//! tells the encoding. Any bytes give rows or refusals, never an end before the file's.

use crate::intake::{Refusal, RefusalCode};
use encoding_rs::GB18030;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file cannot be read as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The header lacks a column, or has it twice.
    #[error("column {0}: expected once in the header")]
    Column(&'static str),
    /// There is no header.
    #[error("expected a header in the first row")]
    NoHeader,
}

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// GB18030, of which GBK and GB2312 are parts.
    Gb18030,
}

impl Encoding {
    /// A cell as text; `None` where the bytes are none.
    pub fn text(self, bytes: &[u8]) -> Option<String> {
        match self {
            Encoding::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Encoding::Gb18030 => GB18030.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned()),
        }
    }

    /// The encoding in which most lines make sense: one broken row must not turn all others into another text.
    pub fn of(lines: &mut impl BufRead) -> io::Result<Encoding> {
        let (mut as_utf8, mut otherwise) = (0_u64, 0_u64);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(if otherwise > as_utf8 { Encoding::Gb18030 } else { Encoding::Utf8 });
            }
            if !line.is_ascii() {
                match std::str::from_utf8(&line) {
                    Ok(_) => as_utf8 += 1,
                    Err(_) => otherwise += 1,
                }
            }
        }
    }
}

/// An open file.
pub struct CsvFile {
    rows: csv::ByteRecordsIntoIter<BufReader<File>>,
    encoding: Encoding,
    names: Vec<&'static str>,
    /// For each name the column; optional ones may be missing.
    columns: Vec<Option<usize>>,
    width: usize,
    number: u64,
}

/// One row.
pub struct Row {
    /// Counted with the header as 1.
    pub number: u64,
    /// Cells in the order of the names asked for; a missing optional column is empty.
    pub cells: Result<Vec<String>, Refusal>,
}

impl CsvFile {
    /// Opens it and reads its header. Other columns than those named are passed over.
    pub fn open(path: &Path, required: &[&'static str], optional: &[&'static str]) -> Result<CsvFile, FileError> {
        let mut file = BufReader::new(File::open(path)?);
        let mut mark = [0; 3];
        let marked = read_up_to(&mut file, &mut mark)? == 3 && mark == BYTE_ORDER_MARK;
        let start = if marked { 3 } else { 0 };
        file.seek(SeekFrom::Start(start))?;
        let encoding = if marked { Encoding::Utf8 } else { Encoding::of(&mut file)? };
        file.seek(SeekFrom::Start(start))?;
        let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file).into_byte_records();
        let header = rows.next().transpose().map_err(io::Error::from)?.ok_or(FileError::NoHeader)?;
        let titles: Vec<String> = header.iter().map(|title| String::from_utf8_lossy(title.trim_ascii()).into_owned()).collect();
        let names: Vec<&'static str> = required.iter().chain(optional).copied().collect();
        let mut columns = Vec::with_capacity(names.len());
        for (at, &name) in names.iter().enumerate() {
            let mut found = titles.iter().enumerate().filter(|(_, title)| *title == name).map(|(column, _)| column);
            match (found.next(), found.next()) {
                (Some(column), None) => columns.push(Some(column)),
                (None, _) if at >= required.len() => columns.push(None),
                _ => return Err(FileError::Column(name)),
            }
        }
        Ok(CsvFile { rows, encoding, names, columns, width: titles.len(), number: 1 })
    }

    fn cells(&self, record: &csv::ByteRecord) -> Result<Vec<String>, Refusal> {
        if record.len() != self.width {
            let message = format!("expected {} cells, found {}", self.width, record.len());
            return Err(Refusal { code: RefusalCode::BadValue, field: None, message: message.into() });
        }
        let cell = |(name, column): (&&'static str, &Option<usize>)| match column {
            None => Ok(String::new()),
            Some(column) => {
                let bytes = record.get(*column).unwrap_or_default();
                self.encoding.text(bytes).ok_or_else(|| Refusal::bad_value(name, "neither UTF-8 nor GB18030"))
            }
        };
        self.names.iter().zip(&self.columns).map(cell).collect()
    }
}

impl Iterator for CsvFile {
    type Item = Result<Row, io::Error>;

    fn next(&mut self) -> Option<Result<Row, io::Error>> {
        let record = match self.rows.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(io::Error::from(error))),
        };
        self.number += 1;
        Some(Ok(Row { number: self.number, cells: self.cells(&record) }))
    }
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cells = Result<Vec<String>, RefusalCode>;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, Cells)>, FileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, bytes).unwrap();
        let file = CsvFile::open(&path, &["a", "b"], &["c"])?;
        Ok(file.map(|row| row.map(|row| (row.number, row.cells.map_err(|refusal| refusal.code))).unwrap()).collect())
    }

    fn cells(cells: [&str; 3]) -> Cells {
        Ok(cells.map(str::to_owned).to_vec())
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_behind_a_byte_order_mark() {
        let rows = read("\u{feff}b, a ,x\r\n\"1,2\",\"say \"\"hi\"\"\nthere\",z\r\n文,三,路".as_bytes()).unwrap();
        assert_eq!(rows, [(2, cells(["say \"hi\"\nthere", "1,2", ""])), (3, cells(["三", "文", ""]))]);
    }

    #[test]
    fn gb18030_is_told_by_most_lines_and_one_broken_row_stays_alone() {
        let (gb, _, _) = GB18030.encode("a,b\n文三路,联通\n西湖,区\n");
        assert_eq!(read(&gb).unwrap(), [(2, cells(["文三路", "联通", ""])), (3, cells(["西湖", "区", ""]))]);
        let broken = [b"a,b\n".as_slice(), "文,路\n".as_bytes(), b"\xff\xff,1\n", "西,湖\n".as_bytes()].concat();
        assert_eq!(read(&broken).unwrap(), [(2, cells(["文", "路", ""])), (3, Err(RefusalCode::BadValue)), (4, cells(["西", "湖", ""]))]);
    }

    #[test]
    fn rows_of_another_width_are_refused_alone() {
        let rows = read(b"a,b\n1\n1,2,3\n1,2\n").unwrap();
        assert_eq!(rows, [(2, Err(RefusalCode::BadValue)), (3, Err(RefusalCode::BadValue)), (4, cells(["1", "2", ""]))]);
    }

    #[test]
    fn a_header_must_have_each_column_once() {
        assert!(matches!(read(b""), Err(FileError::NoHeader)));
        assert!(matches!(read(b"a,x\n"), Err(FileError::Column("b"))));
        assert!(matches!(read(b"a,b,a\n"), Err(FileError::Column("a"))));
        assert!(read(b"a,b,c\n").unwrap().is_empty());
    }
}
