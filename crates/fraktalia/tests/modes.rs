//! `fraktalia modes` as a program: whose files, which exit code, and that it stays and looks again.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Who owns the workspaces where the tests run as root. Nobody in particular.
const OWNER: u32 = 54_321;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A realm with two fractals whose workspaces are there, and belong to [`OWNER`] or to us.
    fn new(owner: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            "version: 1\nrealm: home\n\
             matrix: {{ homeserver: \"http://127.0.0.1:1\", server_name: h, admin_token: {{ file: t }}, bot: \"@b:h\" }}\n\
             openclaw: {{ config: o.json, workspaces: workspaces, catch_all: felix }}\nusers: {{ ana: , ben: }}\n\
             fractals:\n  gardener: {{ members: [ana, ben]{owner} }}\n  cook: {{ members: [ana, ben]{owner} }}\n"
        );
        std::fs::write(folder.path().join("fraktalia.yaml"), manifest).unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let place = Self { folder };
        for key in ["gardener", "cook"] {
            std::fs::create_dir_all(place.path(&format!("workspaces/{key}/.ssh"))).unwrap();
            place.give(&format!("workspaces/{key}"));
            place.narrow(&format!("{key}/notes.md"));
            place.narrow(&format!("{key}/.ssh/config"));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn give(&self, name: &str) {
        if is_root() {
            chown(self.path(name), Some(OWNER), Some(OWNER)).unwrap();
        }
    }

    /// A file as the write tool leaves it.
    fn narrow(&self, name: &str) {
        let path = self.path("workspaces").join(name);
        let aside = self.path("aside");
        std::fs::write(&aside, "text").unwrap();
        std::fs::set_permissions(&aside, Permissions::from_mode(0o600)).unwrap();
        self.give("aside");
        std::fs::rename(aside, path).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        self.path("workspaces").join(name).metadata().unwrap().permissions().mode() & 0o7777
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fraktalia"));
        command.arg("modes").args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// As the owner of the files.
    fn as_owner(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        if is_root() {
            command.uid(OWNER).gid(OWNER);
        }
        command
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn all(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_owner_widens_what_was_named_and_nothing_twice() {
    let place = Place::new("");
    let (code, out, _) = all(&place.as_owner(&["gardener", "-v"]).output().unwrap());
    assert_eq!(code, 0);
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("0664  ") && lines[0].ends_with("workspaces/gardener/notes.md"), "{out}");
    assert_eq!(lines[1..], ["1 file made readable (0664); 1 private file left alone."]);
    assert_eq!((place.mode("gardener/notes.md"), place.mode("cook/notes.md")), (0o664, 0o600));
    assert_eq!(place.mode("gardener/.ssh/config"), 0o600);
    let (code, out, _) = all(&place.as_owner(&["gardener"]).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "nothing to widen; 1 private file left alone.\n"));
}

#[test]
fn an_unknown_fractal_is_wrong_usage() {
    let place = Place::new("");
    let (code, out, err) = all(&place.as_owner(&["gardner"]).output().unwrap());
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("no fractal `gardner`") && err.contains("cook, gardener"), "{err}");
}

#[test]
fn a_workspace_that_cannot_be_read_ends_with_11_and_the_others_are_done() {
    let place = Place::new("");
    std::fs::remove_dir_all(place.path("workspaces/cook")).unwrap();
    std::os::unix::fs::symlink("gardener", place.path("workspaces/cook")).unwrap();
    let (code, _, err) = all(&place.as_owner(&[]).output().unwrap());
    assert_eq!(code, 11);
    assert!(err.contains("symbolic link") && err.contains("hint:"), "{err}");
    assert_eq!(place.mode("gardener/notes.md"), 0o664);
}

#[test]
fn somebody_else_than_the_owner_is_told_who_it_has_to_be() {
    let place = Place::new(", workspace: { owner: \"77:77\" }");
    let (code, _, err) = all(&place.as_owner(&[]).output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("belong to user 77") && err.contains("run it as user 77"), "{err}");
    assert_eq!(place.mode("gardener/notes.md"), 0o600);
}

#[test]
fn root_has_to_be_asked_for_and_has_to_know_the_owner() {
    if !is_root() {
        return;
    }
    let place = Place::new(&format!(", workspace: {{ owner: \"{OWNER}:{OWNER}\" }}"));
    let (code, _, err) = all(&place.command(&[]).output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("runs as root") && err.contains("--as-root"), "{err}");
    let (code, out, err) = all(&place.command(&["--as-root"]).output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("2 files"), "{out}");

    let place = Place::new("");
    let (code, _, err) = all(&place.command(&["--as-root"]).output().unwrap());
    assert_eq!(code, 2);
    assert!(err.contains("root must not guess"), "{err}");
    assert_eq!(place.mode("gardener/notes.md"), 0o600);
}

#[test]
fn whoever_watches_sees_files_and_directories_that_come_later() {
    let place = Place::new("");
    let mut child = place.as_owner(&["--watch", "-v"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |end: &str| while !lines.next().unwrap().ends_with(end) {};
    until("2 files made readable (0664); 2 private files left alone.");
    place.narrow("cook/later.md");
    until("workspaces/cook/later.md");
    std::fs::create_dir(place.path("workspaces/cook/memory")).unwrap();
    place.give("workspaces/cook/memory");
    place.narrow("cook/memory/today.md");
    until("workspaces/cook/memory/today.md");
    // A workspace that is made anew is another directory.
    std::fs::remove_dir_all(place.path("workspaces/gardener")).unwrap();
    std::fs::create_dir(place.path("workspaces/gardener")).unwrap();
    place.give("workspaces/gardener");
    place.narrow("gardener/new.md");
    place.narrow("cook/wake.md");
    until("workspaces/gardener/new.md");
    assert_eq!(place.mode("gardener/new.md"), 0o664);
    let term = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(term, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
