//! What has to hold on every homeserver.

use std::os::unix::fs::PermissionsExt;

use fraktalia_engine::Outcome;
use fraktalia_matrix::marker::MARKER;
use fraktalia_model::manifest::{
    HistoryVisibility, JoinRule, LocalFile, MemberRole, MembersPolicy, OnRemove,
};
use fraktalia_model::{SecretSource, UserId};
use fraktalia_plan::{Cause, Verb};
use fraktalia_testkit::contract;
use fraktalia_testkit::real::person::encode;
use serde_json::{Value as Json, json};

use crate::gateway::Gateway;
use crate::home::{Home, Server};
use crate::stage::{Stage, blockers, member, verbs};

/// Three users, a space, a room in it with an agent, and an account of the agent's own.
pub async fn whole(home: Home) -> Stage {
    home.register("agent").await;
    let mut stage = Stage::new(home);
    stage.user("ana").display_name = Some("Ana".into());
    stage.user("ben");
    let own = stage.user("gardener");
    own.bot = true;
    own.owned_by = Some("gardener".into());
    let house = stage.room("house");
    house.space = true;
    house.name = Some("Our house".into());
    let ids = ["ana", "ben", "agent"].map(Home::id);
    let room = stage.room("gardener");
    room.fractal = Some("gardener".into());
    room.name = Some("Gardener".into());
    room.topic = Some("Beds and seeds".into());
    room.join_rule = Some(JoinRule::Restricted);
    room.history = Some(HistoryVisibility::Joined);
    room.parent = Some("house".into());
    room.power_levels.insert(UserId(ids[0].clone()), 50);
    room.members = vec![
        member(&ids[0], MemberRole::Named),
        member(&ids[1], MemberRole::Named),
        member(&ids[2], MemberRole::Agent),
    ];
    room.members[2].display_name = Some("The gardener".into());
    stage
}

pub async fn a_whole_manifest_is_applied_in_sync_and_taken_back(home: Home) {
    let stage = whole(home).await;
    contract::apply_then_roll_back(&stage).await;
    assert_eq!(stage.joined_rooms().await, 0, "no orphan");
    // What was taken back does not stand in the way of a second try.
    stage.apply().await;
    let room = stage.room_id("gardener").await.expect("the room is there");
    let named = stage.home.admin.display_name_in(&room, &Home::id("agent")).await.expect("a member");
    assert_eq!(named.as_deref(), Some("The gardener"));
    let marker = stage.event(&room, MARKER, "").await;
    assert_eq!(marker["resource"], "matrix/room/gardener");
    let levels = stage.event(&room, "m.room.power_levels", "").await;
    assert_eq!(levels["events"][MARKER], 100);
    assert_eq!(levels["users"][Home::id("ana")], 50);
}

pub async fn a_second_plan_makes_no_write_call(home: Home) {
    let stage = whole(home).await;
    stage.apply().await;
    let writes = |home: &Home| match &home.server {
        Server::Simulated(sim) => Some(sim.writes()),
        Server::Real(..) => None,
    };
    let before = writes(&stage.home);
    let planned = stage.plan().await;
    assert!(planned.plan.is_empty(), "{:?}", verbs(&planned));
    assert_eq!(stage.try_apply().await.outcome, Some(Outcome::Applied));
    assert_eq!(writes(&stage.home), before);
}

pub async fn every_field_that_changes_is_changed_in_place_and_back(home: Home) {
    let mut stage = whole(home).await;
    stage.apply().await;
    let before = stage.room_id("gardener").await;
    let first = contract::Subject::snapshot(&stage).await;
    stage.user("ana").display_name = Some("Anna".into());
    stage.user("ben").bot = true;
    let ben = UserId(Home::id("ben"));
    let room = stage.room("gardener");
    room.name = Some("The garden".into());
    room.topic = Some("Beds".into());
    room.join_rule = Some(JoinRule::Public);
    room.history = Some(HistoryVisibility::Shared);
    room.power_levels.insert(ben, 40);
    room.members[2].display_name = Some("Gardening".into());
    let ended = stage.apply().await;
    assert_eq!(stage.room_id("gardener").await, before, "it is the same room");
    stage.roll_back(&ended.run).await;
    assert_eq!(contract::Subject::snapshot(&stage).await, first);
}

pub async fn a_room_of_version_10_is_as_good_as_one_of_version_12(home: Home) {
    home.register("agent").await;
    let request = json!({
        "preset": "private_chat", "room_version": "10", "room_alias_name": "old",
        "initial_state": [{"type": MARKER, "state_key": "", "content": {
            "realm": "home", "resource": "matrix/room/old", "run": "before", "step": 1,
        }}],
    });
    let made = home.admin.create_room(&request).await.expect("a room of version 10");
    assert!(made.ends_with(":chat.test"), "older ids name their server: {made}");
    let mut stage = Stage::new(home);
    let ids = ["admin", "agent"].map(Home::id);
    stage.room("old").topic = Some("From the old days".into());
    stage.room("old").members = vec![member(&ids[1], MemberRole::Agent)];
    // In version 10 our own user stands in the list, in version 12 it must not.
    stage.room("old").power_levels.insert(UserId(ids[0].clone()), 100);
    stage.room("new").power_levels.insert(UserId(ids[0].clone()), 100);
    let ended = stage.apply().await;
    assert_eq!(stage.room_id("old").await.as_deref(), Some(made.as_str()));
    let new = stage.room_id("new").await.expect("the new room is there");
    assert!(!new.contains(':'), "newer ids name none: {new}");
    assert_eq!(stage.membership(&made, "agent").await, "join");
    stage.roll_back(&ended.run).await;
    assert_eq!(stage.membership(&made, "agent").await, "leave");
    assert_eq!(stage.room_id("new").await, None);
}

pub async fn members_count_by_their_join_and_not_by_an_invitation(home: Home) {
    let mut stage = whole(home).await;
    stage.apply().await;
    let room = stage.room_id("gardener").await.expect("the room is there");
    let joined = stage.home.admin.joined_members(&room).await.expect("members");
    assert_eq!(joined.len(), 4, "three and our own user: {joined:?}");
    let carl = Home::id("carl");
    stage.home.register("carl").await;
    let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room));
    stage.home.admin.post(&path, &json!({"user_id": carl})).await.expect("invited");
    stage.room("gardener").members.push(member(&carl, MemberRole::Named));
    let planned = stage.plan().await;
    assert_eq!(verbs(&planned), [(format!("matrix/member/gardener/{carl}"), Verb::Update)]);
    stage.apply().await;
    assert_eq!(stage.membership(&room, "carl").await, "join");
}

/// A room with a bot that is called something else in it.
fn named_bot(stage: &mut Stage, display_name: &str) {
    let mut bot = member(&Home::id("agent"), MemberRole::Agent);
    bot.display_name = Some(display_name.into());
    stage.room("lounge").members = vec![bot];
}

pub async fn a_bot_is_named_once_the_gateway_has_settled(home: Home) {
    let agent = home.register("agent").await;
    let mut stage = Stage::new(home);
    stage.gateway = Some(Gateway::of(agent));
    named_bot(&mut stage, "The gardener");
    stage.bind_only("gardener", "lounge");
    let plan = stage.plan().await.plan;
    let step = |title: &str| plan.steps.iter().find(|step| step.title.starts_with(title)).map(|step| step.id);
    let (write, name) = (step("write the file").expect("a write"), step("name agent").expect("a name"));
    let waits = plan.edges.iter().any(|edge| (edge.from, edge.to) == (write, name));
    assert!(waits, "whichever of the two is faster: {:?}", plan.edges);
    stage.apply().await;
    let room = stage.room_id("lounge").await.expect("the room is there");
    let bot = Home::id("agent");
    let called = async |stage: &Stage| stage.home.admin.display_name_in(&room, &bot).await.expect("a member");
    assert_eq!(called(&stage).await.as_deref(), Some("The gardener"));

    // One write drops the old route and adds the new one: the name cannot both precede and follow it.
    named_bot(&mut stage, "The cook");
    stage.bind_only("cook", "lounge");
    let ended = stage.apply().await;
    assert_eq!(called(&stage).await.as_deref(), Some("The cook"));
    stage.roll_back(&ended.run).await;
    assert_eq!(called(&stage).await.as_deref(), Some("The gardener"));
}

pub async fn a_name_that_somebody_else_gave_is_set_back_and_one_not_asked_for_stays(home: Home) {
    let agent = home.register("agent").await;
    let mut stage = Stage::new(home);
    named_bot(&mut stage, "The gardener");
    // Nobody speaks for the gateway here: a binding that no plan knows is waited for by nobody.
    stage.bind_only("gardener", "lounge");
    stage.apply().await;
    let room = stage.room_id("lounge").await.expect("the room is there");
    let bot = Home::id("agent");
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.member/{}", encode(&room), encode(&bot));
    agent.put(&path, &json!({"membership": "join", "displayname": "Mallory"})).await.expect("renamed");
    stage.lose_state();
    let planned = stage.plan().await;
    assert_eq!(verbs(&planned), [(format!("matrix/name/lounge/{bot}"), Verb::Update)]);
    assert_eq!(planned.plan.steps[0].title, "name agent \"The gardener\" in #lounge:chat.test");
    stage.apply().await;

    stage.room("lounge").members[0].display_name = None;
    assert!(stage.plan().await.plan.is_empty(), "there is nothing to do about it");
    stage.apply().await;
    let called = stage.home.admin.display_name_in(&room, &bot).await.expect("a member");
    assert_eq!(called.as_deref(), Some("The gardener"));

    let ban = format!("/_matrix/client/v3/rooms/{}/ban", encode(&room));
    stage.home.admin.post(&ban, &json!({"user_id": bot})).await.expect("banned");
    named_bot(&mut stage, "The cook");
    assert_eq!(verbs(&stage.plan().await), [], "who must not come in is not named either");
}

pub async fn who_left_by_themselves_is_left_in_peace_and_an_agent_is_brought_back(home: Home) {
    let carl = home.register("carl").await;
    let agent = home.register("agent").await;
    let dora = home.register("dora").await;
    let mut stage = Stage::new(home);
    stage.room("lab").members = vec![
        member(carl.user_id(), MemberRole::Named),
        member(dora.user_id(), MemberRole::Named),
        member(agent.user_id(), MemberRole::Agent),
    ];
    stage.apply().await;
    let room = stage.room_id("lab").await.expect("the room is there");
    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&room));
    carl.post(&leave, &json!({})).await.expect("carl leaves");
    agent.post(&leave, &json!({})).await.expect("the agent leaves");
    let kick = format!("/_matrix/client/v3/rooms/{}/kick", encode(&room));
    stage.home.admin.post(&kick, &json!({"user_id": dora.user_id()})).await.expect("dora is put out");

    let planned = stage.plan().await;
    assert!(
        planned.plan.notes.iter().any(|note| note.code == "matrix-left-in-peace"),
        "{:?}",
        planned.plan.notes
    );
    stage.apply().await;
    assert_eq!(stage.membership(&room, "carl").await, "leave");
    assert_eq!(stage.membership(&room, "agent").await, "join");
    assert_eq!(stage.membership(&room, "dora").await, "join");

    stage.room("lab").members_policy = MembersPolicy::Exact;
    stage.apply().await;
    assert_eq!(stage.membership(&room, "carl").await, "join");
}

pub async fn exactly_those_in_the_manifest_stay_where_the_policy_says_so(home: Home) {
    let ana = home.register("ana").await;
    let carl = home.register("carl").await;
    let mut stage = Stage::new(home);
    stage.room("lab").members = vec![member(ana.user_id(), MemberRole::Named)];
    stage.apply().await;
    let room = stage.room_id("lab").await.expect("the room is there");
    stage.home.admin.force_join(&room, carl.user_id()).await.expect("carl comes in");
    assert!(stage.plan().await.plan.is_empty(), "with at-least, others may come");
    stage.room("lab").members_policy = MembersPolicy::Exact;
    let ended = stage.apply().await;
    assert_eq!(stage.membership(&room, "carl").await, "leave");
    assert_eq!(stage.membership(&room, "admin").await, "join", "our own user is never put out");
    stage.roll_back(&ended.run).await;
    assert_eq!(stage.membership(&room, "carl").await, "join");

    stage.apply().await;
    stage.room("lab").members.clear();
    stage.apply().await;
    assert_eq!(stage.membership(&room, "ana").await, "leave", "with exact, who left the manifest is put out");
}

fn forged(resource: &str) -> Json {
    json!([{"type": MARKER, "state_key": "", "content": {
        "realm": "home", "resource": resource, "run": "forged", "step": 1,
    }}])
}

pub async fn a_forged_marker_counts_for_nothing(home: Home) {
    let mallory = home.register("mallory").await;
    let request = json!({
        "preset": "private_chat", "room_alias_name": "lab", "initial_state": forged("matrix/room/lab"),
        "creation_content": {MARKER: {"realm": "home", "resource": "matrix/room/lab", "run": "forged", "step": 1}},
    });
    let trap = mallory.create_room(&request).await.expect("mallory makes a room");
    let other = json!({"preset": "private_chat", "initial_state": forged("matrix/room/other")});
    let other = mallory.create_room(&other).await.expect("mallory makes another room");
    for room in [&trap, &other] {
        let invite = format!("/_matrix/client/v3/rooms/{}/invite", encode(room));
        mallory.post(&invite, &json!({"user_id": home.admin.user_id()})).await.expect("we are invited");
        let join = format!("/_matrix/client/v3/join/{}", encode(room));
        home.admin.post(&join, &json!({})).await.expect("and come");
    }
    let mut stage = Stage::new(home);
    stage.room("lab").topic = Some("Ours?".into());
    let planned = stage.plan().await;
    assert_eq!(blockers(&planned), ["plan.not-ours"]);
    assert!(
        !verbs(&planned).iter().any(|(id, _)| id.contains("other")),
        "nor is the other one taken for ours"
    );
    assert_eq!(planned.plan.strangers["rooms"], 2);
}

pub async fn a_room_that_somebody_else_made_under_our_alias_is_blocked(home: Home) {
    let carl = home.register("carl").await;
    carl.create_room(&json!({"preset": "private_chat", "room_alias_name": "lab", "topic": "Carl's"}))
        .await
        .expect("carl was here first");
    let mut stage = Stage::new(home);
    stage.room("lab").topic = Some("Carl's".into());
    let planned = stage.plan().await;
    assert_eq!(blockers(&planned), ["plan.not-ours"]);
    let note = planned.plan.blockers().next().expect("a note");
    assert!(note.text.contains(carl.user_id()), "{note:?}");
}

pub async fn a_lost_state_directory_loses_no_room_and_makes_no_second_one(home: Home) {
    let mut stage = whole(home).await;
    stage.room("attic").topic = Some("Dusty".into());
    stage.apply().await;
    let before = (stage.room_id("gardener").await, stage.joined_rooms().await);
    stage.lose_state();
    // The token file is part of the state; all else is found again.
    let planned = stage.plan().await;
    assert_eq!(verbs(&planned), [("matrix/token/gardener".to_owned(), Verb::Create)]);
    stage.apply().await;
    assert_eq!((stage.room_id("gardener").await, stage.joined_rooms().await), before);
    stage.lose_state();
    stage.manifest.rooms.remove("attic");
    let planned = stage.plan().await;
    assert!(
        verbs(&planned).contains(&("matrix/room/attic".to_owned(), Verb::Delete)),
        "{:?}",
        verbs(&planned)
    );
    stage.apply().await;
    assert_eq!(stage.room_id("attic").await, None);
}

pub async fn a_retired_room_leaves_its_name_for_a_new_one(home: Home) {
    let mut stage = whole(home).await;
    stage.apply().await;
    let old = stage.room_id("gardener").await.expect("the room is there");
    let first = contract::Subject::snapshot(&stage).await;
    let room = stage.manifest.rooms.remove("gardener").expect("it was in the manifest");
    let ended = stage.apply().await;
    assert_eq!(stage.room_id("gardener").await, None, "the alias is free");
    assert_eq!(stage.membership(&old, "ana").await, "leave");
    assert_eq!(stage.event(&old, MARKER, "").await["retired"], true);

    stage.roll_back(&ended.run).await;
    stage.manifest.rooms.insert("gardener".into(), room.clone());
    assert_eq!(stage.room_id("gardener").await.as_deref(), Some(old.as_str()));
    let again = contract::Subject::snapshot(&stage).await;
    assert_eq!(again["rooms"], first["rooms"], "retiring can be taken back");

    stage.manifest.rooms.remove("gardener");
    stage.apply().await;
    stage.manifest.rooms.insert("gardener".into(), room);
    stage.apply().await;
    let new = stage.room_id("gardener").await.expect("a new room");
    assert_ne!(new, old);
}

pub async fn a_kept_room_is_let_go_of(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").on_remove = OnRemove::Keep;
    stage.apply().await;
    let room = stage.room_id("lab").await.expect("the room is there");
    stage.manifest.rooms.clear();
    stage.apply().await;
    assert_eq!(stage.room_id("lab").await.as_deref(), Some(room.as_str()), "it stays as it is");
    assert_eq!(stage.event(&room, MARKER, "").await, json!({}));
    stage.lose_state();
    assert!(stage.plan().await.plan.is_empty(), "and is nobody's");
}

pub async fn a_purged_room_is_gone(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").on_remove = OnRemove::Purge;
    stage.apply().await;
    stage.manifest.rooms.clear();
    let planned = stage.plan().await;
    let step = planned.plan.steps.first().expect("a step");
    assert!(step.impact.is_irreversible(), "{step:?}");
    stage.apply().await;
    assert_eq!((stage.room_id("lab").await, stage.joined_rooms().await), (None, 0));
}

pub async fn a_user_whose_creation_was_taken_back_can_be_made_again(home: Home) {
    let mut stage = Stage::new(home);
    std::fs::write(stage.path("password"), "correct horse battery").expect("the password is written");
    stage.user("ana").password = Some(SecretSource::File("password".into()));
    let ended = stage.apply().await;
    stage.roll_back(&ended.run).await;
    let path = format!("/_synapse/admin/v2/users/{}", encode(&Home::id("ana")));
    assert_eq!(stage.home.admin.get(&path).await.expect("known")["deactivated"], true);
    assert_eq!(verbs(&stage.plan().await), [("matrix/user/ana".to_owned(), Verb::Create)]);
    stage.apply().await;
    let account = stage.home.admin.get(&path).await.expect("known");
    assert_eq!(account["deactivated"], false);

    stage.user("ana").on_remove = OnRemove::Deactivate;
    stage.apply().await;
    stage.manifest.users.clear();
    stage.apply().await;
    assert_eq!(stage.home.admin.get(&path).await.expect("known")["deactivated"], true);
}

pub async fn a_token_is_minted_kept_private_and_dropped(home: Home) {
    let mut stage = Stage::new(home);
    stage.user("gardener").owned_by = Some("gardener".into());
    stage.apply().await;
    let file = stage.state().account_token("gardener");
    let mode = std::fs::metadata(&file).expect("the file is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).expect("readable").trim().to_owned();
    let speaks = async |token: &str| {
        let person = fraktalia_testkit::real::Person::new(&stage.home.base, "", token);
        person.get("/_matrix/client/v3/account/whoami").await.map(|me| me["user_id"].clone()).ok()
    };
    assert_eq!(speaks(&token).await, Some(json!(Home::id("gardener"))));

    std::fs::write(&file, "nonsense").expect("spoilt");
    assert_eq!(verbs(&stage.plan().await), [("matrix/token/gardener".to_owned(), Verb::Update)]);
    stage.apply().await;
    let token = std::fs::read_to_string(&file).expect("readable").trim().to_owned();
    assert!(speaks(&token).await.is_some());

    stage.manifest.users.clear();
    stage.apply().await;
    assert!(!file.exists());
    let person = fraktalia_testkit::real::Person::new(&stage.home.base, "", &token);
    assert!(person.get("/_matrix/client/v3/account/whoami").await.is_err(), "it is logged out");
}

pub async fn a_room_finds_its_space_and_leaves_it(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("house").space = true;
    stage.room("lab").parent = Some("house".into());
    stage.apply().await;
    let house = stage.room_id("house").await.expect("the space");
    let lab = stage.room_id("lab").await.expect("the room");
    assert_eq!(stage.event(&house, "m.room.create", "").await["type"], "m.space");
    assert_eq!(stage.event(&house, "m.space.child", &lab).await["via"], json!(["chat.test"]));
    assert_eq!(stage.event(&lab, "m.space.parent", &house).await["canonical"], true);
    stage.lose_state();
    stage.room("lab").parent = None;
    assert_eq!(verbs(&stage.plan().await), [("matrix/child/house/lab".to_owned(), Verb::Delete)]);
    stage.apply().await;
    assert_eq!(stage.event(&house, "m.space.child", &lab).await, json!({}));
    stage.room("lab").space = true;
    assert_eq!(blockers(&stage.plan().await), ["matrix-room-or-space"]);
}

pub async fn a_picture_is_uploaded_once(home: Home) {
    let mut stage = Stage::new(home);
    let file = stage.path("garden.png");
    std::fs::write(&file, b"\x89PNG\r\n\x1a\n not quite").expect("a picture");
    let sha256 = sha256_of(&std::fs::read(&file).expect("readable"));
    for key in ["one", "two"] {
        stage.room(key).avatar = Some(LocalFile { path: file.clone(), sha256: sha256.clone() });
        stage.apply().await;
    }
    let path = format!("/_synapse/admin/v1/users/{}/media", encode(stage.home.admin.user_id()));
    let media = stage.home.admin.get(&path).await.expect("a list");
    assert_eq!(media["media"].as_array().map(Vec::len), Some(1), "{media}");
    let room = stage.room_id("two").await.expect("the room");
    let avatar = stage.event(&room, "m.room.avatar", "").await;
    assert_eq!(avatar["info"]["mimetype"], "image/png");

    let before = stage.event(&room, "m.room.avatar", "").await;
    std::fs::write(&file, b"\x89PNG\r\n\x1a\n another").expect("a picture");
    let sha256 = sha256_of(&std::fs::read(&file).expect("readable"));
    stage.room("two").avatar = Some(LocalFile { path: file, sha256 });
    let ended = stage.apply().await;
    assert_ne!(stage.event(&room, "m.room.avatar", "").await, before);
    stage.roll_back(&ended.run).await;
    assert_eq!(stage.event(&room, "m.room.avatar", "").await, before);
}

fn sha256_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub async fn our_own_user_is_never_deactivated(home: Home) {
    let mut stage = Stage::new(home);
    stage.user("admin").on_remove = OnRemove::Deactivate;
    stage.apply().await;
    stage.manifest.users.clear();
    let ended = stage.try_apply().await;
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert!(ended.why.expect("a reason").contains("lock us out"));
    assert_eq!(stage.joined_rooms().await, 0, "the token still works");
}

pub async fn a_room_that_our_own_user_left_or_lost_power_in_is_entered_again(home: Home) {
    let ana = home.register("ana").await;
    let old = json!({
        "preset": "private_chat", "room_version": "10", "room_alias_name": "old",
        "power_level_content_override": {"users": {home.admin.user_id(): 100, ana.user_id(): 100}},
        "initial_state": [{"type": MARKER, "state_key": "", "content": {
            "realm": "home", "resource": "matrix/room/old", "run": "before", "step": 1,
        }}],
    });
    home.admin.create_room(&old).await.expect("a room of version 10");
    let mut stage = Stage::new(home);
    for key in ["new", "old"] {
        stage.room(key).members = vec![member(ana.user_id(), MemberRole::Named)];
        stage.room(key).power_levels.insert(UserId(ana.user_id().into()), 100);
    }
    stage.apply().await;
    let (new, old) = (stage.room_id("new").await.expect("new"), stage.room_id("old").await.expect("old"));
    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&new));
    stage.home.admin.post(&leave, &json!({})).await.expect("we leave");
    let levels = format!("/_matrix/client/v3/rooms/{}/state/m.room.power_levels/", encode(&old));
    let mut content = stage.event(&old, "m.room.power_levels", "").await;
    content["users"][stage.home.admin.user_id()] = json!(10);
    stage.home.admin.put(&levels, &content).await.expect("we step down");

    for key in ["new", "old"] {
        stage.room(key).topic = Some("Still ours".into());
    }
    let ended = stage.apply().await;
    assert_eq!(stage.membership(&new, "admin").await, "join");
    for room in [&new, &old] {
        assert_eq!(stage.event(room, "m.room.topic", "").await["topic"], "Still ours");
    }
    stage.roll_back(&ended.run).await;
    let now = ana.get(&levels).await.expect("levels");
    assert_eq!(now["users"][stage.home.admin.user_id()], 10, "and taken back in the right order");

    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&new));
    ana.post(&leave, &json!({})).await.expect("and ana too");
    assert_eq!(blockers(&stage.plan().await), ["matrix-nobody-left"]);
}

pub async fn a_person_of_another_homeserver_is_invited_and_counts_while_invited(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").members = vec![member("@eve:elsewhere.invalid", MemberRole::Named)];
    let planned = stage.plan().await;
    let step = planned.plan.steps.last().expect("a step");
    assert!(step.title.starts_with("invite @eve:elsewhere.invalid"), "{}", step.title);
    // Nobody is there to take the invitation: the homeserver says so, and nothing is left behind.
    let ended = stage.try_apply().await;
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(stage.joined_rooms().await, 0);
}

pub async fn encryption_is_switched_on_last_and_never_off(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").topic = Some("Open".into());
    stage.apply().await;
    stage.room("lab").encrypted = Some(true);
    let planned = stage.plan().await;
    assert!(planned.plan.steps.iter().all(|step| step.impact.is_irreversible()), "{:?}", planned.plan.steps);
    stage.apply().await;
    stage.room("lab").encrypted = Some(false);
    assert_eq!(blockers(&stage.plan().await), ["matrix-encrypted"]);
    stage.room("vault").encrypted = Some(true);
    stage.room("lab").encrypted = None;
    stage.apply().await;
}

pub async fn a_renamed_alias_moves_with_its_room(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").topic = Some("Moving".into());
    stage.apply().await;
    let room = stage.room_id("lab").await;
    stage.room("lab").alias = "laboratory".into();
    let ended = stage.apply().await;
    assert_eq!((stage.room_id("laboratory").await, stage.room_id("lab").await), (room.clone(), None));
    stage.roll_back(&ended.run).await;
    assert_eq!((stage.room_id("laboratory").await, stage.room_id("lab").await), (None, room.clone()));
    let room = room.expect("the room is there");
    assert_eq!(stage.event(&room, "m.room.canonical_alias", "").await["alias"], "#lab:chat.test");
}

pub async fn a_hand_edit_is_shown_as_such_and_set_back(home: Home) {
    let mut stage = Stage::new(home);
    stage.room("lab").topic = Some("As written".into());
    stage.apply().await;
    let room = stage.room_id("lab").await.expect("the room is there");
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.topic/", encode(&room));
    stage.home.admin.put(&path, &json!({"topic": "By hand"})).await.expect("edited");
    let planned = stage.plan().await;
    let field = &planned.plan.changes[0].fields[0];
    assert_eq!((field.field.as_str(), field.cause), ("topic", Cause::Drift));
    stage.apply().await;
    assert_eq!(stage.event(&room, "m.room.topic", "").await["topic"], "As written");
}
