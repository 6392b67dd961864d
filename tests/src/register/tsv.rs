//! Tables of cells between tabs under a header, as the data comes. No quoting.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Rows with the cells of these columns, in this order.
///
/// # Errors
/// The file is missing or empty, a column is missing, or a row has another number of cells than the header.
pub fn rows<const N: usize>(path: &Path, columns: [&str; N]) -> Result<Vec<[String; N]>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().with_context(|| format!("{} is empty", path.display()))?.split('\t').collect();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|title| *title == column);
        *place = found.with_context(|| format!("{} has no column {column}", path.display()))?;
    }
    let mut rows = Vec::new();
    for (at, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split('\t').collect();
        ensure!(cells.len() == header.len(), "{}: row {} has {} cells", path.display(), at + 2, cells.len());
        rows.push(places.map(|place| cells[place].to_owned()));
    }
    ensure!(!rows.is_empty(), "{} has no rows", path.display());
    Ok(rows)
}
