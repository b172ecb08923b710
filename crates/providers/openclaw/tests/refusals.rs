//! What goes wrong: files that cannot be edited, checks that fail, gateways that do not take over, full disks.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use fraktalia_engine::Outcome;
use fraktalia_engine::session::Options;
use fraktalia_model::manifest::Account;
use fraktalia_testkit::contract::{apply, quiet};
use fraktalia_testkit::sim::openclaw::Mood;
use support::{ENTRIES, LIST, World, full};

#[tokio::test]
async fn a_gateway_that_does_not_take_it_over_means_failure_and_the_old_file() {
    for mood in [Mood::StayOnOld, Mood::Refuse, Mood::Hang, Mood::Drop] {
        let mut world = full(ENTRIES).await;
        world.patience.applied = Duration::from_secs(2);
        world.patience.reachable = Duration::from_secs(2);
        world.gateway.as_ref().expect("there is one").be(mood.clone());
        let why = world.failed().await;
        assert!(why.contains("the gateway did not take the new openclaw.json over"), "{mood:?}: {why}");
        assert_eq!(world.text(), ENTRIES, "{mood:?}");
        assert_eq!(world.gateway.as_ref().expect("there is one").applied(), ENTRIES, "{mood:?}");
        assert_eq!(world.made.names(), Vec::<String>::new(), "rooms are taken back as well");
    }
}

#[tokio::test]
async fn a_gateway_that_keeps_running_on_what_was_taken_back_is_said() {
    let mut world = full(ENTRIES).await;
    world.patience.applied = Duration::from_secs(2);
    world.patience.reachable = Duration::from_secs(2);
    let session = world.open(None);
    let ended = apply(&session).await.expect("the apply runs");
    world.gateway.as_ref().expect("there is one").be(Mood::StayOnOld);
    let lock = session.lock().expect("nobody else holds the lock");
    let run = session.run(&ended.run).expect("the run is on record");
    let ended = session.roll_back_run(&lock, &run, &quiet()).await.expect("the rollback runs");
    assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. })), "{ended:?}");
    assert_eq!(world.text(), ENTRIES, "the file is as it was all the same");
}

#[tokio::test]
async fn a_gateway_that_restarts_or_takes_its_time_is_waited_for() {
    let world = full(ENTRIES).await;
    let gateway = world.gateway.as_ref().expect("there is one");
    gateway.start_again(3);
    gateway.be(Mood::Slow(4));
    world.applied().await;
    assert_eq!(gateway.applied(), world.text());
    assert!(gateway.asked() > 4);
}

#[tokio::test]
async fn an_older_gateway_that_cannot_say_what_it_runs_on_is_believed_what_it_read() {
    let world = full(LIST).await;
    world.gateway.as_ref().expect("there is one").be_old();
    world.applied().await;
}

#[tokio::test]
async fn a_gateway_that_is_away_or_lets_nobody_in_keeps_the_file_from_being_written() {
    let mut world = full(LIST).await;
    world.patience.reachable = Duration::from_millis(500);
    std::fs::write(world.dir.path().join("token"), "another").expect("written");
    let why = world.failed().await;
    assert!(why.contains("unauthorized"), "{why}");
    assert!(!why.contains("another"), "{why}");
    world.section().gateway.as_mut().expect("there is one").url = "ws://127.0.0.1:1".into();
    let why = world.failed().await;
    assert!(why.contains("cannot reach ws://127.0.0.1:1"), "{why}");
    assert_eq!(world.text(), LIST);
}

#[tokio::test]
async fn what_openclaw_does_not_accept_is_never_written() {
    for (body, said) in [
        (
            "echo '{\"valid\":false,\"issues\":[{\"path\":\"agents\",\"message\":\"no\"}]}'; exit 1",
            "agents: no",
        ),
        ("exit 0", "said nothing of use"),
        ("exec sleep 1000", "gave no answer"),
    ] {
        let mut world = World::new(LIST);
        world.patience.validate = Duration::from_millis(700);
        world.fractal("lab");
        world.cli(body);
        let why = world.failed().await;
        assert!(why.contains(said), "{body}: {why}");
        assert_eq!((world.text(), world.leftovers()), (LIST.into(), Vec::new()), "{body}");
    }
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.section().cli = Some("/nowhere/openclaw".into());
    assert!(world.failed().await.contains("`/nowhere/openclaw config validate` cannot be started"));
}

#[tokio::test]
async fn a_hand_edit_between_read_and_write_is_not_lost() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    // The check takes a while, and somebody edits meanwhile.
    world.cli("echo '// by hand' >> \"$(dirname \"$0\")/openclaw.json\"; echo '{\"valid\":true}'");
    let why = world.failed().await;
    assert!(why.contains("was changed by somebody else while it was being edited"), "{why}");
    assert_eq!(world.text(), format!("{LIST}// by hand\n"));
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn the_candidate_is_what_gets_written() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.cli("cp \"$OPENCLAW_CONFIG_PATH\" \"$(dirname \"$0\")/seen\"; echo '{\"valid\":true}'");
    world.applied().await;
    assert_eq!(std::fs::read_to_string(world.dir.path().join("seen")).expect("seen"), world.text());
}

#[tokio::test]
async fn mode_and_backup_are_as_they_should_be() {
    let world = full(LIST).await;
    std::fs::set_permissions(world.config(), std::fs::Permissions::from_mode(0o640)).expect("mode");
    let ended = world.apply().await;
    assert_eq!(std::fs::metadata(world.config()).expect("meta").mode() & 0o7777, 0o640);
    let backups = world.state().join("backup").join(&ended.run);
    let [name] = &support::names(&backups)[..] else { panic!("one backup") };
    let backup = backups.join(name);
    assert_eq!(std::fs::metadata(&backup).expect("meta").mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_to_string(backup).expect("a backup"), LIST);
}

#[tokio::test]
async fn no_secret_stands_in_our_own_records() {
    let world = full(LIST).await;
    world.applied().await;
    let mut files = vec![world.state()];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            // Backups are copies of the file, and as private as it is.
            let inner = support::names(&path).into_iter().filter(|name| name != "backup");
            files.extend(inner.map(|name| path.join(name)));
        } else {
            read += 1;
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(!text.contains("the-gateway's-token"), "{}", path.display());
        }
    }
    assert!(read >= 2, "a journal and a ledger");
}

#[tokio::test]
async fn files_that_lack_what_others_have_simply_work() {
    for file in [
        "{}",
        "{ agents: {} }",
        "{ agents: { entries: { main: {} } } }",
        "{ agents: { list: [{ id: 'main' }] } }",
        "{ bindings: [], channels: {} }",
        "{ meta: { lastTouchedVersion: '2026.6.11' } }",
        "\u{feff}{\r\n  // only a comment\r\n}\r\n",
    ] {
        let mut world = World::new(file);
        world.section().dialect = Some(fraktalia_model::manifest::Dialect::Entries);
        world.fractal("lab").account = Account::Own;
        world.applied().await;
        let list = world.text().contains("list");
        assert_eq!(list, file.contains("list") || file.contains("2026.6.11"), "{file}: {}", world.text());
    }
}

#[tokio::test]
async fn without_agents_and_without_a_word_on_the_dialect_it_asks() {
    let mut world = World::new("{}");
    world.fractal("lab");
    let blockers = world.blockers().await;
    assert!(blockers[0].starts_with("openclaw.no-dialect"), "{blockers:?}");
    world.cli("[ \"$1\" = --version ] && echo 'OpenClaw 2026.9.6 (abc)' || echo '{\"valid\":true}'");
    world.applied().await;
    assert!(world.text().contains("\"entries\""), "{}", world.text());
}

#[tokio::test]
async fn what_cannot_be_edited_safely_is_refused_with_its_place_and_a_cure() {
    for (file, said, cure) in [
        ("{ agents: { list: [] }", "line 1, column 1", "repair the file"),
        ("{ agents: [] }", "line 1, column 3: `agents` is an array, not an object", "repair the value"),
        ("{ agents: { list: {} } }", "line 1, column 13: `agents.list` is an object, not an array", "repair"),
        ("{ agents: { entries: { a: 1 } } }", "`agents.entries.a` is a number, not an object", "repair"),
        ("{\n  bindings: { }\n}", "line 2, column 3: `bindings` is an object, not an array", "repair"),
        ("{ bindings: ['a'] }", "`bindings.0` is a string, not an object", "repair"),
        ("{ channels: { matrix: null } }", "`channels.matrix` is null, not an object", "repair"),
        ("{ agents: {}, agents: {} }", "the key `agents` is there twice", "remove one of the two"),
        (
            "{ agents: { $include: './agents.json5' } }",
            "`agents` is taken in from another file",
            "move the section",
        ),
        ("{ $include: './all.json5' }", "`(root)` is taken in from another file", "move the section"),
        (
            "{ bindings: { $include: './b.json5' } }",
            "`bindings` is taken in from another file",
            "move the section",
        ),
        ("not JSON5", "line 1, column 1: `not` is not a value", "repair the file"),
        ("", "the file ends where a value was expected", "repair the file"),
    ] {
        let mut world = World::new(file);
        world.fractal("lab");
        let (text, hint) = world.unreadable().await;
        assert!(text.contains(said), "{file}: {text}");
        assert!(hint.contains(cure), "{file}: {hint}");
        assert_eq!(world.text(), file);
    }
}

#[tokio::test]
async fn a_link_is_refused_and_a_read_only_file_is_left_alone() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    let link = world.dir.path().join("link.json");
    std::os::unix::fs::symlink(world.config(), &link).expect("a link");
    world.section().config = link;
    let (text, hint) = world.unreadable().await;
    assert!(text.contains("is a symbolic link") && hint.contains("openclaw.json"), "{text}; {hint}");

    world.section().config = world.config();
    std::fs::set_permissions(world.config(), std::fs::Permissions::from_mode(0o444)).expect("mode");
    let why = world.failed().await;
    assert!(why.contains("is read-only (mode 0444)"), "{why}");
    assert_eq!(world.text(), LIST);

    world.section().config = world.dir.path().join("nowhere.json");
    let (text, hint) = world.unreadable().await;
    assert!(text.contains("there is no") && hint.contains("openclaw onboard"), "{text}; {hint}");
}

/// A file system with room for the file and not for a second one, gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    #[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
    fn mount(at: &std::path::Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a directory");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "fraktalia-test"])
            .arg(at)
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: a small file system cannot be mounted here (needs root)");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    let Some(disk) = SmallDisk::mount(&world.dir.path().join("disk")) else { return };
    let path = disk.0.join("openclaw.json");
    let file = format!("{LIST}// {}\n", "x".repeat(40 * 1024));
    std::fs::write(&path, &file).expect("written");
    world.section().config = path.clone();
    let why = world.failed().await;
    assert!(why.contains("No space left on device"), "{why}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), file);
    assert_eq!(support::names(&disk.0), ["openclaw.json"]);
}

#[tokio::test]
async fn what_the_manifest_says_twice_is_refused() {
    let mut world = World::new(LIST);
    world.fractal("lab").openclaw =
        serde_json::json!({"model": {"primary": "x/y"}}).as_object().cloned().expect("a map");
    let blockers = world.blockers().await;
    assert_eq!(
        blockers,
        ["openclaw.said-twice: `openclaw: model.primary` says again what the manifest says elsewhere"]
    );
}

#[tokio::test]
async fn a_secret_in_an_agent_entry_is_refused_and_a_reference_is_neither_shown_nor_missed() {
    let mut world = World::new(ENTRIES).with_gateway().await;
    let entry = |value: &str| {
        let entry = serde_json::json!({"sandbox": {"docker": {"env": {"API_TOKEN": value}}}});
        entry.as_object().cloned().expect("a map")
    };
    world.fractal("lab").openclaw = entry("hunter2");
    let blockers = world.blockers().await;
    assert!(
        blockers[0].starts_with("openclaw.literal-secret") && !blockers[0].contains("hunter2"),
        "{blockers:?}"
    );

    world.manifest.fractals.get_mut("lab").expect("there").openclaw = entry("${API_TOKEN}");
    // The gateway makes it unreadable in its answers, which must not count as "not taken over".
    world.applied().await;
    world.write(&world.text().replace("${API_TOKEN}", "hunter3"));
    let planned = world.open(None).plan(&Options::default(), true).await.expect("a plan");
    let field = &planned.plan.changes[0].fields[0];
    assert_eq!((&*field.field, field.from.as_deref()), ("sandbox.docker.env.API_TOKEN", Some("(secret)")));
}

#[tokio::test]
async fn the_owner_of_the_file_stays() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    if std::os::unix::fs::chown(world.config(), Some(1234), Some(1235)).is_err() {
        // Only root may give a file away; everybody else owns what they may write.
        return;
    }
    world.applied().await;
    let meta = std::fs::metadata(world.config()).expect("meta");
    assert_eq!((meta.uid(), meta.gid()), (1234, 1235));
}
