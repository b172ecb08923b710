//! What the double knows about `openclaw.json`: far less than the real one, but nothing that it would not say.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Top-level keys that may be there. An unknown one makes the whole file invalid.
const SECTIONS: [&str; 14] = [
    "agents", "bindings", "channels", "gateway", "meta", "wizard", "plugins", "secrets", "models",
    "messages", "commands", "tools", "skills", "auth",
];
/// Keys of a Matrix group, in one release or another.
const GROUP: [&str; 9] = [
    "enabled",
    "allow",
    "autoReply",
    "requireMention",
    "users",
    "tools",
    "skills",
    "systemPrompt",
    "account",
];

/// A finding, as `config validate` and `config.get` say it.
pub(super) fn issue(path: &str, message: &str) -> Value {
    json!({"path": path, "message": message})
}

/// The file as JSON5.
pub(super) fn read(text: &str) -> Result<Value, Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = json5::from_str(text).map_err(|error| issue("", &error.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(issue("", "expected an object")) }
}

/// What is wrong with a configuration.
pub(super) fn issues(config: &Value) -> Vec<Value> {
    let mut issues = Vec::new();
    for key in config.as_object().into_iter().flatten().map(|(key, _)| key) {
        if !SECTIONS.contains(&key.as_str()) {
            issues.push(issue(key, "Unrecognized key"));
        }
    }
    let agents = agents(config, &mut issues);
    for (index, binding) in config["bindings"].as_array().into_iter().flatten().enumerate() {
        let agent = binding["agentId"].as_str().unwrap_or_default().to_ascii_lowercase();
        if !agents.contains(&agent) {
            issues
                .push(issue(&format!("bindings.{index}.agentId"), &format!("Unknown agent id \"{agent}\"")));
        }
    }
    for table in ["groups", "rooms"] {
        for (room, group) in config["channels"]["matrix"][table].as_object().into_iter().flatten() {
            let odd = group.as_object().into_iter().flatten().find(|(key, _)| !GROUP.contains(&key.as_str()));
            if let Some((key, _)) = odd {
                issues.push(issue(
                    &format!("channels.matrix.{table}.{room}"),
                    &format!("Unrecognized key: {key}"),
                ));
            }
        }
    }
    issues
}

fn agents(config: &Value, issues: &mut Vec<Value>) -> BTreeSet<String> {
    let table = &config["agents"];
    let mut ids = BTreeSet::new();
    if let Some(entries) = table.get("entries") {
        for (id, entry) in entries.as_object().into_iter().flatten() {
            ids.insert(id.to_ascii_lowercase());
            if entry.get("id").is_some() || !entry.is_object() {
                issues.push(issue(&format!("agents.entries.{id}"), "Invalid input"));
            }
        }
    } else {
        for (index, entry) in table["list"].as_array().into_iter().flatten().enumerate() {
            match entry["id"].as_str() {
                Some(id) if ids.insert(id.to_ascii_lowercase()) => {}
                _ => issues.push(issue(&format!("agents.list.{index}.id"), "missing or there twice")),
            }
        }
    }
    if ids.is_empty() {
        // Without a table there is the agent `main`.
        ids.insert("main".into());
    }
    ids
}

/// The file as OpenClaw itself would write it: plain JSON, the newer agent table, and a key of its own.
pub(super) fn rewritten(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(Value::Array(list)) =
        config["agents"].as_object_mut().and_then(|agents| agents.remove("list"))
    {
        let entries: Map<String, Value> = list
            .into_iter()
            .filter_map(|mut entry| {
                let id = entry.as_object_mut()?.remove("id")?.as_str()?.to_owned();
                Some((id, entry))
            })
            .collect();
        config["agents"]["entries"] = Value::Object(entries);
    }
    config["meta"]["lastTouchedVersion"] = json!("2026.9.6");
    format!("{config:#}\n")
}

/// The answer to `config.get`. Hashes are opaque to clients; these are of the text.
pub(super) fn answer(path: &Path, text: &str, issues: &[Value], applied: Option<&String>) -> Value {
    let mut parsed = read(text).unwrap_or_default();
    redact(&mut parsed);
    let mut answer = json!({
        "path": path,
        "exists": true,
        "parsed": parsed,
        "config": parsed,
        "valid": issues.is_empty(),
        "issues": issues,
        "hash": hash(text),
    });
    if let Some(applied) = applied {
        answer["configRevisionHash"] = hash(text).into();
        answer["appliedConfigHash"] = hash(applied).into();
    }
    answer
}

fn hash(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// Makes secrets unreadable, as the gateway does.
fn redact(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(members) => {
            for (key, value) in members {
                let secret = ["token", "password", "apikey", "secret_env"]
                    .iter()
                    .any(|word| key.to_lowercase().ends_with(word));
                if secret && value.is_string() {
                    *value = json!("__OPENCLAW_REDACTED__");
                } else {
                    redact(value);
                }
            }
        }
        _ => {}
    }
}
