use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use super::takeover::Edit;
use super::*;
use crate::files::MemoryFiles;
use crate::living::{
    Living, LivingAgent, LivingBinding, LivingGroup, LivingPeer, LivingRoom, LivingUser, RoomMark,
};
use crate::manifest::edit::{Text, Value};
use crate::manifest::{Manifest, load};
use crate::output::UserId;

const HEAD: &str = "version: 1\nrealm: home\nmatrix:\n  homeserver: http://127.0.0.1:8008\n  server_name: chat.home\n  \
    admin_token: { env: TOKEN }\n  bot: \"@agent:chat.home\"\nopenclaw:\n  config: openclaw.json\n";

fn manifest(text: &str) -> Manifest {
    let loaded = load(Path::new("fraktalia.yaml"), &MemoryFiles::new().with("fraktalia.yaml", text));
    loaded.manifest.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.notes))
}

fn user(name: &str) -> UserId {
    UserId(format!("@{name}:chat.home"))
}

fn room(id: &str, people: &[&str]) -> LivingRoom {
    LivingRoom {
        id: RoomId(id.into()),
        space: false,
        name: None,
        topic: None,
        alias: None,
        join_rule: Some("invite".into()),
        allow: BTreeSet::new(),
        history: Some("shared".into()),
        encrypted: false,
        power_levels: BTreeMap::new(),
        joined: people.iter().map(|name| user(name)).collect(),
        invited: BTreeSet::new(),
        children: BTreeSet::new(),
        parents: BTreeSet::new(),
        mark: RoomMark::None,
        entered: true,
        replaced: false,
    }
}

fn named(id: &str, name: &str, people: &[&str]) -> LivingRoom {
    LivingRoom { name: Some(name.into()), ..room(id, people) }
}

fn binding(agent: &str, room: &str) -> LivingBinding {
    LivingBinding { agent: agent.into(), account: None, peer: LivingPeer::Room(RoomId(room.into())) }
}

fn agent(id: &str, entry: &serde_json::Value) -> LivingAgent {
    LivingAgent { id: id.into(), entry: entry.as_object().unwrap().clone(), secret: Vec::new() }
}

fn house() -> Living {
    let people = ["admin", "agent", "ana", "ben"];
    Living {
        me: Some(user("admin")),
        users: ["admin", "agent", "ana", "ben"]
            .map(|name| LivingUser {
                id: user(name),
                display_name: Some(if name == "ana" { "Ana".into() } else { name.into() }),
                bot: false,
            })
            .into(),
        rooms: vec![
            LivingRoom { alias: Some("#mox:chat.home".into()), ..named("!mox", "Mox's room", &people) },
            named("!work", "Mox at work", &people),
            LivingRoom {
                power_levels: [(user("ana"), 50), (user("admin"), 100)].into(),
                ..named("!lounge", "Lounge & more", &people)
            },
            room("!direct", &["ana", "ben"]),
        ],
        agents: vec![
            agent(
                "mox",
                &json!({"name": "Mox", "model": {"primary": "a/b"}, "workspace": "/srv/mox", "tools": {"deny": ["x"]}, "sandbox": {}}),
            ),
            agent("felix", &json!({})),
            agent("lone", &json!({})),
        ],
        bindings: vec![
            binding("mox", "!work"),
            binding("mox", "!mox"),
            binding("lone", "!mox"),
            LivingBinding { account: Some("other".into()), ..binding("lone", "!lounge") },
            LivingBinding { peer: LivingPeer::Direct("@ana:chat.home".into()), ..binding("mox", "") },
            LivingBinding { account: Some("*".into()), peer: LivingPeer::Any, ..binding("felix", "") },
        ],
        groups: vec![LivingGroup { room: RoomId("!mox".into()), auto_reply: Some(true) }],
        ..Living::default()
    }
}

fn written(head: &str, composed: &Composed) -> String {
    let mut text = Text::new(head).unwrap();
    for entry in &composed.entries {
        let path = entry.path();
        match entry.what {
            What::Binding => text.push(&path, std::slice::from_ref(&entry.value)).unwrap(),
            _ => text.set(&path, &entry.value).unwrap(),
        }
    }
    text.text()
}

#[test]
fn an_agent_and_the_room_that_is_called_as_it_are_a_fractal() {
    let composed = compose(&manifest(HEAD), &house(), &Options::default());
    let text = written(HEAD, &composed);
    let manifest = manifest(&text);
    let mox = &manifest.fractals["mox"];
    assert_eq!(manifest.rooms["mox"].id, Some(RoomId("!mox".into())));
    assert_eq!((mox.name.as_str(), mox.model.as_ref().unwrap().primary.as_str()), ("Mox", "a/b"));
    assert!(!mox.managed.files && !mox.managed.identity && mox.managed.workspace, "{text}");
    assert_eq!(serde_json::Value::Object(mox.openclaw.clone()), json!({"tools": {"deny": ["x"]}}));
    assert_eq!(manifest.openclaw.as_ref().unwrap().catch_all.as_deref(), Some("felix"));
    let peers: Vec<String> =
        manifest.bindings.iter().map(|one| format!("{}/{}", one.agent, one.peer)).collect();
    assert_eq!(peers, ["mox/room/mox", "mox/room/mox-at-work", "mox/direct/@ana:chat.home"]);
    assert_eq!(manifest.rooms["lounge-more"].power_levels, [(user("ana"), 50)].into());
    assert_eq!(manifest.users.keys().collect::<Vec<_>>(), ["ana", "ben"]);
}

#[test]
fn what_a_manifest_cannot_say_is_left_with_its_reason() {
    let composed = compose(&manifest(HEAD), &house(), &Options::default());
    let left: Vec<String> =
        composed.left.iter().map(|left| format!("{} {}: {}", left.kind, left.name, left.why)).collect();
    for (what, why) in [
        ("binding #mox:chat.home -> lone", "never used"),
        ("binding Lounge & more -> lone", "account `other`"),
        ("room !direct", "direct chat"),
        ("agent felix", "wherever no other does"),
        ("agent lone", "no binding leads"),
    ] {
        assert!(left.iter().any(|line| line.starts_with(what) && line.contains(why)), "{what}: {left:#?}");
    }
    assert_eq!(left.len(), 5, "{left:#?}");
    assert!(composed.entries.iter().any(|entry| entry.unmanaged.iter().any(|what| what.contains("sandbox"))));
}

#[test]
fn what_is_written_once_is_not_proposed_again() {
    let first = compose(&manifest(HEAD), &house(), &Options::default());
    let text = written(HEAD, &first);
    assert_eq!(compose(&manifest(&text), &house(), &Options::default()).entries, []);
}

#[test]
fn rooms_of_others_and_rooms_that_we_are_not_in_need_a_word() {
    let mut living = house();
    living.rooms[0].mark = RoomMark::Realm("work".into());
    living.rooms[1].entered = false;
    let composed = compose(&manifest(HEAD), &living, &Options::default());
    assert!(composed.entries.iter().all(|entry| entry.what != What::Fractal));
    let said = Options { enter: true, from_realm: Some("work".into()) };
    let composed = compose(&manifest(HEAD), &living, &said);
    let manifest = manifest(&written(HEAD, &composed));
    assert_eq!(manifest.rooms["mox"].from_realm.as_deref(), Some("work"));
    assert_eq!(composed.entries.iter().filter(|entry| entry.enters).count(), 1);
}

#[test]
fn a_difference_is_taken_over_where_it_is_written() {
    let text = format!(
        "{HEAD}users: {{ ana: {{ display_name: Old }}, ben: {{}} }}\nrooms:\n  lounge:\n    id: \"!lounge\"\n    name: Old\n    \
         members: [ana, \"@ben:chat.home\"]\n    power_levels: {{ \"@ana:chat.home\": 10 }}\n"
    );
    let (manifest, living) = (manifest(&text), house());
    let file = Text::new(&text).unwrap();
    let get = |path: &[&str]| file.get(path);
    let known = takeover::Known { manifest: &manifest, living: &living, get: &get };
    let id = |id: &str| id.parse::<ResourceId>().unwrap();
    let path = |path: &str| path.split('/').map(String::from).collect::<Vec<_>>();
    for (resource, field, want) in [
        ("matrix/user/ana", "display_name", Edit::Set(path("users/ana/display_name"), "Ana".into())),
        ("matrix/room/lounge", "name", Edit::Set(path("rooms/lounge/name"), "Lounge & more".into())),
        (
            "matrix/room/lounge",
            "power_levels.@ana:chat.home",
            Edit::Set(path("rooms/lounge/power_levels/@ana:chat.home"), Value::Int(50)),
        ),
        ("matrix/member/lounge/@ben:chat.home", "membership", Edit::Take(path("rooms/lounge/members"), 1)),
    ] {
        let got = takeover::field(&known, &id(resource), field);
        assert_eq!(got, Ok(vec![want]), "{resource} {field}");
    }
}
