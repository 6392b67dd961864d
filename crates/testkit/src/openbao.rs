//! A real key service for tests: OpenBao in memory, on a loopback port, with a transit engine and a root token.
//! Knows nothing of mandates.

use crate::guarded::Guarded;
use crate::{parts, ports};
use anyhow::{Context, Result, bail, ensure};
use keys::TransitSettings;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_SECONDS_MAX: u64 = 30;
const TOKEN: &str = "root";
/// Where the transit engine is.
pub const MOUNT: &str = "transit";

/// A running service. Dropping it ends the process; nothing of it is kept.
pub struct OpenBao {
    /// Its base address.
    pub address: String,
    /// The keys that open it again after it was sealed.
    unseal_key: String,
    http: reqwest::Client,
    // In this order: the process goes before the folder that it writes into.
    process: Guarded,
    folder: TempDir,
}

impl OpenBao {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// OpenBao is not set up, or it ends or does not answer in 30 s: the error carries the end of its log.
    pub async fn start() -> Result<OpenBao> {
        let server = parts::path("ONEKNOCK_OPENBAO")?;
        let folder = tempfile::Builder::new().prefix("oneknock-openbao-").tempdir()?;
        let port = ports::free()?;
        let mut command = Command::new(server);
        command.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", TOKEN]).current_dir(folder.path());
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("HOME", folder.path());
        let process = Guarded::spawn(&mut command, &folder.path().join("out"), folder.path())?;
        let address = format!("http://127.0.0.1:{port}");
        let mut service = OpenBao { address, unseal_key: String::new(), http: reqwest::Client::new(), process, folder };
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let (mut is_mounted, mut key) = (false, None);
        while key.is_none() || !is_mounted {
            is_mounted = is_mounted || service.call(Method::POST, &format!("sys/mounts/{MOUNT}"), json!({"type": "transit"})).await.is_ok();
            // It is said a moment after the interface answers.
            let said = service.process.said();
            key = said.lines().find_map(|line| line.trim().strip_prefix("Unseal Key:")).map(|key| key.trim().to_owned());
            if service.process.is_over() {
                bail!("OpenBao ended while starting; {}", service.process.tail());
            }
            if Instant::now() > deadline {
                bail!("OpenBao does not answer after {START_SECONDS_MAX} s; {}", service.process.tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        service.unseal_key = key.context("OpenBao says no unseal key")?;
        std::fs::write(service.folder.path().join("token"), TOKEN)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(service.folder.path().join("token"), private)?;
        Ok(service)
    }

    /// What a keyring needs.
    pub fn settings(&self) -> TransitSettings {
        TransitSettings { address: self.address.clone(), mount: MOUNT.to_owned(), token_file: self.token_file() }
    }

    /// The file of its token.
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Calls its interface, below `/v1/`, as root.
    ///
    /// # Errors
    /// It cannot be reached, or says no: the error carries its words.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let request = self.http.request(method, format!("{}/v1/{path}", self.address)).header("X-Vault-Token", TOKEN);
        let answer = request.json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Seals it: it holds its keys and uses none.
    ///
    /// # Errors
    /// It says no.
    pub async fn seal(&self) -> Result<()> {
        self.call(Method::PUT, "sys/seal", json!({})).await.map(|_| ())
    }

    /// Opens it again.
    ///
    /// # Errors
    /// It says no.
    pub async fn unseal(&self) -> Result<()> {
        self.call(Method::PUT, "sys/unseal", json!({"key": self.unseal_key})).await.map(|_| ())
    }

    /// Ends the process; its address answers no more.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
