//! How a check ends: its figures in one line, for people or for machines, and the exit code that says whether the promise holds.

use serde::Serialize;
use std::fmt::Display;
use std::process::ExitCode;

/// Prints the figures, as JSON where that is wanted. 0 if it `passes`, else 1.
///
/// # Errors
/// The figures cannot be written as JSON.
pub fn tell(report: &(impl Serialize + Display), passes: bool, json: bool) -> serde_json::Result<ExitCode> {
    println!("{}", if json { serde_json::to_string(report)? } else { report.to_string() });
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
