//! Which mandates are believed: every way in which one may be bad, and what a renewal may be. The good one beside each shows that it is
//! the one difference that counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use domain::mandate::{Book, Latest, Refused, Renewal, SignerKey, Signers, from_toml, renewal};
use events::time::DAY_MS;
use events::{Mandate, MandateState, Millis};
use testkit::given::{self, signed, signer_keys, signers};

const TEXT: &str = r#"
id = "m-1"
version = 2
title = "t"
legal_basis = "l"
issued_by = "i"
purposes = ["p"]
sources = ["s-1", "s-2"]
fields = ["phone", "plate"]
divisions = ["3301", "330206"]
max_households = 1000
valid_from = "2026-01-01T00:00:00Z"
valid_until = "2026-01-31T00:00:00Z"
"#;

fn unsigned() -> Mandate {
    from_toml(TEXT).unwrap()
}

fn with(change: impl FnOnce(&mut Mandate)) -> Mandate {
    let mut mandate = unsigned();
    change(&mut mandate);
    signed(mandate)
}

fn judged(mandate: &Mandate) -> Result<(), Refused> {
    Book::new(signers()).judge(&mandate.id, mandate)
}

#[test]
fn two_different_signers_of_this_site_and_no_fewer() {
    let [first, second, third] = signer_keys();
    let stranger = SignerKey::new("stranger", &[9; 32]);
    let impostor = SignerKey::new("signer-2", &[9; 32]);
    let by = |keys: &[&SignerKey]| {
        let mandate = unsigned();
        Mandate { signatures: keys.iter().map(|key| key.sign(&mandate)).collect(), ..mandate }
    };
    for good in [by(&[&first, &second]), by(&[&third, &first]), by(&[&first, &second, &third]), by(&[&first, &stranger, &third])] {
        assert_eq!(judged(&good), Ok(()), "{:?}", good.signatures);
    }
    for (bad, fits, says) in [
        (by(&[]), 0, "signed by 0 of the 2"),
        (by(&[&first]), 1, "signed by 1 of the 2"),
        (by(&[&first, &first]), 1, "signer-1 has signed twice"),
        (by(&[&first, &stranger]), 1, "stranger is no signer of this site"),
        (by(&[&first, &impostor]), 1, "the signature of signer-2 does not fit"),
        (by(&[&stranger, &impostor]), 0, "signed by 0 of the 2"),
    ] {
        let refused = judged(&bad).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(says) && said.contains("oneknock mandate sign"), "{said}");
        assert!(matches!(refused, Refused::Signatures { signed_by, .. } if signed_by.len() == fits), "{said}");
    }
    let mut garbled = by(&[&first, &second]);
    garbled.signatures = vec!["".into(), ":".into(), "signer-1:".into(), "signer-1:%%".into(), "张三:AAAA".into()];
    let said = judged(&garbled).unwrap_err().to_string();
    assert!(said.contains("somebody is no signer") && !said.contains("张三"), "{said}");
}

/// What a mandate says is signed field by field; what administrators do with it is not.
#[test]
fn whatever_is_altered_after_signing_is_seen() {
    type Change = fn(&mut Mandate);
    let altered: [(&str, Change); 14] = [
        ("id", |m| m.id = "m-2".into()),
        ("version", |m| m.version += 1),
        ("title", |m| m.title.push('x')),
        ("legal_basis", |m| m.legal_basis.clear()),
        ("issued_by", |m| m.issued_by.push('x')),
        ("purposes", |m| m.purposes.push("p-2".into())),
        ("sources", |m| m.sources = vec!["*".into()]),
        // The same letters, cut elsewhere.
        ("sources", |m| m.sources = vec!["s-".into(), "1s-2".into()]),
        ("fields", |m| m.fields.push("address".into())),
        ("divisions", |m| m.divisions = vec!["33".into()]),
        ("max_households", |m| m.max_households = 1_000_000),
        ("valid_until", |m| m.valid_until.0 -= 1),
        ("demonstration", |m| m.demonstration = true),
        ("parent", |m| m.parent = Some("m-0".into())),
    ];
    for (field, alter) in altered {
        let mut mandate = signed(unsigned());
        assert_eq!(judged(&mandate), Ok(()));
        alter(&mut mandate);
        assert!(matches!(judged(&mandate), Err(Refused::Signatures { .. })), "{field}");
    }
    let acted = Mandate { state: MandateState::Suspended, acted_by: Some("admin".into()), acted_at: Some(Millis(1)), ..signed(unsigned()) };
    assert_eq!(judged(&acted), Ok(()));
    // The layout of the file means nothing: what it says does.
    let again = TEXT.replace(" = ", "=").replace("id=\"m-1\"", "# A comment.\nid='m-1'");
    assert_eq!(judged(&Mandate { signatures: signed(unsigned()).signatures, ..from_toml(&again).unwrap() }), Ok(()));
}

#[test]
fn thirty_days_and_no_longer_but_for_demonstrations() {
    let lasting = |ms: i64, demonstration| {
        with(|m| {
            m.valid_until = Millis(m.valid_from.0 + ms);
            m.demonstration = demonstration;
        })
    };
    assert_eq!(judged(&lasting(30 * DAY_MS, false)), Ok(()));
    assert_eq!(judged(&lasting(30 * DAY_MS + 1, false)), Err(Refused::TooLong(31)));
    assert_eq!(judged(&lasting(365 * DAY_MS, true)), Ok(()));
}

/// Records in the order of a log; which are believed.
#[test]
fn what_is_older_or_has_ended_does_not_come_back() {
    let record = |version, state, acted_at: Option<i64>| Mandate { state, acted_at: acted_at.map(Millis), ..with(|m| m.version = version) };
    use MandateState::{Ended, Open, Suspended};
    let older = Err(Refused::Older { known: 2 });
    for (name, records) in [
        (
            "a renewal, and the version before again",
            vec![(record(1, Open, None), Ok(())), (record(2, Open, Some(5)), Ok(())), (record(1, Open, Some(9)), older.clone())],
        ),
        (
            "suspended, the record before that again, and resumed",
            vec![
                (record(2, Open, Some(5)), Ok(())),
                (record(2, Suspended, Some(6)), Ok(())),
                (record(2, Open, Some(5)), older.clone()),
                (record(2, Open, None), older),
                (record(2, Open, Some(7)), Ok(())),
            ],
        ),
        (
            "ended, and whatever comes after that",
            vec![
                (record(2, Open, Some(5)), Ok(())),
                (record(2, Ended, Some(6)), Ok(())),
                (record(2, Open, Some(7)), Err(Refused::Ended)),
                (record(3, Open, Some(8)), Err(Refused::Ended)),
                (record(3, Suspended, Some(8)), Err(Refused::Ended)),
                (record(2, Ended, Some(9)), Ok(())),
            ],
        ),
    ] {
        let mut book = Book::new(signers());
        for (at, (record, expected)) in records.into_iter().enumerate() {
            assert_eq!(book.judge("m-1", &record), expected, "{name}: record {at}");
        }
    }
    let mut book = Book::new(signers());
    assert_eq!(book.judge("m-2", &signed(unsigned())), Err(Refused::OtherKey));
    // What is not believed leaves no mark: a forged end ends nothing.
    let forged = Mandate { state: Ended, signatures: vec![], ..unsigned() };
    assert!(book.judge("m-1", &forged).is_err());
    assert_eq!(book.judge("m-1", &signed(unsigned())), Ok(()));
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let (latest, mandate) = (Latest::default(), signed(unsigned()));
    let in_force = |at: i64| domain::mandate::in_force(&mandate, latest.at(Millis(at)));
    let (until, before) = (mandate.valid_until.0, mandate.valid_until.0 - 1);
    assert!(in_force(before));
    assert!(!in_force(until));
    assert!(!in_force(before), "the clock went back");
    // The null control: without it the same moment is in force.
    assert!(domain::mandate::in_force(&mandate, Millis(before)));
}

#[test]
fn a_renewal_is_never_wider_than_its_parent() {
    let before = with(|m| m.version = 1);
    let renewed = |change: fn(&mut Mandate)| renewal(&with(change), Some(&before), None);
    // Later, and as wide or narrower.
    assert_eq!(renewed(|m| m.valid_until.0 += 20 * DAY_MS), Ok(()));
    assert_eq!(renewed(|m| (m.sources, m.divisions) = (vec!["s-1".into()], vec!["330106".into()])), Ok(()));
    type Change = fn(&mut Mandate);
    let wider: [(&str, Change); 9] = [
        ("purposes has \"other\"", |m| m.purposes.push("other".into())),
        ("sources has \"*\"", |m| m.sources = vec!["*".into()]),
        ("fields has \"address\"", |m| m.fields.push("address".into())),
        ("divisions has \"33\"", |m| m.divisions = vec!["33".into()]),
        ("divisions has \"*\"", |m| m.divisions = vec!["*".into()]),
        ("divisions has \"3302\"", |m| m.divisions = vec!["3302".into()]),
        ("divisions has \"44\"", |m| m.divisions = vec!["330106".into(), "44".into()]),
        ("max_households is 1001", |m| m.max_households = 1001),
        ("demonstration is true", |m| m.demonstration = true),
    ];
    for (says, change) in wider {
        let refused = renewed(change);
        let said = refused.as_ref().map(|()| String::new()).unwrap_or_else(ToString::to_string);
        assert!(matches!(refused, Err(Renewal::Wider { .. })), "{says}: {said}");
        assert!(said.contains(says) && said.contains("m-1 version 1"), "{says}: {said}");
    }
    for version in [0, 1] {
        let next = with(|m| m.version = version);
        assert_eq!(renewal(&next, Some(&before), None), Err(Refused::Older { known: 1 }.into()));
    }
    let ended = Mandate { state: MandateState::Ended, ..before.clone() };
    assert_eq!(renewal(&with(|_| {}), Some(&ended), None), Err(Refused::Ended.into()));

    // A parent that is named binds a new id too, also in time; one that is not there, or not open, binds nobody.
    let child = |change: fn(&mut Mandate)| {
        with(|m| {
            (m.id, m.parent) = ("m-2".into(), Some("m-1".into()));
            change(m);
        })
    };
    assert_eq!(renewal(&child(|_| {}), None, Some(&before)), Ok(()));
    assert!(matches!(renewal(&child(|m| m.fields = vec!["*".into()]), None, Some(&before)), Err(Renewal::Wider { .. })));
    assert!(matches!(renewal(&child(|m| m.valid_until.0 += 1), None, Some(&before)), Err(Renewal::Wider { .. })));
    assert_eq!(renewal(&child(|_| {}), None, None), Err(Renewal::NoParent("m-1".into())));
    assert_eq!(renewal(&child(|_| {}), None, Some(&ended)), Err(Renewal::NoParent("m-1".into())));
    assert_eq!(renewal(&given::mandate(), None, None), Ok(()), "the first of its id, and nobody's child");
}

#[test]
fn a_file_of_signers_has_three_different_ones() {
    let entry = |key: &SignerKey| domain::mandate::entry_toml(key.name(), &key.public_key());
    let [first, second, third] = signer_keys();
    assert!(Signers::from_toml(&[&first, &second, &third].map(entry).concat()).is_ok());
    let renamed = SignerKey::new("signer-9", &[1; 32]);
    for (text, says) in [
        (String::new(), "there are 0"),
        ([&first, &second].map(entry).concat(), "there are 2"),
        ([&first, &second, &second].map(entry).concat(), "different"),
        ([&first, &second, &renamed].map(entry).concat(), "different"),
        ("[[signer]]\nname = \"a b\"\npublic_key = \"\"".into(), "signer.name"),
        ("[[signer]]\nname = \"a\"\npublic_key = \"AAAA\"".into(), "public_key"),
        // A key under which anything fits.
        ("[[signer]]\nname = \"a\"\npublic_key = \"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"".into(), "public_key"),
        ("signers = 3".into(), "unknown field"),
    ] {
        let said = Signers::from_toml(&text).err().unwrap_or_else(|| panic!("{text}")).to_string();
        assert!(said.contains(says), "{said} should say {says}");
    }
}
