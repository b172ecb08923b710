//! Bringing a helper to its host, and taking it away.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use fraktalia_engine::{Landed, StepCx, StepError};
use fraktalia_model::{Outputs, ResourceId};
use serde::{Deserialize, Serialize};

use super::{HelperBuild, HelperSpec, IMAGE, image, name, settings};
use crate::client::{BuildError, BuildRequest, Client};
use crate::error::DockerError;
use crate::labels::{self, Labels};

/// How long a helper has to run before it is believed, and how often it is looked at meanwhile.
const STEADY: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// What was there before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// The helper, with the run that had made it.
    pub helper: Option<Box<(HelperSpec, String)>>,
    /// Whether the volume was there.
    pub volume: bool,
    /// Whether the image of the new version was there.
    pub image: bool,
}

/// A helper of a host and what it is made of, for one step.
#[derive(Clone, Copy)]
pub struct Helper<'a> {
    client: &'a Client,
    build: Option<&'a HelperBuild>,
    cx: &'a StepCx<'a>,
}

/// What the engine says of it, and its labels.
struct Found {
    id: String,
    labels: Labels,
    running: bool,
}

impl Found {
    fn of(container: ContainerInspectResponse) -> Self {
        Self {
            running: is_running(&container),
            id: container.id.unwrap_or_default(),
            labels: container.config.and_then(|config| config.labels).unwrap_or_default(),
        }
    }

    fn has(&self, label: &str, value: &str) -> bool {
        self.labels.get(label).is_some_and(|found| found == value)
    }
}

/// Whether a container runs, and has not started again and again to do so.
pub fn is_running(container: &ContainerInspectResponse) -> bool {
    let status = container.state.as_ref().and_then(|state| state.status);
    let restarting = container.state.as_ref().and_then(|state| state.restarting).unwrap_or_default();
    status == Some(ContainerStateStatusEnum::RUNNING) && !restarting
}

impl<'a> Helper<'a> {
    /// For a step on the engine of `client`; without `build` nothing can be started.
    pub fn new(client: &'a Client, build: Option<&'a HelperBuild>, cx: &'a StepCx<'a>) -> Self {
        Self { client, build, cx }
    }

    /// Starts a helper in place of the one with the id `replaces`.
    pub async fn start(
        self,
        helper: &HelperSpec,
        resource: &ResourceId,
        replaces: Option<&str>,
    ) -> Result<Outputs, StepError> {
        let name = helper.name();
        let found = self.found(&name).await?;
        match &found {
            Some(found) if self.is_made(found, helper) && found.running => return Ok(Outputs::new()),
            // Of this run, and not finished: it goes below.
            Some(found) if found.has(labels::RUN, self.cx.run) => {}
            Some(found) if replaces == Some(found.id.as_str()) => {}
            Some(_) => {
                let text = format!("a container {name} appeared since the plan was made");
                return Err(StepError::refused(text).with_hint("plan again"));
            }
            None => {}
        }
        let volume = self.own_volume(&name).await?;
        // All that can be refused comes before the old one goes.
        let built = self.bring_image(helper, resource).await?;
        if !volume {
            self.client.create_volume(&name, self.labels(resource, &helper.version)).await?;
        }
        if let Some(found) = &found {
            self.cx.say(format!("removing {name} of the version before"));
            self.client.remove_container(&found.id, &name).await?;
        }
        let started = self.run(helper, self.labels(resource, &helper.version)).await;
        match started {
            Ok(()) => self.tidy(&[helper.tag()], replaces.is_some()).await,
            Err(error) if found.is_some() => return Err(error.in_doubt()),
            Err(error) => {
                // Nothing was there, so nothing stays.
                if !volume {
                    let _ = self.client.remove_volume(&name).await;
                }
                if built {
                    let _ = self.client.remove_image(&helper.tag()).await;
                }
                return Err(error.refused());
            }
        }
        Ok(Outputs::new())
    }

    /// Takes a helper away, with its volume and its images.
    pub async fn remove(self, helper: &HelperSpec, id: &str) -> Result<Outputs, StepError> {
        let name = helper.name();
        self.client.remove_container(id, &name).await?;
        if self.own_volume(&name).await? {
            self.client.remove_volume(&name).await?;
        }
        self.tidy(&[], false).await;
        Ok(Outputs::new())
    }

    /// Reads what is there before a start or a removal.
    pub async fn before(self, helper: &HelperSpec, id: Option<&str>) -> Result<Before, StepError> {
        let name = helper.name();
        let found = self.found(&name).await?;
        if found.as_ref().map(|found| found.id.as_str()) != id {
            let text = format!("the container {name} changed since the plan was made");
            return Err(StepError::refused(text).with_hint("plan again"));
        }
        let old = found.and_then(|found| {
            let version = found.labels.get(labels::SPEC)?.clone();
            let run = found.labels.get(labels::RUN).cloned().unwrap_or_default();
            Some(Box::new((HelperSpec { version, ..helper.clone() }, run)))
        });
        let volume = self.own_volume(&name).await?;
        Ok(Before { helper: old, volume, image: self.client.image(&helper.tag()).await?.is_some() })
    }

    /// Finds out whether a start had its effect.
    pub async fn started(self, helper: &HelperSpec, replaces: Option<&str>) -> Result<Landed, StepError> {
        let name = helper.name();
        let partly = |why: &str| Landed::Partly { why: format!("{name} {why}") };
        Ok(match self.found(&name).await? {
            Some(found) if self.is_made(&found, helper) && found.running => Landed::Yes(Outputs::new()),
            Some(found) if found.has(labels::RUN, self.cx.run) => partly("is there, and does not run yet"),
            Some(found) if replaces == Some(found.id.as_str()) => Landed::No,
            Some(_) => {
                Landed::Torn { why: format!("there is a container {name} that this run did not make") }
            }
            None if replaces.is_some() => {
                partly("of the version before is gone, and the new one not there yet")
            }
            None if self.left(helper).await? => partly("is not there yet, but its volume or image is"),
            None => Landed::No,
        })
    }

    /// Finds out whether a removal had its effect.
    pub async fn removed(self, helper: &HelperSpec, id: &str) -> Result<Landed, StepError> {
        let there = self.client.container(id).await?.is_some();
        let volume = self.client.volume(&helper.name()).await?.is_some();
        Ok(match (there, volume) {
            (true, _) => Landed::No,
            (false, true) => Landed::Partly { why: format!("the volume {} is still there", helper.name()) },
            (false, false) => Landed::Yes(Outputs::new()),
        })
    }

    /// Takes a start back.
    pub async fn revert_start(
        self,
        helper: &HelperSpec,
        resource: &ResourceId,
        before: &Before,
    ) -> Result<(), StepError> {
        let name = helper.name();
        if let Some(now) = self.found(&name).await? {
            if !now.has(labels::RUN, self.cx.run) {
                // The old one, still there; or somebody else's by now.
                return Ok(());
            }
            self.client.remove_container(&now.id, &name).await?;
        }
        if !before.image && self.is_of_this_run(&helper.tag()).await? {
            self.client.remove_image(&helper.tag()).await?;
        }
        if !before.volume && self.volume_is_of_this_run(&name).await? {
            self.client.remove_volume(&name).await?;
        }
        self.restore(resource, before).await
    }

    /// Brings back the helper that was there.
    pub async fn restore(self, resource: &ResourceId, before: &Before) -> Result<(), StepError> {
        let Some((old, run)) = before.helper.as_deref() else { return Ok(()) };
        let name = old.name();
        if self.found(&name).await?.is_some() {
            return Ok(());
        }
        self.bring_image(old, resource).await?;
        let mut labels = self.labels(resource, &old.version);
        labels.insert(labels::RUN.into(), run.clone());
        if !self.own_volume(&name).await? {
            self.client.create_volume(&name, labels.clone()).await?;
        }
        self.run(old, labels).await.map_err(Died::in_doubt)
    }

    async fn found(self, name: &str) -> Result<Option<Found>, DockerError> {
        Ok(self.client.container(name).await?.map(Found::of))
    }

    fn is_made(self, found: &Found, helper: &HelperSpec) -> bool {
        found.has(labels::REALM, self.cx.realm)
            && found.has(labels::SPEC, &helper.version)
            && found.has(labels::RUN, self.cx.run)
    }

    fn labels(self, resource: &ResourceId, version: &str) -> Labels {
        let pairs = [
            (labels::REALM, self.cx.realm.to_owned()),
            (labels::RESOURCE, resource.to_string()),
            (labels::SPEC, version.to_owned()),
            (labels::RUN, self.cx.run.to_owned()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Whether the volume is there. One that is not ours may hold anything, and is not used.
    async fn own_volume(self, name: &str) -> Result<bool, StepError> {
        let Some(volume) = self.client.volume(name).await? else { return Ok(false) };
        if volume.labels.get(labels::REALM).is_some_and(|realm| realm == self.cx.realm) {
            return Ok(true);
        }
        let text = format!("there is a volume {name} that fraktalia did not make");
        Err(StepError::refused(text).with_hint(format!("see what is in it, then `docker volume rm {name}`")))
    }

    async fn volume_is_of_this_run(self, name: &str) -> Result<bool, DockerError> {
        let labels = self.client.volume(name).await?.map(|volume| volume.labels).unwrap_or_default();
        Ok(labels.get(labels::RUN).is_some_and(|run| run == self.cx.run))
    }

    async fn is_of_this_run(self, tag: &str) -> Result<bool, DockerError> {
        let labels = self.image_labels(tag).await?.unwrap_or_default();
        Ok(labels.get(labels::RUN).is_some_and(|run| run == self.cx.run))
    }

    async fn image_labels(self, tag: &str) -> Result<Option<Labels>, DockerError> {
        let image = self.client.image(tag).await?;
        Ok(image.map(|image| image.config.and_then(|config| config.labels).unwrap_or_default()))
    }

    /// Whether a start that was cut short left something.
    async fn left(self, helper: &HelperSpec) -> Result<bool, DockerError> {
        Ok(self.volume_is_of_this_run(&helper.name()).await? || self.is_of_this_run(&helper.tag()).await?)
    }

    /// Reads what is there before a start, which only a machine like ours can take.
    pub async fn before_start(
        self,
        helper: &HelperSpec,
        replaces: Option<&str>,
    ) -> Result<Before, StepError> {
        self.same_architecture()?;
        self.before(helper, replaces).await
    }

    /// A program for another machine would be built and started, and die there.
    fn same_architecture(self) -> Result<(), StepError> {
        super::foreign(self.client.arch()).map_or(Ok(()), |(text, hint)| {
            let text = format!("the engine at {} {text}", self.client.endpoint());
            Err(StepError::refused(text).with_hint(hint))
        })
    }

    /// Builds the image, unless it is there. Says whether it did.
    async fn bring_image(self, helper: &HelperSpec, resource: &ResourceId) -> Result<bool, StepError> {
        let tag = helper.tag();
        if let Some(labels) = self.image_labels(&tag).await?
            && labels.get(labels::SPEC) == Some(&helper.version)
        {
            return Ok(false);
        }
        self.same_architecture()?;
        // Read again: the program may have been replaced while it ran.
        let build = self.build.map(|build| HelperBuild::of(build.program())).transpose();
        let build = build.map_err(|error| StepError::refused(error.to_string()))?;
        let Some(build) = build.filter(|build| build.version() == helper.version) else {
            let text = format!("the program that {tag} is made of is not the one that is installed here");
            return Err(
                StepError::refused(text).with_hint("plan again, which brings the helper of this version")
            );
        };
        let packed = tokio::task::spawn_blocking(move || image::pack(&build)).await;
        let packed = packed
            .map_err(|error| StepError::refused("cannot pack the image of the helper").because(error))??;
        let labels = self.labels(resource, &helper.version);
        let request = BuildRequest { tag: &tag, args: HashMap::new(), labels };
        // Seven steps that say nothing about the installation; a failure shows its last lines.
        self.client.build(request, packed, |_| ()).await.map_err(|error| match error {
            BuildError::Docker(error) => error.into(),
            failed @ BuildError::Failed { .. } => StepError::refused(failed.to_string()),
        })?;
        Ok(true)
    }

    /// Makes a container, starts it, and sees that it stays. Removes it when it does not.
    async fn run(self, helper: &HelperSpec, labels: Labels) -> Result<(), Died> {
        let name = helper.name();
        let id = self.client.create_container(&name, settings::body(helper, labels)).await?;
        let stays = async {
            self.client.start_container(&id, &name).await?;
            self.stays(&id, &name).await
        };
        let stays = stays.await;
        if stays.is_err() {
            let _ = self.client.remove_container(&id, &name).await;
        }
        stays
    }

    async fn stays(self, id: &str, name: &str) -> Result<(), Died> {
        for _ in 0..STEADY {
            tokio::time::sleep(LOOK).await;
            let now = self.client.container(id).await?;
            let again = now.as_ref().and_then(|now| now.restart_count).unwrap_or_default();
            if now.as_ref().is_some_and(is_running) && again == 0 {
                continue;
            }
            let code = now.and_then(|now| now.state).and_then(|state| state.exit_code).unwrap_or_default();
            let last = self.client.last_lines(id, name).await.unwrap_or_default();
            return Err(Died::AtOnce { name: name.into(), code, last });
        }
        Ok(())
    }

    /// Removes our images of other versions. `keep_one`: the one before stays for a rollback, and goes the next time.
    /// What another container still uses the engine does not remove.
    async fn tidy(self, except: &[String], keep_one: bool) {
        let Ok(images) = self.client.images().await else { return };
        let ours = |labels: &Labels| labels.get(labels::REALM).is_some_and(|realm| realm == self.cx.realm);
        let mut old: Vec<_> = images
            .iter()
            .filter(|image| ours(&image.labels))
            .flat_map(|image| image.repo_tags.iter().map(move |tag| (image.created, tag)))
            .filter(|(_, tag)| tag.starts_with(&format!("{IMAGE}:")) && !except.contains(tag))
            .collect();
        old.sort();
        if keep_one {
            old.pop();
        }
        for (_, tag) in old {
            if let Err(error) = self.client.remove_image(tag).await {
                self.cx.say(format!("the image {tag} stays: {error}"));
            }
        }
    }
}

/// A helper that did not come to run.
enum Died {
    Docker(DockerError),
    AtOnce { name: String, code: i64, last: Vec<String> },
}

impl From<DockerError> for Died {
    fn from(error: DockerError) -> Self {
        Self::Docker(error)
    }
}

impl Died {
    fn text(&self) -> String {
        match self {
            Self::Docker(error) => error.to_string(),
            Self::AtOnce { name, code, last } => [format!("{name} ended at once, with code {code}")]
                .into_iter()
                .chain(last.iter().map(|line| format!("    {line}")))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }

    /// Nothing was there before, and nothing is there now.
    fn refused(self) -> StepError {
        match self {
            Self::Docker(error) => error.into(),
            died @ Self::AtOnce { .. } => StepError::refused(died.text())
                .with_hint("its last lines say why; what was made is removed again"),
        }
    }

    /// The old one is gone: that is no refusal, which would promise that nothing changed.
    fn in_doubt(self) -> StepError {
        StepError::in_doubt(self.text())
    }
}

/// The commands for what a rollback could not do.
pub fn by_hand(helper: &HelperSpec, before: &Before) -> Vec<String> {
    let name = name(&helper.realm);
    let mut commands = vec![format!("docker rm --force {name}")];
    match before.helper.as_deref() {
        None if !before.volume => commands.push(format!("docker volume rm {name}")),
        // Its settings are more than a line: fraktalia brings it back with the next apply.
        _ => {}
    }
    if !before.image {
        commands.push(format!("docker image rm {}", helper.tag()));
    }
    commands
}
