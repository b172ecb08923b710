//! Having an effect, and finding out whether it was had.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use fraktalia_engine::{Landed, StepCx, StepError};
use fraktalia_model::{BridgeName, ImageId, Outputs, ResourceId};

use crate::client::{BRIDGE_NAME, BuildError, BuildRequest, Client};
use crate::context;
use crate::helper::HelperBuild;
use crate::helper::run::Helper;
use crate::labels::{self, Labels};
use crate::op::{ContainerRef, Op, network_fingerprint};
use crate::spec::{BuildSpec, NetworkSpec};
use crate::state::Attached;

/// Has the effect.
pub async fn perform(
    client: &Client,
    program: Option<&HelperBuild>,
    op: &Op,
    cx: &StepCx<'_>,
) -> Result<Outputs, StepError> {
    match op {
        Op::StartHelper { helper, resource, replaces } => {
            Helper::new(client, program, cx).start(helper, resource, replaces.as_deref()).await
        }
        Op::RemoveHelper { helper, container, .. } => {
            Helper::new(client, program, cx).remove(helper, container).await
        }
        Op::Build { tag, build, images } => build_image(client, tag, build, images, cx).await,
        Op::MakeNetwork { network, resource, replaces, evicts } => {
            make_network(client, network, resource, replaces.as_deref(), evicts, cx).await
        }
        Op::RemoveNetwork { name, network } => {
            client.remove_network(network, name).await?;
            Ok(Outputs::new())
        }
        Op::RemoveImage { tag, image } => {
            let now = client.image(tag).await?.and_then(|found| found.id);
            // A tag that was given to another image meanwhile is not ours to take.
            if now.as_ref() == Some(image) {
                client.remove_image(tag).await?;
            }
            Ok(Outputs::new())
        }
        Op::Recycle { containers, .. } => recycle(client, containers, cx).await,
    }
}

async fn build_image(
    client: &Client,
    tag: &str,
    build: &BuildSpec,
    images: &[ResourceId],
    cx: &StepCx<'_>,
) -> Result<Outputs, StepError> {
    // A build that is repeated may miss the engine's cache and give another image, so it is not repeated.
    if let done @ Landed::Yes(_) = landed_build(client, tag, build, images, cx.realm).await? {
        return built(done, tag);
    }
    let packing = build.clone();
    let packed = tokio::task::spawn_blocking(move || context::pack(&packing)).await;
    let packed = packed
        .map_err(|error| StepError::refused(format!("cannot pack the context of {tag}")).because(error))??;
    let mut labels = ours(cx.realm, images.first());
    labels.insert(labels::SPEC.into(), build.content_hash.clone());
    let args: HashMap<String, String> = build.args.clone().into_iter().collect();
    let request = BuildRequest { tag, args, labels };
    client.build(request, packed, |line| cx.say(line)).await.map_err(|error| match error {
        BuildError::Docker(error) => error.into(),
        // What was built up to the failing step has no tag: nothing that anybody could see has changed.
        failed @ BuildError::Failed { .. } => {
            StepError::refused(failed.to_string()).with_hint("correct the Dockerfile, then apply again")
        }
    })?;
    built(landed_build(client, tag, build, images, cx.realm).await?, tag)
}

fn built(landed: Landed, tag: &str) -> Result<Outputs, StepError> {
    match landed {
        Landed::Yes(outputs) => Ok(outputs),
        _ => {
            Err(StepError::in_doubt(format!("the build of {tag} ended, but no image has that tag and hash")))
        }
    }
}

fn ours(realm: &str, resource: Option<&ResourceId>) -> Labels {
    let mut labels = Labels::from([(labels::REALM.into(), realm.into())]);
    labels.extend(resource.map(|id| (labels::RESOURCE.into(), id.to_string())));
    labels
}

async fn make_network(
    client: &Client,
    network: &NetworkSpec,
    resource: &ResourceId,
    replaces: Option<&str>,
    evicts: &[Attached],
    cx: &StepCx<'_>,
) -> Result<Outputs, StepError> {
    let now = client.network(&network.name).await?;
    let labels = now.as_ref().and_then(|now| now.labels.clone()).unwrap_or_default();
    let found = now.and_then(|now| now.id);
    let outputs = Outputs::of(resource, &BridgeName(network.bridge.clone()));
    match (found.as_deref(), replaces) {
        (Some(_), _)
            if is_made(&labels, network, cx.realm)
                && labels.get(labels::RUN).is_some_and(|run| run == cx.run) =>
        {
            return Ok(outputs);
        }
        (Some(found), Some(old)) if found == old => {
            let removed = clear(client, &network.name, old, evicts, cx).await;
            removed.map_err(|error| half_done(&network.name, &error))?;
        }
        (Some(_), _) => {
            let text = format!("a network {} appeared since the plan was made", network.name);
            return Err(StepError::refused(text).with_hint("plan again"));
        }
        (None, _) => {}
    }
    let mut labels = ours(cx.realm, Some(resource));
    labels.insert(labels::SPEC.into(), network_fingerprint(network));
    labels.insert(labels::RUN.into(), cx.run.into());
    match client.create_network(request(network, labels)).await {
        Ok(()) => Ok(outputs),
        // The old one is gone already: that is no refusal, which would promise that nothing changed.
        Err(error) if replaces.is_some() => Err(half_done(&network.name, &error.into())),
        Err(error) => Err(error.into()),
    }
}

fn half_done(name: &str, error: &StepError) -> StepError {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    StepError::in_doubt(format!("the network {name} could not be made anew: {error}{hint}"))
}

async fn clear(
    client: &Client,
    name: &str,
    id: &str,
    evicts: &[Attached],
    cx: &StepCx<'_>,
) -> Result<(), StepError> {
    for container in evicts {
        cx.say(format!("removing {}", container.name));
        client.remove_container(&container.id, &container.name).await?;
    }
    Ok(client.remove_network(id, name).await?)
}

fn request(network: &NetworkSpec, labels: Labels) -> NetworkCreateRequest {
    let subnet = IpamConfig { subnet: Some(network.subnet.clone()), ..IpamConfig::default() };
    let ipam = Ipam { config: Some(vec![subnet]), ..Ipam::default() };
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some("bridge".into()),
        internal: Some(!network.internet),
        options: Some(HashMap::from([(BRIDGE_NAME.into(), network.bridge.clone())])),
        labels: Some(labels),
        ipam: Some(ipam),
        ..NetworkCreateRequest::default()
    }
}

fn is_made(labels: &Labels, network: &NetworkSpec, realm: &str) -> bool {
    labels.get(labels::REALM).is_some_and(|found| found == realm)
        && labels.get(labels::SPEC).is_some_and(|found| *found == network_fingerprint(network))
}

async fn recycle(
    client: &Client,
    containers: &[ContainerRef],
    cx: &StepCx<'_>,
) -> Result<Outputs, StepError> {
    for container in containers {
        cx.say(format!("removing {}", container.name));
        client.remove_container(&container.id, &container.name).await?;
    }
    Ok(Outputs::new())
}

/// Whether the op had its effect, judged by what is there now.
pub async fn landed(client: &Client, op: &Op, cx: &StepCx<'_>) -> Result<Landed, StepError> {
    match op {
        Op::StartHelper { helper, replaces, .. } => {
            Helper::new(client, None, cx).started(helper, replaces.as_deref()).await
        }
        Op::RemoveHelper { helper, container, .. } => {
            Helper::new(client, None, cx).removed(helper, container).await
        }
        Op::Build { tag, build, images } => landed_build(client, tag, build, images, cx.realm).await,
        Op::MakeNetwork { network, resource, replaces, .. } => {
            landed_network(client, network, resource, replaces.as_deref(), cx).await
        }
        Op::RemoveNetwork { network, .. } => Ok(gone(client.network(network).await?.is_none())),
        Op::RemoveImage { tag, image } => {
            let now = client.image(tag).await?.and_then(|found| found.id);
            Ok(gone(now.as_ref() != Some(image)))
        }
        Op::Recycle { containers, .. } => landed_recycle(client, containers).await,
    }
}

fn gone(gone: bool) -> Landed {
    if gone { Landed::Yes(Outputs::new()) } else { Landed::No }
}

async fn landed_build(
    client: &Client,
    tag: &str,
    build: &BuildSpec,
    images: &[ResourceId],
    realm: &str,
) -> Result<Landed, StepError> {
    let Some(image) = client.image(tag).await? else { return Ok(Landed::No) };
    let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
    let has = |key, value: &str| labels.get(key).is_some_and(|found| found == value);
    if !has(labels::REALM, realm) || !has(labels::SPEC, &build.content_hash) {
        return Ok(Landed::No);
    }
    let id = ImageId(image.id.unwrap_or_default());
    let mut outputs = Outputs::new();
    for resource in images {
        outputs.set(resource, &id);
    }
    Ok(Landed::Yes(outputs))
}

async fn landed_network(
    client: &Client,
    network: &NetworkSpec,
    resource: &ResourceId,
    replaces: Option<&str>,
    cx: &StepCx<'_>,
) -> Result<Landed, StepError> {
    let now = client.network(&network.name).await?;
    let Some(now) = now else {
        return Ok(match replaces {
            None => Landed::No,
            Some(_) => Landed::Torn {
                why: format!("the old network {} is gone, the new one not made", network.name),
            },
        });
    };
    let labels = now.labels.unwrap_or_default();
    if is_made(&labels, network, cx.realm) && labels.get(labels::RUN).is_some_and(|run| run == cx.run) {
        return Ok(Landed::Yes(Outputs::of(resource, &BridgeName(network.bridge.clone()))));
    }
    if now.id.as_deref() == replaces {
        return Ok(Landed::No);
    }
    Ok(Landed::Torn { why: format!("there is a network {} that this run did not make", network.name) })
}

async fn landed_recycle(client: &Client, containers: &[ContainerRef]) -> Result<Landed, StepError> {
    let mut left = 0;
    for container in containers {
        left += usize::from(client.container(&container.id).await?.is_some());
    }
    Ok(match left {
        0 => Landed::Yes(Outputs::new()),
        some if some == containers.len() => Landed::No,
        some => Landed::Torn { why: format!("{some} of {} containers are still there", containers.len()) },
    })
}
