//! Whether a homeserver is at a place, and which: asked without a token.

use std::time::Duration;

use serde_json::Value as Json;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer answers are not those of a homeserver.
const LIMIT: usize = 256 << 10;

/// A homeserver that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Its base URL.
    pub url: String,
    /// What it is called, where it says so.
    pub server_name: Option<String>,
}

/// Asks at `url`, without a slash at its end. `None` when no homeserver answers there.
pub async fn probe(url: &str) -> Option<Probed> {
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .ok()?;
    let versions = ask(&http, format!("{url}/_matrix/client/versions")).await?;
    versions["versions"].as_array()?;
    // Served where it speaks with other homeservers, which not every one does.
    let keys = ask(&http, format!("{url}/_matrix/key/v2/server")).await.unwrap_or_default();
    let server_name = keys["server_name"].as_str().map(ToOwned::to_owned);
    Some(Probed { url: url.into(), server_name })
}

async fn ask(http: &reqwest::Client, url: String) -> Option<Json> {
    let mut answer = http.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if body.len() + piece.len() > LIMIT {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).ok()
}
