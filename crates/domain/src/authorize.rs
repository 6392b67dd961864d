//! Who may what: the one place that says it, for every role and every listener. Deny by default.
//!
//! Pure over plain data. It must not know HTTP, tokens or how a caller signed in; what it cannot know (the time, grids) is handed in.
//! What a mandate covers record by record (a source's fields and divisions) is `mandate`'s word, and so told with each record.

use crate::mandate::{allows_field, area_has_grid, in_force, names_source};
use events::topics::{AUDIT, MANDATES, POLICIES};
use events::{Actor, GridEntry, Mandate, MandateState, Millis, Role, Scope, SourceKind};
use std::sync::Arc;

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at it.
    Read,
    /// Add to it.
    Append,
    /// Do something with a task, or take a lock away.
    Act {
        /// It reports an open door: that counts also where the task has since gone to triage.
        screening: bool,
    },
}

/// How much of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// That it is there and how it stands: nothing personal.
    State,
    /// Its address.
    Address,
    /// Its contact and note.
    Contact,
    /// A person's identifier that is asked about, by its name in mandates.
    Identifier(&'a str),
}

/// Looks a grid up.
pub type Grids<'a> = &'a (dyn Fn(&str) -> Option<Arc<GridEntry>> + Sync);

/// Where something is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The grid, where one is known.
    pub grid: Option<&'a str>,
    /// The grids that there are.
    pub grids: Grids<'a>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub enum Object<'a> {
    /// Arrivals of a kind, sent in the caller's own name; `None`: of no kind that there is.
    Arrival(Option<SourceKind>),
    /// What became of an arrival that the caller sent: others are not found under its name.
    ArrivalStatus,
    /// Whether a household has been screened.
    Screening,
    /// The caller's own inbox: lists and stream. What stands in them is asked for one by one.
    Inbox,
    /// A visit.
    Task {
        /// Where it is.
        place: Place<'a>,
        /// Nobody knows yet whose it is.
        triage: bool,
        /// It is the household's last visit, and another has come since.
        is_over: bool,
    },
    /// The household that people at a door are registered to, and the names of grids.
    Grid(Place<'a>),
    /// The notices to supervisors. What stands there is asked for one by one.
    Notices,
    /// That somebody opened more than the hour's budget, and the lock that came of it.
    Notice {
        /// Where they did.
        place: Place<'a>,
        /// Who.
        about: &'a str,
    },
    /// Reports for the ops team: flows, delays, books.
    Report,
    /// The newest records of one topic, undecoded where sealed.
    Topic(&'a str),
    /// The log itself, for this site's other commands.
    Log,
}

/// The mandate that something is under.
#[derive(Clone, Copy, Debug)]
pub enum Under<'a> {
    /// No mandate's: it says nothing about anybody.
    Site,
    /// This one's.
    Mandate {
        /// `None`: it is not known.
        mandate: Option<&'a Mandate>,
        /// When; `None`: its dates do not count, its state does.
        at: Option<Millis>,
    },
}

/// Why not. All but the first are told as if the object were absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody of this role may do this, whatever the object: saying so tells nothing of any.
    Role,
    /// The mandate is not in force, or does not allow this.
    Mandate,
    /// It is somebody else's.
    Object,
}

/// Whether an actor may do something with a field of an object under a mandate.
///
/// # Errors
/// [`Refusal`]: it may not.
pub fn authorize(actor: &Actor, mandate: Under<'_>, object: &Object<'_>, field: Field<'_>, action: Action) -> Result<(), Refusal> {
    let checks = [
        (role_may(&actor.role, object, action), Refusal::Role),
        (mandate_allows(mandate, actor, field), Refusal::Mandate),
        (is_own(actor, object, field, action), Refusal::Object),
    ];
    checks.iter().find(|(holds, _)| !holds).map_or(Ok(()), |&(_, refusal)| Err(refusal))
}

/// What each role may do at all.
fn role_may(role: &Role, object: &Object<'_>, action: Action) -> bool {
    use Action::{Act, Append, Read};
    match (role, object, action) {
        (Role::Source { kinds }, Object::Arrival(kind), Append) => kind.is_none_or(|kind| kinds.contains(&kind)),
        (Role::Source { .. }, Object::ArrivalStatus | Object::Screening, Read) => true,
        (Role::Worker { .. } | Role::Supervisor { .. }, Object::Inbox | Object::Grid(_) | Object::Task { .. }, Read) => true,
        (Role::Worker { .. } | Role::Supervisor { .. }, Object::Grid(_) | Object::Task { .. }, Act { .. }) => true,
        (Role::Supervisor { .. }, Object::Notices | Object::Notice { .. }, Read | Act { .. }) => true,
        (Role::Ops | Role::Admin, Object::Report | Object::Topic(_) | Object::Log, Read) => true,
        (Role::Admin, Object::Log, Append) => true,
        (Role::Auditor, Object::Report, Read) => true,
        (Role::Auditor, Object::Topic(topic), Read) => [AUDIT, MANDATES, POLICIES].contains(topic),
        (Role::Signer, Object::Topic(topic), Read) => *topic == MANDATES,
        _ => false,
    }
}

fn mandate_allows(under: Under<'_>, actor: &Actor, field: Field<'_>) -> bool {
    let Under::Mandate { mandate, at } = under else {
        return field == Field::State;
    };
    let stands = |mandate: &Mandate| match at {
        Some(at) => in_force(mandate, at),
        None => mandate.state == MandateState::Open,
    };
    mandate.is_some_and(|mandate| {
        stands(mandate)
            && match field {
                Field::Identifier(name) => names_source(mandate, &actor.name) && allows_field(mandate, name),
                Field::State | Field::Address | Field::Contact => true,
            }
    })
}

/// Whether it is the actor's: a worker's by grid, a supervisor's by area. Triage is for supervisors alone, and so is what has no grid.
fn is_own(actor: &Actor, object: &Object<'_>, field: Field<'_>, action: Action) -> bool {
    match object {
        Object::Task { place, triage, is_over } => {
            let decides = matches!(actor.role, Role::Supervisor { .. }) || !triage || action == Action::Act { screening: true };
            // Of what is over only how it ended is left.
            decides && (!is_over || field == Field::State) && has_place(&actor.role, place)
        }
        Object::Grid(place) => has_place(&actor.role, place),
        // Nobody sets themselves free.
        Object::Notice { place, about } => has_place(&actor.role, place) && (action == Action::Read || *about != actor.name),
        _ => true,
    }
}

fn has_place(role: &Role, place: &Place<'_>) -> bool {
    match (role, place.grid) {
        (Role::Worker { grids }, Some(grid)) => grids.contains(grid),
        (Role::Supervisor { areas: Scope::All }, _) => true,
        (Role::Supervisor { areas: Scope::Only(areas) }, Some(grid)) => {
            (place.grids)(grid).is_some_and(|entry| areas.iter().any(|area| area_has_grid(area, &entry)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(supervisor: bool, codes: &[&str]) -> Actor {
        let scope = Scope::from_list(&codes.iter().map(|&code| code.to_owned()).collect::<Vec<_>>());
        let role = if supervisor { Role::Supervisor { areas: scope } } else { Role::Worker { grids: scope } };
        Actor { name: "a".into(), role }
    }

    fn entry(grid: &str) -> Option<Arc<GridEntry>> {
        let (community, subdistrict) = ("330106001001", "330106001");
        (grid == "g1").then(|| {
            Arc::new(GridEntry {
                name: String::new(),
                community: community.into(),
                community_name: String::new(),
                subdistrict: subdistrict.into(),
                division: "330106".into(),
                workers: 1,
                published_at: Millis(0),
            })
        })
    }

    fn task(grid: Option<&str>, triage: bool, is_over: bool) -> Object<'_> {
        Object::Task { place: Place { grid, grids: &entry }, triage, is_over }
    }

    fn mandate(state: MandateState) -> Mandate {
        // Zero bytes are an empty record: texts, lists and the rest.
        let mandate: Mandate = events::Avro::read(&mut [0; 64].as_slice()).unwrap();
        let lists = (vec!["s".into()], vec!["phone".into()]);
        Mandate { state, valid_from: Millis(100), valid_until: Millis(200), sources: lists.0, fields: lists.1, ..mandate }
    }

    #[test]
    fn a_worker_has_grids_and_a_supervisor_areas() {
        for (supervisor, codes, grid, triage, expected) in [
            (false, ["g1"], Some("g1"), false, true),
            (false, ["g1"], Some("g1"), true, false),
            (false, ["g"], Some("g1"), false, false),
            (false, ["*"], Some("g7"), false, true),
            (false, ["*"], None, false, false),
            (true, ["3301"], Some("g1"), true, true),
            (true, ["330106001001"], Some("g1"), false, true),
            (true, ["330107"], Some("g1"), false, false),
            // A grid that nobody has published lies in no area.
            (true, ["3301"], Some("g7"), false, false),
            (true, ["g1"], Some("g1"), false, false),
            (true, ["*"], None, false, true),
            (true, ["3301"], None, false, false),
        ] {
            let seen = authorize(&actor(supervisor, &codes), Under::Site, &task(grid, triage, false), Field::State, Action::Read);
            assert_eq!(seen.is_ok(), expected, "supervisor {supervisor}, {codes:?}, grid {grid:?}, triage {triage}");
        }
    }

    #[test]
    fn what_was_seen_at_the_door_counts_in_triage_and_of_what_is_over_only_the_end_is_left() {
        let (worker, screening) = (actor(false, &["g1"]), Action::Act { screening: true });
        let triage = task(Some("g1"), true, false);
        assert_eq!(authorize(&worker, Under::Site, &triage, Field::State, screening), Ok(()));
        let other = Action::Act { screening: false };
        assert_eq!(authorize(&worker, Under::Site, &triage, Field::State, other), Err(Refusal::Object));
        let open = mandate(MandateState::Open);
        let under = Under::Mandate { mandate: Some(&open), at: Some(Millis(150)) };
        for (is_over, field, expected) in
            [(true, Field::State, true), (true, Field::Address, false), (true, Field::Contact, false), (false, Field::Contact, true)]
        {
            let may = authorize(&worker, under, &task(Some("g1"), false, is_over), field, Action::Read);
            assert_eq!(may.is_ok(), expected, "over {is_over}, {field:?}");
        }
    }

    #[test]
    fn nothing_personal_without_a_mandate_in_force() {
        let worker = actor(false, &["*"]);
        let open = mandate(MandateState::Open);
        for (at, expected) in [(Some(150), true), (Some(99), false), (Some(200), false), (None, true)] {
            let under = Under::Mandate { mandate: Some(&open), at: at.map(Millis) };
            let may = authorize(&worker, under, &task(Some("g1"), false, false), Field::Address, Action::Read);
            assert_eq!(may.is_ok(), expected, "{at:?}");
        }
        let (suspended, ended) = (mandate(MandateState::Suspended), mandate(MandateState::Ended));
        for mandate in [Some(&suspended), Some(&ended), None] {
            for at in [Some(Millis(150)), None] {
                let may = authorize(&worker, Under::Mandate { mandate, at }, &task(Some("g1"), false, false), Field::State, Action::Read);
                assert_eq!(may, Err(Refusal::Mandate));
            }
        }
        // Address and contact are always some mandate's.
        assert_eq!(authorize(&worker, Under::Site, &task(Some("g1"), false, false), Field::Address, Action::Read), Err(Refusal::Mandate));
    }

    #[test]
    fn a_source_asks_by_what_a_mandate_that_names_it_allows() {
        let source = |name: &str| Actor { name: name.into(), role: Role::Source { kinds: [SourceKind::Highway].into() } };
        let open = mandate(MandateState::Open);
        let under = Under::Mandate { mandate: Some(&open), at: None };
        for (name, field, expected) in
            [("s", "phone", Ok(())), ("s", "plate", Err(Refusal::Mandate)), ("t", "phone", Err(Refusal::Mandate))]
        {
            assert_eq!(authorize(&source(name), under, &Object::Screening, Field::Identifier(field), Action::Read), expected);
        }
        let arrival = |kind| authorize(&source("s"), Under::Site, &Object::Arrival(kind), Field::State, Action::Append);
        assert_eq!([arrival(None), arrival(Some(SourceKind::Highway))], [Ok(()), Ok(())]);
        assert_eq!(arrival(Some(SourceKind::Telecom)), Err(Refusal::Role));
    }

    #[test]
    fn a_lock_is_taken_away_by_another_supervisor_of_the_place() {
        let notice = |about| Object::Notice { place: Place { grid: Some("g1"), grids: &entry }, about };
        let unlock = Action::Act { screening: false };
        let may = |actor: &Actor, about, action| authorize(actor, Under::Site, &notice(about), Field::State, action);
        assert_eq!(may(&actor(true, &["3301"]), "w", unlock), Ok(()));
        assert_eq!(may(&actor(true, &["3301"]), "a", unlock), Err(Refusal::Object));
        assert_eq!(may(&actor(true, &["3301"]), "a", Action::Read), Ok(()));
        assert_eq!(may(&actor(true, &["3302"]), "w", Action::Read), Err(Refusal::Object));
        assert_eq!(may(&actor(false, &["*"]), "w", Action::Read), Err(Refusal::Role));
    }
}
