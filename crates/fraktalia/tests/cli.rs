//! The program as a whole, as far as it needs no live system: streams, exit codes, files.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fraktalia_engine::{Lock, StatePaths};

/// A manifest of which nothing is asked, so that no system is.
const EMPTY: &str = "version: 1\nrealm: home\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(manifest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fraktalia.yaml"), manifest).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fraktalia"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_invalid_manifest_ends_with_10_and_shows_each_place() {
    let place = Place::new("version: 1\nrealm: home\nuserz: {}\nrooms: { lounge: { members: [nobody] } }\n");
    let output = place.run(&["check"]);
    assert_eq!(code(&output), 10);
    assert!(out(&output).contains("fraktalia.yaml:3:1"), "{}", out(&output));
    assert!(out(&output).contains("hint:"), "{}", out(&output));
    assert_eq!(err(&output), "");

    let output = place.run(&["plan"]);
    assert_eq!(code(&output), 10);
    assert_eq!(out(&output), "", "there is no plan, so there is no data");
    assert!(err(&output).contains("fraktalia.yaml:3:1"), "{}", err(&output));

    let output = place.run(&["check", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["valid"], false);
    assert_eq!(document["notes"][0]["places"][0]["line"], 3);
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let place = Place::new(EMPTY);
    for arguments in
        [&["plam"][..], &[], &["plan", "--format", "xml"], &["show"], &["apply", "a", "--target", "b"]]
    {
        let output = place.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert_eq!(out(&output), "", "{arguments:?}");
        assert!(
            err(&output).contains("Usage:") || err(&output).contains("possible values"),
            "{}",
            err(&output)
        );
    }
    let output = place.run(&["show", "20200101"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("fraktalia history"), "{}", err(&output));
}

#[test]
fn nothing_to_do_is_said_and_leaves_no_run_behind() {
    let place = Place::new(EMPTY);
    for arguments in [&["plan", "--exit-code"][..], &["apply"], &["status", "--exit-code"], &["resume"]] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", err(&output));
    }
    assert!(out(&place.run(&["plan"])).contains("Nothing to do."));
    assert_eq!(out(&place.run(&["history"])), "No runs yet.\n");
}

#[test]
fn a_saved_plan_is_private_and_stale_once_the_manifest_has_changed() {
    let place = Place::new(EMPTY);
    assert_eq!(code(&place.run(&["plan", "--out", "week.plan"])), 0);
    let mode = std::fs::metadata(place.path("week.plan")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(code(&place.run(&["apply", "week.plan"])), 0);
    assert_eq!(code(&place.run(&["graph", "--plan", "week.plan", "--format", "mermaid"])), 0);

    std::fs::write(place.path("fraktalia.yaml"), format!("{EMPTY}# changed\n")).unwrap();
    let output = place.run(&["apply", "week.plan"]);
    assert_eq!(code(&output), 12, "{}", err(&output));
    assert!(err(&output).contains("the manifest") && err(&output).contains("hint:"), "{}", err(&output));
}

#[test]
fn two_applies_at_once_are_one_apply_and_a_clear_no() {
    let place = Place::new(EMPTY);
    let paths = StatePaths::new(place.path("state"));
    paths.create().unwrap();
    let held = Lock::acquire(&paths).unwrap();
    let output = place.run(&["--state", "state", "apply"]);
    assert_eq!(code(&output), 14, "{}", err(&output));
    assert!(err(&output).contains(&std::process::id().to_string()), "{}", err(&output));
    assert_eq!(code(&place.run(&["--state", "state", "plan"])), 0, "reading needs no lock");
    drop(held);
    assert_eq!(code(&place.run(&["--state", "state", "apply"])), 0);
}

#[test]
fn a_system_that_does_not_answer_ends_with_11_and_is_named() {
    // Port 9 of this machine: nobody listens, so the answer is an immediate no.
    let place = Place::new(
        "version: 1\nrealm: home\nmatrix:\n  homeserver: http://127.0.0.1:9\n  server_name: chat.home\n  \
         admin_token: { env: TOKEN }\n  bot: \"@agent:chat.home\"\nusers: { ana: {} }\n",
    );
    let output = place.command(&["plan"]).env("TOKEN", "syt_not_to_be_seen").output().unwrap();
    assert_eq!(code(&output), 11, "{}", err(&output));
    assert!(err(&output).contains("matrix"), "{}", err(&output));
    assert!(!err(&output).contains("syt_not"), "{}", err(&output));

    let output = place.run(&["plan"]);
    assert_eq!(code(&output), 11);
    assert!(err(&output).contains("TOKEN"), "{}", err(&output));
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let place = Place::new(EMPTY);
    for page in [&["schema"][..], &["reference", "manifest"], &["plan", "--help"], &["completions", "bash"]] {
        let mut child = place.command(page).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{page:?}: {said}");
        assert_eq!(said, "", "{page:?}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named_with_a_way_out() {
    let place = Place::new(EMPTY);
    std::fs::write(place.path("file"), "").unwrap();
    let output = place.run(&["--state", "file/state", "apply"]);
    assert_eq!(code(&output), 1, "{}", err(&output));
    assert!(err(&output).contains("file/state") && err(&output).contains("--state"), "{}", err(&output));

    let output = place.command(&["plan"]).env_remove("HOME").output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("XDG_STATE_HOME"), "{}", err(&output));
}

#[test]
fn a_pipe_gets_no_colour_and_a_wish_for_colour_is_honoured() {
    let place = Place::new(EMPTY);
    assert!(!out(&place.run(&["plan"])).contains('\u{1b}'));
    let wished = place.command(&["plan"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(out(&wished).contains('\u{1b}'));
    let both = place.command(&["plan"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!out(&both).contains('\u{1b}'));
}

#[test]
fn every_generated_page_is_what_stands_in_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in fraktalia::docs::Page::ALL {
        let kept = std::fs::read_to_string(root.join(page.path())).unwrap_or_default();
        assert!(kept == page.text(), "{} is out of date: run `cargo xtask docs`", page.path());
    }
}

#[test]
fn manual_pages_and_completions_know_every_command() {
    let place = Place::new(EMPTY);
    assert_eq!(code(&place.run(&["man", "--out", "man1"])), 0);
    for command in ["plan", "apply", "rollback"] {
        assert!(place.path("man1").join(format!("fraktalia-{command}.1")).is_file(), "{command}");
        assert!(out(&place.run(&["completions", "zsh"])).contains(command));
    }
}
