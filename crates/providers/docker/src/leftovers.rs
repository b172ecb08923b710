//! What is left on an engine and is of no use to anybody any more, as far as that can be known for certain.
//!
//! All that an engine says is said by the execution plane. A lie there can at most have something removed that lies
//! itself: nothing is listed that does not carry labels that only the engine's masters can give.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, ContainerSummary, ImageSummary};
use bollard::query_parameters::InspectContainerOptionsBuilder;
use fraktalia_model::ResourceId;

use crate::client::Client;
use crate::error::{DockerError, bounded};
use crate::helper::{self, IMAGE};
use crate::labels::{self, Labels};
use crate::system::DockerHost;

/// What of a name is shown.
const LONGEST: usize = 128;
/// Containers that are looked at closely, and images; the next look finds the rest.
const MOST: usize = 500;

/// What the engine cannot know.
pub struct Known<'a> {
    /// The scope of ownership.
    pub realm: &'a str,
    /// Whether an agent was ours once and is in `openclaw.json` no longer.
    pub is_gone: &'a (dyn Fn(&str) -> bool + Sync),
    /// Where sandboxes of our gateway mount from, on either side.
    pub roots: &'a [PathBuf],
    /// Whether a run that can still be taken back speaks of an image.
    pub is_needed: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whether a realm of this machine has nothing left on record.
    pub is_over: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container that OpenClaw made for an agent.
    Sandbox,
    /// An image that we built.
    Image,
    /// The helper of another realm, with its volume.
    Helper {
        /// The realm.
        realm: String,
    },
}

/// Something that is of no use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// By what it is removed: an id, or a tag.
    pub id: String,
    /// Why it is one.
    pub why: String,
    /// Its size, where the engine says it. Images share some of it.
    pub bytes: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub made: Option<u64>,
}

/// Something that looks like one, and may be in use by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// What it is called.
    pub name: String,
    /// Why it stays.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What can go.
    pub leftovers: Vec<Leftover>,
    /// What stays.
    pub strangers: Vec<Stranger>,
}

impl DockerHost {
    /// Looks for what is of no use. Changes nothing.
    pub async fn leftovers(&self, known: &Known<'_>) -> Result<Found, DockerError> {
        let client = self.client().await?;
        let (containers, images) = futures_util::try_join!(client.containers(), client.images())?;
        let mut found = Found::default();
        sandboxes(client, &containers, known, &mut found).await?;
        helpers(&containers, known, &mut found);
        found.leftovers.extend(old_images(&images, &containers, known));
        found.leftovers.sort();
        found.strangers.sort();
        Ok(found)
    }

    /// Removes one. What is gone already is fine, and what somebody uses by now is refused by the engine.
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), DockerError> {
        let client = self.client().await?;
        match &leftover.kind {
            Kind::Sandbox => client.remove_container(&leftover.id, &leftover.name).await,
            Kind::Image => client.remove_image(&leftover.id).await,
            Kind::Helper { realm } => {
                client.remove_container(&leftover.id, &leftover.name).await?;
                let volume = helper::name(realm);
                match client.volume(&volume).await? {
                    Some(found) if found.labels.get(labels::REALM) == Some(realm) => {
                        client.remove_volume(&volume).await
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Containers of agents that are gone.
async fn sandboxes(
    client: &Client,
    containers: &[ContainerSummary],
    known: &Known<'_>,
    found: &mut Found,
) -> Result<(), DockerError> {
    let orphans = containers.iter().filter_map(|one| {
        let agent = labels::agent(one.labels.as_ref()?)?;
        Some((one, agent)).filter(|_| (known.is_gone)(agent))
    });
    for (one, agent) in orphans.take(MOST) {
        let Some(looked) = looked_at(client, one).await? else { continue };
        let (name, agent) = (name(one), bounded(agent, LONGEST));
        if mounts_only(&looked, known.roots) {
            found.leftovers.push(Leftover {
                kind: Kind::Sandbox,
                id: one.id.clone().unwrap_or_default(),
                why: format!("its agent `{agent}` is gone"),
                bytes: looked.size_rw.and_then(|size| u64::try_from(size).ok()),
                made: one.created.and_then(|at| u64::try_from(at).ok()),
                name,
            });
        } else {
            let why = format!("an agent `{agent}` is gone, but it mounts what is not of our gateway");
            found.strangers.push(Stranger { name, why });
        }
    }
    Ok(())
}

/// A container with its size, which the list does not have.
async fn looked_at(
    client: &Client,
    one: &ContainerSummary,
) -> Result<Option<ContainerInspectResponse>, DockerError> {
    let Some(id) = one.id.as_deref() else { return Ok(None) };
    let options = InspectContainerOptionsBuilder::new().size(true).build();
    match client.docker().inspect_container(id, Some(options)).await {
        Ok(looked) => Ok(Some(looked)),
        // Without its size, or not at all when it went meanwhile.
        Err(_) => client.container(id).await,
    }
}

/// Whether all that it mounts from its host lies where our gateway's sandboxes have theirs, and there is something.
/// Another gateway on the same engine may well have an agent of the same name.
fn mounts_only(container: &ContainerInspectResponse, roots: &[PathBuf]) -> bool {
    let mounts = container.mounts.as_deref().unwrap_or_default();
    let mut sources = mounts.iter().filter_map(|mount| mount.source.as_deref()).map(Path::new).peekable();
    let plain = |path: &Path| !path.components().any(|part| part == std::path::Component::ParentDir);
    let inside = |path: &Path| plain(path) && roots.iter().any(|root| path.starts_with(root));
    sources.peek().is_some() && sources.all(inside)
}

/// Helpers of other realms.
fn helpers(containers: &[ContainerSummary], known: &Known<'_>, found: &mut Found) {
    for one in containers {
        let name = name(one);
        let Some(realm) = one.labels.as_ref().and_then(|labels| labels.get(labels::REALM)) else { continue };
        if realm == known.realm || name != helper::name(realm) {
            continue;
        }
        if (known.is_over)(realm) {
            found.leftovers.push(Leftover {
                kind: Kind::Helper { realm: realm.clone() },
                id: one.id.clone().unwrap_or_default(),
                why: format!("the realm `{}` has nothing on record any more", bounded(realm, LONGEST)),
                bytes: None,
                made: one.created.and_then(|at| u64::try_from(at).ok()),
                name,
            });
        } else {
            let why = format!("it is of the realm `{}`, of which others may know", bounded(realm, LONGEST));
            found.strangers.push(Stranger { name, why });
        }
    }
}

/// Images that we built and that no container and no run needs: earlier builds, which lost their tag to a later one, and
/// helpers of earlier versions but for the last.
fn old_images(images: &[ImageSummary], containers: &[ContainerSummary], known: &Known<'_>) -> Vec<Leftover> {
    let used: BTreeSet<&str> = containers.iter().filter_map(|one| one.image_id.as_deref()).collect();
    let free = |image: &&ImageSummary| {
        image.labels.get(labels::REALM).is_some_and(|realm| realm == known.realm)
            && !used.contains(image.id.as_str())
            && !(known.is_needed)(&image.id)
    };
    let (mut builds, mut helpers) = (Vec::new(), Vec::new());
    for image in images.iter().filter(free).take(MOST) {
        match tags(image).as_slice() {
            [] => builds.push(image_of(image, short(&image.id), image.id.clone(), &earlier(&image.labels))),
            // Somebody may have given it a name of their own, and wants to keep it.
            [tag] if tag.starts_with(&format!("{IMAGE}:{}-", known.realm)) => helpers.push((*tag, image)),
            _ => {}
        }
    }
    helpers.sort_by_key(|(_, image)| image.created);
    // A rollback may bring the last one back.
    helpers.pop();
    let helpers = helpers.into_iter().map(|(tag, image)| {
        image_of(image, bounded(tag, LONGEST), tag.to_owned(), "a helper of an earlier version")
    });
    builds.into_iter().chain(helpers).collect()
}

fn tags(image: &ImageSummary) -> Vec<&str> {
    image.repo_tags.iter().map(String::as_str).filter(|tag| *tag != "<none>:<none>").collect()
}

fn earlier(labels: &Labels) -> String {
    let of = labels.get(labels::RESOURCE).and_then(|id| id.parse::<ResourceId>().ok());
    match of {
        Some(id) => format!("an earlier build of `{}`", bounded(&id.name.to_string(), LONGEST)),
        None => "an earlier build".into(),
    }
}

fn image_of(image: &ImageSummary, name: String, id: String, why: &str) -> Leftover {
    Leftover {
        kind: Kind::Image,
        name,
        id,
        why: format!("{why}; nothing uses it"),
        bytes: u64::try_from(image.size).ok(),
        made: u64::try_from(image.created).ok(),
    }
}

/// `sha256:0123456789ab`
fn short(id: &str) -> String {
    bounded(id.get(.."sha256:".len() + 12).unwrap_or(id), LONGEST)
}

fn name(container: &ContainerSummary) -> String {
    let name = container.names.as_ref().and_then(|names| names.first());
    let name = name.map(|name| name.trim_start_matches('/')).or(container.id.as_deref());
    bounded(name.unwrap_or_default(), LONGEST)
}

#[cfg(test)]
mod tests {
    use bollard::models::MountPoint;

    use super::*;

    fn mounting(sources: &[&str]) -> ContainerInspectResponse {
        let mount = |source: &&str| MountPoint { source: Some((*source).into()), ..MountPoint::default() };
        ContainerInspectResponse {
            mounts: Some(sources.iter().map(mount).collect()),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn a_sandbox_is_ours_only_if_all_it_mounts_is() {
        let roots = [PathBuf::from("/srv/agents"), PathBuf::from("/home/o/.openclaw")];
        assert!(mounts_only(&mounting(&["/srv/agents/cook", "/home/o/.openclaw/sandboxes/x"]), &roots));
        for other in
            [&[][..], &["/srv/agents-of-others"], &["/srv/agents/cook", "/etc"], &["/srv/agents/../x"]]
        {
            assert!(!mounts_only(&mounting(other), &roots), "{other:?}");
        }
    }

    #[test]
    fn only_builds_of_ours_without_name_user_or_run_are_leftovers() {
        let image = |id: &str, realm: &str, tags: &[&str], created: i64| ImageSummary {
            id: id.into(),
            labels: [(labels::REALM.to_owned(), realm.to_owned())].into(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            created,
            size: 7,
            ..ImageSummary::default()
        };
        let images = [
            image("free", "home", &[], 1),
            image("named", "home", &["mine:keep"], 1),
            image("used", "home", &[], 1),
            image("needed", "home", &[], 1),
            image("other", "else", &[], 1),
            image("h1", "home", &["fraktalia-helper:home-1"], 1),
            image("h2", "home", &["fraktalia-helper:home-2"], 2),
            image("h3", "home", &["fraktalia-helper:home-3", "mine:helper"], 0),
        ];
        let containers = [ContainerSummary { image_id: Some("used".into()), ..ContainerSummary::default() }];
        let known = Known {
            realm: "home",
            is_gone: &|_| false,
            roots: &[],
            is_needed: &|id| id == "needed",
            is_over: &|_| false,
        };
        let found: Vec<String> =
            old_images(&images, &containers, &known).into_iter().map(|one| one.id).collect();
        assert_eq!(found, ["free", "fraktalia-helper:home-1"]);
    }
}
