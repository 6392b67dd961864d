//! What a test of one household begins with: a mandate, a grid, a signal as an agency's event makes it. What a test does not name has
//! one value everywhere.

use events::{Direction, Fixed16, GridEntry, Mandate, MandateState, Millis, Signal, SourceKind};

/// Mandate `m`, of all divisions and sources, in force for ever.
pub fn mandate() -> Mandate {
    let all = || vec!["*".into()];
    Mandate {
        id: "m".into(),
        version: 1,
        title: String::new(),
        legal_basis: String::new(),
        issued_by: String::new(),
        purposes: all(),
        sources: all(),
        fields: all(),
        divisions: all(),
        max_households: i64::MAX,
        valid_from: Millis(i64::MIN),
        valid_until: Millis(i64::MAX),
        state: MandateState::Open,
        demonstration: false,
        signatures: vec![],
    }
}

/// A grid of this division.
pub fn grid(division: &str) -> GridEntry {
    GridEntry {
        name: String::new(),
        community: format!("{division}001001"),
        community_name: String::new(),
        subdistrict: format!("{division}001"),
        division: division.into(),
        workers: 1,
        published_at: Millis(1),
    }
}

/// Signal of event number so and so, of somebody who comes in, seen and taken at this moment.
pub fn signal(kind: SourceKind, number: u64, at: Millis) -> Signal {
    let mut event_id = [0; 16];
    event_id[..8].copy_from_slice(&number.to_be_bytes());
    Signal {
        event_id: Fixed16(event_id),
        kind,
        observed_at: at,
        received_at: at,
        appended_at: at,
        digest: i64::from_be_bytes(number.to_be_bytes()),
        direction: Direction::In,
        origin_division: None,
        late: None,
        taken_at: Millis(0),
        code: None,
        episode: 0,
        count: -1,
        screened: false,
        came_along: false,
    }
}
