//! Images of sandboxes: whether they are there, and made for the user that runs in them.

use std::collections::BTreeSet;
use std::io::Read as _;

use bollard::models::{ContainerSummary, ImageInspect};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use fraktalia_engine::health::{Cure, Standing, word};
use fraktalia_model::manifest::{Image, Sandbox};
use futures_util::StreamExt as _;

use super::{Look, failed};

const CODE: &str = "docker.image";
/// Longer lists of users are not read.
const LONGEST: usize = 256 << 10;

pub(super) async fn examine(look: &Look<'_>) {
    let containers = look.client.containers().await.unwrap_or_default();
    for (key, sandbox) in look.sandboxes() {
        if let Some(image) = &sandbox.image {
            one(look, key, sandbox, image, &containers).await;
        }
    }
}

async fn one(look: &Look<'_>, key: &str, sandbox: &Sandbox, image: &Image, containers: &[ContainerSummary]) {
    let list = look.list;
    let title = "image";
    let tag = &image.tag;
    let found = match look.client.image(tag).await {
        Ok(Some(found)) => found,
        Ok(None) if image.build.is_some() => {
            return list.ok(CODE, title, format!("{tag} is built by the next apply"));
        }
        Ok(None) => {
            let text = format!("{tag} is not there, and OpenClaw pulls none (sandbox `{key}`)");
            return list.note(list.failure(CODE, title, text).cure(look.run(&format!("pull {}", word(tag)))));
        }
        Err(error) => return list.note(failed(list, CODE, title, &error)),
    };
    let Some(uid) = sandbox.user.as_deref().map(uid) else {
        return list.ok(CODE, title, format!("{tag} is there"));
    };
    if let Some(text) = made_for_another(&found, image, uid) {
        let cure = Cure::edit(format!(
            "build it with UID {uid}, or set `user` of the sandbox `{key}` to what it was made for"
        ));
        return list.note(
            list.warning(CODE, title, format!("{tag} {text}, and its sandbox runs as {uid}")).cure(cure),
        );
    }
    known_user(look, tag, uid, &found, containers).await;
}

/// `996` of `996:1100`
fn uid(user: &str) -> &str {
    user.split(':').next().unwrap_or(user)
}

/// For whom an image says that it was made, where that is another user.
fn made_for_another(found: &ImageInspect, image: &Image, uid: &str) -> Option<String> {
    let built = image.build.as_ref().and_then(|build| build.args.get("UID")).filter(|built| *built != uid);
    if let Some(built) = built {
        return Some(format!("is built with UID {}", crate::error::bounded(built, 20)));
    }
    let own = found.config.as_ref()?.user.as_deref().map(self::uid)?;
    let other = own.chars().all(|c| c.is_ascii_digit()) && !own.is_empty() && own != "0" && own != uid;
    other.then(|| format!("runs as {own} by itself"))
}

/// A user without an entry in the image's list of users has no name and no home: ssh refuses to work.
async fn known_user(
    look: &Look<'_>,
    tag: &str,
    uid: &str,
    found: &ImageInspect,
    containers: &[ContainerSummary],
) {
    let list = look.list;
    let of_it = containers.iter().find(|one| one.image_id.is_some() && one.image_id == found.id);
    let users = match of_it.and_then(|one| one.id.as_deref()) {
        Some(id) => users(look, id).await,
        None => None,
    };
    let command = format!("run --rm --entrypoint cat {} /etc/passwd", word(tag));
    let (standing, text) = match users {
        Some(users) if users.contains(uid) => {
            return list.ok(CODE, "image", format!("{tag} is there and knows the user {uid}"));
        }
        Some(_) => (
            Standing::Warning,
            format!("{tag} knows no user {uid}: without a name and a home, ssh refuses to work"),
        ),
        None => (
            Standing::NotChecked,
            format!("{tag} is there; whether it knows the user {uid} is seen once a container of it is"),
        ),
    };
    let check = list.check(standing, CODE, "image", text).cure(look.run(&command));
    list.note(if standing == Standing::Warning {
        check.cure(Cure::edit(format!("add the user to its Dockerfile: `RUN useradd --uid {uid} agent`")))
    } else {
        check
    });
}

/// The numbers of the users that a container's image has. What comes is data of a container: bounded, and only compared.
async fn users(look: &Look<'_>, id: &str) -> Option<BTreeSet<String>> {
    let options = DownloadFromContainerOptionsBuilder::new().path("/etc/passwd").build();
    let mut pieces = std::pin::pin!(look.client.docker().download_from_container(id, Some(options)));
    let mut archive = Vec::new();
    while let Some(piece) = pieces.next().await {
        archive.extend_from_slice(&piece.ok()?);
        if archive.len() > LONGEST {
            return None;
        }
    }
    let mut archive = tar::Archive::new(&archive[..]);
    let mut text = String::new();
    archive.entries().ok()?.next()?.ok()?.read_to_string(&mut text).ok()?;
    Some(text.lines().filter_map(|line| Some(line.split(':').nth(2)?.to_owned())).collect())
}
