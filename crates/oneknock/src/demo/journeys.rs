//! What three agencies see of people who arrive: several signals of one arrival, mixed with those of others; repeats, strangers, people
//! who name a destination. The same seed makes the same journeys.

use super::city::{self, City, DIVISION, Household};
use events::{Millis, SourceKind, time};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Households that arrived lately, and may be seen again.
const LATELY_MAX: usize = 400;
/// Signals of one arrival are spread over so many of the whole stream.
const SPREAD: u64 = 200;
/// Strangers' phone numbers begin behind those of residents.
const STRANGERS_FROM: usize = 50_000_000;

const CHECKPOINTS: &[&str] = &["G60-118", "G25-042", "S2-007", "G104-311"];
const STATIONS: &[&str] = &["G60-K12", "G25-K88", "S2-K03"];
const ORIGINS: &[&str] = &["3301", "3302", "3101", "3205", "4201", "4403", "1101", "3601"];

/// A message of an agency.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which agency's.
    pub kind: SourceKind,
    /// As it is sent.
    pub body: Value,
}

/// All journeys to this city, one after the other.
pub struct Journeys {
    city: Arc<City>,
    random: StdRng,
    /// Tells one run's ids from another's.
    run: String,
    serial: u64,
    strangers: usize,
    /// Messages by their place in the stream.
    waiting: BTreeMap<(u64, u64), Message>,
    sent: u64,
    lately: VecDeque<usize>,
}

impl Journeys {
    /// `run` stands in every id.
    pub fn new(city: Arc<City>, seed: u64, run: String) -> Journeys {
        let random = StdRng::seed_from_u64(seed ^ 0x6a6f_7572_6e65_7973);
        Journeys { city, random, run, serial: 0, strangers: 0, waiting: BTreeMap::new(), sent: 0, lately: VecDeque::new() }
    }

    /// The next messages of the stream.
    pub fn take(&mut self, count: usize, now: Millis) -> Vec<Message> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            // Enough arrivals under way that the signals of many are mixed.
            while self.waiting.len() < SPREAD as usize {
                self.arrival(now);
            }
            let Some((_, message)) = self.waiting.pop_first() else { break };
            self.sent += 1;
            messages.push(message);
        }
        messages
    }

    fn arrival(&mut self, now: Millis) {
        match self.random.random_range(0..100) {
            0..72 => self.family(now),
            72..82 => self.stranger(now),
            82..95 => self.guest(now),
            _ => self.leaving(now),
        }
    }

    /// A family in its car, or somebody on foot: everyone's papers at the checkpoint, the car at the entrance, phones later.
    fn family(&mut self, now: Millis) {
        let city = Arc::clone(&self.city);
        let again = !self.lately.is_empty() && self.random.random_bool(0.4);
        let at = match again {
            true => self.lately[self.random.random_range(0..self.lately.len())],
            false => self.random.random_range(0..city.households.len()),
        };
        self.lately.push_back(at);
        if self.lately.len() > LATELY_MAX {
            self.lately.pop_front();
        }
        let home = &city.households[at];
        let party = self.random.random_range(1..=home.residents.len());
        let seen = self.seen(now);
        let origin = self.pick(ORIGINS);
        let checkpoint = self.pick(CHECKPOINTS);
        for resident in home.residents.iter().take(party) {
            let body = json!({
                "id": self.id("cp"), "observed_at": self.shortly_after(seen), "checkpoint": checkpoint, "direction": "in",
                "resident_id": resident.id, "phone": resident.phone, "plate": home.plate, "name": resident.name,
                "origin_division": origin, "party_size": party,
            });
            self.put(SourceKind::Checkpoint, body, true);
        }
        if let Some(plate) = home.plate.as_deref().filter(|_| self.random.random_bool(0.6)) {
            let station = self.pick(STATIONS);
            let body = json!({
                "id": self.id("hw"), "observed_at": self.shortly_after(seen), "station": station, "direction": "in",
                "plate": plate, "vehicle_class": "car", "origin_division": origin,
            });
            self.put(SourceKind::Highway, body, true);
        }
        if self.random.random_bool(0.4) {
            self.phone_moves(home, origin, seen);
        }
    }

    fn phone_moves(&mut self, home: &Household, origin: &str, seen: Millis) {
        let Some(phone) = home.residents.iter().find_map(|resident| resident.phone.as_deref()) else { return };
        let dwell = self.random.random_range(240..900);
        let body = json!({
            "id": self.id("tm"), "observed_at": self.shortly_after(seen), "phone": format!("+86{phone}"),
            "from_division": origin, "to_division": DIVISION, "dwell_minutes": dwell,
        });
        self.put(SourceKind::Telecom, body, false);
    }

    /// Nobody knows them, and they name no destination.
    fn stranger(&mut self, now: Millis) {
        let (id, phone) = self.unknown();
        let checkpoint = self.pick(CHECKPOINTS);
        let seen = self.seen(now);
        let body = json!({
            "id": self.id("cp"), "observed_at": time::format(seen), "checkpoint": checkpoint, "direction": "in",
            "resident_id": id, "phone": phone, "origin_division": self.pick(ORIGINS),
        });
        self.put(SourceKind::Checkpoint, body, true);
    }

    /// Nobody knows them, but they say where they are going: to a household, or to an address that the registry does not have.
    fn guest(&mut self, now: Millis) {
        let city = Arc::clone(&self.city);
        let home = &city.households[self.random.random_range(0..city.households.len())];
        let address = match self.random.random_bool(0.7) {
            true => home.address.clone(),
            false => format!("{}出租房{}号", home.address, self.random.random_range(1..9)),
        };
        let grid = &city.grids[home.grid].code;
        let seen = self.seen(now);
        let checkpoint = self.pick(CHECKPOINTS);
        let party = self.random.random_range(1..=3);
        for _ in 0..party {
            let (id, phone) = self.unknown();
            let body = json!({
                "id": self.id("cp"), "observed_at": self.shortly_after(seen), "checkpoint": checkpoint, "direction": "in",
                "resident_id": id, "phone": phone, "origin_division": self.pick(ORIGINS), "party_size": party,
                "destination": {"division": DIVISION, "grid": grid, "address": address},
            });
            self.put(SourceKind::Checkpoint, body, true);
        }
    }

    /// Out of the city: no reason for a visit.
    fn leaving(&mut self, now: Millis) {
        let city = Arc::clone(&self.city);
        let home = &city.households[self.random.random_range(0..city.households.len())];
        let seen = self.seen(now);
        let checkpoint = self.pick(CHECKPOINTS);
        let Some(resident) = home.residents.first() else { return };
        let body = json!({
            "id": self.id("cp"), "observed_at": time::format(seen), "checkpoint": checkpoint, "direction": "out",
            "resident_id": resident.id, "plate": home.plate,
        });
        self.put(SourceKind::Checkpoint, body, false);
    }

    /// Puts it somewhere into the stream; now and then the agency sends it twice, or under a second id.
    fn put(&mut self, kind: SourceKind, body: Value, repeats: bool) {
        if repeats && self.random.random_bool(0.03) {
            self.place(Message { kind, body: body.clone() });
        }
        if repeats && self.random.random_bool(0.04) {
            let mut other = body.clone();
            other["id"] = self.id("again").into();
            self.place(Message { kind, body: other });
        }
        self.place(Message { kind, body });
    }

    fn place(&mut self, message: Message) {
        self.serial += 1;
        let slot = self.sent + self.random.random_range(0..SPREAD * 2);
        self.waiting.insert((slot, self.serial), message);
    }

    fn id(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}-{}-{:06}", self.run, self.serial)
    }

    fn unknown(&mut self) -> (String, String) {
        self.strangers += 1;
        let phone = city::phone(STRANGERS_FROM + self.strangers, &mut self.random);
        (city::resident_id(1950..2005, &mut self.random), phone)
    }

    fn seen(&mut self, now: Millis) -> Millis {
        Millis(now.0 - self.random.random_range(120_000..5_400_000))
    }

    fn shortly_after(&mut self, seen: Millis) -> String {
        time::format(Millis(seen.0 + self.random.random_range(0..60_000)))
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.random.random_range(0..words.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_stream_mixes_arrivals_and_has_repeats_of_both_kinds() {
        let city = Arc::new(City::make_up(200, 3));
        let now = Millis(1_800_000_000_000);
        let messages = Journeys::new(Arc::clone(&city), 3, "r".into()).take(5000, now);
        let again = Journeys::new(city, 3, "r".into()).take(5000, now);
        assert!(messages.iter().zip(&again).all(|(one, other)| one.body == other.body));

        let ids: HashSet<&str> = messages.iter().filter_map(|message| message.body["id"].as_str()).collect();
        assert!(ids.len() < messages.len(), "some are sent twice");
        assert!(ids.iter().any(|id| id.starts_with("again-")), "some have a second id");
        for kind in SourceKind::ALL {
            assert!(messages.iter().any(|message| message.kind == *kind), "{kind}");
        }
        for message in &messages {
            let at = message.body["observed_at"].as_str().and_then(time::parse).unwrap();
            assert!(at <= now && now.0 - at.0 <= 5_400_000, "{}", message.body);
        }
    }
}
