//! Schema ids: the built-in ones, or those of a registry that speaks Confluent's interface. Registers ours there at start, and asks it for
//! those that other writers used.
//!
//! It knows ids and texts; encoding and decoding is `events::Codec`'s.

use crate::{Append, Headers, LogError, Record};
use events::codec::VALUE_SCHEMA_ID_HEADER;
use events::topics::partition_of;
use events::{Codec, CodecError, SchemaName};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A registry that starts at the same time is waited for: tries, and the pause before the second, which doubles up to the longest.
const TRIES: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How long an id that nobody knows is not asked for again, and how many such are remembered.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
const UNKNOWN_MAX: usize = 1_000;
/// What new versions of our schemas must keep to.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The codec and where it learns ids from.
pub struct Schemas {
    codec: RwLock<Arc<Codec>>,
    registry: Option<Registry>,
}

struct Registry {
    url: String,
    client: reqwest::Client,
    ids: BTreeMap<SchemaName, u32>,
    texts: Mutex<BTreeMap<u32, String>>,
    unknown: Mutex<HashMap<u32, Instant>>,
    /// One question at a time: a hundred records of a new schema ask once.
    asking: tokio::sync::Mutex<()>,
}

/// What a registry said.
enum Failure {
    /// Not now: try again.
    Away(String),
    /// No, with its HTTP status.
    Refused(u16, String),
}

impl Schemas {
    /// With the built-in ids where `url` is empty. Else every schema of ours is registered there (subject `TOPIC-value`, compatibility
    /// `FULL_TRANSITIVE`), and its ids are used.
    ///
    /// # Errors
    /// `Away` when the registry does not answer for some 20 s; `Refused` when it does not take a schema: it is not compatible with what is
    /// registered there already, or that is no registry.
    pub async fn open(url: &str) -> Result<Arc<Schemas>, LogError> {
        let url = url.trim_end_matches('/');
        if url.is_empty() {
            return Ok(Arc::new(Schemas { codec: RwLock::new(Arc::new(Codec::built_in())), registry: None }));
        }
        let client = reqwest::Client::builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| LogError::Refused(format!("schema registry: {error}")))?;
        let mut registry = Registry {
            url: url.to_owned(),
            client,
            ids: BTreeMap::new(),
            texts: Mutex::default(),
            unknown: Mutex::default(),
            asking: tokio::sync::Mutex::new(()),
        };
        for &name in SchemaName::ALL {
            let id = registry.register(name).await?;
            registry.ids.insert(name, id);
            // Ours are taught like anybody's: an id that the registry gave to one may be the built-in one of another.
            registry.texts.lock().insert(id, name.text());
        }
        let codec = registry.codec().map_err(|error| LogError::Refused(error.to_string()))?;
        Ok(Arc::new(Schemas { codec: RwLock::new(Arc::new(codec)), registry: Some(registry) }))
    }

    /// The codec as it is now.
    pub fn codec(&self) -> Arc<Codec> {
        self.codec.read().clone()
    }

    /// A record of ours, ready to be appended under its key: into the key's partition, of so many.
    pub fn append<R: events::Record>(&self, topic: &str, key: &str, record: &R, partitions: i32) -> Append {
        Append {
            topic: topic.to_owned().into(),
            partition: partition_of(key.as_bytes(), partitions),
            key: key.as_bytes().to_vec().into(),
            value: Some(self.codec().encode(record).into()),
            headers: Headers::default(),
        }
    }

    /// Asks the registry what an id means.
    ///
    /// # Errors
    /// `UnknownSchema` where there is no registry, where it doesn't know the id, or doesn't answer after several tries; `BadSchema`.
    pub async fn learn(&self, id: u32) -> Result<(), CodecError> {
        let registry = self.registry.as_ref().ok_or(CodecError::UnknownSchema(id))?;
        let _asking = registry.asking.lock().await;
        if registry.texts.lock().contains_key(&id) {
            return Ok(());
        }
        if registry.unknown.lock().get(&id).is_some_and(|asked| asked.elapsed() < UNKNOWN_FOR) {
            return Err(CodecError::UnknownSchema(id));
        }
        let learned = match registry.text(id).await {
            Ok(text) => {
                registry.texts.lock().insert(id, text);
                registry.codec().inspect_err(|_| drop(registry.texts.lock().remove(&id)))
            }
            Err(failure) => {
                let (Failure::Away(reason) | Failure::Refused(_, reason)) = failure;
                tracing::warn!(id, reason, "the schema registry does not tell a schema");
                Err(CodecError::UnknownSchema(id))
            }
        };
        match learned {
            Ok(codec) => {
                *self.codec.write() = Arc::new(codec);
                Ok(())
            }
            Err(error) => {
                let mut unknown = registry.unknown.lock();
                if unknown.len() >= UNKNOWN_MAX {
                    unknown.clear();
                }
                unknown.insert(id, Instant::now());
                Err(error)
            }
        }
    }

    /// Decodes a record's value; learns its schema on the way where that is new. A header `__value_schema_id` (4 bytes, big-endian, or the
    /// wire format's 5) stands for the prefix. A tombstone has no value: `NoPrefix`.
    pub async fn decode<R: events::Record>(&self, record: &Record) -> Result<R, CodecError> {
        let value = record.value.as_deref().ok_or(CodecError::NoPrefix)?;
        let header = header_id(record)?;
        match self.codec().decode_with(value, header) {
            Err(CodecError::UnknownSchema(id)) => {
                self.learn(id).await?;
                self.codec().decode_with(value, header)
            }
            decoded => decoded,
        }
    }
}

impl Registry {
    fn codec(&self) -> Result<Codec, CodecError> {
        let mut codec = Codec::with_ids(self.ids.iter().map(|(&name, &id)| (name, id)));
        for (&id, text) in &*self.texts.lock() {
            codec.learn(id, text)?;
        }
        Ok(codec)
    }

    /// Registers one of ours and returns its id. The subject's compatibility is set before, so that it judges this version, too; some
    /// registries know no settings of a subject without versions: then behind.
    async fn register(&self, name: SchemaName) -> Result<u32, LogError> {
        let subject = format!("{}-value", name.topic());
        let clear = |failure| match failure {
            Failure::Away(reason) => LogError::Away(format!("schema registry {}: {reason}", self.shown())),
            Failure::Refused(status, reason) => {
                LogError::Refused(format!("schema registry {}, subject {subject}: {status} {reason}", self.shown()))
            }
        };
        let setting = json!({ "compatibility": COMPATIBILITY });
        let config = format!("config/{subject}");
        let set = match self.ask(reqwest::Method::PUT, &config, Some(&setting)).await {
            Ok(_) => true,
            Err(Failure::Refused(404, _)) => false,
            Err(failure) => return Err(clear(failure)),
        };
        let body = json!({ "schemaType": "AVRO", "schema": name.text() });
        let answer = self.ask(reqwest::Method::POST, &format!("subjects/{subject}/versions"), Some(&body)).await.map_err(clear)?;
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| clear(Failure::Refused(200, "the answer has no id".into())))?;
        if !set {
            self.ask(reqwest::Method::PUT, &config, Some(&setting)).await.map_err(clear)?;
        }
        Ok(id)
    }

    async fn text(&self, id: u32) -> Result<String, Failure> {
        let answer = self.ask(reqwest::Method::GET, &format!("schemas/ids/{id}"), None).await?;
        let text = answer.get("schema").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Failure::Refused(200, "the answer has no schema".into()))
    }

    /// Asks until there is an answer, some times.
    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut pause = PAUSE_FIRST;
        for _ in 1..TRIES {
            match self.ask_once(method.clone(), path, body).await {
                Err(Failure::Away(reason)) => tracing::info!(path, reason, "waiting for the schema registry"),
                answered => return answered,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.ask_once(method, path, body).await
    }

    async fn ask_once(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("{}/{path}", self.url)).header("accept", MEDIA_TYPE);
        if let Some(body) = body {
            request = request.header("content-type", MEDIA_TYPE).body(body.to_string());
        }
        // Without its address: that may hold a password.
        let away = |error: reqwest::Error| Failure::Away(error.without_url().to_string());
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let text = response.text().await.map_err(away)?;
        let json = serde_json::from_str::<Value>(&text);
        if status.is_success() {
            return json.map_err(|error| Failure::Refused(status.as_u16(), format!("no JSON: {error}")));
        }
        let message = json.ok().and_then(|body| Some(body.get("message")?.as_str()?.to_owned())).unwrap_or_default();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(Failure::Away(format!("{status} {message}")));
        }
        Err(Failure::Refused(status.as_u16(), message))
    }

    /// The address without what stands before an `@`.
    fn shown(&self) -> &str {
        self.url.rsplit_once('@').map_or(&self.url, |(_, shown)| shown)
    }
}

/// The schema id that a record's header `__value_schema_id` gives: 4 bytes, big-endian, or the wire format's 5.
///
/// # Errors
/// `NoPrefix` where the header is of another form.
pub fn header_id(record: &Record) -> Result<Option<u32>, CodecError> {
    match record.header(VALUE_SCHEMA_ID_HEADER) {
        None => Ok(None),
        Some([0, id @ ..] | id) if id.len() == 4 => Ok(Some(u32::from_be_bytes([id[0], id[1], id[2], id[3]]))),
        Some(_) => Err(CodecError::NoPrefix),
    }
}
