//! The OpenID provider of `[auth.oidc]`: how its documents are fetched. What they mean is `keys::Oidc`'s.

use crate::config::OidcConfig;
use crate::failure::Failure;
use anyhow::Context;
use futures::FutureExt;
use keys::Oidc;
use std::sync::Arc;
use std::time::Duration;

/// How long a document may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Asks nothing yet: the provider may be away while a site starts.
pub fn provider(config: &OidcConfig) -> Result<Oidc, Failure> {
    let client = reqwest::Client::builder().timeout(WITHIN).build().context("a client for the sign-in provider")?;
    let fetch = move |url: String| {
        let client = client.clone();
        async move {
            let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
            let answer = answer.map_err(|error| error.without_url().to_string())?;
            answer.text().await.map_err(|error| error.without_url().to_string())
        }
        .boxed()
    };
    Ok(Oidc::new(&config.issuer, &config.audience, Arc::new(fetch)))
}
