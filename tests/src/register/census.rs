//! The register: households, who lives there, a grid for each street, and a plate for each household with an adult.

use super::{draw, row, tsv};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use testkit::site::numbers;

/// The made-up town's division; its grids lie in it.
pub const DIVISION: &str = "330106";
/// Streets of one grid. There are about as many streets as households, so a street alone would make a grid of one door.
const STREETS_OF_A_GRID: usize = 40;
/// Adults of the census are born on this day or earlier: 18 years before it was taken.
const ADULT_BORN_UNTIL: &str = "2002-04-01";
/// Plates of the register begin below this one, those of strangers lie far above.
const PLATES_BEGIN_BELOW: u64 = 30_000_000;

/// Somebody who is registered.
pub struct Person {
    /// Their number in the register.
    pub id: String,
    /// Social security number, where there is one.
    pub ssn: String,
}

/// A household.
pub struct Household {
    /// Its grid.
    pub grid: String,
    /// Street number, street and unit.
    pub address: String,
    /// Its car, if an adult lives there.
    pub plate: Option<String>,
    /// Who lives there.
    pub people: Vec<Person>,
}

/// The register.
pub struct Census {
    /// By their number.
    pub households: BTreeMap<String, Household>,
    /// Street to grid.
    pub streets: BTreeMap<String, String>,
}

impl Census {
    /// Reads the register; plates are drawn.
    ///
    /// # Errors
    /// The file is missing or has another header.
    pub fn read(path: &Path, seed: u64) -> Result<Census> {
        let columns = ["simulant_id", "household_id", "date_of_birth", "ssn", "street_number", "street_name", "unit_number"];
        let rows = tsv::rows(path, columns)?;
        let mut streets: BTreeMap<String, String> = rows.iter().map(|[.., street, _]| (street.clone(), String::new())).collect();
        for (at, grid) in streets.values_mut().enumerate() {
            *grid = format!("{DIVISION}001001-{:03}", at / STREETS_OF_A_GRID + 1);
        }
        let mut households: BTreeMap<String, Household> = BTreeMap::new();
        let mut with_an_adult = BTreeSet::new();
        for [id, household, born, ssn, number, street, unit] in rows {
            if born.as_str() <= ADULT_BORN_UNTIL {
                with_an_adult.insert(household.clone());
            }
            let household = households.entry(household).or_insert_with(|| Household {
                grid: streets[&street].clone(),
                address: address(&number, &street, &unit),
                plate: None,
                people: Vec::new(),
            });
            household.people.push(Person { id, ssn });
        }
        let first_plate = draw(seed, &["plates"]) % PLATES_BEGIN_BELOW;
        let drive = households.iter_mut().filter(|(id, _)| with_an_adult.contains(*id));
        for (at, (_, household)) in drive.enumerate() {
            household.plate = Some(numbers::plate(first_plate + at as u64));
        }
        Ok(Census { households, streets })
    }

    /// All plates, in the order of their households.
    pub fn plates(&self) -> Vec<&str> {
        self.households.values().filter_map(|household| household.plate.as_deref()).collect()
    }

    /// Grids, households and residents as `registry import` reads them.
    pub fn tables(&self) -> [String; 3] {
        let mut grids = String::from("grid,name,community,community_name,subdistrict,division,workers\n");
        let mut of_grid: BTreeMap<&str, usize> = BTreeMap::new();
        for household in self.households.values() {
            *of_grid.entry(&household.grid).or_default() += 1;
        }
        for (at, grid) in of_grid.keys().enumerate() {
            row(
                &mut grids,
                &[grid, &format!("Grid {}", at + 1), &format!("{DIVISION}001001"), "Anytown", &format!("{DIVISION}001"), DIVISION, "1"],
            );
        }
        let mut households = String::from("household,grid,address,contact_name,contact_phone\n");
        let mut residents = String::from("resident,household,name,resident_id,phones,plates,permits\n");
        for (id, household) in &self.households {
            row(&mut households, &[id, &household.grid, &household.address, "", ""]);
            for (at, person) in household.people.iter().enumerate() {
                // The household's car stands with the first who is written down.
                let plate = household.plate.as_deref().filter(|_| at == 0).unwrap_or_default();
                row(&mut residents, &[&person.id, id, "", "", "", plate, &person.ssn]);
            }
        }
        [grids, households, residents]
    }
}

/// An address in one line.
pub fn address(number: &str, street: &str, unit: &str) -> String {
    [number, street, unit].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A plate of somebody who is not in the register: one of 10 000.
pub fn strangers_plate(number: u64) -> String {
    numbers::plate(PLATES_BEGIN_BELOW + 10_000_000 + number % 10_000)
}
