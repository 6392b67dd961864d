//! Who signs mandates: three signers, two of whom must sign each. What is signed is a canonical form of what the mandate says, never a
//! file's bytes; the state that administrators act on (open, suspended, ended) is not part of it. Ed25519.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use events::Mandate;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many signers must have signed a mandate.
pub const SIGNATURES_NEEDED: usize = 2;
/// How many signers a site has.
const SIGNERS: usize = 3;
/// What the signed bytes begin with: a signature under anything else is none under a mandate.
const DOMAIN: &[u8] = b"oneknock mandate v1";

/// Why a mandate is not believed, in words for the operator: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Fewer signers than needed have signed what it says now.
    #[error(
        "signed by {} of the {SIGNATURES_NEEDED} signers that it needs{}; the signers are {names}: have another of them run `oneknock mandate sign FILE --key KEYFILE`",
        signed_by.len(),
        if faults.is_empty() { String::new() } else { format!(" ({})", faults.join("; ")) }
    )]
    Signatures {
        /// Signers whose signature fits.
        signed_by: Vec<String>,
        /// What is wrong with the others.
        faults: Vec<String>,
        /// All signers of this site.
        names: String,
    },
    /// In force for too long.
    #[error(
        "it would be in force for {0} days; the most is {days}: sign a shorter one, and renew it with a higher version before it is over",
        days = super::DAYS_MAX
    )]
    TooLong(i64),
    /// An older version, or an older act, than the one that is known.
    #[error("a newer version or a later act is known (version {known}): give it a higher version than {known} and have it signed again")]
    Older {
        /// The version that is known.
        known: i64,
    },
    /// Its id has ended for good.
    #[error("a mandate of this id has ended, and its keys are destroyed: open another one under a new id")]
    Ended,
    /// It stands under another id than its own.
    #[error("it stands under another key than its own id")]
    OtherKey,
}

/// A file of signers that cannot be used. Names what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SignersError(String);

/// The signers of a site, by their public keys.
#[derive(Clone)]
pub struct Signers(Arc<Vec<(String, VerifyingKey)>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    signer: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    public_key: String,
}

/// A signer as the file of signers has it.
pub fn entry_toml(name: &str, public_key: &str) -> String {
    format!("[[signer]]\nname = \"{name}\"\npublic_key = \"{public_key}\"\n")
}

impl Signers {
    /// Reads the file of signers: three tables `[[signer]]`, each with a name and a public key.
    ///
    /// # Errors
    /// Another number of them, two alike, or a key that is none.
    pub fn from_toml(text: &str) -> Result<Signers, SignersError> {
        let file: File = toml::from_str(text).map_err(|error| SignersError(error.to_string()))?;
        let expected =
            || SignersError(format!("expected {SIGNERS} tables [[signer]] with different names and keys; there are {}", file.signer.len()));
        let mut signers = Vec::new();
        for Entry { name, public_key } in &file.signer {
            if !super::is_name(name) {
                return Err(SignersError("signer.name: expected 1 to 64 letters, digits, '-', '_' or '.'".into()));
            }
            let bytes = BASE64_STANDARD.decode(public_key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).filter(|key| !key.is_weak());
            let key = key.ok_or_else(|| {
                SignersError(format!(
                    "signer {name}: public_key: expected 32 bytes in base64, as `oneknock mandate signer {name}` prints them"
                ))
            })?;
            signers.push((name.clone(), key));
        }
        let names: BTreeSet<&String> = signers.iter().map(|(name, _)| name).collect();
        let keys: BTreeSet<&[u8; 32]> = signers.iter().map(|(_, key)| key.as_bytes()).collect();
        match [signers.len(), names.len(), keys.len()] {
            [SIGNERS, SIGNERS, SIGNERS] => Ok(Signers(Arc::new(signers))),
            _ => Err(expected()),
        }
    }

    /// What must hold of every mandate, whatever is known beside it: signed, and not too long. Answers with those who have signed what it
    /// says now.
    ///
    /// # Errors
    /// [`Refused::Signatures`]: too few of this site's signers. [`Refused::TooLong`].
    pub fn check(&self, mandate: &Mandate) -> Result<Vec<String>, Refused> {
        let signed_by = self.signed_by(mandate)?;
        if super::is_short_enough(mandate) { Ok(signed_by) } else { Err(Refused::TooLong(super::days(mandate))) }
    }

    fn signed_by(&self, mandate: &Mandate) -> Result<Vec<String>, Refused> {
        let bytes = signed_bytes(mandate);
        let (mut signed_by, mut faults) = (BTreeSet::new(), BTreeSet::new());
        for signature in &mandate.signatures {
            let (name, signature) = signature.split_once(':').unwrap_or((signature, ""));
            let Some((name, key)) = self.0.iter().find(|(known, _)| known == name) else {
                faults.insert(format!("{} is no signer of this site", if super::is_name(name) { name } else { "somebody" }));
                continue;
            };
            let signature = BASE64_STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
            match signature.is_some_and(|signature| key.verify_strict(&bytes, &signature).is_ok()) {
                true if !signed_by.insert(name.clone()) => drop(faults.insert(format!("{name} has signed twice, which counts once"))),
                true => {}
                false => drop(faults.insert(format!("the signature of {name} does not fit: the mandate was changed after it was signed"))),
            }
        }
        let (signed_by, faults): (Vec<String>, _) = (signed_by.into_iter().collect(), faults.into_iter().collect());
        if signed_by.len() >= SIGNATURES_NEEDED {
            return Ok(signed_by);
        }
        let names = self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        Err(Refused::Signatures { signed_by, faults, names })
    }
}

/// A signer's private key.
pub struct SignerKey {
    name: String,
    key: SigningKey,
}

impl SignerKey {
    /// By its seed, which whoever calls has drawn.
    pub fn new(name: &str, seed: &[u8; 32]) -> SignerKey {
        SignerKey { name: name.to_owned(), key: SigningKey::from_bytes(seed) }
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key, as the file of signers has it.
    pub fn public_key(&self) -> String {
        BASE64_STANDARD.encode(self.key.verifying_key().as_bytes())
    }

    /// The signature under what a mandate says, as its file and its record have it.
    pub fn sign(&self, mandate: &Mandate) -> String {
        format!("{}:{}", self.name, BASE64_STANDARD.encode(self.key.sign(&signed_bytes(mandate)).to_bytes()))
    }
}

/// What tells two mandates apart at a glance: 16 hexadecimal digits, for signers to compare by telephone.
pub fn digest(mandate: &Mandate) -> String {
    Sha256::digest(signed_bytes(mandate))[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is signed: every field that the law is about, each by its name and its length, in one order.
fn signed_bytes(mandate: &Mandate) -> Vec<u8> {
    // Whoever adds a field decides here whether it is signed.
    let Mandate {
        id,
        version,
        title,
        legal_basis,
        issued_by,
        purposes,
        sources,
        fields,
        divisions,
        max_households,
        valid_from,
        valid_until,
        demonstration,
        parent,
        state: _,
        signatures: _,
        acted_by: _,
        acted_at: _,
        keys_destroyed_at: _,
    } = mandate;
    let mut out = DOMAIN.to_vec();
    let mut put = |name: &str, values: &[&[u8]]| {
        for part in [name.as_bytes(), &(values.len() as u64).to_be_bytes()].into_iter().chain(values.iter().copied()) {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
    };
    put("id", &[id.as_bytes()]);
    put("version", &[&version.to_be_bytes()]);
    put("title", &[title.as_bytes()]);
    put("legal_basis", &[legal_basis.as_bytes()]);
    put("issued_by", &[issued_by.as_bytes()]);
    for (name, list) in [("purposes", purposes), ("sources", sources), ("fields", fields), ("divisions", divisions)] {
        put(name, &list.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
    put("max_households", &[&max_households.to_be_bytes()]);
    put("valid_from", &[&valid_from.0.to_be_bytes()]);
    put("valid_until", &[&valid_until.0.to_be_bytes()]);
    put("demonstration", &[&[u8::from(*demonstration)]]);
    put("parent", &parent.iter().map(String::as_bytes).collect::<Vec<_>>());
    out
}
