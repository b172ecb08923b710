//! What a manifest that is right becomes.

use std::path::Path;

use fraktalia_model::manifest::{self, Manifest, MemberRole, OnRemove, Peer};
use fraktalia_model::{MemoryFiles, SecretSource};

/// The vocabulary with every section in use.
const FULL: &str = include_str!("full.yaml");

fn files() -> MemoryFiles {
    MemoryFiles::new()
        .with("fraktalia.yaml", FULL)
        .with("fractals/cook.yaml", "fractals:\n  cook: { members: [ana, ben] }\n")
        .with("docker/sandbox/Dockerfile", "FROM debian:12\n")
        .with("personas/gardener.md", "# Rules\n")
}

fn full() -> Manifest {
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &files());
    assert_eq!(loaded.notes, [], "{:#?}", loaded.notes);
    loaded.manifest.expect("nothing is in the way")
}

fn users(manifest: &Manifest, room: &str) -> Vec<(String, MemberRole)> {
    let members = &manifest.rooms[room].members;
    members.iter().map(|member| (member.user.0.clone(), member.role)).collect()
}

#[test]
fn the_full_vocabulary_is_understood() {
    let manifest = full();
    assert_eq!(manifest.realm, "home");
    assert_eq!(manifest.base, Path::new("/manifest"));
    let matrix = manifest.matrix.as_ref().unwrap();
    let token = SecretSource::File("/manifest/secrets/matrix-admin-token".into());
    assert_eq!(matrix.admin_token, token);
    let openclaw = manifest.openclaw.as_ref().unwrap();
    assert_eq!(openclaw.config, Path::new("/home/me/.openclaw/openclaw.json"));
    assert_eq!(manifest.hosts.keys().collect::<Vec<_>>(), ["local", "mox"]);
    assert_eq!(manifest.networks["garden-net"].bridge, "fkt-garden-net");
    assert_eq!(manifest.admin_room.as_ref().unwrap().expires_s, 86_400);
    assert_eq!(manifest.admin_room.as_ref().unwrap().user.0, "@fraktalia:chat.home");
    assert!(manifest.users["fraktalia"].bot, "it is made");
    let ci = &manifest.api.as_ref().unwrap().tokens["ci"];
    assert_eq!((ci.expires_ms, ci.per_minute, ci.scopes.len()), (1_801_440_000_000, 30, 3));
    assert_eq!(manifest.policy.protect[0].to_string(), "matrix/room/lounge");
}

#[test]
fn a_fractal_brings_a_room_a_user_and_a_binding() {
    let manifest = full();
    let room = &manifest.rooms["gardener"];
    assert_eq!(room.fractal.as_deref(), Some("gardener"));
    assert_eq!(room.name.as_deref(), Some("Gardener"));
    assert_eq!(room.topic.as_deref(), Some("Beds and seeds"));
    assert_eq!(room.parent.as_deref(), Some("house"));
    let user = &manifest.users["gardener"];
    assert_eq!(user.owned_by.as_deref(), Some("gardener"));
    assert!(user.bot);
    assert_eq!(user.on_remove, OnRemove::Keep);
    let own = &manifest.bindings[0];
    assert_eq!(own.peer, Peer::Room("gardener".into()));
    assert_eq!(own.account_of.as_deref(), Some("gardener"));
    assert_eq!(
        users(&manifest, "gardener"),
        [
            ("@ana:chat.home".into(), MemberRole::Named),
            ("@ben:chat.home".into(), MemberRole::Named),
            ("@gardener:chat.home".into(), MemberRole::Agent),
        ]
    );
}

#[test]
fn what_is_left_out_follows_the_contract() {
    let manifest = full();
    let cook = &manifest.fractals["cook"];
    assert_eq!(cook.name, "Cook");
    assert!(cook.auto_reply);
    assert_eq!(cook.on_remove, OnRemove::Delete);
    assert_eq!(cook.workspace.path, Path::new("/srv/openclaw/agents/cook"));
    let room = &manifest.rooms["cook"];
    assert_eq!((room.alias.as_str(), room.topic.as_deref()), ("cook", None));
    assert_eq!(room.on_remove, OnRemove::Retire);
    assert_eq!((room.encrypted, room.join_rule, room.history), (None, None, None));
    assert_eq!(
        room.members[2].display_name.as_deref(),
        Some("Cook"),
        "the shared bot is called as the fractal in its room"
    );
}

#[test]
fn a_sandbox_on_another_host_moves_the_workspace_there() {
    let workspace = &full().fractals["gardener"].workspace;
    assert_eq!(workspace.path, Path::new("/mnt/mox/agents/gardener"));
    assert_eq!(workspace.files["AGENTS.md"].content, "# Rules\n");
    assert_eq!(workspace.files["AGENTS.md"].mode, 0o664);
}

#[test]
fn both_forms_of_a_forward_are_understood() {
    let ports: Vec<_> = full()
        .forwards
        .iter()
        .map(|forward| (forward.host_port, forward.port, forward.listen.to_string()))
        .collect();
    assert_eq!(
        ports,
        [(9000, 9000, "127.0.0.1".into()), (9001, 8080, "127.0.0.1".into()), (9010, 3000, "0.0.0.0".into()),]
    );
}
