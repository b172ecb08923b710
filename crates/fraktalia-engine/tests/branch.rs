//! A watch that goes by a branch: what it reads, what it refuses, and that it lives without the remote.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fraktalia_engine::git::{Clones, GitError, Remote, Signers};
use fraktalia_engine::watch::{Bell, Happening, Policy, Settings, Source, Watch};
use fraktalia_engine::{Registry, Session, StatePaths, Stop};
use fraktalia_testkit::git::Repository;
use fraktalia_testkit::toy::{Shelf, World, wish};
use tokio::sync::{mpsc, watch};

const MANIFEST: &str = "version: 1\nrealm: test\n";

/// A repository, a shelf with one box for each `networks` key of its manifest, and a state directory.
struct Stage {
    dir: tempfile::TempDir,
    repository: Repository,
    world: Arc<Mutex<World>>,
}

struct Watched {
    bell: Bell,
    stop: watch::Sender<Stop>,
    said: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

fn manifest_with(boxes: &[&str]) -> String {
    let networks: Vec<String> = boxes.iter().map(|name| format!("{name}: {{ internet: true }}")).collect();
    format!("{MANIFEST}networks: {{ {} }}\n", networks.join(", "))
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::new(&dir.path().join("git"));
        Self { dir, repository, world: Arc::default() }
    }

    fn push(&self, boxes: &[&str], message: &str) -> String {
        self.repository.write("home/fraktalia.yaml", &manifest_with(boxes));
        self.repository.push(message)
    }

    fn boxes(&self) -> Vec<String> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).boxes.keys().cloned().collect()
    }

    fn paths(&self) -> StatePaths {
        StatePaths::new(self.dir.path().join("state"))
    }

    fn remote(&self, signers: Option<Signers>) -> Remote {
        Remote::new(&self.repository.url(), "main", Path::new("home/fraktalia.yaml"), signers).unwrap()
    }

    fn clones(&self) -> PathBuf {
        let parent = self.dir.path().join("state/clones");
        std::fs::read_dir(parent).unwrap().next().unwrap().unwrap().path()
    }

    /// Names of all that lies beside the link and the lock.
    fn kept(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.clones()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "current" && name != "lock");
        names.sort();
        names
    }

    fn watch(&self, policy: Policy) -> Watched {
        self.watch_signed(policy, None)
    }

    fn watch_signed(&self, policy: Policy, signers: Option<Signers>) -> Watched {
        let settings = Settings { policy, ..Settings::default() };
        let (world, paths) = (Arc::clone(&self.world), self.paths());
        let open = Box::new(move |manifest: fraktalia_model::Manifest| {
            let wishes = manifest.networks.keys().map(|name| wish("left", name, name, &[])).collect();
            let registry = Registry::new().with(Shelf::new("left", wishes, Arc::clone(&world)));
            Ok(Session::new(manifest, registry, paths.clone()))
        });
        let (tell, said) = mpsc::unbounded_channel();
        let teller = Arc::new(move |happening: &Happening<'_>| {
            let _ = words(happening).map(|words| tell.send(words));
        });
        let clones = Clones::open(&self.dir.path().join("state/clones"), self.remote(signers)).unwrap();
        let source = Source::Branch(clones, Duration::from_millis(50));
        let watch = Watch::new(source, settings, open, teller);
        let (stop, asked) = watch::channel(Stop::No);
        let bell = watch.bell();
        Watched { bell, stop, said, task: tokio::spawn(watch.run(asked)) }
    }
}

fn words(happening: &Happening<'_>) -> Option<String> {
    Some(match happening {
        Happening::Commit { origin, .. } => {
            format!("commit {} by {}", origin.subject.as_deref()?, origin.author.as_deref()?)
        }
        Happening::Remote { lost: Some((why, _)), .. } => format!("lost {why}"),
        Happening::Remote { lost: None, .. } => "back".into(),
        Happening::Refused { why, .. } => format!("refused {why}"),
        Happening::BadManifest { notes, kept, origin, .. } => {
            let at = notes[0].at.as_ref().map(ToString::to_string).unwrap_or_default();
            let subject = origin.and_then(|origin| origin.subject.as_deref()).unwrap_or_default();
            format!("bad {} at {at} of {subject}, kept={kept}", notes[0].code)
        }
        Happening::GoodManifest => "good".into(),
        Happening::Looked(look) if look.news => {
            let changes = look.planned.plan.changes.iter();
            let changes: Vec<String> =
                changes.map(|change| format!("{:?} {}", change.verb, change.id.name)).collect();
            let subject = look.session.origin().and_then(|origin| origin.subject).unwrap_or_default();
            format!("looked [{}] at {subject}", changes.join(", "))
        }
        Happening::Failed { why, news: true, .. } => format!("failed {why}"),
        Happening::Ended { ended, .. } => format!("ended {:?}", ended.outcome),
        _ => return None,
    })
}

impl Watched {
    async fn says(&mut self, start: &str) -> String {
        let mut heard = Vec::new();
        while let Some(line) = self.said.recv().await {
            if line.starts_with(start) {
                return line;
            }
            heard.push(line);
        }
        panic!("it never said `{start}`: {heard:?}")
    }

    /// Ends it; what it had to say until then.
    async fn end(mut self) -> Vec<String> {
        self.stop.send(Stop::RollBack).unwrap();
        self.task.await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.said.recv().await {
            rest.push(line);
        }
        rest
    }
}

#[tokio::test]
async fn what_is_on_the_branch_is_applied_and_history_knows_the_commit() {
    let stage = Stage::new();
    let first = stage.push(&["a"], "One box");
    let mut watched = stage.watch(Policy::Full);
    assert_eq!(watched.says("").await, "commit One box by Ana");
    watched.says("ended Some(Applied)").await;
    let second = stage.push(&["a", "b"], "Two boxes");
    assert_eq!(watched.says("commit").await, "commit Two boxes by Ana");
    assert_eq!(watched.says("looked").await, "looked [Create b] at Two boxes");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a", "b"]);
    // The branch is rewritten.
    stage.repository.git(&["reset", "--quiet", "--hard", &first]);
    let third = stage.push(&["a", "c"], "Another second box");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a", "c"]);
    watched.end().await;
    let manifest =
        fraktalia_engine::load(&stage.clones().join("current/home/fraktalia.yaml")).manifest.unwrap();
    let runs = Session::new(manifest, Registry::new(), stage.paths()).history().unwrap();
    let commits: Vec<String> =
        runs.iter().map(|run| run.header.origin.as_ref().unwrap().commit.clone()).collect();
    assert_eq!(commits, [first, second, third.clone()]);
    // What is old goes with the next question.
    let watched = stage.watch(Policy::Report);
    watched.end().await;
    assert_eq!(stage.kept(), [third]);
}

#[tokio::test]
async fn a_bad_commit_is_said_once_with_its_place_and_the_last_good_one_stays_over_restarts() {
    let stage = Stage::new();
    stage.push(&["a"], "Good");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    stage.repository.write("home/fraktalia.yaml", &format!("{MANIFEST}nonsense: true\n"));
    stage.repository.push("Bad");
    let bad = "bad manifest.unknown-key at home/fraktalia.yaml:3:1 of Bad, kept=true";
    assert_eq!(watched.says("bad").await, bad);
    stage.world.lock().unwrap().boxes.clear();
    watched.bell.of("left").ring("");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a"], "drift is healed by the last good one");
    assert_eq!(watched.end().await, Vec::<String>::new(), "it was said once");

    let mut watched = stage.watch(Policy::Full);
    assert_eq!(watched.says("bad").await, bad, "and once by the next one");
    assert_eq!(watched.says("looked").await, "looked [] at Good");
    stage.push(&["a", "b"], "Better");
    assert_eq!(watched.says("good").await, "good");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a", "b"]);
    watched.end().await;
}

#[tokio::test]
async fn a_remote_that_is_lost_or_has_no_such_branch_is_said_once_and_drift_is_still_seen() {
    let stage = Stage::new();
    stage.push(&["a"], "Good");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    let (there, away) = (stage.repository.remote(), stage.dir.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    assert!(watched.says("lost").await.contains("cannot ask"));
    stage.world.lock().unwrap().boxes.clear();
    watched.bell.of("left").ring("");
    watched.says("ended Some(Applied)").await;
    assert_eq!(watched.end().await, Vec::<String>::new(), "it was said once");
    // A watch that begins without the remote goes by the last good commit.
    let mut watched = stage.watch(Policy::Full);
    assert!(watched.says("").await.starts_with("lost"));
    assert_eq!(watched.says("looked").await, "looked [] at Good");
    std::fs::rename(&away, &there).unwrap();
    watched.bell.of("SIGHUP").ring_afresh("");
    watched.says("back").await;
    stage.repository.git(&["--git-dir", &stage.repository.url(), "update-ref", "-d", "refs/heads/main"]);
    assert!(watched.says("lost").await.contains("there is no branch `main`"));
    stage.push(&["b"], "Back again");
    watched.bell.of("SIGHUP").ring_afresh("");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["b"]);
    watched.end().await;
}

#[tokio::test]
async fn links_and_paths_that_leave_the_repository_are_refused_and_those_inside_are_not() {
    let stage = Stage::new();
    stage.push(&["a"], "Good");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    let link = |name: &str, target: &str| {
        let path = stage.repository.path(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    for target in ["/etc/passwd", "../../../../../../../../etc/passwd", "nowhere"] {
        link("home/extra.yaml", target);
        stage.push(&["a", "evil"], target);
        assert!(watched.says("refused").await.contains("`home/extra.yaml` leads out"), "{target}");
    }
    // By its letters it stays inside, by the disk it does not.
    std::fs::create_dir_all(stage.repository.path("home/deep")).unwrap();
    link("home/deep/up", "../..");
    link("home/extra.yaml", "deep/up/../outside");
    stage.push(&["a", "evil"], "sly");
    assert!(watched.says("refused").await.contains("`home/extra.yaml` leads out"));
    std::fs::remove_file(stage.repository.path("home/deep/up")).unwrap();

    link("home/extra.yaml", "other.yaml");
    stage.repository.write("home/other.yaml", "networks: { linked: { internet: true } }\n");
    stage
        .repository
        .write("home/fraktalia.yaml", &format!("{}include: [extra.yaml]\n", manifest_with(&["a"])));
    stage.repository.push("A link inside");
    assert_eq!(watched.says("looked").await, "looked [Create linked] at A link inside");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a", "linked"]);
    watched.end().await;
}

#[tokio::test]
async fn what_would_go_with_the_commit_may_not_lie_in_the_repository() {
    let stage = Stage::new();
    let text = format!(
        "{MANIFEST}matrix:\n  homeserver: http://127.0.0.1:1\n  server_name: chat.test\n  \
         admin_token: {{ file: secrets/admin }}\n  bot: \"@agent:chat.test\"\n\
         openclaw:\n  config: openclaw.json\n  catch_all: felix\n"
    );
    stage.repository.write("home/fraktalia.yaml", &text);
    stage.repository.push("Relative");
    let mut watched = stage.watch(Policy::Full);
    assert!(watched.says("bad").await.starts_with("bad git.relative-path at home/fraktalia.yaml:"));
    watched.end().await;
}

#[tokio::test]
async fn what_a_killed_process_left_is_no_hindrance() {
    let stage = Stage::new();
    let commit = stage.push(&["a"], "Good");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    assert!(
        matches!(
            Clones::open(&stage.dir.path().join("state/clones"), stage.remote(None)),
            Err(GitError::InUse(_))
        ),
        "two of them would be in each other's way"
    );
    watched.end().await;
    let dir = stage.clones();
    std::fs::create_dir_all(dir.join("part-abc/repo/objects")).unwrap();
    std::fs::write(dir.join("part-abc/repo/shallow.lock"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("current.new")).unwrap();
    let newer = stage.push(&["a", "b"], "Newer");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a", "b"]);
    watched.end().await;
    assert!(stage.kept().iter().all(|name| [&commit, &newer].contains(&name)), "{:?}", stage.kept());
}

/// Makes a key of SSH; its public half.
fn key(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
    assert!(keygen.status().unwrap().success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[tokio::test]
async fn only_commits_that_one_of_the_signers_signed_are_planned() {
    let stage = Stage::new();
    let dir = stage.dir.path();
    let (ana, _eve) = (key(dir, "ana"), key(dir, "eve"));
    let signers = dir.join("signers");
    std::fs::write(&signers, format!("ana@chat.home {ana}")).unwrap();
    let sign = |who: &str| {
        let key = dir.join(who).display().to_string();
        let config = ["-c", "gpg.format=ssh", "-c", &format!("user.signingkey={key}")];
        stage.repository.git(
            &[&config[..], &["commit", "--quiet", "--amend", "--allow-empty", "--no-edit", "-S"]].concat(),
        );
        stage.repository.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
    };
    stage.push(&["a"], "Unsigned");
    let mut watched = stage.watch_signed(Policy::Full, Some(Signers::Ssh(signers.clone())));
    assert_eq!(watched.says("").await, "refused it is not signed");
    stage.push(&["a", "evil"], "By a stranger");
    assert_eq!(watched.says("").await, "refused it is not signed");
    sign("eve");
    assert!(watched.says("").await.starts_with("refused its signature does not count"));
    stage.push(&["a"], "By Ana");
    sign("ana");
    watched.says("commit By Ana").await;
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a"]);
    // On top of what is in force: it stays in force.
    stage.push(&["a", "evil"], "Unsigned again");
    watched.says("refused it is not signed").await;
    stage.world.lock().unwrap().boxes.clear();
    watched.bell.of("left").ring("");
    watched.says("ended Some(Applied)").await;
    assert_eq!(stage.boxes(), ["a"]);
    watched.end().await;

    // Her key is taken away: what she signed is not used any more, not even as the last good one.
    std::fs::write(&signers, "").unwrap();
    let mut watched = stage.watch_signed(Policy::Full, Some(Signers::Ssh(signers)));
    assert_eq!(watched.says("").await, "refused it is not signed");
    assert!(watched.says("").await.starts_with("refused its signature does not count"));
    watched.bell.of("left").ring("");
    watched.end().await;
}

#[tokio::test]
async fn a_directory_of_signers_is_one_of_gnupg_and_keys_of_ssh_do_not_count_then() {
    if Command::new("gpg").arg("--version").output().is_err() {
        eprintln!("skipped: there is no gpg here");
        return;
    }
    let stage = Stage::new();
    let dir = stage.dir.path();
    // The path of an agent's socket has to be short.
    let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |program: &str, args: &[&str]| {
        let ran = Command::new(program).env("GNUPGHOME", home.path()).args(args).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let make = ["--quick-gen-key", "Ana <ana@chat.home>", "ed25519", "sign", "never"];
    gpg("gpg", &[&["--batch", "--quiet", "--passphrase", ""], &make[..]].concat());
    key(dir, "ana");
    let ssh_key = format!("user.signingkey={}", dir.join("ana").display());
    let wrapper = dir.join("gpg-of-ana");
    let script = format!("#!/bin/sh\nGNUPGHOME={} exec gpg \"$@\"\n", home.path().display());
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = format!("gpg.program={}", wrapper.display());
    let sign = |config: &[&str]| {
        let config: Vec<&str> = config.iter().flat_map(|setting| ["-c", setting]).collect();
        stage.repository.git(
            &[&config[..], &["commit", "--quiet", "--amend", "--allow-empty", "--no-edit", "-S"]].concat(),
        );
        stage.repository.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
    };
    stage.push(&["a"], "By a key of SSH");
    sign(&["gpg.format=ssh", &ssh_key]);
    let mut watched = stage.watch_signed(Policy::Full, Some(Signers::Gpg(home.path().into())));
    assert!(watched.says("").await.starts_with("refused"));
    stage.push(&["a"], "By Ana");
    sign(&[&program, "user.signingkey=ana@chat.home"]);
    watched.says("commit By Ana").await;
    watched.says("ended Some(Applied)").await;
    watched.end().await;
    gpg("gpgconf", &["--kill", "all"]);
}

#[tokio::test]
async fn a_repository_that_is_too_large_is_refused_before_it_is_written() {
    let stage = Stage::new();
    stage.push(&["a"], "Good");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    // It takes next to no room on its way, and half a gigabyte on the disk.
    let file = std::fs::File::create(stage.repository.path("zeros")).unwrap();
    file.set_len(300 << 20).unwrap();
    stage.push(&["a", "b"], "Large");
    assert!(watched.says("refused").await.contains("it has 2 files and 300 MiB"));
    watched.end().await;
    assert_eq!(stage.boxes(), ["a"]);
}

#[tokio::test]
async fn hooks_filters_and_configuration_of_a_repository_do_nothing() {
    let stage = Stage::new();
    let mark = stage.dir.path().join("mark");
    let touch = format!("touch {}", mark.display());
    stage.repository.write(".gitattributes", "* filter=evil\n");
    stage.repository.write(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = /nowhere\n");
    stage.repository.write("home/.gitconfig", &format!("[filter \"evil\"]\n\tsmudge = {touch}\n"));
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        stage.repository.write(&format!("hooks/{hook}"), &format!("#!/bin/sh\n{touch}\n"));
    }
    stage.push(&["a"], "Traps");
    let mut watched = stage.watch(Policy::Full);
    watched.says("ended Some(Applied)").await;
    watched.end().await;
    assert!(!mark.exists());
    assert_eq!(stage.boxes(), ["a"]);
}
