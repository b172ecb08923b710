//! What is answered when requests are as they should be.

use std::time::Duration;

use fraktalia_desk::{Lane, Outcome};
use fraktalia_door::Settings;
use serde_json::json;

use crate::world::Stage;

const COOK: &str = r#"{"name":"cook","purpose":"Knows the larder.","members":["ana","ben"]}"#;

#[tokio::test]
async fn what_is_proposed_waits_for_an_operator() {
    let stage = Stage::new().await;
    let made = stage.server.post("ci", &[], COOK).await;
    assert_eq!((made.status, made.header("location")), (202, Some("/fractal/cook")));
    let shown = stage.server.get("eye", "/fractal/cook").await.json();
    assert_eq!(shown, made.json());
    assert_eq!((&shown["state"], &shown["proposal"]["does"]), (&json!("proposed"), &json!("add")));
    assert_eq!(shown["proposal"]["by"], "token ci");
    assert!(stage.world.applied().is_empty());
    stage.world.react("purpose: \"Knows the larder.\"", "✅");
    let shown = stage.server.get("eye", "/fractal/cook").await.json();
    assert_eq!(
        shown,
        json!({
            "id": "cook", "name": "Cook", "state": "live", "purpose": "Knows the larder.", "agent": "cook",
            "room": { "id": "!cook:chat.home", "alias": "#cook:chat.home" }
        })
    );
}

#[tokio::test]
async fn what_is_applied_is_there_with_the_answer_and_gone_with_the_next() {
    let stage = Stage::new().await;
    let made = stage.server.post("all", &[], COOK).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/fractal/cook")));
    assert_eq!(made.json()["state"], "live");
    let all = stage.server.get("eye", "/fractal").await.json();
    let ids: Vec<&str> =
        all.as_array().unwrap().iter().filter_map(|fractal| fractal["id"].as_str()).collect();
    assert_eq!(ids, ["cook", "gardener"]);
    assert_eq!(stage.server.delete("all", "/fractal/cook").await.status, 204);
    assert_eq!(stage.server.get("eye", "/fractal/cook").await.status, 404);
    assert_eq!(stage.world.applied(), ["cook", "-cook"]);
}

#[tokio::test]
async fn a_removal_is_proposed_like_anything_else() {
    let stage = Stage::new().await;
    stage.server.post("all", &[], COOK).await;
    let asked = stage.server.delete("ci", "/fractal/cook").await;
    assert_eq!(asked.status, 202);
    assert_eq!(
        (&asked.json()["state"], &asked.json()["proposal"]["does"]),
        (&json!("live"), &json!("remove"))
    );
    assert_eq!(stage.server.delete("all", "/fractal/cook").await.status, 409, "one is under way");
    stage.world.react("removing `cook`", "✅");
    assert_eq!(stage.server.get("eye", "/fractal/cook").await.status, 404);
}

#[tokio::test]
async fn only_what_is_there_and_was_proposed_once_can_be_removed() {
    let stage = Stage::new().await;
    assert_eq!(stage.server.delete("all", "/fractal/none").await.status, 404);
    let fixed = stage.server.delete("all", "/fractal/gardener").await;
    assert_eq!(fixed.status, 409);
    assert!(fixed.json()["detail"].as_str().unwrap().contains("by hand"));
    stage.server.post("ci", &[], COOK).await;
    assert_eq!(stage.server.delete("all", "/fractal/cook").await.status, 404, "it is another's proposal");
    assert_eq!(stage.server.delete("ci", "/fractal/cook").await.status, 204, "one's own is taken back");
    assert_eq!(stage.server.get("eye", "/fractal/cook").await.status, 404);
}

#[tokio::test]
async fn findings_are_told_in_the_terms_of_the_body() {
    let stage = Stage::new().await;
    let body = r#"{"name":"cook","sandbox":"root","members":["ana","eve"],"forwards":[80]}"#;
    let answer = stage.server.post("ci", &[], body).await;
    assert_eq!((answer.status, answer.kind().as_str()), (422, "findings"));
    let errors = answer.json()["errors"].clone();
    let places: Vec<&str> =
        errors.as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(places, ["/forwards/0", "/members/1", "/sandbox"]);
    let yaml = [("Content-Type", "application/yaml")];
    let answer =
        stage.server.ask("ci", "POST /fractal", &yaml, "fractals: { cook: { sandbox: root } }").await;
    let error = &answer.json()["errors"][0];
    assert_eq!(
        (&error["line"], &error["column"], &error["code"]),
        (&json!(1), &json!(30), &json!("proposal.sandbox"))
    );
    let taken = stage.server.post("all", &[], r#"{"name":"gardener"}"#).await;
    assert_eq!((taken.status, &taken.json()["errors"][0]["pointer"]), (422, &json!("/name")));
    let made = stage.server.ask("ci", "POST /fractal", &yaml, "fractals: { cook: { members: [ana] } }").await;
    assert_eq!((made.status, made.header("location")), (202, Some("/fractal/cook")));
}

#[tokio::test]
async fn the_same_key_is_the_same_request_also_after_a_restart() {
    let stage = Stage::new().await;
    let key = [("Idempotency-Key", "k-1")];
    let first = stage.server.post("all", &key, COOK).await;
    let again = stage.server.post("all", &key, COOK).await;
    assert_eq!((first.status, first.json()), (201, again.json()));
    let stage = stage.restart().await;
    let again = stage.server.post("all", &key, COOK).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    assert!(stage.world.applied().is_empty(), "nothing was done again");
    let other = stage.server.post("all", &key, r#"{"name":"baker"}"#).await;
    assert_eq!((other.status, other.kind().as_str()), (422, "idempotency-key-reused"));
    let removal = stage.server.ask("all", "DELETE /fractal/cook", &key, "").await;
    assert_eq!((removal.status, removal.kind().as_str()), (422, "idempotency-key-reused"));
    let another = stage.server.post("ci", &key, r#"{"name":"baker"}"#).await;
    assert_eq!(another.status, 202, "each token has keys of its own");
    assert_eq!(stage.server.post("all", &[], COOK).await.status, 422, "without a key it is another request");
}

#[tokio::test]
async fn a_request_that_is_sent_again_does_not_tell_of_what_is_gone() {
    let stage = Stage::new().await;
    let key = [("Idempotency-Key", "k-1")];
    assert_eq!(stage.server.post("all", &key, COOK).await.status, 201);
    assert_eq!(stage.server.delete("all", "/fractal/cook").await.status, 204);
    let again = stage.server.post("all", &key, COOK).await;
    assert_eq!(again.status, 409);
    assert!(again.body.contains("gone since"), "{again:?}");
    assert_eq!(stage.world.applied(), ["cook", "-cook"], "and it is not made again");
}

#[tokio::test]
async fn of_two_at_once_with_the_same_name_one_is_made() {
    let stage = Stage::new().await;
    stage.world.hold(Lane::Planner);
    let asked = stage.world.clone();
    let server = &stage.server;
    let let_go = async {
        // Both are filed before anything is planned; or the second finds that the name is taken.
        while fraktalia_door::Desk::cases(&*asked).await.map_or(0, |cases| cases.len()) < 2 {
            tokio::task::yield_now().await;
        }
        asked.let_go();
    };
    let (one, two, ()) = tokio::join!(server.post("all", &[], COOK), server.post("all", &[], COOK), let_go);
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(stage.world.applied(), ["cook"]);
}

#[tokio::test]
async fn what_takes_too_long_is_answered_with_its_place_and_asked_for_again() {
    let settings = Settings {
        apply_time: Duration::from_millis(50),
        plan_time: Duration::from_millis(50),
        ..Settings::default()
    };
    let stage = Stage::with(settings).await;
    let key = [("Idempotency-Key", "k-1")];
    stage.world.hold(Lane::Applier);
    let made = stage.server.post("all", &key, COOK).await;
    assert_eq!((made.status, &made.json()["state"]), (202, &json!("applying")));
    stage.world.let_go();
    assert_eq!(stage.server.post("all", &key, COOK).await.status, 201);
    stage.world.hold(Lane::Planner);
    let asked = stage.server.post("ci", &[], r#"{"name":"baker"}"#).await;
    assert_eq!((asked.status, &asked.json()["state"]), (202, &json!("proposed")));
}

#[tokio::test]
async fn an_answer_comes_as_soon_as_it_is_done() {
    let stage = Stage::new().await;
    stage.world.hold(Lane::Applier);
    let asked = stage.world.clone();
    let let_go = async {
        while !fraktalia_door::Desk::cases(&*asked)
            .await
            .is_ok_and(|cases| cases.iter().any(fraktalia_desk::Case::is_at_work))
        {
            tokio::task::yield_now().await;
        }
        asked.let_go();
    };
    let (made, ()) = tokio::join!(stage.server.post("all", &[], COOK), let_go);
    assert_eq!(made.status, 201);
}

#[tokio::test]
async fn what_failed_or_was_declined_is_told() {
    let stage = Stage::new().await;
    stage.world.next_run(Outcome::RolledBack { run: None, reason: "the image is missing".into() });
    let failed = stage.server.post("all", &[], COOK).await;
    assert_eq!((failed.status, failed.kind().as_str()), (500, "failed"));
    assert!(failed.body.contains("the image is missing"));
    assert_eq!(stage.server.get("eye", "/fractal/cook").await.json()["state"], "failed");
    let key = [("Idempotency-Key", "k-2")];
    stage.server.post("ci", &key, r#"{"name":"baker"}"#).await;
    stage.world.react("`baker`", "❌");
    let declined = stage.server.post("ci", &key, r#"{"name":"baker"}"#).await;
    assert_eq!(declined.status, 409);
    assert!(declined.body.contains("an operator has declined it"), "{declined:?}");
    assert_eq!(stage.server.get("eye", "/fractal/baker").await.status, 404);
}

#[tokio::test]
async fn what_was_begun_is_answered_before_it_ends() {
    let stage = Stage::new().await;
    stage.world.hold(Lane::Applier);
    let (world, server) = (stage.world.clone(), stage.server);
    let address = server.address;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /fractal HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{COOK}",
        crate::world::secret("all"),
        COOK.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    while !fraktalia_door::Desk::cases(&*world)
        .await
        .is_ok_and(|cases| cases.iter().any(fraktalia_desk::Case::is_at_work))
    {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::spawn(server.stop());
    // It takes no more, and has not ended.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopped.is_finished());
    world.let_go();
    assert_eq!(crate::http::Answer::read(stream).await.status, 201);
    stopped.await.unwrap();
}
