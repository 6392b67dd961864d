//! Reads Server-Sent Events. Knows their form, and nothing of tasks.

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Where to go on after it.
    pub id: Option<String>,
    /// `task`; empty: none was named.
    pub event: String,
    /// Its JSON.
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    /// What has come and is no whole event yet.
    rest: Vec<u8>,
}

impl Stream {
    pub(super) fn new(answer: reqwest::Response) -> Stream {
        Stream { bytes: answer.bytes_stream().map(|part| part.map(|bytes| bytes.to_vec())).boxed(), rest: Vec::new() }
    }

    /// The next event; waits until there is one. Comments (heartbeats) are passed over. Cancel-safe.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn next(&mut self) -> Result<Message> {
        loop {
            while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                if let Some(message) = parse(&String::from_utf8_lossy(&block))? {
                    return Ok(message);
                }
            }
            let part = self.bytes.next().await.context("the stream has ended")??;
            // A line may end with CR LF.
            self.rest.extend(part.into_iter().filter(|byte| *byte != b'\r'));
        }
    }
}

/// An event, where the block has data.
fn parse(block: &str) -> Result<Option<Message>> {
    let mut message = Message::default();
    let mut data = Vec::new();
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => message.id = Some(value.to_owned()),
            "event" => message.event = value.to_owned(),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    message.data = serde_json::from_str(&data.join("\n")).context("data that is no JSON")?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_id_name_and_data_and_a_comment_is_none() {
        let message = parse("id: 3\nevent: task\ndata: {\"a\":\ndata: 1}\n\n").unwrap().unwrap();
        assert_eq!((message.id.as_deref(), message.event.as_str(), &message.data["a"]), (Some("3"), "task", &Value::from(1)));
        assert_eq!(parse(": heartbeat\n\n").unwrap(), None);
        assert!(parse("data: {\n\n").is_err());
    }
}
