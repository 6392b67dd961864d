//! Puts canaries into a site by every way that there is, well and badly, and keeps all that is said in return: one file for each kind
//! of answer. It knows requests and commands, and nothing of what is looked for.

use super::people::Canary;
use anyhow::{Context, Result, ensure};
use events::time;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::site::{PATIENCE, Site, until};

/// Answers that may hold what the worker at the door needs.
pub const LISTS: &str = "worker-lists";
/// The same with the contact.
pub const DETAILS: &str = "worker-details";

/// Where what was said is kept.
pub struct Kept {
    folder: PathBuf,
    /// When everything was observed: a record that is sent again is the same.
    observed_at: String,
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
type Ask<'a> = (Method, String, &'a str, Vec<(&'a str, String)>, Vec<u8>);

fn now_ms() -> i64 {
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
    async fn ask(&self, place: &str, (method, url, token, headers, body): Ask<'_>) -> Result<(StatusCode, Value)> {
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

    /// The records of these people from all three agencies, in three requests; sent again where nothing was answered.
    ///
    /// # Errors
    /// Nothing is answered for long.
    pub async fn arrivals(&self, people: &[Canary], counts: &mut Counts) -> Result<()> {
        type Make = fn(&Canary, &str, &str) -> Value;
        let makes: [(&str, Make); 3] = [("checkpoint", Canary::checkpoint), ("highway", Canary::highway), ("telecom", Canary::telecom)];
        for (kind, make) in makes {
            let mut body = String::new();
            for one in people {
                // Broken lines and records among the good ones.
                match one.number % 23 {
                    0 => body += &format!("{{\"id\":\"{}\",\"phone\":\"{}\",\n", one.agency_id, one.phone),
                    1 => body += &json!({"id": one.agency_id, "resident_id": &one.resident_id[1..], "phone": one.phone}).to_string(),
                    2 => body += &json!({"id": [one.agency_id], "resident_id": {"is": one.resident_id}, "name": one.name}).to_string(),
                    3 => body += &make(one, &one.agency_id, &one.name).to_string(),
                    4 => body += &make(one, &one.agency_id.repeat(20), &self.kept.observed_at).to_string(),
                    _ => {}
                }
                body += &format!("\n{}\n", make(one, &one.agency_id, &self.kept.observed_at));
                for (field, value) in wrong_fields(one).into_iter().filter(|_| one.number.is_multiple_of(19)) {
                    let mut record = make(one, &format!("{}-{field}", one.agency_id), &self.kept.observed_at);
                    record[field] = value;
                    body += &format!("{record}\n");
                }
            }
            let deadline = Instant::now() + PATIENCE * 2;
            loop {
                let url = format!("{}/v1/events/{kind}", self.site.client.gateway);
                let headers = vec![("content-type", "application/x-ndjson".to_owned())];
                let token = self.site.client.source_token(kind)?;
                counts.requests += 1;
                match self.ask("gateway-events", (Method::POST, url, token, headers, body.clone().into_bytes())).await {
                    Ok((StatusCode::ACCEPTED, answer)) => {
                        // What was taken before a kill is known already.
                        let of = |what: &str| answer[what].as_u64().unwrap_or(0);
                        counts.accepted += of("accepted") + of("duplicate");
                        counts.rejected += answer["rejected"].as_u64().unwrap_or(0);
                        break;
                    }
                    Ok((StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _)) | Err(_) => {}
                    Ok((status, _)) => anyhow::bail!("the gateway answered {status}"),
                }
                ensure!(Instant::now() < deadline, "the gateway takes nothing");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Requests that are wrong in themselves, with this person's numbers wherever they fit: media types, envelopes, paths, queries, tokens,
    /// headers; and questions.
    ///
    /// # Errors
    /// No answer at all.
    pub async fn oddities(&self, one: &Canary, counts: &mut Counts) -> Result<()> {
        let client = &self.site.client;
        let (gateway, inbox, ops) = (&client.gateway, &client.inbox, &client.ops);
        let token = client.source_token("checkpoint")?;
        let (worker, operator) = (client.token("workers")?, client.token("ops")?);
        let record = one.checkpoint(&format!("{}-odd", one.agency_id), &self.kept.observed_at);
        let events = format!("{gateway}/v1/events/checkpoint");
        let media = |text: &str| vec![("content-type", text.to_owned())];
        let padded = format!("00-{:0>32}-{:0>16}-01", &one.resident_id[..17], one.phone);
        let hidden = format!("00-{:f>32}-{:f>16}-01", &one.resident_id[..17], one.phone);
        let traced = |trace: &str| vec![("content-type", "application/json".to_owned()), ("traceparent", trace.to_owned())];
        let envelope = |trace: &str| {
            let data = one.checkpoint(&format!("{}-{trace}", one.agency_id), &self.kept.observed_at);
            json!({"specversion": "1.0", "id": one.resident_id, "source": format!("/{}", one.phone), "subject": one.name, "type": "x", "traceparent": trace, "data": data})
        };
        let encoded: String = one.name.bytes().chain(one.plate.bytes()).map(|byte| format!("%{byte:02X}")).collect();
        let (phone, id) = (&one.phone, &one.resident_id);
        let mut asks: Vec<Ask<'_>> = vec![
            (Method::POST, events.clone(), token, media("text/plain"), record.to_string().into()),
            (Method::POST, events.clone(), token, media(&format!("application/{phone}")), record.to_string().into()),
            (Method::POST, events.clone(), token, media("application/json"), format!("{record}}}").into()),
            (Method::POST, events.clone(), token, media("application/json"), record.to_string()[..60].into()),
            (
                Method::POST,
                events.clone(),
                token,
                traced(&padded),
                one.checkpoint(&format!("{id}-t1"), &self.kept.observed_at).to_string().into(),
            ),
            (
                Method::POST,
                events.clone(),
                token,
                traced(&hidden),
                one.checkpoint(&format!("{id}-t2"), &self.kept.observed_at).to_string().into(),
            ),
            (
                Method::POST,
                events.clone(),
                token,
                traced(&one.name),
                one.checkpoint(&format!("{id}-t3"), &self.kept.observed_at).to_string().into(),
            ),
            (Method::POST, events.clone(), token, media("application/cloudevents+json"), envelope(&padded).to_string().into()),
            (
                Method::POST,
                events.clone(),
                token,
                media("application/cloudevents-batch+json"),
                json!([envelope(&hidden), envelope(id), 7]).to_string().into(),
            ),
            (Method::POST, events.clone(), &one.agency_id, media("application/json"), record.to_string().into()),
            (Method::POST, events.clone(), "", media("application/json"), record.to_string().into()),
            (Method::POST, format!("{gateway}/v1/events/{phone}"), token, media("application/json"), record.to_string().into()),
            (
                Method::GET,
                format!("{gateway}/v1/events/{id}"),
                token,
                vec![("x-name", one.name.clone()), ("user-agent", phone.clone())],
                vec![],
            ),
            (Method::GET, format!("{gateway}/v1/events/{encoded}?phone={phone}"), token, vec![("cookie", format!("id={id}"))], vec![]),
            (Method::PUT, format!("{gateway}/{encoded}?{id}"), token, vec![("referer", format!("http://x/{phone}"))], vec![]),
            (Method::GET, format!("{inbox}/v1/tasks?grid={phone}&state={id}&after={encoded}"), worker, vec![], vec![]),
            (
                Method::GET,
                format!("{inbox}/v1/tasks?grid={phone}&list={encoded}"),
                worker,
                vec![("if-none-match", format!("\"{id}\""))],
                vec![],
            ),
            (Method::GET, format!("{inbox}/v1/tasks/{id}?reason={encoded}"), worker, vec![], vec![]),
            (Method::GET, format!("{inbox}/v1/tasks/stream?after={id}"), worker, vec![("last-event-id", phone.clone())], vec![]),
            (
                Method::POST,
                format!("{inbox}/v1/tasks/{id}/actions"),
                worker,
                media("application/json"),
                json!({"action_id": id, "action": phone, "note": one.note}).to_string().into(),
            ),
            (Method::GET, format!("{inbox}/sign-in?token={phone}"), "", vec![], vec![]),
            (Method::GET, format!("{ops}/v1/trace/{id}"), operator, vec![], vec![]),
            (Method::GET, format!("{ops}/v1/tail/{phone}?count={id}"), operator, vec![], vec![]),
            (Method::GET, format!("{ops}/{encoded}"), operator, vec![("authorization", format!("Basic {phone}"))], vec![]),
        ];
        let lookups = [
            json!({"phone": one.phone_written()}),
            json!({"resident_id": one.resident_id_written()}),
            json!({"plate": one.plate}),
            json!({"resident_id": &id[1..]}),
            json!({"phone": phone, "mandate": one.name}),
        ];
        let lookup = format!("{gateway}/v1/screenings/lookup");
        asks.extend(lookups.map(|body| (Method::POST, lookup.clone(), token, media("application/json"), body.to_string().into_bytes())));
        for ask in asks {
            counts.requests += 1;
            self.ask("odd-requests", ask).await?;
        }
        Ok(())
    }

    /// More than a request may hold, all of it somebody's.
    ///
    /// # Errors
    /// No answer.
    pub async fn too_much(&self, one: &Canary) -> Result<()> {
        let token = self.site.client.source_token("checkpoint")?;
        let url = format!("{}/v1/events/checkpoint", self.site.client.gateway);
        let line = format!("{}\n", one.checkpoint(&one.agency_id, &self.kept.observed_at));
        for (media, body) in [("application/x-ndjson", line.repeat(10_001)), ("application/json", line.repeat(20_000))] {
            let headers = vec![("content-type", media.to_owned())];
            // A server may close the connection instead of taking it all.
            let _ = self.ask("odd-requests", (Method::POST, url.clone(), token, headers, body.into_bytes())).await;
        }
        Ok(())
    }

    /// The worker's round: every list, and of so many tasks the contact, opened for a reason, a note, and an outcome.
    ///
    /// # Errors
    /// No answer, or one that is not promised.
    pub async fn workers(&self, people: &[Canary], most: usize) -> Result<usize> {
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
        Ok(tasks.len())
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

    /// A command, with all that it says.
    ///
    /// # Errors
    /// It does not start.
    pub async fn command(&self, words: &[&str]) -> Result<Option<i32>> {
        let said = self.site.command(words).await?;
        self.kept.note("commands", format!("{}\n{}\n{}", words[..2.min(words.len())].join(" "), said.out, said.err).as_bytes())?;
        Ok(said.code)
    }

    /// Every command of ops and of those who look after a site, as text and as JSON.
    ///
    /// # Errors
    /// One does not start.
    pub async fn commands(&self, one: &Canary) -> Result<()> {
        let log = self.site.log().await?;
        let topics: Vec<String> = log.topics().await?.into_iter().map(|info| info.name).collect();
        let decision = crate::topics::records(&log, events::topics::DECISIONS).await?.pop();
        let event = decision.map_or_else(|| "0".repeat(32), |record| String::from_utf8_lossy(&record.key).into_owned());
        let household = one.household();
        let mut all: Vec<Vec<&str>> = ["topics", "lag", "ledger", "doctor"].map(|name| vec!["ops", name]).into();
        all.extend([vec!["ops", "trace", &event], vec!["ops", "dlq", "list"], vec!["audit", "verify"], vec!["audit", "checkpoints"]]);
        all.extend([vec!["audit", "subject", "--household", &household], vec!["keys", "list"], vec!["mandate", "list"]]);
        all.extend(topics.iter().map(|topic| vec!["ops", "tail", topic.as_str(), "-n", "20"]));
        for words in &mut all {
            self.command(words).await?;
            words.push("--json");
            self.command(words).await?;
        }
        // A person who asks is named on standard input.
        let mut asked = tokio::process::Command::new(testkit::site::binary()?);
        asked.args(["audit", "subject", "--json", "--config"]).arg(self.site.config()).env("RUST_LOG", "trace");
        let mut child = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        tokio::io::AsyncWriteExt::write_all(child.stdin.as_mut().context("stdin")?, format!("{}\n", one.resident_id).as_bytes()).await?;
        let output = child.wait_with_output().await?;
        self.kept.note("commands", &[output.stdout, output.stderr].concat())
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

/// Fields that are no identifier's, with an identifier in them.
fn wrong_fields(one: &Canary) -> Vec<(&'static str, Value)> {
    let coded = ["checkpoint", "station", "vehicle_class"].map(|field| (field, json!(one.resident_id_written())));
    let destination = json!({"division": "330106", "grid": one.plate, "address": one.address});
    let mut all = vec![
        ("mandate", json!(one.name)),
        ("direction", json!(one.plate)),
        ("origin_division", json!(one.phone)),
        ("to_division", json!(one.phone)),
        ("party_size", json!(one.phone)),
        ("dwell_minutes", json!(one.phone)),
        ("destination", destination),
        ("station", json!(one.plate)),
        ("checkpoint", json!(one.phone_written())),
    ];
    all.extend(coded);
    all
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

/// Files for the file drop, good ones and bad ones.
///
/// # Errors
/// They cannot be written.
pub fn drop_files(folder: &Path, people: &[Canary]) -> Result<()> {
    let (drop_lines, drop_rows) = (folder.join("lines"), folder.join("rows"));
    std::fs::create_dir_all(&drop_lines)?;
    std::fs::create_dir_all(&drop_rows)?;
    let at = time::format(events::Millis(now_ms() - 7_200_000));
    let mut lines = String::new();
    let mut rows = String::from("id,observed_at,checkpoint,direction,resident_id,phone,plate,name\n");
    for one in people {
        let Canary { agency_id, resident_id, name, plate, .. } = one;
        lines += &format!("{}\n", one.checkpoint(&format!("{agency_id}-drop"), &at));
        lines += &format!("{{\"id\":\"{agency_id}\",\"resident_id\":\"{resident_id}\n{name}\n");
        rows += &format!("{agency_id}-csv,{at},G60-118,in,{resident_id},{},{plate},{name}\n", one.phone_written());
        rows += &format!("{agency_id}-csv,{at},G60-118,in,{resident_id}?,{name}\n\"{name},{plate}\n");
    }
    std::fs::write(drop_lines.join("a.ndjson"), &lines)?;
    std::fs::write(drop_lines.join("b.ndjson"), encoding_rs::GB18030.encode(&lines).0)?;
    Ok(std::fs::write(drop_rows.join("c.csv"), rows)?)
}
