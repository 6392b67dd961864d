//! What each row of the table of codes says: its number, the code, and why, in one line for ops. When it applies stands in `judge.rs`.

use events::Code;

/// A row; where two reasons lead to the same code in one row, each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// 2.
    MandateEnded,
    /// 3.
    Duplicate,
    /// 4.
    LeftArea,
    /// 5.
    OutOfArea,
    /// 6.
    Late,
    /// 7.
    Covered,
    /// 8, of the last episode.
    Over,
    /// 8, of the open one.
    JoinsOpen,
    /// 9.
    NoGrid,
    /// 9, since a worker said so.
    WrongHousehold,
    /// 10.
    BelowMatch,
    /// 11.
    Alone,
    /// 12.
    Opens,
    /// 12, for what waited.
    Waited,
}

impl Row {
    /// All that may be said, in the table's order. Row 1 says again what was said.
    pub const ALL: [Row; 14] = [
        Row::MandateEnded,
        Row::Duplicate,
        Row::LeftArea,
        Row::OutOfArea,
        Row::Late,
        Row::Covered,
        Row::Over,
        Row::JoinsOpen,
        Row::NoGrid,
        Row::WrongHousehold,
        Row::BelowMatch,
        Row::Alone,
        Row::Opens,
        Row::Waited,
    ];

    /// What is asked of a signal, in this order; the others are said of an event, or of what waited.
    pub fn table() -> impl Iterator<Item = Row> {
        Row::ALL.into_iter().filter(|row| !matches!(row, Row::MandateEnded | Row::Duplicate | Row::Waited))
    }

    /// Its number in the table.
    pub fn number(self) -> u8 {
        match self {
            Row::MandateEnded => 2,
            Row::Duplicate => 3,
            Row::LeftArea => 4,
            Row::OutOfArea => 5,
            Row::Late => 6,
            Row::Covered => 7,
            Row::Over | Row::JoinsOpen => 8,
            Row::NoGrid | Row::WrongHousehold => 9,
            Row::BelowMatch => 10,
            Row::Alone => 11,
            Row::Opens | Row::Waited => 12,
        }
    }

    /// What becomes of the signal.
    pub fn code(self) -> Code {
        match self {
            Row::MandateEnded => Code::MandateEnded,
            Row::Duplicate => Code::Duplicate,
            Row::LeftArea | Row::BelowMatch => Code::NotMatching,
            Row::OutOfArea => Code::OutOfArea,
            Row::Late => Code::Late,
            Row::Covered => Code::Covered,
            Row::Over | Row::JoinsOpen | Row::Waited => Code::Joined,
            Row::NoGrid | Row::WrongHousehold => Code::Unresolved,
            Row::Alone => Code::Held,
            Row::Opens => Code::Opened,
        }
    }

    /// Why.
    pub fn reason(self) -> &'static str {
        match self {
            Row::MandateEnded => "no mandate was in force",
            Row::Duplicate => "the same passage is here under another id",
            Row::LeftArea => "it left the area",
            Row::OutOfArea => "the grid lies outside the mandate's divisions",
            Row::Late => "it came later than the grace period allows",
            Row::Covered => "a screening of the household or of the traveller answers it",
            Row::Over => "observed before the end of an episode in which nobody could be met",
            Row::JoinsOpen => "observed before the end of the open visit",
            Row::NoGrid => "no grid is known that could visit",
            Row::WrongHousehold => "a worker found the wrong household, and the registry has not changed since",
            Row::BelowMatch => "its level is below the least that makes a visit",
            Row::Alone => "weak, and alone",
            Row::Opens => "nothing answers it, and no visit is open",
            Row::Waited => "it waited here, and now a visit is open",
        }
    }

    /// The row that a decision came from, where its words tell.
    pub fn of(code: Code, reason: &str) -> Option<Row> {
        let of_code = || Row::ALL.into_iter().filter(|row| row.code() == code);
        let only = if of_code().count() == 1 { of_code().next() } else { None };
        of_code().find(|row| row.reason() == reason).or(only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_row_and_every_row_is_known_by_its_words() {
        for code in Code::ALL {
            assert!(Row::ALL.iter().any(|row| row.code() == *code), "{code}");
        }
        for row in Row::ALL {
            assert_eq!(Row::of(row.code(), row.reason()), Some(row));
        }
        assert_eq!(Row::of(Code::Covered, "words of an older version"), Some(Row::Covered));
        assert_eq!(Row::of(Code::Joined, "words of an older version"), None);
        assert!(Row::table().is_sorted_by_key(Row::number));
    }
}
