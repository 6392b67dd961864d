//! Where a client stands in the view: one offset per partition of the tasks' topic, as opaque text that outlives this process.
//!
//! It must not know what a task is. Text of three kinds: `p…` is a position (`last`, SSE ids), `n…` the next page of a list, `c…` the
//! next page of changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// More partitions than anybody has: a cursor that claims more is not ours.
const PARTITIONS_MAX: usize = 4096;

/// One offset per partition, the one to be read next.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cursor(pub Vec<i64>);

/// Where the next page of a list begins, and what the list was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The view's position when the first page was made.
    pub first: Cursor,
    /// The states asked for, as they stood in the query.
    pub state: Option<String>,
    /// The grid asked for.
    pub grid: Option<String>,
    /// The list asked for.
    pub list: Option<String>,
    /// Tasks in a page.
    pub limit: usize,
    /// Behind this task, in the list's order.
    pub behind: SortKey,
}

/// The list's order: most urgent first. A task that has not changed keeps its place, so that pages neither skip nor repeat it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey {
    /// 0 is HIGH.
    pub rank: u8,
    /// Due, in milliseconds; the greatest where nothing is due.
    pub due_ms: i64,
    /// Breaks ties.
    pub task_id: String,
}

/// What `after` may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The changes since.
    Position(Cursor),
    /// The next page of a list.
    Page(Page),
    /// The next page of changes.
    Changes {
        /// Where the last page ended.
        reached: Cursor,
        /// Where the last one will: the view's position when the first page was made.
        last: Cursor,
    },
}

impl Cursor {
    /// As text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * 4);
        self.write(&mut bytes);
        format!("p{}", BASE64.encode(bytes))
    }

    /// The offset to be read next in a partition; 0 where the cursor is of a log with fewer.
    pub fn at(&self, partition: i32) -> i64 {
        usize::try_from(partition).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0)
    }

    /// Moves behind a record.
    pub fn pass(&mut self, partition: i32, offset: i64) {
        if let Some(at) = usize::try_from(partition).ok().and_then(|at| self.0.get_mut(at)) {
            *at = (*at).max(offset + 1);
        }
    }

    /// The next page of changes, which end at `last`, as text.
    pub fn changes_text(&self, last: &Cursor) -> String {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        last.write(&mut bytes);
        format!("c{}", BASE64.encode(bytes))
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_number(self.0.len() as u64, out);
        for &offset in &self.0 {
            write_number(u64::try_from(offset).unwrap_or(0), out);
        }
    }

    fn read(input: &mut &[u8]) -> Option<Cursor> {
        let count = usize::try_from(read_number(input)?).ok().filter(|&count| count <= PARTITIONS_MAX)?;
        (0..count).map(|_| read_number(input).and_then(|offset| i64::try_from(offset).ok())).collect::<Option<_>>().map(Cursor)
    }
}

impl Page {
    /// As text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        self.first.write(&mut bytes);
        write_number(self.limit as u64, &mut bytes);
        write_number(u64::from(self.behind.rank), &mut bytes);
        // Times before 1970 come only from damaged input; they sort first as well as 1970 does.
        write_number(u64::try_from(self.behind.due_ms).unwrap_or(0), &mut bytes);
        for text in [Some(&self.behind.task_id), self.state.as_ref(), self.grid.as_ref(), self.list.as_ref()] {
            write_number(text.map_or(0, |text| text.len() as u64 + 1), &mut bytes);
            bytes.extend_from_slice(text.map_or(&[][..], |text| text.as_bytes()));
        }
        format!("n{}", BASE64.encode(bytes))
    }
}

/// Reads either kind; `None` where it is neither.
pub fn parse(text: &str) -> Option<After> {
    let (kind, rest) = text.split_at_checked(1)?;
    let bytes = BASE64.decode(rest).ok()?;
    let mut input = bytes.as_slice();
    let first = Cursor::read(&mut input)?;
    let after = match kind {
        "p" => After::Position(first),
        "n" => {
            let limit = usize::try_from(read_number(&mut input)?).ok()?;
            let rank = u8::try_from(read_number(&mut input)?).ok()?;
            let due_ms = i64::try_from(read_number(&mut input)?).ok()?;
            let (task_id, state, grid) = (read_text(&mut input)?, read_text(&mut input)?, read_text(&mut input)?);
            let list = read_text(&mut input)?;
            After::Page(Page { first, state, grid, list, limit, behind: SortKey { rank, due_ms, task_id: task_id? } })
        }
        "c" => After::Changes { reached: first, last: Cursor::read(&mut input)? },
        _ => return None,
    };
    input.is_empty().then_some(after)
}

/// A position alone: an SSE id.
pub fn parse_position(text: &str) -> Option<Cursor> {
    match parse(text)? {
        After::Position(cursor) => Some(cursor),
        After::Page(_) | After::Changes { .. } => None,
    }
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A text, or its absence; the outer `None` is a damaged cursor.
fn read_text(input: &mut &[u8]) -> Option<Option<String>> {
    let length = usize::try_from(read_number(input)?).ok()?;
    let Some(length) = length.checked_sub(1) else { return Some(None) };
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    std::str::from_utf8(text).ok().map(|text| Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_being_text() {
        let first = Cursor(vec![0, 127, 128, i64::MAX >> 1]);
        assert_eq!(parse(&first.text()), Some(After::Position(first.clone())));
        let behind = SortKey { rank: 2, due_ms: i64::MAX >> 1, task_id: "t".into() };
        let page = Page { first, state: None, grid: Some("网格-1".into()), list: Some("overdue".into()), limit: 50, behind };
        assert_eq!(parse(&page.text()), Some(After::Page(page.clone())));
        assert_eq!(parse_position(&page.text()), None);
        let (reached, last) = (Cursor(vec![1, 2]), Cursor(vec![3, 300]));
        assert_eq!(parse(&reached.changes_text(&last)), Some(After::Changes { reached, last }));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let whole = Cursor(vec![1, 2, 300]).text();
        for text in ["", "p", "x", "p!!", "nAA", "七", &whole[..whole.len() - 1], &format!("{whole}AA"), "p_____________8"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
