//! Schema ids: the built-in ones, a real registry's (Apicurio), and a registry that answers late, differently, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may panic")]

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use eventlog::schemas::Schemas;
use eventlog::{LogError, Record};
use events::{CodecError, IdentifierLink, Mandate, SchemaName};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn link() -> IdentifierLink {
    IdentifierLink { mandate: "m".into(), links: vec![], common: true }
}

fn record(value: Vec<u8>, header: Option<Vec<u8>>) -> Record {
    let headers = header.map(|id| ("__value_schema_id", id)).into_iter().collect();
    Record { partition: 0, offset: 0, timestamp: 0, key: "key".into(), value: Some(value.into()), headers }
}

#[tokio::test]
async fn without_a_registry_the_ids_are_built_in() {
    let schemas = Schemas::open("").await.unwrap();
    let value = schemas.codec().encode(&link());
    assert_eq!(value[..5], [0, 0, 0, 0, 4]);
    assert_eq!(schemas.decode::<IdentifierLink>(&record(value.clone(), None)).await.unwrap(), link());
    let header = Some(vec![0, 0, 0, 4]);
    assert_eq!(schemas.decode::<IdentifierLink>(&record(value[5..].to_vec(), header)).await.unwrap(), link());
    assert!(matches!(schemas.decode::<IdentifierLink>(&record(value, Some(vec![1]))).await, Err(CodecError::NoPrefix)));
    let unknown = record(b"\0\0\0\x09\x09rubbish".to_vec(), None);
    assert!(matches!(schemas.decode::<IdentifierLink>(&unknown).await, Err(CodecError::UnknownSchema(0x0909))));
}

/// Another release's IdentifierLink: one field less, another one more.
fn other_release() -> String {
    json!({"type": "record", "name": "IdentifierLink", "namespace": "oneknock.v1", "fields": [
        {"name": "mandate", "type": "string"},
        {"name": "common", "type": "boolean"},
        {"name": "links", "type": {"type": "array", "items": {"type": "record", "name": "Link", "fields": [
            {"name": "household", "type": "string"}, {"name": "grid", "type": "string"}]}}},
        {"name": "remark", "type": "string", "default": ""},
    ]})
    .to_string()
}

/// A value of that release: id, "m", true, no links, "r".
fn of_other_release(id: u32) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &[2, b'm', 1, 0, 2, b'r']].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_registry_gives_its_ids_and_teaches_those_of_others() {
    let registry = tokio::task::spawn_blocking(testkit::registry::Apicurio::start).await.unwrap().unwrap();
    let schemas = Schemas::open(&registry.url).await.unwrap();
    let value = schemas.codec().encode(&link());
    assert_eq!(schemas.decode::<IdentifierLink>(&record(value, None)).await.unwrap(), link());
    // A second process gets the same ids.
    let again = Schemas::open(&format!("{}/", registry.url)).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for &name in SchemaName::ALL {
        assert_eq!(schemas.codec().id(name), again.codec().id(name));
        let config = client.get(format!("{}/config/{}-value", registry.url, name.topic())).send().await.unwrap();
        let config: Value = config.json().await.unwrap();
        assert_eq!(config["compatibilityLevel"], "FULL_TRANSITIVE", "{name:?}");
    }
    // Another writer's schema, under a subject of its own.
    let url = format!("{}/subjects/other-value/versions", registry.url);
    let registered = client.post(url).json(&json!({"schemaType": "AVRO", "schema": other_release()})).send().await.unwrap();
    let id = registered.json::<Value>().await.unwrap()["id"].as_u64().unwrap() as u32;
    assert_eq!(schemas.decode::<IdentifierLink>(&record(of_other_release(id), None)).await.unwrap(), link());
    let unknown = record(of_other_release(99_999), None);
    assert!(matches!(schemas.decode::<IdentifierLink>(&unknown).await, Err(CodecError::UnknownSchema(99_999))));
}

/// A registry of a few lines that counts what it is asked.
#[derive(Default)]
struct Fake {
    texts: Mutex<HashMap<u64, String>>,
    asked: Mutex<HashMap<String, usize>>,
    /// So many requests are answered 503 first.
    away_first: Mutex<usize>,
    refuses: bool,
}

impl Fake {
    fn ask(&self, what: &str) -> Result<(), (StatusCode, Json<Value>)> {
        *self.asked.lock().unwrap().entry(what.to_owned()).or_default() += 1;
        let mut away = self.away_first.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err((StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "starting"}))));
        }
        Ok(())
    }
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

async fn configure(State(fake): State<Arc<Fake>>) -> Answer {
    fake.ask("config")?;
    Ok(Json(json!({"compatibility": "FULL_TRANSITIVE"})))
}

async fn register(State(fake): State<Arc<Fake>>, Json(body): Json<Value>) -> Answer {
    fake.ask("register")?;
    if fake.refuses {
        return Err((StatusCode::CONFLICT, Json(json!({"error_code": 409, "message": "incompatible"}))));
    }
    let mut texts = fake.texts.lock().unwrap();
    // Backwards: our seventh gets the id that is built in for another.
    let id = 20 - texts.len() as u64;
    texts.insert(id, body["schema"].as_str().unwrap().to_owned());
    Ok(Json(json!({"id": id})))
}

async fn text(State(fake): State<Arc<Fake>>, Path(id): Path<u64>) -> Answer {
    fake.ask("text")?;
    let text = fake.texts.lock().unwrap().get(&id).cloned();
    text.map(|text| Json(json!({"schema": text})))
        .ok_or((StatusCode::NOT_FOUND, Json(json!({"error_code": 40403, "message": "not found"}))))
}

async fn serve(fake: Fake) -> (Arc<Fake>, String) {
    let fake = Arc::new(fake);
    let app = Router::new()
        .route("/config/{subject}", put(configure))
        .route("/subjects/{subject}/versions", post(register))
        .route("/schemas/ids/{id}", get(text))
        .with_state(fake.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (fake, url)
}

#[tokio::test]
async fn an_id_is_what_the_registry_says_even_where_it_is_built_in_for_another() {
    let (_, url) = serve(Fake::default()).await;
    let schemas = Schemas::open(&url).await.unwrap();
    let ids: HashMap<u32, SchemaName> = SchemaName::ALL.iter().map(|&name| (schemas.codec().id(name), name)).collect();
    assert_eq!(ids.len(), SchemaName::ALL.len());
    let collision = ids.iter().find(|(id, name)| SchemaName::by_built_in_id(**id).is_some_and(|other| other != **name));
    assert!(collision.is_some(), "the test tests nothing");
    for &name in SchemaName::ALL {
        assert_ne!(schemas.codec().id(name), name.built_in_id(), "{name:?} has another id there");
    }
    let value = schemas.codec().encode(&link());
    assert_eq!(schemas.decode::<IdentifierLink>(&record(value.clone(), None)).await.unwrap(), link());
    assert!(schemas.decode::<Mandate>(&record(value, None)).await.is_err(), "read as something else");
    // What says the id of a mandate is not read as one where the registry means something else by it.
    let built_in = SchemaName::Mandate.built_in_id();
    let named = ids.get(&built_in).copied();
    let as_mandate = schemas.decode::<Mandate>(&record(of_other_release(built_in), None)).await;
    assert!(named.is_some() && as_mandate.is_err());
}

#[tokio::test]
async fn a_registry_that_is_starting_is_waited_for_and_an_unknown_id_is_asked_once() {
    let (fake, url) = serve(Fake { away_first: Mutex::new(2), ..Fake::default() }).await;
    let schemas = Schemas::open(&url).await.unwrap();
    fake.texts.lock().unwrap().insert(700, other_release());
    for _ in 0..3 {
        assert_eq!(schemas.decode::<IdentifierLink>(&record(of_other_release(700), None)).await.unwrap(), link());
        assert!(schemas.decode::<IdentifierLink>(&record(of_other_release(701), None)).await.is_err());
    }
    assert_eq!(fake.asked.lock().unwrap()["text"], 2, "once for each of the two");
}

#[tokio::test]
async fn a_registry_that_refuses_a_schema_is_a_refusal_that_names_the_subject() {
    let (_, url) = serve(Fake { refuses: true, ..Fake::default() }).await;
    let Err(LogError::Refused(message)) = Schemas::open(&url).await else { panic!("taken") };
    assert!(message.contains("events.checkpoint.v1-value") && message.contains("409 incompatible"), "{message}");
}
