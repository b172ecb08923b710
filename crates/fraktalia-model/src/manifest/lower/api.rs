//! The Fractal API: where it listens, and whose tokens count.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::Lowering;
use crate::manifest::{Api, ApiToken, raw, text};
use crate::note::Note;

/// Where it listens when nothing is said: this machine only.
const LISTEN: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 8787);
/// Requests in a minute of one token.
const PER_MINUTE: u32 = 60;

impl Lowering<'_> {
    pub(super) fn api(&mut self, raw: &raw::Api) -> Api {
        if raw.tokens.0.is_empty() && !self.findings.damaged {
            let message = "nobody could use the API: it has no tokens";
            let hint =
                "add `tokens: { ci: { token: { file: ... }, scopes: [propose], expires: 2027-01-31 } }`";
            self.findings.error("manifest.no-tokens", raw.at, message, hint);
        }
        let tokens: BTreeMap<String, ApiToken> = raw
            .tokens
            .iter()
            .map(|(name, token)| (name.value.clone(), self.api_token(name, token)))
            .collect();
        Api { at: self.span(raw.at), listen: self.listen(raw.listen.as_ref()), tokens }
    }

    fn listen(&mut self, written: Option<&raw::Text>) -> SocketAddr {
        let Some(written) = written else { return LISTEN.into() };
        let Ok(listen) = written.value.parse::<SocketAddr>() else {
            let message = format!("`{}` is not an address with a port", written.value);
            self.findings.error("manifest.bad-address", written.at, message, "write `127.0.0.1:8787`");
            return LISTEN.into();
        };
        if !listen.ip().is_loopback() {
            let text =
                format!("the API is reached from other machines at {listen}, and speaks HTTP without TLS");
            let note = Note::warning("manifest.api-not-loopback", text)
                .at(&self.span(written.at))
                .hint("listen on 127.0.0.1, and let a proxy with TLS lead there");
            self.findings.push(Some(written.at), note);
        }
        listen
    }

    fn api_token(&mut self, name: &raw::Text, raw: &raw::ApiToken) -> ApiToken {
        if !text::is_key(&name.value) {
            let message = format!("`{}` cannot be the name of a token", name.value);
            let hint = format!("use letters, digits, `_`, `-` and `.`: `{}`", text::slug(&name.value));
            self.findings.error("manifest.bad-name", name.at, message, hint);
        }
        if raw.scopes.is_empty() {
            let message = format!("the token `{}` may do nothing", name.value);
            self.findings.error("manifest.no-scopes", name.at, message, "add `scopes: [read, propose]`");
        }
        let expires = text::end(&raw.expires.value);
        if expires.is_none() {
            let message = format!("`{}` is neither a date nor a time", raw.expires.value);
            let hint = "write `2027-01-31` or `2027-01-31T18:00:00Z`";
            self.findings.error("manifest.bad-time", raw.expires.at, message, hint);
        }
        if let Some(none) = raw.per_minute.as_ref().filter(|number| number.value == 0) {
            let message = "with no request in a minute the token is of no use";
            self.findings.error(
                "manifest.bad-limit",
                none.at,
                message,
                "write 1 or more, or leave the token away",
            );
        }
        ApiToken {
            at: self.span(name.at),
            token: self.secret(&raw.token),
            scopes: raw.scopes.iter().map(|word| word.0).collect(),
            expires_ms: expires.unwrap_or(0),
            per_minute: raw.per_minute.as_ref().map_or(PER_MINUTE, |number| number.value),
        }
    }
}
