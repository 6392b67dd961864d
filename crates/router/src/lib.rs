//! The router: finds the household of every signal and puts one visit into the inbox of the grid that is responsible for it.
//!
//! Two loops, both owners of partitions under the same rules (`eventlog::owner`): `travellers` resolves, `households` routes. What they
//! decide is `domain`'s; this crate brings records, tables and decisions together. It knows neither agencies nor phones.

mod households;
mod outgoing;
mod outstanding;
mod replay;
mod run;
mod site;
mod travellers;

pub use households::{Households, INPUTS as HOUSEHOLD_INPUTS};
pub use replay::{REPLAYED, Replay};
pub use run::{Config, run, run_with};
pub use site::{GridMap, Site};
pub use travellers::{INPUTS as TRAVELLER_INPUTS, Travellers};
