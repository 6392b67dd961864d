//! Spreading partitions over members, and noted positions.

use super::{Under, WAIT_MAX, unique};
use eventlog::{Assignment, From};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// A member that folds what it is told. Dropping it leaves.
struct Following {
    has: watch::Receiver<BTreeSet<i32>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(under: &Under, group: &str, name: &str, topics: &[&str]) -> Following {
    let mut member = under.log.join(group, name, topics).await.unwrap();
    let (sender, has) = watch::channel(BTreeSet::new());
    let task = tokio::spawn(async move {
        while let Ok(change) = member.next().await {
            sender.send_modify(|has: &mut BTreeSet<i32>| match change {
                Assignment::Assigned(partitions) => partitions.into_iter().for_each(|partition| assert!(has.insert(partition))),
                Assignment::Revoked(partitions) => partitions.iter().for_each(|partition| assert!(has.remove(partition))),
            });
        }
    });
    Following { has, task }
}

impl Following {
    async fn comes_to(&mut self, what: &str, wanted: impl Fn(&BTreeSet<i32>) -> bool) -> BTreeSet<i32> {
        let reached = tokio::time::timeout(WAIT_MAX, self.has.wait_for(|has| wanted(has))).await;
        reached.unwrap_or_else(|_| panic!("{what} is not reached in time")).expect("the member ended").clone()
    }
}

pub async fn one_has_all_two_share_and_leaving_gives_back(under: &Under) {
    let (one, other) = (under.topic(4).await, under.topic(4).await);
    let (group, topics) = (unique("group"), [one.as_str(), other.as_str()]);
    let all: BTreeSet<i32> = (0..4).collect();
    let mut first = join(under, &group, "member-a", &topics).await;
    first.comes_to("one member has all", |has| *has == all).await;
    let mut second = join(under, &group, "member-b", &topics).await;
    let of_first = first.comes_to("the first has half", |has| has.len() == 2).await;
    let of_second = second.comes_to("the second has half", |has| has.len() == 2).await;
    assert_eq!(&of_first | &of_second, all);
    // Another group has nothing to do with it.
    let mut stranger = join(under, &unique("group"), "member-a", &topics).await;
    stranger.comes_to("a member of another group has all", |has| *has == all).await;
    drop(first);
    second.comes_to("the one that is left has all", |has| *has == all).await;
}

pub async fn noted_positions_are_kept_per_group(under: &Under) {
    let topic = under.topic(2).await;
    let (group, other) = (unique("group"), unique("group"));
    under.append((0..9).map(|number| super::record(&topic, number % 2, "key", number)).collect()).await;
    let at = |partition, offset| From { topic: topic.clone(), partition, offset };
    assert_eq!(under.log.noted_positions(&group).await.unwrap(), vec![]);
    under.log.note_position(&group, &[at(0, 1), at(1, 2)]).await.unwrap();
    under.log.note_position(&group, &[at(1, 4)]).await.unwrap();
    under.log.note_position(&other, &[at(0, 3)]).await.unwrap();
    let mut noted = under.log.noted_positions(&group).await.unwrap();
    noted.sort_by_key(|from| from.partition);
    assert_eq!(noted, vec![at(0, 1), at(1, 4)]);
    assert_eq!(under.log.noted_positions(&other).await.unwrap(), vec![at(0, 3)]);
}
