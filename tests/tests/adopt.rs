//! An installation that was made by hand, with plain calls, is taken over: nothing of it changes but for the marker in its
//! rooms.

#[path = "adopt/installation.rs"]
mod installation;

use fraktalia_testkit::real::Version;
use installation::{Installation, SECRET};
use serde_json::{Value, json};

async fn taken_over(version: Version) {
    let Some(mut house) = Installation::by_hand(version).await else { return };
    let before = house.world().await;
    let manifest = house.stage.read("fraktalia.yaml");

    house.stage.proxy.take_calls();
    let shown = house.stage.run(&["adopt"]).await.expect(0);
    for (what, why) in [
        ("felix", "has no room of its own"),
        ("a18", "no binding leads from a room to it"),
        ("a19", "account `work`"),
        ("telegram group -100", "another channel"),
        ("Ana's own", "`--enter`"),
        ("a15", "openclaw/group/a15 would be made"),
        (house.network.as_str(), "made, and closed, anew"),
    ] {
        assert!(shown.stdout.contains(what) && shown.stdout.contains(why), "{what}: {}", shown.stdout);
    }
    assert_eq!(house.stage.read("fraktalia.yaml"), manifest, "without --write nothing is written");
    let _ = house.stage.run(&["adopt", "--write"]).await.expect(0);
    let written = house.stage.read("fraktalia.yaml");
    assert_eq!(without_what_came(&written, &manifest), manifest, "what was there is there as it was");
    assert!(!written.contains(SECRET) && !shown.stdout.contains(SECRET), "{written}");
    let _ = house.stage.run(&["check"]).await.expect(0);

    let plan = house.plan().await;
    let verbs: Vec<&str> =
        plan["changes"].as_array().unwrap().iter().filter_map(|one| one["verb"].as_str()).collect();
    assert!(verbs.len() > 60 && verbs.iter().all(|verb| *verb == "adopt"), "{plan:#}");
    assert_eq!(plan["counts"]["adopt"], json!(verbs.len()));
    assert_eq!(agents(&plan), 15, "{plan:#}");
    assert_eq!(house.stage.proxy.take_writes(), [], "all that was only looked at");
    assert_eq!(house.world().await, before);

    let _ = house.stage.run(&["apply", "--yes"]).await.expect(0);
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(0);
    let after = house.world().await;
    assert_eq!(after["openclaw"], before["openclaw"]);
    assert_eq!(after["files"], before["files"]);
    let mut marked = 0;
    for (room, state) in before["rooms"].as_object().unwrap() {
        let (new, old) = (&after["rooms"][room], state.as_object().unwrap());
        let came: Vec<&String> =
            new.as_object().unwrap().keys().filter(|key| !old.contains_key(*key)).collect();
        assert!(old.iter().all(|(key, event)| new[key] == *event), "{room} has changed:\n{state:#}\n{new:#}");
        assert!(came.is_empty() || came == ["io.fraktalia.owner "], "{room} got {came:?}");
        marked += came.len();
    }
    assert_eq!(
        marked,
        15 + 6 + 4,
        "agents' own rooms, their second ones, the lounge, the space and what is in it"
    );

    drift(&mut house).await;
    a_room_without_an_address(&house).await;
    rooms_of_others(&mut house).await;
}

/// The lines of `text` that `old` has too, if all of them are there, in order.
fn without_what_came(text: &str, old: &str) -> String {
    let mut left = old.lines().peekable();
    let kept = text.lines().filter(|line| left.next_if_eq(line).is_some());
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn agents(plan: &Value) -> usize {
    let ids = plan["changes"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str());
    ids.filter(|id| id.starts_with("openclaw/agent/")).count()
}

/// What somebody changes live afterwards is right as well.
async fn drift(house: &mut Installation) {
    house.set_topic("a06", "Something else").await;
    house.kick("a06", "ben").await;
    let path = "gateway/openclaw.json";
    let text = house.stage.read(path).replacen("model/three", "model/four", 1);
    house.stage.write(path, &text);
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(3);
    let before = house.world().await;

    let shown = house.stage.run(&["adopt", "a06"]).await.expect(0);
    assert!(shown.stdout.contains("Something else") && shown.stdout.contains('-'), "{}", shown.stdout);
    let manifest = house.stage.read("fraktalia.yaml");
    let _ = house.stage.run(&["adopt", "a06", "openclaw/agent/a03", "--write"]).await.expect(0);
    let now = house.stage.read("fraktalia.yaml");
    assert!(now.contains("Something else") && now.contains("model/four"), "{now}");
    let same = manifest.lines().filter(|line| now.contains(line)).count();
    assert!(manifest.lines().count() - same <= 3, "three lines at most are others:\n{manifest}\n{now}");
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(house.world().await, before, "nothing live has changed");
}

/// Other commands find it by its id as well.
async fn a_room_without_an_address(house: &Installation) {
    house.say("a01", "Peas in row three.").await;
    let reset = house.stage.run(&["reset", "a01", "--history", "--yes", "a01"]).await.expect(0);
    assert!(reset.stdout.contains("Room of a01 will lose"), "{}", reset.stdout);
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(0);
}

/// Rooms that our own user is not in, and rooms that another realm has marked, each take a word of their own.
async fn rooms_of_others(house: &mut Installation) {
    let refused = house.stage.run(&["adopt", "a16", "--write"]).await.expect(15);
    assert!(refused.stderr.contains("--enter"), "{}", refused.stderr);
    let _ = house.stage.run(&["adopt", "a16", "--enter", "--write"]).await.expect(0);
    let _ = house.stage.run(&["apply", "--yes"]).await.expect(0);
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(0);

    let room = house.marked_by("work").await;
    let refused = house.stage.run(&["adopt", &room, "--write"]).await.expect(15);
    assert!(refused.stderr.contains("--from-realm work"), "{}", refused.stderr);
    let _ = house.stage.run(&["adopt", &room, "--from-realm", "work", "--write"]).await.expect(0);
    let _ = house.stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(house.realm_of(&room).await, "stage");
    let _ = house.stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn an_installation_of_the_newer_shape_is_taken_over_and_nothing_changes_but_markers() {
    taken_over(Version::Entries).await;
}

#[tokio::test]
async fn an_installation_of_the_older_shape_is_taken_over_and_nothing_changes_but_markers() {
    taken_over(Version::List).await;
}

#[tokio::test]
async fn what_the_manifest_asks_for_and_others_have_made_otherwise_is_taken_as_it_is() {
    let Some(house) = Installation::by_hand(Version::Entries).await else { return };
    let text = house.stage.read("fraktalia.yaml");
    let wishes = "rooms:\n  lounge:\n    name: Mine   # as I would have it\n    members: [cleo]\n";
    house.stage.write("fraktalia.yaml", &format!("{text}users: {{ cleo: {{}} }}\n{wishes}"));
    let blocked = house.stage.run(&["plan"]).await.expect(15);
    assert!(blocked.stdout.contains("fraktalia adopt matrix/room/lounge"), "{}", blocked.stdout);
    let before = house.world().await;
    let _ = house.stage.run(&["adopt", "matrix/room/lounge", "lounge", "--write"]).await;
    let now = house.stage.read("fraktalia.yaml");
    assert!(now.contains("name: The lounge   # as I would have it"), "{now}");
    let plan = house.stage.run(&["plan"]).await.expect(0);
    assert!(!plan.stdout.contains("  + room") && !plan.stdout.contains("  ~ room"), "{}", plan.stdout);
    assert_eq!(house.world().await, before);
}
