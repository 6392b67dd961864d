//! What governs: the mandate says what may be shared, the policy what makes a visit.

use super::event::SourceKind;
use super::routing::Level;
use crate::avro::{Millis, record, symbols};

symbols! {
    /// Whether a mandate may be acted on, beside its dates.
    MandateState {
        /// In force between its dates.
        Open = "OPEN",
        /// Nothing is taken, tasks are not shown; what was accepted waits.
        Suspended = "SUSPENDED",
        /// Over for good.
        Ended = "ENDED",
    }
}

record! {
    /// The law behind every event, household and task.
    Mandate {
        /// Its id.
        id: String,
        /// Grows with every change; a renewal is a higher version with the same keys.
        version: i64,
        /// For people.
        title: String,
        /// The law it rests on.
        legal_basis: String,
        /// Who issued it.
        issued_by: String,
        /// What the data may be used for.
        purposes: Vec<String>,
        /// Sources that it names; `*` names all.
        sources: Vec<String>,
        /// Fields that may be shared; `*` allows all.
        fields: Vec<String>,
        /// Division prefixes; `*` is everywhere.
        divisions: Vec<String>,
        /// The most households that a registry may have.
        max_households: i64,
        /// In force from, inclusive.
        valid_from: Millis,
        /// In force until, exclusive.
        valid_until: Millis,
        /// Open, suspended or ended.
        state: MandateState,
        /// A demonstration: dates and cap may be wider than the law allows, and every page says so.
        demonstration: bool,
        /// Signers' signatures over all that stands above, but for the state: `name:base64`.
        signatures: Vec<String>,
        /// The mandate that this one may not be wider than; null: its own version before. Signed too.
        parent: Option<String>,
        /// Who opened, suspended, resumed or ended it last: an administrator's name. Not signed.
        acted_by: Option<String>,
        /// When; grows with every act.
        acted_at: Option<Millis>,
        /// When its keys were destroyed.
        keys_destroyed_at: Option<Millis>,
    }
}

record! {
    /// Where recent stay means risk.
    Zone {
        /// Division prefix; the longest wins.
        division: String,
        /// Its level.
        level: Level,
    }
}

record! {
    /// Hours until a visit is due, by level.
    DueHours {
        /// For HIGH.
        high: i32,
        /// For MEDIUM.
        medium: i32,
        /// For LOW.
        low: i32,
    }
}

record! {
    /// What makes a visit, and how long a screening counts.
    Policy {
        /// Milliseconds of its application; each Decision names it.
        version: i64,
        /// Days that an episode and a cover last.
        window_days: i32,
        /// Hours after which an event is late.
        grace_hours: i32,
        /// Kinds that need a second signal.
        weak_sources: Vec<SourceKind>,
        /// Whether a higher level than the cover's makes a visit.
        rescreen_when_risk_rises: bool,
        /// Hours until a household that was not at home is due again.
        retry_hours: i32,
        /// Attempts after which the supervisor decides.
        attempts_max: i32,
        /// Zones of recent stay.
        zones: Vec<Zone>,
        /// The least level that makes a visit; null: all.
        least_level: Option<Level>,
        /// By level.
        due_hours: DueHours,
    }
}

record! {
    /// The signed head of a log of reads, for everybody to keep: who holds one can tell whether the log was changed since.
    AuditCheckpoint {
        /// A signed note (c2sp.org/tlog-checkpoint).
        note: String,
    }
}
