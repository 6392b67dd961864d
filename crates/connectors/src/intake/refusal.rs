//! Why a record is not taken: a code for machines, the field, and a sentence that never holds the value.

use keys::KeysGone;
use std::borrow::Cow;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A field that must be there is not.
    MissingField,
    /// A field has a value that it cannot have, or the record is no object.
    BadValue,
    /// An identifier has no normal form.
    BadIdentifier,
    /// `observed_at` is no RFC 3339 time.
    BadTime,
    /// Observed longer ago than the site takes.
    TooOld,
    /// Observed later than the site's clock allows.
    InFuture,
    /// No mandate in force names the source, or several do and the record does not say which.
    NoMandate,
    /// The mandate does not reach so far.
    OutOfMandate,
    /// The same id came before with other content.
    IdReused,
    /// A registry row names a grid that no good row has.
    UnknownGrid,
    /// A registry row names a household that no good row has.
    UnknownHousehold,
    /// A registry row repeats the key of one before it.
    Duplicate,
}

impl RefusalCode {
    /// The code as agencies see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::BadValue => "bad_value",
            Self::BadIdentifier => "bad_identifier",
            Self::BadTime => "bad_time",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::NoMandate => "no_mandate",
            Self::OutOfMandate => "out_of_mandate",
            Self::IdReused => "id_reused",
            Self::UnknownGrid => "unknown_grid",
            Self::UnknownHousehold => "unknown_household",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Why a record or row is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is refused, and will be refused again.
    Refused(Refusal),
    /// Its mandate is in force, but the mandate's keys are not here now: nothing can be said of it. It waits with its sender.
    KeysAway,
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> NotTaken {
        NotTaken::Refused(refusal)
    }
}

impl From<KeysGone> for NotTaken {
    fn from(_: KeysGone) -> NotTaken {
        NotTaken::KeysAway
    }
}

/// A record or row that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub code: RefusalCode,
    /// Where, by the field's name; nested ones with a dot.
    pub field: Option<&'static str>,
    /// For people. Never the value.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// In one field.
    pub fn at(code: RefusalCode, field: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { code, field: Some(field), message: message.into() }
    }

    /// In the record as a whole.
    pub fn whole(code: RefusalCode, message: &'static str) -> Refusal {
        Refusal { code, field: None, message: message.into() }
    }

    /// A field that must be there.
    pub fn missing(field: &'static str) -> Refusal {
        Refusal::at(RefusalCode::MissingField, field, "must be there")
    }

    /// A value that the field cannot have.
    pub fn bad_value(field: &'static str, message: &'static str) -> Refusal {
        Refusal::at(RefusalCode::BadValue, field, message)
    }
}
