//! An engine that fails: not there, too old, silent, or gone in the middle of an answer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Engine, World};
use fraktalia_docker::DockerHost;
use fraktalia_docker::client::Client;
use fraktalia_docker::error::DockerError;
use fraktalia_engine::journal::Outcome;
use fraktalia_engine::session::{Options, Session};
use fraktalia_engine::{Registry, StatePaths};
use fraktalia_testkit::contract;
use fraktalia_testkit::sim::docker::{Fault, SimDocker};
use hyper::Method;

async fn world() -> World {
    World::on(Engine::simulated()).await
}

#[tokio::test]
async fn a_lost_answer_never_makes_a_second_thing() {
    for part in ["/networks/create", "/build"] {
        let world = world().await;
        world.engine.sim().fail_next(&Method::POST, part, Fault::DoneButLost);
        world.converge().await;
        let sim = world.engine.sim().world();
        assert_eq!(sim.networks.values().filter(|network| network.name == world.mark).count(), 1);
        assert_eq!(sim.images.len(), 1, "after {part} was lost");
    }
}

#[tokio::test]
async fn a_call_that_never_arrived_is_taken_back_with_all_else() {
    for part in ["/networks/create", "/build"] {
        let world = world().await;
        world.engine.sim().fail_next(&Method::POST, part, Fault::Lost);
        let ended = world.apply().await.unwrap();
        assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
        assert!(!world.has_network().await && world.image_id().await.is_none(), "after {part} was lost");
        world.converge().await;
    }
}

#[tokio::test]
async fn a_removal_whose_answer_is_lost_is_done_once() {
    let mut world = world().await;
    world.converge().await;
    world.ask_for_nothing();
    world.engine.sim().fail_next(&Method::DELETE, "/networks/", Fault::DoneButLost);
    world.converge().await;
    assert!(!world.has_network().await && world.image_id().await.is_none());
}

#[tokio::test]
async fn a_network_that_cannot_be_made_anew_comes_back_as_it_was() {
    let mut world = world().await;
    world.converge().await;
    world.network().internet = false;
    let refuse = Fault::Refuse(403, "Pool overlaps with other one on this address space");
    world.engine.sim().fail_next(&Method::POST, "/networks/create", refuse);
    let ended = world.apply().await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert!(ended.why.unwrap().contains("choose another `subnet`"));
    world.network().internet = true;
    assert_eq!(contract::left(&world.session()).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_apply_without_changes_makes_no_write_call() {
    let world = world().await;
    world.converge().await;
    world.engine.sim().take_calls();
    world.converge().await;
    let calls = world.engine.sim().take_calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.method == "GET"), "{calls:?}");
}

#[tokio::test]
async fn an_engine_that_does_not_run_is_said_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}/docker.sock", dir.path().display());
    let absent = Client::connect(&nowhere).await.unwrap_err();
    assert!(matches!(absent, DockerError::NotRunning { .. }), "{absent}");
    // A socket that nobody listens on any more, as after a crash.
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("docker.sock")).unwrap());
    let stale = Client::connect(&nowhere).await.unwrap_err();
    assert!(matches!(stale, DockerError::NotRunning { .. }), "{stale:?}");
    assert!(stale.hint().unwrap().contains("systemctl start docker"));
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_said_with_its_cure() {
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let error = bollard::errors::Error::IOError { err: denied };
    let error =
        DockerError::of(&error, &"unix:///var/run/docker.sock".into(), "list images", Duration::from_secs(1));
    assert!(matches!(error, DockerError::Forbidden { .. }));
    assert!(error.hint().unwrap().contains("group `docker`"));
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    let sim = SimDocker::start();
    sim.world().api = "1.24".into();
    let error = Client::connect(&sim.endpoint()).await.unwrap_err();
    assert!(error.to_string().contains("1.24") && error.hint().unwrap().contains("20.10"), "{error}");
}

#[tokio::test]
async fn an_engine_that_hangs_does_not_hang_us() {
    let world = world().await;
    let host = DockerHost::new("local", world.engine.endpoint()).within(Duration::from_secs(1));
    let paths = StatePaths::new(world.root.path().join("state"));
    let session = Session::new(world.manifest.clone(), Registry::new().with(host), paths);
    for part in ["/version", "/images/json"] {
        world.engine.sim().fail_next(&Method::GET, part, Fault::Hang);
        let error = session.plan(&Options::default(), false).await.unwrap_err();
        assert!(error.to_string().contains("within 1 s"), "{error}");
    }
}

#[tokio::test]
async fn an_engine_that_answers_nonsense_is_an_error_and_removes_nothing() {
    let mut world = world().await;
    world.converge().await;
    world.ask_for_nothing();
    world.engine.sim().fail_next(&Method::GET, "/networks", Fault::Refuse(200, "<html>hello</html>"));
    world.session().plan(&Options::default(), false).await.unwrap_err();
    world.engine.sim().fail_next(&Method::GET, "/containers/json", Fault::Refuse(500, "database is locked"));
    let error = world.apply().await.unwrap_err();
    assert!(error.to_string().contains("database is locked"), "{error}");
    assert!(world.has_network().await);
}

#[tokio::test]
async fn a_host_without_docker_is_fine_as_long_as_nothing_is_asked_of_it() {
    let mut world = world().await;
    world.ask_for_nothing();
    let host = DockerHost::new("local", "unix:///nowhere/docker.sock");
    let paths = StatePaths::new(world.root.path().join("state"));
    let session = Session::new(world.manifest.clone(), Registry::new().with(host), paths);
    assert_eq!(contract::left(&session).await, Vec::<String>::new());
}

#[tokio::test]
async fn two_sandboxes_may_share_an_image_but_not_a_tag_for_two() {
    let mut world = world().await;
    let mut twin = world.sandbox().clone();
    world.manifest.sandboxes.insert("twin".into(), twin.clone());
    world.converge().await;
    assert_eq!(world.engine.sim().world().images.len(), 1);
    twin.image.as_mut().unwrap().build.as_mut().unwrap().content_hash = "another".into();
    world.manifest.sandboxes.insert("twin".into(), twin);
    assert!(world.plan().await.plan.notes.iter().any(|note| note.code == "docker.tag-clash"));
}
