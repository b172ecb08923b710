//! Requests that are not as they should be: each is a problem that says what to do, and costs little.

use std::time::Duration;

use fraktalia_door::Settings;

use crate::http::Answer;
use crate::world::{Stage, secret};

fn head(length: &str) -> String {
    format!(
        "POST /fractal HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\n{length}\r\n\r\n",
        secret("all")
    )
}

#[tokio::test]
async fn what_is_not_there_or_not_done_is_said() {
    let stage = Stage::new().await;
    let server = &stage.server;
    for (request, status) in [
        ("GET /", 404),
        ("GET /fractals", 404),
        ("GET /fractal/", 404),
        ("GET /fractal/a/b", 404),
        ("GET /fractal/%ff", 400),
        ("GET /fractal/..%2f..%2fetc", 404),
        ("PUT /fractal", 405),
        ("PATCH /fractal/gardener", 405),
        ("POST /health", 405),
        ("DELETE /openapi.json", 405),
    ] {
        let answer = server.ask("all", request, &[], "").await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
    }
    assert_eq!(server.ask("all", "PUT /fractal", &[], "").await.header("allow"), Some("GET,HEAD,POST"));
    let head = server.ask("all", "HEAD /fractal", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn only_json_is_answered_and_only_json_and_yaml_are_read() {
    let stage = Stage::new().await;
    for (accept, status) in [
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("image/png, */*;q=0.1", 200),
        ("application/*", 200),
        ("text/html, application/json", 200),
    ] {
        let answer = stage.server.ask("eye", "GET /fractal", &[("Accept", accept)], "").await;
        assert_eq!(answer.status, status, "{accept}");
    }
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"] {
        let answer = stage.server.ask("all", "POST /fractal", &[("Content-Type", form)], "{}").await;
        assert_eq!(
            (answer.status, answer.header("accept-post")),
            (415, Some("application/json, application/yaml"))
        );
    }
    assert_eq!(stage.server.ask("all", "POST /fractal", &[], "{}").await.status, 415);
    let form = [("Content-Type", "Application/JSON; charset=utf-8")];
    assert_eq!(stage.server.ask("all", "POST /fractal", &form, r#"{"name":"a"}"#).await.status, 201);
}

#[tokio::test]
async fn a_body_that_is_no_fractal_is_refused() {
    let stage = Stage::new().await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let bombs = ["&a [*a]", "{\"name\":\"a\",\"persona\":\"\u{202e}\"}"];
    for (body, status) in [
        ("{", 400),
        ("nothing", 400),
        ("[]", 400),
        ("{}", 400),
        (r#"{"name":"a","x":1}"#, 400),
        (&*deep, 400),
        (bombs[0], 400),
        (bombs[1], 422),
    ] {
        let answer = stage.server.post("all", &[], body).await;
        assert_eq!(answer.status, status, "{body:.40}: {answer:?}");
    }
    let yaml = [("Content-Type", "application/yaml")];
    let bomb = "a: &a [x,x]\nb: &b [*a,*a]\nfractals: { c: { members: *b } }\n";
    for body in [bomb, "fractals: {}\n", "matrix: {}\n", "- 1\n", "\t", "fractals: { a: , b: }\n"] {
        let answer = stage.server.ask("all", "POST /fractal", &yaml, body).await;
        assert_eq!((answer.status, answer.kind().as_str()), (422, "findings"), "{body}: {answer:?}");
    }
    assert!(stage.world.applied().is_empty());
}

#[tokio::test]
async fn a_body_has_a_largest_size_however_it_comes() {
    let stage = Stage::new().await;
    let said = stage.server.raw(head("Content-Length: 65537").as_bytes()).await;
    assert_eq!(said.status, 413, "what is said to be too large is not waited for");
    // More than the largest size in chunks, and no end of it.
    let chunks = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(17);
    let endless =
        stage.server.raw(format!("{}{chunks}", head("Transfer-Encoding: chunked")).as_bytes()).await;
    assert_eq!((endless.status, endless.kind().as_str()), (413, "too-large"));
    let largest = format!("{{\"name\":\"a\"}}{}", " ".repeat(64 * 1024 - 12));
    assert_eq!(stage.server.post("all", &[], &largest).await.status, 201);
    assert_eq!(stage.server.post("all", &[], &format!("{largest} ")).await.status, 413);
}

#[tokio::test]
async fn a_client_that_is_slow_is_not_waited_for() {
    let short = Duration::from_millis(100);
    let settings = Settings { body_time: short, head_time: short, ..Settings::default() };
    let stage = Stage::with(settings).await;
    let answer = stage.server.raw(format!("{}{{\"na", head("Content-Length: 50")).as_bytes()).await;
    assert_eq!((answer.status, answer.kind().as_str()), (408, "timeout"));
    // Reading ends only because the other side closes.
    let answer = stage.server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow").await;
    assert_eq!(answer.status, 0, "the head never ended: {answer:?}");
    let idle = stage.server.raw(b"").await;
    assert_eq!(idle.status, 0, "nothing came at all");
    let kept = stage.server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(kept.status, 200, "and a connection that was kept is closed when it is idle");
}

#[tokio::test]
async fn connections_are_counted_and_given_back() {
    let settings = Settings { connections: 2, head_time: Duration::from_millis(200), ..Settings::default() };
    let stage = Stage::with(settings).await;
    let idle = [stage.server.connect().await, stage.server.connect().await, stage.server.connect().await];
    assert_eq!(stage.server.get("", "/health").await.status, 200, "the idle ones were closed, and made room");
    drop(idle);
}

#[tokio::test]
async fn a_head_has_a_largest_size() {
    let stage = Stage::new().await;
    let long = "x".repeat(40_000);
    let answer = stage.server.ask("all", "GET /fractal", &[("X-Long", &long)], "").await;
    assert!(matches!(answer.status, 400 | 431), "{answer:?}");
    let many = vec![("X-Many", "x"); 100];
    assert!(matches!(stage.server.ask("all", "GET /fractal", &many, "").await.status, 400 | 431));
    assert!(stage.server.get("eye", &format!("/fractal/{}", "x".repeat(40_000))).await.status >= 400);
}

#[tokio::test]
async fn nothing_that_is_sent_becomes_a_header() {
    let stage = Stage::new().await;
    for name in ["a\\r\\nX-Evil: 1", "a\\u0000", "ä", "../x", "a b"] {
        let answer = stage.server.post("all", &[], &format!(r#"{{"name":"{name}"}}"#)).await;
        assert_eq!((answer.status, answer.header("x-evil")), (422, None), "{name}: {answer:?}");
    }
    let answer = stage.server.get("eye", "/fractal/a%0d%0aX-Evil:%201").await;
    assert_eq!((answer.status, answer.header("x-evil")), (404, None));
    let long = "k".repeat(256);
    for key in ["", "a b", "ä", &long] {
        let answer = stage.server.post("all", &[("Idempotency-Key", key)], r#"{"name":"a"}"#).await;
        assert_eq!(answer.status, 400, "{key}: {answer:?}");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    assert_eq!(stage.server.post("all", &twice, r#"{"name":"a"}"#).await.status, 400);
    assert!(stage.world.applied().is_empty());
}

#[tokio::test]
async fn two_lengths_and_other_smuggling_are_refused() {
    let stage = Stage::new().await;
    for lengths in ["Content-Length: 3\r\nContent-Length: 30", "Content-Length: -1", "Content-Length: 1e3"] {
        let answer: Answer = stage.server.raw(format!("{}{{}}", head(lengths)).as_bytes()).await;
        assert_eq!(answer.status, 400, "{lengths}: {answer:?}");
    }
}
