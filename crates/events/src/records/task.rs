//! The whole state of one household's visit: what workers see, and what the router needs. The state is the task.

use super::event::{Destination, Sealed, SourceKind};
use super::routing::{Cover, Left, Level, Outcome, PushedOut, Signal};
use crate::avro::{Fixed16, Millis, Text, record, symbols};
use crate::ids::{EventId, TaskId, TravellerId};

symbols! {
    /// Where a visit stands.
    TaskState {
        /// Signals wait; never shown to workers.
        Waiting = "WAITING",
        /// To be done.
        Open = "OPEN",
        /// Somebody is on it.
        Claimed = "CLAIMED",
        /// Done.
        Done = "DONE",
        /// Its evidence has gone.
        Withdrawn = "WITHDRAWN",
        /// Nobody came in time.
        Expired = "EXPIRED",
    }
}

record! {
    /// A signal that the visit rests on.
    Evidence {
        /// Its event.
        event_id: EventId,
        /// Of what kind of source.
        kind: SourceKind,
        /// When it was seen.
        observed_at: Millis,
        /// Division of recent stay.
        origin_division: Option<Text>,
    }
}

record! {
    /// What a household knows of one traveller: here, or let go.
    Stay {
        /// The traveller.
        traveller: TravellerId,
        /// Its highest version that the household took part in.
        version: i64,
        /// When it was let go; null: it is here.
        left_at: Option<Millis>,
        /// When its first signal of this stay was taken here.
        first_taken_at: Option<Millis>,
        /// The declared destination, if any.
        declared: Option<Destination>,
        /// The first, and the newest 7.
        signals: Vec<Signal>,
        /// What is left of the others.
        pushed_out: Vec<PushedOut>,
        /// The traveller's own screenings; newest 4. Of one who was let go: those that its keeper has not acknowledged.
        covers: Vec<Cover>,
        /// What was let go and its keeper has not acknowledged; sent again by the next owner.
        unsent: Option<Left>,
    }
}

record! {
    /// The last episode.
    Before {
        /// Its task.
        task_id: TaskId,
        /// Its number.
        episode: i64,
        /// Its last grid.
        grid: Option<Text>,
        /// How it ended.
        state: TaskState,
        /// With what outcome.
        outcome: Option<Outcome>,
        /// From when signals counted.
        start: Millis,
        /// Until when signals join it, exclusive.
        end: Millis,
        /// When it opened.
        opened_at: Millis,
        /// When it ended.
        ended_at: Millis,
        /// Its priority when it ended.
        priority: Level,
        /// Where it was, newest 8.
        grids: Vec<GridStay>,
    }
}

record! {
    /// A grid that had the task.
    GridStay {
        /// The grid.
        grid: Text,
        /// Since when.
        from: Millis,
        /// The task's version then.
        version: i64,
    }
}

record! {
    /// The answer to one action.
    Answer {
        /// The phone's own id for the action.
        action_id: Text,
        /// HTTP status: 200, 400, 404 or 409.
        status: i32,
        /// The field, for 400.
        field: Option<Text>,
        /// Who did it.
        actor: Text,
        /// When.
        at: Millis,
        /// The task's version after it.
        version: i64,
    }
}

record! {
    /// A grid chosen by hand; the entry's grid counts again when it is another than it was then.
    HandedBack {
        /// The grid; null: for supervisors to decide.
        to_grid: Option<Text>,
        /// What the entry said.
        entry_grid: Option<Text>,
    }
}

record! {
    /// An outcome that stands until the registry changes.
    Lifted {
        /// `moved_away` or `wrong_household`.
        outcome: Outcome,
        /// The entry's version when it was given.
        entry_version: i64,
        /// Until when it stands at the latest, exclusive.
        until: Millis,
    }
}

record! {
    /// An identifier that was registered at this household's door: `token/household` of `registry.identifiers.v1`.
    Registered {
        /// The identifier.
        token: Fixed16,
        /// The household's grid, as the link names it; null: the link is taken back.
        grid: Option<Text>,
        /// The link may not be there yet: the next owner sends it again.
        unsent: bool,
    }
}

record! {
    /// By what the household was judged last: when one of them is newer, it is judged again.
    JudgedBy {
        /// The household entry's version; 0: none.
        entry: i64,
        /// The policy's version.
        policy: i64,
        /// The mandate's version.
        mandate: i64,
        /// When the grid was published.
        grid: i64,
    }
}

record! {
    /// The whole state of one household's visit.
    Task {
        /// The mandate.
        mandate: Text,
        /// The household, or `~token`.
        household: Text,
        /// The responsible grid, where one is known.
        grid: Option<Text>,
        /// Computed from mandate, household and episode; empty: no episode yet.
        task_id: TaskId,
        /// Counts the visits of this household.
        episode: i64,
        /// Grows by 1 with every change that a worker or ops can see.
        version: i64,
        /// Where the visit stands.
        state: TaskState,
        /// The highest level of its live signals.
        priority: Level,
        /// When the visit opened.
        opened_at: Option<Millis>,
        /// When it should be done.
        due_at: Option<Millis>,
        /// Newest 16.
        evidence: Vec<Evidence>,
        /// Signals that needed no visit of their own.
        joined: i64,
        /// Who is on it.
        assignee: Option<Text>,
        /// How it ended.
        outcome: Option<Outcome>,
        /// When the door was opened.
        screened_at: Option<Millis>,
        /// Until when the screening answers, exclusive.
        covered_until: Option<Millis>,
        /// For supervisors alone.
        triage: bool,
        /// On the supervisor's list.
        supervisor: bool,
        /// How often nobody was at home.
        attempts: i32,
        /// Sealed address of the newest declared destination.
        address: Option<Sealed>,
        /// The last episode.
        before: Option<Before>,
        /// Where it was, newest 8.
        grids: Vec<GridStay>,
        /// Newest 16.
        answers: Vec<Answer>,
        /// Newest note, sealed as field `note`.
        note: Option<Sealed>,
        /// From when signals count; of the open task.
        start: Option<Millis>,
        /// Until when signals join, exclusive; of the open task.
        end: Option<Millis>,
        /// Days of the policy's window at opening.
        window_days: i32,
        /// The household's own screenings; newest 4.
        covers: Vec<Cover>,
        /// Every traveller that is or was here.
        stays: Vec<Stay>,
        /// A grid chosen by hand.
        handed_back: Option<HandedBack>,
        /// `moved_away` or `wrong_household`, until the registry changes.
        standing: Option<Lifted>,
        /// The grid that the entry last named.
        entry_grid: Option<Text>,
        /// By what it was judged last.
        judged_by: JudgedBy,
        /// Newest observed_at that this household has seen; the clock of `clock = "events"`.
        observed_until: Millis,
        /// Decisions may not have been sent: the next owner sends them again.
        unsent_decisions: bool,
        /// Who was registered at the door, at most 32.
        registered: Vec<Registered>,
    }
}
