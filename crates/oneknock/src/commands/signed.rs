//! Files that the site signs for people to keep: JSON whose last line, `signature`, signs the text without that line, byte for byte, and a page
//! beside it that says the same. What stands in them is the commands' business.

use crate::config::Config;
use crate::failure::Failure;
use ::audit::{Signer, Verifier};
use anyhow::{Context, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::PathBuf;

/// What stands around the signature at the file's end.
const SIGNATURE: (&str, &str) = (",\n  \"signature\": \"", "\"\n}\n");

/// A kind of such file.
pub struct Kind {
    /// In a signed note's first line, behind `oneknock/`.
    pub note: &'static str,
    /// Its folder beside oneknock.toml.
    pub folder: &'static str,
    /// The command that writes it.
    pub command: &'static str,
}

impl Kind {
    /// Signs it and writes both files, durably. `page` is told the signature.
    ///
    /// # Errors
    /// The site has no key to sign with, or a file cannot be written.
    pub fn write(&self, config: &Config, id: &str, what: &impl Serialize, page: impl FnOnce(&str) -> String) -> Result<PathBuf, Failure> {
        let text = serde_json::to_string_pretty(what)?;
        let signature = Signer::open(&config.keys_dir)?.signature(self.note, &text)?;
        let body = text.strip_suffix("\n}").context("what is signed is an object")?;
        let file = self.path(config, id, "json");
        keys::files::create_directory(&config.dir().join(self.folder))?;
        keys::files::replace(&self.path(config, id, "html"), page(&signature).as_bytes())?;
        keys::files::replace(&file, format!("{body}{}{signature}{}", SIGNATURE.0, SIGNATURE.1).as_bytes())?;
        Ok(file)
    }

    /// What stands under an id, and the file's text; none where there is none. `id_of` is what the content itself says: one's file is not
    /// another's.
    ///
    /// # Errors
    /// It was altered, or signed by another site.
    pub fn read<T: DeserializeOwned>(&self, config: &Config, id: &str, id_of: impl Fn(&T) -> &str) -> Result<Option<(T, String)>, Failure> {
        let file = self.path(config, id, "json");
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() != ErrorKind::InvalidData => return Err(Failure::file(&file, format!("cannot be read: {error}"))),
            text => text,
        };
        let altered = || {
            let (file, command) = (file.display(), self.command);
            anyhow!("{file}: altered, or not signed by this site: put back the file that `{command}` wrote")
        };
        let text = text.map_err(|_| altered())?;
        let parts = text.rsplit_once(SIGNATURE.0).and_then(|(body, rest)| Some((body, rest.strip_suffix(SIGNATURE.1)?)));
        let (body, signature) = parts.ok_or_else(altered)?;
        let signed = format!("{body}\n}}");
        Verifier::of_site(&config.keys_dir)?.signed(self.note, &signed, signature).map_err(|_| altered())?;
        let what: T = serde_json::from_str(&signed).with_context(|| file.display().to_string())?;
        if id_of(&what) == id { Ok(Some((what, text))) } else { Err(altered().into()) }
    }

    fn path(&self, config: &Config, id: &str, extension: &str) -> PathBuf {
        // An id may hold what no file's name should.
        let name: String = id
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        config.dir().join(self.folder).join(format!("{name}.{extension}"))
    }
}
