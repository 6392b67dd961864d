//! Who lives in the city: households, people, phones and cars, as they are, and as the registry has them.

use rand::Rng;
use rand::rngs::SmallRng;

/// A household as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Household {
    /// Number of its grid.
    pub grid: usize,
    /// People who really live here.
    pub people: Vec<usize>,
    /// People whom the registry has here.
    pub registered: Vec<usize>,
    /// Cars that it uses.
    pub cars: Vec<usize>,
    /// It is gone: merged or renamed.
    pub gone: bool,
    /// The registry has an entry of it.
    pub has_entry: bool,
}

/// A person as they are.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// Where they really live.
    pub home: usize,
    /// Where the registry has them; nowhere: a tenant who was not registered, or somebody who left.
    pub registered: Option<usize>,
    /// Number of their phone.
    pub phone: Option<usize>,
    /// Known by a passport, not by a resident number.
    pub passport: bool,
    /// Leaves in the morning and comes back in the evening.
    pub commutes: bool,
}

impl Person {
    /// What checkpoints know them by.
    pub fn name(&self, number: usize) -> String {
        format!("{}{}", if self.passport { 'x' } else { 'p' }, number + 1)
    }
}

/// Everybody, and what they use.
#[derive(Clone, Debug, Default)]
pub(super) struct People {
    /// By number; `h1` is number 0.
    pub households: Vec<Household>,
    /// By number; `p1` is number 0.
    pub people: Vec<Person>,
    /// People who use a phone; `f1` is number 0.
    pub phones: Vec<Vec<usize>>,
    /// Households that use a car; `c1` is number 0.
    pub cars: Vec<Vec<usize>>,
}

impl People {
    /// A city of so many households in so many grids. Says what is particular in it.
    pub fn settle(random: &mut SmallRng, households: usize, grids: usize, mut note: impl FnMut(&'static str)) -> People {
        let mut city = People::default();
        for number in 0..households {
            let grid = random.random_range(0..grids);
            let has_entry = !random.random_bool(0.06);
            if !has_entry {
                note("entry later");
            }
            city.households.push(Household { grid, has_entry, ..Household::default() });
            for _ in 0..random.random_range(1..=4) {
                let person = city.add_person(random, number);
                if city.people[person].registered.is_none() {
                    note("tenant not registered");
                }
                if city.people[person].passport {
                    note("known by passport");
                }
            }
            if random.random_bool(0.6) {
                city.cars.push(vec![number]);
                city.households[number].cars.push(city.cars.len() - 1);
            }
            if number > 0 && random.random_bool(0.15) {
                let other = random.random_range(0..number);
                if let Some(&car) = city.households[other].cars.first() {
                    city.cars[car].push(number);
                    city.households[number].cars.push(car);
                    note("car of two households");
                }
            }
            if number > 0 && random.random_bool(0.15) {
                let phone = random.random_range(0..city.phones.len().max(1));
                let person = city.households[number].people[0];
                if phone < city.phones.len() && city.people[person].phone.is_none() {
                    city.people[person].phone = Some(phone);
                    city.phones[phone].push(person);
                    note("phone of two households");
                }
            }
        }
        city
    }

    /// Somebody new, with or without a phone, registered here or not.
    pub fn add_person(&mut self, random: &mut SmallRng, home: usize) -> usize {
        let number = self.people.len();
        let phone = if random.random_bool(0.7) {
            // A third of phones is the family's.
            let family = self.households[home].people.iter().find_map(|person| self.people[*person].phone);
            let phone = family.filter(|_| random.random_bool(0.3)).unwrap_or(self.phones.len());
            if phone == self.phones.len() {
                self.phones.push(Vec::new());
            }
            self.phones[phone].push(number);
            Some(phone)
        } else {
            None
        };
        let registered = (!random.random_bool(0.12)).then_some(home);
        let (passport, commutes) = (random.random_bool(0.06), random.random_bool(0.06));
        self.people.push(Person { home, registered: None, phone, passport, commutes });
        self.register(number, registered);
        self.households[home].people.push(number);
        number
    }

    /// They really live there from now on; the registry does not know yet.
    pub fn move_person(&mut self, person: usize, to: usize) {
        let from = self.people[person].home;
        self.households[from].people.retain(|other| *other != person);
        self.households[to].people.push(person);
        self.people[person].home = to;
    }

    /// The registry has them there from now on; nowhere: no longer.
    pub fn register(&mut self, person: usize, to: Option<usize>) {
        if let Some(from) = self.people[person].registered {
            self.households[from].registered.retain(|other| *other != person);
        }
        self.people[person].registered = to;
        if let Some(to) = to {
            self.households[to].registered.push(person);
        }
    }

    /// Households that the registry knows a phone by.
    pub fn households_of_phone(&self, phone: usize) -> Vec<usize> {
        self.phones[phone].iter().filter_map(|person| self.people[*person].registered).collect()
    }

    /// A household that is there, whichever; none where several in a row have gone.
    pub fn somebody(&self, random: &mut SmallRng) -> Option<usize> {
        let any = (0..8).map(|_| random.random_range(0..self.households.len()));
        any.into_iter().find(|household| !self.households[*household].gone)
    }

    /// Households that are there, by number.
    pub fn present(&self) -> Vec<usize> {
        (0..self.households.len()).filter(|household| !self.households[*household].gone).collect()
    }
}

/// Name of a household.
pub(super) fn household_name(number: usize) -> String {
    format!("h{}", number + 1)
}

/// Code of a grid.
pub(super) fn grid_name(number: usize) -> String {
    format!("g{}", number + 1)
}
