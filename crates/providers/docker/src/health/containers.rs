//! Containers: those that agents work in, and helpers.

use bollard::models::ContainerSummary;
use fraktalia_engine::health::Cure;

use super::{Look, failed};
use crate::diff::short;
use crate::error::bounded;
use crate::helper;
use crate::labels;

pub(super) async fn examine(look: &Look<'_>, version: Option<&str>) {
    let containers = match look.client.containers().await {
        Ok(containers) => containers,
        Err(error) => return look.list.note(failed(look.list, "docker.containers", "containers", &error)),
    };
    sandboxes(look, &containers);
    helpers(look, &containers, version);
}

fn name(container: &ContainerSummary) -> String {
    let names = container.names.as_ref().and_then(|names| names.first());
    bounded(names.map_or("", |name| name.trim_start_matches('/')), 100)
}

/// Sandboxes of OpenClaw that are not kept in.
fn sandboxes(look: &Look<'_>, containers: &[ContainerSummary]) {
    let (code, title) = ("docker.sandboxes", "sandboxes");
    let none = labels::Labels::new();
    let mut fine = 0;
    for one in containers {
        let Some(agent) = labels::agent(one.labels.as_ref().unwrap_or(&none)) else { continue };
        let network =
            one.host_config.as_ref().and_then(|config| config.network_mode.as_deref()).unwrap_or_default();
        if network != "host" {
            fine += 1;
            continue;
        }
        let text = format!(
            "{} of the agent `{}` has the host's own network: nothing keeps it in",
            name(one),
            bounded(agent, 64)
        );
        let cure = Cure::edit("give its sandbox one of the manifest's `networks`, then remove the container");
        look.list.note(look.list.failure(code, title, text).cure(cure));
    }
    if fine > 0 {
        let s = if fine == 1 { "" } else { "s" };
        look.list.ok(code, title, format!("{fine} container{s}, none on the host's own network"));
    }
}

/// Helpers of this realm and of others.
fn helpers(look: &Look<'_>, containers: &[ContainerSummary], version: Option<&str>) {
    let ours = helper::name(&look.manifest.realm);
    let prefix = helper::name("");
    let mut found = false;
    for one in containers {
        let name = name(one);
        let Some(realm) = name.strip_prefix(&prefix) else { continue };
        if name == ours {
            found = true;
            own(look, one, &name, version);
        } else {
            stranger(look, &name, realm);
        }
    }
    if !found && helper::is_wanted(look.manifest, look.host) {
        let text = "none yet: the next apply brings it, before any network or port";
        look.list.note(look.list.unknown("docker.helper", "helper", text));
    }
}

fn own(look: &Look<'_>, one: &ContainerSummary, name: &str, version: Option<&str>) {
    let (code, title) = ("docker.helper", "helper");
    let list = look.list;
    if !helper::is_wanted(look.manifest, look.host) {
        let text = format!("{name} runs, and the manifest has nothing for it to hold");
        let check = list.warning(code, title, text).cure(Cure::run("fraktalia apply"));
        return list.note(check.cure(look.run(&format!("rm --force {name}"))));
    }
    let state = one.state.map(|state| state.to_string()).unwrap_or_default();
    if state != "running" {
        let text = format!("{name} is {state}: networks stay closed, and no forwarded port leads anywhere");
        let check = list.failure(code, title, text).cure(look.run(&format!("logs --tail 20 {name}")));
        return list.note(check.cure(Cure::run("fraktalia apply")));
    }
    let made_from = one.labels.as_ref().and_then(|labels| labels.get(labels::SPEC));
    match (made_from, version) {
        (Some(made_from), Some(version)) if made_from == version => {
            list.ok(code, title, format!("{name} runs, of this very version"));
        }
        (Some(made_from), Some(version)) => {
            let text = format!(
                "{name} is of another version ({:.6}) than this program ({:.6})",
                short(made_from),
                short(version)
            );
            list.note(list.warning(code, title, text).cure(Cure::run("fraktalia apply")));
        }
        _ => list.ok(code, title, format!("{name} runs")),
    }
}

fn stranger(look: &Look<'_>, name: &str, realm: &str) {
    let text =
        format!("{name} is of the realm `{realm}`; if no manifest has that realm any more, it is a leftover");
    let cure = look.run(&format!(
        "rm --force {} && {} volume rm {}",
        fraktalia_engine::health::word(name),
        super::program(look.client.endpoint()),
        fraktalia_engine::health::word(name)
    ));
    look.list.note(look.list.unknown("docker.other-helper", "other helper", text).cure(cure));
}
