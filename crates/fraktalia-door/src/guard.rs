//! What a request has to bring before anything is done with it.

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use fraktalia_model::manifest::ApiScope;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::Instant;

use crate::door::Door;
use crate::problem::{MEDIA_TYPE, Problem};
use crate::tokens::Holder;

/// Longest idempotency key, in characters.
const LONGEST_KEY: usize = 255;

/// Who asks: a token that counts now, and has asked no more often than it may.
pub(crate) struct Caller(pub Holder);

impl FromRequestParts<Door> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let challenge = |detail: &str, error: &str| {
            let value = format!("Bearer realm=\"fraktalia\"{error}");
            Problem::unauthorized(detail).header(header::WWW_AUTHENTICATE, &value)
        };
        let Some(shown) = bearer(&parts.headers) else {
            return Err(challenge("send one: `Authorization: Bearer TOKEN`", ""));
        };
        let Some(holder) = door.holder(shown) else {
            return Err(challenge("this token is not known", ", error=\"invalid_token\""));
        };
        if door.now() >= holder.expires {
            let error = ", error=\"invalid_token\", error_description=\"expired\"";
            return Err(challenge("this token has expired", error));
        }
        door.take(&holder, Instant::now()).map_err(|wait| {
            let text = format!("this token may ask {} times in a minute; wait {wait} s", holder.per_minute);
            Problem::too_many(text).retry_after(wait)
        })?;
        accepts_json(&parts.headers)?;
        Ok(Self(holder))
    }
}

impl Caller {
    /// Only for tokens that may do one of these.
    pub(crate) fn only(&self, scopes: &[(ApiScope, &str)]) -> Result<(), Problem> {
        if scopes.iter().any(|(scope, _)| self.0.may(*scope)) {
            return Ok(());
        }
        let words: Vec<&str> = scopes.iter().map(|(_, word)| *word).collect();
        let challenge = format!(
            "Bearer realm=\"fraktalia\", error=\"insufficient_scope\", scope=\"{}\"",
            words.join(" ")
        );
        let text = format!("this needs a token with the scope {}", words.join(" or "));
        Err(Problem::forbidden(text).header(header::WWW_AUTHENTICATE, &challenge))
    }
}

/// The token of a request; of two headers neither counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Answers are JSON; who accepts nothing of the kind is told so.
fn accepts_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.as_bytes().split(|c| *c == b','))
        .peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    let fits = |range: &[u8]| {
        let range = String::from_utf8_lossy(range).to_ascii_lowercase();
        let (kind, parameters) = range.split_once(';').unwrap_or((&range, ""));
        let refused = parameters.split(';').any(|parameter| {
            let quality = parameter.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
            quality.is_some_and(|quality| quality <= 0.0)
        });
        !refused && matches!(kind.trim(), "*/*" | "application/*" | "application/json" | "" | MEDIA_TYPE)
    };
    if ranges.any(fits) {
        Ok(())
    } else {
        Err(Problem::not_acceptable("send `Accept: application/json`, or none"))
    }
}

/// The idempotency key of a request.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value
        .to_str()
        .ok()
        .filter(|text| (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.into())),
        _ => {
            let text =
                format!("`Idempotency-Key` is sent once, with 1 to {LONGEST_KEY} visible ASCII characters");
            Err(Problem::bad_request(text))
        }
    }
}

/// The body of a request, within bounds of size and time.
pub(crate) async fn read(door: &Door, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let settings = door.settings();
    let too_large = || {
        Problem::too_large(format!("a body has at most {} bytes", settings.body))
            // What is still to come is not read.
            .header(header::CONNECTION, "close")
    };
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > settings.body) {
        return Err(too_large());
    }
    let whole = Limited::new(body, settings.body).collect();
    match tokio::time::timeout(settings.body_time, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => {
            Err(Problem::bad_request("the body ended before its end").header(header::CONNECTION, "close"))
        }
        Err(_) => {
            let text = format!("the body did not come within {} s", settings.body_time.as_secs());
            Err(Problem::timeout(text).header(header::CONNECTION, "close"))
        }
    }
}
