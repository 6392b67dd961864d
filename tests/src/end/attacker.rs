//! Whoever holds files and wants what is sealed in them: finds sealed values by their bytes, and tries every key of every file of keys that opens
//! with any password found. It has the cipher, and no other part of the program.

use anyhow::Result;
use keys::{Cost, KeptBy, Keyring, MandateKeys, Pii, Settings, Suite, TransitSettings};
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read in pieces of so much, each with the end of the one before.
const PIECE: usize = 32 << 20;
const OVERLAP: usize = 16 << 10;
/// The longest owner of a value, and the longest password, in bytes.
const OWNER_MAX: usize = 200;
const PASSWORD_MAX: u64 = 256;
/// What may be sealed.
const FIELDS: [&str; 3] = ["address", "contact", "note"];
/// A sealed value's smallest length: see `keys::seal`.
const VALUE_MIN: usize = 80;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Sealed values, each as often as it stands there.
    pub copies: u64,
    /// Of these opened.
    pub opened: u64,
    /// Different ones.
    pub different: u64,
    /// Files looked through.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    seen: HashSet<u64>,
}

/// With what it has.
pub struct Attacker {
    /// Suite and key id, with which every value of the mandate begins; known from the time before.
    begins: Vec<[u8; 5]>,
    /// The secrets as their files had them.
    secrets: Vec<Vec<u8>>,
    keys: Vec<Arc<MandateKeys>>,
}

impl Attacker {
    /// Before the end: learns how values begin and how secrets are written, and holds all keys.
    ///
    /// # Errors
    /// A file cannot be read, or there are no keys at all.
    pub fn with_all_keys_of(roots: &[PathBuf]) -> Result<Attacker> {
        Attacker::over(keyrings(roots, None)?, roots)
    }

    /// The same, where a key service holds the keys and the attacker may ask it as the site does.
    ///
    /// # Errors
    /// As `with_all_keys_of`.
    pub fn with_service(roots: &[PathBuf], service: &TransitSettings) -> Result<Attacker> {
        Attacker::over(keyrings(roots, Some(service))?, roots)
    }

    fn over(keyrings: Vec<Keyring>, roots: &[PathBuf]) -> Result<Attacker> {
        let mut begins = BTreeSet::new();
        for one in keyrings.iter().map(Keyring::describe).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            for (id, _) in one.versions {
                let id = u32::from_str_radix(&id, 16)?.to_be_bytes();
                begins.insert([one.suite.id(), id[0], id[1], id[2], id[3]]);
            }
        }
        anyhow::ensure!(!begins.is_empty(), "no keys are here before the end: nothing that is found would mean anything");
        let mut secrets = Vec::new();
        for file in files(roots)?.iter().filter(|file| is_of_keys(file)) {
            let value: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
            let wrapped = value["secrets"].as_array().into_iter().flatten().filter_map(|secret| secret["wrapped"].as_str());
            secrets.extend(wrapped.map(|wrapped| wrapped.as_bytes().to_vec()));
        }
        Ok(Attacker { begins: begins.into_iter().collect(), secrets, keys: all(&keyrings) })
    }

    /// The same attacker with the keys that these files give now, and no others.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn with_keys_of(&self, roots: &[PathBuf]) -> Result<Attacker> {
        self.with(keyrings(roots, None)?)
    }

    /// The same with a key service.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn with_keys_of_service(&self, roots: &[PathBuf], service: &TransitSettings) -> Result<Attacker> {
        self.with(keyrings(roots, Some(service))?)
    }

    fn with(&self, keyrings: Vec<Keyring>) -> Result<Attacker> {
        Ok(Attacker { begins: self.begins.clone(), secrets: self.secrets.clone(), keys: all(&keyrings) })
    }

    /// Looks through every file.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn scan(&self, roots: &[PathBuf]) -> Result<Found> {
        let mut found = Found::default();
        for path in files(roots)? {
            found.files += 1;
            each_piece(&path, |piece, from| {
                found.bytes += (piece.len() - from) as u64;
                self.look(piece, from, &mut found);
            })?;
        }
        found.different = found.seen.len() as u64;
        Ok(found)
    }

    /// Looks through bytes of any origin, such as a record of a topic.
    pub fn scan_bytes(&self, bytes: &[u8], found: &mut Found) {
        self.look(bytes, 0, found);
        found.different = found.seen.len() as u64;
    }

    /// Sealed values that end behind `from`: those before it were found in the piece before.
    fn look(&self, bytes: &[u8], from: usize, found: &mut Found) {
        for at in 2..bytes.len().saturating_sub(VALUE_MIN) {
            let begins = |begins: &&[u8; 5]| bytes[at + 1] == begins[1] && bytes[at..].starts_with(*begins);
            if !self.begins.iter().any(|one| begins(&one)) {
                continue;
            }
            let Some((length, end_of_owner)) = length_before(bytes, at) else { continue };
            let Some(value) = bytes.get(at..at + length).filter(|_| length >= VALUE_MIN && at + length > from) else { continue };
            found.copies += 1;
            let mut hash = DefaultHasher::new();
            value.hash(&mut hash);
            found.seen.insert(hash.finish());
            found.opened += u64::from(self.opens(bytes, end_of_owner, value));
        }
    }

    /// Whether any key opens it, for any owner that may stand before it.
    fn opens(&self, bytes: &[u8], end: usize, value: &[u8]) -> bool {
        (1..=OWNER_MAX.min(end)).any(|length| {
            let before = &bytes[..end - length];
            let says = before.ends_with(&length_of(length));
            let owner = std::str::from_utf8(&bytes[end - length..end]);
            let tried = |owner: &str| self.keys.iter().any(|keys| FIELDS.iter().any(|field| keys.open(field, owner, value).is_ok()));
            says && owner.is_ok_and(tried)
        })
    }

    /// How often the mandate's wrapped secrets stand in these files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn secrets_in(&self, roots: &[PathBuf]) -> Result<u64> {
        let mut count = 0;
        for path in files(roots)? {
            each_piece(&path, |piece, from| {
                for secret in &self.secrets {
                    let ends = (0..piece.len().saturating_sub(secret.len() - 1))
                        .filter(|&at| piece[at] == secret[0] && piece[at..].starts_with(secret));
                    count += ends.filter(|at| at + secret.len() > from).count() as u64;
                }
            })?;
        }
        Ok(count)
    }
}

/// Avro's length of two bytes that ends before `at`, and where it begins: every sealed value is long enough for that.
fn length_before(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (low, high) = (usize::from(bytes[at - 2]), usize::from(bytes[at - 1]));
    (low >= 0x80 && (1..0x80).contains(&high) && low % 2 == 0).then_some((((high << 7) | (low & 0x7f)) / 2, at - 2))
}

/// How Avro writes this length of a text.
fn length_of(length: usize) -> Vec<u8> {
    let doubled = 2 * length;
    #[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
    let byte = |bits: usize| (bits & 0x7f) as u8;
    if doubled < 0x80 { vec![byte(doubled)] } else { vec![byte(doubled) | 0x80, byte(doubled >> 7)] }
}

/// A file in pieces: each with what stood before it, and where it begins itself.
fn each_piece(path: &Path, mut take: impl FnMut(&[u8], usize)) -> Result<()> {
    let mut file = std::fs::File::open(path)?;
    let (mut piece, mut from) = (Vec::new(), 0);
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        take(&piece, from);
        piece.drain(..piece.len().saturating_sub(OVERLAP));
        from = piece.len();
    }
}

/// Every file below these folders.
fn files(roots: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), roots.to_vec());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok(files)
}

/// A file of a mandate's keys.
fn is_of_keys(path: &Path) -> bool {
    let small = path.metadata().is_ok_and(|file| file.len() < 1 << 20);
    small && std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"oneknock-mandate-keys\""))
}

/// Each folder that holds such a file, with each password: every small file of one line may be one; or with the service.
fn keyrings(roots: &[PathBuf], service: Option<&TransitSettings>) -> Result<Vec<Keyring>> {
    let files = files(roots)?;
    let folders: BTreeSet<&Path> = files.iter().filter(|file| is_of_keys(file)).filter_map(|file| file.parent()).collect();
    let may_be_one = |path: &&PathBuf| path.metadata().is_ok_and(|file| file.len() <= PASSWORD_MAX);
    let texts = files.iter().filter(may_be_one).filter_map(|path| std::fs::read_to_string(path).ok());
    let passwords: BTreeSet<String> =
        texts.map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty() && !text.contains('\n')).collect();
    let mut keyrings = Vec::new();
    for folder in folders {
        let settings = |kept_by| Settings { dir: folder.to_owned(), suite: Suite::default(), kept_by };
        match service {
            Some(service) => keyrings.extend(Keyring::open(&settings(KeptBy::Transit(service.clone()))).ok()),
            None => keyrings.extend(passwords.iter().filter_map(|password| {
                let password = Pii::new(password.clone());
                Keyring::open(&settings(KeptBy::Password { password, cost: Cost::default() })).ok()
            })),
        }
    }
    Ok(keyrings)
}

fn all(keyrings: &[Keyring]) -> Vec<Arc<MandateKeys>> {
    keyrings.iter().flat_map(|keyring| keyring.ids().into_iter().filter_map(|id| keyring.mandate(&id))).collect()
}
