//! What is left over is found among what is not, and only that goes: a real gateway's sessions, real containers and images.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker, Person};
use fraktalia_tests::{PASSWORD, Stage, With};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(3);
/// Nobody else's realm, nor the name of anybody else's containers.
const REALM: &str = "cleanup-story";

const BEFORE: &str = "\
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: {}
rooms:
  lounge: { members: [ana, ben] }
sandboxes:
  unused: { image: { tag: BUSYBOX } }
fractals:
  gardener: { purpose: Looks after the garden plan., members: [ana, ben], auto_reply: true }
";
const COOK: &str =
    "  cook: { purpose: Knows what is in the larder., members: [ana, ben], auto_reply: true }\n";
const BINDING: &str = "bindings:\n  - { agent: gardener, room: lounge }\n";

/// The things of this story on the engine of this machine. Dropping it takes them away.
struct Things;

impl Drop for Things {
    fn drop(&mut self) {
        for (list, remove) in
            [(&["ps", "--all"][..], &["rm", "--force"][..]), (&["images"], &["rmi", "--force"])]
        {
            let filter = format!("label=io.fraktalia.test={REALM}");
            let all = Command::new("docker").args(list).args(["--quiet", "--filter", &filter]).output();
            let all =
                all.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            let ids: Vec<&str> = all.split_whitespace().collect();
            if !ids.is_empty() {
                let _ = Command::new("docker").args(remove).args(ids).stdout(Stdio::null()).status();
            }
        }
    }
}

/// Makes a container that looks like a sandbox of OpenClaw, and gives its id.
async fn sandbox(agent: &str, mounts: &Path) -> String {
    let session = format!("openclaw.sessionKey=agent:{agent}:matrix:channel:!x");
    let volume = format!("{}:/workspace", mounts.display());
    let test = format!("io.fraktalia.test={REALM}");
    let labels = ["--label", "openclaw.sandbox=1", "--label", &session, "--label", &test];
    docker(&[&["create"][..], &labels, &["--volume", &volume, BUSYBOX]].concat()).await.expect("a container")
}

/// Makes an image without a name that bears the marks of a realm, and gives its id.
async fn image(of: &str, realm: &str, tag: &[&str]) -> String {
    let label = format!(
        "LABEL io.fraktalia.realm={realm} io.fraktalia.test={REALM} io.fraktalia.resource=docker@local/image/unused"
    );
    docker(&[&["commit", "--change", &label, of][..], tag].concat()).await.expect("an image")
}

async fn is_there(kind: &str, id: &str) -> bool {
    docker(&[kind, "inspect", "--format", "{{.Id}}", id]).await.is_ok()
}

struct Story {
    stage: Stage,
    ana: Person,
}

impl Story {
    async fn apply(stage: &Stage, wishes: &str) {
        stage.manifest(&wishes.replace("BUSYBOX", &format!("\"{BUSYBOX}\"")));
        stage.set_realm(REALM);
        let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    }

    /// A gateway that remembers four conversations: two with agents that then lose them, one that goes on, one that is not ours.
    async fn set() -> Option<Self> {
        let stage = Stage::set(With::Gateway).await?;
        let cache = Cache::for_test()?;
        let engine = Docker::ensure(&cache).await.expect("an engine");
        engine.base_image(&cache, BUSYBOX).await.expect("an image");
        Self::apply(&stage, &format!("{BEFORE}{COOK}{BINDING}")).await;
        let ana =
            Person::log_in(&stage.synapse.base_url(), "ana", PASSWORD).await.expect("her account works");
        let story = Self { stage, ana };
        for (room, who) in [("gardener", "Gardener"), ("cook", "Cook"), ("lounge", "Gardener")] {
            assert!(story.ask(&story.stage.room(room).await.expect("a room")).await.contains(who), "{room}");
        }
        let (admin, den) = (story.stage.synapse.admin(), serde_json::json!({ "preset": "private_chat" }));
        let den = admin.create_room(&den).await.expect("a room that is not ours");
        for person in [story.stage.bot.user_id(), story.ana.user_id()] {
            admin.force_join(&den, person).await.expect("joins");
        }
        assert!(!story.ask(&den).await.is_empty(), "felix answers where nobody else does");
        Self::apply(&story.stage, BEFORE).await;
        Some(story)
    }

    async fn ask(&self, room: &str) -> String {
        let question = format!("{}: who are you?", self.stage.bot.user_id());
        let answer = self.ana.ask(room, self.stage.bot.user_id(), &question, LIMIT).await;
        answer.unwrap_or_else(|error| panic!("{room}: {error}")).body
    }

    /// The agents that the gateway has sessions of.
    async fn sessions(&self) -> Vec<String> {
        let keys = self.stage.sessions().await;
        let mut agents: Vec<String> =
            keys.iter().filter_map(|key| key.split(':').nth(1).map(str::to_owned)).collect();
        agents.sort();
        agents
    }

    async fn listed(&self) -> Value {
        let ran = self.stage.run(&["cleanup", "--format", "json", "--keep-runs", "1"]).await.expect(0);
        serde_json::from_str(&ran.stdout).expect("a document")
    }
}

#[tokio::test]
async fn only_what_is_ours_and_of_no_use_goes() {
    let Some(story) = Story::set().await else { return };
    let stage = &story.stage;
    let _things = Things;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (cooks, gardeners) = (stage.path("workspaces/cook"), stage.path("workspaces/gardener"));
    let orphan = sandbox("cook", &cooks).await;
    let theirs = [
        sandbox("cook", elsewhere.path()).await,
        sandbox("gardener", &gardeners).await,
        sandbox("stranger", &cooks).await,
    ];
    let old = image(&orphan, REALM, &[]).await;
    let others =
        [image(&orphan, "other-realm", &[]).await, image(&orphan, REALM, &["cleanup-story-mine:keep"]).await];
    let cut_short = stage.path("state/backup/.gone-20260101-000000000-abcdef");
    std::fs::create_dir_all(&cut_short).expect("made");
    assert_eq!(story.sessions().await, ["cook", "felix", "gardener", "gardener"]);

    // A list, and nothing else.
    let list = stage.run(&["cleanup", "--keep-runs", "1"]).await.expect(0);
    assert!(list.stderr.contains("Nothing was removed"), "{}", list.stderr);
    assert!(list.stdout.contains("no binding leads from that room"), "{}", list.stdout);
    let found = story.listed().await;
    let mut sorts: Vec<&str> = found["leftovers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["sort"].as_str())
        .collect();
    sorts.sort_unstable();
    assert_eq!(sorts, ["backup", "backup", "container", "image", "session", "session"], "{found}");
    // There may be helpers of other realms on the engine, too.
    let alone = found["left_alone"].as_array().expect("a list").iter();
    let mounting =
        alone.filter(|other| other["why"].as_str().is_some_and(|why| why.contains("mounts what is not")));
    assert_eq!(mounting.count(), 1, "{found}");
    assert!(is_there("container", &orphan).await && is_there("image", &old).await);
    assert_eq!(story.sessions().await.len(), 4);

    let done = stage.run(&["cleanup", "--yes", "--keep-runs", "1"]).await.expect(0);
    assert_eq!(done.stderr.matches('✓').count(), 6, "{}", done.stderr);
    assert!(!is_there("container", &orphan).await && !is_there("image", &old).await);
    for container in &theirs {
        assert!(is_there("container", container).await, "{container} is not ours, or in use");
    }
    for image in &others {
        assert!(is_there("image", image).await, "{image} is not ours, or named");
    }
    assert_eq!(story.sessions().await, ["felix", "gardener"]);
    assert!(!cut_short.exists());
    assert_eq!(story.listed().await["leftovers"], serde_json::json!([]));

    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    let runs = stage.run(&["history", "--format", "json"]).await.expect(0);
    let runs: Value = serde_json::from_str(&runs.stdout).expect("a document");
    let first = runs["runs"][0]["run"].as_str().expect("a run");
    let gone = stage.run(&["rollback", first, "--yes"]).await.expect(2);
    assert!(gone.stderr.contains("its backup was removed"), "{}", gone.stderr);
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
}
