//! Reads all that stands in the file, asked for or not. What may be a secret is left out.

use fraktalia_engine::ObserveError;
use fraktalia_model::RoomId;
use fraktalia_model::living::{Living, LivingAgent, LivingBinding, LivingGroup, LivingPeer, Other};
use serde_json::{Map, Value as Json};

use crate::dialect::{self, Config, Detected, Key, Peer};
use crate::diff::names_a_secret;
use crate::document::Document;
use crate::error::FileError;
use crate::system::OpenClaw;
use crate::write;

/// Longer texts of the file than this are not repeated to anybody.
const LONGEST: usize = 200;

/// See [`fraktalia_engine::Provider::discover`].
pub(crate) fn discover(openclaw: &OpenClaw) -> Result<Living, ObserveError> {
    Ok(read(openclaw)?)
}

fn read(openclaw: &OpenClaw) -> Result<Living, FileError> {
    let original = write::read(&openclaw.config)?;
    let (document, value) = Document::parse_with_value(&original.text)?;
    dialect::check(&document)?;
    drop(document);
    Ok(living(&value))
}

fn living(value: &Json) -> Living {
    let config = Config::read(value);
    let detected = dialect::detect(value);
    let table = detected.dialect().map(dialect::table);
    let agents = table.map(|table| table.agents(value)).unwrap_or_default();
    let mut living = Living {
        agents: agents.into_iter().map(|(id, entry)| agent(id, entry)).collect(),
        ..Living::default()
    };
    for (key, raw) in config.routes.iter().zip(dialect::bindings(value)) {
        living.bindings.push(binding(key.as_ref(), raw));
    }
    for room in config.groups() {
        let auto_reply = config.group(room).and_then(|group| group["autoReply"].as_bool());
        living.groups.push(LivingGroup { room: RoomId(room.into()), auto_reply });
    }
    let accounts = value["channels"]["matrix"]["accounts"].as_object();
    for name in accounts.into_iter().flat_map(Map::keys) {
        living.others.push(Other {
            kind: "account",
            name: short(name),
            why: "its access token is not one that fraktalia keeps".into(),
        });
    }
    if detected == Detected::Both {
        living.others.push(Other {
            kind: "table",
            name: "agents.list".into(),
            why: "there are `agents.entries` as well, and OpenClaw goes by those".into(),
        });
    }
    living
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).filter(|c| !c.is_control()).collect()
}

fn binding(key: Option<&Key>, raw: &Json) -> LivingBinding {
    let agent = || short(raw["agentId"].as_str().unwrap_or("?")).to_ascii_lowercase();
    match key {
        Some(key) => LivingBinding {
            agent: key.agent.clone(),
            account: key.route.account.clone(),
            peer: match &key.route.peer {
                Peer::Room(id) => LivingPeer::Room(RoomId(id.clone())),
                Peer::Direct(user) => LivingPeer::Direct(user.clone()),
                Peer::Any => LivingPeer::Any,
            },
        },
        None => LivingBinding { agent: agent(), account: None, peer: LivingPeer::Other(matched(raw)) },
    }
}

/// `telegram group -100123`
fn matched(raw: &Json) -> String {
    let found = &raw["match"];
    let words = [&found["channel"], &found["peer"]["kind"], &found["peer"]["id"]];
    let words: Vec<String> = words.iter().filter_map(|word| word.as_str()).map(short).collect();
    if words.is_empty() { "something unknown".into() } else { words.join(" ") }
}

fn agent(id: &str, entry: &Map<String, Json>) -> LivingAgent {
    let mut secret = Vec::new();
    let mut entry = without_secrets(entry, &mut Vec::new(), &mut secret);
    entry.remove("id");
    LivingAgent { id: short(id), entry, secret }
}

fn without_secrets<'e>(
    members: &'e Map<String, Json>,
    path: &mut Vec<&'e str>,
    secret: &mut Vec<String>,
) -> Map<String, Json> {
    let mut kept = Map::new();
    for (key, value) in members {
        path.push(key);
        let named = key == "env" || names_a_secret(key) || is_about_access(key);
        match value {
            Json::Number(_) | Json::Bool(_) | Json::Null => {
                kept.insert(key.clone(), value.clone());
            }
            Json::Object(inner) if !named && !inner.is_empty() => {
                let inner = without_secrets(inner, path, secret);
                if !inner.is_empty() {
                    kept.insert(key.clone(), Json::Object(inner));
                }
            }
            Json::String(text) if named && text.starts_with("${") && text.ends_with('}') => {
                kept.insert(key.clone(), value.clone());
            }
            _ if named || may_be_secret(value) => secret.push(path.join(".")),
            _ => {
                kept.insert(key.clone(), value.clone());
            }
        }
        path.pop();
    }
    kept
}

/// Further names of keys that secrets stand behind.
fn is_about_access(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["authorization", "credential", "cookie", "passphrase", "private", "bearer"]
        .iter()
        .any(|word| key.contains(word))
}

/// Whether a value, whatever it is called, may hold a secret. One too many is only not managed.
fn may_be_secret(value: &Json) -> bool {
    match value {
        Json::String(text) => looks_secret(text),
        Json::Array(items) => items.iter().any(|item| match item {
            Json::String(text) => looks_secret(text) || names_a_secret(text) || is_about_access(text),
            other => may_be_secret(other),
        }),
        Json::Object(members) => members.iter().any(|(key, value)| {
            key == "env"
                || (names_a_secret(key) && !value.is_number() && !value.is_boolean())
                || is_about_access(key)
                || may_be_secret(value)
        }),
        _ => false,
    }
}

fn looks_secret(text: &str) -> bool {
    const STARTS: [&str; 10] =
        ["sk-", "sk_", "ghp_", "gho_", "github_pat_", "glpat-", "xox", "syt_", "Bearer ", "AKIA"];
    if STARTS.iter().any(|start| text.starts_with(start)) || text.contains("-----BEGIN") {
        return true;
    }
    let login = text.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?']).next().is_some_and(|host| host.contains('@') && host.contains(':'))
    });
    let letters = text.bytes().filter(|byte| *byte != b'-').collect::<Vec<u8>>();
    let has = |is: fn(&u8) -> bool| letters.iter().any(is);
    let random = letters.len() >= 32
        && letters.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_+/=".contains(byte))
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !text.starts_with('/');
    login || random
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIST: &str = r"{
      agents: { list: [
        { id: 'Mox', name: 'Mox', model: 'a/b', maxTokens: 5, tools: { deny: ['browser'] },
          sandbox: { docker: { env: { KEY: 'hunter2-in-env' }, image: 'x' } },
          mcp: { url: 'http://me:hunter2@host/', headers: { Authorization: 'hunter2' }, args: ['--token', 'hunter2'] },
          apiKey: 'hunter2', accessToken: '${TOKEN}', id2: 'f3b1c9d2e8a74b60f3b1c9d2e8a74b60' },
      ] },
      bindings: [
        { agentId: 'Mox', match: { channel: 'matrix', peer: { kind: 'channel', id: '!r:x' } } },
        { agentId: 'mox', match: { channel: 'matrix', accountId: 'Work', peer: { kind: 'direct', id: '@ana:x' } } },
        { agentId: 'mox', match: { channel: 'telegram', peer: { kind: 'group', id: '-1' } } },
        { agentId: 'mox', match: { channel: 'matrix' } },
      ],
      channels: { matrix: { rooms: { '!r:x': { allow: true, autoReply: true } }, accounts: { work: { accessToken: 'hunter2' } } } },
    }";

    fn found() -> Living {
        living(&Document::parse_with_value(LIST).unwrap().1)
    }

    #[test]
    fn agents_bindings_and_rooms_of_the_older_shape_are_found() {
        let living = found();
        assert_eq!(living.agents[0].id, "Mox");
        assert_eq!(living.groups, [LivingGroup { room: RoomId("!r:x".into()), auto_reply: Some(true) }]);
        let peers: Vec<_> =
            living.bindings.iter().map(|one| (one.account.as_deref(), one.peer.clone())).collect();
        assert_eq!(
            peers,
            [
                (None, LivingPeer::Room(RoomId("!r:x".into()))),
                (Some("work"), LivingPeer::Direct("@ana:x".into())),
                (None, LivingPeer::Other("telegram group -1".into())),
                (None, LivingPeer::Any),
            ]
        );
    }

    #[test]
    fn no_secret_is_taken_along() {
        let living = found();
        assert!(!format!("{living:?}").contains("hunter2"), "{living:?}");
        let agent = &living.agents[0];
        let want = json!({"name": "Mox", "model": "a/b", "maxTokens": 5, "tools": {"deny": ["browser"]},
            "sandbox": {"docker": {"image": "x"}}, "accessToken": "${TOKEN}"});
        assert_eq!(Json::Object(agent.entry.clone()), want);
        let mut secret = agent.secret.clone();
        secret.sort();
        assert_eq!(
            secret,
            ["apiKey", "id2", "mcp.args", "mcp.headers.Authorization", "mcp.url", "sandbox.docker.env"]
        );
    }
}
