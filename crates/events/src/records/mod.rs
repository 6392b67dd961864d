//! The vocabulary: every record that stands in a topic. `schemas/*.avsc` is made from these types and pinned by a test.

mod control;
mod event;
mod registry;
mod routing;
mod task;

pub use control::{AuditCheckpoint, DueHours, Mandate, MandateState, Policy, Zone};
pub use event::{CheckpointPassage, Destination, Direction, Event, EventHead, HighwayEntrance, Sealed, SourceKind, TelecomMovement};
pub use registry::{GridEntry, HouseholdEntry, IdentifierLink, Link};
pub use routing::{
    Action, ActionKind, Arrival, ArrivalMessage, Code, Cover, Covered, Decision, Here, Left, Level, Outcome, PushedOut, Registration,
    Release, Return, ReturnMessage, Signal, Traveller,
};
pub use task::{Answer, Before, Evidence, GridStay, HandedBack, JudgedBy, Lifted, Registered, Stay, Task, TaskState};
