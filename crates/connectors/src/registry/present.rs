//! What the log holds of the register now, as far as a mandate's import must know it: digests instead of values, so that a city fits.

use super::erased::Erased;
use crate::replay::Replay;
use domain::resolve::is_erased;
use eventlog::schemas::Schemas;
use eventlog::{Log, LogError, Record};
use events::ids::digest64;
use events::topics::{GRIDS, HOUSEHOLDS, IDENTIFIERS, split_key};
use events::{GridEntry, HouseholdEntry, IdentifierLink, Sealed, Token};
use keys::MandateKeys;
use std::collections::{HashMap, HashSet};

/// A household as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentHousehold {
    /// Its version.
    pub version: i64,
    /// Its grid.
    pub grid: String,
    /// Digest of grid and address; `None` where the address cannot be opened.
    pub place: Option<i64>,
    /// Digest of the contact; `None` where it cannot be opened.
    pub contact: Option<i64>,
}

/// The register as it is.
#[derive(Default)]
pub struct Present {
    /// All grids of the site.
    pub grids: HashMap<String, GridEntry>,
    /// This mandate's households.
    pub households: HashMap<String, PresentHousehold>,
    /// Digests of this mandate's identifiers; only those of an import.
    pub identifiers: HashMap<Token, i64>,
    /// What must not be published: see [`super::erased`].
    pub erased: Erased,
    /// Grids that other mandates' households are in.
    pub others_grids: HashSet<String>,
}

/// Digest of a grid and an address in clear.
pub fn place_digest(grid: &str, address: Option<&str>) -> i64 {
    digest64(&[grid.as_bytes(), address.map_or(&[][..], |_| &[1]), address.unwrap_or_default().as_bytes()])
}

/// Digest of a contact in clear.
pub fn contact_digest(contact: Option<&str>) -> i64 {
    digest64(&[contact.map_or(&[][..], |_| &[1]), contact.unwrap_or_default().as_bytes()])
}

/// Digest of an identifier's households.
pub fn link_digest(link: &IdentifierLink) -> i64 {
    let mut parts: Vec<&[u8]> = vec![if link.common { b"common" } else { b"" }];
    for one in &link.links {
        parts.push(one.household.as_bytes());
        parts.push(one.grid.as_bytes());
    }
    digest64(&parts)
}

/// Reads `registry.*` to the end that it has now.
pub async fn read(log: &dyn Log, schemas: &Schemas, partitions: i32, keys: &MandateKeys) -> Result<Present, LogError> {
    let mut present = Present::default();
    let mut others: HashMap<String, String> = HashMap::new();
    let mut replay = Replay::begin(log, &[GRIDS, HOUSEHOLDS, IDENTIFIERS], partitions).await?;
    while let Some(batch) = replay.next().await? {
        for record in &batch.records {
            let Ok(key) = std::str::from_utf8(&record.key) else { continue };
            match &*batch.topic {
                GRIDS => match value::<GridEntry>(record, schemas).await {
                    Some(grid) => drop(present.grids.insert(key.to_owned(), grid)),
                    None => drop(present.grids.remove(key)),
                },
                HOUSEHOLDS => {
                    let entry = value::<HouseholdEntry>(record, schemas).await;
                    match (split_key(key), entry) {
                        (Some((mandate, household)), Some(entry)) if mandate == keys.mandate() => {
                            present.households.insert(household.to_owned(), opened(key, entry, keys));
                        }
                        (Some((mandate, household)), None) if mandate == keys.mandate() => drop(present.households.remove(household)),
                        (_, Some(entry)) => drop(others.insert(key.to_owned(), entry.grid)),
                        (_, None) => drop(others.remove(key)),
                    }
                }
                // A key with a household behind the token was registered at the door: not the import's.
                _ => {
                    let Ok(token) = key.parse::<Token>() else { continue };
                    match value::<IdentifierLink>(record, schemas).await {
                        Some(link) if link.mandate != keys.mandate() => {}
                        Some(link) if is_erased(&link) => {
                            present.identifiers.remove(&token);
                            present.erased.insert(token);
                        }
                        link => {
                            present.erased.remove(&token);
                            match link {
                                Some(link) => present.identifiers.insert(token, link_digest(&link)),
                                None => present.identifiers.remove(&token),
                            };
                        }
                    }
                }
            }
        }
    }
    present.others_grids = others.into_values().collect();
    Ok(present)
}

/// What cannot be read counts as absent: the import then publishes it anew.
pub async fn value<R: events::Record>(record: &Record, schemas: &Schemas) -> Option<R> {
    record.value.as_ref()?;
    let read = schemas.decode::<R>(record).await;
    read.inspect_err(|error| tracing::warn!(partition = record.partition, offset = record.offset, %error, "passed over")).ok()
}

fn opened(key: &str, entry: HouseholdEntry, keys: &MandateKeys) -> PresentHousehold {
    let open = |field: &str, sealed: &Option<Sealed>| match sealed {
        None => Some(None),
        Some(sealed) if sealed.owner == key => {
            let text = keys.open(field, key, &sealed.value.0).ok().and_then(|bytes| bytes.into_text());
            text.map(Some)
        }
        Some(_) => None,
    };
    let place = open("address", &entry.address).map(|text| place_digest(&entry.grid, text.as_ref().map(|text| text.expose().as_str())));
    let contact = open("contact", &entry.contact).map(|text| contact_digest(text.as_ref().map(|text| text.expose().as_str())));
    PresentHousehold { version: entry.version, grid: entry.grid, place, contact }
}
