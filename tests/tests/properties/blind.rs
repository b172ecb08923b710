//! Looks that fail in part.

use fraktalia_engine::SessionError;
use fraktalia_engine::session::Options;
use fraktalia_plan::Verb;
use fraktalia_testkit::contract::Subject as _;
use fraktalia_testkit::generate::Rng;
use fraktalia_testkit::sim::{docker, synapse};
use hyper::Method;

use crate::Found;
use crate::stage::{Stage, members};

/// Lets a part of one system fail, plans, and lets it be well again. Nothing of that system may be to go, since the
/// part that failed may be the one that says whose it is.
pub async fn never_deletes(stage: &Stage, rng: &mut Rng) -> Found {
    let before = stage.world();
    let system = ["matrix", "docker", "plane", "openclaw", "workspace"][rng.below(5)];
    let part = break_one(stage, system, rng);
    let planned = stage.session(None).plan(&Options::default(), true).await;
    let hit = was_hit(stage, system, &part);
    heal(stage, system, &part);
    if stage.world() != before {
        return Err(format!("a plan changes nothing: {system} {part}"));
    }
    let plan = match planned {
        Ok(planned) => planned.plan,
        Err(SessionError::Observe(_)) => return Ok(()),
        Err(other) => return Err(format!("incomplete looks: {system} {part}: {other}")),
    };
    let gone = plan.changes.iter().find(|change| {
        change.id.system.as_str().split('@').next() == Some(system)
            && matches!(change.verb, Verb::Delete | Verb::Replace | Verb::Create)
    });
    match gone {
        Some(change) if hit => Err(format!(
            "incomplete looks never delete or make: {system} {part}: {:?} {}",
            change.verb, change.id
        )),
        _ => Ok(()),
    }
}

fn break_one(stage: &Stage, system: &str, rng: &mut Rng) -> String {
    match system {
        "matrix" => {
            let snapshot = stage.synapse.snapshot();
            let rooms: Vec<&str> = members(&snapshot["rooms"]).map(|(id, _)| id).collect();
            let room = if rooms.is_empty() { "/state" } else { *rng.pick(&rooms) };
            let room = fraktalia_testkit::real::person::encode(room);
            let parts = ["/state", "/v2/users/", "/directory/room/", "/joined_rooms", &room];
            let part = (*rng.pick(&parts)).to_owned();
            let fault = *rng.pick(&[synapse::Fault::Refuse(400), synapse::Fault::Html(200)]);
            // What was asked before does not count.
            stage.synapse.always("GET", &part, fault);
            format!("{part} after {}", stage.synapse.calls().len())
        }
        "docker" => {
            let part = *rng.pick(&["networks", "images", "containers"]);
            stage.docker.take_calls();
            for _ in 0..20 {
                stage.docker.fail_next(&Method::GET, part, docker::Fault::Refuse(500, "as asked for"));
            }
            part.to_owned()
        }
        "plane" => {
            stage.helper.be_mute(true);
            "all".to_owned()
        }
        "openclaw" => {
            let text = std::fs::read_to_string(stage.config()).expect("a configuration");
            std::fs::write(stage.config(), &text[..text.len() / 2]).expect("written");
            text
        }
        _ => {
            let away = stage.dir.path().join("away");
            std::fs::rename(stage.agents(), away).expect("moved");
            std::os::unix::fs::symlink("agents", stage.agents()).expect("a link to itself");
            "all".to_owned()
        }
    }
}

fn was_hit(stage: &Stage, system: &str, part: &str) -> bool {
    match system {
        "matrix" => {
            let (part, after) = part.rsplit_once(" after ").unwrap_or_default();
            let after = after.parse().unwrap_or_default();
            let calls = stage.synapse.calls();
            calls.iter().skip(after).any(|(method, path)| method == "GET" && path.contains(part))
        }
        "docker" => {
            let calls = stage.docker.take_calls();
            calls.iter().any(|call| call.method == "GET" && call.path.contains(part))
        }
        // What has nothing there is not looked at.
        _ => true,
    }
}

fn heal(stage: &Stage, system: &str, part: &str) {
    match system {
        "matrix" => stage.synapse.heal(),
        "docker" => stage.docker.heal(),
        "plane" => stage.helper.be_mute(false),
        "openclaw" => std::fs::write(stage.config(), part).expect("written"),
        _ => {
            std::fs::remove_file(stage.agents()).expect("the link is gone");
            std::fs::rename(stage.dir.path().join("away"), stage.agents()).expect("moved back");
        }
    }
}
