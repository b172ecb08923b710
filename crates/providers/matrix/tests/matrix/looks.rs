//! What a look costs the homeserver, counted in calls, and what it may leave unasked.

use fraktalia_engine::Planned;

use crate::home::Home;
use crate::stage::Stage;

/// A realm of so many rooms, made and looked at once.
async fn rooms(count: usize) -> Stage {
    let mut stage = Stage::new(Home::simulated().await);
    for index in 0..count {
        stage.room(&format!("room{index}"));
    }
    stage.apply().await;
    stage
}

/// The calls that one plan makes, without those to the directory; and those.
async fn calls(stage: &Stage) -> (Vec<String>, usize) {
    let before = stage.home.sim().calls().len();
    assert!(stage.look().await.plan.is_empty());
    let made = stage.home.sim().calls().split_off(before);
    let (directory, others): (Vec<_>, Vec<_>) =
        made.into_iter().partition(|(_, path)| path.contains("/directory/"));
    (others.into_iter().map(|(method, path)| format!("{method} {path}")).collect(), directory.len())
}

#[tokio::test]
async fn a_look_without_news_costs_the_same_for_ten_rooms_and_for_a_hundred() {
    let (few, few_aliases) = calls(&rooms(10).await).await;
    let (many, many_aliases) = calls(&rooms(100).await).await;
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");
    assert!(few.len() <= 7, "{few:#?}");
    assert_eq!((few_aliases, many_aliases), (10, 64));
}

#[tokio::test]
async fn a_change_costs_the_reading_of_its_room() {
    let stage = rooms(30).await;
    let (quiet, _) = calls(&stage).await;
    let room = stage.room_id("room7").await.expect("it was made");
    stage
        .home
        .admin
        .put(&Stage::state_path(&room, "m.room.pinned_events"), &serde_json::json!({}))
        .await
        .expect("done");
    let (unwatched, _) = calls(&stage).await;
    assert_eq!(unwatched.len(), quiet.len() + 1, "what is not watched costs one question: {unwatched:#?}");
    stage
        .home
        .admin
        .put(&Stage::state_path(&room, "m.room.avatar"), &serde_json::json!({}))
        .await
        .expect("done");
    let (changed, _) = calls(&stage).await;
    assert_eq!(changed.len(), quiet.len() + 2, "{changed:#?}");
}

#[tokio::test]
async fn many_rooms_are_read_in_few_calls() {
    let stage = rooms(150).await;
    let before = stage.home.sim().calls().len();
    stage.plan_from(stage.other_state(), fraktalia_matrix::Limits::default(), true).await;
    let made = stage.home.sim().calls().split_off(before);
    let others = made.iter().filter(|(_, path)| !path.contains("/directory/")).count();
    assert!(others <= 10, "{made:#?}");
}

/// Takes an alias away as an admin of the homeserver may who has no rights in the room: the room does not tell.
async fn free(stage: &Stage, alias: &str) {
    let outsider = stage.home.register("outsider").await;
    let path = format!("/_matrix/client/v3/directory/room/{}", super::stage::encoded_alias(alias));
    let url = format!("{}{path}", stage.home.base);
    outsider.http().delete(url).bearer_auth(outsider.token()).send().await.expect("it is freed");
}

/// The look-ups in the directory of a plan that has no earlier look to rest on.
async fn look_ups_without_a_cache(stage: &Stage, refresh: bool) -> usize {
    let before = stage.home.sim().calls().len();
    let planned = stage.plan_from(stage.other_state(), fraktalia_matrix::Limits::default(), refresh).await;
    assert!(planned.plan.is_empty(), "{:?}", planned.plan.steps);
    let made = stage.home.sim().calls().split_off(before);
    made.iter().filter(|(_, path)| path.contains("/directory/")).count()
}

#[tokio::test]
async fn a_lost_cache_asks_for_as_many_aliases_as_any_look_and_a_refresh_for_all() {
    let stage = rooms(150).await;
    assert_eq!(look_ups_without_a_cache(&stage, false).await, 64);
    assert_eq!(look_ups_without_a_cache(&stage, true).await, 150);
}

#[tokio::test]
async fn an_alias_that_two_rooms_of_ours_claim_is_looked_up_though_the_cache_is_lost() {
    let stage = rooms(100).await;
    let twin = stage.room_id("room7").await.expect("it was made");
    free(&stage, "room7").await;
    let other = stage.home.admin.create_room(&serde_json::json!({ "room_alias_name": "room7" })).await;
    let other = other.expect("made");
    for kind in ["m.room.canonical_alias", "io.fraktalia.owner"] {
        let content = stage.home.admin.get(&Stage::state_path(&twin, kind)).await.expect("it is there");
        stage.home.admin.put(&Stage::state_path(&other, kind), &content).await.expect("done");
    }
    let said =
        |planned: Planned| serde_json::to_value((&planned.plan.changes, &planned.plan.notes)).expect("JSON");
    let lost = said(stage.plan_from(stage.other_state(), fraktalia_matrix::Limits::default(), false).await);
    let fresh = said(stage.plan_from(stage.other_state(), fraktalia_matrix::Limits::default(), true).await);
    assert_eq!(lost, fresh);
}

#[tokio::test]
async fn an_alias_that_no_room_tells_of_is_missed_within_a_few_looks() {
    let stage = rooms(100).await;
    free(&stage, "room3").await;
    for _ in 0..2 {
        if !stage.look().await.plan.is_empty() {
            return;
        }
    }
    panic!("two looks ask for 128 aliases, and nobody missed one of a hundred");
}

#[tokio::test]
async fn what_is_kept_is_private_and_may_be_lost_or_nonsense() {
    use std::os::unix::fs::PermissionsExt;
    let stage = rooms(3).await;
    let path = stage.state().cache().join("matrix.json");
    let mode = std::fs::metadata(&path).expect("it is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for text in ["", "{", "{\"format\": 1}", "[]"] {
        std::fs::write(&path, text).expect("written");
        assert!(stage.look().await.plan.is_empty(), "{text}");
    }
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("something is in the way");
    assert!(stage.look().await.plan.is_empty(), "that it cannot be kept is no error");
}
