//! The register of grids, households and residents: `registry import`, a full snapshot for one mandate.

mod csv_file;
mod import;
mod present;
mod publish;
mod snapshot;

pub use import::{Counts, ImportError, ImportReport, ImportRequest, Outcome, Paths, import};
