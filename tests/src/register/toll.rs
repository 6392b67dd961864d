//! A day at the highway's gates: order and repeated rows as they are in the data. The data has no plates: they are drawn.

use super::census::strangers_plate;
use super::{draw, row, tsv};
use anyhow::{Result, ensure};
use std::path::Path;

/// Of a hundred cars so many belong to nobody in the register.
const STRANGERS_OF_100: u64 = 30;

/// One row.
pub struct Toll {
    /// The agency's own number of the row.
    pub id: String,
    /// When it was seen: RFC 3339 at +08:00.
    pub at: String,
    /// Which gate.
    pub station: String,
    /// Onto the highway's town side; else away from it.
    pub inward: bool,
    /// The plate that was drawn.
    pub plate: String,
    /// The agency's class of vehicle.
    pub class: String,
}

/// Reads the rows of one day.
///
/// The plate is drawn from what the row says beside its number: the number is the agency's id, so two rows that are equal but for it are
/// one passage reported under two ids, and have to come out as a duplicate. With plates drawn from the number they would be two cars.
///
/// # Errors
/// The file is missing, has another header, or nothing of that day.
pub fn read(path: &Path, day: &str, plates: &[&str], seed: u64) -> Result<Vec<Toll>> {
    let columns = ["seq", "time", "tollgate_id", "direction", "vehicle_model", "has_etc", "vehicle_type"];
    let mut tolls = Vec::new();
    for [id, time, gate, direction, model, etc, kind] in tsv::rows(path, columns)? {
        let Some(clock) = time.strip_prefix(day).and_then(|rest| rest.strip_prefix(' ')) else { continue };
        let content = [time.as_str(), &gate, &direction, &model, &etc, &kind];
        let drawn = |what: &str| draw(seed, &[&[what], content.as_slice()].concat());
        let plate = match drawn("stranger") % 100 < STRANGERS_OF_100 {
            true => strangers_plate(drawn("plate")),
            false => plates[(drawn("plate") % plates.len() as u64) as usize].to_owned(),
        };
        tolls.push(Toll {
            at: format!("{day}T{clock}+08:00"),
            station: format!("gate-{gate}"),
            // 0 is entry, 1 exit.
            inward: direction == "0",
            class: format!("model-{model}"),
            id,
            plate,
        });
    }
    ensure!(!tolls.is_empty(), "{} has no row of {day}", path.display());
    Ok(tolls)
}

/// The rows as CSV.
pub fn table(tolls: &[Toll]) -> String {
    let mut text = String::from("id,observed_at,station,direction,plate,vehicle_class\n");
    for toll in tolls {
        let direction = if toll.inward { "in" } else { "out" };
        row(&mut text, &[&toll.id, &toll.at, &toll.station, direction, &toll.plate, &toll.class]);
    }
    text
}
