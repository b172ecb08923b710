//! From a manifest to an agent that answers in its room, and back: everything real.

use std::time::Duration;

use fraktalia_testkit::real::Person;
use fraktalia_tests::{PASSWORD, SERVER, Stage, With};

const LIMIT: Duration = Duration::from_mins(3);

const WISHES: &str = "\
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: { display_name: Ben }
rooms:
  house: { space: true, name: Our house, members: [ana] }
  lounge:
    name: The lounge
    topic: For everybody
    members: [ana, ben]
    join_rule: invite
    history: shared
    power_levels: { ana: 100 }
    in: house
fractals:
  gardener:
    purpose: Looks after the garden plan.
    persona: |
      You are patient and practical.
    members: [ana, ben]
    room: { topic: Beds and seeds, in: house }
    auto_reply: true
    workspace:
      files:
        USER.md: { content: \"Ana and Ben.\", keep: sync }
  cook:
    purpose: Knows what is in the larder.
    members: [ana, ben]
    account: own
    auto_reply: true
    openclaw: { tools: { deny: [browser] } }
bindings:
  - { agent: gardener, room: lounge }
";

#[tokio::test]
async fn each_new_agent_answers_in_its_own_room_and_a_rollback_leaves_nothing() {
    let Some(stage) = Stage::set(With::Gateway).await else { return };
    stage.manifest(WISHES);
    let before = stage.world().await;

    let plan = stage.run(&["plan", "--exit-code"]).await.expect(3);
    assert!(plan.stdout.contains("#gardener"), "{}", plan.stdout);
    assert_eq!(stage.world().await, before, "a plan changes nothing");

    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let ana = Person::log_in(&stage.synapse.base_url(), "ana", PASSWORD).await.expect("Ana's account works");
    for (room, answerer, word) in [
        ("gardener", stage.bot.user_id().to_owned(), "garden plan"),
        ("cook", format!("@cook:{SERVER}"), "larder"),
        ("lounge", stage.bot.user_id().to_owned(), "garden plan"),
    ] {
        let id = stage.room(room).await.expect("the room exists");
        // In a room of several agents, or of none of its own, an agent answers when it is named.
        let question = format!("{answerer}: who are you, and what for?");
        let answer = ana.ask(&id, &answerer, &question, LIMIT).await;
        let answer = answer.unwrap_or_else(|error| panic!("{room}: {error}"));
        assert!(answer.body.contains(word), "{room} answered: {}", answer.body);
    }

    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    stage.proxy.take_calls();
    let file = std::fs::metadata(stage.path("gateway/openclaw.json")).unwrap();
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.proxy.take_writes(), [], "an apply with nothing to do writes nothing");
    let same = std::fs::metadata(stage.path("gateway/openclaw.json")).unwrap();
    assert_eq!(file.modified().unwrap(), same.modified().unwrap());

    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.world().await, before);
    let again = stage.run(&["plan", "--exit-code"]).await.expect(3);
    assert!(again.stdout.contains("#gardener"), "{}", again.stdout);
}
