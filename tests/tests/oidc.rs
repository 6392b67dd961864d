//! Sign-in by access tokens of a real OpenID provider, at the three listeners of the real binary. What the provider does: `tests/oidc/provider.mjs`.
//!
//! A missing part fails the test and names `cargo xtask setup`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics where a promise is broken")]

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::Stdio;
use testkit::parts;
use testkit::site::{LogChoice, Options, PATIENCE, Site, until};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

struct Provider {
    issuer: String,
    http: reqwest::Client,
    process: Child,
}

impl Provider {
    async fn start() -> Result<Provider> {
        let told = json!({"modules": parts::path("ONEKNOCK_OIDC")?});
        let mut node = Command::new("node");
        node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/oidc/provider.mjs")).env("ONEKNOCK_OIDC_TOLD", told.to_string());
        let mut process = node.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let issuer = tokio::time::timeout(PATIENCE, lines.next_line()).await??.context("the provider ended")?;
        Ok(Provider { issuer, http: reqwest::Client::builder().no_proxy().build()?, process })
    }

    async fn asked(&self, what: &str, wish: Value) -> String {
        let answer = self.http.post(format!("{}/test/{what}", self.issuer)).body(wish.to_string()).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// A token that the provider itself gives to one of its clients.
    async fn given(&self, client: &str) -> String {
        let form = "grant_type=client_credentials&resource=https%3A%2F%2Fapi.example";
        let request = self.http.post(format!("{}/token", self.issuer)).basic_auth(client, Some(format!("{client}-secret")));
        let answer = request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }
}

/// Names the provider in the site's configuration.
async fn vouched_for(site: &mut Site, issuer: &str, audience: &str) -> Result<()> {
    site.stop().await?;
    let mut config: toml::Table = std::fs::read_to_string(site.config())?.parse()?;
    let auth = config.get_mut("auth").and_then(toml::Value::as_table_mut).context("[auth]")?;
    auth.insert("oidc".into(), toml::Table::from_iter([("issuer".into(), issuer.into()), ("audience".into(), audience.into())]).into());
    std::fs::write(site.config(), config.to_string())?;
    site.restart().await
}

async fn get(site: &Site, url: &str, token: &str) -> (u16, Value, bool) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = url.replace("{inbox}", &site.client.inbox).replace("{gateway}", &site.client.gateway).replace("{ops}", &site.client.ops);
    let answer = client.get(url).bearer_auth(token).send().await.unwrap();
    let (status, again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    (status, answer.json().await.unwrap_or_default(), again)
}

async fn status(site: &Site, token: &str) -> u16 {
    get(site, "{inbox}/v1/me", token).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_of_a_provider_sign_in_and_nothing_else_that_looks_like_them() {
    let mut provider = Provider::start().await.unwrap();
    let mut site = Site::start(Options::of_events(LogChoice::Embedded)).await.unwrap();
    vouched_for(&mut site, &provider.issuer, "oneknock").await.unwrap();

    // Roles and scopes are the provider's word.
    let worker = provider.given("worker").await;
    let (code, me, _) = get(&site, "{inbox}/v1/me", &worker).await;
    assert_eq!((code, &me["name"], &me["role"], &me["grids"]), (200, &json!("w-oidc"), &json!("worker"), &json!(["g1"])));
    let (_, me, _) = get(&site, "{inbox}/v1/me", &provider.given("supervisor").await).await;
    assert_eq!((&me["role"], &me["areas"]), (&json!("supervisor"), &json!(["330107"])));
    assert_eq!(get(&site, "{gateway}/v1/events/x", &provider.given("source").await).await.0, 404);
    assert_eq!(get(&site, "{gateway}/v1/events/x", &worker).await.0, 403);
    assert_eq!(get(&site, "{ops}/v1/topics", &provider.given("ops").await).await.0, 200);
    assert_eq!(get(&site, "{ops}/v1/topics", &worker).await.0, 403);
    // The log itself is for tokens.json alone.
    assert_eq!(get(&site, "{ops}/log/topics", &provider.given("ops").await).await.0, 401);
    assert_eq!(status(&site, site.client.token("workers").unwrap()).await, 200, "tokens.json goes on");

    for (what, wish, expected) in [
        ("as it should be", json!({}), 200),
        ("just ended, by clocks that differ", json!({"offsets": {"exp": -30}}), 200),
        ("ended", json!({"offsets": {"exp": -120}}), 401),
        ("without an end", json!({"without": ["exp"]}), 401),
        ("almost valid, by clocks that differ", json!({"offsets": {"nbf": 30}}), 200),
        ("not yet valid", json!({"offsets": {"nbf": 120}}), 401),
        ("for somebody else", json!({"claims": {"aud": "elsewhere"}}), 401),
        ("for nobody", json!({"without": ["aud"]}), 401),
        ("of another issuer", json!({"claims": {"iss": "https://elsewhere.example"}}), 401),
        ("of no issuer", json!({"without": ["iss"]}), 401),
        ("unsigned", json!({"alg": "none"}), 401),
        ("signed with the public key as a secret", json!({"alg": "HS256"}), 401),
        ("signed with somebody's own key under a known name", json!({"own": true}), 401),
        ("of no role", json!({"without": ["oneknock_role"]}), 401),
        ("of a role that there is not", json!({"claims": {"oneknock_role": "king"}}), 401),
        ("of a name that breaks lines", json!({"claims": {"oneknock_name": "a\nb"}}), 401),
    ] {
        let token = provider.asked("sign", wish).await;
        assert_eq!(status(&site, &token).await, expected, "a token {what}");
    }
    let (head, tail) = worker.split_at(worker.len() / 2);
    let altered = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    assert_eq!(status(&site, &altered).await, 401);

    // However many name a key that nobody knows, the provider is asked once in a while.
    let unknown = provider.asked("sign", json!({"own": true, "kid": "of-nobody"})).await;
    let before: u32 = provider.asked("fetches", json!({})).await.parse().unwrap();
    for _ in 0..40 {
        assert_eq!(status(&site, &unknown).await, 401);
    }
    let after: u32 = provider.asked("fetches", json!({})).await.parse().unwrap();
    assert!(after - before <= 4, "asked {} times for 40 tokens", after - before);

    // Keys turn over, also to another algorithm: the new one is found out, the old one goes on.
    provider.asked("rotate", json!({"alg": "ES256"})).await;
    let newer = provider.given("worker").await;
    until("the new key", PATIENCE, async || {
        assert_eq!(status(&site, &worker).await, 200, "a token of the key before");
        Ok(if status(&site, &newer).await == 200 { Ok(()) } else { Err("not known yet".to_owned()) })
    })
    .await
    .unwrap();

    // The provider is away: who is known goes on, who might be somebody is asked to come again.
    provider.process.kill().await.unwrap();
    until("the provider's absence", PATIENCE, async || {
        assert_eq!([status(&site, &worker).await, status(&site, &newer).await], [200, 200]);
        let (code, _, again) = get(&site, "{inbox}/v1/me", &unknown).await;
        Ok(if (code, again) == (503, true) { Ok(()) } else { Err(format!("{code}")) })
    })
    .await
    .unwrap();
    assert_eq!(get(&site, "{gateway}/v1/events/x", &unknown).await.0, 503);
    assert_eq!(get(&site, "{ops}/v1/topics", &unknown).await.0, 503);

    // The null control: a site that tokens are not for takes none of them.
    let provider = Provider::start().await.unwrap();
    vouched_for(&mut site, &provider.issuer, "another-site").await.unwrap();
    assert_eq!(status(&site, &provider.given("worker").await).await, 401);
}
