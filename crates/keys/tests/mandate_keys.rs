//! What a mandate's keys make: ids that never change, that nobody links across mandates, and fields that open only
//! where they belong.
//!
//! The golden values were computed by another program (Python's hmac and AES-GCM) from the layout that the crate's
//! documentation states. A refactor that changes one of them would orphan everything already in a log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use std::collections::HashSet;

use events::identifier::IdentifierKind;
use keys::{Key, MandateKeys, OpenError, Suite};

fn root() -> Key {
    Key::new(std::array::from_fn(|at| at as u8))
}

fn of_suite(mandate: &str, suite: Suite) -> MandateKeys {
    MandateKeys::derive(mandate, suite, &root(), &[])
}

fn keys(mandate: &str) -> MandateKeys {
    of_suite(mandate, Suite::Aes)
}

const NORMAL_FORMS: [(IdentifierKind, &str, &str); 6] = [
    (IdentifierKind::ResidentId, "11010519491231002X", "cfb402e8ae72465ccd2715987879725a"),
    (IdentifierKind::Passport, "E12345678", "01fbe665aff6182c722f95ec1e139348"),
    (IdentifierKind::Permit, "H01234567", "707f80f934ce70bc05e9f81152416ae3"),
    (IdentifierKind::Phone, "13800138000", "c6ddafac33abc4a964d75ca6b4dd0e06"),
    (IdentifierKind::Plate, "浙A12345", "b69740346ccd48ac5bfdd6e8b9ccaf0e"),
    (IdentifierKind::Address, "330106001001-03|文三路1号3幢A201", "e1121e467fdd5fbf4cffbdb7353d6472"),
];

#[test]
fn golden_tokens_and_ids() {
    let keys = keys("m-2026-001");
    for (kind, form, token) in NORMAL_FORMS {
        assert_eq!(keys.token(kind, form).unwrap().to_string(), token, "{kind}");
    }
    let event_id = keys.event_id("checkpoint-bureau", "cp-118-000001", &[0xab; 32]);
    assert_eq!(hex::encode(event_id.unwrap()), "a5c3b1b79551a2fef4e2cf65d571998f");
    let source_ref = keys.source_ref("checkpoint-bureau", "cp-118-000001");
    assert_eq!(hex::encode(source_ref.unwrap()), "6b79fdad30037dcee990c1d8b807cf71");
}

#[test]
fn golden_sealed_value_opens() {
    let sealed = "0174558dc32222222222222222222222222cc946576cc0e2d5bed80d603580adf3df1db334fe682673231431973fc7234604b9a56703\
                  122ae86518aeaf0a2b66963333333333333333333333336215d5a2721b9d9b1d890ee2101c0ab8518c188b7555f3d7d5b46f3946";
    let opened = keys("m-2026-001").open("address", "m-2026-001/h-1", &hex::decode(sealed).unwrap());
    assert!(opened.is_ok_and(|address| address.expose() == "文三路1号".as_bytes()));
}

#[test]
fn no_token_of_one_mandate_or_kind_is_one_of_another() {
    let other_root = MandateKeys::derive("m-1", Suite::Aes, &Key::new([0xee; 32]), &[]);
    let sites = [keys("m-1"), keys("m-2"), other_root, of_suite("m-1", Suite::Sm)];
    let mut seen = HashSet::new();
    for keys in &sites {
        for kind in IdentifierKind::ALL {
            assert!(seen.insert(keys.token(kind, "13800138000").unwrap().0), "{} {kind}", keys.mandate());
        }
        assert!(seen.insert(keys.event_id("s", "1", b"c").unwrap()));
        assert!(seen.insert(keys.event_id("s", "1", b"d").unwrap()));
        assert!(seen.insert(keys.event_id("s", "2", b"c").unwrap()));
        assert!(seen.insert(keys.event_id("s1", "", b"c").unwrap()));
        assert!(seen.insert(keys.event_id("", "s1", b"c").unwrap()));
        assert!(seen.insert(keys.source_ref("s", "1").unwrap()));
        assert!(seen.insert(keys.source_ref("s1", "").unwrap()));
    }
    assert_eq!(keys("m-1").token(IdentifierKind::Phone, "1"), keys("m-1").token(IdentifierKind::Phone, "1"));
}

fn refused(keys: &MandateKeys, field: &str, owner: &str, sealed: &[u8]) -> Option<OpenError> {
    keys.open(field, owner, sealed).err()
}

#[test]
fn a_sealed_value_opens_for_its_field_and_owner_in_another_process() {
    for (suite, longer) in [(Suite::Aes, 93), (Suite::Sm, 77)] {
        let sealing = of_suite("m-1", suite);
        for text in ["", "文三路1号3幢A201", &"x".repeat(10_000)] {
            let sealed = sealing.seal("address", "m-1/h-1", text.as_bytes()).unwrap();
            assert_eq!((sealed[0], sealed.len()), (suite.id(), text.len() + longer));
            let opened = of_suite("m-1", suite).open("address", "m-1/h-1", &sealed).ok().and_then(|value| value.into_text());
            assert!(opened.is_some_and(|value| value.expose() == text));
            assert_ne!(sealed, sealing.seal("address", "m-1/h-1", text.as_bytes()).unwrap(), "a nonce came twice");
            assert_eq!(refused(&sealing, "contact", "m-1/h-1", &sealed), Some(OpenError::Refused));
            assert_eq!(refused(&sealing, "address", "m-1/h-2", &sealed), Some(OpenError::Refused));
            assert_eq!(refused(&sealing, "addressm", "-1/h-1", &sealed), Some(OpenError::Refused));
            assert_eq!(refused(&of_suite("m-2", suite), "address", "m-1/h-1", &sealed), Some(OpenError::UnknownKey));
        }
    }
}

#[test]
fn one_suite_opens_nothing_of_the_other() {
    let [aes, sm] = Suite::ALL.map(|suite| of_suite("m-1", suite));
    let sealed = aes.seal("address", "o", b"1").unwrap();
    assert_eq!(refused(&sm, "address", "o", &sealed), Some(OpenError::UnknownKey));
    let sealed = sm.seal("address", "o", b"1").unwrap();
    assert_eq!(refused(&aes, "address", "o", &sealed), Some(OpenError::UnknownKey));
}

#[test]
fn a_key_id_alone_opens_nothing_of_another_mandate() {
    let sealed = keys("m-1").seal("address", "o", b"1").unwrap();
    let mut forged = keys("m-2").seal("address", "o", b"1").unwrap()[..5].to_vec();
    forged.extend_from_slice(&sealed[5..]);
    assert_eq!(refused(&keys("m-2"), "address", "o", &forged), Some(OpenError::Refused));
}

#[test]
fn every_changed_bit_and_every_missing_byte_is_refused() {
    for (suite, shortest) in [(Suite::Aes, 93), (Suite::Sm, 77)] {
        let keys = of_suite("m-1", suite);
        let sealed = keys.seal("address", "m-1/h-1", "文三路1号".as_bytes()).unwrap();
        // Opened once, so that the kept data key can't let a changed header pass.
        assert!(keys.open("address", "m-1/h-1", &sealed).is_ok());
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                let expected = match (at, Suite::of_id(changed[0])) {
                    (0, None) => OpenError::UnknownSuite(changed[0]),
                    (0..5, _) => OpenError::UnknownKey,
                    _ => OpenError::Refused,
                };
                assert_eq!(refused(&keys, "address", "m-1/h-1", &changed), Some(expected), "{suite} byte {at}, bit {bit}");
            }
            let expected = if at < shortest { OpenError::CutOff } else { OpenError::Refused };
            assert_eq!(refused(&keys, "address", "m-1/h-1", &sealed[..at]), Some(expected), "{suite} cut at {at}");
        }
        let mut longer = sealed;
        longer.push(0);
        assert_eq!(refused(&keys, "address", "m-1/h-1", &longer), Some(OpenError::Refused));
    }
}

#[test]
fn after_a_rotation_new_values_are_under_the_new_key_old_ones_still_open_and_tokens_stay() {
    for suite in Suite::ALL {
        let before = of_suite("m-1", suite);
        let after = MandateKeys::derive("m-1", suite, &root(), &[Key::new([7; 32])]);
        let (old, new) = (before.seal("address", "o", b"1").unwrap(), after.seal("address", "o", b"2").unwrap());
        assert_ne!(old[1..5], new[1..5], "the key id in the value says which");
        assert!(after.open("address", "o", &old).is_ok() && after.open("address", "o", &new).is_ok());
        assert_eq!(refused(&before, "address", "o", &new), Some(OpenError::UnknownKey));
        for kind in IdentifierKind::ALL {
            assert_eq!(before.token(kind, "13800138000"), after.token(kind, "13800138000"));
        }
        assert_eq!(before.event_id("s", "1", b"c"), after.event_id("s", "1", b"c"));
    }
}

#[test]
fn keys_show_nothing_but_their_mandate() {
    assert_eq!(format!("{:?}", keys("m-1")), "MandateKeys { mandate: \"m-1\", .. }");
}
