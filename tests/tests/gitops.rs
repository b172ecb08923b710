//! The workflows of `examples/gitops`: their steps are run as the forge's runner would, on a real remote and a real
//! homeserver. What stands in for the forge is a server that keeps comments.

#![expect(clippy::print_stdout, reason = "what a step says is for whoever reads the log")]

mod gitops {
    pub mod forge;
    pub mod workflow;
}

use fraktalia_testkit::git::Repository;
use fraktalia_testkit::real::encode;
use fraktalia_tests::{Stage, With};
use gitops::forge::Forge;
use gitops::workflow::{Runner, Workflow};
use serde_json::json;

const ANA: &str = "users: { ana: {} }\n";

fn room(key: &str, topic: &str) -> String {
    format!("rooms:\n  {key}: {{ name: Room, topic: {topic}, members: [ana] }}\n")
}

struct Story {
    stage: Stage,
    repository: Repository,
    forge: Forge,
    workflow: Workflow,
}

impl Story {
    async fn set(file: &str) -> Option<Self> {
        let stage = Stage::set(With::FileOnly).await?;
        let repository = Repository::new(&stage.path("git"));
        let forge = Forge::start().await;
        let path = format!("{}/../examples/gitops/{file}", env!("CARGO_MANIFEST_DIR"));
        let workflow = Workflow::read(&path);
        let story = Self { stage, repository, forge, workflow };
        story.write(ANA);
        story.repository.push("People");
        Some(story)
    }

    /// Writes the manifest of the work tree; its token comes from the environment, as the forge gives it.
    fn write(&self, wishes: &str) {
        let text = self.stage.manifest_for_anywhere(wishes);
        let file = format!("file: {}/secrets/admin", self.stage.dir().display());
        self.repository.write("fraktalia.yaml", &text.replace(&file, "env: MATRIX_ADMIN_TOKEN"));
    }

    /// What the forge gives to a job of the workflow, on a checkout of what is committed now.
    fn runner(&self) -> Runner<'_> {
        self.repository.commit("A change");
        Runner::new(&self.stage, &self.forge, &self.repository)
    }

    async fn room_topic(&self, key: &str) -> Option<String> {
        let room = encode(&self.stage.room(key).await?);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
        let topic = self.stage.synapse.admin().get(&path).await.ok()?;
        topic["topic"].as_str().map(str::to_owned)
    }

    async fn set_topic(&self, key: &str, text: &str) {
        let room = encode(&self.stage.room(key).await.expect("the room exists"));
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
        self.stage.synapse.admin().put(&path, &json!({ "topic": text })).await.expect("set");
    }
}

async fn a_request_is_planned_in_one_comment_and_applied_once_it_is_merged(file: &str) {
    let Some(story) = Story::set(file).await else { return };
    let workflow = &story.workflow;
    // Everything that `main` asks for is there before the first request.
    assert_eq!(story.runner().run_all(workflow.on_main()).await, 0);
    let before = story.stage.rooms().await;

    story.write(&format!("{ANA}{}", room("shed", "Tools")));
    assert_eq!(story.runner().run_all(workflow.check()).await, 0);
    assert_eq!(story.runner().run_all(workflow.on_request()).await, 0);
    let comments = story.forge.comments();
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert!(comments[0].starts_with("<!-- fraktalia -->\n### fraktalia: 2 to create"), "{}", comments[0]);
    assert!(comments[0].contains("`#shed:chat.stage`"), "{}", comments[0]);

    // Another push to the same request, with a mistake in it.
    story.write(&format!("{ANA}{}nonsense: true\n", room("shed", "Tools")));
    assert_eq!(story.runner().run_all(workflow.check()).await, 10);
    assert_eq!(story.runner().run_all(workflow.on_request()).await, 10);
    let comments = story.forge.comments();
    assert_eq!(comments.len(), 1, "it is written anew: {comments:?}");
    assert!(
        comments[0].contains("there is no plan") && comments[0].contains("`nonsense`"),
        "{}",
        comments[0]
    );

    // Something that is there already and is not ours.
    let squat = json!({ "room_alias_name": "squat", "name": "Somebody's" });
    story.stage.synapse.admin().create_room(&squat).await.expect("made");
    story.write(&format!("{ANA}{}", room("squat", "Ours")));
    assert_eq!(story.runner().run_all(workflow.on_request()).await, 15);
    assert!(story.forge.comments()[0].contains("### fraktalia: blocked"), "{}", story.forge.comments()[0]);
    assert_eq!(story.runner().run_all(workflow.on_main()).await, 15, "and merged all the same");
    let mut rooms = story.stage.rooms().await;
    rooms.retain(|room| !room.to_string().contains("squat"));
    assert_eq!(rooms, before, "nothing was applied so far");

    story.write(&format!("{ANA}{}", room("shed", "Tools")));
    assert_eq!(story.runner().run_all(workflow.on_main()).await, 0);
    assert_eq!(story.room_topic("shed").await.as_deref(), Some("Tools"));
    assert_eq!(story.runner().run_all(workflow.on_main()).await, 0, "a second time there is nothing to do");

    // Somebody is at it between the plan and its apply.
    story.write(&format!("{ANA}{}", room("shed", "Rakes")));
    let runner = story.runner();
    let (first, last) = workflow.on_main().split_at(1);
    assert_eq!(runner.run_all(first).await, 0);
    story.set_topic("shed", "By hand").await;
    assert_eq!(runner.run_all(last).await, 12, "it is stale");
    assert_eq!(story.room_topic("shed").await.as_deref(), Some("By hand"));
    assert_eq!(story.runner().run_all(workflow.on_main()).await, 0, "planned anew");
    assert_eq!(story.room_topic("shed").await.as_deref(), Some("Rakes"));
    assert!(!story.forge.was_asked_without_token());
}

#[tokio::test]
async fn on_github_a_request_is_planned_in_one_comment_and_applied_once_it_is_merged() {
    a_request_is_planned_in_one_comment_and_applied_once_it_is_merged(".github/workflows/fraktalia.yaml")
        .await;
}

#[tokio::test]
async fn on_forgejo_a_request_is_planned_in_one_comment_and_applied_once_it_is_merged() {
    a_request_is_planned_in_one_comment_and_applied_once_it_is_merged(".forgejo/workflows/fraktalia.yaml")
        .await;
}

#[tokio::test]
async fn on_gitlab_a_request_is_planned_in_one_comment_and_applied_once_it_is_merged() {
    a_request_is_planned_in_one_comment_and_applied_once_it_is_merged(".gitlab-ci.yml").await;
}

#[test]
fn no_workflow_hands_secrets_to_what_nobody_has_read() {
    for file in [".github/workflows/fraktalia.yaml", ".forgejo/workflows/fraktalia.yaml"] {
        let text =
            std::fs::read_to_string(format!("{}/../examples/gitops/{file}", env!("CARGO_MANIFEST_DIR")));
        let text = text.expect("it is there");
        let yaml: serde_json::Value = serde_saphyr::from_str(&text).expect("it is YAML");
        let on = yaml["on"].as_object().expect("events");
        assert_eq!(on.keys().collect::<Vec<_>>(), ["pull_request", "push"], "{file}");
        assert_eq!(yaml["concurrency"]["cancel-in-progress"], false, "{file}");
        let jobs = yaml["jobs"].as_object().expect("jobs");
        for (name, job) in jobs {
            let secret = job.to_string().contains("secrets.");
            let guard = job["if"].as_str().unwrap_or_default();
            let ours = guard.contains("head.repo.full_name == github.repository") || guard.contains("'push'");
            assert!(!secret || ours, "{file}: {name}");
            for step in job["steps"].as_array().expect("steps") {
                // What stands in braces is pasted into the script before a shell reads it: a branch may be called `$(x)`.
                assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{file}: {step}");
                if let Some(uses) = step["uses"].as_str() {
                    assert_eq!(step["with"]["persist-credentials"], false, "{file}: {uses}");
                    let version = uses.rsplit('@').next().unwrap_or_default();
                    assert!(file.contains("forgejo") || version.len() == 40, "{file}: {uses}");
                }
            }
        }
    }
}
