//! A first look at an `openclaw.json` of which no manifest says anything yet.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::dialect::{self, Config};
use crate::document::Document;
use crate::error::FileError;
use crate::write;

/// Where a gateway listens when its file does not say so.
const USUAL_PORT: u64 = 18_789;
/// The variable that OpenClaw itself takes the gateway's token from.
const USUAL_TOKEN: &str = "OPENCLAW_GATEWAY_TOKEN";

/// What stands in it that a manifest says as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The file.
    pub path: PathBuf,
    /// Whose it is: the gateway's user and group.
    pub owner: (u32, u32),
    /// How many agents there are.
    pub agents: usize,
    /// The agent for all other rooms.
    pub catch_all: Option<String>,
    /// The gateway's Matrix user.
    pub bot: Option<String>,
    /// Base URL of the homeserver.
    pub homeserver: Option<String>,
    /// Where the gateway's WebSocket is.
    pub gateway: String,
    /// The environment variable that has the gateway's token.
    pub token_env: String,
}

/// Where OpenClaw looks for its file, in this order; `home` is the user's.
pub fn usual(home: Option<&Path>) -> Vec<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_home = home.map(|home| home.join(".openclaw/openclaw.json"));
    let of_state = named("OPENCLAW_STATE_DIR").map(|dir| dir.join("openclaw.json"));
    [named("OPENCLAW_CONFIG_PATH"), of_state, of_home].into_iter().flatten().collect()
}

/// Reads it.
///
/// # Errors
/// When it cannot be read, or is nothing that we could edit.
pub fn glance(path: &Path) -> Result<Glance, FileError> {
    let original = write::read(path)?;
    let (document, value) = Document::parse_with_value(&original.text)?;
    dialect::check(&document)?;
    let config = Config::read(&value);
    let matrix = &value["channels"]["matrix"];
    let said = |value: &Json| value.as_str().filter(|text| !text.starts_with('$')).map(ToOwned::to_owned);
    let catch_all = config.catch_all.and_then(|at| config.routes[at].as_ref()).map(|key| key.agent.clone());
    let port = value["gateway"]["port"].as_u64().filter(|port| *port <= 65_535).unwrap_or(USUAL_PORT);
    let token = value["gateway"]["auth"]["token"].as_str().unwrap_or_default();
    let variable = token.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    Ok(Glance {
        path: path.into(),
        owner: (original.uid, original.gid),
        agents: config.agents.len(),
        catch_all,
        bot: said(&matrix["userId"]),
        homeserver: said(&matrix["homeserver"]).map(|url| url.trim_end_matches('/').to_owned()),
        gateway: format!("ws://127.0.0.1:{port}"),
        token_env: variable.unwrap_or(USUAL_TOKEN).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_says_as_well_is_read_and_a_reference_is_not_taken_for_a_value() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("openclaw.json");
        let text = "{ gateway: { port: 19001, auth: { token: '${MY_TOKEN}' } }, // by hand\n\
                    agents: { entries: { Felix: {}, cook: {} } },\n\
                    bindings: [{ agentId: 'felix', match: { channel: 'matrix', accountId: '*' } }],\n\
                    channels: { matrix: { homeserver: 'http://127.0.0.1:8008/', userId: '${BOT}' } } }";
        std::fs::write(&path, text).expect("written");
        let found = glance(&path).expect("it can be read");
        assert_eq!(found.catch_all.as_deref(), Some("felix"));
        assert_eq!(found.homeserver.as_deref(), Some("http://127.0.0.1:8008"));
        assert_eq!((found.bot, found.agents), (None, 2));
        assert_eq!((&*found.gateway, &*found.token_env), ("ws://127.0.0.1:19001", "MY_TOKEN"));
    }
}
