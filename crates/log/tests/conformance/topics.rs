//! Topics and their settings.

use super::{Under, record, unique};
use eventlog::{NewTopic, TopicInfo};

async fn told(under: &Under, name: &str) -> Option<TopicInfo> {
    under.log.topics().await.unwrap().into_iter().find(|topic| topic.name == name)
}

pub async fn creating_again_changes_nothing(under: &Under) {
    let topic = under.topic(2).await;
    under.append(vec![record(&topic, 1, "key", "kept")]).await;
    let before = told(under, &topic).await.unwrap();
    let other = unique("topic");
    assert_eq!(told(under, &other).await, None);
    let again = NewTopic { name: topic.clone(), partitions: 5, settings: vec![("cleanup.policy".into(), "compact".into())] };
    let new = NewTopic { name: other.clone(), partitions: 1, settings: vec![] };
    under.log.create_topics(&[again, new]).await.unwrap();
    assert_eq!(told(under, &topic).await.unwrap(), before);
    assert_eq!(told(under, &other).await.unwrap().partitions, 1);
    assert_eq!(under.all(&topic, 1, 0).await.len(), 1);
}

pub async fn settings_are_told(under: &Under) {
    let settings = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000"), ("message.timestamp.type", "LogAppendTime")];
    let topic = under.topic_with(3, &settings).await;
    let told = told(under, &topic).await.unwrap();
    assert_eq!(told.partitions, 3);
    for (name, value) in settings {
        assert!(told.settings.contains(&(name.to_owned(), value.to_owned())), "{name} is not told: {:?}", told.settings);
    }
}
