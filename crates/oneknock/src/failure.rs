//! How a command ends other than well, and with which exit code: 1 failed, 2 bad usage or configuration, 3 done with rejected rows.

use std::fmt;
use std::path::Path;

/// Why a command did not simply succeed.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage or configuration: the message names file, key and what was expected. Exit code 2.
    Usage(String),
    /// It was tried and did not work. Exit code 1.
    Failed(anyhow::Error),
    /// A report that has been printed says no: the ledger does not close. Exit code 1, no further words.
    Negative,
    /// A report that has been printed says what is wrong with a file. Exit code 2, no further words.
    Refused,
    /// Done, but some rows were rejected; they have been named. Exit code 3.
    Rejected,
}

impl Failure {
    /// A file of the configuration that cannot be taken as it is.
    pub fn file(path: &Path, what: impl fmt::Display) -> Failure {
        Failure::Usage(format!("{}: {what}", path.display()))
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::Refused => 2,
            Failure::Failed(_) | Failure::Negative => 1,
            Failure::Rejected => 3,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) => f.write_str(message),
            Failure::Failed(error) => write!(f, "{error:#}"),
            Failure::Negative => f.write_str("not as it should be"),
            Failure::Refused => f.write_str("the file cannot be taken"),
            Failure::Rejected => f.write_str("some rows were rejected"),
        }
    }
}
