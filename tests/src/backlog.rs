//! What the drained benchmarks drain: a registry, and events of its travellers as connectors would append them, by seed.

use anyhow::Result;
use eventlog::{Append, Headers};
use events::topics::{CHECKPOINT, GRIDS, HIGHWAY, HOUSEHOLDS, IDENTIFIERS, household_key, partition_of};
use events::{
    CheckpointPassage, Codec, Direction, EventId, GridEntry, HighwayEntrance, HouseholdEntry, Identifier, IdentifierKind, IdentifierLink,
    Link, Millis, Record, Token, cloudevents, ids,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The mandate that all of it is under.
pub const MANDATE: &str = "demo-mandate";
/// Of every keyed topic.
pub const PARTITIONS: i32 = 12;
const GRIDS_OF_CITY: u64 = 200;

/// What is drained.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events in the backlog.
    pub events: u64,
    /// Travellers: two thirds people, one third cars.
    pub travellers: u64,
    /// Households that they belong to.
    pub households: u64,
    /// Of the draws.
    pub seed: u64,
}

/// Makes it.
pub struct Backlog {
    options: Options,
    codec: Codec,
    random: SmallRng,
    sent: u64,
}

fn token(kind: IdentifierKind, number: u64) -> Identifier {
    let (first, second) = (ids::digest64(&[kind.as_str().as_bytes(), &number.to_be_bytes()]), ids::digest64(&[&number.to_be_bytes()]));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&second.to_be_bytes());
    Identifier { kind, token: Token(bytes) }
}

/// Every third is a car.
fn identifiers(traveller: u64) -> Vec<Identifier> {
    match traveller % 3 {
        2 => vec![token(IdentifierKind::Plate, traveller)],
        _ => vec![token(IdentifierKind::ResidentId, traveller), token(IdentifierKind::Phone, traveller)],
    }
}

impl Backlog {
    /// Of this size.
    pub fn new(options: Options) -> Backlog {
        Backlog { options, codec: Codec::built_in(), random: SmallRng::seed_from_u64(options.seed), sent: 0 }
    }

    fn append<R: Record>(&self, topic: &'static str, key: &str, record: &R, headers: Headers) -> Append {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        Append { topic: topic.into(), partition, key: key.to_owned().into(), value: Some(self.codec.encode(record).into()), headers }
    }

    /// Grids, households and the identifiers of their travellers.
    pub fn registry(&self) -> impl Iterator<Item = Append> {
        let Options { households, travellers, .. } = self.options;
        let grids = (0..GRIDS_OF_CITY).map(|grid| {
            let entry = GridEntry {
                name: format!("grid {grid}"),
                community: "330106001001".into(),
                community_name: "community".into(),
                subdistrict: "330106001".into(),
                division: "330106".into(),
                workers: 2,
                published_at: Millis(1),
            };
            self.append(GRIDS, &format!("g{grid}"), &entry, Headers::new())
        });
        let entries = (0..households).map(|household| {
            let entry = HouseholdEntry { version: 1, grid: format!("g{}", household % GRIDS_OF_CITY), address: None, contact: None };
            self.append(HOUSEHOLDS, &household_key(MANDATE, &format!("h{household:06}")), &entry, Headers::new())
        });
        let links = (0..travellers).flat_map(move |traveller| {
            let household = traveller % households;
            let links = vec![Link { household: format!("h{household:06}"), grid: format!("g{}", household % GRIDS_OF_CITY) }];
            let link = IdentifierLink { mandate: MANDATE.into(), links, common: false };
            let of = move |identifier: Identifier| self.append(IDENTIFIERS, &identifier.token.to_string(), &link, Headers::new());
            identifiers(traveller).into_iter().map(of).collect::<Vec<_>>()
        });
        grids.chain(entries).chain(links)
    }

    /// An event of every other traveller: those that were seen before.
    pub fn seen_before(&mut self) -> impl Iterator<Item = Result<Append>> {
        (0..self.options.travellers).step_by(2).map(|traveller| self.event(traveller))
    }

    /// How many these are.
    pub fn seen_before_count(&self) -> u64 {
        self.options.travellers.div_ceil(2)
    }

    /// The events, of travellers as they are drawn.
    pub fn events(&mut self) -> impl Iterator<Item = Result<Append>> {
        (0..self.options.events).map(|_| {
            let traveller = self.random.random_range(0..self.options.travellers);
            self.event(traveller)
        })
    }

    fn event(&mut self, traveller: u64) -> Result<Append> {
        self.sent += 1;
        let identifiers = identifiers(traveller);
        let key = identifiers[0].token.to_string();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&ids::digest64(&[&self.sent.to_be_bytes()]).to_be_bytes());
        id[8..].copy_from_slice(&self.sent.to_be_bytes());
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
        let (event_id, received_at) = (EventId(id), Millis(now));
        let observed_at = Millis(now - self.random.random_range(0..3_600_000));
        let (mandate, source_ref, origin_division) = (MANDATE.into(), event_id.to_string().into(), Some("3301".into()));
        if traveller % 3 == 2 {
            let headers = cloudevents::headers(event_id, "highway-authority", "HighwayEntrance", received_at, None);
            let (source, station, vehicle_class) = ("highway-authority".into(), "G60-K12".into(), Some("car".into()));
            let event = HighwayEntrance {
                event_id,
                mandate,
                source,
                source_ref,
                observed_at,
                received_at,
                identifiers,
                origin_division,
                station,
                direction: Direction::In,
                vehicle_class,
            };
            return Ok(self.append(HIGHWAY, &key, &event, headers));
        }
        let headers = cloudevents::headers(event_id, "checkpoint-bureau", "CheckpointPassage", received_at, None);
        let (source, checkpoint, party_size) = ("checkpoint-bureau".into(), "G60-118".into(), Some(1));
        let event = CheckpointPassage {
            event_id,
            mandate,
            source,
            source_ref,
            observed_at,
            received_at,
            identifiers,
            origin_division,
            checkpoint,
            direction: Direction::In,
            party_size,
            destination: None,
        };
        Ok(self.append(CHECKPOINT, &key, &event, headers))
    }
}
