//! Topic names, their settings, keys and partitions. One cluster serves one site: names have no prefix.

use crate::identifier::Token;
use crate::records::SourceKind;

/// Checkpoint passages.
pub const CHECKPOINT: &str = "events.checkpoint.v1";
/// Highway entrances.
pub const HIGHWAY: &str = "events.highway.v1";
/// Telecom movements.
pub const TELECOM: &str = "events.telecom.v1";
/// Token to households.
pub const IDENTIFIERS: &str = "registry.identifiers.v1";
/// Household to grid.
pub const HOUSEHOLDS: &str = "registry.households.v1";
/// Grids.
pub const GRIDS: &str = "registry.grids.v1";
/// Mandates.
pub const MANDATES: &str = "control.mandates.v1";
/// The policy, key `site`.
pub const POLICIES: &str = "control.policies.v1";
/// Where each traveller is.
pub const TRAVELLERS: &str = "routing.travellers.v1";
/// From keepers to households.
pub const ARRIVALS: &str = "routing.arrivals.v1";
/// From households to keepers.
pub const RETURNS: &str = "routing.returns.v1";
/// What became of events.
pub const DECISIONS: &str = "routing.decisions.v1";
/// What workers did.
pub const ACTIONS: &str = "inbox.actions.v1";
/// One state per household.
pub const TASKS: &str = "inbox.tasks.v1";
/// Signed heads of the logs of reads, key `log/entries`.
pub const AUDIT: &str = "audit.checkpoints.v1";

/// Key of the one policy.
pub const POLICY_KEY: &str = "site";

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// How a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The newest record of each key.
    Compacted,
    /// Everything for so many milliseconds.
    For(i64),
}

/// A topic and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: &'static str,
    /// How it is kept.
    pub kept: Kept,
}

/// Least age of a record that compaction may use to push out another, in milliseconds: longer than any take-over.
pub const MIN_COMPACTION_LAG_MS: i64 = DAY;
/// How long a tombstone is kept, in milliseconds.
pub const DELETE_RETENTION_MS: i64 = 30 * DAY;
/// Milliseconds after which a segment is closed.
pub const SEGMENT_MS: i64 = DAY;

/// Every topic. All have the same number of partitions and `message.timestamp.type=LogAppendTime`.
pub const ALL: &[TopicSpec] = &[
    TopicSpec { name: CHECKPOINT, kept: Kept::For(30 * DAY) },
    TopicSpec { name: HIGHWAY, kept: Kept::For(30 * DAY) },
    TopicSpec { name: TELECOM, kept: Kept::For(30 * DAY) },
    TopicSpec { name: IDENTIFIERS, kept: Kept::Compacted },
    TopicSpec { name: HOUSEHOLDS, kept: Kept::Compacted },
    TopicSpec { name: GRIDS, kept: Kept::Compacted },
    TopicSpec { name: MANDATES, kept: Kept::Compacted },
    TopicSpec { name: POLICIES, kept: Kept::Compacted },
    TopicSpec { name: TRAVELLERS, kept: Kept::Compacted },
    TopicSpec { name: ARRIVALS, kept: Kept::For(7 * DAY) },
    TopicSpec { name: RETURNS, kept: Kept::For(7 * DAY) },
    TopicSpec { name: DECISIONS, kept: Kept::For(62 * DAY) },
    TopicSpec { name: ACTIONS, kept: Kept::For(7 * DAY) },
    TopicSpec { name: TASKS, kept: Kept::Compacted },
    TopicSpec { name: AUDIT, kept: Kept::Compacted },
];

/// The topic of a kind of event.
pub fn of_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Checkpoint => CHECKPOINT,
        SourceKind::Highway => HIGHWAY,
        SourceKind::Telecom => TELECOM,
    }
}

/// Dead letters of a consumer group: `dlq.<group>.<topic>`, kept 14 days.
pub fn dead_letters(group: &str, topic: &str) -> String {
    format!("dlq.{group}.{topic}")
}

/// How long a dead letter is kept, in milliseconds.
pub const DEAD_LETTER_RETENTION_MS: i64 = 14 * DAY;

/// Key of a household, a task, an arrival: `mandate/household`.
pub fn household_key(mandate: &str, household: &str) -> String {
    format!("{mandate}/{household}")
}

/// Key of a traveller: `mandate/traveller`.
pub fn traveller_key(mandate: &str, traveller: &str) -> String {
    format!("{mandate}/{traveller}")
}

/// A pseudo-household: nobody in the registry is known.
pub fn pseudo_household(token: Token) -> String {
    format!("~{token}")
}

/// Mandate and the rest of a key `mandate/rest`. A mandate's id has no slash.
pub fn split_key(key: &str) -> Option<(&str, &str)> {
    key.split_once('/')
}

/// Prefix of a claim's key.
pub const CLAIM_PREFIX: &str = "~claim/";
/// Prefix of a position's key.
pub const POSITION_PREFIX: &str = "~position/";

/// Kafka's own hash (Java's `Utils.murmur2`): what the default partitioner of every Java producer uses.
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of a key, as Java's default partitioner has it. `partitions` is at least 1.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) as i32 % partitions.max(1)
}

/// The partition of a traveller: by its strongest identifier's token, so that it meets its events.
pub fn traveller_partition(traveller: &str, partitions: i32) -> i32 {
    let strongest = traveller.split_once('-').map_or(traveller, |(token, _)| token);
    partition_of(strongest.as_bytes(), partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Apache Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
    #[test]
    fn murmur2_is_javas() {
        let cases: &[(&[u8], i32)] = &[
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for &(key, expected) in cases {
            assert_eq!(murmur2(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }
}
