//! What one resident may ask of the register within a running mandate: that it is put right (`registry correct`), that it forgets them
//! (`registry erase`), and that what was forgotten may come again (`registry restore`).
//!
//! The rules are the import's: one at a time, under a mandate in force, versions that grow, and an order of publishing in which nobody reads of
//! a household that is not there. What is to be done is planned whole before anything is published, so that it can be written down first.

use super::erased::field_token;
use super::given::Given;
use super::import::{ImportError, choose, lock, partitions, seal};
use super::present::value;
use super::publish::publish;
use super::snapshot::{NAME_CHARS_MAX, contact_text};
use crate::intake::{self, ADDRESS_CHARS_MAX, NotTaken, Refusal, RefusalCode};
use crate::replay::Replay;
use domain::Clock;
use domain::limits::LINKS_MAX;
use domain::mandate::{Book, Signers};
use domain::resolve::is_erased;
use eventlog::schemas::Schemas;
use eventlog::table::Small;
use eventlog::{Log, LogError};
use events::topics::{GRIDS, HOUSEHOLDS, IDENTIFIERS, MANDATES, household_key};
use events::{GridEntry, HouseholdEntry, Identifier, IdentifierLink, Link, Mandate, Millis, Record, Sealed, Token};
use keys::{Keyring, KeysGone, MandateKeys, Pii};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Fields of a household are others, and identifiers belong to it.
    Correct,
    /// Identifiers do not belong to a household.
    Detach,
    /// Identifiers belong to nobody, and address or contact are gone; no import brings them back.
    Erase,
    /// What was erased may come again with the next import.
    Restore,
}

/// One request.
pub struct Order<'a> {
    /// What.
    pub act: Act,
    /// Of whom.
    pub given: &'a Given,
    /// The mandate; needed where several are in force.
    pub mandate: Option<&'a str>,
    /// Where the import's lock is.
    pub state_dir: &'a Path,
    /// The site's clock.
    pub clock: Clock,
}

/// What is done, without a clear value.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The mandate.
    pub mandate: String,
    /// Until when it is in force.
    pub valid_until: Millis,
    /// The households whose entries or people it is about.
    pub households: BTreeSet<String>,
    /// Fields of households that change: `grid`, `address`, `contact`.
    pub fields: BTreeSet<&'static str>,
    /// Identifiers that were named, by kind.
    pub identifiers: BTreeMap<&'static str, u64>,
    /// Records published to each topic.
    pub records: BTreeMap<&'static str, u64>,
    /// Households at whose door one of these identifiers was registered.
    pub doors: BTreeSet<String>,
    /// Other identifiers that stay with those households.
    pub others: u64,
}

/// What is about to be published.
pub struct Planned {
    /// What it comes to.
    pub done: Done,
    /// By topic, in order.
    records: Vec<(&'static str, Records)>,
    log: Arc<dyn Log>,
    partitions: i32,
    _held_until_the_end: File,
}

impl Planned {
    /// Publishes it; durable when it returns. Broken off anywhere, the same request goes on.
    ///
    /// # Errors
    /// The log is away.
    pub async fn publish(self) -> Result<Done, ImportError> {
        for (topic, records) in self.records {
            publish(self.log.as_ref(), topic, self.partitions, records.into_iter(), "published", &mut |_, _| {}).await?;
        }
        Ok(self.done)
    }
}

/// Reads the register, and says what the request comes to. Nothing is published.
///
/// # Errors
/// [`ImportError`]: no mandate or keys, a value that cannot be, or the log is away.
pub async fn plan(
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    signers: &Signers,
    keyring: &Keyring,
    order: &Order<'_>,
    now: Millis,
) -> Result<Planned, ImportError> {
    let lock = lock(order.state_dir)?;
    let rule = Book::new(signers.clone()).rule();
    let mandates = Small::<Mandate>::open_where(Arc::clone(&log), Arc::clone(&schemas), MANDATES, rule).await?;
    let mandate = choose(&mandates, order.mandate, order.clock, now)?;
    let keys = keyring.mandate(&mandate.id).ok_or(KeysGone)?;
    let partitions = partitions(log.as_ref()).await?;
    let register = Register { log: log.as_ref(), schemas: &schemas, partitions, keys: &keys };
    let done = Done { mandate: mandate.id.clone(), valid_until: mandate.valid_until, ..Done::default() };
    let mut desk = Desk { register, now, done, before: Before::default(), entries: BTreeMap::new(), links: BTreeMap::new() };
    let identifiers = order.given.identifiers().map(|(kind, column, raw)| intake::token(kind, raw, column, &keys));
    let identifiers: Vec<Identifier> = identifiers.collect::<Result<_, NotTaken>>()?;
    for identifier in &identifiers {
        *desk.done.identifiers.entry(identifier.kind.as_str()).or_default() += 1;
    }
    let tokens: BTreeSet<Token> = identifiers.iter().map(|identifier| identifier.token).collect();
    let household = order.given.one("household").map_err(NotTaken::from)?.filter(|household| !household.is_empty());
    match (order.act, household) {
        (Act::Correct | Act::Detach, None) => return Err(NotTaken::from(Refusal::missing("household")).into()),
        (Act::Correct, Some(household)) => desk.correct(household, order.given, &tokens).await?,
        (Act::Detach, Some(household)) => desk.detach(household, &tokens).await?,
        (_, None) if tokens.is_empty() => {
            let message = "expected a household, or an identifier of the person, such as resident_id or phones";
            return Err(NotTaken::from(Refusal { code: RefusalCode::MissingField, field: None, message: message.into() }).into());
        }
        (Act::Erase, household) => desk.erase(household, order.given, &tokens).await?,
        (Act::Restore, household) => desk.restore(household, &tokens).await?,
    }
    let (done, mut records) = desk.records(&schemas);
    // What goes is unlinked before its household changes; what comes is linked behind it.
    if matches!(order.act, Act::Erase | Act::Detach) {
        records.reverse();
    }
    Ok(Planned { done, records, log, partitions, _held_until_the_end: lock })
}

/// The register in the log.
struct Register<'a> {
    log: &'a dyn Log,
    schemas: &'a Schemas,
    partitions: i32,
    keys: &'a MandateKeys,
}

impl Register<'_> {
    /// The newest records of a topic that are wanted, by key; the whole topic is read, and no more of it kept.
    async fn read<R: Record>(&self, topic: &str, wanted: impl Fn(&str, &R) -> bool) -> Result<HashMap<String, R>, LogError> {
        let mut found = HashMap::new();
        let mut replay = Replay::begin(self.log, &[topic], self.partitions).await?;
        while let Some(batch) = replay.next().await? {
            for record in &batch.records {
                let Ok(key) = std::str::from_utf8(&record.key) else { continue };
                match value::<R>(record, self.schemas).await.filter(|value| wanted(key, value)) {
                    Some(value) => drop(found.insert(key.to_owned(), value)),
                    None => drop(found.remove(key)),
                }
            }
        }
        Ok(found)
    }

    async fn entries(&self, households: &BTreeSet<String>) -> Result<BTreeMap<String, HouseholdEntry>, LogError> {
        let keys: HashMap<String, &String> = households.iter().map(|id| (household_key(self.keys.mandate(), id), id)).collect();
        let found = self.read::<HouseholdEntry>(HOUSEHOLDS, |key, _| keys.contains_key(key)).await?;
        Ok(found.into_iter().filter_map(|(key, entry)| Some(((*keys.get(&key)?).clone(), entry))).collect())
    }

    /// Links of these identifiers, and those that name one of these households; the import's and the doors'.
    async fn links(&self, tokens: &BTreeSet<Token>, households: &BTreeSet<String>) -> Result<HashMap<String, IdentifierLink>, LogError> {
        let of = |key: &str| key.split('/').next().and_then(|token| token.parse::<Token>().ok());
        self.read::<IdentifierLink>(IDENTIFIERS, |key, link| {
            link.mandate == self.keys.mandate()
                && (of(key).is_some_and(|token| tokens.contains(&token))
                    || link.links.iter().any(|link| households.contains(&link.household)))
        })
        .await
    }

    fn open(&self, field: &str, household: &str, sealed: Option<&Sealed>) -> Option<Pii<String>> {
        self.keys.open(field, &household_key(self.keys.mandate(), household), &sealed?.value.0).ok()?.into_text()
    }

    fn address_token(&self, grid: &str, address: Option<&str>) -> Result<Option<Token>, NotTaken> {
        let Some(address) = address else { return Ok(None) };
        Ok(intake::address(grid, address, "address", self.keys)?.map(|identifier| identifier.token))
    }
}

/// What the log holds of the matter.
#[derive(Default)]
struct Before {
    entries: BTreeMap<String, HouseholdEntry>,
    links: HashMap<String, IdentifierLink>,
}

/// Where a request is worked out.
struct Desk<'a> {
    register: Register<'a>,
    now: Millis,
    done: Done,
    before: Before,
    entries: BTreeMap<String, HouseholdEntry>,
    /// The import's links as they shall be.
    links: BTreeMap<Token, Option<IdentifierLink>>,
}

impl Desk<'_> {
    async fn correct(&mut self, household: &str, given: &Given, tokens: &BTreeSet<Token>) -> Result<(), ImportError> {
        let old = self.entry(household).await?;
        let keys = self.register.keys;
        let one = |column| given.one(column).map_err(NotTaken::from);
        let grid = match one("grid")? {
            None => old.grid.clone(),
            Some(grid) if self.register.read::<GridEntry>(GRIDS, |key, _| key == grid).await?.is_empty() => {
                return Err(refused(RefusalCode::UnknownGrid, "grid", "the register has no such grid"));
            }
            Some(grid) => grid.to_owned(),
        };
        let old_address = self.register.open("address", household, old.address.as_ref());
        if old.address.is_some() && old_address.is_none() && one("address")?.is_none() {
            return Err(refused(RefusalCode::BadValue, "address", "the present one does not open: give it anew"));
        }
        let old_address = old_address.as_ref().map(|text| text.expose().as_str());
        let address = match one("address")? {
            None => old_address.map(str::to_owned),
            Some(raw) => intake::free_text(raw, "address", ADDRESS_CHARS_MAX).map_err(NotTaken::from)?,
        };
        let old_contact = self.register.open("contact", household, old.contact.as_ref());
        let old_contact: serde_json::Value =
            old_contact.and_then(|text| serde_json::from_str(text.expose()).ok()).unwrap_or(serde_json::Value::Null);
        let part = |column, name: &str| match one(column)? {
            None => Ok(old_contact[name].as_str().map(str::to_owned)),
            Some(raw) => intake::free_text(raw, column, NAME_CHARS_MAX).map_err(NotTaken::from),
        };
        let (name, phone) = (part("contact_name", "name")?, part("contact_phone", "phone")?);
        let contact = contact_text(name.as_deref(), phone.as_deref());

        let old_token = self.register.address_token(&old.grid, old_address)?;
        let new_token = self.register.address_token(&grid, address.as_deref())?;
        let marks = [field_token("address", household, keys)?, field_token("contact", household, keys)?];
        let looked_up = tokens.iter().chain(&old_token).chain(&new_token).chain(&marks).copied().collect();
        self.before.links = self.register.links(&looked_up, &BTreeSet::from([household.to_owned()])).await?;
        let given_anew = [
            (one("address")?.is_some() && address.is_some(), "address"),
            (one("contact_name")?.or(one("contact_phone")?).is_some() && contact.is_some(), "contact_name"),
        ];
        for ((anew, field), mark) in given_anew.into_iter().zip(marks) {
            if anew && self.is_erased(mark) {
                return Err(refused(RefusalCode::BadValue, field, ERASED));
            }
        }
        if tokens.iter().any(|token| self.is_erased(*token)) {
            return Err(refused(RefusalCode::BadValue, "identifiers", ERASED));
        }

        let mut entry = old.clone();
        let owner = household_key(keys.mandate(), household);
        if grid != old.grid {
            self.done.fields.insert("grid");
        }
        if address.as_deref() != old_address || (old.address.is_some() && old_address.is_none()) {
            self.done.fields.insert("address");
            entry.address = seal(keys, "address", &owner, address.as_deref())?;
        }
        if contact != contact_text(old_contact["name"].as_str(), old_contact["phone"].as_str()) {
            self.done.fields.insert("contact");
            entry.contact = seal(keys, "contact", &owner, contact.as_deref())?;
        }
        entry.grid.clone_from(&grid);
        self.put(household, entry);
        if old_token != new_token {
            old_token.into_iter().for_each(|token| self.unlink(token, household));
        }
        // Of every link the grid is the household's.
        let named: Vec<Token> = self.before.links.keys().filter_map(|key| key.parse().ok()).collect();
        for token in named {
            if let Some(Some(link)) = self.link(token)
                && link.links.iter().any(|one| one.household == household && one.grid != grid)
            {
                self.unlink(token, household);
                self.join(token, household, &grid);
            }
        }
        new_token.into_iter().for_each(|token| self.join(token, household, &grid));
        for token in tokens {
            let links = vec![Link { household: household.to_owned(), grid: grid.clone() }];
            let left = self.link(*token).flatten().into_iter().flat_map(|link| link.links).map(|link| link.household);
            self.done.households.extend(left);
            self.links.insert(*token, Some(self.linked(links)));
        }
        self.done.households.insert(household.to_owned());
        self.doors(tokens, Some(household));
        Ok(())
    }

    async fn detach(&mut self, household: &str, tokens: &BTreeSet<Token>) -> Result<(), ImportError> {
        self.before.links = self.register.links(tokens, &BTreeSet::new()).await?;
        tokens.iter().for_each(|token| self.unlink(*token, household));
        self.done.households.insert(household.to_owned());
        self.doors(tokens, None);
        Ok(())
    }

    async fn erase(&mut self, household: Option<&str>, given: &Given, tokens: &BTreeSet<Token>) -> Result<(), ImportError> {
        let keys = self.register.keys;
        let links = self.register.links(tokens, &BTreeSet::new()).await?;
        let mut households: BTreeSet<String> = links.values().flat_map(|link| &link.links).map(|link| link.household.clone()).collect();
        if let Some(household) = household {
            self.entry(household).await?;
            households.insert(household.to_owned());
        }
        self.before.links = self.register.links(tokens, &households).await?;
        self.before.entries = self.register.entries(&households).await?;
        for token in tokens {
            self.links.insert(*token, Some(self.linked(vec![])));
        }
        let name = given.one("name").map_err(NotTaken::from)?.filter(|name| !name.is_empty());
        for (id, old) in self.before.entries.clone() {
            let address = self.register.open("address", &id, old.address.as_ref());
            let address_token = self.register.address_token(&old.grid, address.as_ref().map(|text| text.expose().as_str()))?;
            let others = self.others(&id, tokens, address_token);
            self.done.others += others;
            let all = household == Some(&*id);
            let mut entry = old.clone();
            if old.contact.is_some() && (all || self.is_theirs(&id, &old, name, tokens)?) {
                entry.contact = None;
                self.done.fields.insert("contact");
                self.links.insert(field_token("contact", &id, keys)?, Some(self.linked(vec![])));
            }
            // Whose last identifier goes lived there alone.
            if old.address.is_some() && (all || others == 0) {
                entry.address = None;
                self.done.fields.insert("address");
                self.links.insert(field_token("address", &id, keys)?, Some(self.linked(vec![])));
                address_token.into_iter().for_each(|token| self.unlink(token, &id));
            }
            self.put(&id, entry);
        }
        self.done.households.extend(households);
        self.doors(tokens, None);
        Ok(())
    }

    async fn restore(&mut self, household: Option<&str>, tokens: &BTreeSet<Token>) -> Result<(), ImportError> {
        let mut tokens = tokens.clone();
        if let Some(household) = household {
            for field in ["address", "contact"] {
                tokens.insert(field_token(field, household, self.register.keys)?);
            }
            self.done.households.insert(household.to_owned());
        }
        self.before.links = self.register.links(&tokens, &BTreeSet::new()).await?;
        for token in tokens {
            if self.is_erased(token) {
                self.links.insert(token, None);
            }
        }
        Ok(())
    }

    /// A household's entry as it is.
    async fn entry(&mut self, household: &str) -> Result<HouseholdEntry, ImportError> {
        let found = self.register.entries(&BTreeSet::from([household.to_owned()])).await?;
        let entry = found.get(household).cloned();
        self.before.entries.extend(found);
        entry.ok_or_else(|| refused(RefusalCode::UnknownHousehold, "household", "the register of this mandate has no such household"))
    }

    /// The entry as it shall be: of a version that grows with its place.
    fn put(&mut self, household: &str, mut entry: HouseholdEntry) {
        let Some(before) = self.before.entries.get(household) else { return };
        // Where a contact is erased too: routers then look at the household anew, and its task is told to phones once more.
        if entry.grid != before.grid || entry.address != before.address || (before.contact.is_some() && entry.contact.is_none()) {
            entry.version = self.now.0.max(before.version + 1);
        }
        if entry != *before {
            self.entries.insert(household.to_owned(), entry);
        }
    }

    fn is_theirs(&self, id: &str, entry: &HouseholdEntry, name: Option<&str>, tokens: &BTreeSet<Token>) -> Result<bool, ImportError> {
        let contact = self.register.open("contact", id, entry.contact.as_ref());
        let Some(contact) = contact.and_then(|text| serde_json::from_str::<serde_json::Value>(text.expose()).ok()) else {
            return Ok(false);
        };
        let phone = contact["phone"].as_str().and_then(|phone| events::normal::phone(phone).ok());
        let phone = phone.map(|phone| self.register.keys.token(events::IdentifierKind::Phone, &phone)).transpose()?;
        Ok(phone.is_some_and(|token| tokens.contains(&token)) || name.is_some_and(|name| contact["name"].as_str() == Some(name)))
    }

    /// Identifiers, but for these and the address, that name the household.
    fn others(&self, household: &str, tokens: &BTreeSet<Token>, address: Option<Token>) -> u64 {
        let named = |link: &IdentifierLink| link.links.iter().any(|link| link.household == household);
        let tokens_of = self.before.links.iter().filter(|(_, link)| named(link)).filter_map(|(key, _)| key.split('/').next()?.parse().ok());
        let others: BTreeSet<Token> = tokens_of.filter(|token| !tokens.contains(token) && Some(*token) != address).collect();
        others.len() as u64
    }

    /// Notes at which other doors these identifiers were registered.
    fn doors(&mut self, tokens: &BTreeSet<Token>, but: Option<&str>) {
        for key in self.before.links.keys() {
            if let Some((token, household)) = key.split_once('/')
                && but != Some(household)
                && token.parse().is_ok_and(|token| tokens.contains(&token))
            {
                self.done.doors.insert(household.to_owned());
            }
        }
    }

    fn linked(&self, links: Vec<Link>) -> IdentifierLink {
        IdentifierLink { mandate: self.register.keys.mandate().to_owned(), links, common: false }
    }

    /// The import's link of a token as it shall be.
    fn link(&self, token: Token) -> Option<Option<IdentifierLink>> {
        self.links.get(&token).cloned().or_else(|| self.before.links.get(&token.to_string()).cloned().map(Some))
    }

    fn is_erased(&self, token: Token) -> bool {
        self.before.links.get(&token.to_string()).is_some_and(is_erased)
    }

    fn unlink(&mut self, token: Token, household: &str) {
        let Some(Some(mut link)) = self.link(token) else { return };
        let count = link.links.len();
        link.links.retain(|one| one.household != household);
        if link.links.len() < count {
            self.links.insert(token, (!link.links.is_empty()).then_some(link));
        }
    }

    fn join(&mut self, token: Token, household: &str, grid: &str) {
        let mut link = self.link(token).flatten().unwrap_or_else(|| self.linked(vec![]));
        if link.common || link.links.iter().any(|one| one.household == household) {
            return;
        }
        link.links.push(Link { household: household.to_owned(), grid: grid.to_owned() });
        link.links.sort_by(|one, other| one.household.cmp(&other.household));
        if link.links.len() > LINKS_MAX {
            (link.links, link.common) = (Vec::new(), true);
        }
        self.links.insert(token, Some(link));
    }

    /// What differs from the log, by topic, as what comes is published.
    fn records(mut self, schemas: &Schemas) -> (Done, Vec<(&'static str, Records)>) {
        let codec = schemas.codec();
        let key = |id: &String| household_key(self.register.keys.mandate(), id);
        let households: Records = self.entries.iter().map(|(id, entry)| (key(id), Some(codec.encode(entry)))).collect();
        let differs = |(token, link): &(&Token, &Option<IdentifierLink>)| self.before.links.get(&token.to_string()) != link.as_ref();
        let value = |link: &Option<IdentifierLink>| link.as_ref().map(|link| codec.encode(link));
        let identifiers: Records = self.links.iter().filter(differs).map(|(token, link)| (token.to_string(), value(link))).collect();
        let records = vec![(HOUSEHOLDS, households), (IDENTIFIERS, identifiers)];
        let counted = records.iter().filter(|(_, records)| !records.is_empty());
        self.done.records = counted.map(|(topic, records)| (*topic, records.len() as u64)).collect();
        (self.done, records)
    }
}

/// Keys and values of one topic.
type Records = Vec<(String, Option<Vec<u8>>)>;

const ERASED: &str = "it was erased at a person's request: `oneknock registry restore` comes first";

fn refused(code: RefusalCode, field: &'static str, message: &'static str) -> ImportError {
    NotTaken::from(Refusal::at(code, field, message)).into()
}
