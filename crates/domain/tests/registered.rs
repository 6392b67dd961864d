//! Who is registered at a household's door: its own record holds it, its own owner says it, it follows the entry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use domain::household::{self, Effects, Input};
use domain::limits::REGISTERED_MAX;
use events::*;
use testkit::given;
use testkit::house::{House, day};

fn traveller(number: usize) -> TravellerId {
    given::traveller_id(&format!("{number:032x}-{:016x}", 7))
}

fn token(number: usize) -> Token {
    format!("{number:032x}").parse().unwrap()
}

fn registration(house: &mut House, household: &str, people: &[usize]) -> Action {
    let travellers = people.iter().map(|&number| traveller(number)).collect();
    let register = Some(Registration { household: household.into(), travellers });
    house.action("w1", ActionKind::Register, |action| (action.register, action.task_id) = (register, "a task elsewhere".into()))
}

/// What is said, and the status that is answered.
fn registers(house: &mut House, household: &str, people: &[usize]) -> (Effects, i32) {
    let action = registration(house, household, people);
    let effects = house.apply(&Input::Action(&action));
    (effects, house.task.answers.last().unwrap().status)
}

/// Tokens and the grid that is said of them.
fn said(effects: &Effects) -> Vec<(Token, Option<String>)> {
    let grid = |link: &IdentifierLink| {
        assert_eq!((link.mandate.as_str(), link.links.len(), link.links[0].household.as_str(), link.common), ("m", 1, "A", false));
        link.links[0].grid.clone()
    };
    effects.links.iter().map(|(token, link)| (*token, link.as_ref().map(grid))).collect()
}

fn in_grid(number: usize, grid: &str) -> (Token, Option<String>) {
    (token(number), Some(grid.to_owned()))
}

#[test]
fn a_household_that_was_never_visited_takes_people_and_says_so_once() {
    let mut house = House::new("A");
    let action = registration(&mut house, "A", &[2, 1, 2]);
    let effects = house.apply(&Input::Action(&action));
    assert_eq!(said(&effects), [in_grid(1, "g1"), in_grid(2, "g1")]);
    assert_eq!((house.task.answers[0].status, house.task.episode, house.task.state), (200, 0, TaskState::Waiting));
    // The same action again, and another that says the same.
    assert_eq!(said(&house.apply(&Input::Action(&action))), []);
    assert_eq!((said(&registers(&mut house, "A", &[1]).0), house.task.registered.len()), (vec![], 2));
}

#[test]
fn what_may_not_have_been_said_is_said_again_by_the_next_owner_until_it_is_heard() {
    let mut house = House::new("A");
    house.is_heard = false;
    registers(&mut house, "A", &[1]);
    assert!(household::has_unsent(&house.task));
    let again = |house: &mut House| household::unsent(&mut house.task, &house.policy, house.now, house.clock);
    for _ in 0..2 {
        assert_eq!(said(&again(&mut house)), [in_grid(1, "g1")]);
    }
    assert!(household::acknowledged(&mut house.task) && !household::has_unsent(&house.task));
    assert_eq!(said(&again(&mut house)), [], "the null control: what was heard is not said again");
    // What is taken back stands there until that is heard too.
    house.entry = None;
    assert_eq!(said(&house.tables()), [(token(1), None)]);
    assert_eq!((said(&again(&mut house)), house.task.registered.len()), (vec![(token(1), None)], 1));
    household::acknowledged(&mut house.task);
    assert_eq!(house.task.registered, []);
}

#[test]
fn links_follow_the_entry() {
    let mut house = House::new("A");
    registers(&mut house, "A", &[1, 2]);
    assert_eq!(said(&house.tables()), []);
    house.entry = Some((2, "g2"));
    assert_eq!(said(&house.tables()), [in_grid(1, "g2"), in_grid(2, "g2")]);
    // A household that the register has no more takes back what its door said; one that comes again knows nobody.
    house.entry = None;
    assert_eq!(said(&house.tables()), [(token(1), None), (token(2), None)]);
    house.entry = Some((3, "g1"));
    assert_eq!(said(&house.tables()), []);
}

#[test]
fn another_household_is_named_and_this_one_takes_it_back() {
    let mut house = House::new("A");
    registers(&mut house, "A", &[1, 2]);
    let (effects, status) = registers(&mut house, "B", &[2, 3]);
    assert_eq!((said(&effects), status), (vec![(token(2), None)], 200));
    assert_eq!(house.task.registered.len(), 1);
    // And whoever is of this one after all, is again.
    assert_eq!(said(&registers(&mut house, "A", &[2]).0), [in_grid(2, "g1")]);
}

#[test]
fn what_cannot_be_registered_is_answered_with_the_field() {
    let mut house = House::new("A");
    let refused = |house: &mut House, household: &str, people: &[usize]| {
        let (effects, status) = registers(house, household, people);
        assert_eq!((said(&effects), status), (vec![], 400));
        house.task.answers.last().unwrap().field.clone()
    };
    assert_eq!(refused(&mut house, "A", &[]).as_deref(), Some("people"));
    let many: Vec<usize> = (0..=REGISTERED_MAX).collect();
    assert_eq!(refused(&mut house, "A", &many).as_deref(), Some("people"));
    assert_eq!(registers(&mut house, "A", &many[1..]).1, 200);
    assert_eq!(refused(&mut house, "A", &[0]).as_deref(), Some("people"));
    house.entry = None;
    assert_eq!(refused(&mut house, "A", &[1]).as_deref(), Some("household"));
}

#[test]
fn a_visit_goes_on_and_time_forgets_nobody_who_was_registered() {
    let mut house = House::new("A");
    house.passes("t", 1, 0.0);
    registers(&mut house, "A", &[1]);
    assert_eq!((house.task.state, house.task.episode), (TaskState::Open, 1));
    house.outcome("w1", Outcome::Screened);
    house.time(400.0);
    assert_eq!((house.task.covers.len(), house.task.registered.len()), (0, 1));
    assert_eq!(house.now, day(400.0));
}
