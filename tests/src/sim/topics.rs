//! The topics of a simulated site, with the settings that a real one has.

use super::mutant::Mutant;
use eventlog::NewTopic;
use events::topics::*;

/// What the loops read, and what may have dead letters.
pub(super) const TRAVELLER_AND_HOUSEHOLD_INPUTS: [&str; 6] = [CHECKPOINT, HIGHWAY, TELECOM, RETURNS, ARRIVALS, ACTIONS];

/// As they are set up for a site.
pub(super) fn topics(partitions: i32, mutant: Option<Mutant>) -> Vec<NewTopic> {
    let lag = if mutant == Some(Mutant::CompactionAtOnce) { 0 } else { MIN_COMPACTION_LAG_MS };
    let setting = |name: &str, value: String| (name.to_owned(), value);
    let of = |topic: &TopicSpec| {
        let settings = match topic.kept {
            Kept::Compacted => vec![
                setting("cleanup.policy", "compact".into()),
                setting("min.compaction.lag.ms", lag.to_string()),
                setting("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
            ],
            Kept::For(ms) => vec![setting("cleanup.policy", "delete".into()), setting("retention.ms", ms.to_string())],
        };
        NewTopic { name: topic.name.to_owned(), partitions, settings }
    };
    let letters = TRAVELLER_AND_HOUSEHOLD_INPUTS.iter().map(|input| NewTopic {
        name: dead_letters("router", input),
        partitions,
        settings: Vec::new(),
    });
    ALL.iter().map(of).chain(letters).collect()
}
