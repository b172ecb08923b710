//! What it takes to take a step back, and taking it back.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use fraktalia_engine::{StepCx, StepError};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::DockerError;
use crate::helper::HelperBuild;
use crate::helper::run::{self, Before, Helper};
use crate::labels;
use crate::op::Op;

/// What it was before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The image that had the tag, by id.
    Image(Option<String>),
    /// The network of that name, as the engine is asked for it.
    Network(Option<Box<NetworkCreateRequest>>),
    /// The helper that was there, and what came with it.
    Helper(Before),
    /// Nothing to restore.
    Nothing,
}

/// Reads what is there.
pub async fn prepare(client: &Client, op: &Op, cx: &StepCx<'_>) -> Result<Undo, StepError> {
    Ok(match op {
        Op::StartHelper { helper, replaces, .. } => {
            Undo::Helper(Helper::new(client, None, cx).before_start(helper, replaces.as_deref()).await?)
        }
        Op::RemoveHelper { helper, container, .. } => {
            Undo::Helper(Helper::new(client, None, cx).before(helper, Some(container)).await?)
        }
        Op::Build { tag, .. } => Undo::Image(client.image(tag).await?.and_then(|image| image.id)),
        Op::MakeNetwork { network, replaces, .. } => {
            let now = client.network(&network.name).await?;
            let found = now.as_ref().and_then(|network| network.id.clone());
            if found != *replaces {
                let text = format!("the network {} changed since the plan was made", network.name);
                return Err(StepError::refused(text).with_hint("plan again"));
            }
            Undo::Network(now.map(|network| Box::new(request(network))))
        }
        Op::RemoveNetwork { network, .. } => {
            Undo::Network(client.network(network).await?.map(|network| Box::new(request(network))))
        }
        Op::RemoveImage { .. } | Op::Recycle { .. } => Undo::Nothing,
    })
}

/// The request that makes the same network again.
fn request(network: NetworkInspect) -> NetworkCreateRequest {
    let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let pools: Vec<_> = pools
        .into_iter()
        .filter(|pool| pool.subnet.is_some())
        .map(|pool| IpamConfig {
            subnet: pool.subnet,
            ip_range: pool.ip_range,
            gateway: pool.gateway,
            ..IpamConfig::default()
        })
        .collect();
    NetworkCreateRequest {
        name: network.name.unwrap_or_default(),
        driver: network.driver,
        internal: network.internal,
        attachable: network.attachable,
        enable_ipv6: network.enable_ipv6,
        options: network.options,
        labels: network.labels,
        ipam: Some(Ipam { config: Some(pools), ..Ipam::default() }),
        ..NetworkCreateRequest::default()
    }
}

/// Takes an effect back, if it is still ours.
pub async fn revert(
    client: &Client,
    program: Option<&HelperBuild>,
    op: &Op,
    undo: &Undo,
    cx: &StepCx<'_>,
) -> Result<(), StepError> {
    match (op, undo) {
        (Op::StartHelper { helper, resource, .. }, Undo::Helper(before)) => {
            Helper::new(client, program, cx).revert_start(helper, resource, before).await
        }
        (Op::RemoveHelper { resource, .. }, Undo::Helper(before)) => {
            Helper::new(client, program, cx).restore(resource, before).await
        }
        (Op::Build { tag, build, .. }, Undo::Image(old)) => {
            Ok(revert_build(client, tag, &build.content_hash, old.as_deref(), cx).await?)
        }
        (Op::MakeNetwork { network, .. }, Undo::Network(old)) => {
            Ok(revert_network(client, &network.name, old.as_deref(), cx).await?)
        }
        (Op::RemoveNetwork { name, .. }, Undo::Network(Some(old))) => {
            if client.network(name).await?.is_none() {
                client.create_network((**old).clone()).await?;
            }
            Ok(())
        }
        (Op::RemoveImage { tag, .. }, _) => {
            let text = format!("the image {tag} cannot be brought back");
            Err(StepError::refused(text).with_hint("build it again"))
        }
        (Op::Recycle { agent, .. }, _) => {
            cx.say(format!("OpenClaw makes new containers for {agent} when it needs them"));
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn revert_build(
    client: &Client,
    tag: &str,
    content_hash: &str,
    old: Option<&str>,
    cx: &StepCx<'_>,
) -> Result<(), DockerError> {
    let Some(now) = client.image(tag).await? else {
        return match old {
            Some(old) => client.tag_image(old, tag).await,
            None => Ok(()),
        };
    };
    let labels = now.config.and_then(|config| config.labels).unwrap_or_default();
    let has = |key, value: &str| labels.get(key).is_some_and(|found| found == value);
    let id = now.id.unwrap_or_default();
    if old == Some(id.as_str()) || !has(labels::REALM, cx.realm) || !has(labels::SPEC, content_hash) {
        // Never built, or tagged anew by somebody else since.
        return Ok(());
    }
    let Some(old) = old else { return client.remove_image(tag).await };
    client.tag_image(old, tag).await?;
    // Without its tag it is of no use; somebody who uses it all the same keeps it.
    if let Err(error) = client.remove_image(&id).await {
        cx.leave(format!("the new image stays without a tag: {error}"));
    }
    Ok(())
}

async fn revert_network(
    client: &Client,
    name: &str,
    old: Option<&NetworkCreateRequest>,
    cx: &StepCx<'_>,
) -> Result<(), DockerError> {
    if let Some(now) = client.network(name).await? {
        let labels: HashMap<_, _> = now.labels.unwrap_or_default();
        if labels.get(labels::RUN).map(String::as_str) != Some(cx.run) {
            // The old one, still there; or somebody else's by now.
            return Ok(());
        }
        let id = now.id.unwrap_or_default();
        for (container, endpoint) in now.containers.unwrap_or_default() {
            evict(client, &container, &endpoint.name.unwrap_or_default(), cx).await?;
        }
        client.remove_network(&id, name).await?;
    }
    match old {
        Some(old) => client.create_network(old.clone()).await,
        None => Ok(()),
    }
}

/// A sandbox that OpenClaw started on a network of this run goes with it; anybody else's container does not.
async fn evict(client: &Client, id: &str, name: &str, cx: &StepCx<'_>) -> Result<(), DockerError> {
    let labels = client.container(id).await?.and_then(|found| found.config).and_then(|config| config.labels);
    if labels.as_ref().and_then(labels::agent).is_some() {
        cx.say(format!("removing {name}, which OpenClaw started meanwhile"));
        client.remove_container(id, name).await?;
    }
    Ok(())
}

/// The commands for what `revert` could not do.
pub fn by_hand(op: &Op, undo: &Undo) -> Vec<String> {
    match (op, undo) {
        (Op::Build { tag, .. }, Undo::Image(Some(old))) => vec![format!("docker tag {old} {tag}")],
        (Op::Build { tag, .. }, _) => vec![format!("docker image rm {tag}")],
        (Op::MakeNetwork { network, .. }, Undo::Network(old)) => {
            let remove = format!("docker network rm {}", network.name);
            std::iter::once(remove).chain(old.as_deref().map(create_command)).collect()
        }
        (Op::StartHelper { helper, .. }, Undo::Helper(before)) => run::by_hand(helper, before),
        (Op::RemoveNetwork { .. }, Undo::Network(Some(old))) => vec![create_command(old)],
        _ => Vec::new(),
    }
}

fn create_command(network: &NetworkCreateRequest) -> String {
    let mut command = "docker network create".to_owned();
    let mut add = |text: String| command.extend([" ", &text]);
    if network.internal == Some(true) {
        add("--internal".into());
    }
    let pools = network.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    for subnet in pools.into_iter().flatten().filter_map(|pool| pool.subnet.as_ref()) {
        add(format!("--subnet {subnet}"));
    }
    let mut pairs: Vec<_> =
        network.options.iter().flatten().map(|(key, value)| format!("--opt {key}={value}")).collect();
    pairs.extend(network.labels.iter().flatten().map(|(key, value)| format!("--label {key}={value}")));
    pairs.sort();
    pairs.into_iter().for_each(&mut add);
    add(network.name.clone());
    command
}
