//! From nothing but what is installed to a manifest that passes its check.

#[path = "init/terminal.rs"]
mod terminal;

use std::os::unix::fs::PermissionsExt as _;

use fraktalia_testkit::real::Cache;
use fraktalia_tests::{Ran, SERVER, Stage, With};

use terminal::Terminal;

/// What OpenClaw has, in the usual place.
fn openclaw_json(stage: &Stage) -> String {
    format!(
        "// By hand.\n{{\n  gateway: {{ port: 1, auth: {{ mode: 'token', token: 'do-not-show' }} }},\n  \
         agents: {{ entries: {{ felix: {{}}, cook: {{}} }} }},\n  \
         bindings: [{{ agentId: 'felix', match: {{ channel: 'matrix', accountId: '*' }} }}],\n  \
         channels: {{ matrix: {{ enabled: true, homeserver: '{}', userId: '{}', accessToken: 'do-not-show' }} }},\n}}\n",
        stage.proxy.url(),
        stage.bot.user_id()
    )
}

fn all(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

#[tokio::test]
async fn what_is_there_is_found_written_down_and_ready_for_a_plan() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.write("home/.openclaw/openclaw.json", &openclaw_json(&stage));
    std::fs::remove_dir_all(stage.path("secrets")).expect("removed");
    let ran = stage.run(&["init", "--yes"]).await.expect(0);
    let manifest = stage.read("fraktalia.yaml");
    for line in [
        "# yaml-language-server: $schema=./manifest.schema.json".to_owned(),
        format!("  homeserver: {}", stage.proxy.url()),
        format!("  server_name: {SERVER}"),
        format!("  bot: \"{}\"", stage.bot.user_id()),
        "  config: ~/.openclaw/openclaw.json".into(),
        "  catch_all: felix".into(),
        "  admin_token: { file: secrets/matrix-admin-token }".into(),
    ] {
        assert!(manifest.contains(&line), "{line} in\n{manifest}");
    }
    assert!(!format!("{manifest}{}", all(&ran)).contains("do-not-show"), "no secret is repeated");
    assert!(
        ran.stderr.contains("fraktalia doctor") && ran.stderr.contains("fraktalia plan"),
        "{}",
        ran.stderr
    );
    let token = stage.path("secrets/matrix-admin-token");
    assert_eq!(std::fs::metadata(&token).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&token).expect("it can be read"), "");
    assert_eq!(stage.read(".gitignore"), "/secrets/\n");
    let schema: serde_json::Value =
        serde_json::from_str(&stage.read("manifest.schema.json")).expect("a schema");
    assert!(schema["properties"]["fractals"].is_object());

    let checked = stage.run(&["check"]).await.expect(0);
    assert!(!all(&checked).contains("warning"), "{}", all(&checked));
    stage.write("secrets/matrix-admin-token", stage.synapse.admin_token());
    let _ = stage.run(&["doctor"]).await.expect(16);
    std::fs::set_permissions(
        stage.path("home/.openclaw/openclaw.json"),
        std::fs::Permissions::from_mode(0o600),
    )
    .expect("its mode is set");
    let doctor = stage.run(&["doctor"]).await.expect(0);
    assert!(doctor.stdout.contains("admin rights"), "{}", doctor.stdout);
    let _ = stage.run(&["plan"]).await.expect(0);

    let again = stage.run(&["init", "--yes"]).await.expect(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(stage.read("fraktalia.yaml"), manifest, "nothing is overwritten");
    let other =
        stage.run(&["init", "--yes", "-f", "second/fraktalia.yaml", "--admin-token", "env:ADMIN"]).await;
    let _ = other.expect(0);
    assert!(stage.read("second/fraktalia.yaml").contains("admin_token: { env: ADMIN }"));
    assert!(!stage.path("second/secrets").exists());
}

#[tokio::test]
async fn with_nothing_there_it_asks_and_nonsense_is_refused_with_a_reason() {
    let Some(_) = Cache::for_test() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::start(dir.path(), &["init"]);
    terminal.answer("Name of this installation", "my home");
    terminal.answer("Name of this installation", "den");
    terminal.answer("URL of Synapse", "chat");
    terminal.answer("URL of Synapse", "http://127.0.0.1:1");
    terminal.answer("server name", "chat den");
    terminal.answer("server name", "chat.den");
    terminal.answer("Matrix user", "not me");
    terminal.answer("Matrix user", "@felix:chat.den");
    terminal.answer("openclaw.json", "");
    terminal.answer("Write fraktalia.yaml", "y");
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
    let manifest = std::fs::read_to_string(dir.path().join("fraktalia.yaml")).expect("written");
    for line in [
        "realm: den",
        "\n  homeserver: http://127.0.0.1:1",
        "\n  server_name: chat.den",
        "\n  bot: \"@felix:chat.den\"",
        "\n# openclaw:",
    ] {
        assert!(manifest.contains(line), "{line} in\n{manifest}");
    }
    let mut terminal = Terminal::start(dir.path(), &["check"]);
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_no_writes_nothing_and_options_are_checked_as_answers_are() {
    let Some(_) = Cache::for_test() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::start(dir.path(), &["init"]);
    for (question, answer) in
        [("Name of this", ""), ("URL of Synapse", ""), ("openclaw.json", ""), ("Write fraktalia.yaml", "n")]
    {
        terminal.answer(question, answer);
    }
    let (code, said) = terminal.end();
    assert_eq!(code, Some(1), "{said}");
    let files = || std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(files(), 0);
    let nonsense: [(&[&str], i32, &str); 4] = [
        (&["--realm", "my home"], 10, "realm"),
        (
            &["--homeserver", "http://127.0.0.1:1", "--server-name", "chat.den", "--bot", "not me"],
            10,
            "not me",
        ),
        (&["--admin-token", "syt_do-not-show"], 2, "file:PATH"),
        (
            &["--openclaw-config", "none/openclaw.json", "--homeserver", "\u{1b}[2J"],
            0,
            "no homeserver answers",
        ),
    ];
    for (args, expected, says) in nonsense {
        let args = [&["init", "--yes"], args].concat();
        let (code, said) = Terminal::start(dir.path(), &args).end();
        assert_eq!(code, Some(expected), "{args:?}: {said}");
        assert!(said.contains(says) && !said.contains("do-not-show"), "{args:?}: {said}");
        assert_eq!(files() > 0, expected == 0);
    }
}
