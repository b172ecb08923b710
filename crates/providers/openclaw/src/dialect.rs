//! The shapes that `openclaw.json` has had over time. Everything above speaks of agents, bindings, groups and
//! accounts; only this module and its children know where they stand. A file is never converted.

mod entries;
mod list;

use std::collections::HashMap;

use fraktalia_model::manifest::Dialect;
use serde_json::{Map, Value as Json};

use crate::document::{Document, DocumentError, Step};

pub(crate) type Entry = Map<String, Json>;

/// Where the agents stand.
pub(crate) trait AgentTable: Send + Sync {
    /// Every agent with its id, in the order of the file. What has no id is left out.
    fn agents<'j>(&self, config: &'j Json) -> Vec<(&'j str, &'j Entry)>;
    /// Where the entry of an agent stands.
    fn locate<'p>(&self, document: &Document<'_>, id: &'p str) -> Option<Vec<Step<'p>>>;
    /// Adds an entry at the end. `entry` has no id in it.
    fn add(&self, document: &mut Document<'_>, id: &str, entry: Entry) -> Result<(), DocumentError>;
}

/// The table of a dialect.
pub(crate) fn table(dialect: Dialect) -> &'static dyn AgentTable {
    match dialect {
        Dialect::List => &list::List,
        Dialect::Entries => &entries::Entries,
    }
}

/// What the file itself says about its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// One table.
    Is(Dialect),
    /// Both tables: OpenClaw then goes by the entries.
    Both,
    /// No table, but the version that last wrote the file.
    WrittenBy(Dialect),
    /// Nothing to go by.
    Unknown,
}

impl Detected {
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Is(dialect) | Self::WrittenBy(dialect) => Some(dialect),
            Self::Both => Some(Dialect::Entries),
            Self::Unknown => None,
        }
    }
}

/// The dialect of a file, by its shape.
pub(crate) fn detect(config: &Json) -> Detected {
    let agents = &config["agents"];
    match (agents.get("entries"), agents.get("list")) {
        (Some(_), Some(_)) => Detected::Both,
        (Some(_), None) => Detected::Is(Dialect::Entries),
        (None, Some(_)) => Detected::Is(Dialect::List),
        (None, None) => config["meta"]["lastTouchedVersion"]
            .as_str()
            .and_then(of_version)
            .map_or(Detected::Unknown, Detected::WrittenBy),
    }
}

/// The dialect that a version writes: `2026.9.6`, `2026.8.0-beta.1`, `OpenClaw 2026.6.11 (abc)`.
pub(crate) fn of_version(text: &str) -> Option<Dialect> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split('.').map(|part| part.parse::<u32>().ok());
    let (year, month) = (numbers.next()??, numbers.next()??);
    Some(if (year, month) >= (2026, 8) { Dialect::Entries } else { Dialect::List })
}

/// `channels.matrix.groups`, or the older `rooms` where the file has only that or has the room there.
pub(crate) fn groups_key(config: &Json, room: &str) -> &'static str {
    let matrix = &config["channels"]["matrix"];
    let has = |key: &str| matrix[key].get(room).is_some();
    let only_rooms = matrix.get("groups").is_none() && matrix.get("rooms").is_some();
    if !has("groups") && (has("rooms") || only_rooms) { "rooms" } else { "groups" }
}

/// The word for "this group is on" that the group `room` itself uses.
pub(crate) fn own_enabled_key(config: &Json, table: &str, room: &str) -> Option<&'static str> {
    let group = config["channels"]["matrix"][table].get(room)?;
    if group.get("enabled").is_some() { Some("enabled") } else { group.get("allow").map(|_| "allow") }
}

/// The word for "this group is on" in a new group beside the others.
pub(crate) fn usual_enabled_key(config: &Json, table: &str) -> &'static str {
    let says = |key: &str| {
        let groups = config["channels"]["matrix"][table].as_object();
        groups.is_some_and(|groups| groups.values().any(|group| group.get(key).is_some()))
    };
    if says("allow") && !says("enabled") { "allow" } else { "enabled" }
}

/// What a binding routes, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Room(String),
    Direct(String),
    Any,
}

/// A binding of the Matrix channel, as far as it is one that we could have written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub account: Option<String>,
    pub peer: Peer,
}

/// A binding in short: the agent and what it hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub agent: String,
    pub route: Route,
}

impl Key {
    pub fn new(agent: &str, account: Option<&str>, peer: Peer) -> Self {
        let route = Route { account: account.map(str::to_ascii_lowercase), peer };
        Self { agent: agent.to_ascii_lowercase(), route }
    }

    /// Reads a binding. `None` for other channels and for matches that say more than we ever do.
    pub fn read(binding: &Json, dialect: Option<Dialect>) -> Option<Self> {
        let found = binding["match"].as_object()?;
        let known = ["channel", "accountId", "peer"];
        if found.get("channel")?.as_str()? != "matrix"
            || found.keys().any(|key| !known.contains(&key.as_str()))
        {
            return None;
        }
        let account = found.get("accountId").map(|id| id.as_str().ok_or(())).transpose().ok()?;
        let peer = match found.get("peer") {
            None | Some(Json::Null) => Peer::Any,
            Some(peer) => {
                let id = peer["id"].as_str()?.to_owned();
                match peer["kind"].as_str()? {
                    "channel" => Peer::Room(id),
                    // The older releases compare the kind strictly, and a Matrix room is a `channel`.
                    "group" if dialect != Some(Dialect::List) => Peer::Room(id),
                    "direct" | "dm" => Peer::Direct(id),
                    _ => return None,
                }
            }
        };
        Some(Self::new(binding["agentId"].as_str()?, account, peer))
    }

    /// As it is written.
    pub fn json(&self) -> Json {
        let mut matched = Entry::new();
        matched.insert("channel".into(), "matrix".into());
        if let Some(account) = &self.route.account {
            matched.insert("accountId".into(), account.as_str().into());
        }
        let peer = match &self.route.peer {
            Peer::Room(id) => Some(("channel", id)),
            Peer::Direct(id) => Some(("direct", id)),
            Peer::Any => None,
        };
        if let Some((kind, id)) = peer {
            matched.insert("peer".into(), serde_json::json!({"kind": kind, "id": id}));
        }
        serde_json::json!({"agentId": self.agent, "match": matched})
    }

    /// Whether it is a catch-all that stands in the way of what comes after it.
    pub fn is_catch_all(&self) -> bool {
        self.route.peer == Peer::Any
    }
}

/// A whole file, read for questions.
pub(crate) struct Config<'j> {
    pub value: &'j Json,
    pub agents: HashMap<String, &'j Entry>,
    pub routes: Vec<Option<Key>>,
    index: HashMap<Route, Vec<usize>>,
    pub catch_all: Option<usize>,
    /// Whether secrets in it were made unreadable.
    redacted: bool,
}

impl<'j> Config<'j> {
    /// Reads a file that [`check`] has found well-formed.
    pub fn read(value: &'j Json) -> Self {
        let dialect = detect(value).dialect();
        let agents = dialect.map(|dialect| table(dialect).agents(value)).unwrap_or_default();
        let routes: Vec<_> = bindings(value).iter().map(|binding| Key::read(binding, dialect)).collect();
        let mut index: HashMap<Route, Vec<usize>> = HashMap::new();
        for (at, key) in routes.iter().enumerate() {
            if let Some(key) = key {
                index.entry(key.route.clone()).or_default().push(at);
            }
        }
        Self {
            value,
            agents: agents.into_iter().map(|(id, entry)| (id.to_ascii_lowercase(), entry)).collect(),
            catch_all: routes.iter().position(|key| key.as_ref().is_some_and(Key::is_catch_all)),
            routes,
            index,
            redacted: false,
        }
    }

    /// Reads what the gateway says of a file: secrets in it are made unreadable.
    pub fn of_gateway(value: &'j Json) -> Self {
        Self { redacted: true, ..Self::read(value) }
    }

    /// Whether a value could be any, because it was made unreadable.
    pub fn hides(&self, value: &Json) -> bool {
        self.redacted && value == "__OPENCLAW_REDACTED__"
    }

    /// Where a binding stands.
    pub fn binding(&self, key: &Key) -> Option<usize> {
        self.on_route(&key.route).find(|at| self.routes[*at].as_ref() == Some(key))
    }

    /// The bindings that hear the same.
    pub fn on_route(&self, route: &Route) -> impl Iterator<Item = usize> + '_ {
        self.index.get(route).into_iter().flatten().copied()
    }

    /// The settings of a room.
    pub fn group(&self, room: &str) -> Option<&'j Json> {
        let matrix = &self.value["channels"]["matrix"];
        matrix[groups_key(self.value, room)].get(room)
    }

    /// An account.
    pub fn account(&self, name: &str) -> Option<&'j Json> {
        self.value["channels"]["matrix"]["accounts"].get(name)
    }

    /// The rooms that have settings.
    pub fn groups(&self) -> impl Iterator<Item = &'j str> {
        let matrix = &self.value["channels"]["matrix"];
        ["groups", "rooms"]
            .into_iter()
            .filter_map(|key| matrix[key].as_object())
            .flat_map(|groups| groups.keys().map(String::as_str))
    }
}

/// All bindings of a file.
pub(crate) fn bindings(config: &Json) -> &[Json] {
    config["bindings"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// That every section which holds, or will hold, something of ours is in this file and of the right kind.
pub(crate) fn check(document: &Document<'_>) -> Result<(), DocumentError> {
    const OBJECTS: [&[&str]; 10] = [
        &[],
        &["agents"],
        &["agents", "entries"],
        &["channels"],
        &["channels", "matrix"],
        &["channels", "matrix", "groups"],
        &["channels", "matrix", "rooms"],
        &["channels", "matrix", "accounts"],
        &["secrets"],
        &["secrets", "providers"],
    ];
    for path in OBJECTS {
        let mut path: Vec<Step<'_>> = path.iter().copied().map(Step::Key).collect();
        match document.kind(&path) {
            None => continue,
            Some("an object") => {}
            Some(found) => return Err(document.wrong_type(&path, found, "an object")),
        }
        path.push(Step::Key("$include"));
        if document.has(&path) {
            let at = document.place(&path);
            path.pop();
            let path = if path.is_empty() { "(root)".into() } else { crate::document::dotted(&path) };
            return Err(DocumentError::Included { at, path });
        }
    }
    for path in [&[Step::Key("bindings")][..], &[Step::Key("agents"), Step::Key("list")]] {
        match document.kind(path) {
            None | Some("an array") => {}
            Some("an object") if document.keys(path).contains(&"$include") => {
                let path_text = crate::document::dotted(path);
                return Err(DocumentError::Included { at: document.place(path), path: path_text });
            }
            Some(found) => return Err(document.wrong_type(path, found, "an array")),
        }
    }
    check_entries(document)
}

/// Every agent is an object.
fn check_entries(document: &Document<'_>) -> Result<(), DocumentError> {
    let entries = [Step::Key("agents"), Step::Key("entries")];
    let wrong = document.odd_element(&entries).or_else(|| {
        let list = [Step::Key("agents"), Step::Key("list")];
        document.odd_element(&list)
    });
    let wrong = wrong.or_else(|| document.odd_element(&[Step::Key("bindings")]));
    wrong.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_dialect_is_read_off_the_shape() {
        for (config, want) in [
            (json!({"agents": {"list": []}}), Detected::Is(Dialect::List)),
            (json!({"agents": {"entries": {}}}), Detected::Is(Dialect::Entries)),
            (json!({"agents": {"entries": {}, "list": []}}), Detected::Both),
            (json!({"meta": {"lastTouchedVersion": "2026.6.11"}}), Detected::WrittenBy(Dialect::List)),
            (
                json!({"meta": {"lastTouchedVersion": "2026.8.0-beta.2"}}),
                Detected::WrittenBy(Dialect::Entries),
            ),
            (json!({}), Detected::Unknown),
        ] {
            assert_eq!(detect(&config), want, "{config}");
        }
        assert_eq!(of_version("OpenClaw 2026.6.11 (e085fa1)"), Some(Dialect::List));
        assert_eq!(of_version("v?"), None);
    }

    #[test]
    fn an_older_file_keeps_its_own_words_for_groups() {
        let old = json!({"channels": {"matrix": {"rooms": {"!a": {"allow": true}}}}});
        assert_eq!(groups_key(&old, "!new"), "rooms");
        assert_eq!(usual_enabled_key(&old, "rooms"), "allow");
        let new =
            json!({"channels": {"matrix": {"groups": {"!a": {"enabled": true}, "!b": {"allow": false}}}}});
        assert_eq!(groups_key(&new, "!new"), "groups");
        assert_eq!(usual_enabled_key(&new, "groups"), "enabled");
        assert_eq!(own_enabled_key(&new, "groups", "!b"), Some("allow"));
        assert_eq!(own_enabled_key(&new, "groups", "!new"), None);
    }

    #[test]
    fn a_binding_that_says_more_than_we_do_is_none_of_ours() {
        let plain = json!({"agentId": "Lab", "match": {"channel": "matrix", "peer": {"kind": "channel", "id": "!r"}}});
        let key = Key::new("lab", None, Peer::Room("!r".into()));
        assert_eq!(Key::read(&plain, None), Some(key.clone()));
        assert_eq!(key.json()["match"], plain["match"]);
        for (pointer, value) in
            [("guildId", json!("x")), ("channel", json!("telegram")), ("accountId", json!(3))]
        {
            let mut other = plain.clone();
            other["match"][pointer] = value;
            assert_eq!(Key::read(&other, None), None, "{other}");
        }
        let mut group = plain;
        group["match"]["peer"]["kind"] = json!("group");
        assert_eq!(Key::read(&group, Some(Dialect::List)), None);
        assert_eq!(Key::read(&group, Some(Dialect::Entries)), Some(key));
    }
}
