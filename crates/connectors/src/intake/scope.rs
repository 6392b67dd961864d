//! Which mandate a record falls under, and how far that mandate reaches. Deny by default.
//!
//! A record is judged by the mandate's dates at `received_at`, with a clock of events at `observed_at`. Outside the mandate
//! (`out_of_mandate`) is a record that names a mandate which does not name its source, one whose identifiers the mandate does not allow,
//! and one whose own words say that it goes elsewhere: a declared destination or a telecom movement into a division that the mandate
//! has no part of. Where the registry knows better than the declaration is the router's to say (`out_of_area`).

use super::refusal::{Refusal, RefusalCode};
use domain::{Clock, mandate};
use events::{Mandate, MandateState, Millis};
use std::sync::Arc;

/// Whether a mandate may be acted on. With a clock of events `observed_at` decides; where there is none, dates do not count.
pub fn in_force(mandate: &Mandate, clock: Clock, now: Millis, observed_at: Option<Millis>) -> bool {
    match (clock, observed_at) {
        (Clock::Wall, _) => mandate::in_force(mandate, now),
        (Clock::Events, Some(at)) => mandate::in_force(mandate, at),
        (Clock::Events, None) => mandate.state == MandateState::Open,
    }
}

/// The mandate of a record: the named one, else the only one that is in force and names the source.
pub fn choose<'a>(
    mandates: &'a [Arc<Mandate>],
    source: &str,
    named: Option<&str>,
    is_in_force: impl Fn(&Mandate) -> bool,
) -> Result<&'a Arc<Mandate>, Refusal> {
    if let Some(named) = named {
        let found = mandates.iter().find(|one| one.id == named && is_in_force(one));
        let found = found.ok_or_else(|| Refusal::at(RefusalCode::NoMandate, "mandate", "no mandate of this id is in force"))?;
        if !mandate::names_source(found, source) {
            return Err(Refusal::at(RefusalCode::OutOfMandate, "mandate", "this mandate does not name the source"));
        }
        return Ok(found);
    }
    let mut naming = mandates.iter().filter(|one| mandate::names_source(one, source) && is_in_force(one));
    match (naming.next(), naming.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Refusal::whole(RefusalCode::NoMandate, "no mandate in force names this source")),
        (Some(_), Some(_)) => Err(Refusal::at(RefusalCode::NoMandate, "mandate", "several mandates name this source: say which")),
    }
}

/// Whether a division may have a part in the mandate's divisions: a shorter code stands for all below it.
pub fn touches_division(mandate: &Mandate, division: &str) -> bool {
    mandate.divisions.iter().any(|prefix| prefix == "*" || division.starts_with(prefix.as_str()) || prefix.starts_with(division))
}
