//! A household lets nobody go before what it said of its signals is acknowledged: of whoever has gone it says nothing any more, and what
//! never counted, such as a signal without a mandate, no other household says again. Two lives of an owner, moved by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic: that is how they fail")]

use domain::Clock;
use eventlog::owner::{Command, Event, Owner, Rules};
use eventlog::schemas::Schemas;
use eventlog::{Append, Batch, Record as LogRecord};
use events::topics::*;
use events::*;
use router::{HOUSEHOLD_INPUTS, Households, Site};
use std::collections::VecDeque;
use std::sync::Arc;
use testkit::given;

const KEY: &str = "m/A";
const EVENT: EventId = EventId([7; 16]);

/// The only partition, and what was said by everybody who owned it.
struct World {
    site: Arc<Site>,
    stored: Vec<LogRecord>,
    inputs: Vec<LogRecord>,
    said: Vec<Append>,
}

fn batch(topic: &'static str, records: &[LogRecord]) -> Batch {
    Batch { topic: topic.into(), partition: 0, next_offset: records.last().unwrap().offset + 1, records: records.to_vec() }
}

fn record(key: &str, value: Option<bytes::Bytes>, offset: i64) -> LogRecord {
    LogRecord { partition: 0, offset, timestamp: 1000, key: key.to_owned().into(), value, headers: Default::default() }
}

impl World {
    /// The traveller comes with one signal, and must go at once.
    async fn new() -> World {
        let site = Site::told(Schemas::open("").await.unwrap(), given::signers(), Clock::Wall, 1);
        let signal = Signal { event_id: EVENT.fixed(), ..given::signal(SourceKind::Checkpoint, 1, Millis(1000)) };
        let arrivals = [given::here("t", vec![signal]), given::release("t", Millis(1000))];
        let input = |(offset, arrival)| record(KEY, Some(Codec::built_in().encode(&arrival).into()), offset);
        let inputs = (0..).zip(arrivals).map(input).collect();
        World { site, stored: vec![], inputs, said: vec![] }
    }

    /// One life of an owner, from its claim until nothing is left to do. `speaks`: else nothing that it says is ever stored.
    fn live(&mut self, claim: &str, speaks: bool) -> Owner<Households> {
        let logic = Households::new(self.site.clone());
        let (mut owner, commands) = Owner::new(TASKS, 0, HOUSEHOLD_INPUTS.to_vec(), Rules::ALL, logic, claim, None);
        let mut todo = VecDeque::from(commands);
        if !self.stored.is_empty() {
            todo.extend(owner.handle(Event::Own(batch(TASKS, &self.stored))));
        }
        while let Some(command) = todo.pop_front() {
            match command {
                Command::Append(number, records) if records[0].topic == TASKS => {
                    let first = self.stored.len();
                    for Append { key, value, headers, .. } in records {
                        let (partition, offset, timestamp) = (0, self.stored.len() as i64, 1000);
                        self.stored.push(LogRecord { partition, offset, timestamp, key, value, headers });
                    }
                    todo.extend(owner.handle(Event::Appended(number, Ok(vec![]))));
                    todo.extend(owner.handle(Event::Own(batch(TASKS, &self.stored[first..]))));
                }
                Command::Append(number, records) if speaks => {
                    self.said.extend(records);
                    todo.extend(owner.handle(Event::Appended(number, Ok(vec![]))));
                }
                Command::CatchUpTables => todo.extend(owner.handle(Event::TablesReady)),
                // Neither life has written a position.
                Command::ReadInputs(_) => todo.extend(owner.handle(Event::Input(batch(ARRIVALS, &self.inputs)))),
                _ => {}
            }
        }
        owner
    }

    fn task(&self) -> Task {
        let newest = self.stored.iter().rfind(|record| *record.key == *KEY.as_bytes()).unwrap();
        Codec::built_in().decode(newest.value.as_deref().unwrap()).unwrap()
    }

    fn decisions(&self) -> Vec<Decision> {
        let of = |said: &&Append| said.topic == DECISIONS;
        self.said.iter().filter(of).map(|said| Codec::built_in().decode(said.value.as_deref().unwrap()).unwrap()).collect()
    }
}

#[tokio::test]
async fn whoever_has_gone_was_spoken_of_before() {
    let mut world = World::new().await;
    world.live("c1", false);
    assert!(world.task().stays[0].left_at.is_none(), "it is gone, and what was said of it is not stored");
    let owner = world.live("c2", true);
    let decisions = world.decisions();
    assert!(decisions.iter().any(|one| one.event_id == EVENT && one.code == Code::MandateEnded), "{decisions:?}");
    assert!(world.task().stays[0].left_at.is_some() && world.said.iter().any(|said| said.topic == RETURNS), "and then it is let go");
    assert_eq!(owner.positions()[0].offset, 2);
}
