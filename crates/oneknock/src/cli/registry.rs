//! `oneknock registry …`, as the command line has it.

use crate::language::Language;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `oneknock registry …`
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// Publish the whole registry of one mandate: what changed, and what is gone.
    Import(Import),
    /// Put right what the registry says of one household, or move a person's identifiers to it; with a signed receipt.
    Correct(Correct),
    /// Forget a person, or a household's address and contact: no import brings them back; with a signed receipt.
    Erase(Erase),
    /// Let what was erased come again with the next import; with a signed receipt.
    Restore(Erase),
    /// Print the receipt of a correction or erasure again; exit code 1 where it was altered.
    Receipt {
        /// Its id.
        id: String,
        /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
        #[arg(long, value_enum)]
        lang: Option<Language>,
    },
}

/// `oneknock registry correct`
#[derive(Debug, Args)]
pub struct Correct {
    /// Its grid.
    #[arg(long)]
    pub grid: Option<String>,
    /// Its address; an empty one takes it away.
    #[arg(long)]
    pub address: Option<String>,
    /// Its contact's name; an empty one takes it away.
    #[arg(long)]
    pub contact_name: Option<String>,
    /// Its contact's phone; an empty one takes it away.
    #[arg(long)]
    pub contact_phone: Option<String>,
    /// The identifiers do not belong to the household, instead of belonging to it alone.
    #[arg(long, conflicts_with_all = ["grid", "address", "contact_name", "contact_phone"])]
    pub detach: bool,
    /// Whose.
    #[command(flatten)]
    pub subject: OfWhom,
}

/// `oneknock registry erase` and `restore`
#[derive(Debug, Args)]
pub struct Erase {
    /// The person's name: a contact of this name is theirs.
    #[arg(long)]
    pub name: Option<String>,
    /// Whose.
    #[command(flatten)]
    pub subject: OfWhom,
}

/// One household, one person.
#[derive(Debug, Args)]
pub struct OfWhom {
    /// The household.
    #[arg(long)]
    pub household: Option<String>,
    /// An identifier of the person: an ID number.
    #[arg(long)]
    pub resident_id: Vec<String>,
    /// A passport.
    #[arg(long)]
    pub passport: Vec<String>,
    /// A permit.
    #[arg(long)]
    pub permit: Vec<String>,
    /// A phone.
    #[arg(long)]
    pub phone: Vec<String>,
    /// A plate.
    #[arg(long)]
    pub plate: Vec<String>,
    /// Read values from here, not from the command line: JSON, or a CSV of one row with the import's columns; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The mandate, where several are in force.
    #[arg(long, value_name = "ID")]
    pub mandate: Option<String>,
    /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
    #[arg(long, value_enum)]
    pub lang: Option<Language>,
}

/// `oneknock registry import`
#[derive(Debug, Args)]
pub struct Import {
    /// Grids: grid,name,community,community_name,subdistrict,division,workers.
    #[arg(long, value_name = "CSV")]
    pub grids: PathBuf,
    /// Households: household,grid,address,contact_name,contact_phone.
    #[arg(long, value_name = "CSV")]
    pub households: PathBuf,
    /// Residents: resident,household,name,resident_id,phones,plates, optionally passports,permits.
    #[arg(long, value_name = "CSV")]
    pub residents: PathBuf,
    /// The mandate, where several are in force.
    #[arg(long, value_name = "ID")]
    pub mandate: Option<String>,
    /// Count only; publish nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Also where more than 5 % of the households are gone.
    #[arg(long)]
    pub yes: bool,
}
