//! What is said in the room is heard, and what we say is read there, encrypted.

use crate::stage::{OURS, Stage, bodies, find, hear, hear_event, id, is_vouched, key, sent, words};
use fraktalia_desk::{What, Words};
use fraktalia_model::UserId;
use serde_json::{Value, json};

#[tokio::test]
async fn each_kind_of_event_is_heard_in_an_encrypted_room() {
    let Some(mut stage) = Stage::set("round").await else { return };
    let room = stage.enter().await;
    assert!(room.is_new_device() && room.is_encrypted());
    let mut listening = room.listen(None);
    hear(&mut listening, |batch| !batch.position.is_empty()).await;

    let message = stage.agent.say("I propose").await.unwrap();
    let heard = hear_event(&mut listening, &message).await;
    assert!(
        matches!(&heard, What::Message { sent, answers: None, body, attachment: None }
        if body == "I propose" && sent.vouched && sent.joined && sent.by.0 == "@agent:chat.test"),
        "{heard:?}"
    );

    let thread = json!({ "rel_type": "m.thread", "event_id": message });
    let answer = json!({ "msgtype": "m.text", "body": "and", "m.relates_to": thread });
    let answer = stage.agent.send("m.room.message", answer).await.unwrap();
    let heard = hear_event(&mut listening, &answer).await;
    assert!(
        matches!(&heard, What::Message { answers: Some(root), .. } if *root == id(&message)),
        "{heard:?}"
    );

    let reaction = stage.operator.react(&message, "✅").await.unwrap();
    let heard = hear_event(&mut listening, &reaction).await;
    assert!(
        matches!(&heard, What::Reaction { sent, on, key }
        if *on == id(&message) && key == "✅" && sent.vouched && sent.joined),
        "{heard:?}"
    );
    let edit = stage.agent.edit(&message, "I propose more").await.unwrap();
    let redaction = stage.operator.redact(&reaction).await.unwrap();
    stage.agent.leave().await.unwrap();
    let gone = UserId("@agent:chat.test".into());
    let left = |what: &What| matches!(what, What::Left { who, .. } if *who == gone);
    let batch = hear(&mut listening, |batch| batch.events.iter().any(left)).await;
    let of = |event: &str| find(&batch, event).unwrap_or_else(|| panic!("no {event} in {batch:#?}"));
    assert!(matches!(of(&edit), What::Edited { of, .. } if *of == id(&message)));
    assert!(matches!(of(&redaction), What::Redacted { of, .. } if *of == id(&reaction)));
    assert!([&edit, &redaction].iter().all(|event| is_vouched(of(event))), "{batch:#?}");

    // Heard again from the start, what is known of the members is of now.
    let again = hear(&mut room.listen(None), |batch| find(batch, &edit).is_some()).await;
    assert!(!sent(find(&again, &edit).unwrap()).unwrap().joined, "the agent is gone by now");
    assert!(bodies(&again).contains(&"I propose"), "the first text, and not that of the edit");
}

#[tokio::test]
async fn what_we_say_is_encrypted_and_stands_in_its_thread() {
    let Some(mut stage) = Stage::set("say").await else { return };
    let proposal = stage.agent.say("I propose").await.unwrap();
    let room = stage.enter().await;
    let plan = Words::line("Plan `a`").item("<b>").code("x: 1");
    let said = room.say(&key("c.1.plan"), Some(&id(&proposal)), &plan).await.unwrap();
    let read = stage.operator.next_message(|message| message.event == said.as_str()).await.unwrap();
    assert!(read.encrypted && read.by == OURS, "{read:?}");
    assert_eq!(read.content["body"], plan.plain());
    assert_eq!(read.content["formatted_body"], plan.html());
    assert_eq!(read.content["m.mentions"], json!({}));
    assert_eq!(read.content["m.relates_to"]["rel_type"], "m.thread");
    assert_eq!(read.content["m.relates_to"]["event_id"], proposal);

    room.edit(&key("c.1.done"), &said, &words("Done")).await.unwrap();
    let edited = stage.agent.next_message(|message| message.body() == "* Done").await.unwrap();
    assert!(edited.encrypted);
    assert_eq!(edited.content["m.new_content"]["body"], "Done");
    assert_eq!(edited.content["m.relates_to"], json!({ "rel_type": "m.replace", "event_id": said.as_str() }));
}

#[tokio::test]
async fn a_file_is_read_when_it_is_small_text_and_never_fetched_when_it_is_large() {
    let Some(mut stage) = Stage::set("files").await else { return };
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    hear(&mut listening, |batch| !batch.position.is_empty()).await;
    stage.agent.catch_up().await.unwrap();

    let small = stage.agent.attach("a.yaml", "application/yaml", b"fractals: {}\n").await.unwrap();
    let heard = hear_event(&mut listening, &small).await;
    assert!(
        matches!(&heard, What::Message { attachment: Some(text), .. } if text == "fractals: {}\n"),
        "{heard:?}"
    );

    let large =
        stage.agent.attach("b.yaml", "application/yaml", "x".repeat(1_000_000).as_bytes()).await.unwrap();
    let binary = stage.agent.attach("c.yml", "application/yaml", b"\xff\xfe").await.unwrap();
    let picture = stage.agent.attach("d.png", "image/png", b"picture").await.unwrap();
    // One that says it is small, and is not.
    let mut description = read_content(&mut stage, &large).await;
    description["info"]["size"] = json!(5);
    let liar = stage.agent.send("m.room.message", description).await.unwrap();
    let elsewhere = json!({ "msgtype": "m.file", "body": "e.yaml", "url": "mxc://evil.test/abc" });
    let elsewhere = stage.agent.send("m.room.message", elsewhere).await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &elsewhere).is_some()).await;
    let text = |event: &str| match find(&batch, event) {
        Some(What::Message { attachment, .. }) => attachment.as_ref().map(String::len),
        _ => None,
    };
    let too_long = fraktalia_desk::found::MESSAGE + 1;
    assert_eq!((text(&large), text(&liar)), (Some(too_long), Some(too_long)));
    assert_eq!((text(&binary), text(&picture), text(&elsewhere)), (None, None, None));
    let unread: Vec<_> = batch.unread.iter().map(|unread| unread.event.as_str()).collect();
    assert_eq!(unread, [&*binary, &*elsewhere], "{batch:#?}");
}

async fn read_content(stage: &mut Stage, event: &str) -> Value {
    stage.operator.next_message(|message| message.event == event).await.unwrap().content
}

#[tokio::test]
async fn in_a_room_without_encryption_the_homeserver_is_believed() {
    let Some(mut stage) = Stage::set_with("clear", false).await else { return };
    let room = stage.enter().await;
    assert!(!room.is_encrypted());
    let mut listening = room.listen(None);
    let message = stage.agent.say("hello").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &message).await));
    let file = stage.agent.attach("a.yaml", "text/plain", b"a: 1").await.unwrap();
    let heard = hear_event(&mut listening, &file).await;
    assert!(matches!(&heard, What::Message { attachment: Some(text), .. } if text == "a: 1"), "{heard:?}");

    // What has a wrong shape does not end the loop, where the homeserver lets it through at all.
    let mut passed = 0;
    for (kind, content) in [
        ("m.room.message", json!({ "msgtype": 7, "body": [] })),
        ("m.room.message", json!({ "msgtype": "m.image", "body": "x", "info": [] })),
        ("m.reaction", json!({ "m.relates_to": "x" })),
        ("m.reaction", json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": message } })),
        (
            "m.room.message",
            json!({ "msgtype": "m.text", "body": "x", "m.relates_to": { "rel_type": "m.replace" } }),
        ),
        ("m.room.encrypted", json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": 7 })),
        ("m.room.member", json!({ "membership": "leave" })),
    ] {
        passed += usize::from(stage.agent.send_in_clear(kind, &content).await.is_ok());
    }
    assert!(passed > 2, "{passed}");
    let after = stage.agent.say("after").await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &after).is_some()).await;
    assert_eq!(bodies(&batch), ["after"], "{batch:#?}");
}
