//! The list of our schemas: names, built-in ids, texts. The files in `schemas/` are these texts; a test holds them together.

use crate::avro::Avro;
use crate::codec::Record;
use crate::records::*;
use serde_json::Value;
use std::collections::BTreeSet;

macro_rules! schemas {
    ($($variant:ident($id:literal, $topic:literal),)*) => {
        /// A record that stands in a topic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SchemaName { $(#[doc = stringify!($variant)] $variant,)* }

        impl SchemaName {
            /// All of them.
            pub const ALL: &'static [SchemaName] = &[$(SchemaName::$variant,)*];

            /// The record's name, which is its file's name too.
            pub fn as_str(self) -> &'static str {
                match self { $(SchemaName::$variant => stringify!($variant),)* }
            }

            /// The id where no registry is configured. Never reused.
            pub fn built_in_id(self) -> u32 {
                match self { $(SchemaName::$variant => $id,)* }
            }

            /// The topic of its subject (TopicNameStrategy: `TOPIC-value`).
            pub fn topic(self) -> &'static str {
                match self { $(SchemaName::$variant => $topic,)* }
            }

            /// The schema as one value.
            pub fn json(self) -> Value {
                let mut seen = BTreeSet::new();
                let mut schema = match self { $(SchemaName::$variant => <$variant as Avro>::schema(&mut seen),)* };
                if let Some(object) = schema.as_object_mut() {
                    object.insert("namespace".into(), "oneknock.v1".into());
                }
                schema
            }
        }

        $(impl Record for $variant { const NAME: SchemaName = SchemaName::$variant; })*
    };
}

schemas! {
    CheckpointPassage(1, "events.checkpoint.v1"),
    HighwayEntrance(2, "events.highway.v1"),
    TelecomMovement(3, "events.telecom.v1"),
    IdentifierLink(4, "registry.identifiers.v1"),
    HouseholdEntry(5, "registry.households.v1"),
    GridEntry(6, "registry.grids.v1"),
    Mandate(7, "control.mandates.v1"),
    Policy(8, "control.policies.v1"),
    Traveller(9, "routing.travellers.v1"),
    Arrival(10, "routing.arrivals.v1"),
    Return(11, "routing.returns.v1"),
    Decision(12, "routing.decisions.v1"),
    Action(13, "inbox.actions.v1"),
    Task(14, "inbox.tasks.v1"),
    AuditCheckpoint(15, "audit.checkpoints.v1"),
}

impl SchemaName {
    /// The schema's text, as in its file.
    pub fn text(self) -> String {
        format!("{:#}\n", self.json())
    }

    /// By its built-in id.
    pub fn by_built_in_id(id: u32) -> Option<SchemaName> {
        SchemaName::ALL.iter().copied().find(|name| name.built_in_id() == id)
    }
}
