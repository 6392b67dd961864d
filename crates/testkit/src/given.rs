//! What a test of one household begins with: a mandate, a grid, an entry, a signal as an agency's event makes it, what keepers and workers
//! send. What a test does not name has one value everywhere; what it names otherwise it says by struct update.

use domain::mandate::{SignerKey, Signers, entry_toml};
use events::{
    Action, ActionKind, Arrival, ArrivalMessage, Direction, Fixed16, GridEntry, Here, HouseholdEntry, Mandate, MandateState, Millis,
    Release, Signal, SourceKind, TravellerId,
};

/// Three signers of mandates, the same in every test.
pub fn signer_keys() -> [SignerKey; 3] {
    [1, 2, 3].map(|number| SignerKey::new(&format!("signer-{number}"), &[number; 32]))
}

/// What a site knows of them.
pub fn signers() -> Signers {
    let entries: String = signer_keys().iter().map(|key| entry_toml(key.name(), &key.public_key())).collect();
    #[expect(clippy::expect_used, reason = "three different keys under three names")]
    Signers::from_toml(&entries).expect("three signers")
}

/// The mandate with the signatures of two of them, in place of those that it had: after whatever else a test has said of it.
pub fn signed(mandate: Mandate) -> Mandate {
    let [first, second, _] = signer_keys();
    Mandate { signatures: vec![first.sign(&mandate), second.sign(&mandate)], ..mandate }
}

/// Mandate `m`, of all divisions and sources, in force for ever, and signed.
pub fn mandate() -> Mandate {
    let all = || vec!["*".into()];
    signed(Mandate {
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
        // No other may be in force for ever.
        demonstration: true,
        signatures: vec![],
        parent: None,
        acted_by: None,
        acted_at: None,
        keys_destroyed_at: None,
    })
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

/// An id as a test writes it: 49 characters at most.
pub fn traveller_id(text: &str) -> TravellerId {
    #[expect(clippy::expect_used, reason = "a test names no longer one")]
    TravellerId::from(text).expect("49 characters at most")
}

/// A traveller is here with these signals, at its first place.
pub fn here(traveller: &str, signals: Vec<Signal>) -> Arrival {
    let here = Here { declared: None, signals, pushed_out: vec![], covers: vec![] };
    Arrival { traveller: traveller_id(traveller), version: 1, message: ArrivalMessage::Here(here) }
}

/// A traveller must be let go from its first place.
pub fn release(traveller: &str, at: Millis) -> Arrival {
    Arrival { traveller: traveller_id(traveller), version: 1, message: ArrivalMessage::Release(Release { at }) }
}

/// A worker does something with a task, now, and at this moment the inbox takes it.
pub fn action(action_id: &str, task_id: &str, action: ActionKind, received_at: Millis) -> Action {
    Action {
        action_id: action_id.into(),
        task_id: task_id.into(),
        action,
        outcome: None,
        to_grid: None,
        note: None,
        at: None,
        actor: "w-1".into(),
        supervisor: false,
        received_at,
        register: None,
    }
}

/// The registry has a household in this grid.
pub fn entry(version: i64, grid: &str) -> HouseholdEntry {
    HouseholdEntry { version, grid: grid.into(), address: None, contact: None }
}
