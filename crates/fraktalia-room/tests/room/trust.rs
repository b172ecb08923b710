//! Whose word an event in an encrypted room is, seen with real devices.

use crate::stage::{Stage, find, hear, hear_event, is_vouched};
use fraktalia_desk::What;
use fraktalia_model::UserId;
use fraktalia_room::testing::Device;
use serde_json::json;

#[tokio::test]
async fn words_in_clear_in_an_encrypted_room_are_not_vouched_for_and_reactions_are() {
    let Some(mut stage) = Stage::set("words").await else { return };
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    let clear = json!({ "msgtype": "m.text", "body": "in clear" });
    let clear = stage.agent.send_in_clear("m.room.message", &clear).await.unwrap();
    assert!(!is_vouched(&hear_event(&mut listening, &clear).await));
    let reaction = stage.operator.react(&clear, "✅").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &reaction).await));
    let edit = json!({
        "msgtype": "m.text", "body": "* x", "m.new_content": { "msgtype": "m.text", "body": "x" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": clear },
    });
    let edit = stage.agent.send_in_clear("m.room.message", &edit).await.unwrap();
    assert!(!is_vouched(&hear_event(&mut listening, &edit).await));
    // What only the homeserver may say is a forgery when somebody encrypted it.
    for (kind, content) in [
        ("m.room.redaction", json!({ "redacts": clear })),
        ("m.room.member", json!({ "membership": "leave" })),
    ] {
        stage.agent.send(kind, content).await.unwrap();
    }
    let last = stage.agent.say("last").await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &last).is_some()).await;
    assert_eq!(batch.events.len(), 1, "{batch:#?}");
}

#[tokio::test]
async fn a_device_without_a_signature_speaks_for_those_who_have_no_identity_only() {
    let Some(mut stage) = Stage::set("unsigned").await else { return };
    let url = stage.synapse.base_url();
    stage.synapse.register("bot", "a password", false).await.unwrap();
    let mut bot = Device::log_in(&url, "bot", "a password").await.unwrap();
    let invite = json!({ "user_id": "@bot:chat.test" });
    let path = format!("/_matrix/client/v3/rooms/{}/invite", fraktalia_testkit::real::encode(&stage.room));
    let operator = fraktalia_testkit::real::Person::log_in(&url, "operator", "a password").await.unwrap();
    operator.post(&path, &invite).await.unwrap();
    bot.join(&stage.room).await.unwrap();
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    hear(&mut listening, |batch| !batch.position.is_empty()).await;

    let said = bot.say("I have no identity").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &said).await));

    // A device of the agent that its identity has not signed, made while we listen.
    let mut stolen = Device::log_in(&url, "agent", "a password").await.unwrap();
    stolen.join(&stage.room).await.unwrap();
    let said = stolen.say("I am the agent").await.unwrap();
    assert!(!is_vouched(&hear_event(&mut listening, &said).await));
    let said = stage.agent.say("no, I am").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &said).await));
}

#[tokio::test]
async fn who_changes_their_identity_is_not_vouched_for_until_it_is_trusted() {
    let Some(mut stage) = Stage::set("changed").await else { return };
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    let first = stage.operator.say("it is me").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &first).await));

    let mut other = Device::log_in(&stage.synapse.base_url(), "operator", "a password").await.unwrap();
    other.bootstrap_cross_signing().await.unwrap();
    other.join(&stage.room).await.unwrap();
    let said = other.say("me again").await.unwrap();
    let reaction = other.react(&first, "✅").await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &reaction).is_some()).await;
    for event in [&said, &reaction] {
        assert!(!is_vouched(find(&batch, event).unwrap()), "{batch:#?}");
    }
    // Not after a restart either.
    drop((listening, room));
    let room = stage.enter().await;
    assert!(!room.is_new_device());
    let mut listening = room.listen(Some(batch.position));
    let reaction = other.react(&first, "👍").await.unwrap();
    assert!(!is_vouched(&hear_event(&mut listening, &reaction).await));

    assert!(room.trust(&UserId("@operator:chat.test".into())).await.unwrap());
    let said = other.say("trusted").await.unwrap();
    let reaction = other.react(&first, "❤").await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &reaction).is_some()).await;
    for event in [&said, &reaction] {
        assert!(is_vouched(find(&batch, event).unwrap()), "{batch:#?}");
    }
    assert!(matches!(find(&batch, &said), Some(What::Message { body, .. }) if body == "trusted"));
}
