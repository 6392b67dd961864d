//! Puts canaries into a site by every way that there is, well and badly, and keeps all that is said in return: one file for each kind
//! of answer. What agencies, workers and the office do stands beside it; here is what they have in common. It knows requests and commands, and
//! nothing of what is looked for.

use anyhow::{Context, Result};
use events::time;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::site::{PATIENCE, Site, until};
use tokio::io::AsyncWriteExt;

/// Where what was said is kept.
pub struct Kept {
    /// Where.
    pub folder: PathBuf,
    /// When everything was observed: a record that is sent again is the same.
    pub observed_at: String,
}

impl Kept {
    /// In a new folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(folder: PathBuf) -> Result<Kept> {
        std::fs::create_dir_all(&folder)?;
        Ok(Kept { folder, observed_at: time::format(events::Millis(now_ms() - 3_600_000)) })
    }

    /// Adds to what was said in one place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, place: &str, said: &[u8]) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.folder.join(place))?;
        file.write_all(said)?;
        Ok(file.write_all(b"\n")?)
    }
}

/// What came of the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub requests: u64,
    pub accepted: u64,
    pub rejected: u64,
}

/// Everybody's side of the site.
pub struct Driver<'a> {
    pub site: &'a Site,
    pub kept: &'a Kept,
    http: reqwest::Client,
}

/// A request: method, address, token, headers, body.
pub type Ask<'a> = (Method, String, &'a str, Vec<(&'a str, String)>, Vec<u8>);

/// Now.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl<'a> Driver<'a> {
    /// A driver of a running site.
    ///
    /// # Errors
    /// There is no client to be had.
    pub fn new(site: &'a Site, kept: &'a Kept) -> Result<Driver<'a>> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Driver { site, kept, http })
    }

    /// Asks, and keeps the whole answer. `id` of a record is the agency's own word, echoed to it by contract, and is taken out.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask(&self, place: &str, (method, url, token, headers, body): Ask<'_>) -> Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, &url).body(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in &headers {
            request = request.header(*name, value.as_bytes());
        }
        let answer = request.send().await?;
        let (status, mut said) = (answer.status(), format!("{:?}\n", answer.headers()));
        let text = answer.text().await?;
        let mut json: Value = serde_json::from_str(&text).unwrap_or_default();
        let whole = json.clone();
        match &mut json {
            Value::Null => said += &text,
            json => {
                forget_ids(json);
                said += &json.to_string();
            }
        }
        self.kept.note(place, said.as_bytes())?;
        Ok((status, whole))
    }

    /// Metrics, health, reports over HTTP.
    ///
    /// # Errors
    /// No answer.
    pub async fn scrape(&self) -> Result<()> {
        let client = &self.site.client;
        let token = client.token("ops")?;
        for path in ["metrics", "readyz", "healthz", "v1/topics", "v1/lag", "v1/ledger", "v1/dlq"] {
            self.ask("ops-http", (Method::GET, format!("{}/{path}", client.ops), token, vec![], vec![])).await?;
        }
        for base in [&client.gateway, &client.inbox] {
            self.ask("ops-http", (Method::GET, format!("{base}/readyz"), "", vec![], vec![])).await?;
        }
        Ok(())
    }

    /// A command, and all that it says.
    ///
    /// # Errors
    /// It does not start.
    pub async fn command(&self, words: &[&str]) -> Result<Option<i32>> {
        let said = self.site.command(words).await?;
        self.heard("commands", words, &[said.out.as_bytes(), said.err.as_bytes()])?;
        Ok(said.code)
    }

    /// The same of one that reads this on standard input, and writes what is for a person's eyes to standard output: that goes to `place`, what
    /// it says beside it to where every command's words go.
    ///
    /// # Errors
    /// It does not start.
    pub async fn command_with(&self, words: &[&str], stdin: &[u8], place: &str) -> Result<Option<i32>> {
        let mut command = tokio::process::Command::new(testkit::site::binary()?);
        command.args(words).arg("--config").arg(self.site.config()).env("RUST_LOG", "trace").current_dir(self.site.dir());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        // Who does not want it closes its end.
        let _ = child.stdin.take().context("standard input")?.write_all(stdin).await;
        let output = child.wait_with_output().await?;
        self.heard(place, words, &[&output.stdout])?;
        self.heard("commands", words, &[&output.stderr])?;
        Ok(output.status.code())
    }

    fn heard(&self, place: &str, words: &[&str], said: &[&[u8]]) -> Result<()> {
        // Which command it was; not what stood there in the place of one.
        let name =
            words.iter().take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())).copied().collect::<Vec<_>>().join(" ");
        self.kept.note(place, &[&[name.as_bytes()], said].concat().join(&b'\n'))
    }

    /// A record of a topic comes again, cut off: it must become a dead letter.
    ///
    /// # Errors
    /// It does not become one in time.
    pub async fn spoil_a_record(&self) -> Result<()> {
        let log = self.site.log().await?;
        let topic = events::topics::of_kind(events::SourceKind::Checkpoint);
        let record = crate::topics::records(&log, topic).await?.pop().context("an event")?;
        let value = record.value.context("its value")?;
        let half = value.slice(..value.len() / 2);
        let append = eventlog::Append {
            topic: topic.into(),
            partition: record.partition,
            key: record.key,
            value: Some(half),
            headers: record.headers,
        };
        log.append(vec![append]).await?;
        until("a dead letter", PATIENCE, async || {
            let topics = log.topics().await?;
            for info in topics.iter().filter(|info| info.name.starts_with("dlq.")) {
                if !crate::topics::records(&log, &info.name).await?.is_empty() {
                    return Ok(Ok(()));
                }
            }
            Ok(Err("there is none".to_owned()))
        })
        .await
    }

    /// Every topic's keys, values and headers as they are.
    ///
    /// # Errors
    /// The log is away.
    pub async fn dump(&self) -> Result<u64> {
        let log = self.site.log().await?;
        let mut count = 0;
        for info in log.topics().await? {
            let mut bytes = Vec::new();
            for record in crate::topics::records(&log, &info.name).await? {
                count += 1;
                bytes.extend_from_slice(&record.key);
                bytes.push(0);
                bytes.extend_from_slice(record.value.as_deref().unwrap_or_default());
                bytes.extend_from_slice(format!("\0{:?}\n", record.headers).as_bytes());
            }
            self.kept.note(&format!("topic-{}", info.name), &bytes)?;
        }
        Ok(count)
    }
}

/// The folder of inputs beside a site's: what is put in stands there, and is not looked through.
pub fn inputs(site: &Site) -> PathBuf {
    site.dir().parent().unwrap_or(Path::new("/")).join("inputs")
}

/// Takes the agency's own ids out.
fn forget_ids(value: &mut Value) {
    let results = value.get_mut("results").and_then(Value::as_array_mut).into_iter().flatten();
    for row in results {
        row["id"] = Value::Null;
    }
    if value.get("event_id").is_some() && value.get("status").is_some() {
        value["id"] = Value::Null;
    }
}
