//! "A person turned up and gave name, number and address", as a checkpoint reports it: with typing errors, and the truth beside it.

use super::census::{Census, DIVISION, address};
use super::{DAYS, FIRST_DAY, MONTH, draw, tsv};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Checkpoints around the town.
const CHECKPOINTS: u64 = 4;

/// One event.
pub struct Passage {
    /// The bureau's id.
    pub id: String,
    /// When it was seen: RFC 3339 at +08:00.
    pub at: String,
    /// Where.
    pub checkpoint: String,
    /// The number that was given; empty: none.
    pub number: String,
    /// The name that was given.
    pub name: String,
    /// The grid of the street that was given, where the register knows the street.
    pub grid: Option<String>,
    /// The address that was given, where it has a street that is known and a number in it.
    pub address: Option<String>,
    /// The truth: the household in which the person lives when this happens.
    pub lives_in: String,
    /// The truth: the household under which the register has the person; none: it does not.
    pub registered_in: Option<String>,
}

impl Passage {
    /// Its line of NDJSON, as the bureau sends it.
    pub fn line(&self) -> String {
        let destination = self.grid.as_ref().map(|grid| match &self.address {
            Some(address) => json!({"division": DIVISION, "grid": grid, "address": address}),
            None => json!({"division": DIVISION, "grid": grid}),
        });
        let mut line = json!({"id": self.id, "observed_at": self.at, "checkpoint": self.checkpoint, "direction": "in", "name": self.name});
        if !self.number.is_empty() {
            // The numbers are no Chinese ID numbers: they come as a paper of another kind.
            line["permit"] = Value::from(self.number.as_str());
        }
        if let Some(destination) = destination {
            line["destination"] = destination;
        }
        format!("{line}\n")
    }
}

/// Reads the events and spreads them over the week.
///
/// # Errors
/// The file is missing or has another header.
pub fn read(path: &Path, census: &Census, seed: u64) -> Result<Vec<Passage>> {
    let columns = [
        "event_id",
        "gold_household_id_at_event",
        "ssn",
        "first_name",
        "last_name",
        "mailing_address_street_number",
        "mailing_address_street_name",
        "mailing_address_unit_number",
        "gold_register_household_id",
    ];
    let passage = |[id, lives_in, number, first, last, door, street, unit, registered_in]: [String; 9]| {
        let grid = census.streets.get(&street).cloned();
        let named = grid.is_some() && !door.is_empty();
        let second = draw(seed, &["time", &id]) % (DAYS * DAY);
        Passage {
            at: at(second),
            checkpoint: format!("checkpoint-{}", 1 + draw(seed, &["checkpoint", &id]) % CHECKPOINTS),
            address: named.then(|| address(&door, &street, &unit)),
            name: format!("{first} {last}"),
            registered_in: Some(registered_in).filter(|household| !household.is_empty()),
            id,
            number,
            grid,
            lives_in,
        }
    };
    let mut passages: Vec<Passage> = tsv::rows(path, columns)?.into_iter().map(passage).collect();
    passages.sort_by(|one, other| (&one.at, &one.id).cmp(&(&other.at, &other.id)));
    Ok(passages)
}

fn at(second: u64) -> String {
    let (day, second) = (second / DAY, second % DAY);
    format!("{MONTH}-{}T{:02}:{:02}:{:02}+08:00", FIRST_DAY + day.cast_signed(), second / 3600, second / 60 % 60, second % 60)
}
