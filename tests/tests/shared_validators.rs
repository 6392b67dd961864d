//! Identifier normal forms over `validators_cn/cases.tsv`: cases of seven validators, which disagree with one another.
//!
//! A validator asks "is this a number of today's plan?"; a normal form asks "can it be told apart and found again?".
//! So only resident ID numbers are judged; everything else is taken as it is. Each case either agrees with its source or
//! is listed here with the reason why it was settled otherwise, and a reason that no case needs any more fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use events::identifier::IdentifierKind;
use events::normal::{self, NormalError};

/// ID numbers on which the sources are overruled: (value, what we say, why).
const ID_NUMBERS_SETTLED: &[(&str, Result<&str, NormalError>, &str)] = &[
    ("010101491001001", Ok("010101194910010016"), "no region begins with 0, but the region code is never judged"),
    ("622223199912051311", Err(NormalError::BadChecksum), "an example of the form alone; its check character is wrong"),
];

const KEPT: &str = "papers, phones and plates of any kind are kept as they are, never dropped: unknown ones too";

const MISREAD: &str = "a letter that a camera may have misread is kept: a guess could make one car of two";

struct Case {
    line: usize,
    kind: String,
    region: String,
    value: String,
    valid: bool,
}

fn cases() -> Vec<Case> {
    let shared = std::env::var_os("ONEKNOCK_SHARED")
        .expect("ONEKNOCK_SHARED names the folder with the shared data; cargo xtask test-shared DIR sets it");
    let path = PathBuf::from(shared).join("data/validators_cn/cases.tsv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("kind\tregion\tvalue\tvalid\tnote\tsource"), "{}: another header", path.display());
    let case = |(at, line): (usize, &str)| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, region, value, valid @ ("0" | "1"), _, _] = fields[..] else { panic!("{}: line {}", path.display(), at + 2) };
        Case { line: at + 2, kind: kind.into(), region: region.into(), value: value.into(), valid: valid == "1" }
    };
    lines.enumerate().map(case).collect()
}

/// What an agency would send the value as; `None` where it identifies nobody.
fn sent_as(case: &Case) -> Option<IdentifierKind> {
    match case.kind.as_str() {
        "idcard" if matches!(case.region.as_str(), "CN" | "zh-CN") => Some(IdentifierKind::ResidentId),
        // Identity cards of Hong Kong and Taiwan come as papers of another kind.
        "idcard" | "hkid" | "twid" => Some(IdentifierKind::Permit),
        "passport" => Some(IdentifierKind::Passport),
        "phone" | "phone_e164" | "phone_national" | "phone_intl" => Some(IdentifierKind::Phone),
        "plate" | "plate_normalise" => Some(IdentifierKind::Plate),
        "postcode" => None,
        other => panic!("line {}: {other} is a kind of case that this test does not know", case.line),
    }
}

#[test]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
fn every_case_agrees_or_was_settled_with_a_reason() {
    let cases = cases();
    let mut agreed = 0_usize;
    let mut settled: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut reasons_used = BTreeSet::new();
    for case in &cases {
        let name = || format!("line {} {} {} {:?}", case.line, case.kind, case.region, case.value);
        let Some(kind) = sent_as(case) else {
            settled.entry("a post code identifies nobody").or_default().push(name());
            continue;
        };
        let form = normal::identifier(kind, &case.value);
        if case.kind == "plate_normalise" {
            assert_eq!(form.as_deref(), Ok(case.value.as_str()), "{}", name());
            settled.entry(MISREAD).or_default().push(name());
        } else if form.is_ok() == case.valid {
            agreed += 1;
        } else if let Some((value, ours, why)) = ID_NUMBERS_SETTLED.iter().find(|(value, _, _)| *value == case.value) {
            assert_eq!(form.as_deref(), ours.as_ref().copied(), "{}", name());
            reasons_used.insert(*value);
            settled.entry(why).or_default().push(name());
        } else {
            assert!(kind != IdentifierKind::ResidentId && form.is_ok() && !case.valid, "{}: we say {form:?}", name());
            settled.entry(KEPT).or_default().push(name());
        }
    }

    let others: usize = settled.values().map(Vec::len).sum();
    println!("validators_cn: {} cases, {agreed} agree, {others} settled otherwise", cases.len());
    for (why, names) in &settled {
        println!("  {} because {why}:", names.len());
        names.iter().for_each(|name| println!("    {name}"));
    }
    assert!(cases.len() >= 249 && agreed >= 183, "{} cases, {agreed} agree: less than there were", cases.len());
    assert_eq!(agreed + others, cases.len());
    assert_eq!(reasons_used.len(), ID_NUMBERS_SETTLED.len(), "a reason is no longer needed");
}

#[test]
#[ignore = "needs ONEKNOCK_SHARED; run by cargo xtask test-shared"]
fn the_same_mobile_number_is_one_with_and_without_its_country() {
    let mut compared = 0_usize;
    for case in cases().iter().filter(|case| case.kind.starts_with("phone") && case.valid) {
        let national = case.value.trim_start_matches("+86").trim_start_matches("0086").replace(' ', "");
        if national.len() != 11 || national.starts_with(['0', '+']) || !matches!(case.region.as_str(), "CN" | "zh-CN") {
            continue;
        }
        for written in [
            national.clone(),
            format!("+86{national}"),
            format!("0086-{national}"),
            format!("＋８６ {}-{}", &national[..3], &national[3..]),
        ] {
            assert_eq!(normal::phone(&written).as_ref(), Ok(&national), "line {}: {written}", case.line);
            compared += 1;
        }
    }
    println!("validators_cn: {compared} spellings of mobile numbers compared");
    assert!(compared >= 100, "{compared} compared: less than there were");
}
