//! `oneknock mandate signer` and `sign`: for signers, each on a machine of their own. They need no site.

use crate::failure::Failure;
use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::mandate::{SIGNATURES_NEEDED, SignerKey, days, digest, entry_toml, from_toml, is_name};
use events::time;
use std::path::Path;
use toml_edit::{Array, DocumentMut, value};
use zeroize::Zeroizing;

/// What the file of a signer's private key begins with; name and seed follow, separated by colons.
const KEY_FILE: &str = "oneknock-signer-key";

/// Draws a signer's key and says what the site must know of it.
pub fn signer(name: &str, path: &Path) -> Result<(), Failure> {
    if !is_name(name) {
        return Err(Failure::Usage("NAME: expected 1 to 64 letters, digits, '-', '_' or '.'".to_owned()));
    }
    let key = draw(name, path)?;
    eprintln!("{}: the private key of {name} (mode 0600): keep it where nobody else can read it, and a copy elsewhere", path.display());
    eprintln!("This part is public; it goes into the site's signers.toml:");
    print!("{}", entry_toml(key.name(), &key.public_key()));
    Ok(())
}

/// A new key in a file that was not there before.
pub fn draw(name: &str, path: &Path) -> Result<SignerKey, Failure> {
    let seed = Zeroizing::new(keys::random::<32>());
    let text = Zeroizing::new(format!("{KEY_FILE}:{name}:{}\n", BASE64_STANDARD.encode(*seed)));
    keys::files::create(path, text.as_bytes()).map_err(anyhow::Error::from)?;
    Ok(SignerKey::new(name, &seed))
}

fn read_key(path: &Path) -> Result<SignerKey, Failure> {
    let text = keys::files::read(path).map_err(|error| Failure::Usage(format!("--key: {error}")))?;
    let mut parts = text.trim().splitn(3, ':');
    let (kind, name, seed) = (parts.next(), parts.next(), parts.next().map(|seed| BASE64_STANDARD.decode(seed).map(Zeroizing::new)));
    let expected = || Failure::file(path, "--key: expected a signer's private key, as `oneknock mandate signer NAME --key FILE` writes it");
    match (kind, name, seed) {
        (Some(KEY_FILE), Some(name), Some(Ok(seed))) if is_name(name) => {
            Ok(SignerKey::new(name, <&[u8; 32]>::try_from(seed.as_slice()).map_err(|_| expected())?))
        }
        _ => Err(expected()),
    }
}

/// Adds a signature to a mandate's file, and says what was signed.
pub fn sign(path: &Path, key: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?;
    let key = read_key(key)?;
    let signed = signed(&text, &key).map_err(|error| Failure::file(path, error))?;
    let beside = path.with_extension("toml.tmp");
    std::fs::write(&beside, &signed)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    let mandate = from_toml(&signed).map_err(|error| anyhow!("{error}"))?;
    let (from, until) = (time::format(mandate.valid_from), time::format(mandate.valid_until));
    println!("{} has signed mandate {} version {}: {}", key.name(), mandate.id, mandate.version, mandate.title);
    println!("  {from} to {until}, {} days; what was signed has the digest {}", days(&mandate), digest(&mandate));
    let (there, needed) = (mandate.signatures.len(), SIGNATURES_NEEDED);
    println!(
        "  {there} of the {needed} signatures that it needs{}",
        if there < needed { ": another signer signs the same file" } else { "" }
    );
    Ok(())
}

/// The file's text with one more signature, or with a new one in place of the same signer's; everything else stays as it is written.
pub fn signed(text: &str, key: &SignerKey) -> Result<String, String> {
    let mandate = from_toml(text).map_err(|error| error.to_string())?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let own = format!("{}:", key.name());
    let mut signatures: Array = mandate.signatures.iter().filter(|one| !one.starts_with(&own)).map(String::as_str).collect();
    signatures.push(key.sign(&mandate));
    signatures.iter_mut().for_each(|one| one.decor_mut().set_prefix("\n    "));
    signatures.set_trailing("\n");
    signatures.set_trailing_comma(true);
    document["signatures"] = value(signatures);
    Ok(document.to_string())
}
