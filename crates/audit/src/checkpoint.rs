//! Checkpoints: the signed head of a log's tree, as a note (c2sp.org/tlog-checkpoint, c2sp.org/signed-note) that any such tool can check.

use crate::tree::Tree;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::SigningKey;
use keys::FileError;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use std::path::Path;
use tlog_tiles::Hash;
use zeroize::Zeroizing;

/// Whose logs they are: the name in keys, and the first part of every origin.
const SITE: &str = "oneknock";
/// Of a key in a note: Ed25519.
const ED25519: u8 = 1;
/// In the folder of keys: what signs, mode 0600, and what others check with.
const SIGNER_FILE: &str = "audit-signer";
const VERIFIER_FILE: &str = "audit-verifier";

/// Why a checkpoint or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The key's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key's text.
    #[error("{what}: expected a key for signed notes, such as `{SITE}+1a2b3c4d+…`")]
    Key {
        /// The file or option.
        what: String,
    },
    /// The note is not one of ours.
    #[error("a signed note that {0}")]
    Note(&'static str),
}

/// A log's head at some moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The log's name, as its files have it.
    pub name: String,
    /// How many lines it covers.
    pub size: u64,
    /// The head of their tree.
    pub(crate) head: Hash,
}

/// Signs checkpoints of this site.
pub struct Signer {
    signer: StandardSigner,
    verifier: String,
}

impl Signer {
    /// The signer in the folder of keys; drawn there where there is none yet.
    ///
    /// # Errors
    /// Its file cannot be read or written, or others may read it, or it holds no key.
    pub fn open(keys: &Path) -> Result<Signer, CheckpointError> {
        let path = keys.join(SIGNER_FILE);
        let text = match keys::files::read(&path) {
            Err(FileError::Missing(_)) => {
                let text = Zeroizing::new(draw());
                keys::files::create(&path, text.as_bytes())?;
                text
            }
            read => read?,
        };
        let what = || CheckpointError::Key { what: path.display().to_string() };
        let verifier = verifier_of(text.trim()).ok_or_else(what)?;
        let signer = StandardSigner::new(text.trim()).map_err(|_| what())?;
        // For whoever audits: it is no secret, and where it cannot be written it can be asked for.
        let shown = keys.join(VERIFIER_FILE);
        if let Err(error) = std::fs::write(&shown, format!("{verifier}\n")) {
            tracing::warn!(%error, file = %shown.display(), "the public key of the log of reads cannot be written");
        }
        Ok(Signer { signer, verifier })
    }

    /// What others check its checkpoints with, in one line of text.
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The signed head of a tree.
    pub(crate) fn sign(&self, name: &str, tree: &Tree) -> Result<String, CheckpointError> {
        let unusual = |_| CheckpointError::Note("cannot be written");
        let checkpoint = tlog_tiles::Checkpoint::new(&origin(name), tree.len(), tree.head(), "").map_err(unusual)?;
        self.note(&checkpoint.to_bytes())
    }

    /// The signature of a text that is no log's head, in one line: that of the note whose first line is `oneknock/` and this name.
    ///
    /// # Errors
    /// The text cannot stand in a note.
    pub fn signature(&self, name: &str, text: &str) -> Result<String, CheckpointError> {
        let said = statement(name, text);
        let note = self.note(said.as_bytes())?;
        let signature = note.strip_prefix(&said).ok_or(CheckpointError::Note("cannot be signed"))?;
        Ok(signature.trim().to_owned())
    }

    fn note(&self, text: &[u8]) -> Result<String, CheckpointError> {
        let unusual = |_| CheckpointError::Note("cannot be signed");
        let mut note = Note::new(text, &[]).map_err(unusual)?;
        note.add_sigs(&[&self.signer]).map_err(unusual)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Note("is no text"))
    }
}

/// Checks checkpoints.
pub struct Verifier(VerifierList);

impl Verifier {
    /// By the public key's text. `what`: where it comes from, for the error.
    ///
    /// # Errors
    /// It is no key.
    pub fn new(key: &str, what: &str) -> Result<Verifier, CheckpointError> {
        let verifier = StandardVerifier::new(key.trim()).map_err(|_| CheckpointError::Key { what: what.to_owned() })?;
        Ok(Verifier(VerifierList::new(vec![Box::new(verifier)])))
    }

    /// The public key beside a site's keys.
    ///
    /// # Errors
    /// There is none yet, or it cannot be read.
    pub fn of_site(keys: &Path) -> Result<Verifier, CheckpointError> {
        let path = keys.join(VERIFIER_FILE);
        let what = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|_| CheckpointError::Key { what: what.clone() })?;
        Verifier::new(&text, &what)
    }

    /// What a note says, if it is ours.
    ///
    /// # Errors
    /// It is no checkpoint, or not signed with this key.
    pub fn checkpoint(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let note = self.note(note)?;
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Note("names no head"))?;
        let name = checkpoint.origin().strip_prefix(SITE).and_then(|rest| rest.strip_prefix('/'));
        let name = name.ok_or(CheckpointError::Note("is of another log"))?.to_owned();
        Ok(Checkpoint { name, size: checkpoint.size(), head: *checkpoint.hash() })
    }

    /// Whether a text bears this signature, as `Signer::signature` made it.
    ///
    /// # Errors
    /// It does not.
    pub fn signed(&self, name: &str, text: &str, signature: &str) -> Result<(), CheckpointError> {
        let said = statement(name, text);
        let note = self.note(&format!("{said}\n{signature}\n"))?;
        if note.text() == said.as_bytes() { Ok(()) } else { Err(CheckpointError::Note("says something else")) }
    }

    fn note(&self, note: &str) -> Result<Note, CheckpointError> {
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Note("is no signed note"))?;
        note.verify(&self.0).map_err(|_| CheckpointError::Note("is not signed with this site's key"))?;
        Ok(note)
    }
}

fn origin(name: &str) -> String {
    format!("{SITE}/{name}")
}

/// What a note says that is no checkpoint.
fn statement(name: &str, text: &str) -> String {
    format!("{}\n{text}\n", origin(name))
}

/// A key of random bytes, as a note's signer writes it.
fn draw() -> String {
    let seed = Zeroizing::new(keys::random::<32>());
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let id = signed_note::key_id(SITE, &[&[ED25519], &public[..]].concat());
    let private = Zeroizing::new([&[ED25519], &seed[..]].concat());
    format!("PRIVATE+KEY+{SITE}+{id:08x}+{}", BASE64_STANDARD.encode(&private[..]))
}

/// The public key of a signer's text.
fn verifier_of(signer: &str) -> Option<String> {
    // `PRIVATE+KEY+name+id+key`: the key itself may hold a plus.
    let private = signer.splitn(5, '+').nth(4)?;
    let private = Zeroizing::new(BASE64_STANDARD.decode(private).ok()?);
    let seed: &[u8; 32] = private.strip_prefix(&[ED25519])?.try_into().ok()?;
    Some(signed_note::new_ed25519_verifier_key(SITE, &SigningKey::from_bytes(seed).verifying_key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_site_signs_no_other_site_can_have_signed() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let signer = Signer::open(ours.path()).unwrap();
        let mut tree = Tree::default();
        tree.push(b"a");
        let note = signer.sign("reads", &tree).unwrap();
        let said = Verifier::of_site(ours.path()).unwrap().checkpoint(&note).unwrap();
        assert_eq!(said, Checkpoint { name: "reads".into(), size: 1, head: tree.head() });
        assert_eq!(Signer::open(ours.path()).unwrap().verifier(), signer.verifier(), "drawn once");
        Signer::open(theirs.path()).unwrap();
        assert!(Verifier::of_site(theirs.path()).unwrap().checkpoint(&note).is_err());
        let altered = note.replacen("\n1\n", "\n2\n", 1);
        assert!(altered != note && Verifier::of_site(ours.path()).unwrap().checkpoint(&altered).is_err());
    }

    #[test]
    fn a_signed_text_is_of_its_name_and_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let signature = Signer::open(dir.path()).unwrap().signature("certificate", "{}").unwrap();
        let verifier = Verifier::of_site(dir.path()).unwrap();
        verifier.signed("certificate", "{}", &signature).unwrap();
        assert!(verifier.signed("certificate", "{ }", &signature).is_err());
        assert!(verifier.signed("reads", "{}", &signature).is_err());
        // What is signed is all of it: no part of it passes as the signature.
        let signature = Signer::open(dir.path()).unwrap().signature("certificate", "a\n\nb").unwrap();
        verifier.signed("certificate", "a\n\nb", &signature).unwrap();
        assert!(verifier.signed("certificate", "a", &format!("b\n\n{signature}")).is_err());
    }
}
