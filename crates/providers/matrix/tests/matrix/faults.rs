//! What only a simulator can be asked to do: lose answers, hang, limit, fail half-way.

use std::time::Duration;

use fraktalia_engine::session::Options;
use fraktalia_engine::{Outcome, SessionError};
use fraktalia_model::Note;
use fraktalia_testkit::contract::{self, Subject};
use fraktalia_testkit::sim::synapse::{Fault, Setup};

use crate::home::Home;
use crate::stage::{Stage, blockers, verbs};
use crate::suite::whole;

async fn sim() -> Stage {
    whole(Home::simulated().await).await
}

/// One room and nothing else.
async fn one_room() -> Stage {
    let mut stage = Stage::new(Home::simulated().await);
    stage.room("lab").topic = Some("Tests".into());
    stage
}

fn rolled_back(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Outcome::RolledBack { .. }))
}

#[tokio::test]
async fn killed_at_any_entry_and_resumed_it_ends_as_without_dying() {
    contract::die_then_resume(sim).await;
}

#[tokio::test]
async fn killed_at_any_entry_and_rolled_back_nothing_is_left() {
    contract::die_then_roll_back(sim).await;
}

#[tokio::test]
async fn a_lost_answer_never_makes_a_second_room() {
    for fault in [Fault::DoneButLost, Fault::DoneLater(Duration::from_millis(150))] {
        let stage = one_room().await.limits(|limits| limits.settle = Duration::from_secs(5));
        stage.home.sim().next("POST", "/createRoom", fault);
        stage.apply().await;
        assert_eq!(stage.joined_rooms().await, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_homeserver_that_did_it_and_hung_makes_no_second_room() {
    let stage = one_room().await.limits(|limits| limits.request = Duration::from_millis(300));
    stage.home.sim().next("POST", "/createRoom", Fault::DoneThenTimeout);
    stage.apply().await;
    assert_eq!(stage.joined_rooms().await, 1);
}

#[tokio::test]
async fn a_later_failure_leaves_no_orphan_and_frees_the_alias() {
    let stage = sim().await;
    let before = stage.snapshot().await;
    stage.home.sim().always("POST", "/_synapse/admin/v1/join/", Fault::Refuse(403));
    let ended = stage.try_apply().await;
    assert!(rolled_back(ended.outcome.as_ref()), "{ended:?}");
    assert_eq!(stage.snapshot().await, before);
    stage.home.sim().heal();
    stage.apply().await;
}

#[tokio::test]
async fn a_room_made_by_half_is_taken_back() {
    let stage = one_room().await;
    stage.home.sim().next("POST", "/createRoom", Fault::Half);
    let ended = stage.try_apply().await;
    assert!(rolled_back(ended.outcome.as_ref()), "{ended:?}");
    assert_eq!((stage.joined_rooms().await, stage.room_id("lab").await), (0, None));
    stage.apply().await;
}

#[tokio::test]
async fn a_room_made_by_half_in_a_run_that_is_lost_is_completed_by_the_next() {
    let mut stage = one_room().await;
    stage.home.sim().next("POST", "/createRoom", Fault::Half);
    stage.home.sim().always("DELETE", "/rooms/", Fault::Refuse(403));
    let ended = stage.try_apply().await;
    assert!(matches!(ended.outcome, Some(Outcome::Incomplete { .. }) | None), "{ended:?}");
    stage.home.sim().heal();
    stage.lose_state();
    stage.apply().await;
    assert_eq!(stage.joined_rooms().await, 1);
}

#[tokio::test]
async fn answers_lost_on_the_way_back_are_asked_for_again() {
    let stage = sim().await;
    let before = stage.snapshot().await;
    let ended = stage.apply().await;
    stage.home.sim().next("DELETE", "/_synapse/admin/v2/rooms/", Fault::DoneButLost);
    stage.home.sim().next("POST", "/_synapse/admin/v1/deactivate/", Fault::DoneButLost);
    stage.roll_back(&ended.run).await;
    assert_eq!(stage.snapshot().await, before);
}

#[tokio::test]
async fn every_write_may_lose_its_answer() {
    for (method, path) in [
        ("PUT", "/_synapse/admin/v2/users/"),
        ("POST", "/override_ratelimit"),
        ("POST", "/login"),
        ("POST", "/_synapse/admin/v1/join/"),
        ("PUT", "/state/m.space.child/"),
        ("PUT", "/state/m.room.member/"),
        ("POST", "/logout"),
    ] {
        let stage = sim().await;
        stage.home.sim().next(method, path, Fault::DoneButLost);
        let ended = stage.try_apply().await;
        let whole = ended.outcome == Some(Outcome::Applied) || rolled_back(ended.outcome.as_ref());
        assert!(whole, "{method} {path}: {ended:?}");
        stage.apply().await;
    }
}

#[tokio::test]
async fn a_homeserver_that_hangs_is_an_error_and_no_wait_without_end() {
    let stage = one_room().await.limits(|limits| limits.read = Duration::from_millis(200));
    stage.home.sim().always("", "/", Fault::Timeout);
    let error = stage.session().plan(&Options::default(), true).await.expect_err("nothing can be seen");
    assert!(error.to_string().contains("no answer within 0.2 s"), "{error}");
}

async fn hint_of(stage: &Stage) -> (String, String) {
    match stage.session().plan(&Options::default(), true).await {
        Err(SessionError::Observe(failed)) => {
            let (_, error) = failed.into_iter().next().expect("one system");
            (error.what, error.hint.unwrap_or_default())
        }
        other => panic!("a plan that cannot be made: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_of_html_is_called_what_it_is() {
    for status in [200, 502] {
        let stage = one_room().await;
        stage.home.sim().always("GET", "/whoami", Fault::Html(status));
        let (what, hint) = hint_of(&stage).await;
        assert!(what.contains("not Matrix") && what.contains("Bad gateway"), "{what}");
        assert!(hint.contains("matrix.homeserver"), "{hint}");
    }
}

#[tokio::test]
async fn a_token_without_admin_rights_is_told_apart_from_one_that_is_not_valid() {
    let stage = one_room().await;
    let carl = stage.home.register("carl").await;
    std::fs::write(stage.path("token"), carl.token()).expect("written");
    let (what, hint) = hint_of(&stage).await;
    assert!(what.contains("M_FORBIDDEN") && hint.contains("admin rights"), "{what} {hint}");

    std::fs::write(stage.path("token"), "made up").expect("written");
    let (what, hint) = hint_of(&stage).await;
    assert!(what.contains("M_UNKNOWN_TOKEN") && hint.contains("not valid"), "{what} {hint}");
    assert!(!what.contains("made up"), "a token is never shown");

    std::fs::remove_file(stage.path("token")).expect("removed");
    assert!(hint_of(&stage).await.0.contains("admin token"));
}

#[tokio::test]
async fn a_homeserver_that_is_not_there_is_named() {
    let mut stage = one_room().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    if let Some(matrix) = &mut stage.manifest.matrix {
        matrix.homeserver = format!("http://{address}");
    }
    let (what, hint) = hint_of(&stage).await;
    assert!(what.contains(&address.to_string()) && hint.contains("running"), "{what} {hint}");
}

#[tokio::test]
async fn a_short_rate_limit_is_waited_for_and_a_long_one_is_an_error() {
    let stage = one_room().await;
    stage.home.sim().next("POST", "/createRoom", Fault::RateLimit { retry_after_ms: 20 });
    stage.apply().await;

    let stage = one_room().await.limits(|limits| limits.total = Duration::from_millis(500));
    stage.home.sim().always("POST", "/createRoom", Fault::RateLimit { retry_after_ms: 60_000 });
    let ended = stage.try_apply().await;
    assert!(rolled_back(ended.outcome.as_ref()), "{ended:?}");
    assert!(ended.why.expect("a reason").contains("rate-limited"));
}

#[tokio::test]
async fn the_limit_of_our_own_user_is_lifted_before_it_is_reached() {
    let home = Home::simulated_as(Setup { room_limit: Some(2), ..Setup::default() }).await;
    let mut stage = Stage::new(home);
    for key in ["a", "b", "c", "d"] {
        stage.room(key);
    }
    let planned = stage.plan().await;
    assert!(verbs(&planned).iter().any(|(id, _)| id == "matrix/override/own"), "the plan says so");
    stage.apply().await;
    assert_eq!(stage.joined_rooms().await, 4);
}

#[tokio::test]
async fn accounts_that_live_elsewhere_block_the_plan_and_say_why() {
    let stage = sim().await;
    stage.home.sim().delegate_accounts();
    let planned = stage.plan().await;
    assert_eq!(blockers(&planned), ["matrix-delegated-accounts"]);
    let hint = planned.plan.blockers().find_map(|note: &Note| note.hint.clone());
    assert!(hint.is_some_and(|hint| hint.contains("mas-cli")));
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let stage = one_room().await.limits(|limits| limits.body = 20);
    let (what, _) = hint_of(&stage).await;
    assert!(what.contains("larger than 20 bytes"), "{what}");
}

#[tokio::test]
async fn a_room_that_appears_between_plan_and_apply_is_not_touched() {
    let stage = one_room().await;
    let session = stage.session();
    let planned = session.plan(&Options::default(), true).await.expect("a plan");
    let carl = stage.home.register("carl").await;
    let request = serde_json::json!({"room_alias_name": "lab", "topic": "Carl's"});
    let theirs = carl.create_room(&request).await.expect("carl was faster");
    let lock = session.lock().expect("the lock");
    let ended = session.apply(&lock, planned.plan, &contract::quiet()).await.expect("it runs");
    assert!(rolled_back(ended.outcome.as_ref()), "{ended:?}");
    assert_eq!(stage.room_id("lab").await, Some(theirs));
}

#[tokio::test]
async fn no_token_and_no_password_is_written_into_the_journal() {
    let mut stage = sim().await;
    std::fs::write(stage.path("password"), "correct horse battery").expect("written");
    stage.user("ana").password = Some(fraktalia_model::SecretSource::File("password".into()));
    stage.apply().await;
    let token = std::fs::read_to_string(stage.state().account_token("gardener")).expect("a token");
    let mut texts = String::new();
    for file in std::fs::read_dir(stage.state().journals()).expect("journals") {
        texts += &std::fs::read_to_string(file.expect("a file").path()).expect("text");
    }
    texts += &std::fs::read_to_string(stage.state().ledger()).expect("a ledger");
    assert!(texts.contains("matrix/token/gardener"), "this is what was looked through");
    for secret in ["correct horse battery", token.trim(), stage.home.admin.token()] {
        assert!(!texts.contains(secret));
    }
}
