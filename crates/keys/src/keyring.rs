//! The keys of a site: one directory (mode 0700), one file for each mandate (mode 0600), and what the files are wrapped by.
//!
//! Losing a file is its mandate's end: it is in no topic, and in no backup beside what opens it. Which mandates are in force is not
//! known here. Calls that change or read files may wait for a disk, for argon2 or for a key service: not on a thread that serves others.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::files::{self, FileError};
use crate::key_file::{self, KeyFile, MANDATE_BYTES_MAX, Secrets};
use crate::mandate::MandateKeys;
use crate::password::{Cost, PASSWORD_CHARS_MIN, Password};
use crate::pii::Pii;
use crate::suite::Suite;
use crate::transit::{Transit, TransitSettings};
use crate::wrap::{KeyWrap, WrapError};

/// Why the keyring can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file or directory can't be used as it is.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file's content is not that of a mandate's keys, or of a keyring.
    #[error("{}: not a mandate's keys: {reason}; put back the file that `oneknock init` or `oneknock mandate open` wrote, or move it away", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was found; never the content itself.
        reason: &'static str,
    },
    /// The file was wrapped by another site's password or service, or changed.
    #[error("{}: does not open here: it is another site's, or was changed; put back the file that this site wrote, or move it away", .0.display())]
    Foreign(PathBuf),
    /// Without this file no password opens the others.
    #[error("{}: not found, and without it no password opens the keys beside it; put it back from a copy of this directory", .0.display())]
    Lost(PathBuf),
    /// Another password than the one that the keys were written under.
    #[error("the password does not open the keys, and nothing was changed; give the one that they were written under")]
    WrongPassword,
    /// A password that is guessed in no time.
    #[error("expected a password of {PASSWORD_CHARS_MIN} characters or more")]
    ShortPassword,
    /// The key service cannot be asked now.
    #[error("the key service: {0}")]
    Away(String),
    /// The key service has no key for this mandate: whatever was wrapped is lost.
    #[error("the key service holds no key for mandate {0} any more: what it sealed stays shut for good")]
    Gone(String),
    /// An id that can't be a mandate's: empty, too long, or with `/`, a leading `~` or control characters.
    #[error("a mandate's id has 1 to {MANDATE_BYTES_MAX} bytes, no `/`, no control character and no `~` in front")]
    BadMandateId,
}

/// Where a site's keys are, and what opens them.
pub struct Settings {
    /// The directory of the files.
    pub dir: PathBuf,
    /// The suite of new mandates' keys.
    pub suite: Suite,
    /// What the files are wrapped by.
    pub kept_by: KeptBy,
}

/// What key files are wrapped by.
pub enum KeptBy {
    /// A password.
    Password {
        /// In clear.
        password: Pii<String>,
        /// What a guess costs, where the keyring is made; later its file says so.
        cost: Cost,
    },
    /// A key service.
    Transit(TransitSettings),
}

/// How long keys stay in memory while the key service cannot be asked whether it still holds theirs.
const VOUCHED_FOR: Duration = Duration::from_secs(3600);

/// A mandate's keys in use.
struct Kept {
    keys: Arc<MandateKeys>,
    /// When what wraps them last opened them.
    since: Instant,
}

/// All mandates' keys of this process, shared between threads.
pub struct Keyring {
    dir: PathBuf,
    suite: Suite,
    wrap: Box<dyn KeyWrap>,
    mandates: RwLock<HashMap<String, Kept>>,
    /// Mandates whose file is here and does not open now, and why.
    shut: RwLock<BTreeMap<String, KeyringError>>,
    /// Held by whoever changes files and map together; reading the map never waits for a disk.
    changing: Mutex<()>,
}

/// What may be told of a mandate's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The mandate.
    pub mandate: String,
    /// Its suite.
    pub suite: Suite,
    /// Versions of its wrapping key, oldest first: id, and when it was drawn (RFC 3339).
    pub versions: Vec<(String, String)>,
    /// Why it does not open now.
    pub shut: Option<String>,
}

impl Keyring {
    /// Opens the keyring, and makes directory and keyring where there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn init(settings: &Settings) -> Result<Self, KeyringError> {
        files::create_directory(&settings.dir)?;
        match &settings.kept_by {
            KeptBy::Password { password, cost } if !Password::is_there(&settings.dir) => {
                Self::with(settings, Box::new(Password::create(&settings.dir, settings.suite, password, *cost)?))
            }
            KeptBy::Password { .. } | KeptBy::Transit(_) => Self::open(settings),
        }
    }

    /// Opens the keyring with all mandates in it. A mandate that a key service does not open now is no error: see [`Self::shut`].
    ///
    /// # Errors
    /// If the directory is missing, or it or a file in it is open to others, damaged or another site's, or the password is wrong.
    pub fn open(settings: &Settings) -> Result<Self, KeyringError> {
        files::check_directory(&settings.dir)?;
        let wrap: Box<dyn KeyWrap> = match &settings.kept_by {
            KeptBy::Password { password, .. } => Box::new(Password::open(&settings.dir, password)?),
            KeptBy::Transit(settings) => Box::new(Transit::new(settings.clone())),
        };
        Self::with(settings, wrap)
    }

    fn with(settings: &Settings, wrap: Box<dyn KeyWrap>) -> Result<Self, KeyringError> {
        let (mandates, shut, changing) = (RwLock::default(), RwLock::default(), Mutex::default());
        let keyring = Self { dir: settings.dir.clone(), suite: settings.suite, wrap, mandates, shut, changing };
        match keyring.reload() {
            // It may come back; until then its mandates are shut.
            Ok(()) | Err(KeyringError::Away(_)) => Ok(keyring),
            Err(error) => Err(error),
        }
    }

    /// The keys of a mandate; `None` where this site has none, they were destroyed, or they do not open now.
    #[must_use]
    pub fn mandate(&self, id: &str) -> Option<Arc<MandateKeys>> {
        self.read().get(id).map(|kept| Arc::clone(&kept.keys))
    }

    /// The ids of all mandates with keys here that are open, sorted.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.read().keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// The mandates whose file is here and does not open now, with the reason, sorted.
    #[must_use]
    pub fn shut(&self) -> Vec<(String, String)> {
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        shut.iter().map(|(id, error)| (id.clone(), error.to_string())).collect()
    }

    /// What may be told of each mandate's keys here.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn describe(&self) -> Result<Vec<Described>, KeyringError> {
        let shut: BTreeMap<String, String> = self.shut().into_iter().collect();
        let files = key_file::read_all(&self.dir)?.into_values();
        let described = files.map(|(_, file)| Described {
            suite: file.suite(),
            versions: file.secrets.iter().map(|secret| (secret.key_id.clone(), secret.since.clone())).collect(),
            shut: shut.get(&file.mandate).cloned(),
            mandate: file.mandate,
        });
        Ok(described.collect())
    }

    /// Draws keys for a new mandate and writes them, durably, before they are used.
    ///
    /// # Errors
    /// [`FileError::Exists`] where the mandate has keys already; they are never replaced.
    pub fn create_mandate(&self, id: &str) -> Result<Arc<MandateKeys>, KeyringError> {
        let path = self.path(id)?;
        let _changing = self.change();
        if path.exists() {
            return Err(FileError::Exists(path).into());
        }
        let suite = self.wrap.suite().unwrap_or(self.suite);
        let wrap = self.wrap.as_ref();
        let (file, secrets) = wrap.begin(id).and_then(|()| KeyFile::draw(id, suite, wrap)).map_err(|error| told(error, id, &path))?;
        files::create(&path, &file.bytes())?;
        Ok(self.keep(id, &secrets))
    }

    /// Draws another wrapping key for a mandate: new values are sealed under it, all older ones still open, and tokens stay as they
    /// are. Answers the new key's id.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there are no keys; nothing changes on an error.
    pub fn rotate(&self, id: &str) -> Result<String, KeyringError> {
        let path = self.path(id)?;
        let _changing = self.change();
        let mut file = key_file::read(&path)?;
        let wrap = self.wrap.as_ref();
        let mut secrets = file.open(wrap).map_err(|error| told(error, id, &path))?;
        wrap.renew(id).map_err(|error| told(error, id, &path))?;
        secrets.later.push(file.add(secrets.suite, wrap).map_err(|error| told(error, id, &path))?);
        files::replace(&path, &file.bytes())?;
        self.keep(id, &secrets);
        Ok(file.secrets.last().map(|secret| secret.key_id.clone()).unwrap_or_default())
    }

    /// Reads the directory again: mandates that came are here, those whose file is gone, or whose key the key service no longer holds,
    /// are wiped, for everybody who holds them. Keys that did not change stay the same object.
    ///
    /// # Errors
    /// As [`Self::open`]; then everything stays as it was. [`KeyringError::Away`]: those that it would have vouched for stay an hour.
    pub fn reload(&self) -> Result<(), KeyringError> {
        self.reload_at(Instant::now())
    }

    fn reload_at(&self, now: Instant) -> Result<(), KeyringError> {
        let _changing = self.change();
        let files = key_file::read_all(&self.dir)?;
        let mut opened = BTreeMap::new();
        let mut shut = BTreeMap::new();
        for (id, (path, file)) in &files {
            match file.open(self.wrap.as_ref()).map_err(|error| told(error, id, path)) {
                Ok(secrets) => drop(opened.insert(id, secrets)),
                Err(error @ (KeyringError::Away(_) | KeyringError::Gone(_))) => drop(shut.insert(id.as_str(), error)),
                Err(error) => return Err(error),
            }
        }
        for (id, secrets) in &opened {
            self.keep(id, secrets);
        }
        let away = shut.values().find_map(|error| match error {
            KeyringError::Away(what) => Some(KeyringError::Away(what.clone())),
            _ => None,
        });
        self.let_go(|id, since| match shut.get(id) {
            Some(KeyringError::Away(_)) => now.saturating_duration_since(since) > VOUCHED_FOR,
            _ => !opened.contains_key(&id.to_owned()),
        });
        let is_open = |id: &str| self.read().contains_key(id);
        let shut = shut.into_iter().filter(|(id, _)| !is_open(id)).map(|(id, error)| (id.to_owned(), error));
        *self.shut.write().unwrap_or_else(PoisonError::into_inner) = shut.collect();
        away.map_or(Ok(()), Err)
    }

    /// Destroys a mandate's keys: they are wiped, for everybody who holds them in this process; the key service's key is deleted; the
    /// file is overwritten and removed. There is no way back. Other processes follow at their next [`Self::reload`].
    ///
    /// # Errors
    /// [`FileError::Missing`] where there are none. On any other error the keys may still exist: do it again.
    pub fn destroy(&self, id: &str) -> Result<(), KeyringError> {
        let path = self.path(id)?;
        let _changing = self.change();
        self.let_go(|other, _| other == id);
        if !path.exists() {
            return Err(FileError::Missing(path).into());
        }
        self.wrap.destroy(id).map_err(|error| told(error, id, &path))?;
        self.shut.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(files::destroy(&path)?)
    }

    /// The secrets as keys in use: those that are here already where they are the same, for everybody who holds them.
    fn keep(&self, id: &str, secrets: &Secrets) -> Arc<MandateKeys> {
        let Secrets { suite, root, later } = secrets;
        let fresh = MandateKeys::derive(id, *suite, root, later);
        let mut mandates = self.write();
        if let Some(Kept { keys: known, since }) = mandates.get_mut(id) {
            *since = Instant::now();
            let (had, has) = (known.key_ids(), fresh.key_ids());
            if had == has {
                return Arc::clone(known);
            }
            if has.starts_with(&had) && !had.is_empty() {
                known.renew(*suite, root, later);
                return Arc::clone(known);
            }
            known.let_go();
        }
        let fresh = Arc::new(fresh);
        mandates.insert(id.to_owned(), Kept { keys: Arc::clone(&fresh), since: Instant::now() });
        fresh
    }

    fn let_go(&self, which: impl Fn(&str, Instant) -> bool) {
        self.write().retain(|id, kept| {
            let goes = which(id, kept.since);
            if goes {
                kept.keys.let_go();
            }
            !goes
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Kept>> {
        self.mandates.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Kept>> {
        self.mandates.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &str) -> Result<PathBuf, KeyringError> {
        Ok(self.dir.join(key_file::file_name(id)?))
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn told(error: WrapError, mandate: &str, path: &std::path::Path) -> KeyringError {
    match error {
        WrapError::Foreign => KeyringError::Foreign(path.to_owned()),
        WrapError::Gone => KeyringError::Gone(mandate.to_owned()),
        WrapError::Away(what) => KeyringError::Away(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Key;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A service that can be asked, or not.
    struct Asked(Arc<AtomicBool>);

    impl KeyWrap for Asked {
        fn begin(&self, _: &str) -> Result<(), WrapError> {
            Ok(())
        }
        fn renew(&self, _: &str) -> Result<(), WrapError> {
            Ok(())
        }
        fn draw(&self, _: &str) -> Result<(Key, String), WrapError> {
            Ok((Key::new([7; 32]), "7".to_owned()))
        }
        fn unwrap(&self, _: &str, wrapped: &[&str]) -> Result<Vec<Key>, WrapError> {
            let away = || WrapError::Away("not now".to_owned());
            self.0.load(Ordering::SeqCst).then(|| wrapped.iter().map(|_| Key::new([7; 32])).collect()).ok_or_else(away)
        }
        fn destroy(&self, _: &str) -> Result<(), WrapError> {
            Ok(())
        }
    }

    #[test]
    fn keys_that_nobody_vouches_for_are_let_go_after_an_hour_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let kept_by = KeptBy::Password { password: Pii::new(String::new()), cost: Cost::LEAST };
        let settings = Settings { dir: dir.path().join("keys"), suite: Suite::Aes, kept_by };
        files::create_directory(&settings.dir).unwrap();
        let there = Arc::new(AtomicBool::new(true));
        let keyring = Keyring::with(&settings, Box::new(Asked(Arc::clone(&there)))).unwrap();
        let held = keyring.create_mandate("m").unwrap();
        there.store(false, Ordering::SeqCst);
        let soon = Instant::now() + VOUCHED_FOR - Duration::from_secs(60);
        assert!(matches!(keyring.reload_at(soon), Err(KeyringError::Away(_))));
        assert!(held.seal("f", "o", b"1").is_ok() && keyring.shut().is_empty());
        assert!(matches!(keyring.reload_at(soon + Duration::from_secs(120)), Err(KeyringError::Away(_))));
        assert!(held.seal("f", "o", b"1").is_err() && keyring.mandate("m").is_none());
        assert_eq!(keyring.shut(), [("m".to_owned(), "the key service: not now".to_owned())]);
        // The same at a start.
        let started = Keyring::with(&settings, Box::new(Asked(Arc::clone(&there)))).unwrap();
        assert!(started.mandate("m").is_none() && started.shut().len() == 1);
        there.store(true, Ordering::SeqCst);
        started.reload().unwrap();
        assert!(started.mandate("m").is_some() && started.shut().is_empty());
    }
}
