//! What a new version of a mandate may be: never wider than its parent, which is the mandate that it names, or else its own version before.
//! Who needs more needs another mandate, under a new id with new keys: then nothing links the two.

use super::signing::Refused;
use events::{Mandate, MandateState};

/// Why a mandate does not follow from its parent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Renewal {
    /// As a record it would not be believed either.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It allows what its parent does not.
    #[error(
        "wider than its parent {parent}: {}; narrow it and have it signed again, or open it as a mandate of its own: without `parent`, under a new id",
        what.join("; ")
    )]
    Wider {
        /// Id and version of the parent.
        parent: String,
        /// What is wider, field by field.
        what: Vec<String>,
    },
    /// It names a parent that is not there.
    #[error("parent: there is no open mandate {0} here; name one that `oneknock mandate list` shows as open, or leave it out")]
    NoParent(String),
}

/// Whether `next` may take the place of `before`, the version that is known of the same id, under the mandate that it names as its parent.
///
/// # Errors
/// What is in the way, in words for the operator.
pub fn renewal(next: &Mandate, before: Option<&Mandate>, parent: Option<&Mandate>) -> Result<(), Renewal> {
    if let Some(before) = before {
        if before.state == MandateState::Ended {
            return Err(Refused::Ended.into());
        }
        if next.version <= before.version {
            return Err(Refused::Older { known: before.version }.into());
        }
    }
    let named = match (&next.parent, parent) {
        (None, _) => None,
        (Some(_), Some(parent)) if parent.state == MandateState::Open => Some(parent),
        (Some(id), _) => return Err(Renewal::NoParent(id.clone())),
    };
    let Some(above) = named.or(before) else { return Ok(()) };
    let mut what = Vec::new();
    for (field, mine, theirs) in
        [("purposes", &next.purposes, &above.purposes), ("sources", &next.sources, &above.sources), ("fields", &next.fields, &above.fields)]
    {
        let more = mine.iter().filter(|one| !theirs.iter().any(|other| other == "*" || other == *one));
        what.extend(more.map(|one| format!("{field} has \"{one}\"")));
    }
    let outside = |one: &&String| !above.divisions.iter().any(|prefix| prefix == "*" || *one != "*" && one.starts_with(prefix.as_str()));
    what.extend(next.divisions.iter().filter(outside).map(|one| format!("divisions has \"{one}\"")));
    if next.max_households > above.max_households {
        what.push(format!("max_households is {}, its parent's {}", next.max_households, above.max_households));
    }
    if next.demonstration && !above.demonstration {
        what.push("demonstration is true, its parent's false".to_owned());
    }
    // A renewal is for a later time than what it renews; under another mandate it lasts no longer than that one.
    if named.is_some() && (next.valid_from < above.valid_from || next.valid_until > above.valid_until) {
        what.push("it is in force outside its parent's dates".to_owned());
    }
    match what.is_empty() {
        true => Ok(()),
        false => Err(Renewal::Wider { parent: format!("{} version {}", above.id, above.version), what }),
    }
}
