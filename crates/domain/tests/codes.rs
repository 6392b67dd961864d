//! The table of codes: each is the first that applies. Of every two neighbouring rows, a signal that both would answer gets the first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use events::*;
use testkit::house::{House, day, signal};

/// A signal of a checkpoint on this day, of this number.
fn seen(number: u8, at: f64) -> Signal {
    signal(SourceKind::Checkpoint, number, day(at))
}

fn out(signal: Signal) -> Signal {
    Signal { direction: Direction::Out, ..signal }
}

/// A household on this day.
fn on(at: f64) -> House {
    let mut house = House::new("A");
    house.now = day(at);
    house
}

fn arrives(mut house: House, mut signal: Signal) -> Option<Code> {
    signal.appended_at = house.now;
    house.arrives("t", signal)
}

/// The household's mandate covers g1 no more.
fn outside(mut house: House) -> House {
    house.mandate.divisions = vec!["330107".into()];
    house
}

/// Somebody of it was screened on this day.
fn screened(mut house: House, at: f64) -> House {
    house.passes("s", 200, at);
    house.outcome("w1", Outcome::Screened);
    house
}

/// Nobody visited it: its last visit began on day 0 and is over.
fn expired() -> House {
    let mut house = House::new("A");
    house.passes("s", 200, 0.0);
    house.time(14.0);
    assert_eq!(house.task.state, TaskState::Expired);
    house
}

#[test]
fn each_code_is_the_first_that_applies() {
    // Row 1 before 2: what is known has its code, also when the mandate is over.
    let mut house = on(0.0);
    assert_eq!(house.arrives("t", seen(1, 0.0)), Some(Code::Opened));
    house.mandate.valid_until = day(0.5);
    house.now = day(1.0);
    assert_eq!(house.arrives("t", seen(1, 0.0)), Some(Code::Opened));
    // 2 before 3: the same passage under another id, after the mandate.
    assert_eq!(house.arrives("t", Signal { digest: 1, ..seen(2, 0.9) }), Some(Code::MandateEnded));
    // 3 before 4.
    let mut house = on(0.0);
    house.arrives("t", out(seen(1, 0.0)));
    assert_eq!(house.arrives("t", Signal { digest: 1, ..out(seen(2, 0.0)) }), Some(Code::Duplicate));
    // 4 before 5, 5 before 6, 6 before 7, 7 before 8.
    assert_eq!(arrives(outside(on(0.0)), out(seen(1, 0.0))), Some(Code::NotMatching));
    assert_eq!(arrives(outside(on(4.0)), seen(1, 0.0)), Some(Code::OutOfArea));
    let mut house = screened(on(0.0), 0.0);
    house.now = day(4.5);
    assert_eq!(arrives(house, seen(1, 1.4)), Some(Code::Late));
    let mut house = expired();
    house.now = day(14.5);
    let on_before = |action: &mut Action| (action.outcome, action.at) = (Some(Outcome::Screened), Some(day(13.0)));
    house.acts("w1", ActionKind::Outcome, on_before);
    assert_eq!(arrives(house, seen(1, 13.5)), Some(Code::Covered));
    // 8 before 9: it joins what is open, though since then nobody knows a grid; 8 of an expired one before 10.
    let mut house = House::new("~00000000000000000000000000000001");
    assert_eq!(house.passes_towards("g1", "t", 1, 0.0), Some(Code::Opened));
    assert_eq!(house.passes("u", 2, 0.1), Some(Code::Joined));
    let mut house = expired();
    (house.now, house.policy.least_level) = (day(14.5), Some(Level::High));
    assert_eq!(arrives(house, seen(1, 13.5)), Some(Code::Joined));
    // 9 before 10, 10 before 11, 11 before 12.
    let mut house = on(0.0);
    (house.entry, house.policy.least_level) = (None, Some(Level::High));
    assert_eq!(arrives(house, seen(1, 0.0)), Some(Code::Unresolved));
    let weak = |number| signal(SourceKind::Telecom, number, day(0.0));
    let mut house = on(0.0);
    house.policy.least_level = Some(Level::High);
    assert_eq!(arrives(house, weak(1)), Some(Code::NotMatching));
    assert_eq!(arrives(on(0.0), weak(1)), Some(Code::Held));
    assert_eq!(arrives(on(0.0), seen(1, 0.0)), Some(Code::Opened));
}

/// The null controls: of each pair the second row is what answers where the first does not apply.
#[test]
fn where_the_first_does_not_apply_the_next_does() {
    let mut house = on(0.0);
    house.arrives("t", out(seen(1, 0.0)));
    assert_eq!(house.arrives("t", out(seen(2, 0.0))), Some(Code::NotMatching));
    assert_eq!(arrives(outside(on(0.0)), seen(1, 0.0)), Some(Code::OutOfArea));
    assert_eq!(arrives(on(4.0), seen(1, 0.0)), Some(Code::Late));
    assert_eq!(arrives(on(3.0), seen(1, 0.0)), Some(Code::Opened), "three days of grace are in time");
    let mut house = screened(on(0.0), 0.0);
    house.now = day(4.5);
    assert_eq!(arrives(house, seen(1, 1.6)), Some(Code::Covered));
    let mut house = expired();
    house.now = day(14.5);
    assert_eq!(arrives(house, seen(1, 13.5)), Some(Code::Joined));
    let mut house = expired();
    house.now = day(14.5);
    assert_eq!(arrives(house, seen(1, 14.1)), Some(Code::Opened));
}
