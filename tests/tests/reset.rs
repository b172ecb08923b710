//! A room is emptied: real messages, real media, a real agent that remembers; and in between the program is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::{Person, encode};
use fraktalia_tests::{PASSWORD, SERVER, Stage, With};
use serde_json::{Value, json};
use tokio::sync::Notify;

const LIMIT: Duration = Duration::from_mins(3);

const WISHES: &str = "\
policy: { protect: [matrix/room/archive] }
users:
  ana: { display_name: Ana, password: { file: secrets/password } }
  ben: {}
rooms:
  archive: { members: [ana] }
  lounge: { name: The lounge, topic: For everybody, members: [ana, ben] }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    auto_reply: true
";

struct Story {
    stage: Stage,
    ana: Person,
    room: String,
}

impl Story {
    async fn set(with: With) -> Option<Self> {
        let stage = Stage::set(with).await?;
        stage.manifest(WISHES);
        let _ = stage.run(&["apply", "--yes"]).await.expect(0);
        let ana =
            Person::log_in(&stage.synapse.base_url(), "ana", PASSWORD).await.expect("her account works");
        let room = stage.room("gardener").await.expect("the room exists");
        Some(Self { stage, ana, room })
    }

    async fn room(&self, key: &str) -> String {
        self.stage.room(key).await.expect("the room exists")
    }

    /// Sends something to the homeserver, and gives its address.
    async fn upload(&self, bytes: &'static str) -> String {
        let url = format!("{}/_matrix/media/v3/upload?filename=x.txt", self.stage.synapse.base_url());
        let request =
            self.ana.http().post(url).bearer_auth(self.ana.token()).header("content-type", "text/plain");
        let answer = request.body(bytes).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["content_uri"].as_str().expect("an address").to_owned()
    }

    /// Shows a medium in a room. What its own user writes wakes no agent.
    async fn show(&self, who: &Person, room: &str, address: &str) {
        let path =
            format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{}", encode(room), encode(address));
        let content = json!({ "msgtype": "m.file", "body": "x.txt", "url": address });
        who.put(&path, &content).await.expect("it is sent");
    }

    async fn is_there(&self, address: &str) -> bool {
        let id = address.rsplit('/').next().expect("an id");
        let path = format!("/_synapse/admin/v1/media/{SERVER}/{id}");
        self.stage.synapse.admin().get(&path).await.is_ok()
    }

    /// What was written in a room: bodies, newest first.
    async fn written(&self, room: &str) -> Vec<String> {
        let path = format!("/_synapse/admin/v1/rooms/{}/messages?dir=b&limit=500", encode(room));
        let answer = self.stage.synapse.admin().get(&path).await.expect("what was written");
        let events = answer["chunk"].as_array().expect("events").iter();
        events.filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
    }

    /// What has to stay as it is: the room's state, but for what a purge may do with the history of it.
    async fn state(&self) -> Vec<String> {
        let path = format!("/_synapse/admin/v1/rooms/{}/state", encode(&self.room));
        let answer = self.stage.synapse.admin().get(&path).await.expect("its state");
        let events = answer["state"].as_array().expect("events").iter();
        let mut state: Vec<String> = events
            .map(|event| json!([event["type"], event["state_key"], event["content"]]).to_string())
            .collect();
        state.sort();
        state
    }

    /// The sessions that the gateway has about the room.
    async fn sessions(&self) -> usize {
        self.stage.sessions().await.iter().filter(|key| key.ends_with(&self.room)).count()
    }

    async fn ask(&self) -> String {
        let answer = self.ana.ask(&self.room, self.stage.bot.user_id(), "Who are you?", LIMIT).await;
        answer.unwrap_or_else(|error| panic!("{error}")).body
    }
}

#[tokio::test]
async fn killed_anywhere_a_reset_is_finished_by_another_one_and_the_room_lives_on() {
    let Some(story) = Story::set(With::Gateway).await else { return };
    let stage = &story.stage;
    assert_eq!(story.ask().await, "I am Gardener. Looks after the garden plan.");
    let (going, shared) = (story.upload("only here").await, story.upload("in two rooms").await);
    story.show(&stage.bot, &story.room, &going).await;
    story.show(&stage.bot, &story.room, &shared).await;
    story.show(&story.ana, &story.room("lounge").await, &shared).await;
    let picture = story.upload("the picture of the room").await;
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.avatar/", encode(&story.room));
    stage.synapse.admin().put(&path, &json!({ "url": picture })).await.expect("it is set");
    let before = story.state().await;
    let reset = ["reset", "gardener", "--yes", "gardener"];

    // A medium that cannot be removed: the history, which alone knows it, stays.
    stage.proxy.break_if(|method, path| {
        (*method == "DELETE" && path.contains("/media/")).then_some(Break::ServerError)
    });
    let failed = stage.run(&reset).await.expect(1);
    assert!(failed.stdout.contains("1 file (9 B)"), "{}", failed.stdout);
    assert_eq!(failed.stdout.matches("1 stays").count(), 2, "picture and shared: {}", failed.stdout);
    assert!(failed.stderr.contains("fraktalia reset gardener"), "it says how to go on: {}", failed.stderr);
    assert!(story.written(&story.room).await.contains(&"Who are you?".to_owned()));
    assert_eq!(story.sessions().await, 1);

    // Killed while a medium goes, and while the history goes.
    for place in ["/media/", "/purge_history/"] {
        stage.proxy.take_calls();
        stage
            .proxy
            .break_if(move |method, path| (*method != "GET" && path.contains(place)).then_some(Break::Hang));
        let mut child = stage.start(&reset);
        stage.proxy.called(|method, path| *method != "GET" && path.contains(place)).await;
        child.kill().await.expect("it is killed");
        stage.proxy.mend();
        assert_eq!(story.sessions().await, 1, "the session is the last to go");
    }
    let done = stage.run(&reset).await.expect(0);
    assert!(done.stderr.contains("gardener has forgotten the room"), "{}", done.stderr);

    assert!(!story.is_there(&going).await && story.is_there(&shared).await && story.is_there(&picture).await);
    assert_eq!(story.written(&story.room).await, [""; 0]);
    assert_eq!(story.written(&story.room("lounge").await).await, ["x.txt"], "the other room is as it was");
    assert_eq!(story.sessions().await, 0);
    assert_eq!(story.state().await, before, "members, name, picture, power and marker");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    let _ = stage.run(&["plan", "--exit-code", "--refresh"]).await.expect(0);

    let empty = stage.run(&reset).await.expect(0);
    assert!(empty.stdout.contains("is empty"), "{}", empty.stdout);
    assert_eq!(story.ask().await, "I am Gardener. Looks after the garden plan.");
    assert_eq!(story.sessions().await, 1, "and begins a new session");
}

#[tokio::test]
async fn what_must_not_be_emptied_is_refused_before_anything_is_asked_of_the_homeserver() {
    let Some(story) = Story::set(With::FileOnly).await else { return };
    let stage = &story.stage;
    let archive = story.room("archive").await;
    story.ana.say(&archive, "to be kept").await.expect("said");
    stage.proxy.take_calls();
    for (args, code, word) in [
        (&["reset", "archive", "--history", "--yes", "archive"][..], 15, "policy.protect"),
        (&["reset", "archiv", "--history", "--yes", "archiv"], 2, "it has: archive, gardener, lounge"),
        (&["reset", "lounge", "--yes", "lounge"], 2, "--media --history"),
    ] {
        let refused = stage.run(args).await.expect(code);
        assert!(refused.stderr.contains(word), "{args:?}: {}", refused.stderr);
    }
    assert_eq!(stage.proxy.take_calls(), []);
    for args in
        [&["reset", "lounge", "--history"][..], &["reset", "lounge", "--history", "--yes", "gardener"]]
    {
        story.ana.say(&story.room("lounge").await, "hello").await.expect("said");
        stage.proxy.take_calls();
        let refused = stage.run(args).await.expect(2);
        assert!(refused.stderr.contains("--yes lounge"), "{}", refused.stderr);
        assert_eq!(stage.proxy.take_writes(), [], "nothing without the room's name");
    }
    assert_eq!(story.written(&archive).await, ["to be kept"]);

    // A room under our alias that somebody else made.
    let path = format!("/_matrix/client/v3/directory/room/{}", encode(&format!("#lounge:{SERVER}")));
    let admin = stage.synapse.admin();
    admin
        .http()
        .delete(format!("{}{path}", stage.synapse.base_url()))
        .bearer_auth(admin.token())
        .send()
        .await
        .expect("freed");
    let theirs =
        story.ana.create_room(&json!({ "room_alias_name": "lounge" })).await.expect("a room of hers");
    story.ana.say(&theirs, "hers").await.expect("said");
    let refused = stage.run(&["reset", "lounge", "--history", "--yes", "lounge"]).await.expect(15);
    assert!(refused.stderr.contains("is not ours"), "{}", refused.stderr);
    assert_eq!(story.written(&theirs).await, ["hers"]);
}

#[tokio::test]
async fn what_is_sent_while_a_reset_runs_stays() {
    let Some(story) = Story::set(With::FileOnly).await else { return };
    let stage = &story.stage;
    let old = story.upload("sent before").await;
    story.show(&story.ana, &story.room, &old).await;
    // Between the line and the list of media, as long as we like.
    let (held, drawn) = (Arc::new(Notify::new()), AtomicBool::new(false));
    let holds = Arc::clone(&held);
    stage.proxy.break_if(move |method, path| {
        if *method == "PUT" && path.contains("io.fraktalia.reset") {
            drawn.store(true, Ordering::SeqCst);
        }
        let lists = *method == "GET" && path.contains("/v1/room/") && drawn.load(Ordering::SeqCst);
        lists.then(|| {
            holds.notify_one();
            Break::Hold
        })
    });
    let child = stage.start(&["reset", "gardener", "--media", "--history", "--yes", "gardener"]);
    held.notified().await;
    let new = story.upload("sent meanwhile").await;
    story.show(&story.ana, &story.room, &new).await;
    stage.proxy.mend();
    let ended = child.wait_with_output().await.expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!story.is_there(&old).await && story.is_there(&new).await);
    assert_eq!(story.written(&story.room).await, ["x.txt"], "what came later");
}
