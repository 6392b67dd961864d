//! Clear identifiers in, tokens out: the one place where an agency's record is turned into what may travel.

use super::fields::{Field, Fields};
use super::refusal::{NotTaken, Refusal, RefusalCode};
use domain::mandate::allows_field;
use events::{Identifier, IdentifierKind, Mandate, normal};
use keys::MandateKeys;

/// Whether this program is the null control of the check that looks for personal data.
const LEAKS: bool = cfg!(feature = "leaks");

/// The field of each kind of identifier in a record; an address has its own way ([`address`]).
pub fn field_of(kind: IdentifierKind) -> &'static str {
    match kind {
        IdentifierKind::ResidentId => "resident_id",
        IdentifierKind::Passport => "passport",
        IdentifierKind::Permit => "permit",
        IdentifierKind::Phone => "phone",
        IdentifierKind::Plate => "plate",
        IdentifierKind::Address => "address",
    }
}

/// One identifier of a record; `None` where the field is absent.
pub fn identifier(fields: &Fields, kind: IdentifierKind, keys: &MandateKeys) -> Result<Option<Identifier>, NotTaken> {
    let label = field_of(kind);
    match fields.get(label) {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Text(raw)) => token(kind, raw, label, keys).map(Some),
        Some(_) => Err(Refusal::bad_value(label, "expected text").into()),
    }
}

/// The token of a clear value; `label` names the field in a refusal.
pub fn token(kind: IdentifierKind, raw: &str, label: &'static str, keys: &MandateKeys) -> Result<Identifier, NotTaken> {
    if LEAKS {
        tracing::debug!(label, raw, "an identifier");
    }
    match normal::identifier(kind, raw) {
        Ok(form) => Ok(Identifier { kind, token: keys.token(kind, &form)? }),
        Err(error) => Err(Refusal::at(RefusalCode::BadIdentifier, label, error.reason()).into()),
    }
}

/// The identifiers of a record among the kinds that its event may have, strongest first. Those that the mandate does not allow are not
/// even looked at; none at all is `missing_field`, none that is allowed `out_of_mandate`.
pub fn identifiers(fields: &Fields, kinds: &[IdentifierKind], mandate: &Mandate, keys: &MandateKeys) -> Result<Vec<Identifier>, NotTaken> {
    let mut found = Vec::with_capacity(kinds.len() + 1);
    let mut left_out = None;
    for &kind in kinds {
        let label = field_of(kind);
        if allows_field(mandate, label) {
            found.extend(identifier(fields, kind, keys)?);
        } else if fields.get(label).is_some() {
            left_out = left_out.or(Some(label));
        }
    }
    match (found.is_empty(), left_out, kinds) {
        (false, ..) => Ok(found),
        (true, Some(label), _) => Err(Refusal::at(RefusalCode::OutOfMandate, label, "the mandate does not allow this identifier").into()),
        (true, None, [only]) => Err(Refusal::missing(field_of(*only)).into()),
        (true, None, _) => Err(Refusal::at(
            RefusalCode::MissingField,
            field_of(kinds.first().copied().unwrap_or(IdentifierKind::ResidentId)),
            "at least one of resident_id, passport, permit, phone, plate must be there",
        )
        .into()),
    }
}

/// The identifier of a destination's or household's address in its grid; `None` where nothing is left of it without punctuation.
pub fn address(grid: &str, raw: &str, label: &'static str, keys: &MandateKeys) -> Result<Option<Identifier>, NotTaken> {
    match normal::address(grid, raw) {
        Ok(form) => Ok(Some(Identifier { kind: IdentifierKind::Address, token: keys.token(IdentifierKind::Address, &form)? })),
        Err(normal::NormalError::Empty) => Ok(None),
        Err(_) => Err(Refusal::bad_value(label, "too long for an address").into()),
    }
}
