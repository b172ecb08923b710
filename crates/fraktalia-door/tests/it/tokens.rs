//! Whose request counts, and for what.

use crate::world::{Stage, one_token, secret};

const COOK: &str = r#"{"name":"cook"}"#;

#[tokio::test]
async fn without_a_token_that_counts_nothing_is_told() {
    let stage = Stage::new().await;
    for request in [
        "GET /fractal",
        "GET /fractal/gardener",
        "GET /fractal/none",
        "DELETE /fractal/gardener",
        "POST /fractal",
    ] {
        let answer = stage.server.ask("", request, &[], "").await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer realm=\"fraktalia\""))
        );
        for wrong in [
            "Bearer wrong",
            "Bearer ",
            "Basic YWxs",
            "Bearer",
            &secret("all"),
            &format!("Bearer {}x", secret("all")),
        ] {
            let answer = stage.server.ask("", request, &[("Authorization", wrong)], "").await;
            assert_eq!(answer.status, 401, "{request} {wrong}");
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));
        }
        let twice = format!("Bearer {}", secret("all"));
        let answer = stage.server.ask("all", request, &[("Authorization", &twice)], "").await;
        assert_eq!(answer.status, 401, "of two neither counts");
    }
    let lower = format!("bearer {}", secret("eye"));
    assert_eq!(stage.server.ask("", "GET /fractal", &[("Authorization", &lower)], "").await.status, 200);
}

#[tokio::test]
async fn a_token_that_has_expired_counts_for_nothing_and_is_told_so() {
    let stage = Stage::new().await;
    let answer = stage.server.get("old", "/fractal").await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("expired")));
    assert_eq!(stage.server.post("old", &[], COOK).await.status, 401);
    assert!(stage.world.applied().is_empty());
}

#[tokio::test]
async fn each_scope_lets_do_what_it_says_and_nothing_else() {
    let stage = Stage::new().await;
    for (token, read, make) in [("eye", 200, 403), ("ci", 403, 202), ("all", 200, 201)] {
        let made = stage.server.post(token, &[], &format!(r#"{{"name":"{token}"}}"#)).await;
        assert_eq!(made.status, make, "{token}: {made:?}");
        assert_eq!(stage.server.get(token, "/fractal").await.status, read, "{token}");
        assert_eq!(stage.server.get(token, "/fractal/gardener").await.status, read, "{token}");
    }
    let refused = stage.server.delete("eye", "/fractal/all").await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"propose apply\""),
        "{challenge}"
    );
    assert_eq!(stage.world.applied(), ["all"], "nothing was applied but by the token that may");
}

#[tokio::test]
async fn who_asks_too_often_is_told_how_long_to_wait() {
    let stage = Stage::new().await;
    for _ in 0..2 {
        assert_eq!(stage.server.get("slow", "/fractal").await.status, 200);
    }
    let answer = stage.server.get("slow", "/fractal").await;
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
    assert!((1..=31).contains(&wait), "{wait}");
    assert_eq!(stage.server.get("eye", "/fractal").await.status, 200, "others are not held up");
}

#[tokio::test]
async fn tokens_are_replaced_while_it_runs() {
    let stage = Stage::new().await;
    assert_eq!(stage.server.get("eye", "/fractal").await.status, 200);
    stage.door.set_tokens(one_token("other"));
    assert_eq!(stage.server.get("eye", "/fractal").await.status, 401);
    assert_eq!(stage.server.get("other", "/fractal").await.status, 200);
}

#[tokio::test]
async fn health_needs_no_token_and_tells_names_only() {
    let stage = Stage::new().await;
    let answer = stage.server.get("", "/health").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"status":"ok","checks":{"matrix":"ok","store":"ok"}}"#)
    );
    stage.world.healthy(false);
    let answer = stage.server.get("", "/health").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, r#"{"status":"failing","checks":{"matrix":"failing","store":"ok"}}"#);
}
