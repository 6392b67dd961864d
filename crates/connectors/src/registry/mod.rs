//! The register of grids, households and residents: `registry import`, a full snapshot for one mandate; and what one person may ask of it,
//! `registry correct`, `registry erase`, `registry restore`.

mod csv_file;
mod erased;
mod given;
mod import;
mod present;
mod publish;
mod rights;
mod snapshot;

pub use given::{COLUMNS, Given};
pub use import::{Counts, ImportError, ImportReport, ImportRequest, Outcome, Paths, import};
pub use rights::{Act, Done, Order, Planned, plan};
