//! What went wrong with the scripts that fraktalia replaces, and must never happen again.

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::encode;
use fraktalia_tests::{PASSWORD, SERVER, Stage, With};
use serde_json::json;

const GARDENER: &str = "\
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: {}
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    auto_reply: true
";

#[tokio::test]
async fn a_create_whose_answer_got_lost_makes_no_second_room() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    stage.proxy.break_once(Break::DoneButLost, |_, path| path.contains("/createRoom"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.rooms().await.len(), 1);
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn a_room_has_three_joined_members_and_not_three_invitations() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.synapse.register("warden", "x-password", false).await.unwrap();
    let padded = GARDENER.to_owned() + "  idle:\n    purpose: Has only one member.\n    members: [ana]\n";
    stage.manifest(&padded);
    let text = stage.read("fraktalia.yaml");
    let padding = format!("  padding: [\"@warden:{SERVER}\"]\nopenclaw:");
    stage.write("fraktalia.yaml", &text.replace("openclaw:", &padding));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    for alias in ["gardener", "idle"] {
        let room = stage.room(alias).await.unwrap();
        let joined =
            stage.synapse.admin().get(&format!("/_synapse/admin/v1/rooms/{}/members", encode(&room))).await;
        let joined = joined.unwrap()["total"].as_u64();
        assert!(joined >= Some(3), "{alias} has {joined:?} joined members");
    }
}

#[tokio::test]
async fn a_later_failure_leaves_no_orphan_room_and_removes_no_file_that_was_there() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    stage.write("workspaces/gardener/notes.md", "The agent's own notes.");
    stage.write("workspaces/gardener/SOUL.md", "An old soul.");
    let before = stage.world().await;
    stage.proxy.break_if(|_, path| path.contains("/join/").then_some(Break::ServerError));
    let ran = stage.run(&["apply", "--yes"]).await.expect(20);
    assert!(ran.stderr.contains("join"), "it says what failed:\n{}", ran.stderr);
    stage.proxy.mend();
    assert_eq!(stage.world().await, before, "{}", ran.stderr);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.read("workspaces/gardener/SOUL.md"), "An old soul.");
    assert_eq!(stage.read("workspaces/gardener/notes.md"), "The agent's own notes.");
}

#[tokio::test]
async fn a_fractal_whose_name_is_used_again_finds_its_old_workspace() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    stage.write("workspaces/gardener/memory/2026.md", "Sowed beans.");
    stage.manifest("users: { ana: {}, ben: {} }\n");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.read("workspaces/gardener/memory/2026.md"), "Sowed beans.");
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.read("workspaces/gardener/memory/2026.md"), "Sowed beans.");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn two_applies_at_once_lose_no_agent() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let (first, second) = tokio::join!(stage.run(&["apply", "--yes"]), stage.run(&["apply", "--yes"]));
    let mut codes = [first.code, second.code];
    codes.sort();
    assert!(
        codes == [Some(0), Some(14)] || codes == [Some(0), Some(0)],
        "{codes:?}\n{}\n{}",
        first.stderr,
        second.stderr
    );
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(stage.rooms().await.len(), 1);
}

#[tokio::test]
async fn removing_a_fractal_leaves_a_binding_made_by_hand() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let text = stage.read("gateway/openclaw.json");
    let by_hand = "{ agentId: 'gardener', match: { channel: 'matrix', peer: { kind: 'direct', id: '@ana:chat.stage' } } }, // by hand";
    stage.write(
        "gateway/openclaw.json",
        &text.replacen("bindings: [", &format!("bindings: [\n    {by_hand}"), 1),
    );
    stage.manifest("users: { ana: {}, ben: {} }\n");
    let ran = stage.run(&["apply", "--yes"]).await;
    let after = stage.read("gateway/openclaw.json");
    assert!(after.contains(by_hand), "exit {:?}\n{}\n{after}", ran.code, ran.stderr);
}

#[tokio::test]
async fn comments_and_all_that_is_not_ours_survive_an_apply_and_its_rollback() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.read("gateway/openclaw.json");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let after = stage.read("gateway/openclaw.json");
    let mut lines = after.lines();
    for line in before.lines() {
        assert!(lines.any(|other| other == line), "`{line}` is gone or moved:\n{after}");
    }
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.read("gateway/openclaw.json"), before);
}

#[tokio::test]
async fn a_rollback_says_what_stays_because_others_have_made_something_of_it() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    stage.write("workspaces/gardener/notes.md", "Peas in row three.\n");
    let ran = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert!(ran.stderr.contains("workspaces/gardener stays"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Everything is as it was"), "{}", ran.stderr);
    assert_eq!(stage.read("workspaces/gardener/notes.md"), "Peas in row three.\n");
}

#[tokio::test]
async fn an_apply_with_nothing_to_do_writes_nothing() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    stage.proxy.take_calls();
    let file = std::fs::metadata(stage.path("gateway/openclaw.json")).unwrap().modified().unwrap();
    let _ = stage.run(&["plan", "--refresh"]).await.expect(0);
    let _ = stage.run(&["status", "--refresh"]).await.expect(0);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.proxy.take_writes(), []);
    assert_eq!(std::fs::metadata(stage.path("gateway/openclaw.json")).unwrap().modified().unwrap(), file);
}

#[tokio::test]
async fn a_hung_homeserver_does_not_hang_the_tool() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    stage.proxy.break_if(|_, _| Some(Break::Hang));
    let ran = stage.run(&["plan"]).await.expect(11);
    assert!(ran.stderr.contains("matrix"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_room_of_somebody_else_under_our_alias_is_not_touched() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let stranger = stage.synapse.register("stranger", "x-password", false).await.unwrap();
    // The marker is forged: only one that our own user sent counts.
    let room = stranger
        .create_room(&json!({
            "room_alias_name": "gardener",
            "initial_state": [{
                "type": "io.fraktalia.owner", "state_key": "",
                "content": { "realm": "stage", "resource": "matrix/room/gardener", "run": "x", "step": 1 },
            }],
        }))
        .await
        .unwrap();
    let before = stage.world().await;
    let ran = stage.run(&["apply", "--yes"]).await.expect(15);
    assert!(ran.stdout.contains("adopt"), "it says what to do:\n{}", ran.stdout);
    assert_eq!(stage.world().await, before);
    assert_eq!(stage.room("gardener").await, Some(room));
}

#[tokio::test]
async fn a_lost_state_directory_makes_no_second_room() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let world = stage.world().await;
    std::fs::remove_dir_all(stage.path("state")).unwrap();
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.world().await, world);
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn no_secret_is_printed_or_written_anywhere_but_where_it_belongs() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(&(GARDENER.to_owned() + "    account: own\n"));
    let mut said = String::new();
    for args in [
        &["plan", "--format", "json"][..],
        &["plan", "--out", "saved.plan"],
        &["apply", "--yes", "-v"],
        &["history", "--format", "json"],
        &["status"],
    ] {
        let ran = stage.run(args).await;
        said += &ran.stdout;
        said += &ran.stderr;
    }
    let admin = stage.synapse.admin_token().to_owned();
    let own = stage.read("state/secrets/matrix-gardener-token");
    for secret in [PASSWORD, admin.as_str(), own.trim()] {
        assert!(!said.contains(secret), "it was printed");
        for path in files(&stage.path("state")).into_iter().chain([stage.path("saved.plan")]) {
            if path.parent().is_some_and(|folder| folder.ends_with("secrets")) {
                continue;
            }
            let text = std::fs::read(&path).unwrap();
            let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret stands in {}", path.display());
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn servers_that_answer_nonsense_are_named_and_nothing_is_done() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    for (how, word) in [(Break::Html, "<html>"), (Break::ServerError, "500")] {
        stage.proxy.break_if(move |_, _| Some(how));
        let ran = stage.run(&["apply", "--yes"]).await.expect(11);
        assert!(ran.stderr.contains(word), "{word}:\n{}", ran.stderr);
    }
    stage.proxy.mend();
    stage.write("secrets/admin", stage.bot.token());
    let ran = stage.run(&["apply", "--yes"]).await.expect(11);
    assert!(ran.stderr.contains("admin"), "{}", ran.stderr);
    stage.write("secrets/admin", stage.synapse.admin_token());
    assert_eq!(stage.world().await, before);
}
