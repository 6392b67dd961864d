//! Groups within one process: the first member has all partitions, further ones share them range-wise, leaving gives back.
//!
//! Only spreads the work: what keeps two owners apart is fencing, not this.

use crate::{Assignment, LogError, Member};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;

/// All groups of a log.
#[derive(Default)]
pub(crate) struct Groups {
    groups: Mutex<HashMap<String, Group>>,
}

#[derive(Default)]
struct Group {
    partitions: i32,
    /// Sorted by name, so that a member that comes back gets what it had.
    members: Vec<Joined>,
    joined_ever: u64,
}

struct Joined {
    name: String,
    number: u64,
    has: BTreeSet<i32>,
    changes: mpsc::UnboundedSender<Assignment>,
}

/// A member; dropping it leaves.
struct EmbeddedMember {
    groups: Arc<Groups>,
    group: String,
    number: u64,
    changes: mpsc::UnboundedReceiver<Assignment>,
}

impl Groups {
    /// Joins. A member of that name that is there already is put out.
    pub fn join(self: &Arc<Self>, group: &str, member: &str, partitions: i32) -> Box<dyn Member> {
        let (sender, changes) = mpsc::unbounded_channel();
        let mut groups = self.groups.lock();
        let joined = groups.entry(group.to_owned()).or_default();
        joined.partitions = joined.partitions.max(partitions);
        joined.joined_ever += 1;
        let number = joined.joined_ever;
        joined.members.retain(|other| {
            if other.name == member && !other.has.is_empty() {
                let _ = other.changes.send(Assignment::Revoked(other.has.iter().copied().collect()));
            }
            other.name != member
        });
        joined.members.push(Joined { name: member.to_owned(), number, has: BTreeSet::new(), changes: sender });
        joined.members.sort_by(|one, other| one.name.cmp(&other.name));
        joined.spread();
        Box::new(EmbeddedMember { groups: self.clone(), group: group.to_owned(), number, changes })
    }
}

impl Group {
    /// Ranges over the members in order; revoked first, so that no partition is given before it was taken.
    fn spread(&mut self) {
        let (partitions, count) = (self.partitions, self.members.len().max(1) as i32);
        let mut from = 0;
        let mut given = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            let length = partitions / count + i32::from((at as i32) < partitions % count);
            let wanted: BTreeSet<i32> = (from..from + length).collect();
            from += length;
            let revoked: Vec<i32> = member.has.difference(&wanted).copied().collect();
            if !revoked.is_empty() {
                let _ = member.changes.send(Assignment::Revoked(revoked));
            }
            given.push(wanted.difference(&member.has).copied().collect::<Vec<i32>>());
            member.has = wanted;
        }
        for (member, assigned) in self.members.iter().zip(given) {
            if !assigned.is_empty() {
                let _ = member.changes.send(Assignment::Assigned(assigned));
            }
        }
    }
}

#[async_trait]
impl Member for EmbeddedMember {
    async fn next(&mut self) -> Result<Assignment, LogError> {
        let gone = || LogError::Refused("another member of that name has joined the group".into());
        self.changes.recv().await.ok_or_else(gone)
    }
}

impl Drop for EmbeddedMember {
    fn drop(&mut self) {
        let mut groups = self.groups.groups.lock();
        let Some(group) = groups.get_mut(&self.group) else { return };
        group.members.retain(|member| member.number != self.number);
        group.spread();
    }
}
