//! Who was registered at this household's door. What the door says of an identifier, `token/household`, has one writer: this
//! household's owner. Its content is computed, it stands in the record as unsent until it is acknowledged, and it follows the entry: its
//! grid is the entry's, and a household that is in the register no more takes back what its door said.

use super::Household;
use super::actions::Answered;
use crate::limits::REGISTERED_MAX;
use events::{Action, Fixed16, IdentifierLink, Link, Registered, Registration, Text, Token, TravellerId};

/// The strongest identifier, which a traveller's id begins with; the household knows no other.
fn strongest(traveller: &TravellerId) -> Option<Fixed16> {
    let (token, _) = traveller.split_once('-')?;
    token.parse::<Token>().ok().map(|token| Fixed16(token.0))
}

impl Household<'_> {
    /// Somebody at the door says of which household these people are: this one, or another, and then this one's door says so no more.
    pub(super) fn register(&mut self, action: &Action) -> Answered {
        let Some(Registration { household, travellers }) = &action.register else { return Err((400, Some("household"))) };
        let tokens: Vec<Fixed16> = travellers.iter().filter_map(strongest).collect();
        if tokens.is_empty() {
            return Err((400, Some("people")));
        }
        if *household != self.task.household {
            self.link_where(|registered| tokens.contains(&registered.token), &None);
            return Ok(());
        }
        let Some(grid) = self.context.entry.map(|entry| Text::new(entry.grid)) else { return Err((400, Some("household"))) };
        let known = |token: &Fixed16| self.task.registered.iter().any(|registered| registered.token == *token);
        let mut fresh: Vec<Fixed16> = tokens.iter().copied().filter(|token| !known(token)).collect();
        fresh.sort_unstable();
        fresh.dedup();
        if self.task.registered.len() + fresh.len() > REGISTERED_MAX {
            return Err((400, Some("people")));
        }
        let unlinked = |token| Registered { token, grid: None, unsent: false };
        self.task.registered.extend(fresh.into_iter().map(unlinked));
        self.link_where(|registered| tokens.contains(&registered.token), &Some(grid));
        Ok(())
    }

    /// The entry names another grid, or is gone.
    pub(super) fn links_follow_the_entry(&mut self) {
        let grid = self.context.entry.map(|entry| Text::new(entry.grid));
        self.link_where(|registered| registered.grid.is_some(), &grid);
    }

    /// What was written down and may not be in the log yet.
    pub(super) fn say_unsent_links(&mut self) {
        for registered in self.task.registered.iter().filter(|registered| registered.unsent) {
            self.out.links.push(link(&self.task.mandate, &self.task.household, registered));
        }
    }

    /// These say this grid from now on, or nothing; where that is news it is told.
    fn link_where(&mut self, which: impl Fn(&Registered) -> bool, grid: &Option<Text>) {
        let task = &mut *self.task;
        for registered in task.registered.iter_mut().filter(|registered| which(registered) && registered.grid != *grid) {
            (registered.grid, registered.unsent) = (grid.clone(), true);
            self.out.links.push(link(&task.mandate, &task.household, registered));
            self.out.changed = true;
        }
    }
}

fn link(mandate: &Text, household: &Text, registered: &Registered) -> (Token, Option<IdentifierLink>) {
    let of = |grid: &Text| {
        let links = vec![Link { household: household.to_string(), grid: grid.to_string() }];
        IdentifierLink { mandate: mandate.to_string(), links, common: false }
    };
    (Token(registered.token.0), registered.grid.as_ref().map(of))
}
