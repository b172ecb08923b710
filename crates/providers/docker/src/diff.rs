//! What differs between wanted and seen.

use std::path::Path;

use fraktalia_model::manifest::WorkspaceAccess;
use fraktalia_model::{ImageId, Note, Value};
use fraktalia_plan::diff::{compare, optional};
use fraktalia_plan::{Cause, Delta, FieldChange};

use crate::helper;
use crate::spec::{ImageSpec, NetworkSpec, SandboxSpec, Spec};
use crate::state::{ContainerState, ImageState, NetworkState, SandboxState, State};

/// Where OpenClaw mounts a workspace that may be written.
const WORKDIR: &str = "/workspace";

/// Compares. `last` is what was asked for last time.
pub fn diff(want: &Spec, have: &State, last: Option<&Spec>) -> Delta {
    match (want, have) {
        (Spec::Image(want), State::Image(have)) => {
            let last = last.and_then(|last| if let Spec::Image(last) = last { Some(last) } else { None });
            image(want, have, last)
        }
        (Spec::Network(want), State::Network(have)) => {
            let last = last.and_then(|last| if let Spec::Network(last) = last { Some(last) } else { None });
            network(want, have, last)
        }
        (Spec::Sandbox(want), State::Sandbox(have)) => {
            let last = last.and_then(|last| if let Spec::Sandbox(last) = last { Some(last) } else { None });
            sandbox(want, have, last)
        }
        (Spec::Helper(want), State::Helper(have)) => {
            let last = last.and_then(|last| if let Spec::Helper(last) = last { Some(last) } else { None });
            helper::diff(want, have, last)
        }
        // An id names its kind, so the two sides of one id are of one kind.
        _ => Delta::default(),
    }
}

fn image(want: &ImageSpec, have: &ImageState, last: Option<&ImageSpec>) -> Delta {
    let Some(build) = &want.build else {
        return if have.id.is_some() { Delta::default() } else { missing(&want.tag) };
    };
    let last = last.and_then(|last| last.build.as_ref()).map(|build| Some(build.content_hash.clone()));
    let wanted = Some(build.content_hash.clone());
    let show = |hash: &Option<String>| hash.as_ref().map(|hash| short(hash));
    let content = compare("content", &wanted, &have.content_hash, last.as_ref(), show);
    let replace = content.is_some().then(|| "its build context or arguments changed".to_owned());
    Delta { fields: content.into_iter().collect(), replace, ..Delta::default() }
}

fn missing(tag: &str) -> Delta {
    let note = Note::error(
        "docker.image-missing",
        format!("there is no image {tag}, and the manifest does not say how to build it"),
    )
    .hint(format!("`docker pull {tag}`, or give the image a `build`"));
    Delta { blocked: Some(note), ..Delta::default() }
}

fn network(want: &NetworkSpec, have: &NetworkState, last: Option<&NetworkSpec>) -> Delta {
    let driver = compare("driver", "bridge", have.driver.as_str(), Some("bridge"), |text| Some(text.into()));
    let bridge = optional("bridge", Some(&want.bridge), have.bridge.as_ref(), last.map(|last| &last.bridge));
    let found = have.subnets.join(", ");
    let subnet = compare("subnet", &want.subnet, &found, last.map(|last| &last.subnet), |text| {
        (!text.is_empty()).then(|| text.clone())
    });
    let internet =
        compare("internet", &want.internet, &!have.internal, last.map(|last| &last.internet), |on| {
            Some(on.to_string())
        });
    let fields: Vec<_> = [driver, bridge, subnet, internet].into_iter().flatten().collect();
    if fields.is_empty() {
        return Delta::default();
    }
    let strangers: Vec<&str> =
        have.attached.iter().filter(|one| !one.sandbox).map(|one| one.name.as_str()).collect();
    let blocked = (!strangers.is_empty()).then(|| {
        let text = format!(
            "the network {} has to be made anew, but is in use by {}",
            want.name,
            strangers.join(", ")
        );
        Note::error("docker.network-in-use", text).hint(format!(
            "take them off the network first: `docker network disconnect {} {}`",
            want.name, strangers[0]
        ))
    });
    let replace = Some("a network cannot be changed in place".to_owned());
    Delta { fields, replace, blocked, ..Delta::default() }
}

fn sandbox(want: &SandboxSpec, have: &SandboxState, last: Option<&SandboxSpec>) -> Delta {
    let mut fields: Vec<FieldChange> = Vec::new();
    for container in &have.containers {
        for field in container_fields(want, container, last) {
            if !fields.iter().any(|known| known.field == field.field) {
                fields.push(field);
            }
        }
    }
    Delta { fields, ..Delta::default() }
}

/// Whether a container was made from another definition than this.
pub fn is_outdated(want: &SandboxSpec, container: &ContainerState) -> bool {
    !container_fields(want, container, None).is_empty()
}

fn container_fields(
    want: &SandboxSpec,
    have: &ContainerState,
    last: Option<&SandboxSpec>,
) -> Vec<FieldChange> {
    let image = want.image.as_ref().and_then(|image| image_field(image, &have.image));
    let network = optional(
        "network",
        want.network.as_ref(),
        Some(&have.network),
        last.and_then(|last| last.network.as_ref()),
    );
    let user =
        optional("user", want.user.as_ref(), Some(&have.user), last.and_then(|last| last.user.as_ref()));
    let memory = number("memory", want.memory, have.memory, last.and_then(|last| last.memory), amount);
    let cpus = number("cpus", want.nano_cpus, have.nano_cpus, last.and_then(|last| last.nano_cpus), cpus);
    let root = optional(
        "read_only_root",
        want.read_only_root.as_ref(),
        Some(&have.read_only_root),
        last.and_then(|last| last.read_only_root.as_ref()),
    );
    let access = workspace_field(want, have, last);
    [image, network, user, memory, cpus, root, access].into_iter().flatten().collect()
}

fn image_field(want: &Value<ImageId>, have: &str) -> Option<FieldChange> {
    if want.known().is_some_and(|known| known.0 == have) {
        return None;
    }
    let to = want.known().map_or_else(|| want.to_string(), |known| short(&known.0));
    Some(FieldChange { field: "image".into(), from: Some(short(have)), to: Some(to), cause: Cause::Manifest })
}

fn number(
    field: &str,
    want: Option<i64>,
    have: i64,
    last: Option<i64>,
    show: fn(i64) -> String,
) -> Option<FieldChange> {
    compare(field, &want?, &have, last.as_ref(), |value| Some(show(*value)))
}

fn workspace_field(
    want: &SandboxSpec,
    have: &ContainerState,
    last: Option<&SandboxSpec>,
) -> Option<FieldChange> {
    let wanted = want.workspace_access?;
    let found = access_to(&want.workspace, have);
    let last = last.and_then(|last| last.workspace_access);
    let show = |access: &WorkspaceAccess| {
        Some(match access {
            WorkspaceAccess::None => "none".into(),
            WorkspaceAccess::Ro => "ro".into(),
            WorkspaceAccess::Rw => "rw".to_owned(),
        })
    };
    compare("workspace_access", &wanted, &found, last.as_ref(), show)
}

/// What a container may do with the workspace. OpenClaw mounts a copy of its own where it may not write.
fn access_to(workspace: &Path, container: &ContainerState) -> WorkspaceAccess {
    let mount = container.mounts.iter().find(|mount| mount.source == workspace);
    match mount {
        None => WorkspaceAccess::None,
        Some(mount) if mount.writable && mount.target == Path::new(WORKDIR) => WorkspaceAccess::Rw,
        Some(_) => WorkspaceAccess::Ro,
    }
}

/// Enough of an id or hash to tell two apart.
pub fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

fn amount(bytes: i64) -> String {
    match bytes {
        0 => "no limit".into(),
        _ if bytes % (1 << 30) == 0 => format!("{}g", bytes >> 30),
        _ if bytes % (1 << 20) == 0 => format!("{}m", bytes >> 20),
        _ => bytes.to_string(),
    }
}

fn cpus(nano: i64) -> String {
    match nano {
        0 => "no limit".into(),
        _ if nano % 1_000_000_000 == 0 => (nano / 1_000_000_000).to_string(),
        _ => format!("{}.{:03}", nano / 1_000_000_000, nano % 1_000_000_000 / 1_000_000),
    }
}
