//! Files of 0600 become readable, and nobody can turn that against a file outside, or against a key.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fraktalia_workspace::host::{RelPath, Round, Widener};
use rustix::fs::{CWD, RenameFlags};

/// A workspace, and files beside it that must never change.
struct World {
    root: tempfile::TempDir,
    widener: Widener,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tree")).unwrap();
        let widener = Widener::new(rustix::process::geteuid().as_raw(), BTreeSet::new());
        Self { root, widener }
    }

    fn tree(&self) -> PathBuf {
        self.root.path().join("tree")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree().join(name)
    }

    /// A file outside, as private as a file can be.
    fn victim(&self, name: &str) -> PathBuf {
        file(&self.root.path().join(name), "precious", 0o600)
    }

    fn file(&self, name: &str) -> PathBuf {
        file(&self.path(name), "text", 0o600)
    }

    fn mode(&self, name: &str) -> u32 {
        mode(&self.path(name))
    }

    fn round(&mut self) -> Round {
        let tree = self.tree();
        self.widener.round(&tree).unwrap().unwrap()
    }

    fn widened(&mut self) -> Vec<String> {
        let mut names: Vec<_> = self.round().widened.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }
}

fn file(path: &Path, text: &str, mode: u32) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    path.into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_the_write_tool_left_behind_becomes_readable_once() {
    let mut world = World::new();
    world.file("notes.md");
    world.file("memory/2026/lasting.md");
    assert_eq!(world.widened(), ["memory/2026/lasting.md", "notes.md"]);
    assert_eq!((world.mode("notes.md"), world.mode("memory/2026/lasting.md")), (0o664, 0o664));
    assert_eq!(world.widened(), [""; 0], "a second round has nothing to do");
}

#[test]
fn every_other_mode_is_somebodys_wish() {
    let mut world = World::new();
    for mode in [0o400, 0o640, 0o644, 0o700, 0o755, 0o4600, 0o2600] {
        file(&world.path(&format!("{mode:o}")), "", mode);
    }
    assert_eq!(world.widened(), [""; 0]);
}

#[test]
fn keys_and_all_that_is_beside_them_stay_private() {
    let mut world = World::new();
    let names = [
        ".ssh/config",
        ".ssh/deep/er/known",
        ".gnupg/x",
        ".git/config",
        "sub/.git/hooks/x",
        "server.key",
        "cert.pem",
        "id_ed25519",
        ".env",
        "api-token.txt",
    ];
    for name in names {
        world.file(name);
    }
    // A directory that only its owner may enter.
    world.file("mine/diary.md");
    fs::set_permissions(world.path("mine"), Permissions::from_mode(0o700)).unwrap();
    // A key is a key under any name.
    file(&world.path("notes.txt"), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", 0o600);
    let round = world.round();
    assert_eq!(round.widened, []);
    assert_eq!(round.private, names.len() + 2);
    assert_eq!((world.mode("mine/diary.md"), world.mode("mine")), (0o600, 0o700));
}

#[test]
fn a_second_name_or_another_name_of_a_key_does_not_widen_it() {
    let mut world = World::new();
    world.file(".ssh/config");
    fs::hard_link(world.path(".ssh/config"), world.path("linked.md")).unwrap();
    symlink(".ssh/config", world.path("symlinked.md")).unwrap();
    symlink(".ssh", world.path("directory")).unwrap();
    assert_eq!(world.widened(), [""; 0]);
    fs::remove_file(world.path("linked.md")).unwrap();
    fs::rename(world.path(".ssh/config"), world.path("renamed.md")).unwrap();
    assert_eq!(world.widened(), [""; 0], "it is known by its inode");
    assert_eq!(world.mode("renamed.md"), 0o600);
}

#[test]
fn what_the_manifest_wants_private_is_spared() {
    let mut world = World::new();
    let spared = RelPath::parse("plans/private.md").unwrap();
    world.widener = Widener::new(rustix::process::geteuid().as_raw(), BTreeSet::from([spared]));
    world.file("plans/private.md");
    world.file("plans/public.md");
    assert_eq!(world.widened(), ["plans/public.md"]);
}

#[test]
fn files_of_another_owner_and_things_that_are_no_files_are_left_alone() {
    let mut world = World::new();
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(world.path("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(world.path("socket")).unwrap();
    fs::set_permissions(world.path("socket"), Permissions::from_mode(0o600)).unwrap();
    world.file("other.md");
    if rustix::process::geteuid().is_root() {
        chown(world.path("other.md"), Some(4242), Some(4242)).unwrap();
        assert_eq!(world.widened(), [""; 0]);
    } else {
        eprintln!("skipped in part: only root can give files away");
    }
    assert_eq!((world.mode("pipe"), world.mode("socket")), (0o600, 0o600));
}

#[test]
fn another_file_system_in_the_workspace_is_not_entered() {
    let mut world = World::new();
    fs::create_dir(world.path("mnt")).unwrap();
    let outside = world.root.path().join("outside");
    let victim = file(&outside.join("a.md"), "precious", 0o600);
    let bind = Command::new("mount").arg("--bind").arg(&outside).arg(world.path("mnt")).output().unwrap();
    if !bind.status.success() {
        eprintln!("skipped: only root can mount");
        return;
    }
    let round = world.round();
    assert!(Command::new("umount").arg(world.path("mnt")).status().unwrap().success());
    assert_eq!((round.widened, mode(&victim)), (vec![], 0o600));
}

#[test]
fn a_workspace_that_is_not_there_is_said_and_one_that_is_a_link_is_refused() {
    let mut world = World::new();
    assert!(world.widener.round(&world.root.path().join("nowhere")).unwrap().is_none());
    symlink(world.tree(), world.root.path().join("link")).unwrap();
    let error = world.widener.round(&world.root.path().join("link")).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

/// Somebody who does `work` again and again, as fast as possible, until dropped.
struct Attacker(Arc<AtomicBool>, Option<JoinHandle<u64>>);

impl Attacker {
    fn start(mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut times = 0;
            while !until.load(Ordering::Relaxed) {
                work();
                times += 1;
            }
            times
        });
        Self(stop, Some(thread))
    }

    fn end(mut self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap()
    }
}

fn exchange(one: &Path, other: &Path) {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn a_directory_swapped_with_a_link_leads_to_no_file_outside() {
    let mut world = World::new();
    let victims = [world.victim("outside/a.md"), world.victim("outside/deep/b.md")];
    world.file(".ssh/config");
    world.file("notes/a.md");
    world.file("notes/deep/b.md");
    symlink("../outside", world.path("link")).unwrap();
    symlink(world.root.path().join("outside"), world.path("absolute")).unwrap();
    symlink("..", world.path("notes/up")).unwrap();
    symlink(".ssh", world.path("inner")).unwrap();
    let tree = world.tree();
    let attacker = Attacker::start(move || {
        for link in ["link", "absolute", "inner"] {
            exchange(&tree.join("notes"), &tree.join(link));
            exchange(&tree.join("notes"), &tree.join(link));
        }
    });
    let mut widened = 0;
    for turn in 0..20_000 {
        widened += world.round().widened.len();
        if turn % 200 == 0 {
            // Wherever it stands just now.
            for name in ["notes", "link", "absolute", "inner"] {
                let _ = fs::write(world.path(name).join("again.md"), "");
            }
            for victim in &victims {
                assert_eq!(mode(victim), 0o600, "round {turn}");
            }
            // What was written there may have gone through a link, too: that was us and not the widener.
            let _ = fs::remove_file(world.root.path().join("outside/again.md"));
            let _ = fs::remove_file(world.path(".ssh/again.md"));
        }
    }
    assert!(attacker.end() > 0 && widened > 0, "both were at work: {widened}");
    for victim in &victims {
        assert_eq!((mode(victim), fs::read_to_string(victim).unwrap().as_str()), (0o600, "precious"));
    }
    assert_eq!(world.mode(".ssh/config"), 0o600);
}

#[test]
fn a_file_swapped_with_links_leads_to_no_file_outside() {
    let mut world = World::new();
    let victim = world.victim("victim");
    world.file("plain.md");
    let (tree, target) = (world.tree(), victim.clone());
    let attacker = Attacker::start(move || {
        for name in ["a.md", "b.md", "c.md"] {
            let (at, aside) = (tree.join(name), tree.join("aside"));
            let _ = fs::write(&aside, "bait");
            let _ = fs::set_permissions(&aside, Permissions::from_mode(0o600));
            let _ = fs::rename(&aside, &at);
            let _ = symlink(&target, &aside);
            let _ = fs::rename(&aside, &at);
            let _ = fs::hard_link(&target, &aside);
            let _ = fs::rename(&aside, &at);
            let _ = fs::remove_file(&at);
        }
    });
    let mut widened = 0;
    for turn in 0..20_000 {
        widened += world.round().widened.len();
        assert_eq!(mode(&victim), 0o600, "round {turn}");
    }
    assert!(attacker.end() > 0 && widened > 0, "both were at work: {widened}");
    assert_eq!((mode(&victim), fs::read_to_string(&victim).unwrap().as_str()), (0o600, "precious"));
}

/// A name that comes and goes leaves whoever opened it with a file that has one name only: the one outside.
#[test]
fn a_file_that_is_linked_in_and_out_is_never_widened() {
    let mut world = World::new();
    let victims: Vec<_> = (0..8).map(|number| world.victim(&format!("victim-{number}"))).collect();
    let (tree, targets) = (world.tree(), victims.clone());
    let attacker = Attacker::start(move || {
        for (number, target) in targets.iter().enumerate() {
            let at = tree.join(format!("{number}.md"));
            fs::hard_link(target, &at).unwrap();
            fs::remove_file(&at).unwrap();
        }
    });
    for turn in 0..40_000 {
        let round = world.round();
        assert_eq!(round.widened, [], "round {turn}");
    }
    assert!(attacker.end() > 0);
    for victim in &victims {
        assert_eq!(mode(victim), 0o600);
    }
}

#[test]
fn a_key_that_is_moved_about_is_never_widened() {
    let mut world = World::new();
    world.file(".ssh/config");
    file(&world.path(".ssh/deploy"), "-----BEGIN RSA PRIVATE KEY-----\nMII\n", 0o600);
    fs::create_dir(world.path("notes")).unwrap();
    assert_eq!(world.widened(), [""; 0]);
    let tree = world.tree();
    let attacker = Attacker::start(move || {
        for name in ["config", "deploy"] {
            let (inside, outside) = (tree.join(".ssh").join(name), tree.join("notes").join(name));
            fs::rename(&inside, &outside).unwrap();
            fs::rename(&outside, &inside).unwrap();
        }
    });
    let mut widened = 0;
    for turn in 0..3_000 {
        if turn % 500 == 0 {
            world.file(&format!("plain-{turn}.md"));
        }
        widened += world.round().widened.len();
    }
    assert!(attacker.end() > 0);
    assert_eq!(widened, 6, "only what is no key");
    assert_eq!((world.mode(".ssh/config"), world.mode(".ssh/deploy")), (0o600, 0o600));
}
