//! Keyrings for tests: the same as a site's, under a password that costs nothing or in a key service.

use crate::openbao::OpenBao;
use keys::{Cost, KeptBy, Pii, Settings, Suite};
use std::path::Path;

/// Settings of a keyring in the folder `keys` of a test's folder.
#[must_use]
pub fn settings(folder: &Path) -> Settings {
    let kept_by = KeptBy::Password { password: Pii::new("a password of tests".to_owned()), cost: Cost::LEAST };
    Settings { dir: folder.join("keys"), suite: Suite::default(), kept_by }
}

/// The same, kept by a key service.
#[must_use]
pub fn settings_in(folder: &Path, service: &OpenBao) -> Settings {
    Settings { kept_by: KeptBy::Transit(service.settings()), ..settings(folder) }
}
