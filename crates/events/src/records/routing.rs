//! What the router's two loops say to one another and to the world.

use super::event::{Destination, Direction, Sealed, SourceKind};
use crate::avro::{Fixed16, Millis, Text, record, symbols, union};
use crate::identifier::Identifier;
use crate::ids::{EventId, TaskId, TravellerId};
use std::borrow::Cow;

symbols! {
    /// Risk of recent stay. The order is that of the schema: LOW is least.
    Level {
        /// Also where the origin is in no zone.
        Low = "LOW",
        /// In between.
        Medium = "MEDIUM",
        /// Soonest due.
        High = "HIGH",
    }
}

symbols! {
    /// What became of an event: exactly one newest per accepted event.
    Code {
        /// It opened a visit.
        Opened = "opened",
        /// It joined a visit that is open, or that ended without a screening.
        Joined = "joined",
        /// A screening answers it.
        Covered = "covered",
        /// Weak, and alone.
        Held = "held",
        /// Direction out, or its level is too low.
        NotMatching = "not_matching",
        /// No grid is known.
        Unresolved = "unresolved",
        /// The grid lies outside the mandate.
        OutOfArea = "out_of_area",
        /// It came too late to count.
        Late = "late",
        /// No mandate in force.
        MandateEnded = "mandate_ended",
        /// The same passage under another id.
        Duplicate = "duplicate",
    }
}

record! {
    /// A screening that answers what comes after it.
    Cover {
        /// When the door was opened.
        at: Millis,
        /// Exclusive.
        until: Millis,
        /// The task's priority when it was recorded.
        level: Level,
    }
}

record! {
    /// One event as the router keeps it: some 60 bytes, no identifier.
    Signal {
        /// Its event.
        event_id: Fixed16,
        /// Of what kind of source.
        kind: SourceKind,
        /// When it was seen.
        observed_at: Millis,
        /// When the gateway took it: the mandate must have been in force.
        received_at: Millis,
        /// When the log took it: whether it is late.
        appended_at: Millis,
        /// Digest of source, place, time and identifiers: the same passage under another id.
        digest: i64,
        /// In or out.
        direction: Direction,
        /// Division of recent stay.
        origin_division: Option<Text>,
        /// Judged once, where it first arrived; null: not yet.
        late: Option<bool>,
        /// The household's now when it was taken here.
        taken_at: Millis,
        /// What was last said of it; null: nothing yet.
        code: Option<Code>,
        /// The episode of this household that was last said of it; 0: none.
        episode: i64,
        /// Count of what was said of it at this version of its traveller; -1: nothing yet.
        count: i32,
        /// A screening answered it: it is never judged again, wherever it goes.
        screened: bool,
        /// It came with its traveller into an open task: it does not move the episode's start.
        came_along: bool,
    }
}

record! {
    /// What is left of a signal that was pushed out: a repeat of it changes nothing.
    PushedOut {
        /// First 8 bytes of its event id.
        event: i64,
        /// What was last said of it.
        code: Code,
    }
}

record! {
    /// A traveller's place, with one writer: its keeper.
    Traveller {
        /// Seen together, strongest first.
        identifiers: Vec<Identifier>,
        /// The declared destination, if any.
        declared: Option<Destination>,
        /// A household, or `~token`.
        place: Text,
        /// Grows by 1 with every change of place; never restarts.
        version: i64,
        /// The table says another place: Release is sent, Left awaited.
        leaving: bool,
        /// Signals in between two places.
        carried: Vec<Signal>,
        /// What is left of signals in between two places.
        carried_out: Vec<PushedOut>,
        /// Screenings that go along; newest 4.
        covers: Vec<Cover>,
    }
}

record! {
    /// The traveller is here.
    Here {
        /// The declared destination, if any.
        declared: Option<Destination>,
        /// New signals, or all that were carried.
        signals: Vec<Signal>,
        /// What is left of earlier ones.
        pushed_out: Vec<PushedOut>,
        /// Screenings that come along.
        covers: Vec<Cover>,
    }
}

record! {
    /// Let the traveller go.
    Release {
        /// When the keeper decided so.
        at: Millis,
    }
}

union! {
    /// From a keeper to a household.
    ArrivalMessage {
        /// The traveller is here.
        Here(Here) = 0,
        /// Let it go.
        Release(Release) = 1,
    }
}

record! {
    /// From a keeper to a household.
    Arrival {
        /// The traveller: strongest token, `-`, digest of the rest.
        traveller: TravellerId,
        /// The traveller's version.
        version: i64,
        /// What is to be done.
        message: ArrivalMessage,
    }
}

record! {
    /// The household has let the traveller go, with all that it had of it.
    Left {
        /// The version that was let go.
        version: i64,
        /// Whole signals.
        signals: Vec<Signal>,
        /// What is left of earlier ones.
        pushed_out: Vec<PushedOut>,
        /// Screenings that go along.
        covers: Vec<Cover>,
    }
}

record! {
    /// A screening was recorded that covers a traveller who has gone.
    Covered {
        /// The screening.
        cover: Cover,
    }
}

union! {
    /// From a household back to a keeper.
    ReturnMessage {
        /// Let go.
        Left(Left) = 0,
        /// Covered since.
        Covered(Covered) = 1,
    }
}

record! {
    /// From a household back to a keeper.
    Return {
        /// What is to be done.
        message: ReturnMessage,
    }
}

record! {
    /// What became of an event. The highest revision counts.
    Decision {
        /// The event.
        event_id: EventId,
        /// Its mandate.
        mandate: Text,
        /// What became of it.
        code: Code,
        /// Traveller's version x 65 536 + count.
        revision: i64,
        /// Why, in one line for ops.
        reason: Cow<'static, str>,
        /// The grid, where one is known.
        grid: Option<Text>,
        /// The visit, where there is one.
        task_id: Option<TaskId>,
        /// Version of the policy that it was judged by.
        policy: i64,
        /// The router's now.
        at: Millis,
    }
}

symbols! {
    /// What a worker does with a task.
    ActionKind {
        /// Takes it.
        Claim = "claim",
        /// Gives it back to the list.
        Release = "release",
        /// Says how the visit ended.
        Outcome = "outcome",
        /// Says that it is somebody else's.
        HandBack = "hand_back",
        /// Writes something down.
        Note = "note",
        /// Says at the door which household people are of.
        Register = "register",
    }
}

symbols! {
    /// How a visit ended.
    Outcome {
        /// Done.
        Screened = "screened",
        /// Nobody opened.
        NotHome = "not_home",
        /// They live elsewhere now.
        MovedAway = "moved_away",
        /// It was never theirs.
        WrongHousehold = "wrong_household",
        /// They would not.
        Refused = "refused",
        /// Done, and help is needed.
        NeedsHelp = "needs_help",
    }
}

record! {
    /// People whom somebody at the door has found to be of a household. It goes to that household, and to the one where they were met.
    Registration {
        /// The household that they are of.
        household: Text,
        /// The travellers: each is known by its strongest identifier.
        travellers: Vec<TravellerId>,
    }
}

record! {
    /// What a worker or supervisor did.
    Action {
        /// The phone's own id for it; a repeat is the same action.
        action_id: Text,
        /// The task as the worker saw it.
        task_id: Text,
        /// What was done.
        action: ActionKind,
        /// For `outcome`.
        outcome: Option<Outcome>,
        /// For `hand_back`.
        to_grid: Option<Text>,
        /// Sealed as field `note`.
        note: Option<Sealed>,
        /// When it happened at the door; null: now.
        at: Option<Millis>,
        /// The worker's name in the sign-in.
        actor: Text,
        /// Whether a supervisor did it.
        supervisor: bool,
        /// When the inbox took it.
        received_at: Millis,
        /// For `register`.
        register: Option<Registration>,
    }
}
