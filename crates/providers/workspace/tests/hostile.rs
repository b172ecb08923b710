//! A workspace whose owner means harm, and disks that fail.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::World;
use fraktalia_model::manifest::KeepFile;
use fraktalia_workspace::host::{Content, Dir, Node, RelPath, Taken, purge, sha256};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

/// A file outside of every workspace that must never change.
struct Victim(PathBuf);

impl Victim {
    fn beside(world: &World) -> Self {
        let path = world.root.path().join("victim");
        fs::write(&path, "precious").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self(path)
    }

    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "precious");
        assert_eq!(fs::metadata(&self.0).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

async fn is_blocked(world: &World, code: &str) -> bool {
    let plan = world.plan().await.plan;
    plan.is_blocked() && plan.notes.iter().any(|note| note.code == code && note.hint.is_some())
}

#[tokio::test]
async fn a_symlink_in_place_of_a_file_blocks_the_plan() {
    let mut world = World::new();
    world.declare("USER.md", "Ana.\n", KeepFile::Sync);
    world.converge().await;
    let victim = Victim::beside(&world);
    fs::remove_file(world.path("USER.md")).unwrap();
    symlink(&victim.0, world.path("USER.md")).unwrap();
    assert!(is_blocked(&world, "workspace.odd").await);
    world.apply().await.unwrap_err();
    victim.assert_untouched();
}

#[tokio::test]
async fn a_hard_link_in_place_of_a_file_blocks_the_plan() {
    let world = World::new();
    world.converge().await;
    let victim = Victim::beside(&world);
    fs::remove_file(world.path("SOUL.md")).unwrap();
    fs::hard_link(&victim.0, world.path("SOUL.md")).unwrap();
    assert!(is_blocked(&world, "workspace.odd").await);
    let notes = world.plan().await.plan.notes;
    assert!(notes.iter().any(|note| note.text.contains("2 names (hard links)")), "{notes:?}");
    victim.assert_untouched();
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_blocks_the_plan_and_nobody_waits_for_it() {
    let world = World::new();
    world.converge().await;
    fs::remove_file(world.path("SOUL.md")).unwrap();
    assert!(Command::new("mkfifo").arg(world.path("SOUL.md")).status().unwrap().success());
    assert!(is_blocked(&world, "workspace.odd").await);
}

#[tokio::test]
async fn a_link_in_place_of_a_directory_above_a_file_blocks_the_plan() {
    let mut world = World::new();
    world.declare("notes/beds.md", "Two.\n", KeepFile::Sync);
    world.converge().await;
    let outside = world.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(world.path("notes")).unwrap();
    symlink(&outside, world.path("notes")).unwrap();
    assert!(is_blocked(&world, "workspace.odd").await);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_link_in_place_of_the_workspace_blocks_the_plan() {
    let world = World::new();
    let outside = world.root.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(world.tree().parent().unwrap()).unwrap();
    symlink(&outside, world.tree()).unwrap();
    assert!(is_blocked(&world, "workspace.odd").await);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_in_place_of_a_file_blocks_the_plan() {
    let world = World::new();
    world.converge().await;
    fs::remove_file(world.path("SOUL.md")).unwrap();
    fs::create_dir(world.path("SOUL.md")).unwrap();
    assert!(is_blocked(&world, "workspace.odd").await);
}

fn rel(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

fn content(bytes: &[u8]) -> Content<'_> {
    Content { bytes, mode: 0o664, owner: None }
}

#[test]
fn an_edit_made_after_the_plan_is_not_written_over() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a"), "by hand").unwrap();
    let dir = Dir::open(temp.path()).unwrap().unwrap();
    let error = dir.put(&rel("a"), Some(&sha256(b"planned")), content(b"new"), "run").unwrap_err();
    assert!(error.to_string().contains("changed since the plan was made"), "{error}");
    let error = dir.put(&rel("a"), None, content(b"new"), "run").unwrap_err();
    assert!(error.to_string().contains("appeared since the plan was made"), "{error}");
    assert_eq!(fs::read_to_string(temp.path().join("a")).unwrap(), "by hand");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn only_what_we_wrote_is_taken_away() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap().unwrap();
    dir.put(&rel("a"), None, content(b"ours"), "run").unwrap();
    fs::write(temp.path().join("a"), "by hand").unwrap();
    assert_eq!(dir.take(&rel("a"), &sha256(b"ours"), "run").unwrap(), Taken::Changed);
    assert_eq!(fs::read_to_string(temp.path().join("a")).unwrap(), "by hand");
    fs::write(temp.path().join("a"), "ours").unwrap();
    assert_eq!(dir.take(&rel("a"), &sha256(b"ours"), "run").unwrap(), Taken::Gone);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

/// Swaps what stands under a name between a file, links out of the workspace and nothing, as fast as it can.
fn attack(at: PathBuf, victim: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            let aside = at.with_extension("aside");
            let _ = fs::write(&aside, "bait");
            let _ = fs::rename(&aside, &at);
            let _ = symlink(&victim, &aside);
            let _ = fs::rename(&aside, &at);
            let _ = fs::hard_link(&victim, &aside);
            let _ = fs::rename(&aside, &at);
            let _ = fs::remove_file(&at);
            rounds += 1;
        }
        rounds
    })
}

#[test]
fn a_race_for_a_file_never_reaches_what_is_outside() {
    let world = World::new();
    let victim = Victim::beside(&world);
    fs::create_dir_all(world.tree()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let attacker = attack(world.path("USER.md"), victim.0.clone(), Arc::clone(&stop));
    let dir = Dir::open(&world.tree()).unwrap().unwrap();
    let (name, mut touched) = (rel("USER.md"), 0);
    for _ in 0..400 {
        let now = dir.look(&name).ok().flatten();
        let old = match &now {
            Some(Node::File { sha256, .. }) => Some(sha256.clone()),
            _ => None,
        };
        // The victim's own content must not become visible as a file of the workspace either.
        assert_ne!(old.as_deref(), Some(sha256(b"precious").as_str()));
        touched += u32::from(dir.put(&name, old.as_deref(), content(b"ours"), "run").is_ok());
        touched += u32::from(dir.set_access(&name, 0o666, None).is_ok());
        let _ = dir.take(&name, &sha256(b"ours"), "run");
    }
    stop.store(true, Ordering::Relaxed);
    let rounds = attacker.join().unwrap();
    assert!(rounds > 0 && touched > 0, "both sides were at work: {rounds} against {touched}");
    victim.assert_untouched();
}

/// A name that comes and goes leaves whoever opened it with a file that has one name only: the one outside.
#[test]
fn a_file_that_is_linked_in_and_out_is_never_taken_for_one_of_the_workspace() {
    let world = World::new();
    let victim = Victim::beside(&world);
    fs::create_dir_all(world.tree()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let attacker = {
        let (at, victim, stop) = (world.path("USER.md"), victim.0.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                fs::hard_link(&victim, &at).unwrap();
                fs::remove_file(&at).unwrap();
            }
        })
    };
    let dir = Dir::open(&world.tree()).unwrap().unwrap();
    let (name, mut met) = (rel("USER.md"), 0);
    for _ in 0..3_000 {
        match dir.look(&name) {
            Ok(Some(Node::Odd { .. })) => met += 1,
            Ok(None) | Err(_) => {}
            Ok(Some(node)) => panic!("taken for a file of the workspace: {node:?}"),
        }
        assert!(dir.set_access(&name, 0o666, None).is_err());
    }
    stop.store(true, Ordering::Relaxed);
    attacker.join().unwrap();
    assert!(met > 0, "it was never there");
    victim.assert_untouched();
}

#[test]
fn a_race_for_a_directory_never_reaches_what_is_outside() {
    let temp = tempfile::tempdir().unwrap();
    let (tree, outside) = (temp.path().join("tree"), temp.path().join("outside"));
    fs::create_dir_all(tree.join("notes")).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let attacker = {
        let (tree, stop) = (tree.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            // `notes` is a directory and a link out of the workspace by turns.
            let swap = || {
                rustix::fs::renameat_with(
                    CWD,
                    tree.join("notes"),
                    CWD,
                    tree.join("link"),
                    RenameFlags::EXCHANGE,
                )
            };
            while !stop.load(Ordering::Relaxed) {
                swap().unwrap();
            }
        })
    };
    let dir = Dir::open(&tree).unwrap().unwrap();
    let (mut written, mut refused) = (0, 0);
    // Until both sides of the swap were met often enough.
    for round in 0..1_000_000 {
        match dir.put(&rel(&format!("notes/{round}.md")), None, content(b"ours"), "run") {
            Ok(()) => written += 1,
            Err(_) => refused += 1,
        }
        let _ = dir.make_inside(&rel(&format!("notes/{round}")), 0o775, None);
        if (written > 50 && refused > 50) || written > 500 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    attacker.join().unwrap();
    assert!(written > 0 && refused > 0, "both were met: {written} and {refused}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// Nests directories deeper than a path may be long.
fn dig(path: &Path, depth: u32) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        let name = "a-directory-with-a-rather-long-name";
        rustix::fs::mkdirat(&dir, name, Mode::RWXU).unwrap();
        rustix::fs::symlinkat("/", &dir, "root").unwrap();
        dir = rustix::fs::openat(&dir, name, flags, Mode::empty()).unwrap();
    }
}

#[test]
fn a_purge_follows_no_link_and_goes_deeper_than_any_path() {
    let temp = tempfile::tempdir().unwrap();
    let (tree, outside) = (temp.path().join("tree"), temp.path().join("outside"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(outside.join("inner")).unwrap();
    fs::write(outside.join("inner/file"), "precious").unwrap();
    symlink(&outside, tree.join("link")).unwrap();
    dig(&tree, 300);
    purge(&tree).unwrap();
    assert!(!tree.exists());
    assert_eq!(fs::read_to_string(outside.join("inner/file")).unwrap(), "precious");
}

/// A small file system of its own, or `None` where we may not mount one.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(options: &str) -> Option<Self> {
        let temp = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(temp.path()).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: only root can mount a file system of its own");
        }
        mounted.then_some(Self(temp))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_everything_as_it_was() {
    let Some(disk) = Mounted::tmpfs("size=64k") else { return };
    let mut world = World::new();
    world.gardener().path = disk.path().join("agents/gardener");
    world.declare("AGENTS.md", "small\n", KeepFile::Sync);
    world.declare("zzz.md", &"x".repeat(100_000), KeepFile::Sync);
    let ended = world.apply().await.unwrap();
    let why = ended.why.unwrap();
    assert!(why.contains("No space left") && why.contains("make room"), "{why}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0, "all that was written is taken back");
}

#[tokio::test]
async fn a_read_only_disk_is_said_with_its_cure() {
    let Some(disk) = Mounted::tmpfs("size=64k") else { return };
    let mut world = World::new();
    world.gardener().path = disk.path().join("gardener");
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(remount.success());
    let why = world.apply().await.unwrap().why.unwrap();
    assert!(why.contains("Read-only file system"), "{why}");
}

#[test]
fn a_replaced_file_keeps_its_owner() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(4242), Some(4243)).unwrap();
    let dir = Dir::open(temp.path()).unwrap().unwrap();
    dir.put(&rel("a"), Some(&sha256(b"old")), content(b"new"), "run").unwrap();
    let stat = fs::metadata(&path).unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.permissions().mode() & 0o7777), (4242, 4243, 0o664));
}
