//! What workers see and do: lists, contacts opened for a reason, notes, outcomes; a disk that takes no record of reads; and the mandate's end, on
//! a phone that holds its stream open.

use super::drive::Driver;
use super::people::Canary;
use anyhow::{Context, Result, ensure};
use audit::{CHANGES, LOOKUPS, READS};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::site::{MANDATE, PATIENCE, Site};
use tokio::time::timeout;

/// Answers that may hold what the worker at the door needs.
pub const LISTS: &str = "worker-lists";
/// The same with the contact.
pub const DETAILS: &str = "worker-details";
/// A phone's stream: what lists hold.
pub const STREAM: &str = "worker-stream";

/// What came of a round.
pub struct Round {
    /// All tasks that there were.
    pub tasks: usize,
    /// One that was opened.
    pub task_id: String,
    /// Its household, which the register knows.
    pub household: String,
}

/// Logs of reads, questions and changes that find the disk full when a head is to be written; until it is dropped.
struct FullDisk(Vec<PathBuf>);

impl FullDisk {
    fn of(site: &Site) -> Result<FullDisk> {
        // A head is written beside the old one and takes its place: here it comes to lie where every byte is one too many.
        let full = FullDisk([READS, LOOKUPS, CHANGES].map(|name| site.dir().join(format!("audit/{name}.new"))).into());
        for path in &full.0 {
            std::os::unix::fs::symlink("/dev/full", path).with_context(|| path.display().to_string())?;
        }
        Ok(full)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // One that is not there was never made.
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

impl Driver<'_> {
    /// The worker's round: every list, and of so many tasks the contact, opened for a reason, a note, and an outcome.
    ///
    /// # Errors
    /// No answer, or one that is not promised.
    pub async fn workers(&self, people: &[Canary], most: usize) -> Result<Round> {
        let (inbox, token) = (&self.site.client.inbox, self.site.client.token("workers")?);
        let mut tasks: Vec<Value> = Vec::new();
        let mut after = String::new();
        loop {
            let url = format!("{inbox}/v1/tasks?limit=500&state=open&after={after}");
            let (status, mut page) = self.ask(LISTS, (Method::GET, url, token, vec![], vec![])).await?;
            ensure!(status == StatusCode::OK, "list: {status}");
            tasks.append(page["tasks"].as_array_mut().context("tasks")?);
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        for (at, task) in tasks.iter().take(most).enumerate() {
            let one = &people[at % people.len()];
            let id = task["task_id"].as_str().context("a task's id")?;
            let act = |step: u64, mut body: Value| {
                body["action_id"] = format!("6f1c1f0e-8d3a-4a39-9a53-{:012x}", (at as u64) << 8 | step).into();
                (
                    Method::POST,
                    format!("{inbox}/v1/tasks/{id}/actions"),
                    token,
                    vec![("content-type", "application/json".to_owned())],
                    body.to_string().into_bytes(),
                )
            };
            let mut url: reqwest::Url = format!("{inbox}/v1/tasks/{id}").parse()?;
            url.query_pairs_mut().append_pair("reason", &format!("{} {}", one.name, one.phone));
            self.ask(DETAILS, (Method::GET, url.to_string(), token, vec![], vec![])).await?;
            let (status, said) = self.ask(LISTS, act(0, json!({"action": "note", "note": one.note}))).await?;
            ensure!(status == StatusCode::OK, "a note: {status} {said}");
            self.ask(DETAILS, (Method::GET, url.to_string(), token, vec![], vec![])).await?;
            self.ask(LISTS, act(1, json!({"action": "hand_back", "to_grid": one.phone, "note": one.note}))).await?;
            if at.is_multiple_of(3) {
                self.ask(LISTS, act(2, json!({"action": "outcome", "outcome": "screened", "note": one.note}))).await?;
            }
        }
        // A household of the register, whose people may ask who opened what.
        let asked = tasks.iter().take(most).find_map(|task| Some((task["task_id"].as_str()?, task["household"].as_str()?)));
        let (task_id, household) = asked.context("no task of a known household was opened")?;
        Ok(Round { tasks: tasks.len(), task_id: task_id.to_owned(), household: household.to_owned() })
    }

    /// What cannot be written down is neither shown nor answered nor done, and said without a name.
    ///
    /// # Errors
    /// It is, or it stays so when the disk has room again.
    pub async fn with_a_full_disk(&self, one: &Canary, round: &Round) -> Result<()> {
        let (client, Round { task_id, household, .. }) = (&self.site.client, round);
        let (inbox, token) = (&client.inbox, client.token("workers")?);
        let list = || (Method::GET, format!("{inbox}/v1/tasks?limit=500"), token, vec![], vec![]);
        let json_body = |body: Value| (vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes());
        let mut detail: reqwest::Url = format!("{inbox}/v1/tasks/{task_id}").parse()?;
        detail.query_pairs_mut().append_pair("reason", &format!("{} {}", one.name, one.phone));
        let (headers, note) = json_body(json!({"action_id": "6f1c1f0e-8d3a-4a39-9a53-ffffffffffff", "action": "note", "note": one.note}));
        let act = (Method::POST, format!("{inbox}/v1/tasks/{task_id}/actions"), token, headers, note);
        let (headers, question) = json_body(json!({"phone": one.phone_written()}));
        let lookup =
            (Method::POST, format!("{}/v1/screenings/lookup", client.gateway), client.source_token("checkpoint")?, headers, question);

        let full = FullDisk::of(self.site)?;
        for ask in [list(), (Method::GET, detail.to_string(), token, vec![], vec![]), act, lookup] {
            let (status, said) = self.ask("refused", ask).await?;
            ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "on a full disk: {status} {said}");
        }
        let code = self.command(&["registry", "correct", "--household", household, "--address", &one.address]).await?;
        ensure!(code == Some(1), "a change that cannot be written down ended with {code:?}");
        drop(full);
        let (status, said) = self.ask(LISTS, list()).await?;
        ensure!(status == StatusCode::OK, "when the disk has room again: {status} {said}");
        let said = self.site.command(&["audit", "verify"]).await?;
        ensure!(said.code == Some(0), "after a full disk: {}", said.out);
        Ok(())
    }

    /// The mandate is suspended, resumed and ended, and a phone whose stream is open is told to forget, twice. From then on nothing is shown to
    /// anybody.
    ///
    /// # Errors
    /// It is not told, or something is shown.
    pub async fn end_of_the_mandate(&self, one: &Canary, task_id: &str) -> Result<()> {
        let client = &self.site.client;
        let (inbox, token) = (&client.inbox, client.token("workers")?);
        // No limit of time: it is meant to stay open.
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut stream = http.get(format!("{inbox}/v1/tasks/stream")).bearer_auth(token).send().await?;
        ensure!(stream.status() == StatusCode::OK, "stream: {}", stream.status());
        let mut heard = Vec::new();
        let mut until_it_says = async |word: &str| -> Result<()> {
            let ended = format!("the phone was not told {word}");
            while !heard.windows(word.len()).any(|window| window == word.as_bytes()) {
                let part = timeout(PATIENCE, stream.chunk()).await.with_context(|| ended.clone())??;
                heard.extend_from_slice(&part.with_context(|| ended.clone())?);
            }
            self.kept.note(STREAM, &std::mem::take(&mut heard))
        };
        let note = json!({"action_id": "6f1c1f0e-8d3a-4a39-9a53-fffffffffffe", "action": "note", "note": one.note});
        let headers = vec![("content-type", "application/json".to_owned())];
        let act = (Method::POST, format!("{inbox}/v1/tasks/{task_id}/actions"), token, headers.clone(), note.to_string().into_bytes());
        self.ask(LISTS, act).await?;
        until_it_says("event: task").await?;
        for (command, word) in [("suspend", "suspended"), ("resume", "event: mandates"), ("end", "ended")] {
            let code = self.command(&["mandate", command, MANDATE]).await?;
            ensure!(code == Some(0), "mandate {command}: {code:?}");
            until_it_says(word).await?;
        }
        for words in [["mandate", "certificate", MANDATE], ["mandate", "list", "--json"]] {
            let code = self.command(&words).await?;
            ensure!(code == Some(0), "{words:?}: {code:?}");
        }

        let detail = format!("{inbox}/v1/tasks/{task_id}?reason={}", one.phone);
        let record = one.checkpoint(&format!("{}-late", one.agency_id), &self.kept.observed_at).to_string().into_bytes();
        let (events, source) = (format!("{}/v1/events/checkpoint", client.gateway), client.source_token("checkpoint")?);
        let asks = [
            ((Method::GET, format!("{inbox}/v1/tasks"), token, vec![], vec![]), StatusCode::OK),
            ((Method::GET, detail, token, vec![], vec![]), StatusCode::NOT_FOUND),
            ((Method::POST, events, source, headers, record), StatusCode::ACCEPTED),
        ];
        for (ask, expected) in asks {
            let (status, said) = self.ask("after-the-end", ask).await?;
            let is_nothing = said["tasks"].as_array().is_none_or(Vec::is_empty) && said["accepted"].as_u64().unwrap_or(0) == 0;
            ensure!(status == expected && is_nothing, "after the end: {status}");
        }
        Ok(())
    }
}
