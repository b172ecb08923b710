//! The gateway.

use super::Lowering;
use crate::manifest::raw::{self, Text};
use crate::manifest::{Gateway, OpenClaw, text};

impl Lowering<'_> {
    pub(super) fn openclaw(&mut self, raw: &raw::OpenClaw) -> Option<OpenClaw> {
        let config = self.path(&raw.config);
        let workspaces = match &raw.workspaces {
            Some(text) => self.path(text),
            None => config.parent()?.join("workspaces"),
        };
        if let Some(agent) = &raw.catch_all {
            self.check_agent_id(agent);
        }
        Some(OpenClaw {
            at: self.span(raw.at),
            cli: raw.cli.as_ref().map(|cli| self.program(cli)),
            gateway: raw.gateway.as_ref().map(|gateway| self.gateway(gateway)),
            catch_all: raw.catch_all.as_ref().map(|agent| agent.value.clone()),
            dialect: raw.dialect.map(|word| word.0),
            config,
            workspaces,
        })
    }

    /// A program: a bare name is looked for on `PATH`, anything with a slash is a path.
    fn program(&mut self, text: &Text) -> std::path::PathBuf {
        if text.value.contains('/') || text.value.starts_with('~') || text.value.is_empty() {
            self.path(text)
        } else {
            text.value.clone().into()
        }
    }

    fn gateway(&mut self, raw: &raw::Gateway) -> Gateway {
        let url = raw.url.value.as_str();
        let rest = url.strip_prefix("ws://").or(url.strip_prefix("wss://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
            let message = format!("`{url}` is not the address of a gateway");
            let hint = "write `ws://127.0.0.1:18789`";
            self.findings.error("manifest.bad-url", raw.url.at, message, hint);
        }
        Gateway { url: url.into(), token: raw.token.as_ref().map(|token| self.secret(token)) }
    }

    pub(super) fn check_agent_id(&mut self, agent: &Text) {
        if !text::is_agent_id(&agent.value) {
            let message = format!("`{}` cannot be the id of an agent", agent.value);
            let hint =
                format!("use small letters, digits, `_` and `-`, at most 64: `{}`", text::slug(&agent.value));
            self.findings.error("manifest.bad-agent-id", agent.at, message, hint);
        }
    }
}
