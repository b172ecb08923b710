//! What in the file nobody else should see, and what would let an agent out of its container.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fraktalia_engine::health::private::Eyes;
use fraktalia_engine::health::{Checklist, Cure, Standing, path_word};
use serde_json::Value as Json;

use crate::dialect::{self, Config};
use crate::diff::names_a_secret;

/// More places help nobody.
const SHOWN: usize = 4;

pub(super) fn examine(list: &Checklist, path: &Path, config: &Json) {
    let mut literal = Vec::new();
    literals(config, &mut Vec::new(), &mut literal);
    readers(list, path, !literal.is_empty());
    if !literal.is_empty() {
        let text = format!("written out in so many words: {}", some(&literal));
        let cure = "write ${NAME} there and give the gateway's service that variable, or refer to a file by `secrets.providers`";
        list.note(list.warning("openclaw.literal-token", "secrets in it", text).cure(Cure::edit(cure)));
    }
    outlets(list, config);
}

/// Who may read the file.
fn readers(list: &Checklist, path: &Path, secrets: bool) {
    let (code, title) = ("openclaw.readers", "readers");
    let Ok(meta) = fs::metadata(path) else { return };
    let mode = meta.mode() & 0o777;
    let (standing, who) = match Eyes::of(mode) {
        Eyes::Owner => return list.ok(code, title, "its owner alone"),
        // A gateway that is another user reads it by its group.
        Eyes::Group => return list.ok(code, title, format!("its owner and group {}", meta.gid())),
        Eyes::All if secrets => (Standing::Failure, "everybody on this machine can read it, secrets and all"),
        Eyes::All => (Standing::Warning, "everybody on this machine can read it"),
    };
    let check = list.check(standing, code, title, format!("mode {mode:04o}: {who}"));
    list.note(check.cure(Cure::run(format!("chmod o= {}", path_word(path)))));
}

/// The places of secrets that stand in the file themselves, and not by reference.
fn literals(value: &Json, path: &mut Vec<String>, found: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                path.push(key.clone());
                if names_a_secret(key) && value.as_str().is_some_and(is_literal) {
                    found.push(path.join("."));
                }
                literals(value, path, found);
                path.pop();
            }
        }
        Json::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                path.push(index.to_string());
                literals(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether a text is a secret, and neither a reference nor the absence of one.
fn is_literal(text: &str) -> bool {
    !(text.is_empty() || text.starts_with('$') || text == "none")
}

fn some(places: &[String]) -> String {
    let more = places.len().saturating_sub(SHOWN);
    let shown = places[..places.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Sandbox settings that hand an agent the host.
fn outlets(list: &Checklist, config: &Json) {
    let (code, title) = ("openclaw.sandboxes", "sandboxes");
    let found = Config::read(config);
    let defaults = ("agents.defaults".to_owned(), &config["agents"]["defaults"]["sandbox"]["docker"]);
    let of_agents = found
        .agents
        .iter()
        .filter_map(|(id, entry)| Some((format!("agent `{id}`"), entry.get("sandbox")?.get("docker")?)));
    let mut all: Vec<_> = std::iter::once(defaults).chain(of_agents).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let mut fine = true;
    for (who, docker) in all {
        for why in outlet(docker) {
            let cure = Cure::edit(
                "take it out of openclaw.json: with it, a prompt is enough to take this machine over",
            );
            list.note(list.failure(code, title, format!("{who} {why}")).cure(cure));
            fine = false;
        }
    }
    if fine && dialect::detect(config).dialect().is_some() {
        list.ok(code, title, "none of them has the host's network or its Docker socket");
    }
}

fn outlet(docker: &Json) -> Vec<&'static str> {
    let mut found = Vec::new();
    if docker["network"] == "host" {
        found.push("has the host's own network (`sandbox.docker.network: host`)");
    }
    let binds = docker["binds"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let from: Vec<&str> = binds.map(|bind| bind.split(':').next().unwrap_or(bind)).collect();
    if from.iter().any(|path| path.ends_with("docker.sock") || ["/run", "/var/run"].contains(path)) {
        found.push("has the Docker socket (`sandbox.docker.binds`), and with it root on this machine");
    }
    if from.contains(&"/") {
        found.push("has the whole disk (`sandbox.docker.binds`)");
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_by_place_and_never_named() {
        let config = json!({
            "channels": {"matrix": {"accessToken": "syt_secret", "accounts": {"cook": {"accessToken": {"source": "file"}}}}},
            "gateway": {"auth": {"mode": "token", "token": "${TOKEN}"}},
            "models": {"providers": {"one": {"apiKey": "sk-secret", "models": [{"id": "x", "maxTokens": 4096}]}}},
        });
        let mut found = Vec::new();
        literals(&config, &mut Vec::new(), &mut found);
        assert_eq!(found, ["channels.matrix.accessToken", "models.providers.one.apiKey"]);
    }

    #[test]
    fn what_hands_an_agent_the_host_is_told_from_what_does_not() {
        assert_eq!(outlet(&json!({"network": "garden-net", "binds": ["/srv/seeds:/seeds:ro"]})), [""; 0]);
        assert_eq!(outlet(&json!({"network": "host"})).len(), 1);
        assert_eq!(outlet(&json!({"binds": ["/var/run/docker.sock:/var/run/docker.sock"]})).len(), 1);
        assert_eq!(outlet(&json!({"binds": ["/:/host"]})).len(), 1);
    }
}
