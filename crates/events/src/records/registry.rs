//! Who lives where, and who is responsible: what the registry import publishes.

use super::event::Sealed;
use crate::avro::{Millis, record};

record! {
    /// One household that an identifier belongs to.
    Link {
        /// The household.
        household: String,
        /// Its grid, to choose among several by a declared destination.
        grid: String,
    }
}

record! {
    /// An identifier's households; no links: unknown.
    IdentifierLink {
        /// The mandate whose tokens these are.
        mandate: String,
        /// Up to 8, by household.
        links: Vec<Link>,
        /// It belongs to more than 8 households: it identifies nobody.
        common: bool,
    }
}

record! {
    /// A household's grid and where to find it.
    HouseholdEntry {
        /// Milliseconds of the import that last changed its grid or address.
        version: i64,
        /// The responsible grid.
        grid: String,
        /// Sealed as field `address`, owner `mandate/household`.
        address: Option<Sealed>,
        /// Sealed as field `contact`: JSON {"name", "phone"}.
        contact: Option<Sealed>,
    }
}

record! {
    /// A community grid.
    GridEntry {
        /// What people call it.
        name: String,
        /// The community's code.
        community: String,
        /// The community's name.
        community_name: String,
        /// The subdistrict's code.
        subdistrict: String,
        /// The division's code.
        division: String,
        /// How many workers it has.
        workers: i32,
        /// When the import published it.
        published_at: Millis,
    }
}
