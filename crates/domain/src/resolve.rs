//! Which household a traveller belongs to: a pure function of its identifiers, its declared grid and the table.

use events::topics::pseudo_household;
use events::{Identifier, IdentifierKind, IdentifierLink, Link, Text};

/// Where a traveller is placed: a household, or `~token` where none or several are left.
///
/// Identifiers are taken strongest first. The households of the first known one are the candidates, each further known one narrows
/// them unless none would be left; several left at the end: the declared grid chooses if it leaves one. `links` answers what the
/// table says of a token (the import's links and those made at the door, merged). Empty without identifiers.
pub fn resolve<'a>(
    identifiers: &[Identifier],
    declared_grid: Option<&str>,
    mut links: impl FnMut(&Identifier) -> Option<std::borrow::Cow<'a, IdentifierLink>>,
) -> Text {
    let mut candidates: Vec<Link> = Vec::new();
    for identifier in identifiers {
        let Some(link) = links(identifier).filter(|link| !link.common && !link.links.is_empty()) else { continue };
        if candidates.is_empty() {
            candidates = link.links.clone();
            continue;
        }
        let both = |candidate: &Link| link.links.iter().any(|other| other.household == candidate.household);
        if candidates.iter().any(both) {
            candidates.retain(both);
        }
    }
    if candidates.len() > 1 {
        let in_grid = |candidate: &&Link| Some(candidate.grid.as_str()) == declared_grid;
        if let (Some(only), 1) = (candidates.iter().find(in_grid), candidates.iter().filter(in_grid).count()) {
            return only.household.as_str().into();
        }
    }
    match candidates.as_slice() {
        [only] => only.household.as_str().into(),
        _ => {
            let address = identifiers.iter().find(|identifier| identifier.kind == IdentifierKind::Address);
            address.or(identifiers.first()).map(|identifier| pseudo_household(identifier.token).into()).unwrap_or_default()
        }
    }
}

/// Whether the register was told to forget this identifier: what stands for it under its token alone has no households, and is not common.
/// No import publishes such a record, nor takes it away.
pub fn is_erased(imported: &IdentifierLink) -> bool {
    imported.links.is_empty() && !imported.common
}

/// What the table says of a token: the import's links and those made at the door, as one. None: it is unknown. Who was erased is not found by
/// a door either.
pub fn merge_links(imported: Option<IdentifierLink>, at_the_door: impl IntoIterator<Item = IdentifierLink>) -> Option<IdentifierLink> {
    if imported.as_ref().is_some_and(is_erased) {
        return imported;
    }
    let mut merged = imported;
    for made in at_the_door {
        let Some(known) = &mut merged else {
            merged = Some(made);
            continue;
        };
        for link in made.links {
            if !known.links.iter().any(|other| other.household == link.household) {
                known.links.push(link);
            }
        }
        known.common |= made.common || known.links.len() > crate::limits::LINKS_MAX;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Token;
    use std::borrow::Cow;

    const PERSON: Identifier = Identifier { kind: IdentifierKind::ResidentId, token: Token([1; 16]) };
    const PHONE: Identifier = Identifier { kind: IdentifierKind::Phone, token: Token([2; 16]) };
    const ADDRESS: Identifier = Identifier { kind: IdentifierKind::Address, token: Token([3; 16]) };

    fn place(identifiers: &[Identifier], declared: Option<&str>, table: &[(Identifier, &[(&str, &str)])]) -> Text {
        resolve(identifiers, declared, |identifier| {
            let (_, links) = table.iter().find(|(known, _)| known == identifier)?;
            let links = links.iter().map(|(household, grid)| Link { household: (*household).into(), grid: (*grid).into() }).collect();
            Some(Cow::Owned(IdentifierLink { mandate: "m".into(), links, common: false }))
        })
    }

    #[test]
    fn the_strongest_known_identifier_leads_and_others_narrow() {
        let table: &[(Identifier, &[(&str, &str)])] = &[(PERSON, &[("A", "g1"), ("B", "g2")]), (PHONE, &[("B", "g2"), ("C", "g3")])];
        assert_eq!(place(&[PERSON, PHONE], None, table), "B");
        assert_eq!(place(&[PERSON], Some("g1"), table), "A");
        assert_eq!(place(&[PHONE], Some("g9"), table), pseudo_household(PHONE.token));
        assert_eq!(place(&[PERSON], None, table), pseudo_household(PERSON.token));
    }

    #[test]
    fn an_identifier_that_would_leave_nobody_is_passed_over() {
        assert_eq!(place(&[PERSON, PHONE], None, &[(PERSON, &[("A", "g1")]), (PHONE, &[("B", "g2")])]), "A");
    }

    #[test]
    fn unknown_people_meet_at_their_address() {
        assert_eq!(place(&[PHONE, ADDRESS], Some("g2"), &[]), pseudo_household(ADDRESS.token));
        assert_eq!(place(&[PHONE], Some("g2"), &[]), pseudo_household(PHONE.token));
        assert_eq!(place(&[PHONE, ADDRESS], Some("g2"), &[(ADDRESS, &[("A", "g2")])]), "A");
        assert_eq!(place(&[], None, &[]), "");
    }

    fn link(households: &[&str]) -> IdentifierLink {
        let links = households.iter().map(|household| Link { household: (*household).into(), grid: "g".into() }).collect();
        IdentifierLink { mandate: "m".into(), links, common: false }
    }

    #[test]
    fn the_imports_links_and_the_doors_are_both_taken() {
        let households = |merged: Option<IdentifierLink>| -> Vec<String> {
            merged.map(|link| link.links.into_iter().map(|link| link.household).collect()).unwrap_or_default()
        };
        assert_eq!(merge_links(None, []), None);
        assert_eq!(households(merge_links(None, [link(&["A"])])), ["A"]);
        assert_eq!(households(merge_links(Some(link(&["B"])), [link(&["A"]), link(&["B"])])), ["B", "A"]);
        assert_eq!(households(merge_links(Some(link(&[])), [link(&["A"])])), [""; 0], "erased");
        let nobody = IdentifierLink { common: true, ..link(&[]) };
        assert!(merge_links(Some(nobody), [link(&["A"])]).unwrap().common, "it still identifies nobody");
    }

    #[test]
    fn more_than_eight_households_identify_nobody() {
        let eight = link(&["1", "2", "3", "4", "5", "6", "7", "8"]);
        assert!(!eight.common && !merge_links(Some(eight.clone()), [link(&["8"])]).unwrap().common);
        assert!(merge_links(Some(eight), [link(&["9"])]).unwrap().common);
    }
}
