//! What the systems hold, in a form that can be compared.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fraktalia_testkit::generate::SOMEBODY;
use serde_json::{Value as Json, json};

use crate::stage::{Stage, members};

/// Keys that say who did something when, and are another in every run.
const OF_THE_RUN: [&str; 3] = ["run", "step", "io.fraktalia.run"];

/// All that the systems hold.
pub fn whole(stage: &Stage) -> Json {
    let engine = stage.docker.world();
    let networks: BTreeMap<&str, Json> = engine
        .networks
        .values()
        .map(|network| (network.name.as_str(), without_defaults(&network.request)))
        .collect();
    let images: BTreeMap<&String, _> =
        engine.images.iter().map(|(id, image)| (id, (&image.tags, &image.labels))).collect();
    let containers: BTreeMap<&str, &Json> =
        engine.containers.values().map(|one| (one.name.as_str(), &one.request)).collect();
    let here = stage.dir.path().display().to_string();
    let config = std::fs::read_to_string(stage.config()).unwrap_or_default();
    let mut whole = json!({
        "matrix": matrix(&stage.synapse.snapshot()),
        "networks": networks,
        "images": images,
        "containers": containers,
        "plane": stage.helper.config(),
        "openclaw": config.replace(&here, "HERE").replace(&stage.synapse.base_url(), "HOMESERVER").lines().collect::<Vec<_>>(),
        "gateway": stage.gateway.as_ref().map(|gateway| gateway.applied() == config),
        "files": files(&stage.agents()),
    });
    settle(&mut whole);
    whole
}

/// What is not ours, by the ids that the systems gave it: not a byte of it may change.
pub fn by_hand(stage: &Stage, world: &Json) -> Json {
    let synapse = stage.synapse.snapshot();
    let is_theirs =
        |creator: &Json| creator.as_str().is_some_and(|id| id.starts_with(&format!("@{SOMEBODY}:")));
    let rooms: BTreeMap<&str, &Json> =
        members(&synapse["rooms"]).filter(|(_, room)| is_theirs(&room["creator"])).collect();
    let engine = stage.docker.world();
    let ids = |marks: &[&str]| -> Vec<String> {
        let networks = engine.networks.iter().filter(|(_, network)| marks.contains(&network.name.as_str()));
        networks.map(|(id, network)| format!("{id} {}", network.request)).collect()
    };
    let networks = ids(&members(&world["networks"]).map(|(name, _)| name).collect::<Vec<_>>());
    let containers: BTreeMap<&String, &Json> =
        engine.containers.iter().map(|(id, one)| (id, &one.request)).collect();
    let config = std::fs::read_to_string(stage.config()).unwrap_or_default();
    let lines: Vec<&str> = config.lines().filter(|line| line.contains("by hand")).collect();
    let memories: BTreeMap<String, Json> =
        files(&stage.agents()).into_iter().filter(|(path, _)| path.ends_with("MEMORY.md")).collect();
    json!({ "rooms": rooms, "networks": networks, "containers": containers, "lines": lines, "files": memories })
}

/// What a request does not ask for is as good as asked for in the negative.
fn without_defaults(request: &Json) -> Json {
    let mut request = request.clone();
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != false);
    }
    request
}

fn matrix(world: &Json) -> Json {
    let mut world = world.clone();
    for room in world["rooms"].as_object_mut().into_iter().flatten().map(|(_, room)| room) {
        let Some(state) = room["state"].as_object_mut() else { continue };
        state.values_mut().for_each(settle);
        // State cannot be removed: what was set and is set back is there, and says nothing.
        state.retain(|kind, content| !says_nothing(kind, content));
    }
    for user in world["users"].as_object_mut().into_iter().flatten().map(|(_, user)| user) {
        for id in user["external_ids"].as_array_mut().into_iter().flatten() {
            id["external_id"] = without_run(id["external_id"].as_str().unwrap_or_default()).into();
        }
    }
    world
}

/// `home/(run)/(step)/ana` without what is another in every run.
fn without_run(mark: &str) -> String {
    let parts: Vec<&str> = mark.split('/').collect();
    match parts.as_slice() {
        [realm, _run, _step, name] => format!("{realm}/{name}"),
        _ => mark.to_owned(),
    }
}

fn says_nothing(kind: &str, content: &Json) -> bool {
    let empty = content.as_object().is_none_or(|fields| fields.values().all(|value| *value == ""));
    empty || (kind.starts_with("m.room.member/") && content["membership"] == "leave")
}

fn settle(content: &mut Json) {
    if let Some(items) = content.as_array_mut() {
        items.iter_mut().for_each(settle);
    }
    if let Some(fields) = content.as_object_mut() {
        fields.retain(|key, _| !OF_THE_RUN.contains(&key.as_str()));
        fields.values_mut().for_each(settle);
    }
}

fn files(root: &Path) -> BTreeMap<String, Json> {
    let mut all = BTreeMap::new();
    collect(root, root, &mut all);
    all
}

fn collect(root: &Path, path: &Path, all: &mut BTreeMap<String, Json>) {
    let Ok(stat) = std::fs::symlink_metadata(path) else { return };
    let text = if stat.is_file() { std::fs::read_to_string(path).ok() } else { None };
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    all.insert(name, json!([format!("{:o}", stat.permissions().mode()), text]));
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        collect(root, &entry.path(), all);
    }
}

/// The same with names in the place of the ids of rooms.
pub fn named(world: &Json) -> Json {
    let names = names(world);
    let replaced = |text: String| names.iter().fold(text, |text, (id, name)| text.replace(id, name));
    let rooms = members(&world["matrix"]["rooms"]);
    // As a list, since rooms that lost their alias may share a name.
    let mut rooms: Vec<String> = rooms.map(|(id, room)| replaced(json!([id, room]).to_string())).collect();
    rooms.sort();
    let mut rest = world.clone();
    rest["matrix"]["rooms"] = Json::Null;
    let mut all: Json = serde_json::from_str(&replaced(rest.to_string())).expect("names are plain");
    let rooms = rooms.iter().map(|room| serde_json::from_str::<Json>(room).expect("names are plain"));
    all["matrix"]["rooms"] = rooms.collect();
    all
}

/// Ids of rooms and what to call them; longer ids first, since one may be the beginning of another.
fn names(world: &Json) -> Vec<(String, String)> {
    let aliases: BTreeMap<&str, &str> = members(&world["matrix"]["aliases"])
        .filter_map(|(alias, room)| Some((room.as_str()?, alias)))
        .collect();
    let name = |(id, room): (&str, &Json)| {
        let state = &room["state"];
        let owner = state["m.room.create/"]["io.fraktalia.owner"]["resource"].as_str();
        let known = aliases.get(id).copied().or(owner).or_else(|| state["m.room.name/"]["name"].as_str());
        let plain: String = known.unwrap_or_default().chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        (id.to_owned(), format!("({plain})"))
    };
    let mut names: Vec<_> = members(&world["matrix"]["rooms"]).map(name).collect();
    names.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
    names
}

/// Where two snapshots differ, a line each.
pub fn differences(was: &Json, is: &Json) -> Vec<String> {
    let mut all = Vec::new();
    compare("", was, is, &mut all);
    all
}

fn compare(way: &str, was: &Json, is: &Json, all: &mut Vec<String>) {
    match (was, is) {
        (Json::Object(left), Json::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                compare(&format!("{way}/{key}"), &was[key], &is[key], all);
            }
        }
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{way}/{at}"), left, right, all);
            }
        }
        _ if was == is => {}
        _ => all.push(format!("{way}: {was} became {is}")),
    }
}
