//! Looks for markers in bytes, in every coding in which text is met: written down here once more, and sharing nothing with the program.

use super::people::FIELDS;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

const PART: usize = 16 << 20;
/// Longer than any pattern with what is looked at around it.
const OVERLAP: usize = 512;

/// One pattern: which field, in which coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Place in [`FIELDS`].
    pub field: usize,
    /// The coding's name.
    pub coding: &'static str,
    /// Whether the text's own digits are seen as such: where its neighbours tell whether it is the whole number.
    plain: bool,
    /// Met inside of a word of random hexadecimal digits, such as a token: the digits there. Among millions of tokens some hold any few, and
    /// a token is copied often.
    pub by_chance: Option<u64>,
}

/// How often each pattern was met in one place, and where first.
pub type Found = BTreeMap<Pattern, (u64, u64)>;

/// All patterns at once.
pub struct Scanner {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    /// The same, as bytes.
    bytes: Vec<Vec<u8>>,
}

/// A text in every coding: its name and the bytes.
pub fn codings(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let hex = |upper: bool| text.bytes().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect::<String>();
    let escaped = |of: &dyn Fn(char) -> bool, how: &dyn Fn(u8) -> String| -> String {
        let one = |c: char| if of(c) { c.to_string().bytes().map(how).collect() } else { c.to_string() };
        text.chars().map(one).collect()
    };
    let each = |how: &dyn Fn(char) -> String| text.chars().map(how).collect::<String>();
    let units = |how: &dyn Fn(u16) -> String, c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| how(*unit)).collect::<String>();
    let foreign = |c: char| !c.is_ascii_alphanumeric();
    let decimal = |between: &str| text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(between);
    let mut all: Vec<(&'static str, Vec<u8>)> = vec![
        ("utf-8", text.into()),
        ("lower case", text.to_lowercase().into()),
        ("utf-16le", utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
        ("utf-16be", utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
        ("utf-32le", text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()),
        ("gb18030", encoding_rs::GB18030.encode(text).0.into_owned()),
        ("hex", hex(false).into()),
        ("hex, upper case", hex(true).into()),
        ("url", escaped(&foreign, &|byte| format!("%{byte:02X}")).into()),
        ("url, lower case", escaped(&foreign, &|byte| format!("%{byte:02x}")).into()),
        ("url, every byte", escaped(&|_| true, &|byte| format!("%{byte:02X}")).into()),
        ("json", each(&|c| if c.is_ascii() { c.into() } else { units(&|unit| format!("\\u{unit:04x}"), c) }).into()),
        ("json, upper case", each(&|c| if c.is_ascii() { c.into() } else { units(&|unit| format!("\\u{unit:04X}"), c) }).into()),
        ("json, every letter", each(&|c| units(&|unit| format!("\\u{unit:04x}"), c)).into()),
        ("rust bytes", escaped(&|c| !c.is_ascii(), &|byte| format!("\\x{byte:02x}")).into()),
        ("rust bytes, upper case", escaped(&|c| !c.is_ascii(), &|byte| format!("\\x{byte:02X}")).into()),
        ("rust text", each(&|c| if c.is_ascii() { c.into() } else { format!("\\u{{{:x}}}", u32::from(c)) }).into()),
        ("html", each(&|c| if c.is_ascii() { c.into() } else { format!("&#{};", u32::from(c)) }).into()),
        ("list of bytes", decimal(", ").into()),
        ("list of bytes, close", decimal(",").into()),
        ("octal", escaped(&|c| !c.is_ascii(), &|byte| format!("\\{byte:03o}")).into()),
        ("reversed", text.chars().rev().collect::<String>().into()),
        ("reversed bytes", text.bytes().rev().collect()),
    ];
    for (at, name) in ["base64, first third", "base64, second third", "base64, last third"].into_iter().enumerate() {
        all.push((name, base64_at(text.as_bytes(), at, b"+/")));
    }
    for (at, name) in ["base64url, first third", "base64url, second third", "base64url, last third"].into_iter().enumerate() {
        all.push((name, base64_at(text.as_bytes(), at, b"-_")));
    }
    // A letter that a coding leaves as it is makes no pattern of its own.
    let mut seen = BTreeSet::new();
    all.retain(|(_, bytes)| seen.insert(bytes.clone()));
    all
}

/// Those letters of base64 that bytes at this place of a group of three make, whatever stands around them.
fn base64_at(bytes: &[u8], at: usize, last_two: &[u8; 2]) -> Vec<u8> {
    let letter = |six: u8| match six {
        0..26 => b'A' + six,
        26..52 => b'a' + six - 26,
        52..62 => b'0' + six - 52,
        62 => last_two[0],
        _ => last_two[1],
    };
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let skipped = (6 - 8 * at % 6) % 6;
    bits[skipped..].chunks_exact(6).map(|six| letter(six.iter().fold(0, |value, bit| value << 1 | bit))).collect()
}

impl Scanner {
    /// For every field, in every way it is written and every coding.
    ///
    /// # Errors
    /// The patterns do not fit into one automaton.
    pub fn new() -> Result<Scanner> {
        let (mut patterns, mut bytes) = (Vec::new(), Vec::new());
        for (field, facts) in FIELDS.iter().enumerate() {
            for (coding, pattern) in facts.markers.iter().flat_map(|marker| codings(marker)) {
                let plain = facts.digits.is_some() && matches!(coding, "utf-8" | "reversed");
                patterns.push(Pattern { field, coding, plain, by_chance: None });
                bytes.push(pattern);
            }
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(AhoCorasickKind::DFA)).build(&bytes)?;
        Ok(Scanner { automaton, patterns, bytes })
    }

    /// Every pattern with its bytes.
    pub fn patterns(&self) -> impl Iterator<Item = (Pattern, &[u8])> {
        self.patterns.iter().copied().zip(self.bytes.iter().map(Vec::as_slice))
    }

    /// Looks through a file; how many bytes it has.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, path: &Path, found: &mut Found) -> Result<u64> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        self.reader(file, found).with_context(|| format!("cannot read {}", path.display()))
    }

    fn reader(&self, mut reader: impl Read, found: &mut Found) -> Result<u64> {
        let (mut held, mut before) = (Vec::new(), 0_u64);
        loop {
            let had = held.len();
            let read = reader.by_ref().take(PART as u64).read_to_end(&mut held)?;
            // What ends in the overlap was met in the part before it, or is met in the next.
            let is_last = read < PART;
            let until = if is_last { held.len() } else { held.len() - OVERLAP / 2 };
            let from = if before == 0 { 0 } else { had.min(OVERLAP) - OVERLAP / 2 };
            for hit in self.automaton.find_overlapping_iter(&held) {
                let mut pattern = self.patterns[hit.pattern().as_usize()];
                if hit.end() > from && hit.end() <= until && self.is_whole(pattern, &held, hit.range()) {
                    pattern.by_chance = pattern.plain.then(|| by_chance(&held, hit.range())).flatten();
                    let (count, _) = found.entry(pattern).or_insert((0, before + hit.start() as u64));
                    *count += 1;
                }
            }
            if is_last {
                return Ok(before + held.len() as u64);
            }
            let rest = held.len() - OVERLAP;
            held.drain(..rest);
            before += rest as u64;
        }
    }

    /// Six digits are met in any time of day: only a number of as many digits as the field has is one, with or without its country.
    fn is_whole(&self, pattern: Pattern, text: &[u8], at: std::ops::Range<usize>) -> bool {
        let Some(digits) = FIELDS[pattern.field].digits.filter(|_| pattern.plain) else { return true };
        let after = text[at.end..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let before = text[..at.start].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = before + at.len() + after;
        let rest = if pattern.coding == "reversed" { before } else { after };
        rest + at.len() >= digits && whole <= digits + 4
    }
}

/// The digits around it, if they stand in a word as long as an id or a token (a length byte beside it may look like a letter) in which several
/// hexadecimal letters are. What is filled up with one of them, or stands beside a token, is not random.
fn by_chance(text: &[u8], at: std::ops::Range<usize>) -> Option<u64> {
    let around = |is_of: fn(&&u8) -> bool| {
        let before = text[..at.start].iter().rev().take_while(is_of).count();
        let after = text[at.end..].iter().take_while(is_of).count();
        &text[at.start - before..at.end + after]
    };
    let word = around(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let letters: BTreeSet<&u8> = word.iter().filter(|byte| byte.is_ascii_lowercase()).collect();
    let is_random = letters.len() > 1 && matches!(word.len(), 16..=18 | 32..=34 | 64..=66);
    let digits = around(|byte| byte.is_ascii_digit());
    is_random.then(|| digits.iter().fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is found wherever it stands, also across the border of two parts, and among bytes that are none of them nothing is.
    #[test]
    fn every_coding_of_every_marker_is_found() {
        let scanner = Scanner::new().unwrap();
        let names: BTreeSet<&str> = scanner.patterns().map(|(pattern, _)| pattern.coding).collect();
        assert!(names.len() >= 25, "{names:?}");
        let mut filler: Vec<u8> = (0..PART + 4096).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let mut nothing = Found::new();
        scanner.reader(filler.as_slice(), &mut nothing).unwrap();
        assert_eq!(nothing, Found::new());
        for at in [0, 700, PART - 300, PART - 60, PART - 6, PART] {
            filler[at..at + 15].copy_from_slice(b"x 19305712345 y");
            let mut found = Found::new();
            scanner.reader(filler.as_slice(), &mut found).unwrap();
            assert_eq!(found.values().map(|(count, first)| (*count, *first)).collect::<Vec<_>>(), [(1, at as u64 + 2)], "{at}");
            filler[at..at + 15].fill(0);
        }
    }

    #[test]
    fn digits_of_a_time_or_of_a_longer_number_are_no_telephone_number() {
        let scanner = Scanner::new().unwrap();
        let count = |text: &str| {
            let mut found = Found::new();
            scanner.reader(text.as_bytes(), &mut found).unwrap();
            found.len()
        };
        for other in ["17:00:47.193057Z", "1764349193057", "19305712345000001", "193057"] {
            assert_eq!(count(other), 0, "{other}");
        }
        for number in ["19305700001", "+8619305700001", "008619305700001,", "10000750391", "\"phone\":\"193-0570-0001\""] {
            assert!(count(number) > 0, "{number}");
        }
    }

    #[test]
    fn digits_in_a_random_token_are_chance_and_beside_one_or_in_padding_are_not() {
        let scanner = Scanner::new().unwrap();
        let told = |text: &str| {
            let mut found = Found::new();
            scanner.reader(text.as_bytes(), &mut found).unwrap();
            found.keys().map(|pattern| pattern.by_chance.is_some()).collect::<Vec<_>>()
        };
        for random in ["0af7651916cd19260412345cb211c80e", "b7ad6b7154321406291a3c4d5e6f70812", "ab19305712345cd0"] {
            assert_eq!(told(random), [true], "{random}");
        }
        let token = "0af7651916cd43dd8448eb211c80319c";
        for somebodys in
            [format!("{token}d19260412345"), format!("{:f>32}", "19305712345"), "ab19260412345cd".into(), "a19305712345".into()]
        {
            assert_eq!(told(&somebodys), [false], "{somebodys}");
        }
    }

    #[test]
    fn base64_is_found_at_each_place_of_its_groups() {
        use base64::Engine as _;
        for lead in ["", "a", "ab", "abc"] {
            let whole = base64::prelude::BASE64_STANDARD.encode(format!("{lead}EKZQJX00001"));
            let mine = base64_at(b"EKZQJX", lead.len() % 3, b"+/");
            assert!(whole.contains(std::str::from_utf8(&mine).unwrap()), "{lead} {whole}");
        }
    }
}
