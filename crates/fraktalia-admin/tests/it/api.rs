//! The Fractal API on real systems: what programs ask for becomes a plan in the room, or a change.

use fraktalia_testkit::proxy::Break;
use fraktalia_tests::With;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scene::{ALLOW, Scene, said};

/// The secret of a token.
fn secret(name: &str) -> String {
    format!("{name}-0123456789-0123456789")
}

/// A program that asks.
struct Program {
    base: String,
    http: reqwest::Client,
}

/// What it is answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Program {
    async fn asks(&self, token: &str, method: Method, path: &str, key: &str, body: Option<Value>) -> Answer {
        self.try_asking(token, method, path, key, body).await.expect("an answer")
    }

    async fn try_asking(
        &self,
        token: &str,
        method: Method,
        path: &str,
        key: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.bearer_auth(secret(token));
        if !key.is_empty() {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answer { status, body })
    }

    async fn posts(&self, token: &str, key: &str, name: &str) -> Answer {
        self.asks(token, Method::POST, "/fractal", key, Some(fractal(name))).await
    }

    async fn gets(&self, token: &str, path: &str) -> Answer {
        self.asks(token, Method::GET, path, "", None).await
    }
}

fn fractal(name: &str) -> Value {
    json!({ "name": name, "purpose": "Knows herbs.", "members": ["ana", "ben"] })
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A scene whose manifest has an API, with the program in the room.
async fn open() -> Option<(Scene, Program)> {
    let port = free_port();
    let token = |name: &str, scopes: &str, expires: &str| {
        format!("    {name}: {{ token: {{ file: {name}.token }}, scopes: [{scopes}], expires: {expires} }}\n")
    };
    let tokens = [
        token("ci", "read, propose", "2100-01-01"),
        token("root", "read, apply", "2100-01-01"),
        token("reader", "read", "2100-01-01"),
        token("old", "read", "2020-01-01"),
        token("lost", "read", "2100-01-01"),
    ];
    let more = format!("{ALLOW}api:\n  listen: 127.0.0.1:{port}\n  tokens:\n{}", tokens.concat());
    let mut scene = Scene::set(With::FileOnly, &more).await?;
    for name in ["ci", "root", "reader", "old"] {
        scene.tree.write(&format!("{name}.token"), &secret(name));
    }
    scene.start().await;
    let program = Program { base: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() };
    Some((scene, program))
}

/// The reactions that the program has put on a message.
async fn choices(scene: &Scene, message: &str) -> Vec<String> {
    let room = fraktalia_testkit::real::encode(&scene.room().await);
    let path = format!("/_synapse/admin/v1/rooms/{room}/messages?dir=b&limit=200");
    let page = scene.stage.synapse.admin().get(&path).await.expect("its events");
    let events = page["chunk"].as_array().expect("a list").iter();
    let ours =
        events.filter(|event| event["sender"] == "@fraktalia:chat.stage" && event["type"] == "m.reaction");
    let relations = ours.map(|event| &event["content"]["m.relates_to"]);
    let keys = relations.filter(|relation| relation["event_id"] == message).map(|relation| &relation["key"]);
    let mut keys: Vec<String> = keys.map(|key| key.as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

/// What the audit has, if it is whole.
async fn audit(scene: &Scene) -> String {
    let _ = scene.fraktalia(&["history", "--verify"]).await.expect(0);
    scene.fraktalia(&["history"]).await.expect(0).stdout
}

#[tokio::test]
async fn a_program_proposes_an_operator_approves_and_it_is_live() {
    let Some((mut scene, program)) = open().await else { return };
    let mut ana = scene.person("ana").await;
    let answer = program.posts("ci", "larder-1", "herbalist").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(
        (&answer.body["state"], &answer.body["proposal"]["by"]),
        (&json!("proposed"), &json!("token ci"))
    );
    let plan = said(&mut ana, "Plan for `herbalist`").await;
    assert!(plan.content["m.relates_to"].is_null(), "it has no thread to stand in: {plan:?}");
    for part in ["the API's token `ci`", "    fractals:", "purpose: \"Knows herbs.\""] {
        assert!(plan.body().contains(part), "{part}: {}", plan.body());
    }
    assert_eq!(scene.subjects(), ["The realm"], "a plan changes nothing");
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    assert_eq!(choices(&scene, &plan.event).await, ["✅", "❌"], "operators only have to click");
    let live = program.gets("reader", "/fractal/herbalist").await;
    assert_eq!(live.status, StatusCode::OK, "{live:?}");
    let room = scene.stage.room("herbalist").await.expect("its room");
    assert_eq!(live.body["state"], "live");
    assert_eq!(live.body["room"], json!({ "id": room, "alias": "#herbalist:chat.stage" }));
    assert_eq!(live.body["proposal"], Value::Null);
    let head = scene.tree.git(&["log", "-1", "--format=%B"]);
    assert!(head.contains("token `ci`") && head.contains("@ana:chat.stage"), "{head}");
    let audit = audit(&scene).await;
    assert!(audit.contains("token `ci`") && audit.contains("@ana:chat.stage"), "{audit}");
    assert_eq!(scene.stop().await, Some(0));
}

#[tokio::test]
async fn a_token_that_may_apply_makes_and_removes_and_the_room_is_told() {
    let Some((scene, program)) = open().await else { return };
    let mut ana = scene.person("ana").await;
    let made = program.posts("root", "make", "herbalist").await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}\n{}", scene.log());
    assert_eq!(made.body["state"], "live");
    said(&mut ana, "Doing `herbalist`, approved by the API's token `root`").await;
    said(&mut ana, "Done: `herbalist`").await;
    let again = program.posts("root", "make", "herbalist").await;
    assert_eq!(
        (again.status, &again.body),
        (StatusCode::CREATED, &made.body),
        "the same request, the same answer"
    );
    assert_eq!(scene.subjects().len(), 2, "one commit");
    let history = audit(&scene).await;
    assert!(history.contains("token `root`"), "{history}");

    let removed = program.asks("root", Method::DELETE, "/fractal/herbalist", "remove", None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}\n{}", scene.log());
    assert_eq!(program.gets("reader", "/fractal/herbalist").await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.stage.room("herbalist").await, None, "its room is gone");
    assert!(!scene.tree.path("fractals/herbalist.yaml").exists(), "and so is its file");
    said(&mut ana, "Done: removing `herbalist`").await;
    let _ = audit(&scene).await;
}

#[tokio::test]
async fn killed_between_a_request_and_its_answer_it_has_one_effect() {
    let Some((mut scene, program)) = open().await else { return };
    let (body, proxy) = (Some(fractal("herbalist")), &scene.stage.proxy);
    proxy.take_calls();
    proxy.break_once(Break::Hold, |_, path| path.contains("/createRoom"));
    let waits = program.try_asking("root", Method::POST, "/fractal", "once", body);
    tokio::pin!(waits);
    tokio::select! {
        answer = &mut waits => panic!("it cannot be done yet: {answer:?}"),
        () = proxy.called(|_, path| path.contains("/createRoom")) => {}
    }
    scene.kill().await;
    assert!(waits.await.is_err(), "it was killed before it could answer");
    scene.stage.proxy.mend();
    scene.start().await;
    let answer = program.posts("root", "once", "herbalist").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}\n{}", scene.log());
    assert_eq!(scene.runs().await, 2, "the realm, and one run");
    assert_eq!(scene.subjects().len(), 2, "one commit");
    let rooms = scene.stage.rooms().await;
    assert_eq!(rooms.iter().filter(|room| room.to_string().contains("herbalist")).count(), 1, "{rooms:?}");
    let other = program.posts("root", "once", "baker").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "another body under that key: {other:?}");
    let _ = audit(&scene).await;
}

#[tokio::test]
async fn what_a_token_may_not_do_is_refused_and_a_secret_that_comes_later_counts_after_sighup() {
    let Some((mut scene, program)) = open().await else { return };
    let denied = program.posts("reader", "", "herbalist").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{denied:?}");
    for (token, part) in [("old", "expired"), ("nobody", "not known"), ("lost", "not known")] {
        let answer = program.gets(token, "/fractal").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}: {answer:?}");
        assert!(answer.body["detail"].as_str().is_some_and(|text| text.contains(part)), "{answer:?}");
    }
    assert_eq!(program.gets("reader", "/fractal").await.body, json!([]));
    let log = scene.log();
    assert!(log.contains("the API's token `lost` is refused") && log.contains("lost.token"), "{log}");
    assert!(!log.contains(&secret("ci")), "no secret is in the log");

    scene.tree.write("lost.token", &secret("lost"));
    scene.signal("HUP");
    scene.until_log("the API's tokens were read again").await;
    assert_eq!(program.gets("lost", "/fractal").await.status, StatusCode::OK);

    // Taken out of the manifest, a token counts no more.
    let manifest = std::fs::read_to_string(scene.tree.path("fraktalia.yaml")).expect("the manifest");
    let without: Vec<&str> = manifest.lines().filter(|line| !line.contains("reader: {")).collect();
    scene.tree.write("fraktalia.yaml", &format!("{}\n", without.join("\n")));
    while program.gets("reader", "/fractal").await.status != StatusCode::UNAUTHORIZED {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(program.gets("ci", "/fractal").await.status, StatusCode::OK, "the others still do");
    let health = program.gets("nobody", "/health").await;
    assert_eq!((health.status, &health.body["status"]), (StatusCode::OK, &json!("ok")), "{health:?}");
    scene.stage.synapse.stop().await.expect("stopped");
    while program.gets("nobody", "/health").await.body["checks"]["room"] != "failing" {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn ended_while_a_request_waits_it_answers_that_and_finishes_the_run() {
    let Some((mut scene, program)) = open().await else { return };
    let (body, proxy) = (Some(fractal("herbalist")), &scene.stage.proxy);
    proxy.take_calls();
    proxy.break_once(Break::Hold, |_, path| path.contains("/createRoom"));
    let waits = program.try_asking("root", Method::POST, "/fractal", "once", body);
    tokio::pin!(waits);
    tokio::select! {
        answer = &mut waits => panic!("it cannot be done yet: {answer:?}"),
        () = proxy.called(|_, path| path.contains("/createRoom")) => {}
    }
    scene.signal("TERM");
    let answer = waits.await.expect("an answer");
    assert!(
        [StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status),
        "it is not there yet: {answer:?}"
    );
    scene.stage.proxy.mend();
    assert_eq!(scene.ended().await, Some(0), "{}", scene.log());
    assert!(scene.stage.room("herbalist").await.is_some(), "what was begun is done");
    assert_eq!(scene.subjects().len(), 2, "one commit");
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_and_ends_the_program() {
    let Some((mut scene, program)) = open().await else { return };
    assert_eq!(scene.stop().await, Some(0));
    let address = program.base.trim_start_matches("http://");
    let _taken = std::net::TcpListener::bind(address).expect("it is free again");
    scene.spawn();
    assert_eq!(scene.ended().await, Some(1));
    let log = scene.log();
    assert!(log.contains(&format!("cannot listen on {address}")) && log.contains("api.listen"), "{log}");
}
