//! Sign-in by access tokens of an OpenID provider (RFC 9068): discovery, its keys, and what a token's claims make of its holder.
//!
//! Must not know HTTP or the network: how a document is fetched is handed in. Keys that are known go on working while the provider is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{Actor, Role, Scope, SourceKind};
use futures::future::BoxFuture;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::RwLock;
use serde::Deserialize;

/// How far the provider's clock and ours may be apart, in seconds.
const SKEW_SECONDS: u64 = 60;
/// The provider is asked for its keys again at most so often, however many tokens name keys that are not known.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// Fetches a document by its address; the error is one line for operators.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The token is nobody's.
    Unknown,
    /// It may be somebody's: who vouches for it cannot be asked now.
    Away,
}

/// An OpenID provider.
pub struct Oidc {
    issuer: String,
    audience: String,
    fetch: Fetch,
    known: RwLock<HashMap<String, Key>>,
    asked: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    oneknock_role: String,
    #[serde(default)]
    oneknock_name: Option<String>,
    #[serde(default)]
    oneknock_grids: Vec<String>,
    #[serde(default)]
    oneknock_areas: Vec<String>,
    #[serde(default)]
    oneknock_kinds: Vec<String>,
}

impl Claims {
    /// Deny by default: a role that is not one of ours is nobody.
    fn actor(self) -> Option<Actor> {
        let role = match self.oneknock_role.as_str() {
            "source" => Role::Source { kinds: self.oneknock_kinds.iter().filter_map(|kind| SourceKind::parse(kind)).collect() },
            "worker" => Role::Worker { grids: Scope::from_list(&self.oneknock_grids) },
            "supervisor" => Role::Supervisor { areas: Scope::from_list(&self.oneknock_areas) },
            "ops" => Role::Ops,
            "admin" => Role::Admin,
            "auditor" => Role::Auditor,
            "signer" => Role::Signer,
            _ => return None,
        };
        let name = self.oneknock_name.unwrap_or(self.sub);
        (!name.is_empty() && !name.chars().any(char::is_control)).then_some(Actor { name, role })
    }
}

impl Oidc {
    /// Asks nothing yet.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, fetch: Fetch) -> Self {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Self { issuer, audience, fetch, known: RwLock::default(), asked: tokio::sync::Mutex::default() }
    }

    /// Whose access token this is.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn actor(&self, token: &str) -> Result<Arc<Actor>, Denied> {
        let header = decode_header(token).map_err(|_| Denied::Unknown)?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(Denied::Unknown);
        }
        let kid = header.kid.ok_or(Denied::Unknown)?;
        let key = match self.key(&kid) {
            Some(key) => key,
            None => {
                self.refresh(&kid).await?;
                self.key(&kid).ok_or(Denied::Unknown)?
            }
        };
        // The key says by what it signs, not the token.
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = SKEW_SECONDS;
        let claims = decode::<Claims>(token, &key.key, &validation).map_err(|_| Denied::Unknown)?.claims;
        claims.actor().map(Arc::new).ok_or(Denied::Unknown)
    }

    fn key(&self, kid: &str) -> Option<Key> {
        self.known.read().get(kid).cloned()
    }

    /// Asks for the provider's keys, unless it was asked a moment ago.
    async fn refresh(&self, kid: &str) -> Result<(), Denied> {
        let mut asked = self.asked.lock().await;
        if self.known.read().contains_key(kid) {
            return Ok(());
        }
        if let Some((at, was_there)) = *asked
            && at.elapsed() < REFRESH_AT_MOST_EVERY
        {
            return if was_there { Ok(()) } else { Err(Denied::Away) };
        }
        let fetched = self.fetched().await;
        *asked = Some((Instant::now(), fetched.is_ok()));
        match fetched {
            Ok(keys) => {
                *self.known.write() = keys;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "the sign-in provider cannot be asked for its keys; those that are known go on working");
                Err(Denied::Away)
            }
        }
    }

    async fn fetched(&self) -> Result<HashMap<String, Key>, String> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = serde_json::from_str(&(self.fetch)(at).await?).map_err(|_| "its discovery document is none")?;
        if discovery.issuer != self.issuer {
            return Err("its discovery document names another issuer than [auth.oidc] does".to_owned());
        }
        let set: JwkSet = serde_json::from_str(&(self.fetch)(discovery.jwks_uri).await?).map_err(|_| "its keys are no JWK set")?;
        let keys = set.keys.iter().filter_map(|jwk| {
            let algorithm = match &jwk.algorithm {
                AlgorithmParameters::RSA(_) => Algorithm::RS256,
                AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
                _ => return None,
            };
            Some((jwk.common.key_id.clone()?, Key { algorithm, key: DecodingKey::from_jwk(jwk).ok()? }))
        });
        Ok(keys.collect())
    }
}
