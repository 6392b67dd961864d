//! Every bound in one place, with what it rests on.

use events::time::{DAY_MS, HOUR_MS};

/// An identifier of more households identifies nobody.
pub const LINKS_MAX: usize = 8;
/// Signals of one traveller kept whole at one household: the first and the newest of the rest.
pub const SIGNALS_MAX: usize = 8;
/// Digests of pushed-out signals kept in one household.
pub const PUSHED_OUT_MAX: usize = 128;
/// Screenings remembered of one traveller, and of one household.
pub const COVERS_MAX: usize = 4;
/// Identifiers registered at one household's door.
pub const REGISTERED_MAX: usize = 32;
/// Evidence shown.
pub const EVIDENCE_MAX: usize = 16;
/// Answers to actions remembered.
pub const ANSWERS_MAX: usize = 16;
/// Grids remembered.
pub const GRIDS_MAX: usize = 8;
/// Signals of one household taken in one batch, so that none is pushed out before its decision is acknowledged.
pub const BATCH_SIGNALS_MAX: usize = 64;
/// An outcome is taken until so long after its `at`, in milliseconds.
pub const OUTCOME_AGE_MAX_MS: i64 = 28 * DAY_MS;
/// A claim lapses so long after its assignee last did anything, in milliseconds: a day's round, a night, and no more, since meanwhile
/// nobody else may go. An outcome that comes later from an offline phone is taken all the same.
pub const CLAIM_LAPSES_MS: i64 = 24 * HOUR_MS;
/// A household drops the signals of a traveller so long after letting it go, in milliseconds.
pub const FORGET_AFTER_MS: i64 = 35 * DAY_MS;
/// A decision's revision is the traveller's version times this, plus a count.
pub const REVISION_STEP: i64 = 65_536;

const _: () = assert!(OUTCOME_AGE_MAX_MS < FORGET_AFTER_MS, "a late screening must find the traveller that it covers");
const _: () = assert!(SIGNALS_MAX >= 2, "a traveller keeps its first signal and its newest");
