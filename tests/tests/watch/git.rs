//! The manifest comes from a branch.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fraktalia_testkit::git::Repository;
use fraktalia_tests::{Stage, With};
use serde_json::Value as Json;

use super::running::Watch;
use super::service::{free_port, get};

fn lounge(topic: &str) -> String {
    format!(
        "users: {{ ana: {{}} }}\nrooms:\n  lounge: {{ name: The lounge, topic: {topic}, members: [ana] }}\n"
    )
}

struct Story {
    stage: Stage,
    repository: Repository,
}

impl Story {
    async fn set() -> Option<Self> {
        let stage = Stage::set(With::FileOnly).await?;
        let repository = Repository::new(&stage.path("git"));
        Some(Self { stage, repository })
    }

    fn push(&self, topic: &str) -> String {
        self.repository.write("home/fraktalia.yaml", &self.stage.manifest_for_anywhere(&lounge(topic)));
        // Nothing is read from beside the program.
        std::fs::remove_file(self.stage.path("fraktalia.yaml")).expect("removed");
        self.repository.push(topic)
    }

    fn watch(&self, url: &str, more: &[&str], environment: &[(&str, &str)]) -> Watch {
        let git = ["--policy", "full", "--git", url, "--path", "home/fraktalia.yaml", "--poll", "1s"];
        Watch::start_with(&self.stage, &[&git[..], more].concat(), environment)
    }

    async fn topic(&self) -> String {
        let room = self.stage.room("lounge").await.expect("the lounge exists");
        let path = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.topic/",
            fraktalia_testkit::real::encode(&room)
        );
        let topic = self.stage.synapse.admin().get(&path).await.expect("a topic");
        topic["topic"].as_str().expect("a text").to_owned()
    }
}

async fn applied(watch: &mut Watch) {
    watch.until(|line| line["happening"] == "ended" && line["outcome"] == "applied").await;
}

#[tokio::test]
async fn what_is_pushed_is_applied_and_its_commit_is_shown_everywhere() {
    let Some(story) = Story::set().await else { return };
    let first = story.push("One");
    let port = free_port();
    let url = story.repository.url();
    let mut watch = story.watch(&url, &["--listen", &port.to_string()], &[]);
    let line = watch.happening("commit").await;
    assert_eq!((&line["commit"]["commit"], &line["branch"]), (&Json::from(first.clone()), &"main".into()));
    applied(&mut watch).await;
    assert_eq!(story.topic().await, "One");

    let began = std::time::Instant::now();
    let second = story.push("Two");
    let line = watch.until(|line| line["happening"] == "applying").await;
    assert_eq!(line["commit"]["commit"], Json::from(second.clone()));
    applied(&mut watch).await;
    println!("a pushed commit was applied after {} ms, asked for each second", began.elapsed().as_millis());
    assert_eq!(story.topic().await, "Two");

    let (_, status) = get(port, "/status").await;
    let status: Json = serde_json::from_str(&status).expect("a document");
    assert_eq!(status["commit"]["commit"], Json::from(second.clone()), "{status}");
    assert_eq!((&status["git"]["reachable"], &status["git"]["branch"]), (&true.into(), &"main".into()));
    let (_, metrics) = get(port, "/metrics").await;
    let line = format!("fraktalia_watch_commit_info{{commit=\"{second}\",branch=\"main\"}} 1");
    assert!(metrics.lines().any(|found| found == line), "{metrics}");

    // A branch that is rewritten, and a commit that is not good.
    story.repository.git(&["reset", "--quiet", "--hard", &first]);
    story.push("Three");
    applied(&mut watch).await;
    assert_eq!(story.topic().await, "Three");
    story.repository.write("home/fraktalia.yaml", "version: 1\nrealm: stage\nnonsense: true\n");
    let bad = story.repository.push("Bad");
    let line = watch.happening("bad_manifest").await;
    assert_eq!(line["commit"]["commit"], Json::from(bad));
    assert_eq!(line["notes"][0]["at"]["file"], "home/fraktalia.yaml", "{line}");
    assert_eq!(line["kept"], true);
    let fourth = story.push("Four");
    applied(&mut watch).await;
    let (code, said) = watch.end().await;
    assert_eq!(code, Some(0));
    assert_eq!(said.iter().filter(|line| line["happening"] == "bad_manifest").count(), 1, "it was said once");

    std::fs::write(story.stage.path("fraktalia.yaml"), story.repository_manifest()).expect("written");
    let history = story.stage.run(&["history"]).await.expect(0);
    for commit in [&first, &second, &fourth] {
        assert!(history.stdout.contains(&format!("@ {}", &commit[..7])), "{}", history.stdout);
    }
    let show = story.stage.run(&["show", "last"]).await.expect(0);
    assert!(show.stdout.contains(&format!("commit {fourth} on main: Four")), "{}", show.stdout);
}

impl Story {
    fn repository_manifest(&self) -> String {
        std::fs::read_to_string(self.repository.path("home/fraktalia.yaml")).expect("it is there")
    }
}

/// A stand-in for ssh: what it is to run elsewhere it runs here. Where `hold` lies beside it, a call that fetches, while
/// there is a part of a clone, never ends.
fn ssh_stand_in(dir: &Path) -> String {
    let script = format!(
        "#!/bin/sh\ncd {}\n[ \"$1\" = -G ] && exit 1\nfor last; do :; done\n\
         if [ -e hold ] && ls -d ../state/clones/*/part-* > /dev/null 2>&1; then echo $$ > held; exec sleep 600; fi\n\
         exec sh -c \"$last\"\n",
        dir.display()
    );
    let path = dir.join("ssh-stand-in");
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("made a program");
    path.display().to_string()
}

#[tokio::test]
async fn a_watch_that_is_killed_while_it_fetches_goes_on_when_it_is_started_again() {
    let Some(story) = Story::set().await else { return };
    story.push("One");
    let dir = story.stage.path("ssh");
    std::fs::create_dir(&dir).expect("made");
    let ssh = ssh_stand_in(&dir);
    let environment = [("GIT_SSH_COMMAND", ssh.as_str())];
    let url = format!("git@git.stage:{}", story.repository.url());
    let mut watch = story.watch(&url, &[], &environment);
    applied(&mut watch).await;
    std::fs::write(dir.join("hold"), "").expect("written");
    story.push("Two");
    let held = dir.join("held");
    while !std::fs::read_to_string(&held).is_ok_and(|text| text.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    watch.signal("-KILL").await;
    assert_eq!(watch.wait().await.0, None, "a signal has ended it");
    let clones = story.stage.path("state/clones");
    let parts = || {
        let dir =
            std::fs::read_dir(&clones).expect("a folder").next().expect("a clone").expect("a name").path();
        let names = std::fs::read_dir(dir).expect("a folder");
        names
            .filter(|name| name.as_ref().expect("a name").file_name().to_string_lossy().starts_with("part-"))
            .count()
    };
    assert_eq!(parts(), 1, "it was in the middle of it");
    // What git has started outlives it for a while; here nobody waits for that.
    let pid = std::fs::read_to_string(&held).expect("read");
    let _ = Command::new("kill").arg(pid.trim()).status();
    std::fs::remove_file(dir.join("hold")).expect("removed");
    let mut watch = story.watch(&url, &[], &environment);
    applied(&mut watch).await;
    assert_eq!(story.topic().await, "Two");
    assert_eq!(watch.end().await.0, Some(0));
    assert_eq!(parts(), 0);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_run() {
    let Some(story) = Story::set().await else { return };
    let mark = story.stage.path("mark");
    let evil = format!("ext::sh -c touch% {}", mark.display());
    for (url, branch) in [(evil.as_str(), "main"), ("--upload-pack=x", "main"), ("/srv/x", "--force")] {
        let git = format!("--git={url}");
        let branch = format!("--branch={branch}");
        let ran = story.stage.run(&["watch", &git, &branch]).await.expect(2);
        assert!(ran.stderr.contains("error:"), "{}", ran.stderr);
    }
    let ran = story.stage.run(&["watch", "--git=https://me:hunter2@git.stage/x"]).await.expect(2);
    assert!(!ran.stderr.contains("hunter2") && ran.stderr.contains("credential"), "{}", ran.stderr);
    assert!(!mark.exists());
}

#[tokio::test]
async fn without_a_watch_too_a_plan_shows_the_commit_of_the_work_tree_and_whether_it_was_changed() {
    let Some(story) = Story::set().await else { return };
    let commit = story.push("One");
    let path = story.repository.path("home/fraktalia.yaml").display().to_string();
    let short = &commit[..7];
    let plan = story.stage.run(&["-f", &path, "plan"]).await.expect(0);
    assert!(plan.stdout.contains(&format!("fraktalia.yaml @ {short}  read")), "{}", plan.stdout);
    let _ = story.stage.run(&["-f", &path, "apply", "--yes"]).await.expect(0);
    let text = story.repository_manifest();
    std::fs::write(&path, text.replace("topic: One", "topic: Two")).expect("written");
    let plan = story.stage.run(&["-f", &path, "plan"]).await.expect(0);
    assert!(plan.stdout.contains(&format!("fraktalia.yaml @ {short}+  read")), "{}", plan.stdout);
    let json = story.stage.run(&["-f", &path, "plan", "--format", "json"]).await.expect(0);
    let json: Json = serde_json::from_str(&json.stdout).expect("a document");
    assert_eq!(
        (&json["commit"]["id"], &json["commit"]["changed"]),
        (&Json::from(commit.clone()), &true.into())
    );
    let _ = story.stage.run(&["-f", &path, "apply", "--yes"]).await.expect(0);
    let history = story.stage.run(&["-f", &path, "history", "--format", "json"]).await.expect(0);
    let history: Json = serde_json::from_str(&history.stdout).expect("a document");
    let of = |at: usize| {
        (history["runs"][at]["commit"]["commit"].clone(), history["runs"][at]["commit"]["changed"].clone())
    };
    assert_eq!(of(0), (commit.clone().into(), Json::Null));
    assert_eq!(of(1), (commit.into(), true.into()));
}
