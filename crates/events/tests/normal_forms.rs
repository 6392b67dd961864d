//! Normal forms by tables: what is written differently and means the same has one form; what is wrong has a reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use events::identifier::IdentifierKind::{self, Address, Passport, Permit, Phone, Plate, ResidentId};
use events::normal::{self, NormalError};

/// (kind, as it may come, normal form)
const TAKEN: &[(IdentifierKind, &str, &str)] = &[
    // ID numbers: the check character in both cases and widths, separators, 15 digits upgraded.
    (ResidentId, "11010519491231002X", "11010519491231002X"),
    (ResidentId, "11010519491231002x", "11010519491231002X"),
    (ResidentId, "１１０１０５１９４９１２３１００２Ｘ", "11010519491231002X"),
    (ResidentId, "11010519491231002\u{2169}", "11010519491231002X"),
    (ResidentId, " 110105-19491231-002X\r\n", "11010519491231002X"),
    (ResidentId, "110105\u{3000}1949\u{a0}1231\u{2013}002X", "11010519491231002X"),
    (ResidentId, "\u{feff}110105194912\u{200b}31002X", "11010519491231002X"),
    (ResidentId, "110105491231002", "11010519491231002X"),
    (ResidentId, "810000199408230021", "810000199408230021"),
    // Regions that never existed or no longer do are no reason.
    (ResidentId, "010101491001001", "010101194910010016"),
    (ResidentId, "110105200002290013", "110105200002290013"),
    (ResidentId, "110105180001010010", "110105180001010010"),
    // Telephone numbers.
    (Phone, "13800138000", "13800138000"),
    (Phone, "+8613800138000", "13800138000"),
    (Phone, "008613800138000", "13800138000"),
    (Phone, "＋８６　１３８－００１３－８０００", "13800138000"),
    (Phone, "\u{202d}+86 138 0013 8000\u{202c}", "13800138000"),
    (Phone, "0086-138-0013-8000", "13800138000"),
    (Phone, "138·0013·8000", "13800138000"),
    (Phone, "+8698199649964", "98199649964"),
    // Not an 11-digit mobile behind it: kept.
    (Phone, "+86 10 1234 5678", "+861012345678"),
    (Phone, "+86 755 1234 5678", "+8675512345678"),
    (Phone, "+86 138 0013 800", "+861380013800"),
    (Phone, "8613800138000", "8613800138000"),
    (Phone, "+852 5123 4567", "+85251234567"),
    (Phone, "+86", "+86"),
    (Phone, "110", "110"),
    // Plates: blue, new-energy, and every other kind as it is.
    (Plate, "浙A12345", "浙A12345"),
    (Plate, "浙a·12345", "浙A12345"),
    (Plate, "浙Ａ・１２３４５", "浙A12345"),
    (Plate, "浙A•12345", "浙A12345"),
    (Plate, "浙A 12345", "浙A12345"),
    (Plate, "浙ad12345", "浙AD12345"),
    (Plate, "粤Z1234澳", "粤Z1234澳"),
    (Plate, "WJ粤12345", "WJ粤12345"),
    (Plate, "使123456", "使123456"),
    (Plate, "京A@1234", "京A@1234"),
    // A cut-off date and time are plausible plates somewhere: never dropped.
    (Plate, "2016", "2016"),
    // Other papers.
    (Passport, "e12 345-678", "E12345678"),
    (Permit, "h0123456(7)", "H0123456(7)"),
    (Permit, "+8613800138000", "+8613800138000"),
    (Permit, "straße", "STRASSE"),
    (Permit, "e\u{301}-1", "É1"),
    (Permit, "e-\u{301}", "É"),
    (Permit, "12345678901234567890123456789012", "12345678901234567890123456789012"),
];

/// (kind, as it may come, reason)
const REFUSED: &[(IdentifierKind, &str, NormalError)] = &[
    (ResidentId, "110105194912310021", NormalError::BadChecksum),
    (ResidentId, "X1010519491231002X", NormalError::BadForm),
    (ResidentId, "1101051949123100XX", NormalError::BadForm),
    (ResidentId, "11010519491231002Y", NormalError::BadForm),
    (ResidentId, "1101051949123100２é", NormalError::BadForm),
    (ResidentId, "1101051949123100é", NormalError::BadForm),
    (ResidentId, "11010519491231002", NormalError::BadForm),
    (ResidentId, "1101051949123100222", NormalError::BadForm),
    (ResidentId, "11010549123100X", NormalError::BadForm),
    (ResidentId, "١١٠١٠٥٤٩١٢٣١٠٠٢", NormalError::BadForm),
    (ResidentId, "张三", NormalError::BadForm),
    // 2001 and 1900 were no leap years, 2000 was; the checksum of each is right.
    (ResidentId, "110105200102290010", NormalError::BadDate),
    (ResidentId, "110105190002290017", NormalError::BadDate),
    (ResidentId, "110105000229001", NormalError::BadDate),
    (ResidentId, "110105491301002", NormalError::BadDate),
    (ResidentId, "110105490431002", NormalError::BadDate),
    (ResidentId, "110105490400002", NormalError::BadDate),
    (ResidentId, "110105179912310016", NormalError::BadDate),
    (ResidentId, "110105210001010015", NormalError::BadDate),
    (Phone, "", NormalError::Empty),
    (Plate, " \t\u{3000}\n", NormalError::Empty),
    (Plate, "-·・", NormalError::Empty),
    (Passport, "\u{200b}\u{feff}", NormalError::Empty),
    (ResidentId, "", NormalError::Empty),
    (Permit, "123456789012345678901234567890123", NormalError::TooLong),
    // One character may become many.
    (Permit, "\u{fdfa}\u{fdfa}\u{fdfa}", NormalError::TooLong),
    (Plate, "浙A\u{0}12345", NormalError::ControlCharacter),
    (Phone, "\u{1b}[31m138", NormalError::ControlCharacter),
    (Passport, "E1234567\u{9f}", NormalError::ControlCharacter),
    (Address, "文三路1号", NormalError::BadForm),
];

#[test]
fn what_means_the_same_has_one_form() {
    for (kind, raw, form) in TAKEN {
        assert_eq!(normal::identifier(*kind, raw).as_deref(), Ok(*form), "{kind} {raw:?}");
        assert_eq!(normal::identifier(*kind, form).as_deref(), Ok(*form), "the form of {raw:?} is not its own form");
    }
}

#[test]
fn what_is_wrong_has_a_reason_that_does_not_repeat_it() {
    for (kind, raw, reason) in REFUSED {
        assert_eq!(normal::identifier(*kind, raw), Err(*reason), "{kind} {raw:?}");
        assert_eq!(reason.to_string(), reason.reason());
    }
}

#[test]
fn every_wrong_digit_and_every_swap_of_neighbours_is_noticed() {
    let right = b"11010519491231002X";
    for at in 0..17 {
        for digit in b'0'..=b'9' {
            let mut wrong = right.to_vec();
            wrong[at] = digit;
            let taken = normal::resident_id(std::str::from_utf8(&wrong).unwrap()).is_ok();
            assert_eq!(taken, wrong == right, "digit {at}");
        }
        let mut swapped = right.to_vec();
        swapped.swap(at, at + 1);
        let taken = normal::resident_id(std::str::from_utf8(&swapped).unwrap()).is_ok();
        assert_eq!(taken, swapped == right, "neighbours {at}");
    }
}

#[test]
fn ascii_and_full_width_go_the_same_way() {
    for c in '\0'..='\x7f' {
        let [narrow, wide] = ["a", "ａ"].map(|letter| normal::identifier(Permit, &format!("{letter}{c}1")));
        assert_eq!(narrow, wide, "{c:?}");
    }
}

#[test]
fn a_form_is_its_own_form_whatever_character_it_holds() {
    // What lies beyond these planes has no decomposition and no case.
    for c in ('\0'..='\u{1ffff}').chain('\u{2f800}'..='\u{2fa1f}') {
        for raw in [format!("A{c}\u{301}1"), format!("가{c}ᆨ-\u{345}")] {
            if let Ok(form) = normal::identifier(Plate, &raw) {
                assert_eq!(normal::identifier(Plate, &form).as_ref(), Ok(&form), "U+{:04X}", u32::from(c));
            }
            if let Ok(form) = normal::address("g", &raw) {
                let again = normal::address("g", form.strip_prefix("g|").unwrap());
                assert_eq!(again.as_ref(), Ok(&form), "address, U+{:04X}", u32::from(c));
            }
        }
    }
}

#[test]
fn an_address_is_one_however_it_is_written_and_belongs_to_its_grid() {
    let form = normal::address("330106001001-03", "文三路1号3幢A201").unwrap();
    assert_eq!(form, "330106001001-03|文三路1号3幢A201");
    for same in ["文三路１号３幢ａ２０１", " 文三路 1号，3幢·A-201。", "文三路①号（3幢）A201", "文三路༡号٣幢A201\u{7}"]
    {
        assert_eq!(normal::address("330106001001-03", same).as_ref(), Ok(&form), "{same}");
    }
    assert_ne!(normal::address("330106001001-04", "文三路1号3幢A201").as_ref(), Ok(&form));
    assert_ne!(normal::address("g1", "1号"), normal::address("g", "11号"));
    assert_ne!(normal::address("g|1", "号"), normal::address("g", "1号"));
    assert_eq!(normal::address("g", "，。 -"), Err(NormalError::Empty));
    assert_eq!(normal::address("", "文三路1号"), Err(NormalError::Empty));
    assert!(normal::address("g", &"路".repeat(512)).is_ok());
    assert_eq!(normal::address("g", &"路".repeat(513)), Err(NormalError::TooLong));
}
