//! Nothing is lost and nothing is said twice: kills, gaps, a homeserver that is away, keys that are late or lost.

use std::time::Duration;

use crate::stage::{OURS, Stage, bodies, find, hear, hear_event, id, is_vouched, key, words};
use fraktalia_desk::What;
use fraktalia_room::testing::Device;
use fraktalia_room::{Room, RoomError, Settings, Why};
use fraktalia_testkit::proxy::{Break, Proxy};
use serde_json::json;

#[tokio::test]
async fn what_was_not_kept_is_heard_again_and_what_was_left_out_is_fetched() {
    let Some(mut stage) = Stage::set("kill").await else { return };
    let room = stage.enter().await;
    assert!(matches!(Room::enter(&stage.settings()).await, Err(RoomError::InUse { .. })));
    let mut listening = room.listen(None);
    let first = stage.agent.say("first").await.unwrap();
    let kept = hear(&mut listening, |batch| find(batch, &first).is_some()).await.position;
    let second = stage.agent.say("second").await.unwrap();
    hear_event(&mut listening, &second).await;
    drop((listening, room)); // killed before the position was kept

    // More than one answer of the homeserver holds.
    for number in 0..130 {
        stage.agent.say(&format!("{number}")).await.unwrap();
    }
    let last = stage.agent.say("last").await.unwrap();
    let room = stage.enter().await;
    assert!(!room.is_new_device());
    let batch = hear(&mut room.listen(Some(kept)), |batch| find(batch, &last).is_some()).await;
    let expected = ["second".to_owned()].into_iter().chain((0..130).map(|number| number.to_string()));
    let expected: Vec<String> = expected.chain(["last".to_owned()]).collect();
    assert_eq!(bodies(&batch), expected);
    assert!(batch.unread.is_empty() && batch.events.iter().all(is_vouched), "{batch:#?}");
}

#[tokio::test]
async fn a_key_is_said_once_over_restarts_of_both_and_a_homeserver_that_is_away_is_waited_for() {
    let Some(mut stage) = Stage::set("once").await else { return };
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    let position = hear(&mut listening, |batch| !batch.position.is_empty()).await.position;
    let said = room.say(&key("c.1.plan"), None, &words("the plan")).await.unwrap();
    assert_eq!(room.say(&key("c.1.plan"), None, &words("the plan")).await.unwrap(), said);

    stage.synapse.kill().await.unwrap();
    let error = room.say(&key("c.2.plan"), None, &words("lost?")).await.unwrap_err();
    assert!(error.to_string().contains("cannot say something in"), "{error}");
    let waits = tokio::spawn(async move {
        hear(&mut listening, |batch| bodies(batch).contains(&"back")).await;
    });
    stage.synapse.restart().await.unwrap();
    stage.agent.say("back").await.unwrap();
    waits.await.unwrap();

    assert_eq!(room.say(&key("c.1.plan"), None, &words("the plan")).await.unwrap(), said);
    drop(room);
    let room = stage.enter().await;
    assert_eq!(room.say(&key("c.1.plan"), None, &words("the plan")).await.unwrap(), said);
    assert_ne!(room.say(&key("c.3.plan"), None, &words("another")).await.unwrap(), said);
    let batch = hear(&mut room.listen(Some(position)), |batch| bodies(batch).contains(&"another")).await;
    assert_eq!(bodies(&batch), ["the plan", "back", "another"]);
}

#[tokio::test]
async fn a_lost_store_and_a_removed_device_make_a_new_one_that_works() {
    let Some(mut stage) = Stage::set("lost").await else { return };
    let room = stage.enter().await;
    let position = hear(&mut room.listen(None), |batch| !batch.position.is_empty()).await.position;
    let [first] = &stage.our_devices().await[..] else { panic!("one device") };
    let first = first.clone();
    drop(room);

    std::fs::remove_dir_all(stage.ours().join("store")).unwrap();
    let early = stage.agent.say("while there was no store").await.unwrap();
    let settings = Settings { keys_within: Duration::ZERO, ..stage.settings() };
    let room = Room::enter(&settings).await.unwrap();
    assert!(room.is_new_device());
    assert!(!stage.our_devices().await.contains(&first), "the old device is gone");
    let mut listening = room.listen(Some(position));
    let batch = hear(&mut listening, |batch| !batch.unread.is_empty()).await;
    assert_eq!((batch.unread[0].event.as_str(), &batch.unread[0].why), (&*early, &Why::NoKey));
    let said = stage.agent.say("to the new one").await.unwrap();
    assert!(is_vouched(&hear_event(&mut listening, &said).await));
    let ours = room.say(&key("c.1.plan"), None, &words("new")).await.unwrap();
    let read = stage.operator.next_message(|message| message.event == ours.as_str()).await.unwrap();
    assert_eq!(read.body(), "new");

    // Removed while we listen: said so, and mended by entering again.
    let device = stage.our_devices().await.remove(0);
    let path = format!("/_synapse/admin/v2/users/{OURS}/delete_devices");
    stage.synapse.admin().post(&path, &json!({ "devices": [device] })).await.unwrap();
    let ended = loop {
        match listening.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, RoomError::SignedOut), "{ended}");
    drop((listening, room));
    let room = stage.enter().await;
    assert!(room.is_new_device());
    drop(room);

    // A store that is no store, and no session at all.
    let store = stage.ours().join("store/matrix-sdk-crypto.sqlite3");
    std::fs::write(store, "no database").unwrap();
    assert!(stage.enter().await.is_new_device());
    std::fs::remove_file(stage.ours().join("session.json")).unwrap();
    assert!(stage.enter().await.is_new_device());
    assert!(!stage.enter().await.is_new_device());
}

#[tokio::test]
async fn a_message_waits_for_its_key_over_a_restart_and_is_told_of_when_none_comes() {
    let Some(mut stage) = Stage::set("keys").await else { return };
    let room = stage.enter().await;
    let mut listening = room.listen(None);
    hear(&mut listening, |batch| !batch.position.is_empty()).await;
    let proxy = Proxy::start(&stage.synapse.base_url()).await.unwrap();
    let mut late = Device::log_in(proxy.url(), "agent", "a password").await.unwrap();
    late.bootstrap_cross_signing().await.unwrap();
    late.join(&stage.room).await.unwrap();
    assert!(room.trust(&fraktalia_model::UserId("@agent:chat.test".into())).await.unwrap());

    proxy.break_if(|_, path| path.contains("/sendToDevice/m.room.encrypted").then_some(Break::Later));
    let waits = late.say("late").await.unwrap();
    let edited = late.say("first").await.unwrap();
    late.edit(&edited, "second").await.unwrap();
    let clear = json!({ "msgtype": "m.text", "body": "in clear" });
    let clear = late.send_in_clear("m.room.message", &clear).await.unwrap();
    let batch = hear(&mut listening, |batch| find(batch, &clear).is_some()).await;
    assert_eq!(batch.events.len(), 1, "{batch:#?}");
    drop((listening, room));

    let room = stage.enter().await;
    let mut listening = room.listen(Some(batch.position));
    proxy.mend();
    let batch = hear(&mut listening, |batch| find(batch, &waits).is_some()).await;
    let heard = find(&batch, &waits).unwrap();
    assert!(matches!(heard, What::Message { body, .. } if body == "late"), "{heard:?}");
    assert!(is_vouched(heard));
    assert!(find(&batch, &edited).is_none(), "{batch:#?}");
    let unread: Vec<_> =
        batch.unread.iter().map(|unread| (unread.event.clone(), unread.why.clone())).collect();
    assert_eq!(unread, [(id(&edited), Why::Edited)]);
    let last = stage.operator.say("last").await.unwrap();
    hear_event(&mut listening, &last).await;
    assert_eq!(std::fs::read_to_string(stage.ours().join("unread.json")).unwrap(), "[]", "told of once");
    drop((listening, room));

    // One whose key never comes.
    let settings = Settings { keys_within: Duration::from_secs(2), ..stage.settings() };
    let room = Room::enter(&settings).await.unwrap();
    let position = hear(&mut room.listen(None), |batch| !batch.position.is_empty()).await.position;
    let mut listening = room.listen(Some(position));
    let forged = json!({
        "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "device_id": "X", "sender_key": "x", "session_id": "x",
    });
    let forged = stage.agent.send_in_clear("m.room.encrypted", &forged).await.unwrap();
    let batch = hear(&mut listening, |batch| !batch.unread.is_empty()).await;
    assert_eq!((batch.unread[0].event.as_str(), &batch.unread[0].why), (&*forged, &Why::NoKey));
}

#[tokio::test]
async fn the_administrator_brings_us_in_where_nobody_invites_us() {
    let Some(mut stage) = Stage::set("joined").await else { return };
    let admin = stage.synapse.admin().user_id().to_owned();
    let private = stage.operator.create_room(&[&admin], true).await.unwrap();
    let settings = Settings { room: private.clone(), ..stage.settings() };
    let refused = Room::enter(&settings).await.unwrap_err().to_string();
    assert!(refused.contains("hint: invite the user"), "{refused}");
    let path = format!("/_matrix/client/v3/join/{}", fraktalia_testkit::real::encode(&private));
    stage.synapse.admin().post(&path, &json!({})).await.unwrap();
    let room = Room::enter(&settings).await.unwrap();
    assert_eq!(room.id().0, private);
    let said = room.say(&key("c.1.x"), None, &words("here")).await.unwrap();
    assert!(stage.operator.next_message(|message| message.event == said.as_str()).await.unwrap().encrypted);
}
