//! The site's keyring: where its password comes from, and the task that keeps it in step with its files.

use crate::cli::InitKeys;
use crate::config::{Config, KeysKind};
use crate::failure::Failure;
use eventlog::table::Small;
use events::Mandate;
use keys::{Cost, FileError, KeptBy, Keyring, Pii, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The password itself, where no file holds it.
pub const PASSWORD_VARIABLE: &str = "ONEKNOCK_KEYS_PASSWORD";
/// How often the files are read again, beside at every change of a mandate.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The password of the environment.
pub fn given() -> Option<Pii<String>> {
    std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty()).map(Pii::new)
}

/// Opens the site's keys. This takes a part of a second: a guess at the password shall be dear.
pub fn open(config: &Config) -> Result<Arc<Keyring>, Failure> {
    let kept_by = match &config.keys_kind {
        KeysKind::Password(file) => password(file)?,
        KeysKind::Transit(service) => KeptBy::Transit(service.clone()),
    };
    let settings = Settings { dir: config.keys_dir.clone(), suite: config.keys_suite, kept_by };
    Keyring::open(&settings).map(Arc::new).map_err(|error| Failure::Usage(format!("keys.file: {error}")))
}

fn password(path: &Path) -> Result<KeptBy, Failure> {
    let password = match given() {
        Some(password) => password,
        None => match keys::files::read(path) {
            Ok(text) => Pii::new(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(FileError::Missing(path)) => {
                let path = path.display();
                let what = format!("{path}: not found; put the password of the keys there (mode 0600) or into {PASSWORD_VARIABLE}");
                return Err(Failure::Usage(format!("keys.password_file: {what}")));
            }
            Err(error) => return Err(Failure::Usage(format!("keys.password_file: {error}"))),
        },
    };
    Ok(KeptBy::Password { password, cost: Cost::default() })
}

/// Makes the keyring of a new site: in the key service that was named, or else under the password of the environment or one that is
/// drawn and written beside the keys' directory: not into it, so that a backup of the keys alone opens nothing.
pub fn init(site: &Path, options: &InitKeys) -> Result<Keyring, Failure> {
    let kept_by = match (options.service()?, given()) {
        (Some(service), _) => KeptBy::Transit(service),
        (None, Some(password)) => KeptBy::Password { password, cost: Cost::default() },
        (None, None) => {
            let password = keys::draw_password();
            keys::files::create(&site.join("keys.password"), format!("{}\n", password.expose()).as_bytes())?;
            KeptBy::Password { password, cost: Cost::default() }
        }
    };
    Ok(Keyring::init(&Settings { dir: site.join("keys"), suite: options.suite, kept_by })?)
}

/// Keeps the keyring in step: another process may have drawn or destroyed a mandate's keys. Says what does not open, once.
pub async fn keep(keyring: Arc<Keyring>, mandates: Arc<Small<Mandate>>, stop: CancellationToken) {
    let mut changed = mandates.subscribe();
    let mut said = Vec::new();
    loop {
        let reading = Arc::clone(&keyring);
        match tokio::task::spawn_blocking(move || reading.reload()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the keys cannot be read again; those in use stay"),
            Err(error) => tracing::error!(%error, "reading the keys again broke off"),
        }
        let shut = keyring.shut();
        for (mandate, reason) in shut.iter().filter(|one| !said.contains(*one)) {
            tracing::error!(mandate, reason, "the keys of a mandate do not open: what needs them waits");
        }
        said = shut;
        let is_back = |mandate: &Mandate| mandate.keys_destroyed_at.is_some() && keyring.mandate(&mandate.id).is_some();
        for (mandate, _) in mandates.all().iter().filter(|(_, one)| is_back(one)) {
            tracing::error!(mandate, "keys of an ended mandate are here again: `oneknock mandate end` destroys them");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(_) = changed.recv() => {}
        }
    }
}
