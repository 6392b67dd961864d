//! A register as three CSV files, whole each time it is written. Knows the files' columns, and nothing of what they are for.

use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Grids, households and who lives there.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// Grid to division.
    pub grids: BTreeMap<String, String>,
    /// Household to grid and address.
    pub households: BTreeMap<String, (String, String)>,
    /// Everybody; somebody who stands there twice belongs to both households.
    pub residents: BTreeSet<Resident>,
}

/// One row of the residents' file. Empty cells are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resident {
    /// The row's own name for the person.
    pub resident: String,
    /// The household.
    pub household: String,
    /// The resident ID number.
    pub resident_id: String,
    /// Telephone numbers.
    pub phones: Vec<String>,
    /// Plates.
    pub plates: Vec<String>,
}

impl Register {
    /// With two grids, g1 and g2, in two divisions.
    pub fn of_two_grids() -> Register {
        let grids = [("g1", "330106"), ("g2", "330107")];
        Register { grids: grids.map(|(grid, division)| (grid.to_owned(), division.to_owned())).into(), ..Register::default() }
    }

    /// Adds a household in a grid; its address is made of its name.
    pub fn household(&mut self, household: &str, grid: &str) {
        let address = format!("文三路{household}号");
        self.households.insert(household.to_owned(), (grid.to_owned(), address));
    }

    /// Writes the three files into a folder and gives their paths: grids, households, residents.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<[String; 3]> {
        std::fs::create_dir_all(folder)?;
        let mut grids = String::from("grid,name,community,community_name,subdistrict,division,workers\n");
        for (grid, division) in &self.grids {
            row(
                &mut grids,
                &[grid, &format!("网格{grid}"), &format!("{division}001001"), "社区", &format!("{division}001"), division, "1"],
            );
        }
        let mut households = String::from("household,grid,address,contact_name,contact_phone\n");
        for (household, (grid, address)) in &self.households {
            row(&mut households, &[household, grid, address, "某人", ""]);
        }
        let mut residents = String::from("resident,household,name,resident_id,phones,plates\n");
        for one in &self.residents {
            row(&mut residents, &[&one.resident, &one.household, "某人", &one.resident_id, &one.phones.join(";"), &one.plates.join(";")]);
        }
        let files = [("grids.csv", grids), ("households.csv", households), ("residents.csv", residents)];
        let mut paths = Vec::new();
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            paths.push(path.display().to_string());
        }
        paths.try_into().map_err(|_| anyhow::anyhow!("three files make three paths"))
    }
}

fn row(text: &mut String, cells: &[&str]) {
    let quoted: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
    text.push_str(&quoted.join(","));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_headers_and_a_row_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::of_two_grids();
        register.household("a\"1", "g1");
        let [grids, households, _] = register.write(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(grids).unwrap().lines().count(), 3);
        let households = std::fs::read_to_string(households).unwrap();
        assert_eq!(households.lines().nth(1), Some("\"a\"\"1\",\"g1\",\"文三路a\"\"1号\",\"某人\",\"\""));
    }
}
