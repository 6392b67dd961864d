//! What the registry publishes of the people of the city: links, entries and grids, as an import would, and what changes.

use super::people::{People, grid_name, household_name};
use super::script::{MANDATE, What, token};
use events::{GridEntry, HouseholdEntry, IdentifierLink, Link, Millis, Token};
use std::collections::{BTreeMap, BTreeSet};

/// What is published now.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    links: BTreeMap<Token, Vec<Link>>,
    entries: BTreeMap<usize, usize>,
}

impl Registry {
    /// What an import at this moment publishes of these people and households: entries that come, links, entries that go.
    pub fn import(&mut self, city: &People, households: &[usize], people: &[usize], at: Millis) -> Vec<What> {
        let mut steps = Vec::new();
        for &household in households {
            let now = &city.households[household];
            if now.gone || !now.has_entry || self.entries.get(&household) == Some(&now.grid) {
                continue;
            }
            self.entries.insert(household, now.grid);
            let entry = HouseholdEntry { version: at.0, grid: grid_name(now.grid), address: None, contact: None };
            steps.push(What::Entry(household_name(household), Some(entry)));
        }
        let mut names = BTreeMap::new();
        let everybody = households.iter().flat_map(|household| &city.households[*household].registered).chain(people);
        for &person in everybody.collect::<BTreeSet<_>>() {
            let somebody = &city.people[person];
            names.insert(somebody.name(person), somebody.registered.into_iter().collect());
            if let Some(phone) = somebody.phone {
                names.insert(format!("f{}", phone + 1), city.households_of_phone(phone));
            }
        }
        for &household in households {
            let gone = city.households[household].gone;
            names.insert(format!("a{}", household + 1), if gone { vec![] } else { vec![household] });
            for &car in &city.households[household].cars {
                names.insert(format!("c{}", car + 1), city.cars[car].clone());
            }
        }
        steps.extend(names.into_iter().filter_map(|(name, households)| self.link(city, &name, &households)));
        for household in households.iter().filter(|household| city.households[**household].gone) {
            if self.entries.remove(household).is_some() {
                steps.push(What::Entry(household_name(*household), None));
            }
        }
        steps
    }

    fn link(&mut self, city: &People, name: &str, households: &[usize]) -> Option<What> {
        let households: BTreeSet<usize> = households.iter().copied().filter(|household| !city.households[*household].gone).collect();
        let link = |household: &usize| Link { household: household_name(*household), grid: grid_name(city.households[*household].grid) };
        let links: Vec<Link> = households.iter().map(link).collect();
        let token = token(name);
        let known = self.links.get(&token).is_some_and(|known| !known.is_empty());
        if self.links.get(&token) == Some(&links) || links.is_empty() && !known {
            return None;
        }
        self.links.insert(token, links.clone());
        let link = (!links.is_empty()).then(|| IdentifierLink { mandate: MANDATE.into(), links, common: false });
        Some(What::Link(token, link))
    }
}

/// A grid in a division.
pub(super) fn grid_entry(grid: usize, division: &str, at: Millis) -> GridEntry {
    GridEntry {
        name: grid_name(grid),
        community: format!("{division}001001"),
        community_name: String::new(),
        subdistrict: format!("{division}001"),
        division: division.into(),
        workers: 1,
        published_at: at,
    }
}
