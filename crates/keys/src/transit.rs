//! Secrets in a key service that speaks Vault's transit interface (OpenBao, HashiCorp Vault): one key of the service for each mandate.
//!
//! The service draws each secret (`datakey/plaintext`) and keeps only the key that it is wrapped by; the wrapped form lies in the key
//! file and is opened when the keyring is (`decrypt`). So a token costs no call, and deleting the service's key makes every copy of the
//! file worthless. Calls are rare, and block: each is made on a thread of its own, because the caller may stand in a runtime.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::files;
use crate::suite::Key;
use crate::wrap::{KeyWrap, WrapError};

/// The service has so long for one answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Where the service is.
#[derive(Clone, Debug)]
pub struct TransitSettings {
    /// `https://host:port`, or `http://` of this machine.
    pub address: String,
    /// The transit engine's mount. One for each site: keys are named by their mandates.
    pub mount: String,
    /// The file (mode 0600) that holds the token; read at every call, so that whoever renews it only writes it.
    pub token_file: PathBuf,
}

/// The service as a keeper of secrets.
pub struct Transit {
    settings: TransitSettings,
}

/// What the service says of a new secret.
#[derive(Deserialize)]
struct Drawn {
    plaintext: Text,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(default)]
    batch_results: Vec<OpenedOne>,
}

#[derive(Deserialize)]
struct OpenedOne {
    #[serde(default)]
    plaintext: Text,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Ciphertext<'a> {
    ciphertext: &'a str,
}

/// A secret in base64, wiped when it goes.
#[derive(Deserialize, Default)]
struct Text(String);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Text {
    fn key(&self) -> Option<Key> {
        let bytes = Zeroizing::new(BASE64.decode(&self.0).ok()?);
        let mut key: Key = Zeroizing::new([0; 32]);
        (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
        Some(key)
    }
}

impl Transit {
    pub const fn new(settings: TransitSettings) -> Self {
        Self { settings }
    }

    /// One call: status and body of whatever the service answered.
    fn call(&self, method: &Method, path: &str, body: &Value) -> Result<(StatusCode, Zeroizing<Vec<u8>>), WrapError> {
        let token = files::read(&self.settings.token_file).map_err(|error| WrapError::Away(format!("its token: {error}")))?;
        let url = format!("{}/v1/{}/{path}", self.settings.address.trim_end_matches('/'), self.settings.mount);
        let asked = async {
            let client = Client::builder().timeout(WITHIN).build()?;
            let request = client.request(method.clone(), url).header("X-Vault-Token", token.trim()).header("X-Vault-Request", "true");
            let answer = request.json(body).send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, Zeroizing::new(Vec::from(answer.bytes().await?))))
        };
        let made = std::thread::scope(|scope| {
            let work = || tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| runtime.block_on(asked));
            scope.spawn(work).join()
        });
        let address = &self.settings.address;
        match made {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(WrapError::Away(format!("{address} cannot be reached: {}", chain(&error.without_url())))),
            Ok(Err(error)) => Err(WrapError::Away(format!("no call can be made: {error}"))),
            Err(_) => Err(WrapError::Away("a call broke off".to_owned())),
        }
    }

    /// What the service says where it does not do what it was asked.
    fn refused(&self, status: StatusCode, body: &[u8]) -> WrapError {
        let said = serde_json::from_slice::<Refusal>(body).unwrap_or_default().errors.join("; ");
        let TransitSettings { address, mount, token_file } = &self.settings;
        let token_file = token_file.display();
        match status {
            // Of decrypting, of deleting, and of allowing to delete.
            StatusCode::BAD_REQUEST if ["not found", "no existing key"].iter().any(|words| said.contains(words)) => WrapError::Gone,
            StatusCode::BAD_REQUEST => WrapError::Foreign,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                WrapError::Away(format!("{address} does not take the token of {token_file} for {mount}: put a valid one there"))
            }
            StatusCode::NOT_FOUND => {
                WrapError::Away(format!("{address} has no transit engine at {mount}: enable it, or name another mount"))
            }
            StatusCode::SERVICE_UNAVAILABLE => WrapError::Away(format!("{address} is sealed or standing by: unseal it ({said})")),
            status => WrapError::Away(format!("{address} answered {status} ({said})")),
        }
    }

    fn ask<T: for<'de> Deserialize<'de>>(&self, path: &str, body: &Value) -> Result<T, WrapError> {
        let (status, answer) = self.call(&Method::POST, path, body)?;
        if !status.is_success() {
            return Err(self.refused(status, &answer));
        }
        let read = serde_json::from_slice::<Answer<T>>(&answer);
        // serde_json's own message may quote the text.
        read.map(|answer| answer.data).map_err(|_| WrapError::Away(format!("{} does not speak transit", self.settings.address)))
    }

    /// Whatever it answers, as long as it did it.
    fn tell(&self, method: &Method, path: &str, body: &Value) -> Result<(), WrapError> {
        let (status, answer) = self.call(method, path, body)?;
        if status.is_success() { Ok(()) } else { Err(self.refused(status, &answer)) }
    }
}

impl KeyWrap for Transit {
    fn begin(&self, mandate: &str) -> Result<(), WrapError> {
        self.tell(&Method::POST, &format!("keys/{}", name(mandate)), &json!({"type": "aes256-gcm96"}))
    }

    fn renew(&self, mandate: &str) -> Result<(), WrapError> {
        self.tell(&Method::POST, &format!("keys/{}/rotate", name(mandate)), &json!({}))
    }

    fn draw(&self, mandate: &str) -> Result<(Key, String), WrapError> {
        let drawn: Drawn = self.ask(&format!("datakey/plaintext/{}", name(mandate)), &json!({"bits": 256}))?;
        let key = drawn.plaintext.key().ok_or_else(|| WrapError::Away("it draws keys of another length".to_owned()))?;
        Ok((key, drawn.ciphertext))
    }

    fn unwrap(&self, mandate: &str, wrapped: &[&str]) -> Result<Vec<Key>, WrapError> {
        let batch: Vec<_> = wrapped.iter().map(|ciphertext| Ciphertext { ciphertext }).collect();
        let opened: Opened = self.ask(&format!("decrypt/{}", name(mandate)), &json!({"batch_input": batch}))?;
        if opened.batch_results.len() != wrapped.len() {
            return Err(WrapError::Away("it answers other questions than were asked".to_owned()));
        }
        let key = |one: &OpenedOne| if one.error.is_empty() { one.plaintext.key() } else { None };
        opened.batch_results.iter().map(|one| key(one).ok_or(WrapError::Foreign)).collect()
    }

    fn destroy(&self, mandate: &str) -> Result<(), WrapError> {
        let path = format!("keys/{}", name(mandate));
        let allowed = self.tell(&Method::POST, &format!("{path}/config"), &json!({"deletion_allowed": true}));
        match allowed.and_then(|()| self.tell(&Method::DELETE, &path, &json!({}))) {
            Err(WrapError::Gone) => Ok(()),
            done => done,
        }
    }
}

/// The key of a mandate in the service: its names have only letters, digits, `-`, `_` and dots.
fn name(mandate: &str) -> String {
    let plain = mandate.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain { format!("oneknock-{mandate}-keys") } else { format!("oneknock.{}-keys", hex::encode(mandate)) }
}

/// An error with its causes: the last one says what is wrong.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _never_fails = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_mandate_has_a_name_of_its_own() {
        let names = ["m", "m-keys", "疫情-2026", "a b", "m.1", "6d"].map(super::name);
        for (at, one) in names.iter().enumerate() {
            assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{one}");
            assert!(!names[at + 1..].contains(one), "{one}");
        }
    }
}
