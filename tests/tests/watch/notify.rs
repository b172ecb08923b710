//! What happened is said in a room.

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::{Person, encode};
use fraktalia_tests::{SERVER, Stage, With};
use serde_json::{Value as Json, json};

use super::running::Watch;

/// `ops` is where it is said; the other rooms are where it cannot be.
fn wishes(topic: &str) -> String {
    format!(
        "users: {{ ana: {{}} }}\nrooms:\n  \
         ops: {{ name: Operations, members: [ana, \"@agent:{SERVER}\"] }}\n  \
         lounge: {{ name: The lounge, topic: {topic}, members: [ana] }}\n  \
         vault: {{ name: The vault, encrypted: true, members: [ana, \"@agent:{SERVER}\"] }}\n"
    )
}

async fn set_topic(stage: &Stage, text: &str) {
    let room = encode(&stage.room("lounge").await.expect("the lounge exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    stage.synapse.admin().put(&path, &json!({ "topic": text })).await.expect("the topic is set");
}

/// All notices in the operators' room so far, oldest first, read by the bot, who is in it.
async fn notices(stage: &Stage, bot: &Person) -> Vec<Json> {
    let room = encode(&stage.room("ops").await.expect("the room exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
    let answer = bot.get(&path).await.expect("messages");
    let events = answer["chunk"].as_array().cloned().unwrap_or_default();
    let mut notices: Vec<Json> =
        events.into_iter().filter(|event| event["type"] == "m.room.message").collect();
    notices.reverse();
    notices
}

/// Waits until a notice says this; it.
async fn says(stage: &Stage, text: &str) -> Json {
    loop {
        let found = notices(stage, &stage.bot).await;
        let said = |event: &&Json| event["content"]["body"].as_str().is_some_and(|body| body.contains(text));
        if let Some(event) = found.iter().find(said) {
            return event.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_drifts_and_what_is_done_about_it_is_a_notice_that_calls_nobody() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(&wishes("For everybody"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let mut watch = Watch::start(&stage, &["--policy", "full", "--every", "1h", "--notify", "matrix:ops"]);
    watch.in_sync().await;
    set_topic(&stage, "By hand").await;
    watch.until(|line| line["outcome"] == "applied").await;
    let event = says(&stage, "applied: run").await;
    let content = &event["content"];
    assert_eq!((&content["msgtype"], &content["m.mentions"]), (&"m.notice".into(), &json!({})));
    assert_eq!(event["sender"], json!(stage.bot.user_id()));
    let body = content["body"].as_str().expect("a text");
    assert!(body.starts_with("stage\ndrift: room #lounge"), "what happens together is one message: {body}");
    assert!(content["formatted_body"].as_str().expect("a text").starts_with("<b>stage</b><br>drift: "));

    // A name that would be a link, or call everybody.
    stage.manifest(
        &wishes("x").replace("users: {", "users: { eve: { display_name: \"<a href=x>@room</a>\" },"),
    );
    watch.until(|line| line["outcome"] == "applied").await;
    let event = says(&stage, "eve").await;
    let html = event["content"]["formatted_body"].as_str().expect("a text");
    assert!(!html.contains("<a"), "{html}");
    stage.write("fraktalia.yaml", "version: 1\nrealm: stage\nnonsense: true\n");
    let event = says(&stage, "manifest: has errors").await;
    assert!(event["content"]["body"].as_str().expect("a text").contains("fraktalia.yaml:3:1"), "{event}");
    let before = notices(&stage, &stage.bot).await.len();
    assert_eq!(watch.end().await.0, Some(0));
    assert_eq!(notices(&stage, &stage.bot).await.len(), before, "its end is no news");
    // The token of the bot went with the watch.
    let path = format!("/_synapse/admin/v2/users/{}/devices", encode(stage.bot.user_id()));
    let devices = stage.synapse.admin().get(&path).await.expect("devices");
    assert_eq!(devices["total"], 1, "the one that it registered with: {devices}");
}

#[tokio::test]
async fn where_it_cannot_be_said_the_watch_goes_on_and_tells_why_once() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(&wishes("For everybody"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    for (room, why) in [
        ("vault", "end-to-end encrypted"),
        ("lounge", "is not in lounge"),
        ("nowhere", "is no room of the manifest"),
        ("#nowhere:chat.stage", "there is no room"),
    ] {
        let notify = format!("matrix:{room}");
        let mut watch = Watch::start(&stage, &["--policy", "full", "--every", "1h", "--notify", &notify]);
        watch.in_sync().await;
        set_topic(&stage, &format!("By hand, {room}")).await;
        watch.until(|line| line["outcome"] == "applied").await;
        let line = watch.happening("notifying").await;
        assert!(line["why"].as_str().is_some_and(|text| text.contains(why)), "{line}");
        set_topic(&stage, &format!("Again, {room}")).await;
        watch.until(|line| line["outcome"] == "applied").await;
        let (code, said) = watch.end().await;
        assert_eq!(code, Some(0));
        assert_eq!(said.iter().filter(|line| line["happening"] == "notifying").count(), 1, "{said:#?}");
    }
}

#[tokio::test]
async fn what_a_homeserver_does_not_take_is_said_later_and_once() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(&wishes("For everybody"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    // The first is taken, and the answer is lost.
    stage.proxy.break_once(Break::DoneButLost, |_, path| path.contains("/send/m.room.message"));
    let mut watch = Watch::start(&stage, &["--policy", "full", "--every", "1h", "--notify", "matrix:ops"]);
    watch.in_sync().await;
    set_topic(&stage, "By hand").await;
    watch.until(|line| line["outcome"] == "applied").await;
    let line = watch.until(|line| line["happening"] == "notifying" && line["mute"] == true).await;
    assert!(line["why"].is_string(), "{line}");
    watch.until(|line| line["happening"] == "notifying" && line["mute"] == false).await;
    says(&stage, "applied: run").await;
    assert_eq!(watch.end().await.0, Some(0));
    let said = notices(&stage, &stage.bot).await;
    assert_eq!(said.len(), 1, "{said:#?}");
}
