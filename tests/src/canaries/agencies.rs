//! What agencies do: records good and bad over HTTP and in dropped files, requests that are wrong in themselves, and questions.

use super::drive::{Ask, Counts, Driver, now_ms};
use super::people::Canary;
use anyhow::{Result, ensure};
use events::time;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::site::PATIENCE;

impl Driver<'_> {
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
            (Method::GET, format!("{ops}/v1/tail/{phone}"), operator, vec![], vec![]),
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
