//! One suite for the simulated engine and the real one: so the simulator stays honest.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Engine, World};
use fraktalia_plan::Verb;
use fraktalia_testkit::contract::{self, Subject as _};

macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod simulated {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::World::on(super::Engine::simulated()).await).await;
            })*
        }
        mod real {
            $(#[tokio::test]
            async fn $name() {
                let Some(engine) = super::Engine::real() else { return };
                let world = super::World::on(engine).await;
                // Also cleared when the test fails, and then the failure goes on.
                let (docker, mark) = (world.docker.clone(), world.mark.clone());
                let test = async { tokio::task::spawn_local(super::$name(world)).await };
                let test = tokio::task::LocalSet::new().run_until(test).await;
                super::common::clear(&docker, &mark).await;
                test.unwrap();
            })*
        }
    };
}

/// The same suite over TLS, as far as the way to the engine could make a difference.
macro_rules! on_a_second_host {
    ($($name:ident),* $(,)?) => {
        mod second_host {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(engine) = super::Engine::remote().await else { return };
                super::$name(super::World::on(engine).await).await;
            })*
        }
    };
}

on_a_second_host!(
    an_apply_makes_image_and_network_and_can_be_taken_back,
    a_death_at_any_journal_entry_and_a_resume_end_as_without_dying,
    a_changed_context_is_built_again_and_a_rollback_gives_the_old_image_its_tag_back,
    a_failing_build_shows_its_last_lines_and_leaves_no_image,
    a_changed_network_is_made_anew_and_a_rollback_makes_the_old_one_again,
    a_container_from_an_older_definition_is_recycled_and_no_other,
    what_left_the_manifest_goes_and_what_others_made_stays,
);

on_both_engines!(
    an_apply_makes_image_and_network_and_can_be_taken_back,
    a_death_at_any_journal_entry_and_a_resume_end_as_without_dying,
    a_death_at_any_journal_entry_and_a_rollback_leave_the_first_world,
    a_changed_context_is_built_again_and_a_rollback_gives_the_old_image_its_tag_back,
    a_context_that_changed_since_the_plan_is_refused,
    a_failing_build_shows_its_last_lines_and_leaves_no_image,
    a_changed_network_is_made_anew_and_a_rollback_makes_the_old_one_again,
    a_network_that_a_stranger_uses_is_not_replaced,
    a_network_made_by_hand_is_adopted_when_equal,
    a_network_made_by_hand_is_in_the_way_when_different,
    a_network_of_another_realm_is_in_the_way_even_when_equal,
    a_container_from_an_older_definition_is_recycled_and_no_other,
    a_rebuilt_image_recycles_the_containers_of_the_old_one,
    what_left_the_manifest_goes_and_what_others_made_stays,
    a_network_still_in_use_stays_until_it_is_not,
    an_image_that_we_do_not_build_has_to_be_there,
    the_state_directory_lost_loses_no_ownership,
);

async fn an_apply_makes_image_and_network_and_can_be_taken_back(world: World) {
    contract::apply_then_roll_back(&world).await;
    world.converge().await;
    assert!(world.has_network().await && world.image_id().await.is_some());
}

/// A world on the same engine: of a simulated one each death gets a fresh copy.
async fn fresh(parent: &World) -> World {
    match parent.engine {
        Engine::Simulated(_) => World::on(Engine::simulated()).await,
        Engine::Remote(_) => World::on(parent.engine.clone()).await,
        Engine::Real => {
            let world = World::on(Engine::Real).await;
            world.clear_with(parent);
            world
        }
    }
}

async fn a_death_at_any_journal_entry_and_a_resume_end_as_without_dying(world: World) {
    contract::die_then_resume(async || fresh(&world).await).await;
}

async fn a_death_at_any_journal_entry_and_a_rollback_leave_the_first_world(world: World) {
    contract::die_then_roll_back(async || fresh(&world).await).await;
}

async fn a_changed_context_is_built_again_and_a_rollback_gives_the_old_image_its_tag_back(mut world: World) {
    world.converge().await;
    let old = world.image_id().await;
    world.write("greeting", "Good evening.\n");
    world.hash();
    let plan = world.plan().await.plan;
    assert_eq!(plan.changes.iter().map(|change| change.verb).collect::<Vec<_>>(), [Verb::Replace]);
    let ended = world.converge().await;
    let new = world.image_id().await;
    assert_ne!(old, new);
    world.roll_back(&ended).await;
    assert_eq!(world.image_id().await, old);
    assert!(world.docker.inspect_image(&new.unwrap()).await.is_err(), "the new one is gone");
}

async fn a_context_that_changed_since_the_plan_is_refused(world: World) {
    world.write("greeting", "Good evening.\n");
    let ended = world.apply().await.unwrap();
    let why = ended.why.unwrap();
    assert!(why.contains("changed since the plan was made"), "{why}");
    assert_eq!(world.image_id().await, None);
    assert!(!world.has_network().await, "what else was done is taken back");
}

async fn a_failing_build_shows_its_last_lines_and_leaves_no_image(mut world: World) {
    world.dockerfile("COPY greeting /greeting\nRUN false\n");
    world.hash();
    let why = world.apply().await.unwrap().why.unwrap();
    assert!(
        why.contains("building") && why.contains("COPY greeting /greeting") && why.contains("RUN false"),
        "{why}"
    );
    assert_eq!(world.image_id().await, None);
}

async fn a_changed_network_is_made_anew_and_a_rollback_makes_the_old_one_again(mut world: World) {
    world.converge().await;
    let sandbox = world.openclaw_container("one", &world.agent(), |_| {}).await;
    let before = world.snapshot().await;
    world.network().internet = false;
    world.network().subnet = world.subnet(1);
    let plan = world.plan().await.plan;
    assert_eq!(plan.changes[0].verb, Verb::Replace);
    assert!(
        format!("{:?}", plan.steps[0].impact).contains(&format!("{}-one", world.mark)),
        "{:?}",
        plan.steps[0].impact
    );
    let ended = world.converge().await;
    assert!(!world.has_container(&sandbox).await);
    world.roll_back(&ended).await;
    assert_eq!(world.snapshot().await, before);
}

async fn a_network_that_a_stranger_uses_is_not_replaced(mut world: World) {
    world.converge().await;
    let network = world.mark.clone();
    let stranger = world
        .container("stranger", &[], |body| {
            let host = bollard::models::HostConfig { network_mode: Some(network), ..Default::default() };
            body.host_config = Some(host);
        })
        .await;
    world.network().internet = false;
    let plan = world.plan().await.plan;
    assert!(plan.is_blocked());
    let note = plan.notes.iter().find(|note| note.code == "docker.network-in-use").unwrap();
    assert!(note.text.contains(&format!("{}-stranger", world.mark)), "{}", note.text);
    assert!(world.has_container(&stranger).await);
}

async fn a_network_made_by_hand_is_adopted_when_equal(world: World) {
    world.network_by_hand(|_| {}).await;
    let plan = world.plan().await.plan;
    assert!(!plan.is_blocked());
    assert!(plan.changes.iter().any(|change| change.verb == Verb::Adopt));
    world.converge().await;
}

async fn a_network_made_by_hand_is_in_the_way_when_different(world: World) {
    world.network_by_hand(|network| network.internal = Some(true)).await;
    let plan = world.plan().await.plan;
    assert!(plan.notes.iter().any(|note| note.code == "plan.in-the-way" && note.text.contains("internet")));
    world.apply().await.unwrap_err();
    assert_eq!(world.image_id().await, None, "nothing else of the plan ran");
}

async fn a_network_of_another_realm_is_in_the_way_even_when_equal(world: World) {
    world
        .network_by_hand(|network| {
            network.labels.as_mut().unwrap().insert("io.fraktalia.realm".into(), "elsewhere".into());
        })
        .await;
    let plan = world.plan().await.plan;
    assert!(plan.notes.iter().any(|note| note.code == "plan.not-ours" && note.text.contains("elsewhere")));
}

async fn a_container_from_an_older_definition_is_recycled_and_no_other(world: World) {
    world.converge().await;
    let agent = world.agent();
    let current = world.openclaw_container("current", &agent, |_| {}).await;
    assert_eq!(contract::left(&world.session()).await, Vec::<String>::new(), "one as wanted is left alone");
    let outdated = world
        .openclaw_container("outdated", &agent, |body| {
            body.user = Some("0:0".into());
            body.host_config.as_mut().unwrap().memory = Some(128 << 20);
        })
        .await;
    let other = world.openclaw_container("other", &format!("{agent}-other"), |body| body.user = None).await;
    let by_hand = world.container("by-hand", &[], |_| {}).await;
    let plan = world.plan().await.plan;
    let fields: Vec<_> =
        plan.changes.iter().flat_map(|change| &change.fields).map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["user", "memory"]);
    assert!(matches!(&plan.steps[0].impact, fraktalia_plan::Impact::Disruptive(_)));
    world.converge().await;
    assert!(!world.has_container(&outdated).await);
    for kept in [current, other, by_hand] {
        assert!(world.has_container(&kept).await);
    }
}

async fn a_rebuilt_image_recycles_the_containers_of_the_old_one(mut world: World) {
    world.converge().await;
    let container = world.openclaw_container("one", &world.agent(), |_| {}).await;
    world.write("greeting", "Good evening.\n");
    world.hash();
    let plan = world.plan().await.plan;
    let image =
        plan.changes.iter().flat_map(|change| &change.fields).find(|field| field.field == "image").unwrap();
    assert_eq!(image.to.as_deref(), Some("(known after apply)"));
    world.converge().await;
    assert!(!world.has_container(&container).await);
}

async fn what_left_the_manifest_goes_and_what_others_made_stays(mut world: World) {
    world.converge().await;
    let container = world.openclaw_container("one", &world.agent(), |_| {}).await;
    world.ask_for_nothing();
    world.converge().await;
    assert!(!world.has_container(&container).await);
    assert!(!world.has_network().await && world.image_id().await.is_none());
}

async fn a_network_still_in_use_stays_until_it_is_not(mut world: World) {
    world.converge().await;
    let network = world.mark.clone();
    let stranger = world
        .container("stranger", &[], |body| {
            let host = bollard::models::HostConfig { network_mode: Some(network), ..Default::default() };
            body.host_config = Some(host);
        })
        .await;
    world.ask_for_nothing();
    let plan = world.plan().await.plan;
    assert!(plan.notes.iter().filter(|note| note.code == "docker.in-use").count() >= 2, "{:?}", plan.notes);
    world.apply().await.unwrap();
    assert!(world.has_network().await && world.image_id().await.is_some());
    world.docker.remove_container(&stranger, None).await.unwrap();
    world.converge().await;
    assert!(!world.has_network().await && world.image_id().await.is_none());
}

async fn an_image_that_we_do_not_build_has_to_be_there(mut world: World) {
    world.converge().await;
    let built = world.image_id().await.unwrap();
    let theirs = format!("{}-theirs", world.mark);
    world.sandbox().image.as_mut().unwrap().build = None;
    world.sandbox().image.as_mut().unwrap().tag = format!("{theirs}:1");
    let plan = world.plan().await.plan;
    assert!(plan.is_blocked() && plan.notes.iter().any(|note| note.code == "docker.image-missing"));
    let options = bollard::query_parameters::TagImageOptionsBuilder::new().repo(&theirs).tag("1").build();
    world.docker.tag_image(&built, Some(options)).await.unwrap();
    world.converge().await;
    world.ask_for_nothing();
    world.converge().await;
    assert!(world.docker.inspect_image(&format!("{theirs}:1")).await.is_ok(), "what we did not build stays");
}

async fn the_state_directory_lost_loses_no_ownership(mut world: World) {
    world.converge().await;
    std::fs::remove_dir_all(world.root.path().join("state")).unwrap();
    assert_eq!(contract::left(&world.session()).await, Vec::<String>::new());
    world.network().internet = false;
    world.converge().await;
}
