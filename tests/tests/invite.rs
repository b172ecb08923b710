//! A friend is invited, and registers as clients do: with the real homeserver's own questions.

use std::time::{SystemTime, UNIX_EPOCH};

use fraktalia_tests::{SERVER, Stage, With};
use serde_json::{Value, json};

/// A homeserver that lets people in by token, and says where it is.
const BY_TOKEN: &str = "\
enable_registration: true
registration_requires_token: true
public_baseurl: https://matrix.chat.stage/
rc_registration: { per_second: 1000, burst_count: 1000 }
";

async fn stage(homeserver: &str) -> Option<Stage> {
    let stage = Stage::set_whole(With::FileOnly, &[], homeserver).await?;
    stage.manifest("");
    Some(stage)
}

async fn invited(stage: &Stage, args: &[&str]) -> Value {
    let args = [&["invite"], args, &["--format", "json"]].concat();
    let ran = stage.run(&args).await.expect(0);
    serde_json::from_str(&ran.stdout).expect("a document")
}

/// Registers as a client does: asks, hears the stages, and goes through them. Gives the user id, or what was refused.
async fn register(stage: &Stage, name: &str, token: &str) -> Result<String, Value> {
    let url = format!("{}/_matrix/client/v3/register", stage.synapse.base_url());
    let ask = async |auth: Value| -> (u16, Value) {
        let mut body = json!({ "username": name, "password": "a long password of mine" });
        if auth != Value::Null {
            body["auth"] = auth;
        }
        let answer = reqwest::Client::new().post(&url).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    };
    let (status, asked) = ask(Value::Null).await;
    assert_eq!(status, 401, "it asks first: {asked}");
    let session = asked["session"].as_str().expect("a session").to_owned();
    let stages = asked["flows"][0]["stages"].as_array().expect("stages").clone();
    let mut last = (status, asked);
    for stage in stages {
        last = ask(json!({ "type": stage, "token": token, "session": session })).await;
        if last.1.get("errcode").is_some() {
            return Err(last.1);
        }
    }
    if last.0 == 200 { Ok(last.1["user_id"].as_str().expect("a user").to_owned()) } else { Err(last.1) }
}

async fn tokens(stage: &Stage) -> Vec<Value> {
    let all = stage.synapse.admin().get("/_synapse/admin/v1/registration_tokens").await.expect("a list");
    all["registration_tokens"].as_array().expect("an array").clone()
}

/// Whether a text stands in any file of ours.
fn is_kept(stage: &Stage, text: &str) -> bool {
    let grep = std::process::Command::new("grep").args(["-rqF", text]).arg(stage.path("state")).status();
    grep.expect("grep runs").success()
}

#[tokio::test]
async fn a_friend_registers_with_the_token_and_nobody_does_so_again() {
    let Some(stage) = stage(BY_TOKEN).await else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let letter = invited(&stage, &["ana"]).await;
    let token = letter["token"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("ana-"), "{token}");
    assert_eq!(letter["homeserver"], "https://matrix.chat.stage", "it is where the homeserver says it is");
    assert!(letter["text"].as_str().expect("a text").contains(&token), "{letter}");
    assert!(!is_kept(&stage, &token), "the token is in none of our files");

    let made = &tokens(&stage).await[0];
    let ends = made["expiry_time"].as_u64().expect("it ends") / 1000;
    assert!((now + 7 * 86_400..now + 7 * 86_400 + 600).contains(&ends), "in a week: {made}");
    let list = stage.run(&["invite", "--list"]).await.expect(0);
    assert!(list.stdout.contains("ana") && list.stdout.contains("open"), "{}", list.stdout);
    assert!(!list.stdout.contains(&token[4..]), "the list does not show it: {}", list.stdout);

    assert_eq!(register(&stage, "ana", &token).await, Ok(format!("@ana:{SERVER}")));
    let again = register(&stage, "bea", &token).await.expect_err("it was good for one account");
    assert_eq!(again["errcode"], "M_UNAUTHORIZED", "{again}");
    let list = stage.run(&["invite", "--list"]).await.expect(0);
    assert!(list.stdout.contains("used") && list.stdout.contains("1 of 1 came"), "{}", list.stdout);

    let there = stage.run(&["invite", "ana"]).await.expect(15);
    assert!(there.stderr.contains("@ana:chat.stage is a user here already"), "{}", there.stderr);
    assert_eq!(tokens(&stage).await.len(), 1, "no token was made for her");
}

#[tokio::test]
async fn what_is_taken_back_lets_nobody_in_and_what_others_made_stays() {
    let Some(stage) = stage(BY_TOKEN).await else { return };
    let by_hand = json!({ "token": "summer-party", "uses_allowed": 3 });
    stage
        .synapse
        .admin()
        .post("/_synapse/admin/v1/registration_tokens/new", &by_hand)
        .await
        .expect("a token");
    let first = invited(&stage, &["ben", "--expires", "1h", "--uses", "2"]).await;
    let second = stage.run(&["invite", "ben"]).await.expect(0);
    assert!(second.stderr.contains("ben has 1 open invitation already"), "{}", second.stderr);
    assert_eq!(tokens(&stage).await.len(), 3);

    let gone = stage.run(&["invite", "--revoke", "ben"]).await.expect(0);
    assert!(gone.stderr.contains("2 invitations taken back"), "{}", gone.stderr);
    let refused = register(&stage, "ben", first["token"].as_str().expect("a token")).await;
    assert_eq!(refused.expect_err("it was taken back")["errcode"], "M_UNAUTHORIZED");
    let left = tokens(&stage).await;
    assert_eq!((left.len(), &left[0]["token"]), (1, &json!("summer-party")), "that one is not ours");

    let nobody = stage.run(&["invite", "--revoke", "ben-secret-mistyped"]).await.expect(2);
    assert!(!nobody.stderr.contains("mistyped"), "what may be a token is not repeated: {}", nobody.stderr);
    let _ = stage.run(&["invite", "--revoke", "summer-party"]).await.expect(0);
    assert_eq!(tokens(&stage).await, [] as [Value; 0], "a whole token is meant as it is");
    for wrong in ["Ana", "_x", "a b", ""] {
        let _ = stage.run(&["invite", wrong]).await.expect(2);
    }
}

#[tokio::test]
async fn a_homeserver_that_lets_nobody_register_is_said_with_the_cure() {
    let Some(stage) = stage("").await else { return };
    let closed = stage.run(&["invite", "ana", "--url", "https://chat.stage"]).await.expect(15);
    assert!(closed.stderr.contains("lets nobody register"), "{}", closed.stderr);
    assert!(closed.stderr.contains("registration_requires_token: true"), "{}", closed.stderr);
    let nowhere = stage.run(&["invite", "ana"]).await.expect(2);
    assert!(nowhere.stderr.contains("public_baseurl"), "{}", nowhere.stderr);
    assert_eq!(tokens(&stage).await, [] as [Value; 0], "no token was made");
}

#[tokio::test]
async fn a_homeserver_that_asks_nobody_for_a_token_is_warned_of() {
    let open = "enable_registration: true\nenable_registration_without_verification: true\n";
    let Some(stage) = stage(open).await else { return };
    let open = stage.run(&["invite", "ana", "--url", "https://chat.stage/"]).await.expect(0);
    assert!(open.stderr.contains("asks nobody for a token"), "{}", open.stderr);
    assert!(open.stdout.contains("enter: https://chat.stage\n"), "{}", open.stdout);
}
