//! What a person can get wrong, and what a machine can run out of: each is told in so many words, and loses nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fraktalia_testkit::proxy::Break;
use fraktalia_tests::{Ran, Stage, With};

const GARDENER: &str = "\
users: { ana: {}, ben: {} }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
";

/// Both `plan` and `apply` end with `code`, say all of `words`, and the world stays as it is.
async fn refused(stage: &Stage, case: &str, code: i32, words: &[&str]) {
    let before = stage.world().await;
    for args in [&["plan"][..], &["apply", "--yes"]] {
        let ran = stage.run(args).await;
        says(case, &ran, code, words);
    }
    assert_eq!(stage.world().await, before, "{case}");
}

fn says(case: &str, ran: &Ran, code: i32, words: &[&str]) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(code), "{case}:\n{said}");
    // Long lines are wrapped.
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "{case} does not say `{word}`:\n{said}");
    }
    assert!(!flat.contains("panicked"), "{case}:\n{said}");
}

#[tokio::test]
async fn a_bad_manifest_is_shown_with_its_place_and_a_cure() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    refused(&stage, "no manifest", 10, &["fraktalia.yaml"]).await;
    for (case, wishes, words) in [
        ("malformed YAML", "users: { ana: {}\nrooms: ]\n", &["fraktalia.yaml:13", "hint"][..]),
        ("a tab", "rooms:\n\tlounge: {}\n", &["fraktalia.yaml:13:2", "hint"]),
        (
            "an unknown member",
            "rooms:\n  lounge: { members: [nobody] }\n",
            &["fraktalia.yaml:13:", "nobody", "hint"],
        ),
        ("an unknown key", "roms: {}\n", &["fraktalia.yaml:12:1", "rooms"]),
        ("a key twice", "users: { ana: {}, ana: {} }\n", &["fraktalia.yaml:12:", "ana", "hint"]),
        ("a wrong type", "rooms: { lounge: { encrypted: perhaps } }\n", &["fraktalia.yaml:12:", "encrypted"]),
        (
            "a literal secret",
            "users: { ana: { password: hunter2hunter2 } }\n",
            &["fraktalia.yaml:12:", "file"],
        ),
        (
            "an unknown sandbox",
            "fractals: { a: { purpose: x, sandbox: none-such } }\n",
            &["fraktalia.yaml:12:", "none-such"],
        ),
    ] {
        stage.manifest(wishes);
        refused(&stage, case, 10, words).await;
    }
    stage.manifest("users: { ana: { password: hunter2hunter2 } }\n");
    let ran = stage.run(&["plan", "--format", "json"]).await;
    assert!(!format!("{ran:?}").contains("hunter2hunter2"), "a literal secret is not repeated: {ran:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_never_ignored() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let network = "networks:\n  refused-net: { allow: [\"[fd00::1]:22/tcp\"] }\n";
    for (case, wishes, words) in [
        (
            "a forward",
            "forwards:\n  - { host_port: 9010, fractal: gardener }\n",
            &["has no sandbox", "hint"][..],
        ),
        ("an opening", network, &["IPv4 only", "hint"]),
    ] {
        stage.manifest(&format!("{GARDENER}{wishes}"));
        refused(&stage, case, 10, words).await;
    }
    stage.manifest(&format!("{GARDENER}    forwards: [9000]\n"));
    refused(&stage, "a forward of a fractal", 10, &["has no sandbox"]).await;
    let admin =
        "rooms: { admin: { members: [ana] } }\nadmin_room: { room: admin, operators: [ana], commit: true }\n";
    stage.manifest(&format!("{GARDENER}{admin}"));
    refused(&stage, "a commit of nothing", 10, &["write_to", "hint", "fraktalia.yaml:18:"]).await;
}

#[tokio::test]
async fn an_openclaw_json_that_cannot_be_edited_safely_is_left_alone() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let good = stage.read("gateway/openclaw.json");
    for (case, text, words) in [
        ("malformed JSON5", "{\n  agents: {\n", &["openclaw.json", "line", "hint"][..]),
        ("a wrong type", "{\n  agents: [],\n}\n", &["line 2", "agents", "hint"]),
        (
            "a wrong type of an entry",
            "{ agents: { entries: { felix: 7 } } }",
            &["agents.entries.felix", "hint"],
        ),
        ("a key twice", "{ agents: { entries: {} }, agents: {} }", &["agents", "twice", "hint"]),
        (
            "a section of another file",
            "{ agents: { $include: './agents.json5' } }",
            &["another file", "hint"],
        ),
    ] {
        stage.write("gateway/openclaw.json", text);
        refused(&stage, case, 11, words).await;
    }
    stage.write("gateway/openclaw.json", &good);
    std::fs::rename(stage.path("gateway/openclaw.json"), stage.path("gateway/real.json")).unwrap();
    std::os::unix::fs::symlink("real.json", stage.path("gateway/openclaw.json")).unwrap();
    refused(&stage, "a symbolic link", 11, &["symbolic link", "hint"]).await;
    assert!(stage.path("gateway/openclaw.json").is_symlink());
    std::fs::remove_file(stage.path("gateway/openclaw.json")).unwrap();
    let ran = stage.run(&["apply", "--yes"]).await;
    says("no file", &ran, 11, &["openclaw.json", "hint"]);
    assert!(!stage.path("gateway/openclaw.json").exists());
}

#[tokio::test]
async fn a_read_only_openclaw_json_takes_everything_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    let file = stage.path("gateway/openclaw.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let ran = stage.run(&["apply", "--yes"]).await;
    says("a read-only file", &ran, 20, &["read-only"]);
    assert_eq!(stage.world().await, before);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();

    let Some(disk) = Disk::mount(&stage.path("locked"), "1m") else { return };
    std::fs::copy(&file, stage.path("locked/openclaw.json")).unwrap();
    let manifest = stage.read("fraktalia.yaml").replace("gateway/openclaw.json", "locked/openclaw.json");
    stage.write("fraktalia.yaml", &manifest);
    disk.remount("ro");
    let ran = stage.run(&["apply", "--yes"]).await;
    says("a read-only folder", &ran, 20, &["locked", "ead-only"]);
    assert_eq!(stage.world().await, before);
    disk.remount("rw");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}

#[tokio::test]
async fn an_engine_that_is_not_running_is_named_and_nothing_is_done() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let docker =
        "hosts: { local: { docker: \"unix:///nonexistent/docker.sock\" } }\nnetworks: { nowhere: {} }\n";
    stage.manifest(&format!("{GARDENER}{docker}"));
    refused(&stage, "no engine", 11, &["docker", "/nonexistent/docker.sock", "hint"]).await;
    let far = "hosts: { far: { docker: \"tcp://127.0.0.1:1\" } }\nnetworks: { nowhere: { host: far } }\n";
    stage.manifest(&format!("{GARDENER}{far}"));
    refused(&stage, "no host", 11, &["host far", "tcp://127.0.0.1:1", "hint"]).await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_is_named_before_anything_is_done() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    stage.write("state", "A file where a folder should be.");
    let ran = stage.run(&["apply", "--yes"]).await;
    says("a file in the way", &ran, 1, &["state", "hint"]);
    std::fs::remove_file(stage.path("state")).unwrap();
    if let Some(disk) = Disk::mount(&stage.path("state"), "1m") {
        disk.remount("ro");
        let ran = stage.run(&["apply", "--yes"]).await;
        says("a read-only state directory", &ran, 1, &["state", "ead-only", "hint"]);
    }
    assert_eq!(stage.world().await, before);
}

#[tokio::test]
async fn a_state_directory_that_fills_up_at_any_moment_loses_nothing() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    let Some(disk) = Disk::mount(&stage.path("state"), "2m") else { return };
    let mut failures = 0;
    for room in (0..).map(|pages| pages * 4096) {
        disk.fill_but_for(room);
        let ran = stage.run(&["apply", "--yes"]).await;
        disk.relieve();
        if ran.code != Some(0) {
            failures += 1;
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains("No space left"), "{room} bytes were left, exit {:?}:\n{said}", ran.code);
        }
        if stage.world().await != before {
            let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
        }
        assert_eq!(stage.world().await, before, "{room} bytes were left");
        if ran.code == Some(0) {
            break;
        }
        disk.empty();
    }
    assert!(failures > 3, "only {failures} failures");
}

#[tokio::test]
async fn a_state_directory_that_is_full_in_the_middle_of_a_run_leaves_a_run_that_can_be_taken_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let cook = "  cook: { purpose: Knows what is in the larder., members: [ana, ben] }\n";
    stage.manifest(&format!("{GARDENER}{cook}"));
    let before = stage.world().await;
    let Some(disk) = Disk::mount(&stage.path("state"), "2m") else { return };
    stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::Hold));
    let apply = stage.run(&["apply", "--yes"]);
    let fill = async {
        stage.proxy.called(|_, path| path.contains("/createRoom")).await;
        disk.fill_but_for(0);
        stage.proxy.mend();
    };
    let (ran, ()) = tokio::join!(apply, fill);
    says("a full disk", &ran, 1, &["No space left", "journal"]);
    disk.relieve();
    let refused = stage.run(&["apply", "--yes"]).await.expect(13);
    assert!(refused.stderr.contains("rollback"), "{}", refused.stderr);
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.world().await, before);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}

#[tokio::test]
async fn a_full_disk_beside_openclaw_json_takes_everything_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let before = stage.world().await;
    let Some(disk) = Disk::mount(&stage.path("full"), "64k") else { return };
    std::fs::copy(stage.path("gateway/openclaw.json"), stage.path("full/openclaw.json")).unwrap();
    stage.manifest(GARDENER);
    let manifest = stage.read("fraktalia.yaml").replace("gateway/openclaw.json", "full/openclaw.json");
    stage.write("fraktalia.yaml", &manifest);
    let file = stage.read("full/openclaw.json");
    disk.fill_but_for(0);
    let ran = stage.run(&["apply", "--yes"]).await;
    says("a full disk", &ran, 20, &["No space left", "openclaw.json"]);
    assert_eq!(stage.read("full/openclaw.json"), file);
    assert_eq!(stage.world().await, before);
    disk.relieve();
    let names = std::fs::read_dir(&disk.0).unwrap().count();
    assert_eq!(names, 1, "nothing half written is left");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}

/// A small file system in memory, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that does not run to its end has to say so")]
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let options = format!("size={size},mode=700");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "fraktalia-test"]).arg(at).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("cut short: a small file system cannot be mounted here (needs root)");
        None
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status().expect("mount runs");
        assert!(status.success(), "the file system is mounted anew");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves `room` bytes free, rounded to what the file system counts in.
    fn fill_but_for(&self, room: u64) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.ballast()).expect("a file");
        let page = [0; 4096];
        let mut size = 0;
        while file.write_all(&page).is_ok() {
            size += 4096;
        }
        file.set_len(u64::saturating_sub(size, room)).expect("cut short");
    }

    fn relieve(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    /// Forgets all that is on it, as a state directory that was never used.
    fn empty(&self) {
        for entry in std::fs::read_dir(&self.0).expect("a folder").flatten() {
            let path = entry.path();
            let gone =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.expect("it goes");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
