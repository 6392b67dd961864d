//! Where the demonstration lives: a site as `init` writes it, in a directory that is gone at the end unless one was named.

use super::city::Tables;
use crate::cli::{self, Clock};
use crate::commands::init;
use crate::failure::Failure;
use keys::{Pii, TokensFile, WorkerEntry};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Workers beside the one whose link is shown.
const WORKERS: usize = 40;
const DEFAULT_PORTS: [u16; 3] = [8080, 8081, 8082];

/// A site of the demonstration.
pub struct Place {
    /// Its oneknock.toml.
    pub config: PathBuf,
    /// Base address of the inbox.
    pub inbox: String,
    /// Base address of the gateway.
    pub gateway: String,
    /// Who may sign in.
    pub tokens: TokensFile,
    dir: PathBuf,
    _temporary: Option<TempDir>,
}

/// The registry's files.
pub struct TableFiles {
    /// Grids.
    pub grids: PathBuf,
    /// Households.
    pub households: PathBuf,
    /// Residents.
    pub residents: PathBuf,
}

impl Place {
    /// Writes the site, or takes the one that stands in `--dir`.
    pub async fn prepare(options: &cli::Demo) -> Result<Place, Failure> {
        let temporary = match options.dir {
            None => Some(tempfile::Builder::new().prefix("oneknock-demo-").tempdir()?),
            Some(_) => None,
        };
        let dir = match (&options.dir, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => return Err(anyhow::anyhow!("no directory").into()),
        };
        let config = dir.join("oneknock.toml");
        if !config.exists() {
            init::write(&cli::Init { dir: dir.clone(), clock: Clock::Wall, from: None, until: None, keys: Default::default() })?;
            add_workers(&dir.join("tokens.json"))?;
        }
        let [inbox, gateway, ops] = ports(options.port).await?;
        set_ports(&config, [inbox, gateway, ops])?;
        let tokens = TokensFile::read(&dir.join("tokens.json"))?;
        let address = |port: u16| format!("http://127.0.0.1:{port}");
        Ok(Place { config, inbox: address(inbox), gateway: address(gateway), tokens, dir, _temporary: temporary })
    }

    /// Signs the first worker in with one click.
    pub fn sign_in_link(&self) -> String {
        let token = self.tokens.workers.first().map_or("", |worker| worker.token.expose());
        format!("{}/sign-in?token={token}", self.inbox)
    }

    /// Writes the registry's files.
    pub fn write_tables(&self, tables: &Tables) -> Result<TableFiles, Failure> {
        let write = |name: &str, text: &str| {
            let path = self.dir.join(name);
            std::fs::write(&path, text).map(|()| path)
        };
        Ok(TableFiles {
            grids: write("grids.csv", &tables.grids)?,
            households: write("households.csv", &tables.households)?,
            residents: write("residents.csv", &tables.residents)?,
        })
    }
}

fn add_workers(path: &Path) -> Result<(), Failure> {
    let mut tokens = TokensFile::read(path)?;
    for number in 0..WORKERS {
        let mut secret = [0_u8; 24];
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let name = format!("made-up-{:02}", number + 1);
        tokens.workers.push(WorkerEntry { name, grids: vec!["*".to_owned()], token: Pii::new(hex::encode(secret)) });
    }
    Ok(tokens.save(path)?)
}

/// The three that were asked for, else the usual ones, else any that are free.
async fn ports(asked: Option<u16>) -> Result<[u16; 3], Failure> {
    if let Some(first) = asked {
        return Ok([first, first + 1, first + 2]);
    }
    let mut usual = true;
    for port in DEFAULT_PORTS {
        usual = usual && TcpListener::bind(("127.0.0.1", port)).await.is_ok();
    }
    if usual {
        return Ok(DEFAULT_PORTS);
    }
    let (inbox, gateway, ops) = (free().await?, free().await?, free().await?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok([port(&inbox)?, port(&gateway)?, port(&ops)?])
}

async fn free() -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await
}

/// Puts the ports into the site's file, where other commands find them too.
fn set_ports(config: &Path, ports: [u16; 3]) -> Result<(), Failure> {
    let mut section = String::new();
    let mut text = String::new();
    for line in std::fs::read_to_string(config)?.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let port = match section.as_str() {
            "inbox" => Some(ports[0]),
            "gateway" => Some(ports[1]),
            "ops" => Some(ports[2]),
            _ => None,
        };
        match port.filter(|_| line.starts_with("listen = ")) {
            Some(port) => text.push_str(&format!("listen = \"127.0.0.1:{port}\"")),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(std::fs::write(config, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_demonstration_is_a_site_on_ports_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            cli::Demo { households: 10, rate: 1, seed: 1, port: Some(23_456), seconds: None, dir: Some(dir.path().into()), lang: None };
        let place = Place::prepare(&options).await.unwrap();
        let config = crate::config::load(&place.config).unwrap();
        assert_eq!(config.inbox_listen, "127.0.0.1:23456");
        assert_eq!(config.gateway_listen, "127.0.0.1:23457");
        assert_eq!(config.ops_listen, "127.0.0.1:23458");
        assert!(place.sign_in_link().starts_with("http://127.0.0.1:23456/sign-in?token="));
        assert_eq!(place.tokens.workers.len(), 1 + WORKERS);

        let again = Place::prepare(&options).await.unwrap();
        assert_eq!(again.sign_in_link(), place.sign_in_link(), "a site that is there is used again");
    }
}
