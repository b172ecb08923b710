//! The homeserver: who we are there, and the rooms that agents are to hear.

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::encode;
use fraktalia_tests::{SERVER, Stage};
use serde_json::{Value, json};

use super::report::{Report, chmod, garden};

fn limits(user: &str) -> String {
    format!("/_synapse/admin/v1/users/{}/override_ratelimit", encode(user))
}

async fn limit(stage: &Stage, user: &str) -> Value {
    stage.synapse.admin().get(&limits(user)).await.expect("an answer")
}

async fn take_back(stage: &Stage, user: &str) {
    let url = format!("{}{}", stage.synapse.base_url(), limits(user));
    let request = reqwest::Client::new().delete(url).bearer_auth(stage.synapse.admin_token());
    let answer = request.send().await.and_then(reqwest::Response::error_for_status);
    answer.expect("taken back");
}

#[tokio::test]
async fn limits_that_were_put_back_are_said_and_lifted() {
    let Some(stage) = garden().await else { return };
    let report = Report::of(&stage, &[], 0).await;
    assert_eq!(report.standings("matrix.rate"), ["ok"], "the first apply lifts ours");
    assert_eq!(report.standings("matrix.bot-rate"), ["warning"]);
    take_back(&stage, stage.synapse.admin().user_id()).await;
    let report = Report::of(&stage, &[], 0).await;
    report.said("matrix.rate", "warning");
    assert_eq!(limit(&stage, stage.bot.user_id()).await, json!({}), "nothing was changed yet");
    let report = Report::of(&stage, &["--fix", "--yes"], 0).await;
    assert_eq!(
        (report.standings("matrix.rate"), report.standings("matrix.bot-rate")),
        (vec!["ok"], vec!["ok"])
    );
    assert_eq!(limit(&stage, stage.bot.user_id()).await["messages_per_second"], 0);
}

#[tokio::test]
async fn a_room_of_two_one_that_the_bot_left_and_one_that_is_gone_are_said() {
    let Some(stage) = garden().await else { return };
    let (admin, bot) = (stage.synapse.admin(), stage.bot.user_id());
    let fine = stage.read("gateway/openclaw.json");
    let room = admin
        .create_room(&json!({ "room_alias_name": "pair", "preset": "private_chat" }))
        .await
        .expect("made");
    admin.force_join(&room, bot).await.expect("joined");
    let bind = |room: &str| {
        format!(
            "bindings: [ {{ agentId: 'felix', match: {{ channel: 'matrix', peer: {{ kind: 'channel', id: '{room}' }} }} }},"
        )
    };
    let bound = fine.replacen("bindings: [", &bind(&room), 1);
    stage.write("gateway/openclaw.json", &bound);
    let said = Report::of(&stage, &[], 0).await.said("matrix.rooms", "warning");
    assert!(said.contains("#pair:chat.stage has 2 members") && said.contains("direct chat"), "{said}");

    // With settings of its own it is a room, whatever it looks like; marked as a direct chat it is not.
    stage.write(
        "gateway/openclaw.json",
        &bound.replacen("groups: {", &format!("groups: {{ '{room}': {{}},"), 1),
    );
    assert_eq!(Report::of(&stage, &[], 0).await.standings("matrix.rooms"), ["ok"]);
    stage.write("gateway/openclaw.json", &bound);
    for user in ["ana", "ben"] {
        admin.force_join(&room, &format!("@{user}:{SERVER}")).await.expect("joined");
    }
    assert_eq!(Report::of(&stage, &[], 0).await.standings("matrix.rooms"), ["ok"], "four are a room");
    let path = format!("/_matrix/client/v3/user/{}/account_data/m.direct", encode(bot));
    stage.bot.put(&path, &json!({ format!("@ana:{SERVER}"): [room] })).await.expect("marked");
    let said = Report::of(&stage, &[], 0).await.said("matrix.rooms", "warning");
    assert!(said.contains("m.direct"), "{said}");
    stage.bot.put(&path, &json!({})).await.expect("no longer marked");

    let leave = format!("/_matrix/client/v3/rooms/{}/leave", encode(&room));
    stage.bot.post(&leave, &json!({})).await.expect("left");
    let said = Report::of(&stage, &[], 16).await.said("matrix.rooms", "failure");
    assert!(said.contains("is not in #pair:chat.stage"), "{said}");
    stage.write("gateway/openclaw.json", &fine.replacen("bindings: [", &bind("!gone"), 1));
    assert!(Report::of(&stage, &[], 0).await.said("matrix.rooms", "warning").contains("!gone"));

    // Releases before 2026.8 know no room of two at all.
    let list = json!({
        "agents": { "list": [{ "id": "felix" }] },
        "bindings": [{ "agentId": "felix", "match": { "channel": "matrix", "peer": { "kind": "channel", "id": room } } }],
        "channels": { "matrix": { "enabled": true, "groups": { &room: {} } } },
    });
    admin.force_join(&room, bot).await.expect("joined");
    for user in ["ana", "ben"] {
        let kick = format!("/_matrix/client/v3/rooms/{}/kick", encode(&room));
        admin.post(&kick, &json!({ "user_id": format!("@{user}:{SERVER}") })).await.expect("kicked");
    }
    stage.write("gateway/openclaw.json", &list.to_string());
    let said = Report::of(&stage, &[], 16).await.said("matrix.rooms", "failure");
    assert!(said.contains("never matches"), "{said}");
}

#[tokio::test]
async fn a_homeserver_that_is_away_or_hangs_or_knows_us_not_hides_nothing_else() {
    let Some(stage) = garden().await else { return };
    for (how, says) in
        [(Break::Lost, "connection broke"), (Break::Html, "not Matrix"), (Break::Hang, "no answer")]
    {
        stage.proxy.break_if(move |_, _| Some(how));
        let report = Report::of(&stage, &[], 16).await;
        assert!(report.said("matrix.reach", "failure").contains(says));
        assert_eq!(report.failures(), ["matrix.reach"]);
        for code in ["openclaw.file", "state.directory", "workspace.place"] {
            assert_eq!(report.standings(code), ["ok"], "{code}");
        }
    }
    stage.proxy.mend();
    let token = stage.read("secrets/admin");
    for (wrong, code) in [(stage.bot.token(), "matrix.admin"), ("syt_nobody", "matrix.token")] {
        stage.write("secrets/admin", wrong);
        let report = Report::of(&stage, &[], 16).await;
        report.said(code, "failure");
        assert_eq!(report.failures(), [code]);
        assert_eq!(report.standings("matrix.reach"), ["ok"]);
    }
    stage.write("secrets/admin", &token);
    let manifest = stage.read("fraktalia.yaml");
    stage.write("fraktalia.yaml", &manifest.replace("chat.stage", "other.stage"));
    let report = Report::of(&stage, &[], 16).await;
    assert!(report.said("matrix.server-name", "failure").contains("`chat.stage`"));
    assert!(report.failures().contains(&"matrix.bot"), "there is no such user: {report:?}");
}

#[tokio::test]
async fn settings_of_synapse_are_read_where_they_are_named() {
    let Some(stage) = garden().await else { return };
    assert_eq!(Report::of(&stage, &[], 0).await.standings("matrix.settings"), ["not_checked"]);
    let own = stage.read("synapse/homeserver.yaml");
    let named = ["--homeserver-yaml", "named.yaml"];
    let with = |more: &str| {
        stage.write("named.yaml", &format!("{own}\n{more}\n"));
        chmod(&stage, "named.yaml", 0o600);
    };
    with("");
    let report = Report::of(&stage, &named, 0).await;
    assert_eq!(report.standings("matrix.event-cache"), ["ok"]);
    with("event_cache_size: 10");
    assert!(Report::of(&stage, &named, 0).await.said("matrix.event-cache", "warning").contains("10 events"));
    with("enable_registration: true\nenable_registration_without_verification: true");
    assert!(Report::of(&stage, &named, 0).await.said("matrix.registration", "warning").contains("everybody"));
    chmod(&stage, "named.yaml", 0o644);
    assert!(Report::of(&stage, &named, 0).await.said("matrix.settings", "warning").contains("everybody"));
    stage.write("named.yaml", "server_name: other.home\n");
    assert!(
        Report::of(&stage, &named, 0).await.said("matrix.settings", "not_checked").contains("other.home")
    );
    stage.write("named.yaml", "registration_shared_secret: [do-not-show");
    let ran = stage.run(&["doctor", "--homeserver-yaml", "named.yaml"]).await.expect(0);
    assert!(ran.stdout.contains("named.yaml") && !ran.stdout.contains("do-not-show"), "{}", ran.stdout);
}
